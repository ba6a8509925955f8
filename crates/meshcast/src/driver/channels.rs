//! The part of the driver that follows channel objects: what they open and close, post, and are
//! due.

use std::{sync::Arc, time::Duration};

use meshcast_proto::{ChannelName, Time};

use super::Driver;
use crate::{
    channel::{Hub, Item, Section},
    clock::wall_time,
};

/// A channel that gossip is subscribed to.
pub(super) struct Channel {
    pub(super) hub: Arc<Hub>,
    /// Since when no object has been open. Gossip stays subscribed for a while, since leaving and
    /// joining again at once would leave it without links for longer.
    pub(super) vacant_since: Option<Time>,
}

/// What there was to follow.
pub(super) struct Followed {
    /// Something was published.
    pub(super) posted: bool,
    /// Something is left.
    pub(super) more: bool,
}

impl Driver {
    /// Opens and closes what handles opened and closed, answers what they ask, and sends what they
    /// posted, within bounds.
    pub(super) fn follow_registry(&mut self) -> Followed {
        for hub in self.parts.registry.take_changed(OPENED_A_TURN) {
            self.follow_hub(hub);
        }
        self.answer_hubs();
        let mut bytes = 0;
        while bytes < BYTES_A_TURN {
            let Some(hub) = self.parts.registry.take_ready() else {
                break;
            };
            if !self.parts.engine.may_post(hub.name()) {
                self.held_up.insert(hub.name().clone(), hub);
                continue;
            }
            let (section, more) = hub.take_section();
            if more {
                // Behind the others, so that a busy channel does not starve a quiet one.
                self.parts.registry.ready(&hub);
            }
            if let Some(section) = section {
                bytes += section.draft.len().max(BYTES_A_TURN / SECTIONS_A_TURN);
                self.post(&hub, section);
            }
        }
        Followed {
            posted: bytes > 0,
            more: self.parts.registry.has_more(),
        }
    }

    pub(super) fn follow_hub(&mut self, hub: Arc<Hub>) {
        if hub.is_gone() {
            self.leave(&hub);
        } else {
            self.enter(hub);
        }
    }

    fn enter(&mut self, hub: Arc<Hub>) {
        hub.set_followed();
        let now = self.parts.clock.now();
        let open = hub.objects() > 0;
        if let Some(channel) = self.channels.get_mut(hub.name()) {
            channel.hub = hub;
            channel.vacant_since = (!open).then(|| channel.vacant_since.unwrap_or(now));
            return;
        }
        let opened =
            self.with_engine(|engine, now| engine.handle_open(hub.name(), hub.since(), now));
        if let Err(error) = opened {
            // The registry counts names as the engine does, so this does not happen.
            tracing::error!(%error, channel = ?hub.name(), "the channel stays deaf");
            return;
        }
        self.parts.swarm.behaviour_mut().gossip.join(hub.name());
        let vacant_since = (!open).then_some(now);
        self.channels
            .insert(hub.name().clone(), Channel { hub, vacant_since });
    }

    pub(super) fn post(&mut self, hub: &Arc<Hub>, mut section: Section) {
        let known = self
            .channels
            .get(hub.name())
            .map(|channel| Arc::clone(&channel.hub));
        if known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, hub)) {
            // Opened, posted to and closed before this turn, perhaps after another of the name has
            // made way.
            known.iter().for_each(|known| self.leave(known));
            // Also if it has made way itself since its section was taken: what was accepted is
            // sent.
            self.enter(Arc::clone(hub));
        }
        let draft = std::mem::take(&mut section.draft);
        let bytes = draft.len();
        let posted = self.with_engine_then(
            |engine, now| engine.handle_post(hub.name(), draft, now, wall_time()),
            |driver, posted| {
                let seqs = *posted.as_ref().ok()?;
                tracing::trace!(channel = ?hub.name(), %seqs, bytes, "section made");
                hub.numbered(seqs);
                let engine = &driver.parts.engine;
                driver
                    .receipts
                    .handle_sent(hub, |name, seq| engine.acked(name, seq));
                driver.flushes.touch();
                Some(Arc::new(section.posters(seqs)))
            },
        );
        // The section was made for a frame, so this does not happen.
        if let Err(error) = posted {
            tracing::error!(%error, channel = ?hub.name(), "a post was lost");
        }
    }

    /// A channel that was held up may be posted on again.
    pub(super) fn handle_writable(&mut self, name: &ChannelName) {
        if let Some(hub) = self.held_up.remove(name) {
            self.parts.registry.ready(&hub);
        }
    }

    pub(super) fn deliver(&mut self, name: &ChannelName, item: Item) {
        if let Some(channel) = self.channels.get(name)
            && channel.hub.deliver(item)
        {
            self.crowded.push(name.clone());
        }
    }

    pub(super) fn drop_vacant_channels(&mut self, now: Time) {
        let over = |channel: &Channel| {
            channel
                .vacant_since
                .is_some_and(|since| since + LINGER <= now)
        };
        let vacant: Vec<ChannelName> = self
            .channels
            .iter()
            .filter(|(_, channel)| over(channel))
            .map(|(name, _)| name.clone())
            .collect();
        for name in vacant {
            if self.parts.registry.remove_vacant(&name)
                && let Some(channel) = self.channels.get(&name)
            {
                let hub = Arc::clone(&channel.hub);
                self.leave(&hub);
            }
        }
        self.parts
            .registry
            .remember(self.parts.engine.closed_names());
    }

    /// Leaves the channel of a hub that the registry has let go of, unless there is another by now.
    fn leave(&mut self, hub: &Arc<Hub>) {
        let name = hub.name();
        if !self
            .channels
            .get(name)
            .is_some_and(|channel| Arc::ptr_eq(&channel.hub, hub))
        {
            return;
        }
        if self.channels.remove(name).is_some() {
            self.with_engine(|engine, _| engine.handle_close(name));
            self.parts.swarm.behaviour_mut().gossip.leave(name);
            tracing::debug!(channel = ?name, "left");
        }
    }
}

/// How much is sent before the swarm is polled again, in sections and in bytes of them.
const SECTIONS_A_TURN: usize = 16;
const BYTES_A_TURN: usize = 1024 * 1024;

/// How many channels are opened or closed before the swarm is polled again: gossipsub tells of each
/// in a message of its own, and keeps the room of the longest queue it ever had.
const OPENED_A_TURN: usize = 64;

/// For how long a channel that was closed stays subscribed.
const LINGER: Duration = Duration::from_secs(120);
