//! Verifies what arrives before gossipsub looks at it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use libp2p::gossipsub::{self, DataTransform, IdentTopic, RawMessage, TopicHash};
use meshcast_proto::{ChannelName, Frame, FrameError, Member, MeshId, Verifier, VerifyError, WallTime};

use crate::clock::wall_time;

/// The verifier of a node: gossip asks it whether a frame is good, the driver who sent it.
#[derive(Debug, Clone)]
pub(crate) struct SharedVerifier(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    mesh: MeshId,
    verifier: Mutex<Verifier>,
    invalid: AtomicU64,
}

impl SharedVerifier {
    pub(crate) fn new(mesh: MeshId, verifier: Verifier) -> Self {
        Self(Arc::new(Shared {
            mesh,
            verifier: Mutex::new(verifier),
            invalid: AtomicU64::new(0),
        }))
    }

    /// Verifies a frame that came otherwise than by gossip, and says who sent it.
    pub(crate) fn verify(&self, frame: &Frame, now: WallTime) -> Result<Arc<Member>, VerifyError> {
        let verified = self.lock().verify(frame, now);
        if verified.is_err() {
            self.0.invalid.fetch_add(1, Ordering::Relaxed);
        }
        verified
    }

    /// Who sent a frame that was verified.
    pub(crate) fn member_of(&self, frame: &Frame) -> Result<Arc<Member>, VerifyError> {
        self.lock().member_of(frame)
    }

    /// How many messages failed so far.
    pub(crate) fn invalid(&self) -> u64 {
        self.0.invalid.load(Ordering::Relaxed)
    }

    /// The topic of a channel.
    pub(crate) fn topic(&self, channel: &ChannelName) -> IdentTopic {
        topic(self.0.mesh, channel)
    }

    fn check(&self, on: &TopicHash, data: Bytes, now: WallTime) -> Result<(), Invalid> {
        let frame = Frame::decode(data)?;
        self.lock().verify(&frame, now)?;
        if topic(self.0.mesh, frame.channel()).hash() == *on {
            Ok(())
        } else {
            Err(Invalid::OtherTopic)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Verifier> {
        // A cache that a panic left half-filled is still a cache.
        self.0.verifier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs on every copy before gossipsub knows it: what fails is neither remembered nor forwarded, and counts
/// against the peer that forwarded it.
impl DataTransform for SharedVerifier {
    fn inbound_transform(&self, raw: RawMessage) -> Result<gossipsub::Message, std::io::Error> {
        let data = Bytes::from(raw.data);
        if let Err(reason) = self.check(&raw.topic, data.clone(), wall_time()) {
            self.0.invalid.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%reason, len = data.len(), "dropped a message that is no frame of a member");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
        }
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
        Ok(data)
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

fn topic(mesh: MeshId, channel: &ChannelName) -> IdentTopic {
    use std::fmt::Write;
    let mut name = String::with_capacity(32);
    for byte in mesh.topic(channel) {
        // Writing to a String does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    IdentTopic::new(name)
}
