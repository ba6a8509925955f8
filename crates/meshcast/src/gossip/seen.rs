//! What gossipsub remembers of the frames that it brought, charged to whoever posted them, or
//! brought them again.

use std::collections::{BTreeMap, VecDeque};

use meshcast_proto::{Budget, Payer, Time};

use super::settings::DUPLICATES_FOR;

/// How many ids of whom gossipsub remembers. It forgets them in its own time, so they cannot be
/// refused; whoever makes it remember many has less room for all else.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Since the last look.
    new: BTreeMap<Payer, usize>,
    /// What was charged at which look.
    charged: VecDeque<(Time, BTreeMap<Payer, usize>)>,
}

impl Seen {
    /// A frame came, or went.
    pub(super) fn count(&mut self, payer: Payer) {
        *self.new.entry(payer).or_default() += ID;
    }

    /// Charges what came since the last look, and gives back what is forgotten by now. To be called
    /// now and then.
    pub(super) fn settle(&mut self, budget: &Budget, now: Time) {
        while let Some((at, _)) = self.charged.front()
            && *at + DUPLICATES_FOR <= now
            && let Some((_, ids)) = self.charged.pop_front()
        {
            ids.into_iter()
                .for_each(|(payer, bytes)| budget.release(payer, bytes));
        }
        if !self.new.is_empty() {
            let new = std::mem::take(&mut self.new);
            new.iter()
                .for_each(|(payer, bytes)| budget.charge(*payer, *bytes));
            self.charged.push_back((now, new));
        }
    }
}

/// What an id takes in gossipsub, in two tables and a list.
const ID: usize = 200;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_are_charged_for_as_long_as_they_are_remembered_to_whoever_posts() {
        let (mut seen, budget) = (Seen::default(), Budget::new(1024 * 1024));
        let at = |seconds| Time::from_start(Duration::from_secs(seconds));
        let member = |n| Payer::Member([n; 32]);
        (0..10).for_each(|_| seen.count(member(1)));
        seen.settle(&budget, at(0));
        (0..3).for_each(|_| seen.count(member(2)));
        seen.settle(&budget, at(10));
        let used = |n| budget.statement(member(n)).used;
        assert_eq!((used(1), used(2)), (10 * ID, 3 * ID));
        seen.settle(&budget, at(0) + DUPLICATES_FOR);
        assert_eq!((used(1), used(2)), (0, 3 * ID));
        seen.settle(&budget, at(10) + DUPLICATES_FOR);
        assert_eq!((budget.used(), seen.charged.len()), (0, 0));
    }
}
