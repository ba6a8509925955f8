//! What peers say to gossipsub: its types have no public names, so here is all that looks into them
//! or makes them.

use std::hash::{Hash, Hasher};

use futures::{FutureExt, StreamExt, io::Cursor};
use libp2p::{
    core::upgrade::{InboundUpgrade, UpgradeInfo},
    gossipsub::TopicHash,
    swarm::{ConnectionHandler, THandler, THandlerOutEvent},
};

use super::{settings::Inner, topic};

/// What a connection brings to gossipsub.
pub(super) type Said = THandlerOutEvent<Inner>;

/// How gossipsub reads what a peer says.
type Protocol = <THandler<Inner> as ConnectionHandler>::OutboundProtocol;

/// Makes of an RPC, as it is on a stream, what gossipsub takes from a connection. gossipsub does
/// that itself, with the protocol that its connections have.
#[derive(Default)]
pub(super) struct Reader {
    protocol: Option<Protocol>,
    /// That somebody leaves a topic.
    leaving: Option<Said>,
}

impl Reader {
    /// To be called with every handler: the first one has the protocol.
    pub(super) fn learn(&mut self, handler: &THandler<Inner>) {
        if self.protocol.is_none() {
            self.protocol = handler.listen_protocol().into_upgrade().0.left();
            self.leaving = self.read(&subscriptions(&[TopicHash::from_raw("any")], false));
        }
    }

    /// `None` if it is no RPC, or before there was a connection.
    pub(super) fn read(&self, rpc: &[u8]) -> Option<Said> {
        let protocol = self.protocol.clone()?;
        let name = protocol.protocol_info().into_iter().next()?;
        let upgraded = protocol.upgrade_inbound(Cursor::new(rpc.to_vec()), name);
        let (mut rpcs, _) = upgraded.now_or_never()?.ok()?;
        rpcs.next().now_or_never()??.ok()
    }

    /// Of the topics that a peer joins or leaves drops those that are not to be kept.
    pub(super) fn retain_topics(
        &self,
        said: &mut Said,
        mut keep: impl FnMut(&TopicHash, Subscribes) -> bool,
    ) {
        if let Said::Message { rpc, .. } = said {
            let leaving = match &self.leaving {
                Some(Said::Message { rpc, .. }) => rpc.subscriptions.first(),
                _ => None,
            };
            rpc.subscriptions.retain(|it| {
                let leaves = leaving.is_some_and(|leaving| it.action == leaving.action);
                keep(&it.topic_hash, Subscribes(!leaves))
            });
        }
    }
}

/// Whether a peer joins a topic or leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscribes(pub(super) bool);

/// Takes out of what a peer says what no honest member does: gossipsub would keep some of it,
/// whatever its length, and log the rest. Returns how much that was.
pub(super) fn take_malformed(said: &mut Said) -> u64 {
    let Said::Message {
        rpc,
        invalid_messages,
    } = said
    else {
        return 0;
    };
    // These do not even have the form of a message.
    let mut malformed = std::mem::take(invalid_messages).len();
    let before = rpc.subscriptions.len();
    rpc.subscriptions
        .retain(|it| topic::number(&it.topic_hash).is_some());
    malformed += before - rpc.subscriptions.len();
    let before = rpc.control_msgs.len();
    rpc.control_msgs.retain(|it| longest(it) <= LONGEST);
    (malformed + before - rpc.control_msgs.len()) as u64
}

/// Puts something else in the place of each message that a peer published, before gossipsub copies
/// it. A message for which there is nothing is dropped.
pub(super) fn exchange(
    said: &mut Said,
    mut ticket: impl FnMut(&TopicHash, Vec<u8>) -> Option<Vec<u8>>,
) {
    if let Said::Message { rpc, .. } = said {
        rpc.messages.retain_mut(|message| {
            let ticket = ticket(&message.topic, std::mem::take(&mut message.data));
            ticket.map(|ticket| message.data = ticket).is_some()
        });
    }
}

/// Takes out all by which a peer would change what gossipsub does for it, which is decided here:
/// with a GRAFT, whom this node dialled would be given each frame, also while there is no room for
/// it, and of what it does not want to have, 10,000 ids would be remembered. No member says any.
pub(super) fn drop_control(said: &mut Said) {
    if let Said::Message { rpc, .. } = said {
        rpc.control_msgs.clear();
    }
}

