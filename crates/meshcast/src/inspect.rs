//! What a node looks like at one moment, as plain data.

use std::{ops::Deref, time::Duration};

use libp2p::{Multiaddr, PeerId};
use meshcast_proto::{
    AskCounters, ChannelName, Counters as ProtocolCounters, NodeName, PresenceCounters, Region,
    WallTime,
};
use serde::{Serialize, Serializer};

use crate::{
    limits::Limits,
    reason::RefusalKind,
    seed::SeedInfo,
    serde_form::{each_shown, micros, shown, shown_if_any},
};

/// A node, its peers and its channels. See [`Node::inspect`](crate::Node::inspect).
///
/// In serde, times are RFC 3339 in UTC, durations whole microseconds (`rtt_us`), ids and addresses
/// text.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The node itself.
    pub node: NodeInfo,
    /// Members it is connected to, by name and then by id.
    pub peers: Vec<PeerInfo>,
    /// Members that it knows to be there and is not connected to, in no order; see
    /// [`Node::members`](crate::Node::members).
    pub unlinked: Vec<MemberInfo>,
    /// The seeds it was given, in that order.
    pub seeds: Vec<SeedInfo>,
    /// Who takes the most of [`Limits::memory_bytes`](crate::Limits::memory_bytes), this node
    /// included, ten at most; and ten more that were refused some of it. Whoever takes more comes
    /// first.
    pub accounts: Vec<AccountInfo>,
    /// Channels it has open or still holds after the last object was closed, by name.
    pub channels: Vec<ChannelInfo>,
    /// What happened since it started.
    pub counters: Counters,
    /// Connections that were not admitted, by this node or by the other side: the last of each
    /// kind.
    pub refusals: Vec<RefusalInfo>,
    /// What it may use.
    #[serde(serialize_with = "numbers")]
    pub limits: Limits,
}

/// Who a node is.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct NodeInfo {
    /// What people call it.
    pub name: NodeName,
    /// Where it runs.
    pub region: Region,
    /// Which process it is: a new one at every start.
    #[serde(serialize_with = "shown")]
    pub peer_id: PeerId,
    /// Which mesh it is of: a fingerprint that all its members have, and no secret.
    pub mesh: String,
    /// The process's number in its system.
    pub pid: u32,
    /// Where it listens.
    pub listen_addresses: Vec<Multiaddr>,
    /// When it was started.
    pub started_at: WallTime,
    /// The version of this library.
    pub version: &'static str,
    /// The version of the protocol: members of one mesh have the same.
    pub protocol: u16,
    /// How many members it is connected to.
    pub members: usize,
    /// How many channels it has open or still holds after the last object was closed.
    pub channels: usize,
}

/// A member of the mesh. See [`Node::members`](crate::Node::members).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemberInfo {
    /// Which process it is.
    #[serde(serialize_with = "shown")]
    pub peer_id: PeerId,
    /// What people call it.
    pub name: NodeName,
    /// Where it runs.
    pub region: Region,
    /// When anything was last heard of it, by this node's clock.
    pub last_heard: WallTime,
    /// There is a connection to it.
    #[serde(rename = "connected")]
    pub is_connected: bool,
    /// Nothing was heard of it for 3 s or longer.
    #[serde(rename = "silent")]
    pub is_silent: bool,
}

/// A member this node is connected to.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PeerInfo {
    /// What people call it.
    pub name: NodeName,
    /// Where it runs.
    pub region: Region,
    /// Which process it is.
    #[serde(serialize_with = "shown")]
    pub peer_id: PeerId,
    /// Where it says it listens.
    pub addresses: Vec<Multiaddr>,
    /// The last measured round trip; `None` before the first.
    #[serde(rename = "rtt_us", serialize_with = "micros")]
    pub rtt: Option<Duration>,
    /// How far its wall clock is ahead of this node's, in microseconds; below zero if it is behind.
    /// That is told from what it posted by gossip in the last minute or two, `None` if that was
    /// nothing. Delays on the way make it look behind.
    pub clock_ahead_us: Option<i64>,
    /// Who dialled.
    pub direction: Direction,
    /// Since when the connection is up.
    pub connected_since: WallTime,
    /// How many channels of this node it has open too.
    pub shared_channels: usize,
    /// How often its gossip was found not to arrive, and it was connected anew, without a steady
    /// minute since.
    pub mute: u32,
    /// What it makes this node take of [`Limits::memory_bytes`](crate::Limits::memory_bytes), in
    /// bytes.
    pub memory_bytes: usize,
    /// How often it was refused more of that.
    pub memory_refused: u64,
    /// How often it misbehaved lately, see
    /// [`NodeEvent::Misbehaving`](crate::NodeEvent::Misbehaving).
    pub offences: u64,
    /// It is heard at a fraction of its rate for it.
    pub throttled: bool,
}

