//! Somebody who waits until members have a message.

use tokio::sync::oneshot;

/// Why it is not known how many have a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The message is not kept any more ([`Limits::history_bytes`](crate::Limits::history_bytes),
    /// [`Limits::history_age`](crate::Limits::history_age)), and fewer had it until then than were
    /// asked for, or nobody asked. Members that lack it will not get it from this node.
    #[error("the message is no longer kept, and too few were known to have it")]
    Expired,
    /// As many wait for receipts as may.
    #[error("{limit} receipts are waited for, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
}

/// Somebody who waits until members have a record.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub(crate) record: u64,
    pub(crate) members: usize,
    /// Closed if nobody waits any more.
    pub(crate) answer: oneshot::Sender<Result<usize, AckError>>,
}

impl Awaited {
    /// How many may wait in one node. All are looked at once a second, at about 100 ns each; an
    /// acknowledgement looks only at those that it concerns.
    pub(crate) const MOST: usize = 4096;
}
