//! The only place that reads clocks.
//!
//! All of them are tokio's, which are the system's unless a test has paused its runtime: then all
//! that a node on it does goes by the time of the test.

#[cfg(feature = "admin")]
use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshcast_proto::{Time, WallTime};
pub(crate) use tokio::time::Instant;

/// Turns the monotonic clock into the protocol's [`Time`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Time {
        Time::from_start(self.start.elapsed())
    }

    /// Tokio's name for a point in time.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.start + time.since_start()
    }
}

/// A moment, for those who have no clock of a node at hand. Ask it how long ago it was.
pub(crate) fn moment() -> Instant {
    Instant::now()
}

/// The present reading of the wall clock for this moment: the clock may have been set since.
pub(crate) fn wall_time_of(moment: Instant) -> WallTime {
    wall_time() - moment.elapsed()
}

/// The wall clock; the Unix epoch itself if the system's is before it.
pub(crate) fn wall_time() -> WallTime {
    WallTime::MIN + since_epoch()
}

fn since_epoch() -> Duration {
    let now = SystemTime::now();
    #[cfg(feature = "testing")]
    let now = as_paused(now);
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    #[cfg(test)]
    let since = since.saturating_sub(wrong::behind());
    since
}

/// How the wall clock stood at each moment, for as long as messages are kept. A reading of now and
/// the time since then would not say: clocks are set, and corrected all the time.
#[cfg(feature = "admin")]
#[derive(Debug, Default)]
pub(crate) struct WallLog {
    /// From when on the wall clock was so far from a clock of the node, in microseconds.
    offsets: VecDeque<(Time, i64)>,
}

#[cfg(feature = "admin")]
impl WallLog {
    /// Looks at both clocks. To be called every second or so.
    pub(crate) fn look(&mut self, clock: &Clock) {
        let (now, wall) = (clock.now(), since_epoch());
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let offset = micros(wall).saturating_sub(micros(now.since_start()));
        let last = self.offsets.back().map(|(_, offset)| *offset);
        if last.is_some_and(|last| last.abs_diff(offset) < MOVED) {
            return;
        }
        self.offsets.push_back((now, offset));
        if self.offsets.len() > OFFSETS {
            self.offsets.pop_front();
        }
    }

    /// The time of the wall clock then, as far as it was looked at: always the same.
    pub(crate) fn at(&self, time: Time) -> WallTime {
        let since = self.offsets.partition_point(|(from, _)| *from <= time);
        let offset = self.offsets.get(since.saturating_sub(1));
        let offset = offset.map_or(0, |(_, offset)| *offset);
        let micros = u64::try_from(time.since_start().as_micros()).unwrap_or(u64::MAX);
        WallTime::from_unix_millis(micros.saturating_add_signed(offset) / 1000)
    }
}

/// A clock that moved by less, in microseconds, has not moved: to read two takes a moment.
#[cfg(feature = "admin")]
const MOVED: u64 = 1_000;

/// A clock that is corrected as fast as systems do it moves by so many milliseconds in half an
/// hour. The first entry says the time of all that is older than the log.
#[cfg(feature = "admin")]
const OFFSETS: usize = 1_024;

/// The wall clock of a test: as far from the system's as its monotonic clock is, which is not at
/// all where that is not paused.
#[cfg(feature = "testing")]
fn as_paused(now: SystemTime) -> SystemTime {
    let (system, here) = (std::time::Instant::now(), Instant::now().into_std());
    let (ahead, behind) = (
        here.saturating_duration_since(system),
        system.saturating_duration_since(here),
    );
    let moved = now.checked_add(ahead).and_then(|it| it.checked_sub(behind));
    moved.unwrap_or(now)
}

/// A wrong clock on the wall, for nodes on a thread of a test.
#[cfg(test)]
pub(crate) mod wrong {
    use std::{cell::Cell, time::Duration};

    thread_local! {
        static BEHIND: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// How far the clock of this thread is behind.
    pub(super) fn behind() -> Duration {
        BEHIND.get()
    }

    /// From now on the clock of this thread is so far behind.
    pub(crate) fn set_behind(by: Duration) {
        BEHIND.set(by);
    }
}

#[cfg(all(test, feature = "admin"))]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_time_that_was_is_the_same_however_the_clock_is_set_later() {
        const SECOND: Duration = Duration::from_secs(1);
        let (clock, mut log) = (Clock::start(), WallLog::default());
        log.look(&clock);
        let (began, moment) = (wall_time(), clock.now());
        let told = log.at(moment);
        assert!(
            told.unix_millis().abs_diff(began.unix_millis()) <= 50,
            "{told} {began}"
        );
        tokio::time::advance(SECOND).await;
        wrong::set_behind(600 * SECOND);
        log.look(&clock);
        let later = clock.now();
        assert_eq!(log.at(moment), told);
        let behind = log
            .at(later)
            .unix_millis()
            .abs_diff((told - 599 * SECOND).unix_millis());
        assert!(behind <= 50, "{behind} ms off");
        // It is corrected all the time, and the log stays as long as it is.
        for n in 0..2 * OFFSETS as u32 {
            tokio::time::advance(SECOND).await;
            wrong::set_behind(n * 2 * Duration::from_millis(1));
            log.look(&clock);
        }
        assert_eq!(log.offsets.len(), OFFSETS);
        wrong::set_behind(Duration::ZERO);
    }
}
