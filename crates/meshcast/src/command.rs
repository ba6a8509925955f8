//! Questions of handles to the driver, and its answers.
//!
//! May use: plain types: `channel`, `error`, `health`, `inspect`, `measured`.
//! Must not: do anything: handles ask, the driver answers.

#[cfg(feature = "admin")]
mod trace;

use std::{sync::Arc, time::Duration};

use libp2p::PeerId;
use meshcast_proto::WallTime;
use tokio::sync::oneshot;

#[cfg(feature = "admin")]
pub(crate) use self::trace::{Trace, TraceQuery, Traced, TracedSender};
#[cfg(feature = "metrics")]
use crate::{channel::ObjectGaps, measured::Measured};
use crate::{
    error::{AskError, PingError},
    handover::Flushed,
    health::{Ready, Vitals},
    inspect::{Counters, MemberInfo, NodeInfo, Snapshot},
};

/// An answer that takes a while, so that only so many may wait for it.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, AskError>>;

/// A question to the driver, with where the answer goes. The caller may have left.
#[derive(Debug)]
pub(crate) enum Command {
    Inspect(View, Answer<Arc<Inspected>>),
    Counters(oneshot::Sender<Counters>),
    Info(oneshot::Sender<NodeInfo>),
    Members(oneshot::Sender<Vec<MemberInfo>>),
    Vitals(oneshot::Sender<Vitals>),
    /// Answered when the node is ready.
    Ready(Answer<Ready>),
    Ping(PeerId, PingAnswer),
    /// Answered when members have what was posted before.
    Flush(Answer<Flushed>),
    /// The known facts of single messages.
    #[cfg(feature = "admin")]
    Trace(TraceQuery, oneshot::Sender<Trace>),
    /// Makes the driver drain and stop.
    Shutdown,
    /// Makes the driver stop as it stands.
    Abort,
    /// Makes the driver fail as it never should.
    #[cfg(test)]
    Panic,
}

/// The answer to a question for a round trip.
pub(crate) type PingAnswer = oneshot::Sender<Result<Duration, PingError>>;

/// The optional parts of a snapshot, beside those that are always there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) peers: bool,
    pub(crate) channels: bool,
    /// How much is known to be missing on all channels.
    pub(crate) behind: bool,
}

/// What was seen. Shared by all who asked for it; the copying is theirs.
#[derive(Debug, Clone)]
pub(crate) struct Inspected {
    pub(crate) snapshot: Snapshot,
    pub(crate) ready: bool,
    pub(crate) isolated_since: Option<WallTime>,
    pub(crate) behind_by: u64,
    #[cfg(feature = "metrics")]
    pub(crate) measured: Measured,
    /// Numbers that single objects were told they will not get.
    #[cfg(feature = "metrics")]
    pub(crate) object_gaps: ObjectGaps,
}

impl Inspected {
    pub(crate) fn vitals(&self) -> Vitals {
        Vitals {
            ready: self.ready,
            members: self.snapshot.node.members,
            isolated_since: self.isolated_since,
            seeds: self.snapshot.seeds.clone(),
        }
    }
}

/// Questions waiting for the driver; whoever asks more waits.
pub(crate) const COMMANDS: usize = 64;
