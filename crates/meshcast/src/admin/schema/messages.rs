//! Messages: as a channel hears them, and when they came.

use serde::{Deserialize, Serialize};

use super::Sender;

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

/// When messages of a channel came to a node, and which way, as far as the node keeps them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceReport {
    /// [`name::TRACE`](super::name::TRACE).
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
