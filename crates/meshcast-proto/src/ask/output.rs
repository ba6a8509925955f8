//! What comes out of questions, and why there may be none.

use crate::wire::{AskMessage, Question, Reply, Sender};

/// What is to be done. The caller drains [`Asks::poll_output`](super::Asks::poll_output) after each
/// call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskOutput {
    /// Say this to a peer.
    Send(Sender, AskMessage),
    /// A peer replied to a question of this node. `None` if it did not, in time or before it went.
    Replied {
        /// The number of the question.
        question: u64,
        /// The peer.
        peer: Sender,
        /// What it said, or why it said nothing.
        reply: Result<Reply, NoReply>,
    },
    /// All who were asked have replied, or their time is over.
    Over(u64),
    /// A peer asks. It is answered with [`Asks::reply`](super::Asks::reply).
    Asked(Sender, Question),
    /// A peer does not wait for the answer to this question any more.
    Withdrawn(Sender, u64),
}

/// Why a peer said nothing to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReply {
    /// Not within the time.
    Silent,
    /// The session to it ended before.
    Gone,
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
