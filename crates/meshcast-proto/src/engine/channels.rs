//! The channel names this node has used, open and closed.
//!
//! A number is never used twice. So the counter of a name that was posted on outlives the channel.
//! Everything else goes once the history keeps nothing of the channel: until then peers may open it
//! and ask for that. The number of counters is bounded. Beyond it the counters of the channels that
//! were closed first are forgotten, and an unknown name then begins above all forgotten numbers.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::OpenError;
use crate::{
    log::History,
    wire::{ChannelName, Seq, Time},
};

/// All names, and from when on each open one hears.
#[derive(Debug)]
pub(super) struct Channels {
    /// Those that are open, and closed ones of which something is kept.
    by_name: BTreeMap<ChannelName, Channel>,
    /// Closed ones of which something was kept when last looked at, in the order of the next look.
    retiring: VecDeque<ChannelName>,
    /// Those that were posted on, and of which nothing is kept any more.
    counters: BTreeMap<NameHash, Ended>,
    /// The same, in the order in which they ended.
    ended: BTreeMap<u64, NameHash>,
    /// How many ended so far.
    endings: u64,
    /// The highest number that was next on a name whose counter was forgotten.
    forgotten: Option<Seq>,
    /// The limit of names.
    limit: usize,
    /// How many counters are remembered.
    max_counters: usize,
}

/// A channel name this node has used.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) is_open: bool,
    /// Since when, or when it last was opened.
    pub(super) opened: Time,
    /// The channel hears what was posted since then, and at least this many numbers of each sender.
    pub(super) since: Time,
    pub(super) last: u64,
    /// When a peer that had it open was last lost.
    pub(super) deserted: Option<Time>,
    /// It is in [`Channels::retiring`].
    is_retiring: bool,
}

/// The change when a channel was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// Nothing: it hears as much already.
    Unchanged,
    /// It hears from then on, or from an earlier moment.
    Changed,
    /// The same, and its name was not known any more. If it was posted on, that goes on there.
    New(Option<Counter>),
}

/// What must be remembered of a name that was posted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counter {
    /// The next number.
    pub(super) next: Seq,
    /// When the first was posted.
    pub(super) born: Time,
}

/// A counter that is remembered.
#[derive(Debug)]
struct Ended {
    counter: Counter,
    /// Its place in [`Channels::ended`].
    place: u64,
}

/// Long enough that no two names collide, whoever chooses them.
type NameHash = [u8; 16];

impl Channels {
    pub(super) const fn new(limit: usize, max_counters: usize) -> Self {
        Self {
            by_name: BTreeMap::new(),
            retiring: VecDeque::new(),
            counters: BTreeMap::new(),
            ended: BTreeMap::new(),
            endings: 0,
            forgotten: None,
            limit,
            max_counters,
        }
    }

    /// Opens a channel that is to hear what was posted since then, and the `last` numbers of each
    /// sender. An open one only begins earlier, and only while nothing was heard on it.
    pub(super) fn open(
        &mut self,
        name: &ChannelName,
        (since, last): (Time, u64),
        nothing_heard: impl FnOnce() -> bool,
        now: Time,
    ) -> Result<Opening, OpenError> {
        if let Some(known) = self.by_name.get_mut(name) {
            if !known.is_open {
                (known.is_open, known.opened) = (true, now);
                (known.since, known.last) = (since, last);
                return Ok(Opening::Changed);
            }
            let is_earlier = since < known.since || last > known.last;
            if !is_earlier || !nothing_heard() {
                return Ok(Opening::Unchanged);
            }
            (known.since, known.last) = (since.min(known.since), last.max(known.last));
            return Ok(Opening::Changed);
        }
        if self.by_name.len() >= self.limit {
            return Err(OpenError::TooManyChannels { limit: self.limit });
        }
        let counter = self.take_counter(name);
        let new = Channel {
            is_open: true,
            opened: now,
            since,
            last,
            deserted: None,
            is_retiring: false,
        };
        self.by_name.insert(name.clone(), new);
        Ok(Opening::New(counter))
    }

