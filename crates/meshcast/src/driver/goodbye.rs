//! The last word of a node that stops in peace.

use std::collections::BTreeSet;

use libp2p::PeerId;
use meshcast_proto::SyncMessage;

use super::Driver;
use crate::event::DisconnectReason;

impl Driver {
    /// Tells all peers that this node leaves in peace. Each says it back: what is on its way when a
    /// connection is closed may be lost.
    pub(super) fn say_goodbye(&mut self) {
        self.with_tracker(|tracker, _, _, now| tracker.handle_leaving(now));
        let peers = self.peers.iter().map(|(peer, _)| *peer);
        let peers: BTreeSet<PeerId> = peers.filter(|peer| self.sessions.is_open(peer)).collect();
        for peer in &peers {
            self.send_sync(*peer, &SyncMessage::Leaving);
        }
        self.farewells = Some(peers);
    }

    /// Whether some have not said it back yet.
    pub(super) fn waits_for_farewells(&self) -> bool {
        self.farewells
            .as_ref()
            .is_some_and(|peers| !peers.is_empty())
    }

    /// A peer leaves, or has heard that this node does.
    pub(super) fn handle_goodbye(&mut self, peer: PeerId) {
        match &mut self.farewells {
            Some(peers) => _ = peers.remove(&peer),
            None => {
                self.peers.excuse(&peer, DisconnectReason::Left);
                self.send_sync(peer, &SyncMessage::Leaving);
            }
        }
    }

    /// A peer is gone, and says nothing back any more.
    pub(super) fn forget_farewell(&mut self, peer: &PeerId) {
        if let Some(peers) = &mut self.farewells {
            peers.remove(peer);
        }
    }
}
