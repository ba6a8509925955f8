//! What a node may use.

use std::time::Duration;

/// Caps on what a node uses. Each default is meant for a service that has other things to do with its memory.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// The longest message in bytes, encoded. 1 MiB.
    pub max_message_bytes: usize,
    /// What may wait in the outbox of one channel before [`PostError::Full`](crate::PostError::Full). 8 MiB:
    /// a burst of a hundred thousand small messages. An empty outbox takes any message.
    pub outbox_bytes: usize,
    /// What may wait in one channel for its slowest reader in this process. 8 MiB.
    pub unread_bytes: usize,
    /// How many channels may be open at once, those closed in the last two minutes included. 16,000: peers
    /// accept announcements of 16,384.
    pub max_channels: usize,
    /// What is kept of all channels for other members, in bytes. 64 MiB.
    pub history_bytes: usize,
    /// For how long it is kept. 10 minutes.
    pub history_age: Duration,
    /// How many members may be connected. 256, each up to 1,024 frames of queue if it stalls.
    pub max_peers: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 1024 * 1024,
            outbox_bytes: 8 * 1024 * 1024,
            unread_bytes: 8 * 1024 * 1024,
            max_channels: 16_000,
            history_bytes: 64 * 1024 * 1024,
            history_age: Duration::from_secs(600),
            max_peers: 256,
        }
    }
}
