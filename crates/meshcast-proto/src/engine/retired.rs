//! What is remembered of closed channels.
//!
//! A number is never used twice, so the counter of a name that was posted on stays, in 32 bytes.
//! The rest goes once the history keeps nothing of the channel; until then peers may open the
//! channel and ask for it.

use std::collections::{BTreeMap, VecDeque};

use super::{Channel, Engine};
use crate::wire::{ChannelName, Seq, Time};

/// The names that are closed here.
#[derive(Debug, Default)]
pub(super) struct Retired {
    /// Closed channels of which something was kept when last looked at, in the order of the next
    /// look.
    waiting: VecDeque<ChannelName>,
    counters: BTreeMap<NameHash, Counter>,
}

/// Long enough that no two names collide, whoever chooses them.
type NameHash = [u8; 16];

/// What must be remembered of a name that was posted on.
#[derive(Debug, Clone, Copy)]
struct Counter {
    next: Seq,
    born: Option<Time>,
}

impl Retired {
    /// How many names are remembered by their counter alone.
    pub(super) fn counters(&self) -> usize {
        self.counters.len()
    }

    pub(super) fn contains(&self, name: &ChannelName) -> bool {
        self.counters.contains_key(&hash(name))
    }

    /// Takes out the counter of a name that is opened again: its next number, and when it was first
    /// posted on.
    pub(super) fn take(&mut self, name: &ChannelName) -> Option<(Seq, Option<Time>)> {
        if self.counters.is_empty() {
            return None;
        }
        let counter = self.counters.remove(&hash(name))?;
        Some((counter.next, counter.born))
    }
}

impl Engine {
    /// How many closed names take a place: those that were posted on, and those of which something
    /// is kept.
    pub fn closed_names(&self) -> usize {
        self.retired.waiting.len() + self.retired.counters.len()
    }

    /// A channel was closed.
    pub(super) fn retire(&mut self, name: &ChannelName) {
        if self.history.forget(name) {
            self.forget_channel(name);
        } else if let Some(channel) = self.channels.get_mut(name)
            && !std::mem::replace(&mut channel.retiring, true)
        {
            self.retired.waiting.push_back(name.clone());
        }
        self.retire_more();
    }

    /// Forgets closed channels of which nothing is kept any more.
    pub(super) fn retire_more(&mut self) {
        let mut kept = 0;
        for _ in 0..self.retired.waiting.len() {
            let Some(name) = self.retired.waiting.pop_front() else {
                return;
            };
            if self.is_open(&name) {
                if let Some(channel) = self.channels.get_mut(&name) {
                    channel.retiring = false;
                }
            } else if self.history.forget(&name) {
                self.forget_channel(&name);
            } else {
                self.retired.waiting.push_back(name);
                kept += 1;
                if kept == KEPT_AT_ONCE {
                    return;
                }
            }
        }
    }

    fn forget_channel(&mut self, name: &ChannelName) {
        let Some(Channel {
            next,
            born,
            outbound,
            ..
        }) = self.channels.remove(name)
        else {
            return;
        };
        if let Some(outbound) = outbound {
            self.end_outbound(&outbound);
        }
        if next > Seq::FIRST {
            self.retired
                .counters
                .insert(hash(name), Counter { next, born });
        }
    }
}

fn hash(name: &ChannelName) -> NameHash {
    let mut short = NameHash::default();
    let whole = blake3::hash(name.wire().as_bytes());
    short
        .iter_mut()
        .zip(whole.as_bytes())
        .for_each(|(to, from)| *to = *from);
    short
}

/// How many looks may be in vain each time. Each closed name adds one at most, so names cannot pile
/// up.
const KEPT_AT_ONCE: usize = 4;
