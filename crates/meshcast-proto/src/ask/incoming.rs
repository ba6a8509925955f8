//! The questions that members asked this node, until they are answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::relays::Key;
use crate::{
    bounds::{Budget, ENTRY_BYTES, Payer},
    wire::{Sender, Time},
};

#[derive(Debug)]
pub(super) struct Incoming {
    questions: BTreeMap<Key, Waiting>,
    /// Until when each waits.
    deadlines: BTreeSet<(Time, Key)>,
    /// How many of its own each peer asks. How many of others there are is bounded by what is
    /// handed on.
    counts: BTreeMap<Sender, usize>,
    budget: Budget,
}

/// A question that waits to be answered.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Who is to be answered: the asker, or the peers between.
    pub(super) way: Way,
    /// This node alone is asked.
    pub(super) alone: bool,
    pub(super) until: Time,
    /// The peer that it came from, and what that is charged with.
    pub(super) payer: Sender,
    pub(super) charged: usize,
}

/// How an answer goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By the session to the asker.
    Session,
    /// The way that the question came, signed.
    Back,
}

impl Incoming {
    pub(super) const fn new(budget: Budget) -> Self {
        Self {
            questions: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            counts: BTreeMap::new(),
            budget,
        }
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.questions.contains_key(&key)
    }

    /// A question of so many bytes is to wait. `false` if that is too much.
    pub(super) fn begin(&mut self, key: Key, mut waiting: Waiting, len: usize) -> bool {
        let is_own = waiting.payer == key.0;
        let count = self.counts.get(&key.0).copied().unwrap_or(0);
        let has_many = is_own && count >= MAX_ASKED;
        let charged = ENTRY_BYTES + len;
        if has_many || !self.budget.try_charge(Payer::from(waiting.payer), charged) {
            return false;
        }
        waiting.charged = charged;
        if is_own {
            self.counts.insert(key.0, count + 1);
        }
        self.deadlines.insert((waiting.until, key));
        self.questions.insert(key, waiting);
        true
    }

    /// Its asker has a session with this node.
    pub(super) fn answer_by_session(&mut self, key: Key) {
        if let Some(waiting) = self.questions.get_mut(&key) {
            waiting.way = Way::Session;
        }
    }

    /// A question is answered, or nobody waits for that any more. `None` if it did not wait.
    pub(super) fn end(&mut self, key: Key) -> Option<Waiting> {
        let waiting = self.questions.remove(&key)?;
        self.deadlines.remove(&(waiting.until, key));
        self.budget
            .release(Payer::from(waiting.payer), waiting.charged);
        if waiting.payer == key.0
            && let Some(count) = self.counts.get_mut(&key.0)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key.0);
            }
        }
        Some(waiting)
    }

    /// Forgets what a peer asked by its session.
    pub(super) fn forget(&mut self, peer: Sender) -> Vec<u64> {
        let of = self.questions.range((peer, 0)..=(peer, u64::MAX));
        let of = of.filter(|(_, waiting)| waiting.way == Way::Session);
        let questions: Vec<u64> = of.map(|((_, question), _)| *question).collect();
        for question in &questions {
            self.end((peer, *question));
        }
        questions
    }

    /// Forgets those whose time is over.
    pub(super) fn expire(&mut self, now: Time) -> Vec<Key> {
        let mut over = Vec::new();
        while let Some((until, key)) = self.deadlines.first().copied()
            && until <= now
        {
            self.end(key);
            over.push(key);
        }
        over
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.deadlines.first().map(|(until, ..)| *until)
    }
}

/// How many questions of one peer may wait: each takes a task of the application.
pub(super) const MAX_ASKED: usize = 64;

/// For how long one may wait, whatever its peer says.
pub(super) const MAX_WITHIN: Duration = Duration::from_secs(60);
