//! The positions of logs that were forgotten for want of room.

use std::collections::BTreeMap;

use crate::{
    bounds::{Budget, Payer, TOMBSTONE_BYTES},
    log::lru::Lru,
    wire::{LogKey, Seq, Subject, Time},
};

/// Where forgotten logs were, so that a late copy of an old frame is not delivered again.
#[derive(Debug)]
pub(crate) struct Tombstones {
    pub(crate) entries: BTreeMap<LogKey, Tombstone>,
    pub(crate) lru: Lru,
    /// When a tombstone last had to go for want of room.
    pub(crate) forgot: Option<Time>,
    pub(crate) budget: Budget,
}

#[derive(Debug)]
pub(crate) struct Tombstone {
    /// The number that was due next.
    pub(crate) next: Seq,
    pub(crate) subject: Subject,
    pub(crate) heard: Time,
}

impl Tombstones {
    pub(crate) fn remember(&mut self, key: &LogKey, tombstone: Tombstone, now: Time) {
        if let Some(other) = self.lru.first_to_go(&tombstone.subject).cloned() {
            self.take(&other);
            self.forgot = Some(now);
        }
        self.lru.add(tombstone.subject, tombstone.heard, key);
        self.budget
            .charge(Payer::Member(tombstone.subject), TOMBSTONE_BYTES);
        self.entries.insert(key.clone(), tombstone);
    }

    pub(crate) fn take(&mut self, key: &LogKey) -> Option<Seq> {
        let Tombstone {
            next,
            subject,
            heard,
        } = self.entries.remove(key)?;
        self.lru.remove(subject, heard, key);
        self.budget.release(Payer::Member(subject), TOMBSTONE_BYTES);
        Some(next)
    }
}

/// How many forgotten logs are remembered, at about 300 bytes each: as many as are followed by
/// default, so that they reach about as far back.
pub(crate) const MAX_TOMBSTONES: usize = 65_536;
