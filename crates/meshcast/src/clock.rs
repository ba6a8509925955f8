//! The only place that reads clocks.
//!
//! All of them are tokio's, which are the system's unless a test has paused its runtime: then all
//! that a node on it does goes by the time of the test.

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
    let now = SystemTime::now();
    #[cfg(feature = "testing")]
    let now = as_paused(now);
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let now = WallTime::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    #[cfg(test)]
    let now = now - wrong::behind();
    now
}

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
