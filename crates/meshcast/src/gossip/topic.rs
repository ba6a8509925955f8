//! Topics: what channels are called in gossip.

use std::fmt;

use meshcast_proto::{ChannelName, MeshId};

/// The topics of a mesh. They are hashes, keyed by the mesh, so that nobody else can guess them.
#[derive(Debug)]
pub(super) struct Topics(meshcast_proto::Topics);

impl Topics {
    pub(super) fn new(mesh: MeshId) -> Self {
        Self(mesh.topics())
    }

    /// The topic of a channel.
    pub(super) fn of(&self, channel: &ChannelName) -> Topic {
        Topic(self.0.of(channel))
    }
}

/// The topic of a channel. Its name, on the wire, is its bytes in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Topic([u8; 16]);

impl Topic {
    /// The topic of this name; `None` if no channel has one like it.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let name: &[u8; NAME_LEN] = name.try_into().ok()?;
        let digit = |it: u8| match it {
            b'0'..=b'9' => Some(it - b'0'),
            b'a'..=b'f' => Some(it - b'a' + 10),
            _ => None,
        };
        let mut topic = [0; 16];
        for (byte, pair) in topic.iter_mut().zip(name.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(topic))
    }

    pub(super) fn name(self) -> [u8; NAME_LEN] {
        let mut name = [0; NAME_LEN];
        for (pair, byte) in name.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        name
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name()
            .iter()
            .try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How long the name of a topic is.
pub(super) const NAME_LEN: usize = 32;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_one_name_and_no_other_is_taken_for_one() {
        for seed in 0..=255_u8 {
            let topic = Topic([seed; 16]);
            assert_eq!(Topic::named(&topic.name()), Some(topic));
            assert_eq!(topic.to_string().as_bytes(), topic.name());
        }
        let strange = [
            "0".repeat(31),
            "0".repeat(33),
            "g".repeat(32),
            "A".repeat(32),
        ];
        for name in strange.iter().map(String::as_str).chain([""]) {
            assert_eq!(Topic::named(name.as_bytes()), None, "{name}");
        }
    }
}
