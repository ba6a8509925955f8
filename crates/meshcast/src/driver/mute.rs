//! Links whose gossip has stopped: what the watchdog is told, and what is done with whom it finds.

use std::time::Duration;

use libp2p::PeerId;
use meshcast_proto::{ChannelName, Frame, Frames, Sender, Sign, SyncMessage};

use super::Driver;
use crate::{
    event::{self, NodeEvent},
    gossip::CALLED_OFF_LEN,
    transport::{peer_id, sender},
};

/// What an answer brings, before the engine takes it.
pub(super) struct Fetched {
    channel: ChannelName,
    sender: Sender,
    /// How long ago the latest of its frames was posted.
    age: Duration,
    /// What was repaired before it.
    repaired: u64,
}

impl Driver {
    /// A frame came by gossip that was new.
    pub(super) fn note_gossip(&mut self, from: PeerId, frame: &Frame) {
        if frame.bytes().len() < CALLED_OFF_LEN && Some(frame.sender()) != sender(&from) {
            self.note_sign(frame.sender(), Sign::Detoured);
        }
    }

    pub(super) fn before_answer(&self, message: &SyncMessage) -> Option<Fetched> {
        let SyncMessage::Frames(Frames {
            channel,
            sender,
            frames,
            ..
        }) = message
        else {
            return None;
        };
        Some(Fetched {
            channel: channel.clone(),
            sender: *sender,
            age: frames.iter().map(|(age, _)| *age).min()?,
            repaired: self.engine.counters().frames_repaired,
        })
    }

    /// The engine has taken an answer of this peer.
    pub(super) fn note_answer(&mut self, from: PeerId, fetched: &Fetched) {
        if self.engine.counters().frames_repaired == fetched.repaired {
            return;
        }
        if self.peers.get(&peer_id(fetched.sender)).is_some() {
            self.note_sign(fetched.sender, Sign::Fetched(fetched.age));
        } else if let Some(passer) = sender(&from)
            && self.is_meshed(&from, &fetched.channel)
        {
            self.note_sign(passer, Sign::Withheld(fetched.age));
        }
    }

    /// Whether gossip has agreed with a peer that each passes on to the other what it hears on a
    /// channel.
    fn is_meshed(&self, peer: &PeerId, channel: &ChannelName) -> bool {
        let mut mesh = self.network.swarm.behaviour().gossip.mesh(channel);
        mesh.any(|it| it == *peer)
    }

    fn note_sign(&mut self, of: Sender, sign: Sign) {
        let now = self.clock.now();
        // First what speaks for them.
        for peer in self.network.gossip().take_heard() {
            if let Some(peer) = sender(&peer) {
                self.watchdog.handle_gossip(peer, now);
            }
        }
        self.watchdog.handle_sign(of, sign, now);
        while let Some(mute) = self.watchdog.poll_mute() {
            self.reconnect(peer_id(mute));
        }
    }

    /// Closes all connections to a peer; the dialer does the rest. All of them: gossip tells its
    /// topics on the first connection to a peer only.
    fn reconnect(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        let name = known.member.credential().name.clone();
        if let Some(suppressed) = self.warnings.mute.pass(self.clock.now()) {
            tracing::warn!(target: event::TARGET, %peer, %name, suppressed,
                "the gossip of a connected peer does not arrive: connecting anew");
        }
        self.counters.mute_links += 1;
        self.emit(NodeEvent::Mute { peer, name });
        // An error means that it is gone already.
        let _ = self.network.swarm.modify().disconnect_peer_id(peer);
    }
}
