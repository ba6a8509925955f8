//! The frames that passed, by their ids, so that a copy is known for one. Each is charged to
//! whoever posted it, or brought it again.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    mem,
    time::Duration,
};

use meshcast_proto::{Budget, FrameId, Payer, Time};

use super::queue::LONGEST_WAIT;

/// Which frames passed lately. Their ids are not refused for want of room: whoever makes this node
/// remember many has less room for all else.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: HashSet<FrameId>,
    /// Since the last look: what passed, and who pays for how much of it.
    new: Passed,
    /// Earlier ones, and at which look they were charged.
    charged: VecDeque<(Time, Passed)>,
}

#[derive(Debug, Default)]
struct Passed {
    ids: Vec<FrameId>,
    bytes: BTreeMap<Payer, usize>,
}

impl Seen {
    /// Whether a frame passes for the first time.
    pub(super) fn is_new(&mut self, id: FrameId) -> bool {
        let is_new = self.ids.insert(id);
        if is_new {
            self.new.ids.push(id);
        }
        is_new
    }

    /// Who pays for a frame that is [new](Self::is_new).
    pub(super) fn charge(&mut self, payer: Payer) {
        *self.new.bytes.entry(payer).or_default() += ID;
    }

    /// Charges what passed since the last look, and forgets what passed long ago. To be called now
    /// and then.
    pub(super) fn settle(&mut self, budget: &Budget, now: Time) {
        while let Some((at, _)) = self.charged.front()
            && *at + REMEMBERED_FOR <= now
            && let Some((_, passed)) = self.charged.pop_front()
        {
            for id in passed.ids {
                self.ids.remove(&id);
            }
            for (payer, bytes) in passed.bytes {
                budget.release(payer, bytes);
            }
        }
        if self.ids.is_empty() {
            self.ids = HashSet::new();
        }
        let new = mem::take(&mut self.new);
        if !new.ids.is_empty() || !new.bytes.is_empty() {
            for (payer, bytes) in &new.bytes {
                budget.charge(*payer, *bytes);
            }
            self.charged.push_back((now, new));
        }
    }
}

/// How long a frame is remembered. A copy that comes later is taken in once more, and no more than
/// that: whoever has it already drops it by its number. It may have waited at each hop, so this
/// covers four hops at their worst.
const REMEMBERED_FOR: Duration = LONGEST_WAIT.saturating_mul(4);

/// What an id takes, in a table that is half full and in a list.
const ID: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_known_and_charged_for_as_long_as_copies_may_come() {
        let (mut seen, budget) = (Seen::default(), Budget::new(1024 * 1024));
        let at = |seconds| Time::from_start(Duration::from_secs(seconds));
        let member = |n| Payer::Member([n; 32]);
        let id = |n: u8| FrameId::new([n; 16]);
        for n in 0..10 {
            assert!(seen.is_new(id(n)) && !seen.is_new(id(n)));
            seen.charge(member(1));
        }
        seen.settle(&budget, at(0));
        assert!(seen.is_new(id(10)));
        seen.charge(member(2));
        seen.settle(&budget, at(10));
        let used = |n| budget.statement(member(n)).used;
        assert_eq!((used(1), used(2)), (10 * ID, ID));
        assert!((0..=10).all(|n| !seen.is_new(id(n))));
        seen.settle(&budget, at(20));
        assert_eq!((used(1), used(2)), (0, ID));
        assert!(seen.is_new(id(9)) && !seen.is_new(id(10)));
        seen.settle(&budget, at(30));
        seen.settle(&budget, at(50));
        assert_eq!(
            (budget.used(), seen.charged.len(), seen.ids.len()),
            (0, 0, 0)
        );
    }
}
