//! What connected peers have, lack and were asked for, and what each log needs of them.
//!
//! All of it is hearsay: what a peer says may start a request, and never moves a cursor by itself.
//!
//! May use: the wings below, [`log`](crate::log) and [`flow_control`](crate::flow_control) among
//! them.
//! Must not: send, sign or verify anything. It returns what is to be done, and the
//! [`engine`](crate::engine) does it.

mod digest;
mod flow;
mod flows;
mod inbox;
mod jitter;
mod neighbours;
mod repair;
mod serving;
mod untold;

pub(crate) use digest::Digest;
pub(crate) use flow::{Flow, FlowLimits, Posted};
pub(crate) use flows::{Answering, Batch, Effects, Flows, FlowsLimits, Heard};
pub use inbox::Inbox;
pub(crate) use neighbours::Wanted;
pub(crate) use repair::RepairLimits;
pub(crate) use serving::Serving;
pub(crate) use untold::Untold;

#[cfg(test)]
pub(crate) use {flow::UNFINISHED_TIMEOUT, jitter::Jitter, neighbours::Neighbours};
