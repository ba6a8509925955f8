//! Token buckets: how much of something there may be in a time.

use std::time::Duration;

use crate::wire::Time;

/// What was taken out of a token bucket, kept as the time at which the bucket is full again (the
/// generic cell rate algorithm): it takes one number and no timer to be filled.
///
/// In order of who took less lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenBucket(Option<Time>);

/// How fast a [`TokenBucket`] is filled, and how much there is in a full one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Tokens a second.
    pub(crate) per_second: u32,
    /// A full bucket holds as many as come in this time.
    pub(crate) burst: Duration,
}

impl TokenBucket {
    /// From when on something may be taken; `None`: at any time. It is taken on credit: as much as
    /// is wanted, and the next has to wait for it.
    pub(crate) fn due(self, rate: Rate) -> Option<Time> {
        self.0.map(|full| full - rate.burst)
    }

    /// Whether something may be taken now.
    pub(crate) fn is_due(self, rate: Rate, now: Time) -> bool {
        self.due(rate) <= Some(now)
    }

    /// Whether it is as if nothing had ever been taken.
    pub(crate) fn is_full(self, now: Time) -> bool {
        self.0.is_none_or(|full| full <= now)
    }

    /// Takes so many tokens.
    pub(crate) fn take(&mut self, tokens: usize, rate: Rate, now: Time) {
        let takes = Duration::from_secs(tokens as u64) / rate.per_second.max(1);
        self.0 = Some(self.0.map_or(now, |full| full.max(now)) + takes);
    }
}
