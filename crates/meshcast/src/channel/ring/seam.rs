//! The seam between the backfill of an object and the live messages.

use std::{collections::BTreeMap, sync::Arc};

use meshcast_proto::{Backlog, Member, SenderPrefix, Seq, SeqRange, Time};

use super::Item;
use crate::{
    channel::{
        cursor::Marks,
        message::{Gap, GapReason},
    },
    clock::Instant,
};

/// Work to be done for senders when something of them is read for the first time. Of most there is
/// nothing.
#[derive(Debug, Default)]
pub(super) struct Seams(BTreeMap<SenderPrefix, Seam>);

#[derive(Debug)]
struct Seam {
    /// Numbers delivered below were read before, or are not wanted.
    from: Option<Seq>,
    /// Could not be fetched, which could not be said while nobody knew whose it is.
    owed: Option<SeqRange>,
    /// Of a reader that goes on at a cursor: why that is missing which lies between.
    strict: Option<GapReason>,
    /// From then on it is not believed that what is delivered was read before.
    doubt: Option<Time>,
    /// When the sender was heard, if not by this node.
    heard: Option<Instant>,
}

impl Seams {
    pub(super) fn add(&mut self, past: &Backlog) {
        let seam = Seam {
            from: past.from,
            owed: past.unfetched.filter(|_| past.member.is_none()),
            strict: None,
            doubt: None,
            heard: None,
        };
        if seam.from.is_some() || seam.owed.is_some() {
            self.0.insert(past.sender.prefix(), seam);
        }
    }

    /// Goes on behind what a cursor says was read. From `doubt` on it is not believed of senders
    /// that nobody here knows.
    pub(super) fn resume(&mut self, read: &Marks, doubt: Time) {
        let seams = read.iter().map(|(sender, mark)| {
            let seam = Seam {
                from: Some(mark.read.next()),
                owed: None,
                strict: Some(GapReason::Expired),
                doubt: Some(doubt),
                heard: Some(mark.heard),
            };
            (sender, seam)
        });
        self.0.extend(seams);
    }

    /// Of this sender it goes on here.
    pub(super) fn resume_at(
        &mut self,
        sender: SenderPrefix,
        due: Seq,
        reason: GapReason,
        doubt: Option<Time>,
    ) {
        let heard = self.0.get(&sender).and_then(|seam| seam.heard);
        let seam = Seam {
            from: Some(due),
            owed: None,
            strict: Some(reason),
            doubt,
            heard,
        };
        self.0.insert(sender, seam);
    }

    /// The position at which it goes on with a sender, which needs no further attention.
    pub(super) fn take(&mut self, sender: SenderPrefix) -> Option<Seq> {
        self.0.remove(&sender)?.from
    }

    /// Nothing is to be done about a sender.
    pub(super) fn remove(&mut self, sender: SenderPrefix) {
        self.0.remove(&sender);
    }

    /// Whether an item is to be [joined](Self::join).
    pub(super) fn concern(&self, item: &Item) -> bool {
        !self.0.is_empty() && self.0.contains_key(&item.member().sender().prefix())
    }

    /// What is to be read in place of an item.
    pub(super) fn join(&mut self, item: &Item) -> impl Iterator<Item = Item> + use<> {
        let sender = item.member().sender().prefix();
        let Some(seam) = self.0.get_mut(&sender) else {
            return None.into_iter().chain(None).chain(Some(item.clone()));
        };
        let missed = |missed, reason| missed_of(item.member(), missed, reason);
        let owed = seam.owed.take();
        let owed = owed.map(|owed| missed(owed, GapReason::Unfetched));
        let (from, strict) = (seam.from.unwrap_or(Seq::FIRST), seam.strict);
        let seqs = item.seqs();
        let between = seqs.first().previous();
        let between = between.and_then(|last| SeqRange::new(from, last));
        let between = strict
            .zip(between)
            .map(|(reason, between)| missed(between, reason));
        let rest = item.clone().since(from).or_else(|| {
            // Within a value: the rest of it is of no use.
            let rest = SeqRange::new(from, seqs.last())?;
            Some(missed(rest, strict?))
        });
        if from <= seqs.last().next() {
            // It has got that far.
            self.0.remove(&sender);
        }
        owed.into_iter().chain(between).chain(rest)
    }

    /// An item comes that was posted then: if that is so late that it cannot have been read before,
    /// it is read.
    pub(super) fn settle(&mut self, item: &Item, posted: Time) {
        if let Some(seam) = self.0.get_mut(&item.member().sender().prefix())
            && seam.doubt.is_some_and(|doubt| doubt < posted)
        {
            seam.doubt = None;
            seam.from = seam.from.map(|from| from.min(item.seqs().first()));
        }
    }

    /// Whether anything is in doubt.
    pub(super) fn are_doubtful(&self) -> bool {
        self.0.values().any(|seam| seam.doubt.is_some())
    }

    /// The number due next of each sender, and when it was heard, if not by this node.
    pub(super) fn due(&self) -> impl Iterator<Item = (SenderPrefix, Seq, Option<Instant>)> {
        self.0
            .iter()
            .filter_map(|(sender, seam)| Some((*sender, seam.from?, seam.heard)))
    }
}

fn missed_of(member: &Arc<Member>, missed: SeqRange, reason: GapReason) -> Item {
    Item::Missed(Gap {
        member: Arc::clone(member),
        missed,
        reason,
    })
}

impl Item {
    /// The part of it from this number on, at which a value begins or a gap may be cut.
    fn since(self, first: Seq) -> Option<Self> {
        match self {
            Self::Values(delivery, posters) => Some(Self::Values(delivery.since(first)?, posters)),
            Self::Missed(gap) => {
                let missed = SeqRange::new(gap.missed.first().max(first), gap.missed.last())?;
                Some(Self::Missed(Gap { missed, ..gap }))
            }
        }
    }
}
