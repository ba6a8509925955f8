//! The clocks all figures are made of.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on the monotonic clock, which all processes of the machine share.
pub(crate) fn now() -> u64 {
    read(ClockId::Monotonic)
}

/// Nanoseconds of CPU this process has used, user and system, of all its threads.
pub(crate) fn cpu() -> u64 {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
