//! Whether a node is ready and well, for probes.

use meshcast_proto::WallTime;
use serde::Serialize;

use crate::seed::SeedInfo;

/// Whether a node is well. See [`Node::health`](crate::Node::health).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// It runs, and answered within 3 s. If not, nothing else is known, and only a new start helps.
    pub live: bool,
    /// `true` if the condition of [`Node::ready`](crate::Node::ready) was met once, and the node is
    /// not stopping. A node that loses its company later stays ready: it keeps what is posted for
    /// those who come back.
    pub ready: bool,
    /// The number of connected members, not counting the node itself.
    pub members: usize,
    /// Since when nobody is; `None` while somebody is. From its start on for a node that is the
    /// first of its fleet.
    pub isolated_since: Option<WallTime>,
    /// The count of numbers known to be missing: posted by others on channels that are open here,
    /// and neither delivered nor given up so far. Some are always on their way under load; what
    /// does not go down within seconds is not. `None` if it was not looked at, since 1,024 tasks of
    /// this process wait for a look at the node already.
    pub behind_by: Option<u64>,
    /// The states of the seeds, in the order they were given.
    pub seeds: Vec<SeedInfo>,
}

/// What of it is known without a look at each channel.
#[derive(Debug)]
pub(crate) struct Vitals {
    pub(crate) ready: bool,
    pub(crate) members: usize,
    pub(crate) isolated_since: Option<WallTime>,
    pub(crate) seeds: Vec<SeedInfo>,
}

/// The members that a node found until it was ready. See [`Node::ready`](crate::Node::ready).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Ready {
    /// The number of members connected at that moment, not counting the node itself. With 0 it is
    /// alone.
    pub members: usize,
}
