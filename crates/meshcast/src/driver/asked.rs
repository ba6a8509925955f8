//! What channel objects ask of the driver: what they did not read in time.

use std::sync::Arc;

use meshcast_proto::{Recall, Recalled};

use super::Driver;
use crate::{
    channel::{Asked, Hub, Item, ReaderId, Wanted},
    message::Gap,
};

impl Driver {
    /// Answers hubs, up to a bound, so that readers which are behind do not keep the others waiting.
    pub(super) fn answer_hubs(&mut self) {
        for _ in 0..HUBS_A_TURN {
            let Some(hub) = self.parts.registry.take_asking() else {
                break;
            };
            let Asked { wanted } = hub.take_asked();
            for (reader, wanted) in wanted {
                self.recall(&hub, reader, &wanted);
            }
        }
    }

    /// Hands a reader what history keeps of the numbers it is behind with, and gaps for the rest.
    fn recall(&mut self, hub: &Hub, reader: ReaderId, wanted: &Wanted) {
        let member = &wanted.member;
        let (mut items, mut room, mut upto) = (Vec::new(), RECALL_LEN, None);
        for &(seqs, reason) in &wanted.spans {
            let recall = self.parts.engine.recall(hub.name(), member, seqs, room);
            upto = Some(recall.upto);
            let Recall { parts, .. } = recall;
            for part in parts {
                items.push(match part {
                    Recalled::Values(delivery) => {
                        room = room.saturating_sub(delivery.len_bytes());
                        self.counters.recalled += delivery.seqs().len();
                        Item::Values(delivery, None)
                    }
                    Recalled::Missing(missed) => Item::Missed(Gap {
                        member: Arc::clone(member),
                        missed,
                        reason,
                    }),
                });
            }
            if room == 0 || upto != Some(seqs.last()) {
                break;
            }
        }
        if let Some(upto) = upto {
            tracing::trace!(channel = ?hub.name(), sender = %member.sender(), %upto, "recalled");
            hub.recall(reader, items, upto);
        }
    }
}

/// Hubs that are answered before other things have a turn.
const HUBS_A_TURN: usize = 16;

/// What is handed to a reader at once, in bytes of frames, but at least one value: enough to keep it busy while
/// it asks again, little enough for thousands of readers. The frames are shared with the history.
const RECALL_LEN: usize = 256 * 1024;
