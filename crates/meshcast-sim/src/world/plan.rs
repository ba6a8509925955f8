//! What will happen, in the order of time.

use std::{cmp::Reverse, collections::BinaryHeap};

use meshcast_proto::Sender;

use super::gossip::Copied;
use crate::at::At;

#[derive(Debug, Default)]
pub(super) struct Plan {
    queue: BinaryHeap<Reverse<Planned>>,
    planned: u64,
}

/// Something that will happen, unless it does not matter any more by then.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Planned {
    at: At,
    /// What was planned first happens first.
    number: u64,
    action: Action,
}

impl Plan {
    pub(super) fn add(&mut self, at: At, action: Action) {
        let number = self.planned;
        self.planned += 1;
        self.queue.push(Reverse(Planned { at, number, action }));
    }

    pub(super) fn next_at(&self) -> Option<At> {
        self.queue.peek().map(|Reverse(next)| next.at)
    }

    /// What happens next, and when.
    pub(super) fn next(&mut self) -> Option<(At, Action)> {
        let Reverse(Planned { at, action, .. }) = self.queue.pop()?;
        Some((at, action))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Action {
    /// A step of the script.
    Step(usize),
    /// The engine of a process wants to be called.
    Wake { host: usize, start: u32 },
    /// A host posts what comes next.
    Post(usize),
    /// The rest of a burst.
    Burst {
        host: usize,
        start: u32,
        values: u64,
        size: usize,
    },
    /// A copy of a gossip message arrives over a link, at that end of it.
    Gossip { conn: u64, copy: Copied },
    /// The next sync message arrives at that end.
    Sync { link: usize, end: usize, conn: u64 },
    /// A process learns that a link is there, or is gone.
    Up { link: usize, end: usize, conn: u64 },
    Down {
        link: usize,
        end: usize,
        peer: Sender,
    },
    /// Somebody notices that nothing comes through any more.
    Detect { link: usize, conn: u64, since: At },
    /// Somebody tries to connect.
    Dial(usize),
    /// The memory of all is looked at.
    Sample,
    /// The faults are over.
    Calm,
    /// The run is over.
    Finish,
}
