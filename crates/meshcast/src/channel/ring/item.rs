//! An entry of a ring.

use std::sync::Arc;

use meshcast_proto::{Delivery, Member, SeqRange};

use crate::channel::{ObjectId, message::Gap, outbox::Posters};

/// Something to read.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// Values; with posters if they are of this process.
    Values(Delivery, Option<Arc<Posters>>),
    /// Numbers that will not come.
    Missed(Gap),
}

impl Item {
    /// The memory that it takes, roughly: an entry without payload is not free either.
    pub(super) fn len_bytes(&self) -> usize {
        ENTRY_OVERHEAD
            + match self {
                Self::Values(delivery, _) => delivery.len_bytes(),
                Self::Missed(_) => 0,
            }
    }

    /// The numbers it is about.
    pub(crate) fn seqs(&self) -> SeqRange {
        match self {
            Self::Values(delivery, _) => delivery.seqs(),
            Self::Missed(gap) => gap.missed,
        }
    }

    /// Whose it is.
    pub(crate) const fn member(&self) -> &Arc<Member> {
        match self {
            Self::Values(delivery, _) => &delivery.member,
            Self::Missed(gap) => &gap.member,
        }
    }

    /// Whether there is something in it for `object`.
    pub(super) fn concerns(&self, object: ObjectId) -> bool {
        match self {
            Self::Missed(_) | Self::Values(_, None) => true,
            Self::Values(_, Some(posters)) => posters.concern(object),
        }
    }
}

/// The numbers of a delivery that `object` hears, in order: its own posts are not among them.
pub(super) fn numbers_for(
    object: ObjectId,
    delivery: &Delivery,
    posters: Option<&Posters>,
) -> Vec<SeqRange> {
    let Some(posters) = posters else {
        return vec![delivery.seqs()];
    };
    let mut heard: Vec<SeqRange> = Vec::new();
    let values = delivery.values().map(|value| value.seqs);
    for seqs in values.filter(|seqs| posters.heard_by(object, seqs.last())) {
        match heard.last_mut() {
            Some(last) if last.last().next() == seqs.first() => *last = last.hull(seqs),
            _ => heard.push(seqs),
        }
    }
    heard
}

/// What an entry takes besides its payload, roughly.
pub(super) const ENTRY_OVERHEAD: usize = 128;
