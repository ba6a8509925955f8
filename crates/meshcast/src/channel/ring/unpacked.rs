//! The values of a delivery, one by one, each with where it comes from.

use std::sync::Arc;

use meshcast_proto::{Delivery, Sender, Seq, Values};

use super::super::{ObjectId, outbox::Posters};
use crate::{
    channel::message::{Origin, Provenance, Received},
    clock::Clock,
};

/// The values of a delivery, one by one.
#[derive(Debug)]
pub(crate) struct Unpacked {
    provenance: Arc<Provenance>,
    values: Values,
    posters: Option<Arc<Posters>>,
    /// The number that is next.
    due: Seq,
}

impl Unpacked {
    /// Of a node with this clock, and whether it is of the history that its reader began with.
    pub(crate) fn new(
        delivery: Delivery,
        posters: Option<Arc<Posters>>,
        is_history: bool,
        clock: Clock,
    ) -> Self {
        let arrival = delivery.arrival;
        Self {
            provenance: Arc::new(Provenance {
                member: Arc::clone(&delivery.member),
                posted_at: delivery.posted_at,
                via: arrival.via,
                from: arrival.from,
                received: clock.instant(arrival.at),
                is_history,
            }),
            due: delivery.seqs().first(),
            values: delivery.into_values(),
            posters,
        }
    }

    /// Whose they are, and the number of the next.
    pub(crate) fn due(&self) -> (Sender, Seq) {
        (self.provenance.member.sender(), self.due)
    }

    /// The next value that `object` hears, past those that it does not.
    // Inlined: a call, with the value handed over in memory, takes longer than the work.
    #[inline(always)]
    pub(crate) fn next_for(&mut self, object: ObjectId) -> Option<Received> {
        loop {
            let value = self.next()?;
            if self.is_heard_by(object, &value) {
                return Some(value);
            }
        }
    }

    /// Whether `object` hears a value of it: any object hears other nodes, but not itself.
    #[inline]
    pub(crate) fn is_heard_by(&self, object: ObjectId, value: &Received) -> bool {
        let last = || value.posted.seqs.last();
        let posters = self.posters.as_ref();
        posters.is_none_or(|posters| posters.heard_by(object, last()))
    }
}

impl Iterator for Unpacked {
    type Item = Received;

    // Inlined; see `Unpacked::next_for`.
    #[inline(always)]
    fn next(&mut self) -> Option<Received> {
        let posted = self.values.next()?;
        self.due = posted.seqs.last().next();
        let origin = Origin {
            seqs: posted.seqs,
            delivery: Arc::clone(&self.provenance),
        };
        Some(Received { origin, posted })
    }
}
