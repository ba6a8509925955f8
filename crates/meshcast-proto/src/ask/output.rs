//! The outputs of questions, and why there may be no reply.

use std::sync::Arc;

use crate::{
    conduct::Offence,
    identity::Member,
    wire::{AskMessage, Question, Reply, Sender},
};

/// What is to be done. The caller drains [`Asks::poll_output`](super::Asks::poll_output) after each
/// call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskOutput {
    /// Say this to a peer.
    Send(Sender, AskMessage),
    /// A member replied to a question of this node, or will not.
    Replied {
        /// The number of the question.
        question: u64,
        /// Which process.
        of: Sender,
        /// The member, if its reply came over others: it has shown that.
        member: Option<Arc<Member>>,
        /// The peer that brought it and is charged for it, the member itself if it came by its
        /// session.
        by: Sender,
        /// The reply, or why there is none.
        reply: Result<Reply, NoReply>,
    },
    /// Nothing more comes of a question of this node.
    Over {
        /// Its number.
        question: u64,
        /// Nobody who can be reached over others was left out, and no reply was lost there, as far
        /// as those tell. So too once the one that was asked alone has replied.
        whole: bool,
    },
    /// A member asks. It is answered with [`Asks::reply`](super::Asks::reply).
    Asked(Asked),
    /// A member does not wait for the answer to this question any more, which may end. It is
    /// [replied to](super::Asks::reply) all the same once it has.
    Withdrawn(Sender, u64),
    /// A peer misbehaved.
    Misbehaved {
        /// Which peer.
        peer: Sender,
        /// What it did.
        offence: Offence,
    },
}

/// A question that a member asks this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which process asks.
    pub asker: Sender,
    /// The member, if the question travels over members: it has shown that.
    pub member: Option<Arc<Member>>,
    /// The peer that is charged for what waits of it.
    pub payer: Sender,
    /// What it asks.
    pub question: Question,
}

/// Why a member said nothing to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReply {
    /// It is a peer, and said nothing within the time.
    Silent,
    /// It was a peer, and the session to it ended before.
    Gone,
    /// All who can be reached over others were asked: it is not among them, or
    /// does not have the channel open.
    Absent,
    /// Whether the question reached it over others is not known.
    Unreached,
    /// It is a peer that has not said whether it has the channel open, and said nothing to what
    /// came to it over others, if anything did.
    Untold,
}

impl AskCounters {
    /// A member replied to a question of this node, or did not.
    pub(super) const fn replied(&mut self, reply: &Result<Reply, NoReply>) {
        let count = match reply {
            Ok(Reply::Answer(..)) => &mut self.ask_answers,
            Ok(Reply::Declined(_)) => &mut self.ask_declines,
            Err(NoReply::Silent) => &mut self.ask_silent,
            Err(NoReply::Gone) => &mut self.ask_gone,
            Err(NoReply::Absent | NoReply::Unreached | NoReply::Untold) => &mut self.ask_unreached,
        };
        *count += 1;
    }
}

/// A question that is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskRefused {
    /// It is longer than a question may be.
    #[error("question of {len} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The longest there may be.
        limit: usize,
    },
    /// This node waits for the answers to as many as it may.
    #[error("{limit} questions wait for answers already")]
    TooMany {
        /// How many may.
        limit: usize,
    },
}

/// What became of questions, and what travelled of them over members. The numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct AskCounters {
    /// Questions that this node asked.
    pub asks_made: u64,
    /// Answers of members to them.
    pub ask_answers: u64,
    /// Members that did not want to answer one: nobody handles it there, or it is too much.
    pub ask_declines: u64,
    /// Peers that said nothing to one within its time.
    pub ask_silent: u64,
    /// Peers that were gone before they said anything.
    pub ask_gone: u64,
    /// Members that are known and of which it is not known that one reached them, or that it did
    /// not.
    pub ask_unreached: u64,
    /// Questions of members that were answered here.
    pub asks_answered: u64,
    /// Those that were declined here.
    pub asks_declined: u64,
    /// Those that were withdrawn, or whose time was over, while they were handled here.
    pub asks_withdrawn: u64,
    /// Questions of this node that were handed to all peers to be handed on.
    pub asks_spread: u64,
    /// Questions of others that were handed on, or answered here.
    pub asks_relayed: u64,
    /// To how many peers these were handed.
    pub ask_copies: u64,
    /// Questions and replies that were not taken in: over the share of the peer they came from.
    pub asks_refused: u64,
    /// Copies that were not handed on since whoever is next does not read fast enough, and replies
    /// since those who brought them have no room for what waits.
    pub asks_lost: u64,
    /// Messages over members that were not believed, were too old, or belong to no question that is
    /// under way.
    pub asks_dropped: u64,
}
