//! What handles ask of the driver.

use std::sync::Arc;

use libp2p::PeerId;
use tokio::sync::oneshot;

use crate::{
    driver::{Inspected, PingAnswer, View},
    error::AskError,
    handover::Flushed,
    inspect::{Counters, NodeInfo},
    node::Ready,
    presence::MemberInfo,
};

/// An answer that takes a while, so that only so many may wait for it.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, AskError>>;

/// A question to the driver, with where the answer goes. Whoever asked may have left.
#[derive(Debug)]
pub(crate) enum Command {
    Inspect(View, Answer<Arc<Inspected>>),
    Counters(oneshot::Sender<Counters>),
    Info(oneshot::Sender<NodeInfo>),
    Members(oneshot::Sender<Vec<MemberInfo>>),
    /// Answered when the node is ready.
    Ready(Answer<Ready>),
    Ping(PeerId, PingAnswer),
    /// Answered when members have what was posted before.
    Flush(Answer<Flushed>),
    /// What is known of single messages.
    #[cfg(feature = "admin")]
    Trace(
        crate::driver::TraceQuery,
        oneshot::Sender<crate::driver::Trace>,
    ),
    /// Makes the driver drain and stop.
    Shutdown,
    /// Makes the driver stop as it stands.
    Abort,
    /// Makes the driver fail as it never should.
    #[cfg(test)]
    Panic,
}

/// Questions waiting for the driver; whoever asks more waits.
pub(crate) const COMMANDS: usize = 64;
