//! What handles ask of the driver.

use std::time::Duration;

use libp2p::PeerId;
use tokio::sync::oneshot;

use crate::{
    driver::{Inspected, View},
    error::PingError,
    handover::Flushed,
    inspect::{Counters, NodeInfo},
    node::Ready,
};

/// A question to the driver, with where the answer goes. Whoever asked may have left.
#[derive(Debug)]
pub(crate) enum Command {
    Inspect(View, oneshot::Sender<Inspected>),
    Counters(oneshot::Sender<Counters>),
    Info(oneshot::Sender<NodeInfo>),
    /// Answered when the node is ready.
    Ready(oneshot::Sender<Ready>),
    Ping(PeerId, oneshot::Sender<Result<Duration, PingError>>),
    /// Answered when members have what was posted before.
    Flush(oneshot::Sender<Flushed>),
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
