//! Questions: one asks those who have a channel open, and hears from each of them, or why not.
//!
//! A question goes by the session to each peer that is asked, and its answer comes back the same
//! way. Each of them replies exactly once, as the asker sees it: with an answer, by saying that it
//! has none, or by being gone or silent. So a question is over as soon as all have, and whoever
//! asked knows what it has not heard.
//!
//! May use: [`wire`](crate::wire) and [`bounds`](crate::bounds).
//! Must not: know logs or the engine, or who has which channel open. Whom to ask is an argument.

mod incoming;
mod outgoing;
mod output;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{
    bounds::Budget,
    wire::{AskMessage, ChannelName, Declined, Format, Question, Reply, Sender, Time},
};

use incoming::Incoming;
use outgoing::Outgoing;

pub use output::{AskOutput, AskRefused, NoReply};

/// The questions of this node, and those that it was asked.
#[derive(Debug)]
pub struct Asks {
    outgoing: Outgoing,
    incoming: Incoming,
    outputs: VecDeque<AskOutput>,
}

/// What is asked, before it has a number.
#[derive(Debug, Clone)]
pub struct NewQuestion {
    /// On which channel.
    pub channel: ChannelName,
    /// How long to wait, at most [`Asks::MAX_WITHIN`].
    pub within: Duration,
    /// How the payload is to be read.
    pub format: Format,
    /// What is asked, at most [`AskMessage::MAX_PAYLOAD_LEN`].
    pub payload: Bytes,
}

impl Asks {
    /// For how long a question may wait: as long as somebody may be expected to sit in front of it.
    pub const MAX_WITHIN: Duration = incoming::MAX_WITHIN;

    /// How many questions of this node may wait for answers at the same time.
    pub const MAX_ASKING: usize = outgoing::MAX_ASKING;

    /// How many questions of one peer may wait for an answer here at the same time; more are
    /// declined as [busy](crate::Declined::Busy).
    pub const MAX_ASKED: usize = incoming::MAX_ASKED;

    /// What waits is charged to this budget: a question to the peer that asks it, while it waits
    /// for its answer.
    pub fn new(budget: Budget) -> Self {
        Self {
            outgoing: Outgoing::default(),
            incoming: Incoming::new(budget),
            outputs: VecDeque::new(),
        }
    }

    /// Asks these peers. Returns the number of the question: [`AskOutput::Replied`] comes once for
    /// each of them, and then [`AskOutput::Over`]; with nobody to ask that comes at once.
    ///
    /// # Errors
    /// [`AskRefused`]; nobody was asked.
    pub fn ask(
        &mut self,
        new: NewQuestion,
        peers: impl IntoIterator<Item = Sender>,
        now: Time,
    ) -> Result<u64, AskRefused> {
        let (len, limit) = (new.payload.len(), AskMessage::MAX_PAYLOAD_LEN);
        if len > limit {
            return Err(AskRefused::TooLarge { len, limit });
        }
        let within = new.within.min(Self::MAX_WITHIN);
        let peers = peers.into_iter().collect();
        let number = self
            .outgoing
            .begin(peers, now + within, &mut self.outputs)?;
        let question = Question {
            number,
            channel: new.channel,
            within,
            format: new.format,
            payload: new.payload,
        };
        for peer in self.outgoing.awaited(number) {
            let message = AskMessage::Question(question.clone());
            self.outputs.push_back(AskOutput::Send(peer, message));
        }
        Ok(number)
    }

    /// Nobody waits for the answers to this question any more.
    pub fn withdraw(&mut self, question: u64) {
        self.outgoing.withdraw(question, &mut self.outputs);
    }

    /// A peer says something.
    pub fn handle_message(&mut self, peer: Sender, message: AskMessage, now: Time) {
        match message {
            AskMessage::Question(question) => {
                self.incoming.handle(peer, question, now, &mut self.outputs);
            }
            AskMessage::Reply { question, reply } => {
                let reply = Ok(reply);
                self.outgoing
                    .handle_reply(peer, question, reply, &mut self.outputs);
            }
            AskMessage::Withdrawn(question) => {
                if self.incoming.end(peer, question) {
                    let output = AskOutput::Withdrawn(peer, question);
                    self.outputs.push_back(output);
                }
            }
        }
    }

    /// This node replies to a question that it [was asked](AskOutput::Asked). Too late for one that
    /// was withdrawn meanwhile, or whose time is over. An answer that is too long counts as
    /// [failed](Declined::Failed).
    pub fn reply(&mut self, peer: Sender, question: u64, reply: Reply) {
        if !self.incoming.end(peer, question) {
            return;
        }
        let reply = match reply {
            Reply::Answer(_, payload) if payload.len() > AskMessage::MAX_PAYLOAD_LEN => {
                Reply::Declined(Declined::Failed)
            }
            reply => reply,
        };
        let message = AskMessage::Reply { question, reply };
        self.outputs.push_back(AskOutput::Send(peer, message));
    }

    /// The session to a peer ended: it is not heard of any more, nor does it hear.
    pub fn handle_peer_down(&mut self, peer: Sender) {
        self.outgoing.handle_peer_down(peer, &mut self.outputs);
        for question in self.incoming.forget(peer) {
            let output = AskOutput::Withdrawn(peer, question);
            self.outputs.push_back(output);
        }
    }

    /// Gives up what has waited for long enough.
    pub fn handle_timeout(&mut self, now: Time) {
        self.outgoing.expire(now, &mut self.outputs);
        for (peer, question) in self.incoming.expire(now) {
            let output = AskOutput::Withdrawn(peer, question);
            self.outputs.push_back(output);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let due = [self.outgoing.due(), self.incoming.due()];
        due.into_iter().flatten().min()
    }

    /// The next that is to be done.
    pub fn poll_output(&mut self) -> Option<AskOutput> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
