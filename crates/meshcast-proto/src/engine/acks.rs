//! What was posted here, and what of it peers acknowledged.

use std::collections::BTreeMap;

use crate::{
    log::StoredFrame,
    wire::{ChannelName, Seq, SeqRange, Time},
};

/// What is known of all channels that are posted on here.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// How often a peer acknowledged something.
    count: u64,
    /// Which numbers one more peer has, until that is [told](Self::take).
    fresh: BTreeMap<ChannelName, SeqRange>,
    /// What nobody has acknowledged.
    unacked: BTreeMap<ChannelName, Unacked>,
}

/// The numbers posted on a channel that nobody has acknowledged, as runs.
#[derive(Debug, Default)]
struct Unacked(Vec<SeqRange>);

impl Acks {
    /// Numbers were posted, above all others.
    pub(super) fn posted(&mut self, channel: &ChannelName, seqs: SeqRange) {
        match self.unacked.get_mut(channel) {
            Some(unacked) => unacked.add(seqs),
            None => self.unacked.entry(channel.clone()).or_default().add(seqs),
        }
    }

    /// A peer has more of what was posted: these numbers.
    pub(super) fn acked(&mut self, channel: ChannelName, seqs: SeqRange) {
        self.count += 1;
        let all = self.fresh.entry(channel).or_insert(seqs);
        *all = all.hull(seqs);
    }

    /// A peer that wants what was posted `since` then has everything of that up to `last`. `kept`
    /// gives the frames that hold some of these numbers, as far as they are kept, in order.
    pub(super) fn has_upto<'a, I: Iterator<Item = StoredFrame<'a>>>(
        &mut self,
        channel: &ChannelName,
        last: Seq,
        since: Time,
        kept: impl Fn(SeqRange) -> I,
    ) {
        let Some(unacked) = self.unacked.get_mut(channel) else {
            return;
        };
        let has = unacked.0.iter().filter_map(|run| {
            let run = SeqRange::new(run.first(), run.last().min(last))?;
            let newest = kept(SeqRange::single(run.last())).next()?;
            if newest.posted < since {
                // So was everything before it.
                return None;
            }
            let first = kept(run).find(|kept| kept.posted >= since)?;
            SeqRange::new(first.seqs.first().max(run.first()), run.last())
        });
        for seqs in has.collect::<Vec<_>>() {
            unacked.remove(seqs);
        }
    }

    /// A channel is forgotten.
    pub(super) fn forget(&mut self, channel: &ChannelName) {
        self.unacked.remove(channel);
    }

    /// Takes out which numbers one more peer has, on one of the channels.
    pub(super) fn take(&mut self) -> Option<(ChannelName, SeqRange)> {
        self.fresh.pop_first()
    }

    /// How often a peer acknowledged something.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// What nobody has acknowledged, by channel and in order.
    pub(super) fn all_unacked(&self) -> impl Iterator<Item = (&ChannelName, &[SeqRange])> {
        self.unacked
            .iter()
            .map(|(name, unacked)| (name, &*unacked.0))
    }

    /// What nobody has acknowledged on a channel, in order.
    pub(super) fn unacked(&self, channel: &ChannelName) -> &[SeqRange] {
        self.unacked.get(channel).map_or(&[], |unacked| &unacked.0)
    }
}

impl Unacked {
    /// Adds numbers above all others.
    fn add(&mut self, seqs: SeqRange) {
        match self.0.last_mut() {
            Some(last) if last.touches(seqs) => *last = last.hull(seqs),
            _ => self.0.push(seqs),
        }
    }

    /// Somebody has all of these.
    fn remove(&mut self, seqs: SeqRange) {
        let mut left = Vec::with_capacity(self.0.len());
        for run in self.0.drain(..) {
            let below = seqs.first().previous().map(|end| end.min(run.last()));
            let below = below.and_then(|end| SeqRange::new(run.first(), end));
            let above = SeqRange::new(seqs.last().next().max(run.first()), run.last());
            left.extend(
                below
                    .into_iter()
                    .chain(above.filter(|_| seqs.last() < Seq::MAX)),
            );
        }
        if left.len() > MAX_RUNS {
            // Joined, although some numbers in between were acknowledged: better too much than too
            // little.
            let second = left.remove(1);
            if let Some(first) = left.first_mut() {
                *first = first.hull(second);
            }
        }
        self.0 = left;
    }
}

/// The number of runs kept apart on a channel: one for each peer that came and wanted nothing from
/// before.
const MAX_RUNS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> SeqRange {
        let seq = |n| Seq::new(n).expect("not 0");
        SeqRange::new(seq(first), seq(last)).expect("in order")
    }

    #[test]
    fn what_is_acknowledged_is_taken_out_of_the_runs_it_is_in() {
        let mut unacked = Unacked::default();
        unacked.add(range(1, 4));
        unacked.add(range(5, 10));
        assert_eq!(unacked.0, [range(1, 10)]);
        unacked.remove(range(4, 6));
        assert_eq!(unacked.0, [range(1, 3), range(7, 10)]);
        unacked.remove(range(3, 8));
        assert_eq!(unacked.0, [range(1, 2), range(9, 10)]);
        unacked.remove(range(20, 30));
        unacked.add(range(11, 11));
        assert_eq!(unacked.0, [range(1, 2), range(9, 11)]);
        unacked.remove(range(1, 11));
        assert_eq!(unacked.0, []);
    }

    #[test]
    fn of_too_many_runs_the_lowest_are_taken_for_one() {
        let mut unacked = Unacked::default();
        unacked.add(range(1, 1_000));
        for n in 1..=50 {
            unacked.remove(range(n * 10, n * 10 + 4));
            assert!(unacked.0.len() <= MAX_RUNS);
        }
        assert_eq!(unacked.0.first(), Some(&range(1, 439)));
        assert_eq!(unacked.0.last(), Some(&range(505, 1_000)));
    }
}
