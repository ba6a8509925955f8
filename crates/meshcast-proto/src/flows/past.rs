//! Where flows were that are not followed any more.

use std::collections::BTreeMap;

use super::{Key, Subject, roll::Roll};
use crate::{
    budget::{Budget, MARK, Payer},
    id::Seq,
    time::Time,
};

/// Where forgotten flows were: a late copy of what they brought is no news.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) marks: BTreeMap<Key, Mark>,
    pub(super) roll: Roll,
    /// When a mark had to make room last.
    pub(super) forgot: Option<Time>,
    pub(super) budget: Budget,
}

#[derive(Debug)]
pub(super) struct Mark {
    /// The number that would have been released next.
    pub(super) next: Seq,
    pub(super) subject: Subject,
    pub(super) heard: Time,
}

impl Past {
    pub(super) fn remember(&mut self, key: &Key, mark: Mark, now: Time) {
        if let Some(other) = self.roll.first_to_go(&mark.subject).cloned() {
            self.take(&other);
            self.forgot = Some(now);
        }
        self.roll.add(mark.subject, mark.heard, key);
        self.budget.charge(Payer::Member(mark.subject), MARK);
        self.marks.insert(key.clone(), mark);
    }

    pub(super) fn take(&mut self, key: &Key) -> Option<Seq> {
        let Mark {
            next,
            subject,
            heard,
        } = self.marks.remove(key)?;
        self.roll.remove(subject, heard, key);
        self.budget.release(Payer::Member(subject), MARK);
        Some(next)
    }
}

/// How many forgotten flows are remembered, at about 300 bytes. As many as may be followed by
/// default: what is forgotten for want of room was heard of within about as long as what is
/// followed.
pub(super) const MAX_MARKS: usize = 65_536;
