//! A snapshot of a node, as plain data.
//!
//! May use: plain types of the crate.
//! Must not: know where the data is from.

mod counters;

use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use meshcast_proto::{ChannelName, NodeName, Region, WallTime};
use serde::{Serialize, Serializer};

pub use self::counters::{
    ConnectionCounters, Counters, MemoryCounters, ObjectCounters, PeerCounters, TrafficCounters,
};
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
    /// The accounts that take the most of [`Limits::memory_bytes`](crate::Limits::memory_bytes),
    /// this node included, ten at most; and ten more that were refused some of it. The largest
    /// comes first.
    pub accounts: Vec<AccountInfo>,
    /// Channels it has open or still holds after the last object was closed, by name.
    pub channels: Vec<ChannelInfo>,
    /// The counters since its start.
    pub counters: Counters,
    /// Connections that were not admitted, by this node or by the other side: the last of each
    /// kind.
    pub refusals: Vec<RefusalInfo>,
    /// Its limits.
    #[serde(serialize_with = "numbers")]
    pub limits: Limits,
}

/// The identity of a node.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its name.
    pub name: NodeName,
    /// Its region.
    pub region: Region,
    /// Its peer id: a new one at every start.
    #[serde(serialize_with = "shown")]
    pub peer_id: PeerId,
    /// The fingerprint of its mesh: all its members have it, and it is no secret.
    pub mesh: String,
    /// The process's number in its system.
    pub pid: u32,
    /// Its listen addresses.
    pub listen_addresses: Vec<Multiaddr>,
    /// When it was started.
    pub started_at: WallTime,
    /// The version of this library.
    pub version: &'static str,
    /// The version of the protocol: members of one mesh have the same.
    pub protocol: u16,
    /// The number of members it is connected to.
    pub members: usize,
    /// The number of channels that it has open or still holds after the last object was closed.
    pub channels: usize,
}

/// A member of the mesh. See [`Node::members`](crate::Node::members).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemberInfo {
    /// Its peer id.
    #[serde(serialize_with = "shown")]
    pub peer_id: PeerId,
    /// Its name.
    pub name: NodeName,
    /// Its region.
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
    /// Its name.
    pub name: NodeName,
    /// Its region.
    pub region: Region,
    /// Its peer id.
    #[serde(serialize_with = "shown")]
    pub peer_id: PeerId,
    /// The listen addresses that it announced.
    pub addresses: Vec<Multiaddr>,
    /// The last measured round trip; `None` before the first.
    #[serde(rename = "rtt_us", serialize_with = "micros")]
    pub rtt: Option<Duration>,
    /// The offset of its wall clock from this node's, in microseconds; below zero if it is behind.
    /// That is told from what it posted by gossip in the last minute or two, `None` if that was
    /// nothing. Delays on the way make it look behind.
    pub clock_ahead_us: Option<i64>,
    /// The side that dialled.
    pub direction: Direction,
    /// Since when the connection is up.
    pub connected_since: WallTime,
    /// The number of channels of this node that it has open too.
    pub shared_channels: usize,
    /// The number of times that its gossip was found not to arrive, and it was reconnected, without
    /// a steady minute since.
    pub mute: u32,
    /// The part of [`Limits::memory_bytes`](crate::Limits::memory_bytes) of this node that it uses
    /// up, in bytes.
    pub memory_bytes: usize,
    /// The number of times that it was refused more of that.
    pub memory_refused: u64,
    /// The number of its recent offences, see
    /// [`NodeEvent::Misbehaving`](crate::NodeEvent::Misbehaving).
    pub offences: u64,
    /// It is heard at a fraction of its rate for it.
    pub throttled: bool,
}

/// The memory of a node that one member uses up: queues, what waits, what is remembered. The member
/// may be gone by now, or was never connected and posts through others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AccountInfo {
    /// Its name; `None` if that is not known, for a node that never was connected.
    pub name: Option<NodeName>,
    /// Its region.
    pub region: Option<Region>,
    /// Its peer id.
    #[serde(serialize_with = "shown_if_any")]
    pub peer_id: Option<PeerId>,
    /// It is connected now, or it is this node itself.
    pub connected: bool,
    /// The memory it takes, in bytes.
    pub memory_bytes: usize,
    /// The number of times that it was refused more, since that was last forgotten: of over 1,024
    /// accounts, those that take nothing are.
    pub memory_refused: u64,
}

/// Connections of one kind that were not admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RefusalInfo {
    /// The kind.
    pub kind: RefusalKind,
    /// Why, of the last one.
    pub reason: String,
    /// The other end of the last one.
    #[serde(serialize_with = "shown")]
    pub address: Multiaddr,
    /// The side that dialled, of the last one.
    pub direction: Direction,
    /// When the last one was.
    pub at: WallTime,
    /// The number of refusals since the node started, from anywhere.
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
    /// Their number, of the last 64 of the kind.
    pub times: u64,
}

/// The side that opened a connection.
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
    /// The senders heard on it, this node included if it posted, by id.
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
    /// Its name.
    pub name: NodeName,
    /// Its region.
    pub region: Region,
    /// Its peer id.
    #[serde(serialize_with = "shown")]
    pub peer_id: PeerId,
    /// The highest number heard of.
    pub highest_seq: u64,
    /// The highest number up to which nothing is waited for; `None` until the first is settled.
    pub delivered_seq: Option<u64>,
}

/// By name, in bytes and whole microseconds.
fn numbers<S: Serializer>(limits: &Limits, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(limits.numbers())
}
