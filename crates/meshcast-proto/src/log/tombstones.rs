//! Where logs were that are not followed any more.

use std::collections::BTreeMap;

use crate::{
    bounds::{Budget, Payer, TOMBSTONE_BYTES},
    log::lru::Roll,
    wire::{LogKey, Seq, Subject, Time},
};

/// Where forgotten logs were: a late copy of what they brought is no news.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) marks: BTreeMap<LogKey, Mark>,
    pub(crate) roll: Roll,
    /// When a mark had to make room last.
    pub(crate) forgot: Option<Time>,
    pub(crate) budget: Budget,
}

#[derive(Debug)]
pub(crate) struct Mark {
    /// The number that would have been released next.
    pub(crate) next: Seq,
    pub(crate) subject: Subject,
    pub(crate) heard: Time,
}

impl Past {
    pub(crate) fn remember(&mut self, key: &LogKey, mark: Mark, now: Time) {
        if let Some(other) = self.roll.first_to_go(&mark.subject).cloned() {
            self.take(&other);
            self.forgot = Some(now);
        }
        self.roll.add(mark.subject, mark.heard, key);
        self.budget
            .charge(Payer::Member(mark.subject), TOMBSTONE_BYTES);
        self.marks.insert(key.clone(), mark);
    }

    pub(crate) fn take(&mut self, key: &LogKey) -> Option<Seq> {
        let Mark {
            next,
            subject,
            heard,
        } = self.marks.remove(key)?;
        self.roll.remove(subject, heard, key);
        self.budget.release(Payer::Member(subject), TOMBSTONE_BYTES);
        Some(next)
    }
}

/// How many forgotten logs are remembered, at about 300 bytes. As many as may be followed by
/// default: what is forgotten for want of room was heard of within about as long as what is
/// followed.
pub(crate) const MAX_MARKS: usize = 65_536;
