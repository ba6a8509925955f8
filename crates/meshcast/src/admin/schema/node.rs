//! A node, its peers and its seeds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A node and what it counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// [`name::NODE`](super::name::NODE).
    pub schema: String,
    /// The node.
    pub node: Node,
    /// Counters since the start of the node, by name; see [`Counters`](crate::Counters).
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
    /// The version of its protocol; `null` if it does not tell.
    #[serde(default)]
    pub protocol: Option<u16>,
    /// The limits of the node, by name, in bytes and microseconds; see [`Limits`](crate::Limits).
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    /// Connections that were not admitted, by the node or by the other side: the last of each kind.
    #[serde(default)]
    pub refusals: Vec<Refusal>,
}

/// Connections of one kind that were not admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The kind; see [`RefusalKind`](crate::RefusalKind).
    pub kind: String,
    /// Why, of the last one.
    pub reason: String,
    /// The other end of the last one.
    pub address: String,
    /// The side that dialled, of the last one.
    pub direction: Direction,
    /// When the last one was.
    pub at: String,
    /// The number of refusals since the node started, from anywhere.
    pub times: u64,
    /// From where most came within the last five minutes; `null` if none did.
    #[serde(default)]
    pub lately: Option<RefusedLately>,
}

/// Connections of one kind and from one place that were not admitted lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedLately {
    /// The other end of the last one.
    pub address: String,
    /// Their number, of the last 64 of the kind.
    pub times: u64,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its peer id: a new one at every start.
    pub peer_id: String,
    /// The fingerprint of its mesh: all its members have it, and it is no secret.
    #[serde(default)]
    pub mesh: String,
    /// The process's number in its system.
    pub pid: u32,
    /// When it was started.
    pub started_at: String,
    /// Its listen addresses.
    pub listen_addresses: Vec<String>,
    /// The version of its library.
    pub version: String,
    /// The number of members it is connected to.
    pub peers: usize,
    /// The number of channels it has open or still holds.
    pub channels: usize,
}

/// The members a node is connected to, by name and then by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// [`name::PEERS`](super::name::PEERS).
    pub schema: String,
    /// The members that the node is connected to.
    pub peers: Vec<Peer>,
    /// Members that the node knows to be there and is not connected to: those that others see on a
    /// channel on which presence is watched.
    #[serde(default)]
    pub unlinked: Vec<Member>,
    /// The seeds the node was given, in that order.
    #[serde(default)]
    pub seeds: Vec<Seed>,
    /// The accounts that take the most of the node's memory for others, itself included, ten at
    /// most; and ten more that were refused some of it. The largest comes first.
    #[serde(default)]
    pub accounts: Vec<Account>,
}

/// The memory of a node that one member uses up, connected or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name; `null` if that is not known.
    pub name: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Its peer id.
    pub peer_id: Option<String>,
    /// `true` if it is connected now, or is the node itself.
    pub connected: bool,
    /// The memory it takes, in bytes.
    pub memory_bytes: usize,
    /// The number of times that it was refused more.
    pub memory_refused: u64,
}

/// Whether a node is well. See [`Health`](crate::Health).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// [`name::HEALTH`](super::name::HEALTH).
    pub schema: String,
    /// It runs and answers.
    pub live: bool,
    /// It was ready once, and is not stopping.
    pub ready: bool,
    /// The number of members it is connected to.
    pub members: usize,
    /// Since when nobody is connected; `null` while somebody is.
    pub isolated_since: Option<String>,
    /// The count of numbers known to be missing on the open channels; `null` if nobody counted,
    /// since too many inspect the node.
    pub behind_by: Option<u64>,
    /// The seeds the node was given, in that order.
    pub seeds: Vec<Seed>,
}

/// An address the node was given to find others through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// The address, as it was given or as its name resolved.
    pub address: String,
    /// `resolving`, `unresolved`, `dialling`, `refused`, `timed_out`, `unreachable`,
    /// `not_admitted`, `ourselves` or `connected`; more may come. See
    /// [`SeedState`](crate::SeedState).
    pub state: String,
    /// Since when that is so.
    pub since: String,
    /// The last error; `null` if there was none since it was last connected.
    pub reason: Option<String>,
    /// Why it is not admitted, by its kind; `null` unless it is. See
    /// [`RefusalKind`](crate::RefusalKind).
    #[serde(default)]
    pub refusal: Option<String>,
    /// The name of the connected member; `null` if none is connected.
    pub name: Option<String>,
    /// The peer id of that process.
    pub peer_id: Option<String>,
    /// The addresses of its DNS name, each on its own; empty without a name.
    #[serde(default)]
    pub addresses: Vec<Self>,
}

/// A member a node is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its peer id.
    pub peer_id: String,
    /// The listen addresses that it announced.
    pub addresses: Vec<String>,
    /// The last measured round trip; `null` before the first.
    pub rtt_us: Option<u64>,
    /// The offset of its wall clock from the node's, in microseconds, below zero if it is behind,
    /// by its recent posts; `null` if there were none.
    #[serde(default)]
    pub clock_ahead_us: Option<i64>,
    /// The side that dialled.
    pub direction: Direction,
    /// Since when the connection is up.
    pub connected_since: String,
    /// The number of channels of the node that it has open too.
    pub shared_channels: usize,
    /// The number of times that its gossip was found not to arrive lately, and it was reconnected.
    #[serde(default)]
    pub mute: u32,
    /// The memory of the node that it uses up, in bytes.
    #[serde(default)]
    pub memory_bytes: usize,
    /// The number of times that it was refused more of that.
    #[serde(default)]
    pub memory_refused: u64,
    /// The number of its recent offences.
    #[serde(default)]
    pub offences: u64,
    /// Whether it is heard at a fraction of its rate for it.
    #[serde(default)]
    pub throttled: bool,
}

/// A member that the node is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its peer id.
    pub peer_id: String,
    /// When anything was last heard of it, by the node's clock.
    pub last_heard: String,
    /// Nothing was heard of it for 3 s or longer.
    pub silent: bool,
}

/// The side that opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The other side dialled.
    Inbound,
    /// The node dialled.
    Outbound,
}

/// A peer answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// [`name::PING`](super::name::PING).
    pub schema: String,
    /// The peer id.
    pub peer_id: String,
    /// The round-trip time.
    pub rtt_us: u64,
}
