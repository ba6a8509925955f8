//! The admin socket: what a running node shows to programs of the same user on the same machine.
//!
//! A node that has it listens on a Unix socket, never on TCP, and speaks HTTP/1.1 with JSON:
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /v1/node` | [`schema::NodeReport`] |
//! | `GET /v1/health` | [`schema::HealthReport`] |
//! | `GET /v1/peers` | [`schema::PeerReport`] |
//! | `GET /v1/channels` | [`schema::ChannelReport`] |
//! | `POST /v1/messages?channel=earth` | [`schema::Posted`]: posts the JSON value in the body |
//! | … `&raw=1` | posts the bytes of the body as they are |
//! | … `&acked=2&timeout_us=5000000` | answers once 2 members have it, or after 5 s (default 10) |
//! | `POST /v1/lines?channel=earth` | [`schema::PostedLines`]: posts each line, as there is room |
//! | … `&form=text` | as a string; `raw`: as bytes; `json`, the default: as a value |
//! | `GET /v1/messages?channel=earth` | what is posted from now on, a [`schema::Line`] each |
//! | … `&last=20` | first the last 20 messages that are kept, by time |
//! | … `&since_us=30000000` | first what was posted within 30 s and is kept |
//! | `GET /v1/trace?channel=earth&last=20` | [`schema::TraceReport`]: when and how messages came |
//! | … `&name=fra-1&seq=42` | the same of one message |
//! | `GET /v1/presence?channel=earth` | [`schema::PresenceReport`]: who has the channel open |
//! | … `&watch=1` | the same and what changes, a [`schema::PresenceLine`] each |
//! | … `&observer=1`, also of messages | for a tool that [only looks] |
//! | `POST /v1/ping/{peer_id}` | [`schema::Ping`]: asks a peer and measures |
//!
//! [only looks]: crate::ChannelOptions::observer
//!
//! A channel is always named by the query, percent-encoded: every name has a place there, the empty
//! one (`?channel=`), `..` and those with a slash included, which a path has not. Without
//! `channel`, and with what is no UTF-8 when it is decoded, a request is refused. The answer to
//! `GET /v1/messages` begins as soon as the channel is open: what is posted after its headers
//! arrived will be in it. Every error comes back as a [`schema::Refused`].
//!
//! With `curl`: `curl --unix-socket "$XDG_RUNTIME_DIR/meshcast/fra-1.sock" http://node/v1/peers`.
//!
//! Only the user that runs the node gets in: the directory is 0700, the socket 0600, and the kernel
//! is asked who is at the other end. There is nothing to configure or to stop a node by; it reads
//! and posts. The server does not keep its node alive.

// May use: `node`, as any application does, and what reports are made of.
// Must not: be used by what it reports on: the node does not know that it is asked.

pub(crate) mod directory;
mod post;
mod presence;
mod refusal;
mod reports;
mod routes;
pub mod schema;
mod server;
mod shared;
mod socket;
mod trace;
mod watch;

use std::path::PathBuf;

pub(crate) use self::server::Serving;
pub use self::{directory::socket_directories, socket::Listener};
pub use crate::error::{AdminError, DirectoryFault};

/// The place of a node's admin socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AdminSocket {
    /// There is none.
    #[default]
    Off,
    /// `<name>.sock` in the first of [`socket_directories`], which is made if need be.
    Default,
    /// At this path. Its directory must be there.
    At(PathBuf),
}
