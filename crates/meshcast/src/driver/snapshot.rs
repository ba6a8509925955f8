//! What the node looks like, for `inspect`.

use std::collections::{HashMap, HashSet};

use libp2p::{PeerId, gossipsub::TopicHash};
use meshcast_proto::{ChannelName, SenderState};

use super::{Driver, channels::Channel};
use crate::{
    inspect::{ChannelInfo, Counters, Direction, NodeInfo, PeerInfo, SenderInfo, Snapshot},
    transport::{peer_id, sender as peer_sender},
};

impl Driver {
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut announced: HashMap<&TopicHash, Vec<PeerId>> = HashMap::new();
        for (peer, topic) in self.parts.swarm.behaviour().gossip.subscriptions() {
            announced.entry(topic).or_default().push(*peer);
        }
        let mut channels: Vec<_> = self
            .channels
            .iter()
            .map(|(name, channel)| {
                let subscribers = announced.remove(&channel.topic.hash()).unwrap_or_default();
                self.channel(name, channel, subscribers)
            })
            .collect();
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        Snapshot {
            node: self.node(),
            peers: self.peers(),
            seeds: self.seeds(),
            channels,
            counters: self.counters(),
        }
    }

    fn node(&self) -> NodeInfo {
        let credential = self.parts.me.credential();
        NodeInfo {
            name: credential.name.clone(),
            region: credential.region.clone(),
            peer_id: *self.parts.swarm.local_peer_id(),
            pid: std::process::id(),
            listen_addresses: self.parts.swarm.listeners().cloned().collect(),
            started_at: self.started,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    fn peers(&self) -> Vec<PeerInfo> {
        let mine: HashSet<_> = self
            .channels
            .values()
            .map(|channel| channel.topic.hash())
            .collect();
        let gossip = &self.parts.swarm.behaviour().gossip;
        let mut shared: HashMap<PeerId, usize> = HashMap::new();
        for (peer, _) in gossip.subscriptions().filter(|(_, topic)| mine.contains(*topic)) {
            *shared.entry(*peer).or_default() += 1;
        }
        let info = |(id, peer): (&PeerId, &crate::peers::Peer)| PeerInfo {
            name: peer.member.credential().name.clone(),
            region: peer.member.credential().region.clone(),
            peer_id: *id,
            addresses: peer.addresses.clone(),
            rtt: peer.rtt,
            direction: peer
                .main()
                .map_or(Direction::Inbound, |connection| connection.direction),
            connected_since: peer.since_wall,
            shared_channels: shared.get(id).copied().unwrap_or_default(),
            mute: peer_sender(id).map_or(0, |peer| self.watchdog.times(peer)),
        };
        let mut peers: Vec<_> = self.peers.iter().map(info).collect();
        peers.sort_by(|a, b| (&a.name, a.peer_id).cmp(&(&b.name, b.peer_id)));
        peers
    }

    fn channel(&self, name: &ChannelName, channel: &Channel, mut subscribers: Vec<PeerId>) -> ChannelInfo {
        let gossip = &self.parts.swarm.behaviour().gossip;
        let topic = channel.topic.hash();
        let mut mesh: Vec<PeerId> = gossip.mesh_peers(&topic).copied().collect();
        subscribers.sort();
        mesh.sort();
        let load = channel.hub.load();
        let mut senders: Vec<_> = self
            .parts
            .engine
            .senders(name)
            .map(|(_, state)| sender(&state))
            .collect();
        senders.sort_by_key(|sender| sender.peer_id);
        ChannelInfo {
            name: name.clone(),
            objects: channel.hub.objects(),
            subscribers,
            mesh,
            senders,
            outbox_bytes: load.outbox_bytes,
            unread_bytes: load.unread_bytes,
        }
    }

    fn counters(&self) -> Counters {
        let engine = self.parts.engine.counters();
        let (undecodable, handler_panics, unread) = self.parts.registry.stats().read();
        let open: u64 = self
            .channels
            .values()
            .map(|channel| channel.hub.load().unread)
            .sum();
        let knocks = self.parts.door.knocks();
        Counters {
            knocks: knocks.all,
            knocks_silent: knocks.silent,
            knocks_foreign: knocks.foreign,
            knocks_displaced: knocks.displaced,
            pending_inbound: knocks.pending,
            posted: engine.posted,
            frames_posted: engine.frames_posted,
            frames_gossiped: self.parts.verifier.valid(),
            frames_accepted: engine.frames_accepted,
            frames_duplicate: engine.frames_duplicate,
            frames_unwanted: engine.frames_unwanted,
            frames_stale: engine.frames_stale,
            frames_without_room: engine.frames_without_room,
            frames_dropped: engine.frames_dropped,
            requests: engine.requests,
            frames_repaired: engine.frames_repaired,
            frames_served: engine.frames_served,
            answers_refused: engine.answers_refused,
            frames_invalid: self.parts.verifier.invalid(),
            delivered: engine.delivered,
            gaps: engine.gaps,
            missed: engine.missed,
            unread: unread + open,
            undecodable,
            handler_panics,
            history_bytes: self.parts.engine.history().bytes(),
            ..self.counters
        }
    }
}

fn sender(state: &SenderState) -> SenderInfo {
    let credential = state.member.credential();
    SenderInfo {
        name: credential.name.clone(),
        region: credential.region.clone(),
        peer_id: peer_id(state.member.sender()),
        highest_seq: state.newest.get(),
        delivered_seq: state.next.map(|next| next.get() - 1),
    }
}
