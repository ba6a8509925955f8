//! Channels, posts on them, and who has them open.

use serde::{Deserialize, Serialize};

use super::Problem;

/// The channels of a node, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelReport {
    /// [`name::CHANNELS`](super::name::CHANNELS).
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
    /// [`name::POSTED`](super::name::POSTED).
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
    /// [`name::POSTED_LINES`](super::name::POSTED_LINES).
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

/// The members that have a channel open, by name and then by id. The node that is asked opens it
/// itself for the question, and is among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PresenceReport {
    /// [`name::PRESENCE`](super::name::PRESENCE).
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
