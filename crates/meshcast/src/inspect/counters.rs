//! Counters of a node.

use std::ops::Deref;

use meshcast_proto::{AskCounters, Counters as ProtocolCounters, PresenceCounters};
use serde::Serialize;

/// The counters of a node since it started, in groups. Values only grow, but for the gauges: what
/// is said to be so *now*.
///
/// The counters of the [protocol](ProtocolCounters) are fields of this struct too:
/// `counters.delivered` is `counters.protocol.delivered`. As JSON all counters stand side by side,
/// without the groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// The counters of records and frames.
    #[serde(flatten)]
    pub protocol: ProtocolCounters,
    /// The counters of presence on channels.
    #[serde(flatten)]
    pub presence: PresenceCounters,
    /// The counters of questions over members.
    #[serde(flatten)]
    pub asks: AskCounters,
    /// What travelled between this node and its peers.
    #[serde(flatten)]
    pub traffic: TrafficCounters,
    /// What channel objects were given late or missed, and how their handlers fared.
    #[serde(flatten)]
    pub objects: ObjectCounters,
    /// Connections, before they are admitted.
    #[serde(flatten)]
    pub connections: ConnectionCounters,
    /// What went wrong with peers.
    #[serde(flatten)]
    pub peers: PeerCounters,
    /// Memory, as the limits count it.
    #[serde(flatten)]
    pub memory: MemoryCounters,
}

impl Deref for Counters {
    type Target = ProtocolCounters;

    fn deref(&self) -> &ProtocolCounters {
        &self.protocol
    }
}

/// What travelled between this node and its peers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrafficCounters {
    /// Frames that no connected peer could be given, since none was subscribed.
    pub frames_without_peer: u64,
    /// Frames that gossip refused because the queues to all peers were full.
    pub frames_refused: u64,
    /// Frames of members that gossip brought, each as often as it came.
    pub frames_gossiped: u64,
    /// Frames of others that were handed on by gossip, each for each peer that was given it.
    pub frames_forwarded: u64,
    /// Frames dropped because they were malformed, forged or not from a member.
    pub frames_invalid: u64,
    /// Bytes for peers beside gossip: what is kept here, requests, frames in answer, addresses,
    /// pings.
    pub sync_bytes: u64,
    /// Messages of connected members, beside gossip, that could not be read.
    pub sync_invalid: u64,
}

/// What channel objects were given late or missed, and how their handlers fared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ObjectCounters {
    /// Records handed to a channel object out of what is kept, since it had not read them in time
    /// or came later.
    pub recalled: u64,
    /// Records that some channel object did not read in time and that were not kept either; each
    /// was reported to it as a gap.
    pub unread: u64,
    /// Records from before a channel object was made that a member said to keep, and that could not
    /// be fetched; each was reported to it as a gap.
    pub unfetched: u64,
    /// Records that a channel object asked for and that nobody kept any more; each was reported to
    /// it as a gap.
    pub expired: u64,
    /// Values that did not decode as the type of their channel object.
    pub undecodable: u64,
    /// Handlers that panicked.
    pub handler_panics: u64,
}

/// Connections, before they are admitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConnectionCounters {
    /// Connections that were not admitted, by this node or by the other side, for a reason that is
    /// known.
    pub refused: u64,
    /// Connections that others opened.
    pub inbound: u64,
    /// Those of them that said nothing in time, or were gone before.
    pub inbound_silent: u64,
    /// Those that began with something else than a member does; they count as refused too.
    pub inbound_foreign: u64,
    /// Those that made way for newcomers before they had shown to be members.
    pub inbound_displaced: u64,
    /// Connections that others opened and that have not shown to be members so far.
    pub inbound_pending: usize,
}

/// What went wrong with peers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PeerCounters {
    /// Times gossip reported that frames to a peer were dropped from its queue, or not queued for
    /// want of room.
    pub slow_peer: u64,
    /// Times a peer was connected anew because its gossip did not arrive.
    pub mute_links: u64,
    /// Times a peer was let go because nothing was heard of it for 4 s, or it did not take what it
    /// was sent.
    pub unresponsive: u64,
    /// Times a member misbehaved.
    pub offences: u64,
}

/// Memory, as the limits count it. Those in bytes are gauges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryCounters {
    /// Times somebody was refused more memory, of whatever kind; who that was is in
    /// [`Snapshot::accounts`](crate::Snapshot::accounts).
    pub memory_refused: u64,
    /// The memory that everything that waits or is remembered takes now, in bytes, as
    /// [`Limits::memory_bytes`](crate::Limits::memory_bytes) counts it.
    pub memory_bytes: usize,
    /// Of that, what this process itself has not sent or not read yet.
    pub own_memory_bytes: usize,
    /// The memory that frames kept for others take now, in bytes, as
    /// [`Limits::history_bytes`](crate::Limits::history_bytes) counts them.
    pub history_bytes: usize,
}
