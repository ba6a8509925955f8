//! The positions of logs that were forgotten for want of room.

use std::collections::BTreeMap;

use crate::{
    bounds::{Budget, Payer, TOMBSTONE_BYTES},
    log::lru::{Lru, Place, Room},
    wire::{LogKey, Seq, Subject, Time},
};

/// Where forgotten logs were, so that a late copy of an old frame is not delivered again. Only
/// those of which frames came, at the expense of the members that posted them.
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
    pub(crate) place: Place,
}

impl Tombstones {
    pub(crate) fn remember(&mut self, key: &LogKey, tombstone: Tombstone, now: Time) {
        if let Room::After(other) = self.lru.room(&tombstone.subject, false) {
            let other = other.clone();
            self.take(&other);
            self.forgot = Some(now);
        }
        self.lru.add(tombstone.subject, tombstone.place, key);
        self.budget
            .charge(Payer::Member(tombstone.subject), TOMBSTONE_BYTES);
        self.entries.insert(key.clone(), tombstone);
    }

    pub(crate) fn take(&mut self, key: &LogKey) -> Option<Seq> {
        let Tombstone {
            next,
            subject,
            place,
        } = self.entries.remove(key)?;
        self.lru.remove(subject, place, key);
        self.budget.release(Payer::Member(subject), TOMBSTONE_BYTES);
        Some(next)
    }
}

/// How many forgotten logs are remembered, at about 300 bytes each: as many as are followed by
/// default, so that they reach about as far back.
pub(crate) const MAX_TOMBSTONES: usize = 65_536;