    /// Closes a channel. `false` if it was never opened.
    pub(super) fn close(&mut self, name: &ChannelName) -> bool {
        let known = self.by_name.get_mut(name);
        known.map(|known| known.is_open = false).is_some()
    }

    /// A closed channel goes once nothing of it is kept. Returns the names that are to be
    /// [forgotten](Self::forget) now.
    pub(super) fn retire(&mut self, name: &ChannelName, history: &mut History) -> Vec<ChannelName> {
        let mut gone = Vec::new();
        if history.forget(name) {
            gone.push(name.clone());
        } else if let Some(channel) = self.by_name.get_mut(name)
            && !std::mem::replace(&mut channel.is_retiring, true)
        {
            self.retiring.push_back(name.clone());
        }
        gone.extend(self.retire_more(history));
        gone
    }

    /// The closed channels of which nothing is kept any more, to be [forgotten](Self::forget).
    pub(super) fn retire_more(&mut self, history: &mut History) -> Vec<ChannelName> {
        let (mut gone, mut kept) = (Vec::new(), 0);
        for _ in 0..self.retiring.len() {
            let Some(name) = self.retiring.pop_front() else {
                break;
            };
            if self.is_open(&name) {
                if let Some(channel) = self.by_name.get_mut(&name) {
                    channel.is_retiring = false;
                }
            } else if history.forget(&name) {
                gone.push(name);
            } else {
                self.retiring.push_back(name);
                kept += 1;
                if kept == KEPT_AT_ONCE {
                    break;
                }
            }
        }
        gone
    }

    /// Forgets a name but for its counter, if it was posted on.
    pub(super) fn forget(&mut self, name: &ChannelName, counter: Option<Counter>) {
        self.by_name.remove(name);
        let Some(counter) = counter else { return };
        self.endings += 1;
        let (hash, place) = (hash(name), self.endings);
        self.ended.insert(place, hash);
        self.counters.insert(hash, Ended { counter, place });
        if self.counters.len() > self.max_counters
            && let Some((_, first)) = self.ended.pop_first()
        {
            let first = self.counters.remove(&first);
            let next = first.map(|first| first.counter.next);
            self.forgotten = self.forgotten.max(next);
        }
    }

    /// The beginning of a name that is posted on and of which no number is known: the first number,
    /// or one above all numbers of names that were forgotten, of which it may be one.
    pub(super) fn beginning(&self, now: Time) -> Counter {
        match self.forgotten {
            None => Counter {
                next: Seq::FIRST,
                born: now,
            },
            // Longer ago than a listener has it open: it would take all below for missing.
            Some(next) => Counter {
                next,
                born: now - LONG_AGO,
            },
        }
    }

    fn take_counter(&mut self, name: &ChannelName) -> Option<Counter> {
        if self.counters.is_empty() {
            return None;
        }
        let ended = self.counters.remove(&hash(name))?;
        self.ended.remove(&ended.place);
        Some(ended.counter)
    }

    pub(super) fn get(&self, name: &ChannelName) -> Option<&Channel> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &ChannelName) -> Option<&mut Channel> {
        self.by_name.get_mut(name)
    }

    pub(super) fn is_open(&self, name: &ChannelName) -> bool {
        self.get(name).is_some_and(|channel| channel.is_open)
    }

    /// Those that are known by more than their counter.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ChannelName, &Channel)> {
        self.by_name.iter()
    }

    /// The number of closed names that take a place.
    pub(super) fn closed(&self) -> usize {
        self.retiring.len() + self.counters.len()
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

/// When the first number was posted on a name of which that is not known any more. By this a
/// listener is told how old frames are, to one part in 5,000.
const LONG_AGO: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The number of looks that may be in vain each time. Each closed name adds one at most, so names
/// cannot pile up.
const KEPT_AT_ONCE: usize = 4;