/// What somebody makes a node take of its memory for others: queues, what waits, what is
/// remembered. Whoever caused it may be gone by now, or was never connected and posts through
/// others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AccountInfo {
    /// What people call it; `None` if that is not known, for a node that never was connected.
    pub name: Option<NodeName>,
    /// Where it runs.
    pub region: Option<Region>,
    /// Which process it is.
    #[serde(serialize_with = "shown_if_any")]
    pub peer_id: Option<PeerId>,
    /// It is connected now, or it is this node itself.
    pub connected: bool,
    /// What it takes, in bytes.
    pub memory_bytes: usize,
    /// How often it was refused more, since that was last forgotten: of over 1,024 accounts, those
    /// that take nothing are.
    pub memory_refused: u64,
}

/// Connections of one kind that were not admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RefusalInfo {
    /// What kind.
    pub kind: RefusalKind,
    /// Why, of the last one.
    pub reason: String,
    /// The other end of the last one.
    #[serde(serialize_with = "shown")]
    pub address: Multiaddr,
    /// Who dialled, of the last one.
    pub direction: Direction,
    /// When the last one was.
    pub at: WallTime,
    /// How many there were since the node started, from anywhere.
    pub times: u64,
    /// From where most came within the last five minutes; `None` if none did.
    pub lately: Option<RefusedLately>,
}

/// Connections of one kind and from one place that were not admitted within the last five minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RefusedLately {
    /// The other end of the last one. Ports do not tell places apart.
    #[serde(serialize_with = "shown")]
    pub address: Multiaddr,
    /// How many there were, of the last 64 of the kind.
    pub times: u64,
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The other side dialled.
    Inbound,
    /// This node dialled.
    Outbound,
}

/// A channel of this node.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// Its name.
    pub name: ChannelName,
    /// Open channel objects in this process; 0 while it lingers after the last close.
    pub objects: usize,
    /// Those of them that are there only to look, see
    /// [`ChannelOptions::observer`](crate::ChannelOptions::observer).
    pub observers: usize,
    /// Connected members that have it open too.
    #[serde(serialize_with = "each_shown")]
    pub subscribers: Vec<PeerId>,
    /// Those of them that gossip sends everything to at once.
    #[serde(serialize_with = "each_shown")]
    pub mesh: Vec<PeerId>,
    /// Who was heard on it, this node included if it posted, by id.
    pub senders: Vec<SenderInfo>,
    /// Bytes posted here that have not left yet.
    pub outbox_bytes: usize,
    /// Bytes delivered that some object has not read yet.
    pub unread_bytes: usize,
    /// Records of others delivered. This and what follows counts since the node has the channel.
    pub delivered: u64,
    /// Of these, records that gossip had not brought, and that a peer gave when it was asked.
    pub repaired: u64,
    /// Records that all objects were told they will not get.
    pub missed: u64,
    /// Records that some object did not read in time and that were not kept either; each was
    /// reported to it as a gap.
    pub unread: u64,
    /// Records that made way before some object had read them, for each such object. It reads them
    /// late, out of what is kept, or they are `unread`.
    pub dropped: u64,
}

/// A sender on a channel.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SenderInfo {
    /// What people call it.
    pub name: NodeName,
    /// Where it runs.
    pub region: Region,
    /// Which process it is.
    #[serde(serialize_with = "shown")]
    pub peer_id: PeerId,
    /// The highest number heard of.
    pub highest_seq: u64,
    /// The highest number up to which nothing is waited for; `None` until the first is settled.
    pub delivered_seq: Option<u64>,
}

/// What a node counted since it started. Values only grow, but for the gauges at the end.
///
/// What the [protocol](ProtocolCounters) counts are fields of this struct too:
/// `counters.delivered` is `counters.protocol.delivered`. As JSON all stand side by side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// What happened to records and frames.
    #[serde(flatten)]
    pub protocol: ProtocolCounters,
    /// What was said about who is present on channels.
    #[serde(flatten)]
    pub presence: PresenceCounters,
    /// What travelled over members of questions.
    #[serde(flatten)]
    pub asks: AskCounters,
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
    /// Times somebody was refused more memory, of whatever kind; who that was is in
    /// [`Snapshot::accounts`].
    pub memory_refused: u64,
    /// What all that waits or is remembered takes now, in bytes, as
    /// [`Limits::memory_bytes`](crate::Limits::memory_bytes) counts it.
    pub memory_bytes: usize,
    /// Of that, what this process itself has not sent or not read yet.
    pub own_memory_bytes: usize,
    /// What frames kept for others take now, in bytes, as
    /// [`Limits::history_bytes`](crate::Limits::history_bytes) counts them.
    pub history_bytes: usize,
    /// Connections that others opened and that have not shown to be members so far.
    pub inbound_pending: usize,
}

impl Deref for Counters {
    type Target = ProtocolCounters;

    fn deref(&self) -> &ProtocolCounters {
        &self.protocol
    }
}

/// By name, in bytes and whole microseconds.
fn numbers<S: Serializer>(limits: &Limits, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(limits.numbers())
}
