//! The values of a delivery, one by one, each with where it comes from.

use std::sync::Arc;

use meshcast_proto::{Delivery, Posted, Sender, Seq, Values};

use super::super::{ObjectId, outbox::Posters};
use crate::{
    channel::message::{Origin, Provenance},
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
    is_history: bool,
}

/// One value and where it comes from.
#[derive(Debug)]
pub(crate) struct UnpackedValue {
    pub(crate) origin: Origin,
    /// It is of the past that its reader began with.
    pub(crate) is_history: bool,
    pub(crate) posted: Posted,
    posters: Option<Arc<Posters>>,
}

impl Unpacked {
    /// Of a node with this clock.
    pub(crate) fn new(delivery: Delivery, posters: Option<Arc<Posters>>, clock: Clock) -> Self {
        let arrival = delivery.arrival;
        Self {
            provenance: Arc::new(Provenance {
                member: Arc::clone(&delivery.member),
                posted_at: delivery.posted_at,
                via: arrival.via,
                from: arrival.from,
                received: clock.instant(arrival.at),
            }),
            due: delivery.seqs().first(),
            values: delivery.into_values(),
            posters,
            is_history: false,
        }
    }

    /// The same, of the past that a reader began with or not.
    pub(crate) fn of_history(self, is_history: bool) -> Self {
        Self { is_history, ..self }
    }

    /// Whose they are, and the number of the next.
    pub(crate) fn due(&self) -> (Sender, Seq) {
        (self.provenance.member.sender(), self.due)
    }
}

impl Iterator for Unpacked {
    type Item = UnpackedValue;

    fn next(&mut self) -> Option<UnpackedValue> {
        let posted = self.values.next()?;
        self.due = posted.seqs.last().next();
        let origin = Origin {
            seqs: posted.seqs,
            delivery: Arc::clone(&self.provenance),
        };
        Some(UnpackedValue {
            origin,
            is_history: self.is_history,
            posted,
            posters: self.posters.clone(),
        })
    }
}

impl UnpackedValue {
    /// Whether `object` hears it: any object hears other nodes, but not itself.
    pub(crate) fn is_for(&self, object: ObjectId) -> bool {
        self.posters
            .as_ref()
            .is_none_or(|posters| posters.heard_by(object, self.posted.seqs.last()))
    }
}
