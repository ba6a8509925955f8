//! Where logs were that are not followed any more.

use std::collections::BTreeMap;

use crate::{
    bounds::{Budget, Payer, TOMBSTONE_BYTES},
    log::lru::Lru,
    wire::{LogKey, Seq, Subject, Time},
};

/// Where forgotten logs were: a late copy of what they brought is no news.
#[derive(Debug)]
pub(crate) struct Tombstones {
    pub(crate) entries: BTreeMap<LogKey, Tombstone>,
    pub(crate) lru: Lru,
    /// When a mark had to make room last.
    pub(crate) forgot: Option<Time>,
    pub(crate) budget: Budget,
}

#[derive(Debug)]
pub(crate) struct Tombstone {
    /// The number that would have been released next.
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

/// How many forgotten logs are remembered, at about 300 bytes. As many as may be followed by
/// default: what is forgotten for want of room was heard of within about as long as what is
/// followed.
pub(crate) const MAX_TOMBSTONES: usize = 65_536;
