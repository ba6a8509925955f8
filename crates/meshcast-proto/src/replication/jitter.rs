//! Small random numbers from a seed that is an argument (splitmix64, Steele, Lea and Flood 2014).
//! Nothing secret depends on them.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly between nothing and `longest`.
    pub(crate) fn upto(&mut self, longest: Duration) -> Duration {
        // 24 bits are enough to tell microseconds apart in a minute.
        longest
            .mul_f64(f64::from(u32::try_from(self.next() >> 40).unwrap_or(0)) / f64::from(1 << 24))
    }

    /// Evenly below `len`; 0 if that is 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        match u64::try_from(len) {
            Ok(len @ 1..) => usize::try_from(self.next() % len).unwrap_or(0),
            _ => 0,
        }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
