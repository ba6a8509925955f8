//! What a channel receives.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use libp2p::PeerId;
use meshcast_proto::{Member, NodeName, Region, SeqRange, WallTime, value};

use crate::{channel::Missed, transport::peer_id};

/// A message, and who posted it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Message<T> {
    /// What was posted.
    pub data: T,
    pub(crate) origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) member: Arc<Member>,
    pub(crate) seqs: SeqRange,
    pub(crate) posted_at: WallTime,
}

impl<T> Message<T> {
    /// The process that posted it.
    pub fn sender(&self) -> PeerId {
        peer_id(self.origin.member.sender())
    }

    /// What people call the node that posted it.
    pub fn name(&self) -> &NodeName {
        &self.origin.member.credential().name
    }

    /// The region of the node that posted it.
    pub fn region(&self) -> &Region {
        &self.origin.member.credential().region
    }

    /// Its number: each sender counts 1, 2, 3 … on each channel.
    ///
    /// A value too large for one frame takes several numbers; this is the first, see [`Self::seqs`].
    pub fn seq(&self) -> u64 {
        self.origin.seqs.first().get()
    }

    /// All numbers it took: more than one if it was too large for one frame. The next message of the sender
    /// begins after the last.
    pub fn seqs(&self) -> RangeInclusive<u64> {
        self.origin.seqs.first().get()..=self.origin.seqs.last().get()
    }

    /// When it was posted, by the sender's clock. For people: clocks jump and differ.
    pub fn posted_at(&self) -> WallTime {
        self.origin.posted_at
    }

    /// The same message with other data.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Message<U> {
        Message {
            data: f(self.data),
            origin: self.origin,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Message<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("data", &self.data)
            .field("name", self.name())
            .field("region", self.region())
            .field("seq", &self.seq())
            .finish_non_exhaustive()
    }
}

/// Something a channel could not hand over. The stream goes on after it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// Messages of one sender that this object will not get, told before the next one of that sender.
    #[error("{0}")]
    Gap(#[from] Gap),
    /// A message came that is no `T` (the web's `messageerror`). Its number counts as received.
    #[error("message {seq} of {name} does not decode: {source}")]
    Decode {
        /// The process that posted it.
        sender: PeerId,
        /// What people call it.
        name: NodeName,
        /// Its number.
        seq: u64,
        /// What is wrong with it.
        source: value::DecodeError,
    },
}

/// Messages of one sender that a channel object will not get.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("messages {} to {} of {name} are missing: {reason}", missed.start(), missed.end())]
#[non_exhaustive]
pub struct Gap {
    /// The process that posted them.
    pub sender: PeerId,
    /// What people call it.
    pub name: NodeName,
    /// Where it runs.
    pub region: Region,
    /// Their numbers.
    pub missed: RangeInclusive<u64>,
    /// Why they are missing.
    pub reason: GapReason,
}

/// Why messages are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum GapReason {
    /// The network lost them and nobody that could be asked keeps them.
    #[error("lost on the network")]
    Lost,
    /// They are over this node's limit for messages.
    #[error("over the limit for messages")]
    TooLarge,
    /// They are pieces of a message of which other pieces are missing.
    #[error("incomplete")]
    Incomplete,
    /// This object did not read them in time.
    #[error("not read in time")]
    Unread,
}

impl RecvError {
    pub(crate) fn undecodable(origin: &Origin, source: value::DecodeError) -> Self {
        let (sender, name) = (
            peer_id(origin.member.sender()),
            origin.member.credential().name.clone(),
        );
        Self::Decode {
            sender,
            name,
            seq: origin.seqs.first().get(),
            source,
        }
    }
}

impl From<Missed> for RecvError {
    fn from(missed: Missed) -> Self {
        let credential = missed.member.credential();
        Self::Gap(Gap {
            sender: peer_id(missed.member.sender()),
            name: credential.name.clone(),
            region: credential.region.clone(),
            missed: missed.seqs.first().get()..=missed.seqs.last().get(),
            reason: missed.reason,
        })
    }
}

impl From<meshcast_proto::GapReason> for GapReason {
    fn from(reason: meshcast_proto::GapReason) -> Self {
        use meshcast_proto::GapReason as Reason;
        match reason {
            Reason::TooLarge => Self::TooLarge,
            Reason::Incomplete => Self::Incomplete,
            _ => Self::Lost,
        }
    }
}
