//! Warnings that others can provoke must not fill the disk.

use std::time::Duration;

use meshcast_proto::Time;

/// Lets one of a kind through in a second, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: Option<Time>,
    suppressed: u64,
}

impl Throttle {
    /// Whether it may be said now; if so, how many were not since the last.
    pub(crate) fn pass(&mut self, now: Time) -> Option<u64> {
        if self
            .last
            .is_some_and(|last| now.saturating_since(last) < INTERVAL)
        {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_said_with_the_number_of_the_others() {
        let mut throttle = Throttle::default();
        let at = |millis| Time::from_start(Duration::from_millis(millis));
        let said = [0, 1, 999, 1000, 1500, 3000, 9000].map(|millis| throttle.pass(at(millis)));
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1), Some(0)]);
    }
}
