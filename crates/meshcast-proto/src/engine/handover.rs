//! What was posted here and no member is known to have: it would be lost with this process.

use super::Engine;
use crate::wire::{ChannelName, Sender, Seq, SeqRange, Time};

/// The numbers posted here that nobody has acknowledged, as runs.
#[derive(Debug, Default)]
pub(super) struct Unacked(Vec<SeqRange>);

/// What was posted on a channel and acknowledged by nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Undelivered {
    /// How many numbers nobody acknowledged.
    pub seqs: u64,
    /// The bytes of those frames that are still kept, so that somebody may yet get them.
    pub bytes: usize,
}

/// Who could take over what was posted on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// Done: some member has everything that is still kept.
    Done,
    /// A connected member has the channel open and still lacks something.
    Listener,
    /// No connected member wants it.
    Nobody {
        /// When the last peer that had the channel open was lost, if there was one.
        deserted: Option<Time>,
    },
}

impl Unacked {
    /// Adds numbers above all others.
    pub(super) fn add(&mut self, seqs: SeqRange) {
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

impl Engine {
    /// Whether some member has what was posted on a channel up to this number, and if not, whom to
    /// wait for.
    ///
    /// What is no longer kept counts as done, since nobody can get it any more;
    /// [`Self::undelivered`] counts it.
    pub fn hand_over(&self, channel: &ChannelName, upto: Seq) -> HandOver {
        let Some(own) = self
            .channels
            .get(channel)
            .filter(|own| own.next > Seq::FIRST)
        else {
            return HandOver::Done;
        };
        let upto = own.next.previous().map_or(upto, |last| last.min(upto));
        let (peers, outbound) = (&self.logs.peers, own.outbound.as_deref());
        let has = |peer: Sender| {
            let listener = outbound.and_then(|own| own.listeners.get(&peer));
            listener.is_some_and(|listener| listener.next() > upto)
        };
        let listening = peers.iter().filter(|peer| peers.listens(*peer, channel));
        let mut listening = listening.peekable();
        if listening.peek().is_some() && !listening.any(has) {
            return HandOver::Listener;
        }
        let runs = outbound.map_or(&[][..], |own| &own.unacked.0);
        let is_kept = |run: &SeqRange| {
            let due = SeqRange::new(run.first(), run.last().min(upto));
            due.is_some_and(|due| {
                self.history
                    .frames(channel, self.me.sender(), due)
                    .next()
                    .is_some()
            })
        };
        if runs.iter().any(is_kept) {
            let deserted = own.deserted;
            HandOver::Nobody { deserted }
        } else {
            HandOver::Done
        }
    }

    /// The channels with something posted here that no member is known to have.
    pub fn undelivered(&self) -> impl Iterator<Item = (&ChannelName, Undelivered)> {
        self.channels.iter().filter_map(|(name, channel)| {
            let runs = &channel.outbound.as_ref()?.unacked.0;
            let sum = runs.iter().fold(Undelivered::default(), |sum, run| {
                let kept = self.history.frames(name, self.me.sender(), *run);
                Undelivered {
                    seqs: sum.seqs.saturating_add(run.len()),
                    bytes: sum.bytes + kept.map(|kept| kept.bytes.len()).sum::<usize>(),
                }
            });
            (sum.seqs > 0).then_some((name, sum))
        })
    }

    /// The peers that have a channel open.
    pub fn listeners(&self, channel: &ChannelName) -> impl Iterator<Item = Sender> {
        let interests = self.logs.peers.interests(channel);
        interests.filter_map(|(peer, interest)| interest.open.map(|_| peer))
    }

    /// The channels on which something was posted here, and the last number of each.
    pub fn posted_on(&self) -> impl Iterator<Item = (&ChannelName, Seq)> {
        self.channels
            .iter()
            .filter_map(|(name, channel)| Some((name, channel.next.previous()?)))
    }

    /// A listening peer waits for `next` of what was posted here. So it has everything below that
    /// was posted since it opened the channel.
    pub(super) fn has_below(&mut self, peer: Sender, name: &ChannelName, next: Seq) {
        let (Some(wanted), Some(last)) = (self.logs.peers.wanted(peer, name), next.previous())
        else {
            return;
        };
        let own = self
            .channels
            .get_mut(name)
            .and_then(|own| own.outbound.as_mut());
        let Some(unacked) = own
            .map(|own| &mut own.unacked)
            .filter(|it| !it.0.is_empty())
        else {
            return;
        };
        let (history, me) = (&self.history, self.me.sender());
        let has = unacked.0.iter().filter_map(|run| {
            let run = SeqRange::new(run.first(), run.last().min(last))?;
            let newest = history
                .frames(name, me, SeqRange::single(run.last()))
                .next()?;
            if newest.posted < wanted.since {
                // So was everything before it.
                return None;
            }
            let mut kept = history.frames(name, me, run);
            let first = kept.find(|kept| kept.posted >= wanted.since)?;
            SeqRange::new(first.seqs.first().max(run.first()), run.last())
        });
        for seqs in has.collect::<Vec<_>>() {
            unacked.remove(seqs);
        }
    }

    /// A peer is about to be lost. It may come back for what is posted on its open channels.
    pub(super) fn deserted_by(&mut self, peer: Sender, now: Time) {
        for name in self.logs.peers.opened_by(peer) {
            if let Some(channel) = self.channels.get_mut(name) {
                channel.deserted = Some(now);
            }
        }
    }
}

/// How many runs are kept apart on a channel: one for each peer that came and wanted nothing from
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
