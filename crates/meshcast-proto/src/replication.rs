//! Replication: what connected peers have, lack and were asked for, and what each log needs of
//! them.
//!
//! All of it is reports: what a peer says may start a request, and never moves a cursor by itself.
//!
//! May use: the wings below, [`log`](crate::log) and [`flow_control`](crate::flow_control) among
//! them.
//! Must not: send, sign or verify anything. It returns what is to be done, and the
//! [`engine`](crate::engine) does it.

mod advertiser;
mod announcements;
mod answer;
mod digest;
mod fetch;
mod forwarding;
mod inbox;
mod jitter;
mod logs;
mod origin;
mod peers;
mod progress;
mod replica;
mod route;
mod serving;
mod upstreams;

pub(crate) use advertiser::{Advertiser, Inventory};
pub(crate) use answer::Examined;
pub(crate) use fetch::FetchLimits;
pub(crate) use forwarding::Recipients;
pub use inbox::Inbox;
pub(crate) use logs::{
    Acked, Advances, Answering, Batch, Effects, Logs, LogsLimits, ReceivedFrame,
};
pub(crate) use origin::Posted;
pub(crate) use peers::{Have, Peers, Wanted};
pub(crate) use progress::Checked;
pub(crate) use replica::Replica;
pub(crate) use serving::{Served, Serving};

#[cfg(test)]
pub(crate) use jitter::Jitter;
