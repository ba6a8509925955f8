//! What can be set.

use std::time::Duration;

use crate::{
    bounds::MEMORY_BYTES,
    log::HistoryLimits,
    replication::{LogLimits, LogsLimits, RepairLimits},
};

/// What can be set. Every default is reasoned at its field.
#[derive(Debug, Clone)]
pub struct Config {
    /// The longest value put together from fragments, in bytes. 1 MiB: what users of hosted
    /// channels expect as a limit; every sender that is halfway through a value takes that much of
    /// `max_held_total_bytes`.
    pub max_message_len: usize,
    /// How many bytes one reorder buffer holds while it waits for earlier numbers. 4 MiB: 80 ms at
    /// full speed.
    pub max_held_bytes: usize,
    /// How many bytes of frames and half-finished values all senders together may make this node
    /// hold. Over it, the member that holds the most loses its highest frames, which become
    /// missing, or half-finished value. 64 MiB: sixteen reorder buffers at their limit, as much as
    /// the history.
    pub max_held_total_bytes: usize,
    /// How many bytes all that waits or is remembered may take together, beside the history: frames
    /// behind holes, half-finished values, logs and who claims to have them, what neighbours
    /// opened; with the driver, queues of links and of channels as well. Whoever takes as much as
    /// is free gets no more, see [`Budget`](crate::Budget). 256 MiB: an instance with 16,000
    /// channels and four senders on each takes half of it.
    pub memory_bytes: usize,
    /// How long a hole is waited for at least before it is reported, although nobody who is there
    /// keeps what is missing. 2 s: several round trips round the world and a queue on the way.
    /// While somebody may come back who keeps it, a hole is waited for as long as history is kept.
    pub hole_timeout: Duration,
    /// What is kept for others. 64 MiB and 10 minutes.
    pub history: HistoryLimits,
    /// How many channel names this node may have open, or have posted on in its life: numbers must
    /// go on where they were when a channel is opened again. A name on which nothing was posted is
    /// forgotten once it is closed; of one that was, some 50 bytes stay. 262,144.
    pub max_channels: usize,
    /// How many pairs of a sender and a channel are followed, at least one, and at most a quarter
    /// of them of one member; the one not heard of for longest is forgotten first. Where it was is
    /// remembered for another 65,536 pairs, so that it goes on there. After that it is new: what
    /// was posted in between is no gap, and a late copy of an old frame no duplicate. 65,536 at 2
    /// to 4 KiB, for which `memory_bytes` is charged.
    pub max_logs: usize,
}

impl Config {
    pub(super) const fn logs_limits(&self) -> LogsLimits {
        LogsLimits {
            log: LogLimits {
                max_message_len: self.max_message_len,
                max_held_bytes: self.max_held_bytes,
            },
            repair: RepairLimits {
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
            max_logs: 65_536,
        }
    }
}
