//! The clock of a run.

use std::{thread, time::Duration};

use meshcast_sim::At;
use rustix::time::{ClockId, clock_gettime};

/// Now, by the system's monotonic clock, which all processes of a machine share.
pub fn now() -> At {
    let time = clock_gettime(ClockId::Monotonic);
    let (secs, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    At::from_micros(secs * 1_000_000 + nanos / 1000)
}

/// Lets time pass.
pub fn pass(time: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a script of faults has a timetable, and other processes can only be looked at"
    )]
    thread::sleep(time);
}
