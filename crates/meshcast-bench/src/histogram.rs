//! Durations by the million, to within 1.6 %.

use serde::{Deserialize, Serialize};

/// Counts of durations in nanoseconds. 64 buckets for each doubling.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

/// A histogram on its way between processes: the buckets that are not empty.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sparse {
    buckets: Vec<(usize, u64)>,
    max: u64,
}

impl Histogram {
    /// Counts one duration.
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        let bucket = bucket(nanoseconds);
        self.add(bucket, 1);
        self.max = self.max.max(nanoseconds);
    }

    /// The duration that this part (0 to 1) of all does not exceed; 0 if there are none.
    pub(crate) fn quantile(&self, part: f64) -> u64 {
        let wanted = (self.total as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(bucket).min(self.max);
            }
        }
        0
    }

    /// Adds what another process counted.
    pub(crate) fn merge(&mut self, other: &Sparse) {
        for &(bucket, count) in &other.buckets {
            self.add(bucket, count);
        }
        self.max = self.max.max(other.max);
    }

    /// For another process.
    pub(crate) fn sparse(&self) -> Sparse {
        let counts = self.counts.iter().copied().enumerate();
        Sparse {
            buckets: counts.filter(|(_, count)| *count > 0).collect(),
            max: self.max,
        }
    }

    fn add(&mut self, bucket: usize, count: u64) {
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += count;
        self.total += count;
    }
}

/// Exact below 128, then the 64 halves of halves that follow the highest bit.
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    (shift as usize) * PER_DOUBLING + (value >> shift) as usize
}

/// The highest value that a bucket counts.
fn upper(bucket: usize) -> u64 {
    let shift = (bucket / PER_DOUBLING).saturating_sub(1);
    let within = (bucket - shift * PER_DOUBLING) as u64;
    (within << shift) + ((1 << shift) - 1)
}

const BITS: u32 = 6;
const PER_DOUBLING: usize = 1 << BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_holds_what_is_at_most_its_upper_end() {
        for value in (0..100_000).chain((0..57).map(|shift| 127 << shift)) {
            let upper = upper(bucket(value));
            assert!(value <= upper, "{value} is over {upper}");
            assert!(
                upper as f64 <= value as f64 * 1.016,
                "{value} counts as {upper}"
            );
        }
    }

    #[test]
    fn quantiles_are_those_of_a_sorted_list() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|value| histogram.record(value * 1000));
        let near = |part, wanted: f64| {
            let found = histogram.quantile(part) as f64;
            assert!(
                (found / wanted - 1.0).abs() < 0.017,
                "{found}, not {wanted}"
            );
        };
        near(0.5, 500_000.0);
        near(0.99, 990_000.0);
        assert_eq!(histogram.quantile(1.0), 1_000_000);
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }

    #[test]
    fn merging_is_counting_together() {
        let (mut low, mut high) = (Histogram::default(), Histogram::default());
        (1..=100).for_each(|value| low.record(value));
        (101..=200).for_each(|value| high.record(value));
        low.merge(&high.sparse());
        assert_eq!(low.quantile(0.5), 100);
        assert_eq!(low.quantile(1.0), 200);
    }
}
