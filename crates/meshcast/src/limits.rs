//! The limits of a node.

use std::{fmt, ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use crate::units::{self, bytes_form, time_form};

/// Caps on what a node uses. Each default is meant for a service that has other things to do with
/// its memory.
///
/// Fields may be added in any version, so end with the defaults:
///
/// ```
/// use meshcast::{Limits, Node};
///
/// let limits = Limits { max_peers: 8, ..Limits::default() };
/// let builder = Node::builder().limits(limits);
/// ```
// Not `non_exhaustive`, which would forbid just that. Code that names every field breaks when one
// is added, and says by that that it wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The longest message in bytes, encoded. 1 MiB; at least 1 byte and at most 32 MiB, half of
    /// what a node holds of messages of which fragments are missing.
    #[serde(with = "bytes_form")]
    pub max_message_bytes: usize,
    /// The bytes that may wait in the outbox of one channel before
    /// [`PostError::Full`](crate::PostError::Full). 8 MiB: a burst of a hundred thousand small
    /// messages. An empty outbox takes any message.
    #[serde(with = "bytes_form")]
    pub outbox_bytes: usize,
    /// The bytes that may wait in one channel for its slowest reader in this process. 8 MiB. A
    /// reader that is further behind is given what is kept of all channels, see `history_bytes`,
    /// and is told what is not.
    #[serde(with = "bytes_form")]
    pub unread_bytes: usize,
    /// The number of channels that may be open at once. Those closed in the last two minutes count
    /// too, but make way for others, the longest closed first. 16,000: peers accept announcements
    /// of 16,384, so more may not be set.
    pub max_channels: usize,
    /// The bytes kept of all channels for other members, and for readers here that are behind. 64
    /// MiB. A frame counts with its length on the wire and 256 bytes for its place: 70,000 messages
    /// of 256 bytes that each travelled alone, several times as many that travelled together.
    #[serde(with = "bytes_form")]
    pub history_bytes: usize,
    /// The memory, in bytes, for everything that waits or is remembered, beside `history_bytes`:
    /// the outboxes and unread messages of all channels, what waits for members, behind missing
    /// messages and for the rest of large ones, and what members say that they have. Each entry is
    /// charged to whoever causes it; whoever takes as much as is free gets no more, and that is
    /// counted with the name in [`inspect`](crate::Node::inspect). 256 MiB, at least 16.
    #[serde(with = "bytes_form")]
    pub memory_bytes: usize,
    /// For how long what others may ask for is kept, since it came. 10 minutes.
    #[serde(with = "time_form")]
    pub history_age: Duration,
    /// The number of members that may be connected, whoever dialled; further ones are refused at
    /// the gate, and told that there is no room. 256, each up to 1,024 frames of queue if it
    /// stalls; at most 4,096.
    pub max_peers: u32,
}

impl Limits {
    /// Each by name, in bytes and whole microseconds.
    pub(crate) fn numbers(&self) -> [(&'static str, u64); 8] {
        let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let age = u64::try_from(self.history_age.as_micros()).unwrap_or(u64::MAX);
        [
            ("max_message_bytes", wide(self.max_message_bytes)),
            ("outbox_bytes", wide(self.outbox_bytes)),
            ("unread_bytes", wide(self.unread_bytes)),
            ("max_channels", wide(self.max_channels)),
            ("history_bytes", wide(self.history_bytes)),
            ("memory_bytes", wide(self.memory_bytes)),
            ("history_age_us", age),
            ("max_peers", self.max_peers.into()),
        ]
    }

    /// # Errors
    /// [`LimitsError`]: each value that cannot work.
    pub(crate) fn check(&self) -> Result<(), LimitsError> {
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
        let bad = checks
            .into_iter()
            .filter(|(_, value, allowed)| !allowed.contains(value));
        let bad = bad.map(|(limit, value, allowed)| BadLimit {
            limit,
            value,
            allowed,
        });
        let bad: Vec<_> = bad.collect();
        match bad.is_empty() {
            true => Ok(()),
            false => Err(LimitsError(bad)),
        }
    }
}

/// Some of the [`Limits`] are set to what cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsError(Vec<BadLimit>);

impl LimitsError {
    /// Each of them, one at least.
    pub fn bad(&self) -> &[BadLimit] {
        &self.0
    }
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, bad) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            bad.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for LimitsError {}

/// One of the [`Limits`] that is set to what cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadLimit {
    /// The name of the field.
    pub limit: &'static str,
    /// The value that it was set to.
    pub value: u64,
    /// The allowed values.
    pub allowed: RangeInclusive<u64>,
}

impl fmt::Display for BadLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value| match self.limit.ends_with("_bytes") {
            true => units::shown_bytes(value),
            false => value.to_string(),
        };
        let (side, bound) = match self.value < *self.allowed.start() {
            true => ("least", self.allowed.start()),
            false => ("most", self.allowed.end()),
        };
        let (limit, value, bound) = (self.limit, shown(self.value), shown(*bound));
        write!(f, "{limit} is {value}; it must be at {side} {bound}")
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
