//! A rate that all who cause work have together.

use std::collections::BTreeMap;

use super::bucket::{Rate, TokenBucket};
use crate::wire::Time;

/// A request is granted while all together take less than there is. Beyond that each of those who
/// take any has an equal share, in time and at once. So one alone has all of it, and nobody leaves
/// others with less than they would have if all took as much as they can.
#[derive(Debug)]
pub(crate) struct SharedRate<K> {
    rate: Rate,
    all: TokenBucket,
    of: BTreeMap<K, TokenBucket>,
}

impl<K: Ord + Copy> SharedRate<K> {
    pub(crate) const fn new(rate: Rate) -> Self {
        Self {
            rate,
            all: TokenBucket::new(),
            of: BTreeMap::new(),
        }
    }

    /// Takes so many tokens, `false` if whoever takes them has had its share.
    pub(crate) fn try_take(&mut self, who: K, tokens: usize, now: Time) -> bool {
        let is_free = self.all.is_due(self.rate, now);
        // Those that have taken nothing for long.
        self.of.retain(|_, taken| !taken.is_full(now));
        let own = self.of.entry(who).or_default();
        let mut taken = *own;
        let share = self.rate.shared_by(self.of.len());
        let is_due = taken.is_due(share, now);
        // The part taken of what others leave is no debt.
        if is_due {
            taken.take(tokens, share, now);
            self.of.insert(who, taken);
        }
        if is_due || is_free {
            self.all.take(tokens, self.rate, now);
        }
        is_due || is_free
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_start(Duration::from_millis(millis))
    }

    /// How much each gets in ten seconds that wants so much in a millisecond.
    fn taken<const N: usize>(wants: [usize; N]) -> [usize; N] {
        let mut rate = SharedRate::new(Rate::per_second(1_000_000, Duration::from_secs(1)));
        let mut taken = [0; N];
        // The burst is gone first.
        for now in 0..20_000 {
            for (who, wants) in wants.iter().enumerate() {
                if rate.try_take(who, *wants, at(now)) && now >= 10_000 {
                    taken[who] += wants;
                }
            }
        }
        taken.map(|taken| taken / 100_000)
    }

    #[test]
    fn one_alone_has_all_and_of_those_who_want_too_much_each_has_as_much() {
        assert_eq!(taken([10_000]), [100]);
        let two = taken([10_000, 40_000]);
        assert!(two.iter().all(|it| (48..=52).contains(it)), "{two:?}");
        let some = taken([100, 10_000, 100, 10_000]);
        assert_eq!([some[0], some[2]], [10, 10]);
        assert!(some[1] + some[3] <= 100, "{some:?}");
        assert!(some[1].min(some[3]) >= 25, "{some:?}");
    }

    #[test]
    fn who_comes_later_has_its_share_at_once() {
        let mut rate = SharedRate::new(Rate::per_second(1_000, Duration::from_secs(1)));
        let of_first = (0..10_000).filter(|_| rate.try_take(1, 1, at(0))).count();
        assert!((1_000..=1_001).contains(&of_first), "{of_first}");
        let of_second = (0..10_000).filter(|_| rate.try_take(2, 1, at(0))).count();
        assert!((500..=501).contains(&of_second), "{of_second}");
        assert!(!rate.try_take(1, 1, at(0)));
    }
}
