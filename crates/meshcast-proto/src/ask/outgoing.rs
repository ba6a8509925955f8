//! The questions of this node, until all who were asked have replied.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
};

use super::output::{AskOutput, AskRefused, NoReply};
use crate::wire::{AskMessage, Reply, Sender, Time};

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The number of the last question.
    last: u64,
    questions: BTreeMap<u64, Waiting>,
    /// Until when each waits.
    deadlines: BTreeSet<(Time, u64)>,
}

/// A question that was asked.
#[derive(Debug)]
struct Waiting {
    /// Who has not replied.
    awaited: BTreeSet<Sender>,
    until: Time,
}

impl Outgoing {
    /// Returns the number of a new question.
    pub(super) fn begin(
        &mut self,
        peers: BTreeSet<Sender>,
        until: Time,
        out: &mut VecDeque<AskOutput>,
    ) -> Result<u64, AskRefused> {
        let limit = MAX_ASKING;
        if self.questions.len() >= limit {
            return Err(AskRefused::TooMany { limit });
        }
        self.last += 1;
        if peers.is_empty() {
            out.push_back(AskOutput::Over(self.last));
        } else {
            let awaited = peers;
            self.questions.insert(self.last, Waiting { awaited, until });
            self.deadlines.insert((until, self.last));
        }
        Ok(self.last)
    }

    /// Who has not replied to a question.
    pub(super) fn awaited(&self, question: u64) -> Vec<Sender> {
        let waiting = self.questions.get(&question);
        waiting.map_or_else(Vec::new, |waiting| {
            waiting.awaited.iter().copied().collect()
        })
    }

    /// A peer replied, or will not. That counts once, and from those who were asked.
    pub(super) fn handle_reply(
        &mut self,
        peer: Sender,
        question: u64,
        reply: Result<Reply, NoReply>,
        out: &mut VecDeque<AskOutput>,
    ) {
        let Some(waiting) = self.questions.get_mut(&question) else {
            return;
        };
        if !waiting.awaited.remove(&peer) {
            return;
        }
        let is_over = waiting.awaited.is_empty();
        out.push_back(AskOutput::Replied {
            question,
            peer,
            reply,
        });
        if is_over {
            self.remove(question);
            out.push_back(AskOutput::Over(question));
        }
    }

    pub(super) fn handle_peer_down(&mut self, peer: Sender, out: &mut VecDeque<AskOutput>) {
        let waiting_for = self.questions.iter();
        let waiting_for = waiting_for.filter(|(_, waiting)| waiting.awaited.contains(&peer));
        for question in waiting_for
            .map(|(question, _)| *question)
            .collect::<Vec<_>>()
        {
            self.handle_reply(peer, question, Err(NoReply::Gone), out);
        }
    }

    pub(super) fn withdraw(&mut self, question: u64, out: &mut VecDeque<AskOutput>) {
        for peer in self.remove(question) {
            let message = AskMessage::Withdrawn(question);
            out.push_back(AskOutput::Send(peer, message));
        }
    }

    pub(super) fn expire(&mut self, now: Time, out: &mut VecDeque<AskOutput>) {
        while let Some((until, question)) = self.deadlines.first().copied()
            && until <= now
        {
            for peer in self.awaited(question) {
                self.handle_reply(peer, question, Err(NoReply::Silent), out);
            }
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Forgets a question. Returns who has not replied.
    fn remove(&mut self, question: u64) -> BTreeSet<Sender> {
        let Some(mut waiting) = self.questions.remove(&question) else {
            return BTreeSet::new();
        };
        self.deadlines.remove(&(waiting.until, question));
        mem::take(&mut waiting.awaited)
    }
}

/// How many questions may wait for answers. Each remembers whom it waits for, at 48 bytes: 3 MiB
/// with 256 peers each.
pub(super) const MAX_ASKING: usize = 256;
