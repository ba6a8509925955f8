//! What the process that compares and the processes that are nodes say to each other: one JSON
//! value a line.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{system::System, tally::Counted};

/// What a node process is, in its argument.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// Of which system.
    pub(crate) system: System,
    /// Its place, from 0. Node 0 publishes, the others subscribe.
    pub(crate) index: usize,
    /// Where the nodes it is linked to are that were started before it; or the broker.
    pub(crate) peers: Vec<String>,
    /// Whether it keeps to those links, if it could find further nodes by itself.
    pub(crate) links_only: bool,
    /// What it publishes.
    pub(crate) payload: Payload,
    /// Whether allocations are counted, which costs a little.
    pub(crate) count_allocations: bool,
}

/// What a message carries besides its stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Payload {
    /// This many bytes, the stamp included.
    Bytes(usize),
    /// A struct that serde writes and reads.
    Typed,
}

/// How a publisher publishes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Load {
    /// As fast as it is let, for so long.
    Flat { seconds: f64 },
    /// At a rate, in bursts if that is over a thousand.
    Paced { per_second: f64, messages: u64 },
    /// Nothing for so long: what goes on beside it is measured by itself.
    Silent { seconds: f64 },
}

/// Small messages on the further channels in turn, for as long as a load lasts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Beside {
    /// Not that of the load.
    pub(crate) run: u16,
    pub(crate) per_second: f64,
}

/// What a node is told to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Publish messages of no run until the next order.
    Probe,
    /// Do nothing but what the system does by itself.
    Rest,
    /// Publish, then answer [`Reply::Published`].
    Publish {
        run: u16,
        load: Load,
        beside: Option<Beside>,
    },
    /// Count what comes of this run from now on, and apart from it what comes of the one beside it;
    /// answer [`Reply::Counting`].
    Count {
        run: u16,
        keep: bool,
        beside: Option<u16>,
    },
    /// Answer [`Reply::Counted`] when so many have come of both, or none for so long.
    Finish {
        expected: u64,
        expected_beside: u64,
        quiet_ms: u64,
    },
    /// Answer [`Reply::Usage`].
    Usage,
    /// Open so many further channels, and answer [`Reply::Opened`] when they are part of the mesh.
    Open { channels: usize },
    /// Publish one message on each of the further channels, then answer [`Reply::Published`].
    PublishEach { run: u16 },
}

/// What a node answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// It runs, and others reach it there.
    Ready {
        address: String,
    },
    /// The first message of all came.
    Heard,
    Published(Published),
    Counting,
    Counted(Counted),
    Usage(Usage),
    Opened,
    /// It cannot go on.
    Failed {
        error: String,
    },
}

/// What a publisher did.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) messages: u64,
    /// On further channels meanwhile.
    pub(crate) beside: u64,
    /// How often the system refused one, which was then tried again.
    pub(crate) refused: u64,
    /// By [`crate::clock::now`].
    pub(crate) started: u64,
    pub(crate) ended: u64,
}

/// The resources that a process has used since it started.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Nanoseconds, user and system, of all its threads.
    pub(crate) cpu: u64,
    /// Allocations, if they are counted.
    pub(crate) allocations: u64,
    /// Bytes asked for in them.
    pub(crate) allocated_bytes: u64,
    /// Bytes copied in memory, if they are counted.
    pub(crate) copied_bytes: u64,
}

impl Load {
    pub(crate) fn lasts(self) -> Duration {
        match self {
            Self::Flat { seconds } | Self::Silent { seconds } => Duration::from_secs_f64(seconds),
            Self::Paced {
                per_second,
                messages,
            } => Duration::from_secs_f64(messages as f64 / per_second),
        }
    }
}
