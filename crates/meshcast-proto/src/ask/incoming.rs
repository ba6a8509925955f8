//! The questions that members asked this node, until they are answered.

use std::{collections::BTreeMap, time::Duration};

use super::relays::Key;
use crate::{
    bounds::{Budget, Deadlines, ENTRY_BYTES, Payer},
    wire::{Sender, Time},
};

#[derive(Debug)]
pub(super) struct Incoming {
    questions: BTreeMap<Key, Waiting>,
    /// Until when each waits.
    deadlines: Deadlines<Key>,
    /// The number of its own questions that each peer asks, and of others' that it handed on and
    /// that are withdrawn and still handled. The number of waiting questions of others is bounded
    /// by what is handed on.
    counts: BTreeMap<(Sender, bool), usize>,
    budget: Budget,
}

/// A question that waits to be answered.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Who is to be answered: the asker, or the peers between.
    pub(super) way: ReturnPath,
    /// This node alone is asked.
    pub(super) alone: bool,
    pub(super) until: Time,
    /// The peer that it came from, and what that is charged with.
    pub(super) payer: Sender,
    pub(super) charged: usize,
    /// Nobody waits for the answer any more, and it is still being handled.
    pub(super) withdrawn: bool,
}

/// How an answer goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReturnPath {
    /// By the session to the asker.
    Session,
    /// The way that the question came, signed.
    Back,
}

impl Incoming {
    pub(super) const fn new(budget: Budget) -> Self {
        Self {
            questions: BTreeMap::new(),
            deadlines: Deadlines::new(),
            counts: BTreeMap::new(),
            budget,
        }
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.questions.contains_key(&key)
    }

    /// A question of so many bytes is to wait. `false` if that is too much.
    pub(super) fn begin(&mut self, key: Key, mut waiting: Waiting, len: usize) -> bool {
        let whose = waiting.of(key);
        let has_many = self
            .counts
            .get(&whose)
            .is_some_and(|count| *count >= MAX_ASKED);
        let charged = ENTRY_BYTES + len;
        if has_many || !self.budget.try_charge(Payer::from(waiting.payer), charged) {
            return false;
        }
        waiting.charged = charged;
        if let (_, true) = whose {
            *self.counts.entry(whose).or_default() += 1;
        }
        self.deadlines.set(&key, Some(waiting.until));
        self.questions.insert(key, waiting);
        true
    }

    /// Its asker has a session with this node.
    pub(super) fn answer_by_session(&mut self, key: Key) {
        if let Some(waiting) = self.questions.get_mut(&key) {
            waiting.way = ReturnPath::Session;
        }
    }

    /// Nobody waits for the answer to a question any more. A handled question counts until its
    /// handler has [ended](Self::end): a peer makes no room for others by withdrawing. `false` if
    /// nobody waited.
    pub(super) fn withdraw(&mut self, key: Key) -> bool {
        let waiting = self.questions.get_mut(&key);
        let Some(waiting) = waiting.filter(|waiting| !waiting.withdrawn) else {
            return false;
        };
        waiting.withdrawn = true;
        self.deadlines.set(&key, None);
        if let whose @ (_, false) = waiting.of(key) {
            *self.counts.entry(whose).or_default() += 1;
        }
        true
    }

    /// A question is handled. `None` if it was not asked.
    pub(super) fn end(&mut self, key: Key) -> Option<Waiting> {
        let waiting = self.questions.remove(&key)?;
        self.deadlines.set(&key, None);
        self.budget
            .release(Payer::from(waiting.payer), waiting.charged);
        let whose = waiting.of(key);
        if (whose.1 || waiting.withdrawn)
            && let Some(count) = self.counts.get_mut(&whose)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&whose);
            }
        }
        Some(waiting)
    }

    /// Withdraws what a peer asked by its session.
    pub(super) fn forget(&mut self, peer: Sender) -> Vec<u64> {
        let of = self.questions.range((peer, 0)..=(peer, u64::MAX));
        let of = of.filter(|(_, waiting)| waiting.way == ReturnPath::Session);
        let mut questions: Vec<u64> = of.map(|((_, question), _)| *question).collect();
        questions.retain(|question| self.withdraw((peer, *question)));
        questions
    }

    /// Withdraws those whose time is over.
    pub(super) fn expire(&mut self, now: Time) -> Vec<Key> {
        let mut over = Vec::new();
        while let Some(key) = self.deadlines.take_due(now) {
            self.withdraw(key);
            over.push(key);
        }
        over
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.deadlines.first()
    }
}

impl Waiting {
    /// Whom it counts for, and whether that is the asker.
    fn of(&self, key: Key) -> (Sender, bool) {
        (self.payer, self.payer == key.0)
    }
}

/// The number of questions of one peer that may wait or be handled, and of those it handed on that
/// may still be handled once they were withdrawn: each takes a task of the application.
pub(super) const MAX_ASKED: usize = 64;

/// For how long one may wait, whatever its peer says.
pub(super) const MAX_WITHIN: Duration = Duration::from_secs(60);
