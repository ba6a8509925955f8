//! Outputs: who is present, what changes, and what is to be done.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    conduct::Offence,
    identity::Member,
    wire::{ChannelName, Sender, SyncMessage, WallTime},
};

/// A member that has a channel open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Who.
    pub member: Arc<Member>,
    /// Since when, by its wall clock.
    pub since: WallTime,
    /// What it says of itself.
    pub state: Option<Bytes>,
    /// Nothing was heard of it for [`SILENT_AFTER`](super::SILENT_AFTER) or longer.
    pub is_silent: bool,
}

/// What changed on a channel that is watched here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceChange {
    /// Somebody opened it, or is within reach again.
    Joined(Presence),
    /// Somebody says something else of itself.
    Updated(Presence),
    /// Nothing is heard of somebody for a while. It is heard again, or lost.
    Silent(Presence),
    /// Somebody who was silent is heard again.
    Heard(Presence),
    /// Somebody closed it, or stopped in peace.
    Left(Presence),
    /// Nothing was heard of somebody for so long that it counts as gone.
    Lost(Presence),
}

impl PresenceChange {
    /// The member that it is about, as it is now or was at last.
    pub const fn presence(&self) -> &Presence {
        match self {
            Self::Joined(presence)
            | Self::Updated(presence)
            | Self::Silent(presence)
            | Self::Heard(presence)
            | Self::Left(presence)
            | Self::Lost(presence) => presence,
        }
    }

    /// Whether it is gone.
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Left(_) | Self::Lost(_))
    }
}

/// Work for the caller.
#[derive(Debug, Clone)]
pub enum PresenceOutput {
    /// Send this to a peer.
    Send(Sender, SyncMessage),
    /// Tell those who watch this channel.
    Changed(ChannelName, PresenceChange),
    /// A peer did what an honest one never does, or does rarely.
    Misbehaved {
        /// Which.
        peer: Sender,
        /// What it did.
        offence: Offence,
    },
}

/// What is known elsewhere of a channel that is open here.
#[derive(Debug, Clone, Default)]
pub struct Opens {
    /// An object is open on it, so this node is present itself. If not, it only passes on what it
    /// hears.
    pub is_present: bool,
    /// Since when, by the clock here; it says nothing if none is open.
    pub since: WallTime,
    /// The peers that have it open.
    pub peers: Vec<Sender>,
}

/// What happened so far. The numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct PresenceCounters {
    /// Records of others that brought something new.
    pub presence_records: u64,
    /// Records that were left out: they came too soon after the one before of the same member and
    /// channel, or over the rate at which a peer may make this node check signatures, or a peer
    /// asked for them over the rate at which it is given some. Signs of life over the former too.
    pub presence_limited: u64,
    /// Records for which there was no room.
    pub presence_refused: u64,
    /// Records and beats with a wrong signature.
    pub presence_forged: u64,
    /// Signs of life made here, for members that are not connected to this node.
    pub presence_beats: u64,
    /// Messages about presence that were given out.
    pub presence_messages: u64,
}
