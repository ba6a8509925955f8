//! Measurements of a driver beside its counters, for metrics.
//!
//! May use: `by_region`, `channel` and `traffic`, which it is made of.
//! Must not: know how metrics are told.

mod histogram;

use std::time::Duration;

use meshcast_proto::{GapReason, Region, WallTime};

pub(crate) use self::histogram::Histogram;
use crate::{by_region::ByRegion, channel::Load, traffic::PassedBytes};

/// Kept up by the driver, in its own task.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    /// From a post to its delivery, by the region of the sender.
    pub(crate) latency: ByRegion<Histogram>,
    /// For how long a channel could not be posted on because its send window was full.
    pub(crate) window_wait: Histogram,
    /// Gaps that all objects of a channel are told of.
    pub(crate) missed: Missed,
}

/// Gaps and the messages that they name, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) lost: (u64, u64),
    pub(crate) too_large: (u64, u64),
    pub(crate) incomplete: (u64, u64),
}

/// What is only told of a node for its metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    pub(crate) latency: ByRegion<Histogram>,
    pub(crate) window_wait: Histogram,
    pub(crate) missed: Missed,
    /// Channels that cannot be posted on now because their send window is full.
    pub(crate) held_up: usize,
    /// What waits on all channels together.
    pub(crate) outbox_bytes: usize,
    pub(crate) unread_bytes: usize,
    pub(crate) passed: ByRegion<PassedBytes>,
    /// Members that are known, connected or not, but for this node.
    pub(crate) members: ByRegion<u64>,
}

impl Measures {
    /// Values of another member are delivered.
    pub(crate) fn delivered(
        &mut self,
        region: &Region,
        values: u64,
        posted_at: WallTime,
        now: WallTime,
    ) {
        // Clocks differ; nothing arrives before it is posted.
        let millis = now.unix_millis().saturating_sub(posted_at.unix_millis());
        let took = Duration::from_millis(millis);
        self.latency.get(region).observe(took, values);
    }
}

impl Missed {
    pub(crate) fn add(&mut self, reason: GapReason, messages: u64) {
        let of = match reason {
            GapReason::TooLarge => &mut self.too_large,
            GapReason::Incomplete => &mut self.incomplete,
            _ => &mut self.lost,
        };
        of.0 += 1;
        // One gap can be as long as the counter.
        of.1 = of.1.saturating_add(messages);
    }
}

impl Measured {
    /// What a channel has waiting.
    pub(crate) const fn add(&mut self, load: Load, is_held_up: bool) {
        self.outbox_bytes += load.outbox_bytes;
        self.unread_bytes += load.unread_bytes;
        self.held_up += is_held_up as usize;
    }
}
