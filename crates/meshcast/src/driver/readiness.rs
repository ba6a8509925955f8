//! When a node is ready.

use std::time::Duration;

use meshcast_proto::Time;

use super::Driver;
use crate::node::Ready;

impl Driver {
    /// Answers those who wait, once the node is ready, or as ready as it will be.
    ///
    /// Listening is done before the driver starts. What remains: the seeds were tried, which takes
    /// as long as the dial of an address or the look-up of a name may, and the node is part of the
    /// mesh.
    pub(super) fn check_ready(&mut self) {
        self.awaiting_ready
            .retain(|(_, answer)| !answer.is_closed());
        let opening = self.parts.registry.has_changed();
        if self.awaiting_ready.is_empty() || !self.parts.dialer.seeds_tried() || opening {
            return;
        }
        let now = self.parts.clock.now();
        let tried = *self.seeds_tried.get_or_insert(now);
        let everybody = self.is_part_of_the_mesh(now);
        let due = |asked: Time| everybody || asked.max(tried) + MESH_PATIENCE <= now;
        let members = self.peers.iter().count();
        self.awaiting_ready
            .extract_if(.., |(asked, _)| due(*asked))
            // Whoever asked may have left.
            .for_each(|(_, answer)| _ = answer.send(Ready { members }));
    }

    /// When [`Self::check_ready`] wants to be called, if nothing happens.
    pub(super) fn ready_due(&self) -> Option<Time> {
        // Nothing says when gossip takes a peer into its mesh.
        (!self.awaiting_ready.is_empty()).then(|| self.parts.clock.now() + LOOK_AGAIN)
    }

    /// Whether everybody connected has announced its channels (or has had the time to), and gossip
    /// has a link on every shared channel.
    fn is_part_of_the_mesh(&self, now: Time) -> bool {
        let gossip = &self.parts.swarm.behaviour().gossip;
        let announced = gossip.listeners();
        let all_heard = self
            .peers
            .iter()
            .all(|(id, peer)| announced.contains(id) || peer.since + ANNOUNCEMENT <= now);
        all_heard && gossip.is_meshed()
    }
}

/// How long a connected peer that announces no channel is waited for: it may have none.
const ANNOUNCEMENT: Duration = Duration::from_millis(500);

/// How long the mesh is waited for after the seeds were tried. It takes a heartbeat to join; but if
/// the only peers do not keep up, or peers come without end, it may never be.
const MESH_PATIENCE: Duration = Duration::from_secs(5);

/// How often that is looked at while somebody waits.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
