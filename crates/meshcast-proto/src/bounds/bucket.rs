//! Token buckets: limits on rates.

use std::time::Duration;

use crate::wire::Time;

/// What was taken out of a token bucket, kept as the time at which the bucket is full again (the
/// generic cell rate algorithm). That is one number, and needs no timer.
///
/// Ordered by who took less lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenBucket(Option<Time>);

/// How fast a [`TokenBucket`] fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Tokens a second.
    pub(crate) per_second: u32,
    /// A full bucket holds what comes in during this time.
    pub(crate) burst: Duration,
}

impl TokenBucket {
    /// From when on something may be taken; `None` if at any time. Taking is on credit: any amount
    /// may be taken, and the next one waits for it.
    pub(crate) fn due(self, rate: Rate) -> Option<Time> {
        self.0.map(|full| full - rate.burst)
    }

    /// Whether something may be taken now.
    pub(crate) fn is_due(self, rate: Rate, now: Time) -> bool {
        self.due(rate) <= Some(now)
    }

    /// Whether the bucket is full, as if nothing had ever been taken.
    pub(crate) fn is_full(self, now: Time) -> bool {
        self.0.is_none_or(|full| full <= now)
    }

    /// Takes so many tokens.
    pub(crate) fn take(&mut self, tokens: usize, rate: Rate, now: Time) {
        let takes = Duration::from_secs(tokens as u64) / rate.per_second.max(1);
        self.0 = Some(self.0.map_or(now, |full| full.max(now)) + takes);
    }
}
