//! What peers say: the messages of gossipsub, in protobuf.
//!
//! Only what is used here is read and written: which topics a peer listens on, and messages that
//! have a topic and data. Control messages (GRAFT, IHAVE and the like) are passed over, as is
//! whatever a later version adds.

use bytes::{Buf, Bytes, BytesMut};

use super::topic::{NAME_LEN, Topic};

/// An RPC that is being read, in one piece.
#[derive(Debug)]
pub(super) struct Rpc {
    rest: Bytes,
    len: usize,
}

/// A part of an RPC.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The peer listens on a topic from now on, or does so no more.
    Listens(Topic, bool),
    /// Somebody published this on a topic; `None` if no channel has one of its name.
    Published(Option<Topic>, Bytes),
    /// No member says this.
    Unreadable,
}

impl Rpc {
    pub(super) const fn new(rpc: Bytes) -> Self {
        Self {
            len: rpc.len(),
            rest: rpc,
        }
    }

    /// A part of the RPC that can be kept: without keeping much more than itself.
    fn part(&self, data: Bytes) -> Bytes {
        let beside = self.len - data.len();
        if beside <= 2 * AFTER + data.len() / 8 {
            data
        } else {
            Bytes::copy_from_slice(&data)
        }
    }
}

impl Iterator for Rpc {
    type Item = Said;

    /// Ends where the protobuf is malformed.
    fn next(&mut self) -> Option<Said> {
        while !self.rest.is_empty() {
            let Some(field) = Field::read(&mut self.rest) else {
                self.rest.clear();
                return Some(Said::Unreadable);
            };
            match field {
                Field::Bytes(SUBSCRIPTIONS, subscription) => {
                    let (mut joins, mut topic) = (false, None);
                    let is_whole = each_field(subscription, |field| match field {
                        Field::Number(SUBSCRIBE, value) => joins = value != 0,
                        Field::Bytes(SUBSCRIBED_TOPIC, name) => topic = Topic::named(&name),
                        _ => {}
                    });
                    let topic = topic.filter(|_| is_whole);
                    return Some(topic.map_or(Said::Unreadable, |it| Said::Listens(it, joins)));
                }
                Field::Bytes(PUBLISH, message) => {
                    let (mut data, mut topic) = (Bytes::new(), None);
                    let is_whole = each_field(message, |field| match field {
                        Field::Bytes(DATA, it) => data = it,
                        Field::Bytes(MESSAGE_TOPIC, name) => topic = Some(Topic::named(&name)),
                        _ => {}
                    });
                    let topic = topic.filter(|_| is_whole);
                    return Some(topic.map_or(Said::Unreadable, |topic| {
                        Said::Published(topic, self.part(data))
                    }));
                }
                _ => {}
            }
        }
        None
    }
}

/// `false` if the message is malformed.
fn each_field(mut message: Bytes, mut tell: impl FnMut(Field)) -> bool {
    while !message.is_empty() {
        match Field::read(&mut message) {
            Some(field) => tell(field),
            None => return false,
        }
    }
    true
}

/// A field of protobuf, with its number.
enum Field {
    Number(u8, u64),
    Bytes(u8, Bytes),
    /// Of another kind, or with a number over those that are known.
    Other,
}

impl Field {
    /// Reads the next one; `None` if it is malformed.
    fn read(from: &mut Bytes) -> Option<Self> {
        let tag = read_varint(from)?;
        let number = u8::try_from(tag >> 3);
        let field = match (tag & 7) as u8 {
            NUMBER => {
                let value = read_varint(from)?;
                number.map(|number| Self::Number(number, value))
            }
            LENGTH => {
                let len = usize::try_from(read_varint(from)?).ok()?;
                let bytes = take(from, len)?;
                number.map(|number| Self::Bytes(number, bytes))
            }
            EIGHT => take(from, 8).map(|_| Ok(Self::Other))?,
            FOUR => take(from, 4).map(|_| Ok(Self::Other))?,
            _ => return None,
        };
        Some(field.unwrap_or(Self::Other))
    }
}

fn take(from: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= from.len()).then(|| from.split_to(len))
}