/// Whether it is that a frame was dropped, since it was too old when it was its turn.
pub(super) const fn is_dropped(said: &Said) -> bool {
    matches!(said, Said::MessageDropped(_))
}

/// The longest string in something. gossipsub's control messages can only be looked into by what
/// they derive.
fn longest(it: &impl Hash) -> usize {
    #[derive(Default)]
    struct Longest(usize);

    impl Hasher for Longest {
        fn write(&mut self, bytes: &[u8]) {
            self.0 = self.0.max(bytes.len());
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    let mut longest = Longest::default();
    it.hash(&mut longest);
    longest.0
}

/// The longest string that a control message may hold: ids of messages have 16 bytes, topics 32,
/// peers about 40.
const LONGEST: usize = 64;

/// An RPC by which a peer joins topics, or leaves them.
pub(super) fn subscriptions(topics: &[TopicHash], joins: bool) -> Vec<u8> {
    let subscription = |topic: &TopicHash| {
        let mut it = vec![1 << 3, u8::from(joins)];
        field(2, topic.as_str().as_bytes(), &mut it);
        it
    };
    rpc(
        SUBSCRIPTIONS,
        &topics.iter().map(subscription).collect::<Vec<_>>(),
    )
}

/// An RPC as on a stream: its length and then the field as often as there are values.
fn rpc(number: u8, values: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for value in values {
        field(number, value, &mut body);
    }
    let mut rpc = Vec::with_capacity(body.len() + 5);
    varint(body.len(), &mut rpc);
    rpc.extend_from_slice(&body);
    rpc
}

/// A field of protobuf with a length.
fn field(number: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(value.len(), out);
    out.extend_from_slice(value);
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Fields of an RPC.
const SUBSCRIPTIONS: u8 = 1;
#[cfg(test)]
const MESSAGES: u8 = 2;
#[cfg(test)]
const CONTROL: u8 = 3;

#[cfg(test)]
mod tests {
    use super::{super::fixture::reader, *};

    #[tokio::test]
    async fn whether_a_peer_joins_or_leaves_is_told_apart() {
        let (reader, topic) = (reader(), TopicHash::from_raw("any"));
        for joins in [true, false] {
            let said = subscriptions(std::slice::from_ref(&topic), joins);
            let mut told = Vec::new();
            reader.retain_topics(&mut reader.read(&said).expect("it is one"), |it, how| {
                told.push((it.clone(), how));
                true
            });
            assert_eq!(told, [(topic.clone(), Subscribes(joins))]);
        }
    }

    #[tokio::test]
    async fn messages_are_exchanged_in_their_order_or_dropped() {
        let message = |data: &[u8]| {
            let mut message = Vec::new();
            field(2, data, &mut message);
            field(4, b"any", &mut message);
            message
        };
        let messages = [b"one".as_slice(), b"", b"two"].map(message);
        let mut said = reader().read(&rpc(MESSAGES, &messages)).expect("it is one");
        exchange(&mut said, |topic, data| {
            assert_eq!(topic.as_str(), "any");
            (!data.is_empty()).then(|| [b"ticket of ", data.as_slice()].concat())
        });
        let Said::Message { rpc, .. } = said else {
            panic!("it is a message");
        };
        let tickets: Vec<_> = rpc.messages.iter().map(|it| it.data.as_slice()).collect();
        assert_eq!(tickets, [b"ticket of one".as_slice(), b"ticket of two"]);
    }

    #[tokio::test]
    async fn ids_of_messages_that_are_too_long_to_be_any_are_not_kept() {
        let reader = reader();
        // "Do not send me these."
        let idontwant = |id: &[u8]| {
            let (mut ids, mut control) = (Vec::new(), Vec::new());
            field(1, id, &mut ids);
            field(5, &ids, &mut control);
            reader.read(&rpc(CONTROL, &[control])).expect("it is one")
        };
        for (len, malformed) in [(16, 0), (64, 0), (65, 1), (100_000, 1)] {
            let mut said = idontwant(&vec![7; len]);
            assert_eq!(take_malformed(&mut said), malformed, "{len}");
            let Said::Message { rpc, .. } = said else {
                panic!("it is a message");
            };
            // One more says what else the peer can.
            assert_eq!(rpc.control_msgs.len() as u64, 2 - malformed, "{len}");
            let mut said = idontwant(&vec![7; len]);
            drop_control(&mut said);
            assert!(matches!(said, Said::Message { rpc, .. } if rpc.control_msgs.is_empty()));
        }
    }
}
