//! The logs that each peer has to do with: those of which it told or asked for something, for which
//! it is charged, and those that it posts. When a peer goes, these are looked at and no others. So
//! a peer that comes and goes all the time causes no more work than by what it said. That may be
//! about thousands of logs, so they are looked at [some at a time](Departures).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
};

use crate::wire::{LogKey, Sender, Time};

/// The number of a log, which no other has.
pub(super) type LogId = u64;

#[derive(Debug, Default)]
pub(super) struct ByPeer {
    logs: BTreeMap<LogId, LogKey>,
    last: LogId,
    /// Of which each peer told or asked for something.
    involved: BTreeMap<Sender, BTreeSet<LogId>>,
    posted: BTreeSet<(Sender, LogId)>,
}

impl ByPeer {
    /// A log begins.
    pub(super) fn begin(&mut self, key: &LogKey) -> LogId {
        self.last += 1;
        self.logs.insert(self.last, key.clone());
        self.posted.insert((key.1, self.last));
        self.last
    }

    /// A log is forgotten. Those who have to do with it are to be [released](Self::release).
    pub(super) fn end(&mut self, log: LogId) {
        if let Some((_, sender)) = self.logs.remove(&log) {
            self.posted.remove(&(sender, log));
        }
    }

    /// Whether a peer told or asked for something of a log.
    pub(super) fn is_involved(&self, peer: Sender, log: LogId) -> bool {
        let involved = self.involved.get(&peer);
        involved.is_some_and(|logs| logs.contains(&log))
    }

    /// A peer tells or asks for something of a log.
    pub(super) fn involve(&mut self, peer: Sender, log: LogId) {
        self.involved.entry(peer).or_default().insert(log);
    }

    /// A peer has nothing to do with a log any more. `true` if it had.
    pub(super) fn release(&mut self, peer: Sender, log: LogId) -> bool {
        let Some(logs) = self.involved.get_mut(&peer) else {
            return false;
        };
        let had = logs.remove(&log);
        if logs.is_empty() {
            self.involved.remove(&peer);
        }
        had
    }

    /// The next log to look at since a peer is gone: one of those it told or asked for something
    /// of, which is to be [released](Self::release) then, or else one that it posts.
    fn next_of(&self, departure: &mut Departure) -> Option<(LogId, LogKey)> {
        let involved = self.involved.get(&departure.peer);
        let log = match involved.and_then(BTreeSet::first) {
            Some(log) => *log,
            None => {
                let last = Bound::Included((departure.peer, LogId::MAX));
                let after = Bound::Excluded((departure.peer, departure.posted));
                let (_, log) = *self.posted.range((after, last)).next()?;
                departure.posted = log;
                log
            }
        };
        Some((log, self.logs.get(&log)?.clone()))
    }

    /// What peers have to do with.
    #[cfg(test)]
    pub(super) fn all_involved(&self) -> BTreeSet<(Sender, LogId)> {
        let involved = self.involved.iter();
        let each = involved.flat_map(|(peer, logs)| logs.iter().map(|log| (*peer, *log)));
        each.collect()
    }

    /// All logs, and how many are known by their sender.
    #[cfg(test)]
    pub(super) fn all(&self) -> (BTreeMap<LogId, LogKey>, usize) {
        (self.logs.clone(), self.posted.len())
    }
}

/// Peers that are gone, with logs to look at because of it. Until then their claims stand: they are
/// asked for nothing, and what they said ends a moment later.
#[derive(Debug, Default)]
pub(super) struct Departures(VecDeque<Departure>);

#[derive(Debug)]
struct Departure {
    peer: Sender,
    since: Time,
    /// Of the logs that it posts, those up to here were looked at. No log has the number 0.
    posted: LogId,
}

impl Departures {
    /// A peer is gone.
    pub(super) fn begin(&mut self, peer: Sender, now: Time) {
        self.0.push_back(Departure {
            peer,
            since: now,
            posted: 0,
        });
    }

    /// The next log to look at, and which peer is gone.
    pub(super) fn next(&mut self, by_peer: &ByPeer) -> Option<(Sender, LogId, LogKey)> {
        while let Some(departure) = self.0.front_mut() {
            if let Some((log, key)) = by_peer.next_of(departure) {
                return Some((departure.peer, log, key));
            }
            self.0.pop_front();
        }
        None
    }

    /// The logs to look at because of a peer come next.
    pub(super) fn bring_forward(&mut self, peer: Sender) {
        let at = self.0.iter().position(|departure| departure.peer == peer);
        if let Some(departure) = at.and_then(|at| self.0.remove(at)) {
            self.0.push_front(departure);
        }
    }

    /// Whether there is something to look at because of a peer.
    pub(super) fn contains(&self, peer: Sender) -> bool {
        self.0.iter().any(|departure| departure.peer == peer)
    }

    /// Since when there is something to look at.
    pub(super) fn since(&self) -> Option<Time> {
        self.0.front().map(|departure| departure.since)
    }
}
