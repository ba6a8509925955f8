//! Messages of peers take a share of the time of a node that has other things to do.

use std::time::Duration;

use meshcast_proto::Time;

/// The share of the time that some work takes while there is other work: a quarter.
#[derive(Debug)]
pub(super) struct Share {
    /// Until then it has taken its share.
    rests_until: Time,
}

impl Share {
    pub(super) const fn new() -> Self {
        Self {
            rests_until: Time::ZERO,
        }
    }

    /// Whether the work may go on now beside other work.
    pub(super) fn is_due(&self, now: Time) -> bool {
        now >= self.rests_until
    }

    /// The work was done from `start` to `end`.
    pub(super) fn charge(&mut self, start: Time, end: Time) {
        let took = end.saturating_since(start);
        if took >= NOTICEABLE {
            self.rests_until = end + took * REST;
        }
    }
}

/// Work that took longer than this at once rests [`REST`] times as long. Less is no delay that
/// anybody notices, and its turns are bounded by [`WORK_A_ROUND`](super::WORK_A_ROUND).
const NOTICEABLE: Duration = Duration::from_millis(1);
const REST: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_start(Duration::from_micros(micros))
    }

    /// A loop that always has other work, each turn of which takes 100 µs.
    fn taken(turn: u64) -> u64 {
        let (mut share, mut now, mut taken) = (Share::new(), 0, 0);
        while now < 20_000_000 {
            if share.is_due(at(now)) {
                share.charge(at(now), at(now + turn));
                (now, taken) = (now + turn, taken + turn);
            }
            now += 100;
        }
        taken * 100 / now
    }

    #[test]
    fn long_turns_take_a_quarter_of_the_time_and_no_more() {
        for turn in [1_000, 5_000, 40_000] {
            let percent = taken(turn);
            assert!((23..=26).contains(&percent), "{turn} µs: {percent} %");
        }
    }

    #[test]
    fn short_turns_do_not_wait() {
        assert!(taken(100) >= 49);
    }
}
