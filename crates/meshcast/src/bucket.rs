//! A token bucket: so many at once, and from then on one per interval.

use std::time::Duration;

use meshcast_proto::Time;

/// Starts full.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    burst: u32,
    interval: Duration,
    tokens: u32,
    /// Since when the next token has been growing. Means nothing while the bucket is full.
    growing: Time,
}

impl TokenBucket {
    pub(crate) const fn new(burst: u32, interval: Duration) -> Self {
        Self {
            burst,
            interval,
            tokens: burst,
            growing: Time::ZERO,
        }
    }

    /// Takes a token. `false` if there is none.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        self.grow(now);
        if self.tokens == 0 {
            return false;
        }
        if self.tokens == self.burst {
            self.growing = now;
        }
        self.tokens -= 1;
        true
    }

    /// When [`Self::take`] succeeds; a time that is past if it would now.
    pub(crate) fn due(&self) -> Time {
        if self.tokens > 0 {
            Time::ZERO
        } else {
            self.growing + self.interval
        }
    }

    /// Gives one back.
    pub(crate) const fn put_back(&mut self) {
        if self.tokens < self.burst {
            self.tokens += 1;
        }
    }

    /// Whether it is as if it had never been used.
    pub(crate) fn is_full(&mut self, now: Time) -> bool {
        self.grow(now);
        self.tokens == self.burst
    }

    fn grow(&mut self, now: Time) {
        while self.tokens < self.burst && self.growing + self.interval <= now {
            self.growing = self.growing + self.interval;
            self.tokens += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_one_per_interval() {
        let at = |seconds| Time::from_start(Duration::from_secs(seconds));
        let mut bucket = TokenBucket::new(2, Duration::from_secs(10));
        let taken = [0, 1, 2, 9, 10, 11, 20, 60, 60, 60].map(|second| bucket.take(at(second)));
        let expected = [
            true, true, false, false, true, false, true, true, true, false,
        ];
        assert_eq!(taken, expected);
        assert_eq!(bucket.due(), at(70));
        assert!(bucket.take(at(70)));
    }
}
