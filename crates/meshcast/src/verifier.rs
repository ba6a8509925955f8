//! Verifies what arrives before gossipsub looks at it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use libp2p::gossipsub::{self, DataTransform, IdentTopic, RawMessage, TopicHash};
use meshcast_proto::{
    ChainError, ChannelName, Frame, FrameError, FrameId, Member, MeshId, Topics, Verifier,
    VerifyError, WallTime,
};

use crate::clock::wall_time;

/// The verifier of a node: gossip asks it whether a frame is good, the driver who sent it.
#[derive(Debug, Clone)]
pub(crate) struct SharedVerifier(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    topics: Topics,
    verifier: Mutex<Verifier>,
    valid: AtomicU64,
    invalid: AtomicU64,
    forged: AtomicU64,
    /// The frame that gossip is about to ask the id of, which is known: to hash it again takes as
    /// long as to verify it.
    expected: Mutex<Option<Expected>>,
    /// The frame that gossip is about to publish.
    handed_over: Mutex<Option<Frame>>,
}

/// A frame, by what no other has in common with it, and its id.
#[derive(Debug)]
struct Expected {
    len: usize,
    /// The end of its signature.
    end: [u8; 32],
    id: FrameId,
}

impl SharedVerifier {
    pub(crate) fn new(mesh: MeshId, verifier: Verifier) -> Self {
        Self(Arc::new(Shared {
            topics: mesh.topics(),
            verifier: Mutex::new(verifier),
            valid: AtomicU64::new(0),
            invalid: AtomicU64::new(0),
            forged: AtomicU64::new(0),
            expected: Mutex::new(None),
            handed_over: Mutex::new(None),
        }))
    }

    /// Verifies frames that came otherwise than by gossip, and says of each who sent it.
    pub(crate) fn verify_all(&self, frames: &[Frame], now: WallTime) -> Vec<Option<Arc<Member>>> {
        let verified = lock(&self.0.verifier).verify_all(frames, now);
        let failed = verified.iter().filter(|verdict| verdict.is_err()).count();
        self.0.invalid.fetch_add(failed as u64, Ordering::Relaxed);
        verified.into_iter().map(Result::ok).collect()
    }

    /// Who sent a frame that was verified.
    pub(crate) fn member_of(&self, frame: &Frame) -> Result<Arc<Member>, VerifyError> {
        lock(&self.0.verifier).member_of(frame)
    }

    /// How many messages gossip brought that were good, copies included.
    pub(crate) fn valid(&self) -> u64 {
        self.0.valid.load(Ordering::Relaxed)
    }

    /// How many messages failed so far.
    pub(crate) fn invalid(&self) -> u64 {
        self.0.invalid.load(Ordering::Relaxed)
    }

    /// How many of them no honest member would have handed on.
    pub(crate) fn forged(&self) -> u64 {
        self.0.forged.load(Ordering::Relaxed)
    }

    /// What gossip is to publish for this frame to be published next: its id. gossip copies what it
    /// is given before it has it transformed, and its id it would have to compute.
    pub(crate) fn hand_over(&self, frame: &Frame) -> Vec<u8> {
        *lock(&self.0.handed_over) = Some(frame.clone());
        frame.id().as_bytes().to_vec()
    }

    /// The id of a gossip message.
    pub(crate) fn id_of(&self, data: &[u8]) -> FrameId {
        // No frame is that short.
        if let Ok(id) = data.try_into() {
            return FrameId::new(id);
        }
        let is = |expected: &Expected| data.len() == expected.len && data.ends_with(&expected.end);
        match lock(&self.0.expected).take() {
            Some(expected) if is(&expected) => expected.id,
            _ => FrameId::of(data),
        }
    }

    /// The topic of a channel.
    pub(crate) fn topic(&self, channel: &ChannelName) -> IdentTopic {
        let mut name = String::with_capacity(TOPIC_LEN);
        name.extend(hex(self.0.topics.of(channel)).map(char::from));
        IdentTopic::new(name)
    }

    fn check(&self, on: &TopicHash, data: Bytes, now: WallTime) -> Result<(), Invalid> {
        let frame = Frame::decode(data)?;
        lock(&self.0.verifier).verify(&frame, now)?;
        if hex(self.0.topics.of(frame.channel())).eq(on.as_str().bytes()) {
            let (len, id) = (frame.bytes().len(), frame.id());
            let end = frame.bytes().last_chunk().copied();
            *lock(&self.0.expected) = end.map(|end| Expected { len, end, id });
            Ok(())
        } else {
            Err(Invalid::OtherTopic)
        }
    }
}

fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic leaves a cache half-filled, which is still a cache, or a frame that nobody asks for.
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs on every copy before gossipsub knows it: what fails is neither remembered nor forwarded. It
/// does not learn who forwarded it; [`Watched`](crate::strikes::Watched) does.
impl DataTransform for SharedVerifier {
    fn inbound_transform(&self, raw: RawMessage) -> Result<gossipsub::Message, std::io::Error> {
        let data = Bytes::from(raw.data);
        if let Err(reason) = self.check(&raw.topic, data.clone(), wall_time()) {
            self.0.invalid.fetch_add(1, Ordering::Relaxed);
            if reason.is_forgery() {
                self.0.forged.fetch_add(1, Ordering::Relaxed);
            }
            tracing::debug!(%reason, len = data.len(), "dropped a message that is no frame of a member");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
        }
        self.0.valid.fetch_add(1, Ordering::Relaxed);
        // The frame was dropped by now, so this takes the buffer back without copying.
        let (data, topic) = (data.into(), raw.topic);
        Ok(gossipsub::Message {
            source: raw.source,
            data,
            sequence_number: raw.sequence_number,
            topic,
        })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> Result<Vec<u8>, std::io::Error> {
        let mut handed_over = lock(&self.0.handed_over);
        let frame = handed_over.take_if(|frame| frame.id().as_bytes()[..] == data);
        Ok(frame.map_or(data, |frame| frame.bytes().to_vec()))
    }
}

/// Why a gossip message is dropped.
#[derive(Debug, thiserror::Error)]
enum Invalid {
    #[error(transparent)]
    Malformed(#[from] FrameError),
    #[error(transparent)]
    Unverified(#[from] VerifyError),
    #[error("frame came on the topic of another channel")]
    OtherTopic,
}

impl Invalid {
    /// Whether the peer that handed it on must have known. Clocks differ, so a credential that is
    /// over here may not be over there.
    const fn is_forgery(&self) -> bool {
        !matches!(
            self,
            Self::Unverified(VerifyError::Chain(
                ChainError::NotYetValid { .. } | ChainError::Expired { .. }
            ))
        )
    }
}

/// Whether a topic has the form of those of [channels](SharedVerifier::topic). Any other is
/// nobody's, and gossip would keep it whatever its length.
pub(crate) fn is_topic(topic: &TopicHash) -> bool {
    let name = topic.as_str().as_bytes();
    name.len() == TOPIC_LEN
        && name
            .iter()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// How long the name of a topic is: the digits of 16 bytes.
const TOPIC_LEN: usize = 32;

/// The digits of the name of a topic.
fn hex(name: [u8; 16]) -> impl Iterator<Item = u8> {
    let digit = |four: u8| b"0123456789abcdef"[usize::from(four)];
    name.into_iter()
        .flat_map(move |byte| [digit(byte >> 4), digit(byte & 15)])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use meshcast_proto::{
        Credential, Format, Identity, Keypair, MeshKey, NodeName, Part, Region, Seq, Trust,
        WallTime, write_record,
    };

    use super::*;

    fn frame(key: &MeshKey, not_before: WallTime) -> Frame {
        let member = Keypair::from_seed([7; 32]);
        let credential = key.authority().issue(&Credential {
            subject: member.public(),
            name: NodeName::new("a").expect("allowed"),
            region: Region::new("here").expect("allowed"),
            not_before,
            not_after: WallTime::MAX,
            serial: 1,
        });
        let boot = Keypair::from_seed([8; 32]);
        let identity =
            Identity::new(&credential, &member, boot, wall_time()).expect("its own credential");
        let mut records = Vec::new();
        write_record(&mut records, Format::Raw, Part::Whole, b"x");
        let channel = ChannelName::new("earth").expect("allowed");
        Frame::build(
            &identity,
            &channel,
            Seq::FIRST,
            wall_time(),
            Duration::ZERO,
            &records,
        )
        .expect("fits")
    }

    fn judge(verifier: &SharedVerifier, topic: TopicHash, data: &[u8]) -> (u64, u64) {
        let before = (verifier.invalid(), verifier.forged());
        let raw = RawMessage {
            source: None,
            data: data.to_vec(),
            sequence_number: None,
            topic,
            signature: None,
            key: None,
            validated: false,
        };
        let taken = verifier.inbound_transform(raw).is_ok();
        let after = (verifier.invalid() - before.0, verifier.forged() - before.1);
        assert_eq!(taken, after.0 == 0);
        after
    }

    #[test]
    fn whatever_the_topic_a_forgery_counts_and_a_clock_that_differs_is_none() {
        let key = MeshKey::from_entropy([1; 48]);
        let verifier = SharedVerifier::new(
            key.mesh(),
            Verifier::new(Trust::from(&key), Duration::from_secs(600)),
        );
        let earth = verifier
            .topic(&ChannelName::new("earth").expect("allowed"))
            .hash();
        let unknown = IdentTopic::new("nobody is there").hash();
        let good = frame(&key, WallTime::MIN);
        assert_eq!(judge(&verifier, earth.clone(), good.bytes()), (0, 0));
        assert_eq!(judge(&verifier, unknown.clone(), good.bytes()), (1, 1));
        assert_eq!(judge(&verifier, unknown, b"no frame"), (1, 1));
        let later = wall_time() + Duration::from_secs(24 * 3600);
        assert_eq!(judge(&verifier, earth, frame(&key, later).bytes()), (1, 0));
    }
}
