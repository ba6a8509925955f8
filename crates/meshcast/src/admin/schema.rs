//! The JSON of the admin socket, for both of its ends.
//!
//! An answer says in `schema` what it is, such as `peers/v1`. Within a version it only grows:
//! fields are added, none is renamed or removed or changes its meaning, so read leniently. Times
//! are RFC 3339 in UTC, durations whole microseconds (`…_us`), sizes whole bytes; what is not known
//! is `null`.

mod channel;
mod messages;
mod node;

use serde::{Deserialize, Serialize};

pub use self::{
    channel::{
        Channel, ChannelReport, LINES_BODY, Posted, PostedLines, PresenceLine, PresenceReport,
        Present, Sender,
    },
    messages::{Gap, Line, Message, TraceReport, TracedMessage, TracedSender, Undecodable},
    node::{
        Account, Direction, HealthReport, Member, Node, NodeReport, Peer, PeerReport, Ping,
        Refusal, RefusedLately, Seed,
    },
};

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
