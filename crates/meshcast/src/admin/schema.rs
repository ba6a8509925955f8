//! The JSON of the admin socket, for both of its ends.
//!
//! An answer says in `schema` what it is, such as `peers/v1`. Within a version it only grows:
//! fields are added, none is renamed or removed or changes its meaning, so read leniently. Times
//! are RFC 3339 in UTC, durations whole microseconds (`…_us`), sizes whole bytes; what is not known
//! is `null`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What kind of JSON the objects here are, as in their field `schema`.
pub mod name {
    /// [`NodeReport`](super::NodeReport).
    pub const NODE: &str = "node/v1";
    /// [`PeerReport`](super::PeerReport).
    pub const PEERS: &str = "peers/v1";
    /// [`ChannelReport`](super::ChannelReport).
    pub const CHANNELS: &str = "channels/v1";
    /// [`Posted`](super::Posted).
    pub const POSTED: &str = "posted/v1";
    /// [`Ping`](super::Ping).
    pub const PING: &str = "ping/v1";
}

/// A node and what it counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// [`name::NODE`].
    pub schema: String,
    /// The node.
    pub node: Node,
    /// What happened since it started, by name; see [`Counters`](crate::Counters).
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What people call it.
    pub name: String,
    /// Where it runs.
    pub region: String,
    /// Which process it is: a new one at every start.
    pub peer_id: String,
    /// The process's number in its system.
    pub pid: u32,
    /// When it was started.
    pub started_at: String,
    /// Where it listens.
    pub listen_addresses: Vec<String>,
    /// The version of its library.
    pub version: String,
    /// How many members it is connected to.
    pub peers: usize,
    /// How many channels it has open or still holds.
    pub channels: usize,
}

/// The members a node is connected to, by name and then by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// [`name::PEERS`].
    pub schema: String,
    /// The members.
    pub peers: Vec<Peer>,
    /// The seeds the node was given, in that order.
    #[serde(default)]
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
    /// What was wrong the last time; `null` if nothing was since it was last connected.
    pub reason: Option<String>,
    /// What people call the member it is connected to; `null` unless it is.
    pub name: Option<String>,
    /// Which process that is.
    pub peer_id: Option<String>,
    /// The addresses of its DNS name, each on its own; empty without a name.
    #[serde(default)]
    pub addresses: Vec<Self>,
}

/// A member a node is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// What people call it.
    pub name: String,
    /// Where it runs.
    pub region: String,
    /// Which process it is.
    pub peer_id: String,
    /// Where it says it listens.
    pub addresses: Vec<String>,
    /// The last measured round trip; `null` before the first.
    pub rtt_us: Option<u64>,
    /// Who dialled.
    pub direction: Direction,
    /// Since when the connection is up.
    pub connected_since: String,
    /// How many channels of the node it has open too.
    pub shared_channels: usize,
    /// How often its gossip was found not to arrive lately, and it was connected anew.
    #[serde(default)]
    pub mute: u32,
    /// What it makes the node take of its memory for others, in bytes.
    #[serde(default)]
    pub memory_bytes: usize,
    /// How often it was refused more of that.
    #[serde(default)]
    pub memory_refused: u64,
    /// How often it misbehaved lately.
    #[serde(default)]
    pub offences: u64,
    /// Whether it is heard at a fraction of its rate for it.
    #[serde(default)]
    pub throttled: bool,
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The other side dialled.
    Inbound,
    /// The node dialled.
    Outbound,
}

/// The channels of a node, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelReport {
    /// [`name::CHANNELS`].
    pub schema: String,
    /// The channels.
    pub channels: Vec<Channel>,
}

/// A channel of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Open channel objects in the process; 0 while it lingers after the last close.
    pub objects: usize,
    /// The ids of connected members that have it open too.
    pub subscribers: Vec<String>,
    /// Those of them that gossip sends everything to at once.
    pub mesh: Vec<String>,
    /// Who was heard on it, by id.
    pub senders: Vec<Sender>,
    /// Bytes posted here that have not left yet.
    pub outbox_bytes: usize,
    /// Bytes delivered that some object has not read yet.
    pub unread_bytes: usize,
}

