//! The only place that reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use meshcast_proto::{Time, WallTime};

/// Turns the system's monotonic clock into the protocol's [`Time`].
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

    /// The system's name for a point in time.
    pub(crate) fn instant(&self, time: Time) -> tokio::time::Instant {
        (self.start + time.since_start()).into()
    }
}

/// A moment, for those who have no clock of a node at hand. Ask it how long ago it was.
pub(crate) fn moment() -> Instant {
    Instant::now()
}

/// The wall clock; the Unix epoch itself if the system's is before it.
pub(crate) fn wall_time() -> WallTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    WallTime::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
