//! The questions of others that this node hands on, until all that comes of them has come back.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    bounds::{Budget, ENTRY_BYTES, Payer},
    wire::{Sender, Time},
};

/// Who asks, and the number of its question.
pub(super) type Key = (Sender, u64);

#[derive(Debug)]
pub(super) struct Relays {
    entries: BTreeMap<Key, Entry>,
    deadlines: BTreeSet<(Time, Key)>,
    /// How many there are because of each neighbour.
    counts: BTreeMap<Sender, usize>,
    budget: Budget,
}

/// A question that was handed on.
#[derive(Debug)]
pub(super) struct Entry {
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
    /// Whose replies went back.
    passed: BTreeSet<Sender>,
    until: Time,
    /// Who is charged, and with what.
    payer: Sender,
    charged: usize,
}

impl Relays {
    pub(super) const fn new(budget: Budget) -> Self {
        Self {
            entries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            counts: BTreeMap::new(),
            budget,
        }
    }

    /// `false` if the asker or the neighbour has as many under way as it may, or no room.
    pub(super) fn begin(&mut self, key: Key, mut entry: Entry) -> bool {
        let count = self.counts.get(&entry.payer).copied().unwrap_or(0);
        let of_asker = self.entries.range((key.0, 0)..=(key.0, u64::MAX));
        let is_too_much = count >= MAX_RELAYED || of_asker.count() >= MAX_OF_ONE;
        let bytes = ENTRY_BYTES + entry.waiting.len() * NAME_BYTES;
        if is_too_much || !self.budget.try_charge(Payer::from(entry.payer), bytes) {
            return false;
        }
        entry.charged = bytes;
        self.counts.insert(entry.payer, count + 1);
        self.deadlines.insert((entry.until, key));
        self.entries.insert(key, entry);
        true
    }

    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.get_mut(&key)
    }

    /// The reply of a member is to go back. `false` if it did already, or there is no room to
    /// remember that it does.
    pub(super) fn pass(&mut self, key: Key, answerer: Sender) -> bool {
        let Some(entry) = self.entries.get_mut(&key) else {
            return false;
        };
        if entry.passed.contains(&answerer) {
            return false;
        }
        let payer = Payer::from(entry.payer);
        if entry.passed.len() >= MAX_REPLIES || !self.budget.try_charge(payer, NAME_BYTES) {
            entry.whole = false;
            return false;
        }
        entry.charged += NAME_BYTES;
        entry.passed.insert(answerer)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.deadlines.remove(&(entry.until, key));
        self.budget.release(Payer::from(entry.payer), entry.charged);
        if let Some(count) = self.counts.get_mut(&entry.payer) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&entry.payer);
            }
        }
        Some(entry)
    }

    /// Forgets those whose time is over.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some((until, key)) = self.deadlines.first().copied()
            && until <= now
        {
            self.remove(key);
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Those that came from a neighbour, and those that it was handed.
    pub(super) fn of(&self, peer: Sender) -> (Vec<Key>, Vec<Key>) {
        let of = |is_so: &dyn Fn(&Entry) -> bool| {
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

impl Entry {
    pub(super) fn new(parent: Sender, only: Option<Sender>, until: Time) -> Self {
        Self {
            parent,
            only,
            waiting: BTreeSet::new(),
            own: false,
            whole: true,
            passed: BTreeSet::new(),
            until,
            payer: parent,
            charged: 0,
        }
    }
}

/// How many questions are under way at the same time because of one neighbour: four times what may
/// wait for an answer of one node because of it.
pub(super) const MAX_RELAYED: usize = 256;

/// How many of these one asker may have, so that one alone does not take what others have by way of
/// the same neighbour.
const MAX_OF_ONE: usize = 64;

/// How many members may reply to one question over this node: all who may be present on a channel.
pub(super) const MAX_REPLIES: usize = 4_096;

/// What it takes to remember somebody.
const NAME_BYTES: usize = 64;