/// A sender on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// What people call it.
    pub name: String,
    /// Where it runs.
    pub region: String,
    /// Which process it is.
    pub peer_id: String,
    /// The highest number heard of.
    pub highest_seq: u64,
    /// The highest number up to which nothing is waited for; `null` until the first is settled.
    pub delivered_seq: Option<u64>,
}

/// A message was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// [`name::POSTED`].
    pub schema: String,
    /// On which channel.
    pub channel: String,
    /// By which node.
    pub node: String,
}

/// A peer answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// [`name::PING`].
    pub schema: String,
    /// Which peer.
    pub peer_id: String,
    /// How long it took there and back.
    pub rtt_us: u64,
}

/// A line of what a channel hears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// `{"channel": …, "data": …, …}`
    Message(Message),
    /// `{"gap": {…}}`
    Gap {
        /// What is missing.
        gap: Gap,
    },
    /// `{"undecodable": {…}}`
    Undecodable {
        /// What came.
        undecodable: Undecodable,
    },
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// On which channel.
    pub channel: String,
    /// What was posted. Types that JSON has not are tagged objects.
    pub data: serde_json::Value,
    /// The process that posted it.
    pub sender: String,
    /// What people call it.
    pub name: String,
    /// Where it runs.
    pub region: String,
    /// Its number: each sender counts 1, 2, 3 … on each channel.
    pub seq: u64,
    /// When it was posted, by the sender's clock.
    pub posted_at: String,
}

/// Messages that are missing, told before the next one of that sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// On which channel.
    pub channel: String,
    /// The process that posted them.
    pub sender: String,
    /// What people call it.
    pub name: String,
    /// Where it runs.
    pub region: String,
    /// The first missing number.
    pub from: u64,
    /// The last missing number.
    pub to: u64,
    /// Why: `lost`, `too_large`, `incomplete`, `unread` or `unfetched`; more may come.
    pub reason: String,
}

/// A message that is no value. Its number counts as received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecodable {
    /// On which channel.
    pub channel: String,
    /// The process that posted it.
    pub sender: String,
    /// What people call it.
    pub name: String,
    /// Its number.
    pub seq: u64,
    /// What is wrong with it.
    pub error: String,
}

/// What comes instead of any of these if it could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What went wrong.
    pub error: Problem,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs; see [`code`].
    pub code: String,
    /// For people.
    pub message: String,
}

/// What can go wrong, as in [`Problem::code`], and the HTTP status that comes with it. More may
/// come.
pub mod code {
    /// 400: a parameter is missing or malformed.
    pub const BAD_REQUEST: &str = "bad_request";
    /// 400: the body is no JSON.
    pub const BAD_JSON: &str = "bad_json";
    /// 400: no channel can have that name.
    pub const BAD_CHANNEL: &str = "bad_channel";
    /// 404: there is nothing at that path.
    pub const NOT_FOUND: &str = "not_found";
    /// 404: the node is not connected to that peer.
    pub const NOT_CONNECTED: &str = "not_connected";
    /// 405: the path is right and the method is not.
    pub const METHOD: &str = "method_not_allowed";
    /// 413: the message is over the limit.
    pub const TOO_LARGE: &str = "too_large";
    /// 422: the value cannot be sent.
    pub const UNENCODABLE: &str = "unencodable";
    /// 503: the outbox of the channel is full; try again later.
    pub const FULL: &str = "full";
    /// 503: as many programs as may already watch.
    pub const BUSY: &str = "busy";
    /// 503: the node is stopping.
    pub const STOPPED: &str = "stopped";
    /// 504: it took too long.
    pub const TIMED_OUT: &str = "timed_out";
    /// 500: a mistake of ours.
    pub const INTERNAL: &str = "internal";
}
