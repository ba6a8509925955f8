//! Where what an object hears from before it came meets what is delivered since.

use std::{collections::BTreeMap, sync::Arc};

use meshcast_proto::{Backlog, Sender, Seq, SeqRange};

use super::Item;
use crate::message::{Gap, GapReason};

/// What has to be done about senders when something of them is read for the first time. Of most
/// there is nothing.
#[derive(Debug, Default)]
pub(super) struct Seams(BTreeMap<Sender, Seam>);

#[derive(Debug)]
struct Seam {
    /// What is delivered below was read before, or is not wanted.
    from: Option<Seq>,
    /// Could not be fetched, which could not be said while nobody knew whose it is.
    owed: Option<SeqRange>,
}

impl Seams {
    pub(super) fn add(&mut self, past: &Backlog) {
        let seam = Seam {
            from: past.from,
            owed: past.unfetched.filter(|_| past.member.is_none()),
        };
        if seam.from.is_some() || seam.owed.is_some() {
            self.0.insert(past.sender, seam);
        }
    }

    /// Whether an item is to be [joined](Self::join).
    pub(super) fn concern(&self, item: &Item) -> bool {
        !self.0.is_empty() && self.0.contains_key(&item.member().sender())
    }

    /// What is to be read in place of an item.
    pub(super) fn join(&mut self, item: &Item) -> impl Iterator<Item = Item> + use<> {
        let sender = item.member().sender();
        let Some(seam) = self.0.get_mut(&sender) else {
            return None.into_iter().chain(Some(item.clone()));
        };
        let owed = seam.owed.take().map(|missed| {
            Item::Missed(Gap {
                member: Arc::clone(item.member()),
                missed,
                reason: GapReason::Unfetched,
            })
        });
        let from = seam.from.unwrap_or(Seq::FIRST);
        if from <= item.seqs().last().next() {
            // It has got that far.
            self.0.remove(&sender);
        }
        owed.into_iter().chain(item.clone().since(from))
    }
}

impl Item {
    /// What it holds from this number on, at which a value begins or a gap may be cut.
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
