//! The questions of others that this node hands on, until all that comes of them has come back.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    bounds::{Budget, Deadlines, ENTRY_BYTES, Payer},
    wire::{Sender, Time},
};

/// Who asks, and the number of its question.
pub(super) type Key = (Sender, u64);

/// The neighbour that brought something, and whether that is its own.
pub(super) type By = (Sender, bool);

/// Whether one more may be handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capacity {
    Free,
    /// This one has to go before.
    After(Key),
    /// The asker or the neighbour has as many under way as it may.
    None,
}

/// What becomes of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyPass {
    Goes,
    /// It went already, or the question is not under way any more.
    Known,
    /// The payer has no room to remember that it goes.
    NoRoom,
}

#[derive(Debug)]
pub(super) struct Relays {
    entries: BTreeMap<Key, RelayedQuestion>,
    deadlines: Deadlines<Key>,
    /// How many each has.
    counts: BTreeMap<By, usize>,
    budget: Budget,
}

/// A question that was handed on.
#[derive(Debug)]
pub(super) struct RelayedQuestion {
    /// The neighbour that it came from: what comes of it goes back there.
    pub(super) parent: Sender,
    /// Who alone is asked.
    pub(super) only: Option<Sender>,
    /// Neighbours that it was handed to, of which something may still come.
    pub(super) waiting: BTreeSet<Sender>,
    /// This node is asked, and has not replied.
    pub(super) own: bool,
    /// Nothing was kept from anybody.
    pub(super) whole: bool,
    /// How many replies wait to go back.
    pub(super) queued: usize,
    /// The members whose replies go back, and who pays for that.
    passed: BTreeMap<Sender, Sender>,
    until: Time,
    /// The neighbour that brought it, and its charge.
    by: By,
    charged: usize,
}

impl Relays {
    pub(super) const fn new(budget: Budget) -> Self {
        Self {
            entries: BTreeMap::new(),
            deadlines: Deadlines::new(),
            counts: BTreeMap::new(),
            budget,
        }
    }

    /// What it takes for a neighbour to have one more. All places are for those that want them, and
    /// once they are taken, for those that have fewer than others: of whoever has most, that one
    /// goes that would stay for longest.
    pub(super) fn room(&self, asker: Sender, neighbour: Sender) -> Capacity {
        let of_asker = self.entries.range((asker, 0)..=(asker, u64::MAX));
        if of_asker.count() >= MAX_OF_ONE {
            return Capacity::None;
        }
        if self.entries.len() < MAX_RELAYED {
            return Capacity::Free;
        }
        let count = |by| self.counts.get(&by).copied().unwrap_or(0);
        let most = self.counts.iter().max_by_key(|(_, count)| **count);
        let Some((by, _)) = most.filter(|it| count((neighbour, neighbour == asker)) + 1 < *it.1)
        else {
            return Capacity::None;
        };
        let is_its = |key: &&Key| self.get(**key).is_some_and(|it| it.by == *by);
        let last = self.deadlines.latest_first().find(is_its);
        last.map_or(Capacity::None, |key| Capacity::After(*key))
    }

    /// Follow [`Self::room`] with this. `false` if there is no room to remember it.
    pub(super) fn begin(&mut self, key: Key, mut entry: RelayedQuestion) -> bool {
        let bytes = entry.cost();
        entry.by = (entry.parent, entry.parent == key.0);
        if !self.budget.try_charge(Payer::from(entry.by.0), bytes) {
            return false;
        }
        entry.charged = bytes;
        *self.counts.entry(entry.by).or_default() += 1;
        self.deadlines.set(&key, Some(entry.until));
        self.entries.insert(key, entry);
        true
    }

    pub(super) fn get(&self, key: Key) -> Option<&RelayedQuestion> {
        self.entries.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut RelayedQuestion> {
        self.entries.get_mut(&key)
    }

    /// The reply of a member is to go back.
    pub(super) fn pass(&mut self, key: Key, answerer: Sender, payer: Sender) -> ReplyPass {
        let entry = self.entries.get_mut(&key);
        let Some(entry) = entry.filter(|entry| !entry.passed.contains_key(&answerer)) else {
            return ReplyPass::Known;
        };
        if !self.budget.try_charge(Payer::from(payer), NAME_BYTES) {
            entry.whole = false;
            return ReplyPass::NoRoom;
        }
        entry.passed.insert(answerer, payer);
        ReplyPass::Goes
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<RelayedQuestion> {
        let entry = self.entries.remove(&key)?;
        self.deadlines.set(&key, None);
        self.budget.release(Payer::from(entry.by.0), entry.charged);
        for payer in entry.passed.values() {
            self.budget.release(Payer::from(*payer), NAME_BYTES);
        }
        if let Some(count) = self.counts.get_mut(&entry.by) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&entry.by);
            }
        }
        Some(entry)
    }

    /// Takes out the deadline of one whose time is over; follow with [`Self::remove`].
    pub(super) fn take_over(&mut self, now: Time) -> Option<Key> {
        self.deadlines.take_due(now)
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.deadlines.first()
    }

    /// Those that came from a neighbour, and those that it was handed.
    pub(super) fn of(&self, peer: Sender) -> (Vec<Key>, Vec<Key>) {
        let of = |is_so: &dyn Fn(&RelayedQuestion) -> bool| {
            let entries = self.entries.iter().filter(|(_, entry)| is_so(entry));
            entries.map(|(key, _)| *key).collect()
        };
        (
            of(&|entry| entry.parent == peer),
            of(&|entry| entry.waiting.contains(&peer)),
        )
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl RelayedQuestion {
    /// What it takes to remember it.
    pub(super) fn cost(&self) -> usize {
        ENTRY_BYTES + self.waiting.len() * NAME_BYTES
    }

    /// Whether nothing more comes of it.
    pub(super) fn is_over(&self) -> bool {
        !self.own && self.queued == 0 && self.waiting.is_empty()
    }

    pub(super) fn new(parent: Sender, only: Option<Sender>, until: Time) -> Self {
        Self {
            parent,
            only,
            waiting: BTreeSet::new(),
            own: false,
            whole: true,
            queued: 0,
            passed: BTreeMap::new(),
            until,
            by: (parent, false),
            charged: 0,
        }
    }
}

/// How many questions are under way at the same time. Not more because of each neighbour than of
/// all: so what one hands on in all finds a place with the next, which cannot tell whose it is.
pub(super) const MAX_RELAYED: usize = 256;

/// The number of these that one asker may have, so that one alone does not take what others have by
/// way of the same neighbour.
const MAX_OF_ONE: usize = 64;

/// What it takes to remember somebody.
pub(super) const NAME_BYTES: usize = 96;
