//! Questions of others that were taken in, for as long as they are believed.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::relays::Key;
use crate::{
    bounds::{Budget, Payer},
    identity::CLOCK_SKEW,
    wire::{Sender, Time},
};

/// Each is remembered until nobody believes it any more who hears it again: so none is forgotten
/// for another, however many there are. Their number is bounded by the rate at which they are
/// handed on.
#[derive(Debug)]
pub(super) struct SeenQuestions {
    questions: BTreeMap<Key, Question>,
    /// In the order in which they are forgotten.
    ends: VecDeque<(Time, Key)>,
    budget: Budget,
}

#[derive(Debug)]
struct Question {
    /// The peer that brought it first, which is charged.
    by: Sender,
    /// All that can come of it has come back.
    whole: bool,
}

impl SeenQuestions {
    pub(super) const fn new(budget: Budget) -> Self {
        Self {
            questions: BTreeMap::new(),
            ends: VecDeque::new(),
            budget,
        }
    }

    /// Whether a question was taken in; and then, whether all that can come of it has come back.
    pub(super) fn get(&self, key: Key) -> Option<bool> {
        self.questions.get(&key).map(|question| question.whole)
    }

    /// Whether there is room to remember a question of a peer, beside so many bytes of its own.
    pub(super) fn has_room(&self, by: Sender, beside: usize) -> bool {
        let bytes = BYTES + beside;
        self.budget.room_upto(bytes, Payer::from(by)) >= bytes
    }

    /// A peer brought a question that is taken in now, for which there is [room](Self::has_room).
    pub(super) fn take(&mut self, key: Key, by: Sender, now: Time) {
        self.budget.charge(Payer::from(by), BYTES);
        self.questions.insert(key, Question { by, whole: false });
        self.ends.push_back((now + REMEMBERED, key));
    }

    /// All that can come of a question has come back.
    pub(super) fn end(&mut self, key: Key) {
        if let Some(question) = self.questions.get_mut(&key) {
            question.whole = true;
        }
    }

    pub(super) fn expire(&mut self, now: Time) {
        while let Some((end, key)) = self.ends.front().copied()
            && end <= now
        {
            self.ends.pop_front();
            if let Some(question) = self.questions.remove(&key) {
                self.budget.release(Payer::from(question.by), BYTES);
            }
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.ends.front().map(|(end, _)| *end)
    }
}

/// What it takes to remember a question.
const BYTES: usize = 144;

/// A question is believed until its time was over for as long as clocks may differ, and may seem to
/// be from as far ahead.
const REMEMBERED: Duration = super::incoming::MAX_WITHIN
    .saturating_add(CLOCK_SKEW.saturating_mul(2))
    .saturating_add(Duration::from_secs(1));
