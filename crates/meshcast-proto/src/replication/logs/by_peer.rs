//! The logs that each peer has to do with: those of which it told or asked for something, for which
//! it is charged, and those that it posts. When a peer goes, these are looked at and no others. So
//! a peer that comes and goes all the time causes no more work than by what it said.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::{LogKey, Sender};

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

    /// A peer is gone. Returns of how many logs it told or asked for something, and these with
    /// those that it posts, in order.
    pub(super) fn take(&mut self, peer: Sender) -> (usize, BTreeSet<LogKey>) {
        let involved = self.involved.remove(&peer).unwrap_or_default();
        let posted = self.posted.range((peer, 0)..=(peer, LogId::MAX));
        let posted = posted.map(|(_, log)| log);
        let logs = involved.iter().chain(posted);
        let keys = logs.filter_map(|log| self.logs.get(log).cloned()).collect();
        (involved.len(), keys)
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
