//! The memory that is taken, counted by the allocator.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Bytes that all threads hold at the moment.
pub fn current() -> usize {
    ALLOCATOR.current_usage()
}

/// The peak memory of `make`, and what it made. Counts what other threads take meanwhile as well.
pub fn peak<T>(make: impl FnOnce() -> T) -> (usize, T) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let made = make();
    (ALLOCATOR.peak_usage().saturating_sub(before), made)
}
