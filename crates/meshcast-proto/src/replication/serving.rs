//! Whose requests for frames are answered when: in turns, and no faster than leaves room for what
//! is posted now.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    bounds::{Rate, TokenBucket},
    replication::neighbours::REQUEST_TIMEOUT,
    wire::{Sender, Time, Want},
};

/// Requests that wait for their answer.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    askers: BTreeMap<Sender, Asker>,
    /// Bytes that all were given.
    all: TokenBucket,
}

#[derive(Debug, Default)]
struct Asker {
    /// With the time they came.
    waiting: VecDeque<(Time, Want)>,
    /// Bytes.
    given: TokenBucket,
}

impl Serving {
    /// A neighbour asks for something. `false` if it asks for too much at once: then it gets no
    /// answer.
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
        if !self.all.is_due(TOTAL_RATE, now) {
            return None;
        }
        for asker in self.askers.values_mut() {
            // Whoever asked has given it up.
            asker
                .waiting
                .retain(|(came, _)| now < *came + REQUEST_TIMEOUT);
        }
        let ready = self
            .askers
            .iter_mut()
            .filter(|(_, asker)| !asker.waiting.is_empty());
        let ready = ready.filter(|(_, asker)| asker.given.is_due(RATE, now));
        let (peer, asker) = ready.min_by_key(|(_, asker)| asker.given)?;
        let (_, want) = asker.waiting.pop_front()?;
        Some((*peer, want))
    }

    /// A neighbour was given so many bytes.
    pub(crate) fn gave(&mut self, peer: Sender, bytes: usize, now: Time) {
        let bytes = bytes.max(MIN_COST);
        self.all.take(bytes, TOTAL_RATE, now);
        if let Some(asker) = self.askers.get_mut(&peer) {
            asker.given.take(bytes, RATE, now);
        }
    }

    /// A neighbour is gone.
    pub(crate) fn forget(&mut self, peer: Sender) {
        self.askers.remove(&peer);
    }

    /// When there will be something to answer.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let waiting = self
            .askers
            .values()
            .filter(|asker| !asker.waiting.is_empty());
        let due = waiting.map(|asker| asker.given.due(RATE).max(self.all.due(TOTAL_RATE)));
        due.min().map(|due| due.unwrap_or(Time::ZERO))
    }
}

/// How many bytes a second one neighbour is given: a history of 64 MiB in two seconds, and no more
/// than that again and again to one that asks without end.
const RATE: Rate = Rate {
    per_second: 32 * 1024 * 1024,
    burst: BURST,
};

/// How many bytes a second all are given together. What is posted now does not wait behind it: it
/// goes its own way, at several times that rate.
const TOTAL_RATE: Rate = Rate {
    per_second: 64 * 1024 * 1024,
    burst: BURST,
};

/// How far ahead of that rate the answers may be, so that few timers are needed: 8 MiB of one
/// neighbour.
const BURST: Duration = Duration::from_millis(250);

/// What an answer costs at least, for the search of what is not there.
const MIN_COST: usize = 4 * 1024;

/// How many requests of one neighbour wait. It makes three at a time, and three more if those were
/// too late.
const MAX_WAITING: usize = 8;

#[cfg(test)]
mod tests;
