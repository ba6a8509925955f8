//! When a node is ready.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use libp2p::PeerId;

use super::Driver;

impl Driver {
    /// Answers those who wait, once the node is ready.
    pub(super) fn check_ready(&mut self) {
        self.awaiting_ready.retain(|answer| !answer.is_closed());
        if !self.awaiting_ready.is_empty() && self.is_ready() {
            self.awaiting_ready
                .drain(..)
                .for_each(|answer| _ = answer.send(()));
        }
    }

    /// Listening is done before the driver starts. What remains: the seeds were tried, everybody connected
    /// has announced its channels (or has had the time to), and gossip has a link on every shared channel.
    fn is_ready(&self) -> bool {
        if !self.parts.dialer.seeds_tried() {
            return false;
        }
        let now = self.parts.clock.now();
        let gossip = &self.parts.swarm.behaviour().gossip;
        let announced: HashMap<PeerId, Vec<_>> =
            gossip.all_peers().map(|(peer, topics)| (*peer, topics)).collect();
        let heard = |peer: &PeerId| announced.get(peer).is_some_and(|topics| !topics.is_empty());
        let all_heard = self
            .peers
            .iter()
            .all(|(id, peer)| heard(id) || peer.since + ANNOUNCEMENT <= now);
        let shared: HashSet<_> = announced.values().flatten().copied().collect();
        all_heard
            && self.channels.values().all(|channel| {
                let hash = channel.topic.hash();
                !shared.contains(&hash) || gossip.mesh_peers(&hash).next().is_some()
            })
    }
}

/// How long a connected peer that announces no channel is waited for: it may have none.
const ANNOUNCEMENT: Duration = Duration::from_millis(500);
