//! Connects anew to peers whose gossip the engine found to be broken.

use libp2p::PeerId;

use super::Driver;
use crate::{
    event::{self, DisconnectReason, NodeEvent},
    ids::sender,
};

impl Driver {
    /// Tells the engine who brought copies, which gossip keeps to itself. To be called before what
    /// may speak against anybody.
    pub(super) fn note_copies(&mut self) {
        let now = self.clock.now();
        for peer in self.network.swarm.behaviour().gossip.take_heard() {
            if let Some(peer) = sender(&peer) {
                self.engine.handle_copy(peer, now);
            }
        }
    }

    /// Closes all connections to a peer; the dialer does the rest. All of them: any may carry the
    /// broken stream.
    pub(super) fn reconnect(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        let name = known.member.credential().name.clone();
        if let Some(suppressed) = self.reports.warnings.mute.pass(self.clock.now()) {
            tracing::warn!(target: event::TARGET, %peer, %name, suppressed,
                "the gossip of a connected peer does not arrive: reconnecting");
        }
        self.reports.counters.peers.mute_links += 1;
        self.emit(NodeEvent::Mute { peer, name });
        self.peers.excuse(&peer, DisconnectReason::Mute);
        // An error means that it is gone already.
        let _ = self.network.swarm.modify().disconnect_peer_id(peer);
    }
}
