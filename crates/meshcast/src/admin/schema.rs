//! The JSON of the admin socket, for both of its ends.
//!
//! An answer says in `schema` what it is, such as `peers/v1`. Within a version it only grows:
//! fields are added, none is renamed or removed or changes its meaning, so read leniently. Times
//! are RFC 3339 in UTC, durations whole microseconds (`…_us`), sizes whole bytes; what is not known
//! is `null`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The kinds of JSON of the objects here, as in their field `schema`.
pub mod name {
    /// [`NodeReport`](super::NodeReport).
    pub const NODE: &str = "node/v1";
    /// [`PeerReport`](super::PeerReport).
    pub const PEERS: &str = "peers/v1";
    /// [`HealthReport`](super::HealthReport).
    pub const HEALTH: &str = "health/v1";
    /// [`ChannelReport`](super::ChannelReport).
    pub const CHANNELS: &str = "channels/v1";
    /// [`Posted`](super::Posted).
    pub const POSTED: &str = "posted/v1";
    /// [`PostedLines`](super::PostedLines).
    pub const POSTED_LINES: &str = "posted_lines/v1";
    /// [`PresenceReport`](super::PresenceReport).
    pub const PRESENCE: &str = "presence/v1";
    /// [`TraceReport`](super::TraceReport).
    pub const TRACE: &str = "trace/v1";
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
    /// [`name::PEERS`].
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
    /// [`name::HEALTH`].
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
    /// Those of them that are there only to look, as pages and `watch?observer=1` have.
    #[serde(default)]
    pub observers: usize,
    /// The ids of connected members that have it open too.
    pub subscribers: Vec<String>,
    /// Those of them that gossip sends everything to at once.
    pub mesh: Vec<String>,
    /// The senders heard on it, by id.
    pub senders: Vec<Sender>,
    /// Bytes posted here that have not left yet.
    pub outbox_bytes: usize,
    /// Bytes delivered that some object has not read yet.
    pub unread_bytes: usize,
    /// Records of others delivered. This and what follows counts since the node has the channel.
    #[serde(default)]
    pub delivered: u64,
    /// Of these, records that gossip had not brought, and that a peer gave when it was asked.
    #[serde(default)]
    pub repaired: u64,
    /// Records that all objects were told they will not get.
    #[serde(default)]
    pub missed: u64,
    /// Records that some object did not read in time and that were not kept either; each was
    /// reported to it as a gap.
    #[serde(default)]
    pub unread: u64,
    /// Records that made way before some object had read them, for each such object. It reads them
    /// late, out of what is kept, or they are `unread`.
    #[serde(default)]
    pub dropped: u64,
}

/// A sender on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its peer id.
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
    /// Its number on the channel; `null` while it waits to leave.
    #[serde(default)]
    pub seq: Option<u64>,
    /// The number of connected members that have it, if the request waited for that: fewer than
    /// requested if time was up. `null` if nobody asked, and if it did not leave in time.
    #[serde(default)]
    pub acked: Option<usize>,
}

/// Lines were taken, each as a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedLines {
    /// [`name::POSTED_LINES`].
    pub schema: String,
    /// On which channel.
    pub channel: String,
    /// By which node.
    pub node: String,
    /// The first so many lines of the body are posted. The others are not: without `refused` there
    /// was no room for them in time, and they may be posted by another request.
    pub posted: u64,
    /// The number of the last of them; `null` while it waits to leave.
    pub seq: Option<u64>,
    /// The number of connected members that have them all, as in [`Posted`].
    pub acked: Option<usize>,
    /// The error in the line after these; `null` if there is none.
    pub refused: Option<Problem>,
    /// Why it is not known who has those that are posted; `null` if nobody asked, or it is known.
    #[serde(default)]
    pub unacknowledged: Option<Problem>,
}

/// The bytes of lines that a request may always have, however short messages have to be.
pub const LINES_BODY: usize = 256 * 1024;

/// A peer answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// [`name::PING`].
    pub schema: String,
    /// The peer id.
    pub peer_id: String,
    /// The round-trip time.
    pub rtt_us: u64,
}

/// The members that have a channel open, by name and then by id. The node that is asked opens it
/// itself for the question, and is among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PresenceReport {
    /// [`name::PRESENCE`].
    pub schema: String,
    /// The channel.
    pub channel: String,
    /// The members.
    pub members: Vec<Present>,
}

