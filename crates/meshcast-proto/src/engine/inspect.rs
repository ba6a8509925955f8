//! What can be seen of an engine: methods that change nothing.

use std::sync::Arc;

use super::{Counters, Engine};
use crate::{
    bounds::Budget,
    identity::Member,
    log::History,
    wire::{ChannelName, Sender, Seq},
};

/// What is known of a sender on a channel.
#[derive(Debug, Clone)]
pub struct SenderState {
    /// Who it is.
    pub member: Arc<Member>,
    /// The highest number known to exist.
    pub newest: Seq,
    /// The number that is delivered next, once the beginning is known.
    pub next: Option<Seq>,
}

impl Engine {
    /// Whether frames of this channel are taken in.
    pub fn is_open(&self, channel: &ChannelName) -> bool {
        self.channels.is_open(channel)
    }

    /// The number of closed names that take a place: those that were posted on, and those of which
    /// something is kept.
    pub fn closed_names(&self) -> usize {
        self.channels.closed()
    }

    /// The senders known on a channel and their highest numbers. This node is among them if it
    /// posted.
    pub fn senders(&self, channel: &ChannelName) -> impl Iterator<Item = (Sender, SenderState)> {
        self.logs.of(channel).filter_map(|(sender, replica)| {
            let log = &replica.log;
            let newest = log.reorder().newest()?;
            let state = SenderState {
                member: log.member().cloned()?,
                newest,
                next: log.reorder().next(),
            };
            Some((sender, state))
        })
    }

    /// How often the gossip of a peer was found not to arrive, without a steady minute since.
    pub fn times_mute(&self, peer: Sender) -> u32 {
        self.health.times(peer)
    }

    /// The counters so far.
    pub const fn counters(&self) -> Counters {
        Counters {
            frames_dropped: self.logs.shed_frames(),
            logs_refused: self.logs.refused.logs,
            claims_refused: self.logs.refused.claims,
            requests_hedged: self.logs.hedged,
            ..self.counters
        }
    }

    /// The budget of the node's memory. The driver charges its own queues to it too.
    pub const fn budget(&self) -> &Budget {
        &self.logs.budget
    }

    /// What is kept for others.
    pub const fn history(&self) -> &History {
        &self.history
    }
}
