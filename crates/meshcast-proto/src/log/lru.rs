//! The order in which logs make way for others: first those that are only reported, then those not
//! heard of for long, then the least recently heard of the peer that brought most. A member that
//! has its share makes way with a log of its own, by the same order.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::wire::{LogKey, Sender, Subject, Time};

/// A limited number of places, in the order in which they make way.
///
/// The order is kept exactly, at each frame: a few steps in trees, beside the check of a signature.
/// In return the one to go is found without a scan, and is always the right one.
#[derive(Debug)]
pub(crate) struct Lru {
    limit: usize,
    /// For how long a frame is taken in of a member that was not heard: older ones are refused.
    replay: Duration,
    all: BTreeSet<(Tier, LogKey)>,
    members: BTreeMap<Subject, BTreeSet<(Tier, LogKey)>>,
    /// By the peer that brought the first frame.
    brought: BTreeMap<Sender, BTreeSet<(Tier, LogKey)>>,
    /// How many each of these brought.
    sizes: BTreeSet<(usize, Sender)>,
}

/// The owner of a log, and the peer that brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The member whose log it is, or who told of it first while it is only reported.
    pub(crate) subject: Subject,
    /// The peer that brought its first frame, or told of it.
    pub(crate) by: Sender,
}

/// The evidence for a log, the first to make way first: however many others report, no log with a
/// frame makes way for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// Others told of it, first then.
    Reported(Time),
    /// A frame of it was verified, last then.
    Proven(Time),
}

impl Tier {
    pub(crate) const fn is_proven(self) -> bool {
        matches!(self, Self::Proven(_))
    }
}

/// What it takes to add one more log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capacity<'a> {
    /// There is room.
    Free,
    /// This log has to go before.
    AfterEvicting(&'a LogKey),
    /// There is none for a reported log.
    None,
}

impl Lru {
    /// An LRU with so many places, at least one. Old posts may come again for so long.
    pub(crate) fn new(limit: usize, replay: Duration) -> Self {
        Self {
            limit: limit.max(1),
            replay,
            all: BTreeSet::new(),
            members: BTreeMap::new(),
            brought: BTreeMap::new(),
            sizes: BTreeSet::new(),
        }
    }

    pub(crate) fn add(&mut self, owner: Owner, tier: Tier, key: &LogKey) {
        let at = (tier, key.clone());
        self.all.insert(at.clone());
        let own = self.members.entry(owner.subject).or_default();
        own.insert(at.clone());
        let brought = self.brought.entry(owner.by).or_default();
        self.sizes.remove(&(brought.len(), owner.by));
        brought.insert(at);
        self.sizes.insert((brought.len(), owner.by));
    }

    pub(crate) fn remove(&mut self, owner: Owner, tier: Tier, key: &LogKey) {
        let at = (tier, key.clone());
        self.all.remove(&at);
        if let Some(own) = self.members.get_mut(&owner.subject) {
            own.remove(&at);
            if own.is_empty() {
                self.members.remove(&owner.subject);
            }
        }
        if let Some(brought) = self.brought.get_mut(&owner.by) {
            self.sizes.remove(&(brought.len(), owner.by));
            brought.remove(&at);
            match brought.len() {
                0 => drop(self.brought.remove(&owner.by)),
                len => drop(self.sizes.insert((len, owner.by))),
            }
        }
    }

    /// The condition for adding one more log of this member, or one that it tells of.
    pub(crate) fn room(&self, subject: &Subject, is_reported: bool, now: Time) -> Capacity<'_> {
        let next = match self.own_first(subject) {
            Some(own) => Some(own),
            None if self.all.len() < self.limit => None,
            None => self.next(now),
        };
        match next {
            None => Capacity::Free,
            Some((tier, _)) if is_reported && tier.is_proven() => Capacity::None,
            Some((_, key)) => Capacity::AfterEvicting(key),
        }
    }

    /// The next to go of a member that has its share.
    pub(crate) fn own_first(&self, subject: &Subject) -> Option<&(Tier, LogKey)> {
        let share = self.limit.div_ceil(SHARES);
        let own = self.members.get(subject).filter(|own| own.len() >= share);
        own.and_then(BTreeSet::first)
    }

    /// The next to go: the one that was not heard of for longest, if that is long enough, and else
    /// of those that came by way of the peer that brought most. However many members somebody makes
    /// up, they come over its links.
    fn next(&self, now: Time) -> Option<&(Tier, LogKey)> {
        let first = self.all.first();
        self.over(now).or_else(|| {
            let (most, by) = self.sizes.last()?;
            let most = self.brought.get(by).filter(|_| *most > 1);
            most.and_then(BTreeSet::first).or(first)
        })
    }

    /// The log that came last of those that the peer brought that brought most; `None` if that is
    /// this one.
    pub(crate) fn last_of_most(&self, but: Sender) -> Option<&LogKey> {
        let (most, by) = self.sizes.last()?;
        let own = self.brought.get(&but).map_or(0, BTreeSet::len);
        let last = self.brought.get(by).filter(|_| own < *most)?.last();
        last.map(|(_, key)| key)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.all.len() >= self.limit
    }

    /// The log that was not heard of for longest, if what was posted then is not taken in any more.
    pub(crate) fn over(&self, now: Time) -> Option<&(Tier, LogKey)> {
        let is_over = |tier: &Tier| match tier {
            Tier::Reported(_) => true,
            Tier::Proven(last) => *last + self.replay <= now,
        };
        self.all.first().filter(|(tier, _)| is_over(tier))
    }

    /// All places, by member.
    #[cfg(test)]
    pub(crate) fn tiers(&self) -> BTreeSet<(Subject, Tier, LogKey)> {
        let own = |(subject, own): (&Subject, &BTreeSet<(Tier, LogKey)>)| {
            let subject = *subject;
            let tiers = own.iter().cloned();
            tiers
                .map(move |(tier, key)| (subject, tier, key))
                .collect::<Vec<_>>()
        };
        let tiers: BTreeSet<_> = self.members.iter().flat_map(own).collect();
        let all = tiers.iter().map(|(_, tier, key)| (*tier, key.clone()));
        assert_eq!(all.collect::<BTreeSet<_>>(), self.all);
        assert!(self.all.len() <= self.limit);
        let brought = self.brought.values().flatten().cloned();
        assert_eq!(brought.collect::<BTreeSet<_>>(), self.all);
        let sizes = self.brought.iter().map(|(by, of)| (of.len(), *by));
        assert_eq!(sizes.collect::<BTreeSet<_>>(), self.sizes);
        let share = self.limit.div_ceil(SHARES);
        assert!(
            self.members
                .values()
                .all(|own| (1..=share).contains(&own.len()))
        );
        tiers
    }
}

/// A member gets at most a quarter of all places. It may restart often or post on thousands of
/// channels, and still cannot push the others out.
const SHARES: usize = 4;