fn read_varint(from: &mut Bytes) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        if from.is_empty() {
            return None;
        }
        let byte = from.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Writes that a node listens on these topics, or does no more: RPCs, each after its length.
pub(super) fn write_subscriptions(changes: &[(Topic, bool)], to: &mut BytesMut) {
    for some in changes.chunks(MAX_SUBSCRIPTIONS) {
        write_varint(to, some.len() * field_len(SUBSCRIPTION));
        for (topic, joins) in some {
            begin_field(to, SUBSCRIPTIONS, SUBSCRIPTION);
            to.extend_from_slice(&[SUBSCRIBE << 3, u8::from(*joins)]);
            begin_field(to, SUBSCRIBED_TOPIC, NAME_LEN);
            to.extend_from_slice(&topic.name());
        }
    }
}

/// Writes what stands before the data of a message that is published. With the data and what
/// [follows](after) it is an RPC, after its length.
pub(super) fn write_before(data: usize, to: &mut BytesMut) {
    let message = field_len(data) + AFTER;
    write_varint(to, field_len(message));
    begin_field(to, PUBLISH, message);
    begin_field(to, DATA, data);
}

/// What stands after the data of a message that is published.
pub(super) fn after(topic: Topic) -> [u8; AFTER] {
    let mut after = [0; AFTER];
    after[..2].copy_from_slice(&[MESSAGE_TOPIC << 3 | LENGTH, NAME_LEN as u8]);
    after[2..].copy_from_slice(&topic.name());
    after
}

/// How long a field with so many bytes is.
const fn field_len(len: usize) -> usize {
    1 + varint_len(len) + len
}

const fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// The beginning of a field of so many bytes.
fn begin_field(to: &mut BytesMut, number: u8, len: usize) {
    to.extend_from_slice(&[number << 3 | LENGTH]);
    write_varint(to, len);
}

fn write_varint(to: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        to.extend_from_slice(&[value as u8 | 0x80]);
        value >>= 7;
    }
    to.extend_from_slice(&[value as u8]);
}

/// Fields of an RPC,
const SUBSCRIPTIONS: u8 = 1;
const PUBLISH: u8 = 2;
/// of a subscription,
const SUBSCRIBE: u8 = 1;
const SUBSCRIBED_TOPIC: u8 = 2;
/// and of a message.
const DATA: u8 = 2;
const MESSAGE_TOPIC: u8 = 4;

/// The kinds of fields: a number, bytes after their length, and numbers of a fixed length.
const NUMBER: u8 = 0;
const EIGHT: u8 = 1;
const LENGTH: u8 = 2;
const FOUR: u8 = 5;

/// The fields of a subscription.
const SUBSCRIPTION: usize = 2 + 2 + NAME_LEN;

/// How many are said at once: 38 KiB.
pub(super) const MAX_SUBSCRIPTIONS: usize = 1024;

/// The longest RPC that is read: over the longest frame, and over what 16,384 topics take that are
/// announced at once, as a node of libp2p's gossipsub does.
pub(super) const MAX_LEN: usize = 1024 * 1024;

