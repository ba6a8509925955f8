//! Settings.

use std::time::Duration;

use crate::{
    bounds::MEMORY_BYTES,
    log::{HistoryLimits, LogLimits},
    replication::{FetchLimits, LogsLimits},
};

/// Settings. Each field says why its default is what it is.
#[derive(Debug, Clone)]
pub struct Config {
    /// The longest value put together from fragments, in bytes. 1 MiB: users of hosted channels
    /// expect about that limit. A sender halfway through a value takes as much of
    /// `max_held_total_bytes`.
    pub max_message_len: usize,
    /// How many bytes of frames one log may hold behind a missing number. 4 MiB: 80 ms at full
    /// speed.
    pub max_held_bytes: usize,
    /// The bytes of early frames and half-finished values that all senders together may make this
    /// node hold. Above it, the member that holds most gives up its highest frames, which count as
    /// missing again, or its half-finished value. 64 MiB: sixteen logs at their limit, as much as
    /// the history.
    pub max_held_total_bytes: usize,
    /// The bytes for everything that waits or is remembered, beside the history: frames behind
    /// holes, half-finished values, logs and claims about them, what peers opened, and the queues
    /// of the driver. An account that takes as much as is still free gets no more, see
    /// [`Budget`](crate::Budget). 256 MiB: an instance with 16,000 channels and four senders on
    /// each takes half of it.
    pub memory_bytes: usize,
    /// The least time that a hole waits before it is reported, when no connected peer keeps what is
    /// missing. 2 s: several round trips round the world and a queue on the way. While a peer that
    /// keeps it may come back, the hole waits for as long as history is kept.
    pub hole_timeout: Duration,
    /// The history: 64 MiB and 10 minutes.
    pub history: HistoryLimits,
    /// The number of channel names that this node may have open, or closed while something of them
    /// is kept. 262,144.
    pub max_channels: usize,
    /// Of how many names that were posted on, and of which nothing else is kept, the next number is
    /// remembered: numbering goes on there when one is opened again. Of further ones those that
    /// ended first are forgotten, and numbers on names that are not known begin above all of
    /// theirs: none is used twice. A listener that has heard a forgotten name before takes the
    /// numbers in between for missing. 262,144, at some 100 bytes.
    pub max_closed_names: usize,
    /// How many logs (pairs of sender and channel) are followed. At least one is, and one member
    /// gets at most a quarter of the places. The log not heard of for longest is forgotten first,
    /// of those that came by way of the peer that brought most unless that was long ago. The
    /// positions of 65,536 forgotten logs are remembered, so that they continue there, for as long
    /// as old frames are taken in: if there is no room for one more, a new log is not followed.
    /// 65,536, at 2 to 4 KiB charged to `memory_bytes`.
    pub max_logs: usize,
}

impl Config {
    pub(super) const fn logs_limits(&self) -> LogsLimits {
        LogsLimits {
            log: LogLimits {
                max_message_len: self.max_message_len,
                max_held_bytes: self.max_held_bytes,
            },
            fetch: FetchLimits {
                hole_timeout: self.hole_timeout,
                retention: self.history.age,
            },
            max_logs: self.max_logs,
            max_held_bytes: self.max_held_total_bytes,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_len: 1024 * 1024,
            max_held_bytes: 4 * 1024 * 1024,
            max_held_total_bytes: 64 * 1024 * 1024,
            memory_bytes: MEMORY_BYTES,
            hole_timeout: Duration::from_secs(2),
            history: HistoryLimits {
                bytes: 64 * 1024 * 1024,
                age: Duration::from_secs(600),
            },
            max_channels: 262_144,
            max_closed_names: 262_144,
            max_logs: 65_536,
        }
    }
}
