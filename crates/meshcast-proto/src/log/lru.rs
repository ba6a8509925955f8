//! Which logs were heard of least recently, of all and of each member.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::{LogKey, Subject, Time};

/// A limited number of places, in order of when their logs were last heard of.
///
/// The order is kept exactly, at each frame: a few steps in trees, beside the check of a signature.
/// In return the one to go is found without a scan, and is always the right one.
#[derive(Debug)]
pub(crate) struct Lru {
    limit: usize,
    all: BTreeSet<(Time, LogKey)>,
    members: BTreeMap<Subject, BTreeSet<(Time, LogKey)>>,
}

impl Lru {
    /// An LRU with so many places, at least one.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            all: BTreeSet::new(),
            members: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, subject: Subject, heard: Time, key: &LogKey) {
        self.all.insert((heard, key.clone()));
        let own = self.members.entry(subject).or_default();
        own.insert((heard, key.clone()));
    }

    pub(crate) fn remove(&mut self, subject: Subject, heard: Time, key: &LogKey) {
        let place = (heard, key.clone());
        self.all.remove(&place);
        if let Some(own) = self.members.get_mut(&subject) {
            own.remove(&place);
            if own.is_empty() {
                self.members.remove(&subject);
            }
        }
    }

    /// The log that has to go before one more of this member is added.
    pub(crate) fn first_to_go(&self, subject: &Subject) -> Option<&LogKey> {
        let share = self.limit.div_ceil(SHARES);
        let own = self.members.get(subject).filter(|own| own.len() >= share);
        let full = Some(&self.all).filter(|all| all.len() >= self.limit);
        own.or(full)?.first().map(|(_, key)| key)
    }

    /// All places, by member.
    #[cfg(test)]
    pub(crate) fn places(&self) -> BTreeSet<(Subject, Time, LogKey)> {
        let own = |(subject, own): (&Subject, &BTreeSet<(Time, LogKey)>)| {
            let subject = *subject;
            let places = own.iter().cloned();
            places
                .map(move |(heard, key)| (subject, heard, key))
                .collect::<Vec<_>>()
        };
        let places: BTreeSet<_> = self.members.iter().flat_map(own).collect();
        let all = places.iter().map(|(_, heard, key)| (*heard, key.clone()));
        assert_eq!(all.collect::<BTreeSet<_>>(), self.all);
        assert!(self.all.len() <= self.limit);
        let share = self.limit.div_ceil(SHARES);
        assert!(
            self.members
                .values()
                .all(|own| (1..=share).contains(&own.len()))
        );
        places
    }
}

/// A member gets at most a quarter of all places. It may restart often or post on thousands of
/// channels, and still cannot push the others out.
const SHARES: usize = 4;
