//! The questions that peers asked, until they are answered.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::output::AskOutput;
use crate::{
    bounds::{Budget, ENTRY_BYTES, Payer},
    wire::{AskMessage, Declined, Question, Reply, Sender, Time},
};

#[derive(Debug)]
pub(super) struct Incoming {
    /// By who asked, and the number it gave.
    questions: BTreeMap<(Sender, u64), Waiting>,
    /// Until when each waits.
    deadlines: BTreeSet<(Time, Sender, u64)>,
    budget: Budget,
}

/// A question that waits to be answered.
#[derive(Debug)]
struct Waiting {
    until: Time,
    /// What its peer is charged with.
    charged: usize,
}

impl Incoming {
    pub(super) const fn new(budget: Budget) -> Self {
        Self {
            questions: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            budget,
        }
    }

    /// A peer asks. It is told at once if that is too much. A number it has used already and waits
    /// for counts as said twice.
    pub(super) fn handle(
        &mut self,
        peer: Sender,
        mut question: Question,
        now: Time,
        out: &mut VecDeque<AskOutput>,
    ) {
        let key = (peer, question.number);
        if self.questions.contains_key(&key) {
            return;
        }
        let charged = ENTRY_BYTES + question.payload.len();
        let is_too_much = self.of(peer).count() >= MAX_ASKED
            || !self.budget.try_charge(Payer::from(peer), charged);
        if is_too_much {
            let message = AskMessage::Reply {
                question: question.number,
                reply: Reply::Declined(Declined::Busy),
            };
            return out.push_back(AskOutput::Send(peer, message));
        }
        // Whoever handles it goes by this too.
        question.within = question.within.min(MAX_WITHIN);
        let until = now + question.within;
        self.questions.insert(key, Waiting { until, charged });
        self.deadlines.insert((until, peer, question.number));
        out.push_back(AskOutput::Asked(peer, question));
    }

    /// A question is answered, or nobody waits for that any more. `false` if it did not wait.
    pub(super) fn end(&mut self, peer: Sender, question: u64) -> bool {
        let Some(waiting) = self.questions.remove(&(peer, question)) else {
            return false;
        };
        self.deadlines.remove(&(waiting.until, peer, question));
        self.budget.release(Payer::from(peer), waiting.charged);
        true
    }

    /// Forgets what a peer asked.
    pub(super) fn forget(&mut self, peer: Sender) -> Vec<u64> {
        let questions: Vec<u64> = self.of(peer).collect();
        for question in &questions {
            self.end(peer, *question);
        }
        questions
    }

    /// Forgets those whose time is over.
    pub(super) fn expire(&mut self, now: Time) -> Vec<(Sender, u64)> {
        let mut over = Vec::new();
        while let Some((until, peer, question)) = self.deadlines.first().copied()
            && until <= now
        {
            self.end(peer, question);
            over.push((peer, question));
        }
        over
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.deadlines.first().map(|(until, ..)| *until)
    }

    fn of(&self, peer: Sender) -> impl Iterator<Item = u64> {
        let of = self.questions.range((peer, 0)..=(peer, u64::MAX));
        of.map(|((_, question), _)| *question)
    }
}

/// How many questions of one peer may wait: each takes a task of the application.
pub(super) const MAX_ASKED: usize = 64;

/// For how long one may wait, whatever its peer says.
pub(super) const MAX_WITHIN: Duration = Duration::from_secs(60);