/// A member that has a channel open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Present {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its peer id.
    pub peer_id: String,
    /// Since when, by its own clock.
    pub since: String,
    /// Nothing was heard of it for 3 s or longer.
    pub silent: bool,
    /// Its state; `null` if it has set none, or one that is no value.
    pub state: serde_json::Value,
}

/// A line of who comes and goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PresenceLine {
    /// The channel.
    pub channel: String,
    /// `snapshot`, `joined`, `updated`, `silent`, `heard`, `left` or `lost`; more may come.
    pub change: String,
    /// All who are there, for a snapshot: the first line, and whenever lines were not read in time.
    /// Else whom it is about.
    pub members: Vec<Present>,
}

/// When messages of a channel came to a node, and which way, as far as the node keeps them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceReport {
    /// [`name::TRACE`].
    pub schema: String,
    /// The channel.
    pub channel: String,
    /// `true` if the node has it open.
    pub open: bool,
    /// The senders heard on it; if one message was asked for, those of its sender's name alone.
    pub senders: Vec<TracedSender>,
    /// The messages, by the time at which they were posted.
    pub messages: Vec<TracedMessage>,
    /// The number of senders left out, since there are too many.
    pub left_out: usize,
}

/// A sender, and how much the node keeps of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedSender {
    /// The sender.
    #[serde(flatten)]
    pub sender: Sender,
    /// The lowest number the node keeps; `null` if it keeps none.
    pub oldest_seq: Option<u64>,
}

/// A message that a node keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TracedMessage {
    /// The process that posted it.
    pub sender: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its number.
    pub seq: u64,
    /// The last of its numbers: another one if it was too large for one frame.
    pub last_seq: u64,
    /// When it was posted, by the sender's clock.
    pub posted_at: String,
    /// When it came to the node, by its clock.
    pub received_at: String,
    /// The way it came: `local`, `gossip`, `repair` or `history`; more may come. See
    /// [`Via`](crate::Via).
    pub via: String,
    /// The member that gave it; `null` if it was posted there, and if that was not its sender:
    /// then it is not remembered who it was.
    pub peer: Option<String>,
    /// Its length, encoded.
    pub bytes: usize,
    /// The posted value; `null` if it is long, or no value.
    pub data: Option<serde_json::Value>,
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
    /// The posted value. Types that JSON has not are tagged objects.
    pub data: serde_json::Value,
    /// The process that posted it.
    pub sender: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its number: each sender counts 1, 2, 3 … on each channel.
    pub seq: u64,
    /// When it was posted, by the sender's clock.
    pub posted_at: String,
    /// When it came to the node, by its clock; `null` if it does not tell.
    #[serde(default)]
    pub received_at: Option<String>,
    /// The way it came to the node: `local`, `gossip`, `repair` or `history`; more may come. See
    /// [`Via`](crate::Via).
    #[serde(default)]
    pub via: Option<String>,
    /// The member that gave it to the node; `null` if it was posted there, and where that is not
    /// known any more.
    #[serde(default)]
    pub peer: Option<String>,
}

/// Messages that are missing, told before the next one of that sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// On which channel.
    pub channel: String,
    /// The process that posted them.
    pub sender: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// The first missing number.
    pub from: u64,
    /// The last missing number.
    pub to: u64,
    /// Why: `lost`, `too_large`, `incomplete`, `unread`, `unfetched` or `expired`; more may come.
    pub reason: String,
}

/// A message that is no value. Its number counts as received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecodable {
    /// On which channel.
    pub channel: String,
    /// The process that posted it.
    pub sender: String,
    /// Its name.
    pub name: String,
    /// Its number.
    pub seq: u64,
    /// The error.
    pub error: String,
}

/// The answer in place of any of these if the request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The error.
    pub error: Problem,
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs; see [`code`].
    pub code: String,
    /// For people.
    pub message: String,
}

/// The errors, as in [`Problem::code`], and the HTTP status that comes with each. More may come.
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
    /// 503: it was posted, and who has it cannot be known.
    pub const UNACKNOWLEDGED: &str = "unacknowledged";
    /// 503: as many programs as may already watch or wait for members.
    pub const BUSY: &str = "busy";
    /// 503: the node is stopping.
    pub const STOPPED: &str = "stopped";
    /// 504: it took too long.
    pub const TIMED_OUT: &str = "timed_out";
    /// 500: a mistake of ours.
    pub const INTERNAL: &str = "internal";
}
