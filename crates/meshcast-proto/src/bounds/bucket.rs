//! Token buckets: how much of something there may be in a time.

use std::time::Duration;

use crate::wire::Time;

/// The tokens taken out of a bucket, kept as the time at which the bucket is full again (the
/// generic cell rate algorithm). That is one number, and needs no timer. It starts full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenBucket(Option<Time>);

/// How fast a [`TokenBucket`] fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many tokens come in [`Self::interval`].
    tokens: u32,
    interval: Duration,
    /// From how much on credit nothing more is given, as the time until that is paid back.
    burst: Duration,
}

impl Rate {
    /// So many tokens a second; a full bucket holds as many as come in `burst`. More may be taken
    /// than there is: the next then has to wait for it.
    pub const fn per_second(tokens: u32, burst: Duration) -> Self {
        let interval = Duration::from_secs(1);
        Self {
            tokens: if tokens == 0 { 1 } else { tokens },
            interval,
            burst,
        }
    }

    /// A token every `interval`; a full bucket holds `at_once`, one at least.
    pub const fn every(interval: Duration, at_once: u32) -> Self {
        Self {
            tokens: 1,
            interval,
            // The last of them is given when there is just one.
            burst: interval.saturating_mul(at_once.saturating_sub(1)),
        }
    }

    /// An equal share of it for each of so many.
    pub(crate) fn shared_by(self, many: usize) -> Self {
        let many = u32::try_from(many.max(1)).unwrap_or(u32::MAX);
        Self {
            tokens: (self.tokens / many).max(1),
            ..self
        }
    }

    /// How long it takes for so many tokens to come.
    fn time_for(self, tokens: usize) -> Duration {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        self.interval.saturating_mul(tokens) / self.tokens
    }
}

impl TokenBucket {
    /// One of which nothing was taken.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// From when on something may be taken; `None`: at any time.
    pub fn due(self, rate: Rate) -> Option<Time> {
        self.0.map(|full| full - rate.burst)
    }

    /// Whether something may be taken now.
    pub fn is_due(self, rate: Rate, now: Time) -> bool {
        self.due(rate) <= Some(now)
    }

    /// When the bucket is full again; `None` if nothing was ever taken. It does not say who took
    /// less: who took much long ago is full earlier than who took little just now.
    pub(crate) const fn full(self) -> Option<Time> {
        self.0
    }

    /// Whether the bucket is full, as if nothing had ever been taken.
    pub fn is_full(self, now: Time) -> bool {
        self.0.is_none_or(|full| full <= now)
    }

    /// How many tokens were taken that have not come back.
    pub fn taken(self, rate: Rate, now: Time) -> u64 {
        let owed = self
            .0
            .map_or(Duration::ZERO, |full| full.saturating_since(now));
        let token = rate.interval.as_nanos() / u128::from(rate.tokens);
        u64::try_from(owed.as_nanos() / token.max(1)).unwrap_or(u64::MAX)
    }

    /// Takes so many tokens, whether they are there or not.
    pub fn take(&mut self, tokens: usize, rate: Rate, now: Time) {
        let since = self.0.map_or(now, |full| full.max(now));
        self.0 = Some(since + rate.time_for(tokens));
    }

    /// Takes one if it [is due](Self::is_due). `false` if not.
    pub fn try_take(&mut self, rate: Rate, now: Time) -> bool {
        let is_due = self.is_due(rate, now);
        if is_due {
            self.take(1, rate, now);
        }
        is_due
    }

    /// Gives one back.
    pub fn put_back(&mut self, rate: Rate) {
        self.0 = self.0.map(|full| full - rate.time_for(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn so_many_at_once_and_then_one_per_interval() {
        let rate = Rate::every(Duration::from_secs(10), 2);
        let mut bucket = TokenBucket::default();
        let taken = [0, 1, 2, 9, 10, 11, 20, 60, 60, 60].map(|it| bucket.try_take(rate, at(it)));
        let expected = [
            true, true, false, false, true, false, true, true, true, false,
        ];
        assert_eq!(taken, expected);
        assert_eq!(bucket.due(rate), Some(at(70)));
        assert!(bucket.try_take(rate, at(70)));
    }

    #[test]
    fn tokens_that_are_put_back_may_be_taken_again() {
        let rate = Rate::every(Duration::from_secs(10), 2);
        let mut bucket = TokenBucket::default();
        bucket.put_back(rate);
        assert!(bucket.is_full(at(5)));
        for _ in 0..5 {
            assert!(bucket.try_take(rate, at(5)));
            bucket.put_back(rate);
        }
        assert!(bucket.is_full(at(5)));
        assert_eq!(
            [(); 3].map(|()| bucket.try_take(rate, at(5))),
            [true, true, false]
        );
    }

    #[test]
    fn more_than_there_is_is_taken_on_credit() {
        let rate = Rate::per_second(100, Duration::from_secs(1));
        let mut bucket = TokenBucket::default();
        bucket.take(350, rate, at(10));
        assert_eq!(bucket.taken(rate, at(10)), 350);
        assert_eq!(bucket.taken(rate, at(12)), 150);
        assert_eq!(bucket.due(rate), Some(at(12) + Duration::from_millis(500)));
        assert!(!bucket.is_due(rate, at(12)));
        assert!(bucket.is_due(rate, at(13)));
        bucket.take(usize::MAX, Rate::every(Duration::MAX, u32::MAX), at(13));
        assert!(!bucket.is_full(at(1_000_000)));
    }
}
