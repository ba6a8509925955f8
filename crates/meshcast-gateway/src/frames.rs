//! Frames between a client and the service: text that is JSON, and binary frames that carry values.
//! See `docs/gateway.md`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The subprotocol of the WebSocket.
pub(crate) const PROTOCOL: &str = "meshcast.v1";
pub(crate) const VERSION: u32 = 1;

/// Bytes before the value that a client posts: the numbers of the channel and of the post.
pub(crate) const POST_HEAD: usize = 8;

/// What a client says.
#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Said {
    Open {
        channel: u32,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ago: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    Close {
        channel: u32,
    },
    Alive,
}

/// A value that a client posts.
#[derive(Debug, PartialEq)]
pub(crate) struct Post {
    pub(crate) channel: u32,
    pub(crate) number: u32,
    pub(crate) value: Bytes,
}

/// What the service tells.
#[derive(Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(Deserialize))]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Tell {
    #[serde(rename_all = "camelCase")]
    Hello {
        version: u32,
        peer_id: String,
        name: String,
        region: String,
        max_message_bytes: usize,
        max_channels: usize,
    },
    Opened {
        channel: u32,
        read: bool,
        post: bool,
        /// The beginning, unless that is in the past. A client that is cut off before any other
        /// cursor goes on there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
    Refused {
        channel: u32,
        reason: Refusal,
    },
    #[serde(rename_all = "camelCase")]
    Sender {
        channel: u32,
        number: u32,
        peer_id: String,
        name: String,
        region: String,
    },
    Gap {
        channel: u32,
        sender: u32,
        first: u64,
        last: u64,
        reason: String,
    },
    CaughtUp {
        channel: u32,
    },
    Cursor {
        channel: u32,
        cursor: String,
    },
    Posted {
        channel: u32,
        number: u32,
        seq: Option<u64>,
    },
    Unposted {
        channel: u32,
        number: u32,
        reason: Refusal,
    },
    Alive,
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(Deserialize))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refusal {
    /// It is not allowed to.
    Forbidden,
    /// The name is none.
    Name,
    /// It has as many channels open as it may.
    TooMany,
    /// The cursor is none, or is of another channel.
    Cursor,
    /// The message is over the limit.
    TooLarge,
    /// The channel is not open.
    Closed,
    /// The node has stopped, or takes no more channels.
    Unavailable,
}

/// A message, on its way to a client.
#[derive(Debug, PartialEq)]
pub(crate) struct Delivered<'a> {
    pub(crate) channel: u32,
    pub(crate) sender: u32,
    pub(crate) seq: u64,
    /// As `Date.now` counts.
    pub(crate) posted_at: u64,
    pub(crate) is_history: bool,
    pub(crate) value: &'a [u8],
}

impl Said {
    /// `None` if it is nothing that a client may say.
    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Post {
    /// `None` if it is too short.
    pub(crate) fn read(frame: &Bytes) -> Option<Self> {
        let (channel, rest) = frame.split_first_chunk()?;
        let (number, _) = rest.split_first_chunk()?;
        Some(Self {
            channel: u32::from_le_bytes(*channel),
            number: u32::from_le_bytes(*number),
            value: frame.slice(POST_HEAD..),
        })
    }
}

impl Tell {
    pub(crate) fn written(&self) -> String {
        // Nothing in it that JSON has not.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Delivered<'_> {
    pub(crate) fn written(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(25 + self.value.len());
        bytes.push(u8::from(self.is_history));
        bytes.extend(self.channel.to_le_bytes());
        bytes.extend(self.sender.to_le_bytes());
        // What JavaScript counts with; exact up to 2^53.
        bytes.extend((self.seq as f64).to_le_bytes());
        bytes.extend((self.posted_at as f64).to_le_bytes());
        bytes.extend(self.value);
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors(kind: &str) -> Vec<Value> {
        let text = include_str!("../testdata/frames.json");
        let mut vectors: Value = serde_json::from_str(text).expect("JSON");
        serde_json::from_value(vectors[kind].take()).expect("a list")
    }

    fn bytes(vector: &Value) -> Bytes {
        let text = vector["bytes"].as_str().expect("bytes");
        let pairs = text.as_bytes().chunks(2);
        let pair = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
        pairs.map(|it| pair(it).expect("hexadecimal")).collect()
    }

    fn number<T: TryFrom<u64>>(vector: &Value, field: &str) -> T {
        let number = vector[field].as_u64().expect(field);
        T::try_from(number).ok().expect(field)
    }

    #[test]
    fn what_clients_say_is_read_as_the_vectors_have_it() {
        for vector in vectors("said") {
            let said = Said::read(&vector.to_string()).expect("readable");
            let again = serde_json::to_value(&said).expect("writable");
            assert_eq!(again, vector);
        }
        for vector in vectors("unreadable") {
            let text = vector.as_str().expect("text");
            assert_eq!(Said::read(text), None, "{text}");
        }
    }

    #[test]
    fn what_the_service_tells_is_written_as_the_vectors_have_it() {
        for vector in vectors("told") {
            let tell: Tell = serde_json::from_value(vector.clone()).expect("known");
            let again: Value = serde_json::from_str(&tell.written()).expect("JSON");
            assert_eq!(again, vector);
        }
    }

    #[test]
    fn posts_are_read_as_the_vectors_have_them() {
        for vector in vectors("posts") {
            let post = Post::read(&bytes(&vector)).expect("long enough");
            assert_eq!(post.channel, number::<u32>(&vector, "channel"));
            assert_eq!(post.number, number::<u32>(&vector, "number"));
            assert_eq!(post.value, bytes(&vector["value"]));
        }
        assert_eq!(Post::read(&Bytes::from_static(&[0; 7])), None);
    }

    #[test]
    fn messages_are_written_as_the_vectors_have_them() {
        for vector in vectors("messages") {
            let value = bytes(&vector["value"]);
            let delivered = Delivered {
                channel: number(&vector, "channel"),
                sender: number(&vector, "sender"),
                seq: number(&vector, "seq"),
                posted_at: number(&vector, "postedAt"),
                is_history: vector["history"].as_bool().expect("history"),
                value: &value,
            };
            assert_eq!(delivered.written(), bytes(&vector));
        }
    }
}
