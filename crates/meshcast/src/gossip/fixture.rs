//! Gossip of a member of a mesh, for tests.

use std::time::Duration;

use bytes::Bytes;
use libp2p::{
    Multiaddr, PeerId,
    gossipsub::{IdentTopic, PublishError},
    swarm::{ConnectionId, NetworkBehaviour},
};
use meshcast_proto::{ChannelName, FrameId, MeshKey, Trust, Verifier};

use super::{Gossip, MAX_RPC_LEN, NotPublished, rpc::Reader};
use crate::verifier::SharedVerifier;

impl Gossip {
    pub(crate) fn of(key: &MeshKey) -> Self {
        let verifier = Verifier::new(Trust::from(key), Duration::from_secs(600));
        Self::new(key.mesh(), SharedVerifier::new(verifier), MAX_RPC_LEN).expect("allowed")
    }

    /// Joins or leaves a topic that may be none of a channel.
    pub(crate) fn join_topic(&mut self, topic: &str, yes: bool) {
        let topic = IdentTopic::new(topic);
        if yes {
            self.inner.subscribe(&topic).expect("allowed");
        } else {
            self.inner.unsubscribe(&topic);
        }
    }

    /// Publishes what may be no frame of this channel.
    pub(crate) fn publish_bytes(
        &mut self,
        channel: &ChannelName,
        bytes: &[u8],
    ) -> Result<(), NotPublished> {
        let topic = self.topics.of(channel);
        let all = self.announced.listening(&topic);
        let to: Vec<_> = all.filter(|peer| !self.lazy.contains(peer)).collect();
        let inner = &mut self.inner;
        let publish = |ticket| super::give(inner, topic, ticket, &to);
        let ticket = FrameId::of(bytes).as_bytes().to_vec();
        let bytes = Bytes::copy_from_slice(bytes);
        match self.tickets.publish(ticket, bytes, publish) {
            Ok(_) => Ok(()),
            Err(PublishError::NoPeersSubscribedToTopic) => Err(NotPublished::NoPeer),
            Err(error) => Err(NotPublished::Refused(error)),
        }
    }

    /// The topics that a peer is known to listen on.
    pub(crate) fn topics_of(&self, peer: &PeerId) -> Vec<String> {
        let topics = self.inner.all_peers().filter(|(it, _)| *it == peer);
        let topics = topics.flat_map(|(_, topics)| topics);
        topics.map(ToString::to_string).collect()
    }

    /// The topic of a channel.
    pub(crate) fn topic(&self, channel: &ChannelName) -> String {
        self.topics.of(channel).to_string()
    }
}

/// Reads what is said to gossipsub, as a handler of its does.
pub(super) fn reader() -> Reader {
    let mut gossip = Gossip::of(&MeshKey::from_entropy([1; 48]));
    let (any, at) = (ConnectionId::new_unchecked(0), Multiaddr::empty());
    let established = gossip.handle_established_inbound_connection(any, PeerId::random(), &at, &at);
    established.expect("nobody is refused");
    gossip.reader
}
