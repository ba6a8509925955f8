//! Verifies frames where they come in.

use std::sync::Arc;

use bytes::Bytes;
use meshcast_proto::{Frame, FrameError, Member, MeshId, Sender, VerifyError};

use super::{
    events::Report,
    topic::{Topic, Topics},
};
use crate::{clock::wall_time, verifier::SharedVerifier};

/// Verifies what peers publish: what one says of itself is believed on its own connection.
#[derive(Debug)]
pub(super) struct Judge {
    shared: Arc<Shared>,
    peer: Option<Sender>,
}

#[derive(Debug)]
struct Shared {
    topics: Topics,
    verifier: SharedVerifier,
}

impl Judge {
    pub(super) fn new(mesh: MeshId, verifier: SharedVerifier) -> Self {
        let topics = Topics::new(mesh);
        Self {
            shared: Arc::new(Shared { topics, verifier }),
            peer: None,
        }
    }

    /// One for a connection of this peer. `None` if its id is no sender's, which the gate does not
    /// let in.
    pub(super) fn of(&self, peer: Option<Sender>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            peer,
        }
    }

    pub(super) fn topics(&self) -> &Topics {
        &self.shared.topics
    }

    /// What is to be told of a message on a topic.
    pub(super) fn judge(&self, topic: Option<Topic>, data: Bytes) -> Report {
        let len = data.len();
        match self.verify(topic, data) {
            Ok((frame, member)) => Report::Frame(frame, member),
            Err(reason) => {
                tracing::debug!(%reason, len, "dropped a message that is no frame of a member");
                Report::NoFrame {
                    is_forgery: reason.is_forgery(),
                }
            }
        }
    }

    fn verify(&self, on: Option<Topic>, data: Bytes) -> Result<(Frame, Arc<Member>), Invalid> {
        let frame = Frame::decode(data)?;
        let verifier = &self.shared.verifier;
        let member = verifier.verify(&frame, self.peer, wall_time())?;
        if on == Some(self.shared.topics.of(frame.channel())) {
            Ok((frame, member))
        } else {
            Err(Invalid::OtherTopic)
        }
    }
}

/// Why a message is dropped.
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
    /// Whether the peer that handed it on must have known.
    const fn is_forgery(&self) -> bool {
        match self {
            Self::Malformed(_) | Self::OtherTopic => true,
            Self::Unverified(error) => error.is_forgery(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use meshcast_proto::{
        ChannelName, Credential, Format, Identity, Keypair, MeshKey, NodeName, Part, Region, Seq,
        Trust, Verifier, WallTime, is_signed, write_record,
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
        Frame::build(
            &identity,
            &earth(),
            Seq::FIRST,
            wall_time(),
            Duration::ZERO,
            &records,
        )
        .expect("fits")
    }

    fn earth() -> ChannelName {
        ChannelName::new("earth").expect("allowed")
    }

    #[test]
    fn whatever_the_topic_a_forgery_counts_and_what_the_peer_may_see_otherwise_is_none() {
        let key = MeshKey::from_entropy([1; 48]);
        let verifier = Verifier::new(Trust::from(&key), Duration::from_secs(600));
        let judge = Judge::new(key.mesh(), SharedVerifier::new(verifier));
        let earth = judge.topics().of(&earth());
        let other = judge
            .topics()
            .of(&ChannelName::new("mars").expect("allowed"));
        let good = frame(&key, WallTime::MIN);
        let judge = |topic, data: &[u8]| judge.judge(topic, Bytes::copy_from_slice(data));
        let is_forgery = |topic, data: &[u8]| match judge(topic, data) {
            Report::NoFrame { is_forgery } => Some(is_forgery),
            Report::Frame(frame, member) => {
                assert_eq!(
                    (frame.bytes(), member.sender()),
                    (good.bytes(), good.sender())
                );
                None
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(is_forgery(Some(earth), good.bytes()), None);
        assert_eq!(is_forgery(None, good.bytes()), Some(true));
        assert_eq!(is_forgery(Some(other), good.bytes()), Some(true));
        assert_eq!(is_forgery(Some(earth), b"no frame"), Some(true));
        assert_eq!(is_forgery(None, b""), Some(true));
        let later = wall_time() + Duration::from_secs(24 * 3600);
        let not_yet = frame(&key, later);
        assert_eq!(is_forgery(Some(earth), not_yet.bytes()), Some(false));
        // Of the next authority, which this node does not believe yet.
        let next = frame(&MeshKey::from_entropy([2; 48]), WallTime::MIN);
        assert_eq!(is_forgery(Some(earth), next.bytes()), Some(false));
    }

    #[test]
    fn a_sender_is_believed_on_its_own_connection_and_by_its_signature_on_others() {
        let key = MeshKey::from_entropy([1; 48]);
        let verifier = Verifier::new(Trust::from(&key), Duration::from_secs(600));
        let judge = Judge::new(key.mesh(), SharedVerifier::new(verifier));
        let earth = judge.topics().of(&earth());
        let good = frame(&key, WallTime::MIN);
        let mut bad = good.bytes().to_vec();
        *bad.last_mut().expect("a signature") ^= 1;
        let bad = Bytes::from(bad);
        let judge = |from, data: &Bytes| judge.of(from).judge(Some(earth), data.clone());
        let sender = Some(good.sender());
        let other = Some(Sender::new([3; 32]));
        for from in [None, other] {
            assert!(matches!(
                judge(from, &bad),
                Report::NoFrame { is_forgery: true }
            ));
        }
        // It is not remembered as a right one, and nobody is given it.
        for _ in 0..2 {
            let Report::Frame(frame, _) = judge(sender, &bad) else {
                panic!("its own word");
            };
            assert!(!is_signed(&frame));
            assert!(matches!(judge(other, &bad), Report::NoFrame { .. }));
        }
        for from in [sender, other, sender] {
            let Report::Frame(frame, _) = judge(from, good.bytes()) else {
                panic!("it is right");
            };
            assert!(is_signed(&frame));
        }
    }
}
