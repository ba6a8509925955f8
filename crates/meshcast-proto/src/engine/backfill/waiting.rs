//! Readers that wait for what was before, and how far back they reach.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::LOOK_BACK;
use crate::{
    engine::Positions,
    wire::{ChannelName, Sender, Seq, Time},
};

/// Requests to peers on behalf of readers that started late.
#[derive(Debug, Default)]
pub(in crate::engine) struct Backfills {
    pub(super) of: BTreeMap<ChannelName, Backfill>,
    /// How many readers were taken in so far.
    pub(super) begun: u64,
    /// More peers may connect in a moment.
    pub(super) expecting: bool,
}

/// The backfill of a channel: what late readers want from below what is kept.
#[derive(Debug, Default)]
pub(super) struct Backfill {
    /// All that any of them wants.
    pub(super) reach: Reach,
    pub(super) waiters: Vec<Waiter>,
    /// The senders of whom there may be more.
    pub(super) logs: BTreeMap<Sender, Depth>,
    /// There may be more of any log: a peer told something new, or a reader wants more.
    pub(super) news: bool,
}

/// A reader that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) id: u64,
    pub(super) came: Time,
    /// Until when only a connected sender decides where its log begins.
    pub(super) waits_for_word: Option<Time>,
    pub(super) reach: Reach,
    /// The position at which live delivery of each sender continued when the reader came.
    pub(super) before: BTreeMap<Sender, Seq>,
    /// Numbers known by then to have been posted, and not given out: up to these numbers messages
    /// are delivered before the reader gets its backfill.
    pub(super) on_the_way: BTreeMap<Sender, Seq>,
    /// What this process was charged with for it.
    pub(super) charged: usize,
}

/// The extent of what readers want to hear: whatever lies within any of these.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach {
    /// What was posted since then.
    pub(super) from: Option<Time>,
    /// So many numbers of each sender.
    pub(super) last: u64,
    /// What follows on these.
    pub(super) after: Option<Arc<Positions>>,
}

/// How far back a log was fetched.
#[derive(Debug, Default)]
pub(super) struct Depth {
    /// Live delivery begins here; `None` until it is known where the log begins.
    pub(super) before: Option<Seq>,
    /// The highest missing number at the last request.
    pub(super) reached: Option<Seq>,
}

impl Backfills {
    /// When to continue, if nothing happens before.
    pub(in crate::engine) fn due(&self) -> Option<Time> {
        self.of.values().filter_map(Backfill::due).min()
    }
}

impl Backfill {
    pub(super) fn due(&self) -> Option<Time> {
        self.waiters.iter().map(Waiter::due).min()
    }
}

impl Waiter {
    /// What this process is to be charged with for it.
    pub(super) fn cost(&self) -> usize {
        let named = self.reach.after.as_ref().map_or(0, |after| after.len());
        WAITER_BYTES + (self.before.len() + self.on_the_way.len() + named) * BEFORE_BYTES
    }

    pub(super) fn due(&self) -> Time {
        let due = self.waits_for_word.unwrap_or_else(|| self.until());
        match self.on_the_way.is_empty() {
            true => due,
            false => due.min(self.came + CATCH_UP),
        }
    }

    pub(super) fn until(&self) -> Time {
        self.came + LOOK_BACK
    }
}

impl Reach {
    /// Lets it reach as far as another one does.
    pub(super) fn extend(&mut self, other: &Self) {
        self.from = self.from.into_iter().chain(other.from).min();
        self.last = self.last.max(other.last);
        match (&mut self.after, &other.after) {
            (Some(after), Some(others)) if !Arc::ptr_eq(after, others) => {
                Arc::make_mut(after).lower_to(others);
            }
            (after @ None, others) => after.clone_from(others),
            _ => {}
        }
    }
}

/// The memory of a waiter, and of each sender that it heard of by then or names. They wait for 5 s
/// at most, but a process may open a channel as often as it likes.
const WAITER_BYTES: usize = 128;
const BEFORE_BYTES: usize = 64;

/// For how long a late reader waits for what is known to have been posted and is still on its way:
/// it is given as one list with what was before. Several times what a repair takes; what takes
/// longer the reader hears live, in its place.
pub(super) const CATCH_UP: Duration = Duration::from_secs(1);
