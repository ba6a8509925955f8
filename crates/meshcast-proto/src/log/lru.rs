//! Which logs make way for others: those that are only hearsay, and then those heard of least
//! recently; of all and of each member.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::{LogKey, Subject, Time};

/// A limited number of places, in the order in which they make way.
///
/// The order is kept exactly, at each frame: a few steps in trees, beside the check of a signature.
/// In return the one to go is found without a scan, and is always the right one.
#[derive(Debug)]
pub(crate) struct Lru {
    limit: usize,
    all: BTreeSet<(Place, LogKey)>,
    members: BTreeMap<Subject, BTreeSet<(Place, LogKey)>>,
}

/// What a log stands on, the first to make way first: however much others tell of, no log of which
/// a frame came goes for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Others told of it, first then.
    Hearsay(Time),
    /// A frame of it was verified, last then.
    Proven(Time),
}

impl Place {
    pub(crate) const fn is_proven(self) -> bool {
        matches!(self, Self::Proven(_))
    }
}

/// What it takes to add one more log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room<'a> {
    /// There is room.
    Free,
    /// This log has to go before.
    After(&'a LogKey),
    /// There is none for hearsay.
    None,
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

    pub(crate) fn add(&mut self, subject: Subject, place: Place, key: &LogKey) {
        self.all.insert((place, key.clone()));
        let own = self.members.entry(subject).or_default();
        own.insert((place, key.clone()));
    }

    pub(crate) fn remove(&mut self, subject: Subject, place: Place, key: &LogKey) {
        let place = (place, key.clone());
        self.all.remove(&place);
        if let Some(own) = self.members.get_mut(&subject) {
            own.remove(&place);
            if own.is_empty() {
                self.members.remove(&subject);
            }
        }
    }

    /// What it takes to add one more log of this member, or one that it tells of.
    pub(crate) fn room(&self, subject: &Subject, is_hearsay: bool) -> Room<'_> {
        let share = self.limit.div_ceil(SHARES);
        let own = self.members.get(subject).filter(|own| own.len() >= share);
        let full = Some(&self.all).filter(|all| all.len() >= self.limit);
        match own.or(full).and_then(BTreeSet::first) {
            None => Room::Free,
            Some((place, _)) if is_hearsay && place.is_proven() => Room::None,
            Some((_, key)) => Room::After(key),
        }
    }

    /// All places, by member.
    #[cfg(test)]
    pub(crate) fn places(&self) -> BTreeSet<(Subject, Place, LogKey)> {
        let own = |(subject, own): (&Subject, &BTreeSet<(Place, LogKey)>)| {
            let subject = *subject;
            let places = own.iter().cloned();
            places
                .map(move |(place, key)| (subject, place, key))
                .collect::<Vec<_>>()
        };
        let places: BTreeSet<_> = self.members.iter().flat_map(own).collect();
        let all = places.iter().map(|(_, place, key)| (*place, key.clone()));
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
