//! Reasons why there is no answer, and why a question cannot be asked.

use std::sync::Arc;

use libp2p::PeerId;
use meshcast_proto::{Member, NodeName, Region};
use meshcast_value::{DecodeError, EncodeError};

/// A member that was asked gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no answer of {}: {reason}", self.called())]
pub struct NoAnswer {
    pub(super) peer: PeerId,
    pub(super) member: Option<Arc<Member>>,
    /// Why not.
    pub(super) reason: NoAnswerReason,
}

/// Why a member gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswerReason {
    /// The time was over before it answered.
    #[error("it did not answer in time")]
    TimedOut,
    /// The connection to it ended before it answered.
    #[error("the connection to it was lost")]
    Disconnected,
    /// It is not there, or does not have the channel open. All who can be reached, over others too,
    /// were asked, and it was not among them. Told of [one that was named](super::Ask::only), and
    /// of those who are [present](crate::BroadcastChannel::presence) on the channel, where somebody
    /// here watches that.
    #[error("it cannot be reached, or does not have the channel open")]
    NotThere,
    /// Nothing came back of it over others: they may have lost the question or its answer, were too
    /// busy to hand them on, or the time was over before.
    /// So whether it was asked is not known. Told of the same as [`Self::NotThere`].
    #[error("nothing came back of it over other members")]
    Unreached,
    /// It is connected, and has not said in time whether it has the channel open, so that it was
    /// not asked; or, where questions travel over others, gave no answer to that. That is waited
    /// for a quarter of the time of the question, 1 s at most.
    #[error("it did not say in time whether it has the channel open")]
    Untold,
    /// It has the channel open, and nobody answers questions on it there.
    #[error("nobody answers questions on this channel there")]
    NoHandler,
    /// It has too many questions to answer already.
    #[error("it has too many questions to answer")]
    Busy,
    /// Its handler panicked, or does not understand the question, or answered too much.
    #[error("it failed to answer")]
    Failed,
    /// It answered something that is no `A`.
    #[error("its answer is not understood: {0}")]
    Undecodable(DecodeError),
    /// It answered, and there is no room here for what it says: it takes its share of
    /// [`Limits::memory_bytes`](crate::Limits::memory_bytes) already.
    #[error("there is no room for its answer")]
    NoRoom,
    /// This node has stopped.
    #[error("this node has stopped")]
    Stopped,
}

/// A question that cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// It cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It is longer than a question may be: 64 KiB.
    #[error("question of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// As many questions of this node as may be wait for answers: 256.
    #[error("{limit} questions wait for answers already")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The channel is closed, or the node has stopped.
    #[error("the channel is closed")]
    Closed,
}

impl NoAnswer {
    /// This node stopped before anybody was asked.
    pub(crate) const fn stopped(peer: PeerId) -> Self {
        Self {
            peer,
            member: None,
            reason: NoAnswerReason::Stopped,
        }
    }

    /// The process that was asked.
    pub fn sender(&self) -> PeerId {
        self.peer
    }

    /// The name of its node; `None` if that is not known of it.
    pub fn name(&self) -> Option<&NodeName> {
        Some(&self.member.as_ref()?.credential().name)
    }

    /// The region of its node.
    pub fn region(&self) -> Option<&Region> {
        Some(&self.member.as_ref()?.credential().region)
    }

    /// Why there is no answer.
    pub const fn reason(&self) -> &NoAnswerReason {
        &self.reason
    }

    fn called(&self) -> String {
        match self.name() {
            Some(name) => name.to_string(),
            None => self.peer.to_string(),
        }
    }
}
