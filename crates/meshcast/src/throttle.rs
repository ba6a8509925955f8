//! Log lines that others can provoke must not fill the disk.

use std::time::Duration;

use meshcast_proto::{Rate, Time, TokenBucket};

/// Lets so many of a kind through at once and one a second in the long run, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Throttle<const BURST: u32 = 1> {
    bucket: TokenBucket,
    suppressed: u64,
}

impl<const BURST: u32> Throttle<BURST> {
    /// Whether it may be said now; if so, how many were not since the last.
    pub(crate) fn pass(&mut self, now: Time) -> Option<u64> {
        if !self.bucket.try_take(Rate::every(INTERVAL, BURST), now) {
            self.suppressed += 1;
            return None;
        }
        Some(std::mem::take(&mut self.suppressed))
    }
}

const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn said<const BURST: u32>(millis: &[u64]) -> Vec<Option<u64>> {
        let mut throttle = Throttle::<BURST>::default();
        let at = |millis| Time::from_start(Duration::from_millis(millis));
        millis
            .iter()
            .map(|millis| throttle.pass(at(*millis)))
            .collect()
    }

    #[test]
    fn one_a_second_is_said_with_the_number_of_the_others() {
        let said = said::<1>(&[0, 1, 999, 1000, 1500, 3000, 9000]);
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1), Some(0)]);
    }

    #[test]
    fn a_few_may_be_said_at_once_but_not_again_and_again() {
        let said = said::<3>(&[
            500, 500, 500, 500, 1499, 1500, 1500, 99_000, 99_000, 99_000, 99_000,
        ]);
        let (yes, no) = (Some(0), None);
        assert_eq!(said[..5], [yes, yes, yes, no, no]);
        assert_eq!(said[5..7], [Some(2), no]);
        assert_eq!(said[7..], [Some(1), yes, yes, no]);
    }
}
