//! Topics: what channels are called in gossipsub.

use libp2p::gossipsub::TopicHash;
use meshcast_proto::{ChannelName, MeshId};

/// The topics of a mesh. They are hashes, keyed by the mesh, so that nobody else can guess them.
#[derive(Debug)]
pub(super) struct Topics(meshcast_proto::Topics);

impl Topics {
    pub(super) fn new(mesh: MeshId) -> Self {
        Self(mesh.topics())
    }

    /// The topic of a channel.
    pub(super) fn of(&self, channel: &ChannelName) -> TopicHash {
        let mut name = String::with_capacity(LEN);
        name.extend(hex(self.0.of(channel)).map(char::from));
        TopicHash::from_raw(name)
    }

    /// Whether a topic is that of a channel.
    pub(super) fn is_of(&self, topic: &TopicHash, channel: &ChannelName) -> bool {
        hex(self.0.of(channel)).eq(topic.as_str().bytes())
    }
}

/// The bytes that a topic is made of. `None` if it has not the form of those of channels: then it
/// is nobody's, and gossipsub would keep it whatever its length.
pub(super) fn number(topic: &TopicHash) -> Option<u128> {
    let name = topic.as_str();
    let is_digit = |it| matches!(it, b'0'..=b'9' | b'a'..=b'f');
    let is_topic = name.len() == LEN && name.bytes().all(is_digit);
    u128::from_str_radix(name, 16).ok().filter(|_| is_topic)
}

/// How long the name of a topic is: the digits of 16 bytes.
const LEN: usize = 32;

/// The digits of the name of a topic.
fn hex(name: [u8; 16]) -> impl Iterator<Item = u8> {
    let digit = |four: u8| b"0123456789abcdef"[usize::from(four)];
    name.into_iter()
        .flat_map(move |byte| [digit(byte >> 4), digit(byte & 15)])
}