/// How long that is which follows the data of a message.
pub(super) const AFTER: usize = 2 + NAME_LEN;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(n: u8) -> Topic {
        Topic::named(format!("{n:02x}").repeat(16).as_bytes()).expect("one")
    }

    fn published(topic: Topic, data: &[u8]) -> BytesMut {
        let mut rpc = BytesMut::new();
        write_before(data.len(), &mut rpc);
        rpc.extend_from_slice(data);
        rpc.extend_from_slice(&after(topic));
        rpc
    }

    /// The parts of an RPC that follows its length.
    fn said(rpc: BytesMut) -> Vec<Said> {
        let mut rpc = rpc.freeze();
        let len = read_varint(&mut rpc).expect("a length");
        assert_eq!(len, rpc.len() as u64);
        Rpc::new(rpc).collect()
    }

    #[test]
    fn what_is_published_is_read_whatever_its_length() {
        for len in [0, 1, 79, 80, 127, 128, 16_383, 16_384, 262_144] {
            let data = vec![7; len];
            let expected = Said::Published(Some(topic(1)), data.clone().into());
            assert_eq!(said(published(topic(1), &data)), [expected], "{len}");
        }
    }

    #[test]
    fn subscriptions_are_read_in_their_order_however_many_there_are() {
        let changes: Vec<_> = (0..3_000)
            .map(|n| (topic((n % 251) as u8), n % 3 > 0))
            .collect();
        let mut rpcs = BytesMut::new();
        write_subscriptions(&changes, &mut rpcs);
        let (mut rpcs, mut read) = (rpcs.freeze(), Vec::new());
        while !rpcs.is_empty() {
            let len = read_varint(&mut rpcs).expect("a length") as usize;
            assert!(len < 64 * 1024);
            read.extend(Rpc::new(rpcs.split_to(len)));
        }
        let expected = changes
            .iter()
            .map(|(topic, yes)| Said::Listens(*topic, *yes));
        assert!(read.into_iter().eq(expected));
    }

    #[test]
    fn what_is_kept_of_an_rpc_keeps_no_other_part_of_it_in_memory() {
        let mut rpc = BytesMut::new();
        let mut len = 0;
        for data in [vec![1; 10], vec![2; 100_000]] {
            let message = field_len(data.len()) + AFTER;
            begin_field(&mut rpc, PUBLISH, message);
            begin_field(&mut rpc, DATA, data.len());
            rpc.extend_from_slice(&data);
            rpc.extend_from_slice(&after(topic(1)));
            len += data.len();
        }
        let rpc = rpc.freeze();
        let inside = rpc.as_ptr_range();
        let is_inside: Vec<_> = Rpc::new(rpc.clone())
            .map(|said| match said {
                Said::Published(_, data) => inside.contains(&data.as_ptr()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!((is_inside, len), (vec![false, true], 100_010));
    }

    #[test]
    fn what_no_member_says_is_named_and_ends_the_rpc_where_it_cannot_be_read() {
        let strange = |name: &str| {
            let mut said = BytesMut::new();
            begin_field(&mut said, SUBSCRIPTIONS, field_len(name.len()));
            begin_field(&mut said, SUBSCRIBED_TOPIC, name.len());
            said.extend_from_slice(name.as_bytes());
            said
        };
        let long = strange(&"0".repeat(100_000));
        let all: BytesMut = [strange("g"), strange(""), long].concat()[..].into();
        let read: Vec<_> = Rpc::new(all.freeze()).collect();
        assert_eq!(read, [Said::Unreadable, Said::Unreadable, Said::Unreadable]);
        // A group, which protobuf gave up; a field without an end; a number without one.
        for cut in [&[3][..], &[PUBLISH << 3 | LENGTH, 5, 1], &[0x80]] {
            let mut rpc = BytesMut::from(cut);
            rpc.extend_from_slice(&published(topic(1), b"x")[1..]);
            let read: Vec<_> = Rpc::new(Bytes::copy_from_slice(cut)).collect();
            assert_eq!(read, [Said::Unreadable], "{cut:?}");
        }
    }

    #[test]
    fn control_messages_and_what_later_versions_add_are_passed_over() {
        let mut rpc = BytesMut::new();
        begin_field(&mut rpc, 3, 4);
        rpc.extend_from_slice(&[0x1a, 2, 0x0a, 0]);
        rpc.extend_from_slice(&[7 << 3, 5, 9 << 3 | EIGHT, 1, 2, 3, 4, 5, 6, 7, 8]);
        rpc.extend_from_slice(&[10 << 3 | FOUR, 1, 2, 3, 4]);
        write_varint(&mut rpc, (1 << 20) | usize::from(LENGTH));
        rpc.extend_from_slice(&[1, 0]);
        rpc.extend_from_slice(&published(topic(9), b"hello")[1..]);
        let read: Vec<_> = Rpc::new(rpc.freeze()).collect();
        let hello = Bytes::from_static(b"hello");
        assert_eq!(read, [Said::Published(Some(topic(9)), hello)]);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let most = bytes.len();
            prop_assert!(Rpc::new(bytes.into()).count() <= most);
        }
    }
}
