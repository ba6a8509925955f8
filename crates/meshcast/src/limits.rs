//! What a node may use.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    config::units::{bytes_form, time_form},
    error::SpawnError,
};

/// Caps on what a node uses. Each default is meant for a service that has other things to do with
/// its memory.
///
/// Fields may be added, so begin with the defaults:
///
/// ```
/// # use meshcast::{Limits, Node};
/// let mut limits = Limits::default();
/// limits.max_peers = 8;
/// let builder = Node::builder().limits(limits);
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// The longest message in bytes, encoded. 1 MiB; at least 1 byte and at most 32 MiB, half of
    /// what a node holds of messages of which fragments are missing.
    #[serde(with = "bytes_form")]
    pub max_message_bytes: usize,
    /// What may wait in the outbox of one channel before
    /// [`PostError::Full`](crate::PostError::Full). 8 MiB: a burst of a hundred thousand small
    /// messages. An empty outbox takes any message.
    #[serde(with = "bytes_form")]
    pub outbox_bytes: usize,
    /// What may wait in one channel for its slowest reader in this process. 8 MiB. A reader that is
    /// further behind is given what is kept of all channels, see `history_bytes`, and is told what
    /// is not.
    #[serde(with = "bytes_form")]
    pub unread_bytes: usize,
    /// How many channels may be open at once. Those closed in the last two minutes count too, but
    /// make way for others, the longest closed first. 16,000: peers accept announcements of 16,384,
    /// so more may not be set.
    pub max_channels: usize,
    /// What is kept of all channels for other members, and for readers here that are behind, in
    /// bytes. 64 MiB. A frame counts with its length on the wire and 256 bytes for its place:
    /// 70,000 messages of 256 bytes that each travelled alone, several times as many that travelled
    /// together.
    #[serde(with = "bytes_form")]
    pub history_bytes: usize,
    /// What all that waits or is remembered may take together, beside `history_bytes`, in bytes:
    /// the outboxes and what is unread of all channels, what waits for members, behind missing
    /// messages and for the rest of large ones, and what members say that they have. Each entry is
    /// charged to whoever causes it; whoever takes as much as is free gets no more, and that is
    /// counted with the name in [`inspect`](crate::Node::inspect). 256 MiB, at least 16.
    #[serde(with = "bytes_form")]
    pub memory_bytes: usize,
    /// For how long what others may ask for is kept, since it came. 10 minutes.
    #[serde(with = "time_form")]
    pub history_age: Duration,
    /// How many members may be connected, whoever dialled; further ones are refused at the gate,
    /// and told that there is no room. 256, each up to 1,024 frames of queue if it stalls; at most
    /// 4,096.
    pub max_peers: u32,
}

impl Limits {
    /// # Errors
    /// [`SpawnError::Limits`] for the first value that cannot work.
    pub(crate) fn check(&self) -> Result<(), SpawnError> {
        let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let checks: [(_, _, RangeInclusive<u64>); 4] = [
            (
                "max_message_bytes",
                wide(self.max_message_bytes),
                1..=32 * 1024 * 1024,
            ),
            ("max_channels", wide(self.max_channels), 1..=16_000),
            (
                "memory_bytes",
                wide(self.memory_bytes),
                16 * 1024 * 1024..=u64::MAX,
            ),
            ("max_peers", self.max_peers.into(), 1..=4096),
        ];
        for (limit, value, allowed) in checks {
            if !allowed.contains(&value) {
                return Err(SpawnError::Limits {
                    limit,
                    value,
                    allowed,
                });
            }
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 1024 * 1024,
            outbox_bytes: 8 * 1024 * 1024,
            unread_bytes: 8 * 1024 * 1024,
            max_channels: 16_000,
            history_bytes: 64 * 1024 * 1024,
            memory_bytes: 256 * 1024 * 1024,
            history_age: Duration::from_secs(600),
            max_peers: 256,
        }
    }
}
