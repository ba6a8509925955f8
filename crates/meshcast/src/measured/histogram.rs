//! Histograms of times.

use std::time::Duration;

/// Counts in buckets. Of one task, so that counting is a few comparisons and an addition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    counts: [u64; BUCKETS],
    sum: Duration,
}

impl Histogram {
    /// So many took so long each.
    pub(crate) fn observe(&mut self, took: Duration, times: u64) {
        let bucket = BOUNDS.partition_point(|bound| Duration::from_millis(*bound) < took);
        self.counts[bucket] += times;
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        self.sum = self.sum.saturating_add(took.saturating_mul(times));
    }

    /// The upper bound of each bucket in seconds, and what is in it alone.
    pub(crate) fn buckets(&self) -> [(f64, u64); BUCKETS] {
        std::array::from_fn(|i| {
            let bound = BOUNDS.get(i);
            let bound = bound.map_or(f64::INFINITY, |millis| *millis as f64 / 1000.0);
            (bound, self.counts[i])
        })
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) const fn sum(&self) -> Duration {
        self.sum
    }
}

/// In milliseconds, which is what clocks of frames tell. Densest where round trips between regions
/// are; the last are for what is fetched after a fault.
const BOUNDS: [u64; BUCKETS - 1] = [
    1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 1_000, 2_500, 10_000, 60_000, 600_000,
];
const BUCKETS: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_as_long_as_a_bound_is_in_its_bucket() {
        let mut histogram = Histogram::default();
        let millis = Duration::from_millis;
        histogram.observe(Duration::ZERO, 1);
        histogram.observe(millis(1), 2);
        histogram.observe(Duration::from_micros(1_001), 4);
        histogram.observe(millis(600_000), 8);
        histogram.observe(millis(600_001), 16);
        let filled: Vec<_> = histogram
            .buckets()
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(
            filled,
            [(0.001, 3), (0.002, 4), (600.0, 8), (f64::INFINITY, 16)]
        );
        assert_eq!(histogram.count(), 31);
        let sum = millis(2 + 8 * 600_000 + 16 * 600_001) + Duration::from_micros(4 * 1_001);
        assert_eq!(histogram.sum(), sum);
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
    }
}
