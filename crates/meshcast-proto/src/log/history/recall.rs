//! Reading the history for readers that want what was delivered before.

use std::sync::Arc;

use super::History;
use crate::{
    identity::Member,
    log::reassembly::{Assembled, Delivery, Due, GapReason, Reassembly},
    wire::{ChannelName, Part, Sender, Seq, SeqRange, Time},
};

/// A range of numbers of a sender on a channel, read from the history.
#[derive(Debug, Clone)]
pub struct Recall {
    /// In order. Together the parts name each number up to `upto` once.
    pub parts: Vec<Recalled>,
    /// How far it reaches: to the end of a value.
    pub upto: Seq,
}

/// A part of a [`Recall`].
#[derive(Debug, Clone)]
pub enum Recalled {
    /// Values that are kept whole.
    Values(Delivery),
    /// Numbers that are not kept, or belong to a value that is not kept whole.
    Missing(SeqRange),
    /// Values that are kept but over the limit for messages.
    TooLarge(SeqRange),
}

impl History {
    /// Reads these numbers, which begin and end with a value. Stops after `room` bytes, but only at
    /// the end of a value and not within a run of missing numbers. `limit` is the longest value
    /// that is put together.
    pub(crate) fn recall(
        &self,
        channel: &ChannelName,
        member: &Arc<Member>,
        seqs: SeqRange,
        room: usize,
        limit: usize,
    ) -> Recall {
        let mut recall = Recall {
            parts: Vec::new(),
            upto: seqs.last(),
        };
        let mut reassembly = Reassembly::default();
        let (mut assembled, mut len, mut next) = (Vec::new(), 0, seqs.first());
        for kept in self.frames(channel, member.sender(), seqs) {
            let rest = SeqRange::new(next, seqs.last());
            let part = rest.and_then(|rest| kept.seqs.overlap(rest));
            let Some((part, frame)) = part.zip(kept.frame()) else {
                continue;
            };
            // A run of missing numbers is one part, so it goes on until something whole follows.
            let between = matches!(recall.parts.last(), Some(Recalled::Values(_)));
            if len >= room && between && reassembly.halfway().is_none() {
                recall.upto = next.previous().unwrap_or(Seq::FIRST);
                return recall;
            }
            if next < part.first() {
                recall.abandon(&mut reassembly);
                recall.miss(
                    part.first()
                        .previous()
                        .and_then(|last| SeqRange::new(next, last)),
                );
            }
            let due = Due {
                frame,
                seqs: part,
                arrival: kept.arrival(member.sender()),
            };
            reassembly.push(member, due, limit, &mut assembled);
            next = part.last().next();
            for assembled in assembled.drain(..) {
                match assembled {
                    Assembled::Values(delivery) => {
                        len += delivery.len_bytes();
                        recall.parts.push(Recalled::Values(delivery));
                    }
                    Assembled::Missed(missing, reason) => recall.pass(missing, reason),
                }
            }
        }
        recall.abandon(&mut reassembly);
        recall.miss(SeqRange::new(next, seqs.last()));
        recall
    }

    /// The numbers below `before` that were posted since then or are among the `last` of them. They
    /// begin with the first one kept, at the beginning of a value.
    pub(crate) fn backlog(
        &self,
        channel: &ChannelName,
        sender: Sender,
        before: Seq,
        since: Time,
        last: u64,
    ) -> Option<SeqRange> {
        let all = SeqRange::new(Seq::FIRST, before.previous()?)?;
        let mut kept = self.frames(channel, sender, all);
        let by_time = kept.find(|kept| kept.posted >= since);
        let by_time = by_time.map(|kept| kept.seqs.first());
        let lowest = Seq::new(before.get().saturating_sub(last)).unwrap_or(Seq::FIRST);
        let by_number = SeqRange::new(lowest, all.last()).and_then(|wanted| {
            let kept = self.frames(channel, sender, wanted).next()?;
            Some(kept.seqs.first().max(lowest))
        });
        let first = by_time.into_iter().chain(by_number).min()?;
        let first = self.beginning(channel, sender, first, before);
        SeqRange::new(first, all.last())
    }

    /// These numbers from the first on that is kept and begins a value.
    pub(crate) fn backlog_of(
        &self,
        channel: &ChannelName,
        sender: Sender,
        wanted: SeqRange,
    ) -> Option<SeqRange> {
        let lowest = self.frames(channel, sender, wanted).next()?;
        let first = lowest.seqs.first().max(wanted.first());
        let (first, end) = (first, wanted.last().next());
        SeqRange::new(self.next_value(channel, sender, first, end), wanted.last())
    }

    /// Where the value of `seq` begins; if that is not kept, where the next one begins.
    fn beginning(&self, channel: &ChannelName, sender: Sender, seq: Seq, before: Seq) -> Seq {
        let goes_on = |seq: Seq| {
            self.part(channel, sender, seq)
                .map(|part| matches!(part, Part::Middle | Part::Last))
        };
        let mut first = seq;
        while goes_on(first) == Some(true)
            && let Some(previous) = first.previous()
        {
            first = previous;
        }
        if goes_on(first) == Some(false) {
            return first;
        }
        self.next_value(channel, sender, seq, before)
    }

    /// The first number from this one on that does not go on with a value.
    fn next_value(&self, channel: &ChannelName, sender: Sender, seq: Seq, before: Seq) -> Seq {
        let goes_on = |seq: Seq| {
            let part = self.part(channel, sender, seq);
            matches!(part, Some(Part::Middle | Part::Last))
        };
        let mut first = seq;
        while first < before && goes_on(first) {
            first = first.next();
        }
        first
    }

    /// Which part of a value a number is.
    fn part(&self, channel: &ChannelName, sender: Sender, seq: Seq) -> Option<Part> {
        let frame = self
            .frames(channel, sender, SeqRange::single(seq))
            .next()?
            .frame()?;
        if !frame.is_fragmented() {
            return Some(Part::Whole);
        }
        let mut records = frame.records();
        records
            .find(|(number, _)| *number == seq)
            .map(|(_, record)| record.part)
    }
}

impl Recall {
    fn abandon(&mut self, reassembly: &mut Reassembly) {
        if let Some((missing, reason)) = reassembly.give_up() {
            self.pass(missing, reason);
        }
    }

    /// The next numbers are no values.
    fn pass(&mut self, seqs: SeqRange, reason: GapReason) {
        match (reason, self.parts.last_mut()) {
            (GapReason::TooLarge, Some(Recalled::TooLarge(last))) if last.touches(seqs) => {
                *last = last.hull(seqs);
            }
            (GapReason::TooLarge, _) => self.parts.push(Recalled::TooLarge(seqs)),
            _ => self.miss(Some(seqs)),
        }
    }

    /// The next numbers are missing.
    fn miss(&mut self, missing: Option<SeqRange>) {
        let Some(missing) = missing else { return };
        match self.parts.last_mut() {
            Some(Recalled::Missing(last)) if last.touches(missing) => *last = last.hull(missing),
            _ => self.parts.push(Recalled::Missing(missing)),
        }
    }
}

#[cfg(test)]
mod tests;
