//! Gossip of a member of a mesh, for tests.

use std::time::Duration;

use libp2p::PeerId;
use meshcast_proto::{ChannelName, MeshKey, Trust, Verifier};

use super::{Gossip, NEVER_MUTE, NotPublished};
use crate::verifier::SharedVerifier;

impl Gossip {
    pub(crate) fn of(key: &MeshKey) -> Self {
        let verifier = Verifier::new(Trust::from(key), Duration::from_secs(600));
        Self::new(key.mesh(), SharedVerifier::new(verifier), NEVER_MUTE)
    }

    /// Publishes what may be no frame of this channel, which need not be joined.
    pub(crate) fn publish_bytes(
        &mut self,
        channel: &ChannelName,
        bytes: &[u8],
    ) -> Result<(), NotPublished> {
        let topic = self.judge.topics().of(channel);
        let to: Vec<_> = self.peers.listening(topic).collect();
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        let give = |peer: &&PeerId| {
            self.peers
                .give(peer, topic, &bytes, meshcast_proto::Time::ZERO)
        };
        match to.iter().filter(give).count() {
            0 => Err(NotPublished::NoPeer),
            _ => Ok(()),
        }
    }

    /// The topics that a peer is known to listen on.
    pub(crate) fn topics_of(&self, peer: &PeerId) -> Vec<String> {
        self.peers.topics_of(peer)
    }

    /// The topic of a channel.
    pub(crate) fn topic(&self, channel: &ChannelName) -> String {
        self.judge.topics().of(channel).to_string()
    }
}
