//! The offset of a peer's wall clock from ours, by its posts.

use std::time::Duration;

use meshcast_proto::{Time, WallTime};

/// The time that a peer wrote on a post, compared with when that came.
///
/// A delay on the way makes its clock look behind, and nothing makes it look ahead. So the highest
/// difference of a while is the truest.
#[derive(Debug, Default)]
pub(super) struct Skew {
    /// The highest of the span that goes on, and of the one before; in milliseconds.
    highest: [Option<i64>; 2],
    began: Option<Time>,
}

impl Skew {
    /// Something came straight from the peer, posted then by its clock.
    pub(super) fn note(&mut self, posted: WallTime, wall: WallTime, now: Time) {
        let began = *self.began.get_or_insert(now);
        if began + SPAN <= now {
            self.began = Some(now);
            let is_recent = now < began + 2 * SPAN;
            self.highest = [None, self.highest[0].filter(|_| is_recent)];
        }
        let ahead = signed(posted.unix_millis()).saturating_sub(signed(wall.unix_millis()));
        self.highest[0] = self.highest[0].max(Some(ahead));
    }

    /// The offset of its clock, in microseconds, if the way back takes as long as the way here.
    /// `None` if nothing came, or nothing for long.
    pub(super) fn ahead_us(&self, rtt: Option<Duration>, now: Time) -> Option<i64> {
        let began = self.began.filter(|began| now < *began + 2 * SPAN)?;
        let passed = began + SPAN <= now;
        let spans = if passed {
            &self.highest[..1]
        } else {
            &self.highest[..]
        };
        let highest = spans.iter().copied().max()??;
        let way = i64::try_from(rtt.unwrap_or_default().as_micros() / 2).unwrap_or(i64::MAX);
        Some(highest.saturating_mul(1_000).saturating_add(way))
    }
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// For so long, or twice that, a difference counts: clocks are set, and drift.
const SPAN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Time {
        Time::from_start(Duration::from_secs(secs))
    }

    fn wall(millis: u64) -> WallTime {
        WallTime::from_unix_millis(1_000_000 + millis)
    }

    #[test]
    fn a_clock_is_as_far_off_as_what_came_fastest_shows() {
        let mut skew = Skew::default();
        assert_eq!(skew.ahead_us(None, at(0)), None);
        skew.note(wall(0), wall(400), at(0));
        skew.note(wall(1_000), wall(1_050), at(1));
        skew.note(wall(2_000), wall(2_900), at(2));
        let rtt = Some(Duration::from_millis(90));
        assert_eq!(skew.ahead_us(rtt, at(3)), Some(-5_000));
        skew.note(wall(9_000), wall(3_000), at(3));
        assert_eq!(skew.ahead_us(None, at(3)), Some(6_000_000));
    }

    #[test]
    fn what_a_clock_showed_before_it_was_set_is_forgotten() {
        let mut skew = Skew::default();
        skew.note(wall(9_000), wall(0), at(0));
        skew.note(wall(60_000), wall(60_000), at(60));
        assert_eq!(
            skew.ahead_us(None, at(61)),
            Some(9_000_000),
            "it may be so still"
        );
        skew.note(wall(120_000), wall(120_000), at(120));
        assert_eq!(skew.ahead_us(None, at(121)), Some(0));
        assert_eq!(skew.ahead_us(None, at(200)), Some(0));
        assert_eq!(
            skew.ahead_us(None, at(240)),
            None,
            "it has posted nothing for long"
        );
    }
}
