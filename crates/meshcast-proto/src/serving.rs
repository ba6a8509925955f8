//! Whose requests for frames are answered when: in turns, and no faster than leaves room for what is posted now.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{id::Sender, neighbours::REQUEST_TIMEOUT, sync::Want, time::Time};

/// Requests that wait for their answer.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    askers: BTreeMap<Sender, Asker>,
    /// When what all were given is paid off.
    all: Account,
}

#[derive(Debug, Default)]
struct Asker {
    /// With the time they came.
    waiting: VecDeque<(Time, Want)>,
    given: Account,
}

/// Bytes that were given, as the time until which that takes at some rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Account(Option<Time>);

impl Serving {
    /// A neighbour asks for something. `false` if it asks for too much at once: then it gets no answer.
    pub(crate) fn ask(&mut self, peer: Sender, want: Want, now: Time) -> bool {
        let asker = self.askers.entry(peer).or_default();
        let has_room = asker.waiting.len() < MAX_WAITING;
        if has_room {
            asker.waiting.push_back((now, want));
        }
        has_room
    }

    /// The next to be answered now. Say what it got with [`Self::gave`].
    pub(crate) fn next(&mut self, now: Time) -> Option<(Sender, Want)> {
        if self.all.due() > Some(now) {
            return None;
        }
        for asker in self.askers.values_mut() {
            // Whoever asked has given it up.
            asker.waiting.retain(|(came, _)| now < *came + REQUEST_TIMEOUT);
        }
        let ready = self
            .askers
            .iter_mut()
            .filter(|(_, asker)| !asker.waiting.is_empty());
        let ready = ready.filter(|(_, asker)| asker.given.due() <= Some(now));
        let (peer, asker) = ready.min_by_key(|(_, asker)| asker.given)?;
        let (_, want) = asker.waiting.pop_front()?;
        Some((*peer, want))
    }

    /// A neighbour was given so many bytes.
    pub(crate) fn gave(&mut self, peer: Sender, bytes: usize, now: Time) {
        let bytes = bytes.max(MIN_COST);
        self.all.add(bytes, TOTAL_RATE, now);
        if let Some(asker) = self.askers.get_mut(&peer) {
            asker.given.add(bytes, RATE, now);
        }
    }

    /// A neighbour is gone.
    pub(crate) fn forget(&mut self, peer: Sender) {
        self.askers.remove(&peer);
    }

    /// When there will be something to answer.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let waiting = self.askers.values().filter(|asker| !asker.waiting.is_empty());
        let due = waiting.map(|asker| asker.given.due().max(self.all.due()));
        due.min().map(|due| due.unwrap_or(Time::ZERO))
    }
}

impl Account {
    /// From when on there may be more; `None`: at any time.
    fn due(self) -> Option<Time> {
        self.0.map(|until| until - BURST)
    }

    fn add(&mut self, bytes: usize, rate: u32, now: Time) {
        let takes = Duration::from_secs(bytes as u64) / rate;
        self.0 = Some(self.0.map_or(now, |until| until.max(now)) + takes);
    }
}

/// How many bytes a second one neighbour is given: a history of 64 MiB in two seconds, and no more than that
/// again and again to one that asks without end.
const RATE: u32 = 32 * 1024 * 1024;

/// How many bytes a second all are given together. What is posted now does not wait behind it: it goes its own
/// way, at several times that rate.
const TOTAL_RATE: u32 = 64 * 1024 * 1024;

/// How far ahead of that rate the answers may be, so that few timers are needed: 8 MiB of one neighbour.
const BURST: Duration = Duration::from_millis(250);

/// What an answer costs at least, for the search of what is not there.
const MIN_COST: usize = 4 * 1024;

/// How many requests of one neighbour wait. It makes three at a time, and three more if those were too late.
const MAX_WAITING: usize = 8;

#[cfg(test)]
mod tests;
