//! Frames pass gossipsub as tickets.
//!
//! gossipsub looks at a message only to ask for its id, and copies it several times to do so. So it
//! gets the id, as a ticket, and the frame waits here. On its way in a frame is
//! [taken](Tickets::take_in) out of the RPC that brings it: decoded, verified and hashed once. On
//! its way out gossipsub has the ticket translated to the frame. Nothing comes in but by `take_in`:
//! gossipsub has each ticket translated as well, and one that was not given out is refused.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use libp2p::gossipsub::{DataTransform, Message, RawMessage, TopicHash};
use meshcast_proto::{Frame, FrameError, FrameId, Member, VerifyError};

use super::topic::Topics;
use crate::{clock::wall_time, verifier::SharedVerifier};

/// The frames that gossipsub has tickets of. It keeps one of these, who wraps it another.
#[derive(Debug, Clone)]
pub(crate) struct Tickets(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    topics: Topics,
    verifier: SharedVerifier,
    passing: Mutex<Passing>,
}

#[derive(Debug, Default)]
struct Passing {
    /// What came and gossipsub has not told of yet, with copies of what it told of before.
    incoming: HashMap<FrameId, (Frame, Arc<Member>)>,
    /// What is being published.
    outgoing: Option<(Vec<u8>, Bytes)>,
    judged: Judged,
}

/// What became of messages that came, copies included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) valid: u64,
    pub(super) invalid: u64,
    /// How many of the invalid ones no honest member would have handed on.
    pub(super) forged: u64,
}

impl Tickets {
    pub(super) fn new(topics: Topics, verifier: SharedVerifier) -> Self {
        Self(Arc::new(Shared {
            topics,
            verifier,
            passing: Mutex::default(),
        }))
    }

    /// Has a message published under a ticket by `publish`.
    pub(super) fn publish<T>(
        &self,
        ticket: Vec<u8>,
        message: Bytes,
        publish: impl FnOnce(Vec<u8>) -> T,
    ) -> T {
        self.passing().outgoing = Some((ticket.clone(), message));
        let published = publish(ticket);
        self.passing().outgoing = None;
        published
    }

    /// Takes in what a peer published: verifies it, and returns the ticket that gossipsub is to see
    /// in its place. `None` if it is no frame of a member; it is counted either way.
    pub(super) fn take_in(&self, topic: &TopicHash, data: Vec<u8>) -> Option<Vec<u8>> {
        let len = data.len();
        let judged = self.judge(topic, data.into());
        let mut passing = self.passing();
        let (frame, member) = match judged {
            Ok(judged) => judged,
            Err(reason) => {
                passing.judged.invalid += 1;
                passing.judged.forged += u64::from(reason.is_forgery());
                tracing::debug!(%reason, len, "dropped a message that is no frame of a member");
                return None;
            }
        };
        passing.judged.valid += 1;
        let id = frame.id();
        passing.incoming.insert(id, (frame, member));
        Some(id.as_bytes().to_vec())
    }

    /// The frame of a ticket that came, and who sent it.
    pub(super) fn redeem(&self, ticket: &[u8]) -> Option<(Frame, Arc<Member>)> {
        let id = FrameId::new(ticket.try_into().ok()?);
        self.passing().incoming.remove(&id)
    }

    /// gossipsub has told of all that was new: the rest are copies, and what nobody listens to.
    pub(super) fn forget_copies(&self) {
        self.passing().incoming.clear();
    }

    /// All that was judged so far.
    pub(super) fn judged(&self) -> Judged {
        self.passing().judged
    }

    fn judge(&self, on: &TopicHash, data: Bytes) -> Result<(Frame, Arc<Member>), Invalid> {
        let frame = Frame::decode(data)?;
        let member = self.0.verifier.verify(&frame, wall_time())?;
        if self.0.topics.is_of(on, frame.channel()) {
            Ok((frame, member))
        } else {
            Err(Invalid::OtherTopic)
        }
    }

    fn passing(&self) -> MutexGuard<'_, Passing> {
        // Nothing panics in between.
        let passing = self.0.passing.lock();
        passing.unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataTransform for Tickets {
    /// gossipsub asks before it remembers anything of a message.
    fn inbound_transform(&self, raw: RawMessage) -> Result<Message, io::Error> {
        let id = raw.data.as_slice().try_into().map(FrameId::new);
        if !id.is_ok_and(|id| self.passing().incoming.contains_key(&id)) {
            let words = "not a ticket of a frame that was taken in";
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        Ok(Message {
            source: raw.source,
            data: raw.data,
            sequence_number: raw.sequence_number,
            topic: raw.topic,
        })
    }

    fn outbound_transform(&self, _: &TopicHash, ticket: Vec<u8>) -> Result<Vec<u8>, io::Error> {
        match &self.passing().outgoing {
            Some((of, message)) if ticket == *of => Ok(message.to_vec()),
            _ => Err(io::Error::other("nothing is published under this ticket")),
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
        Trust, Verifier, WallTime, write_record,
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

    fn tickets(key: &MeshKey) -> Tickets {
        let verifier = Verifier::new(Trust::from(key), Duration::from_secs(600));
        Tickets::new(Topics::new(key.mesh()), SharedVerifier::new(verifier))
    }

    fn take_in(tickets: &Tickets, topic: &TopicHash, data: &[u8]) -> Option<Vec<u8>> {
        tickets.take_in(topic, data.to_vec())
    }

    /// What gossipsub is told of something that comes.
    fn pass(tickets: &Tickets, topic: TopicHash, data: &[u8]) -> Option<Vec<u8>> {
        let raw = RawMessage {
            source: None,
            data: data.to_vec(),
            sequence_number: None,
            topic,
            signature: None,
            key: None,
            validated: false,
        };
        let message = tickets.inbound_transform(raw);
        message.ok().map(|message| message.data)
    }

    fn judge(tickets: &Tickets, topic: &TopicHash, data: &[u8]) -> (u64, u64) {
        let before = tickets.judged();
        let taken = take_in(tickets, topic, data).is_some();
        let after = tickets.judged();
        let failed = after.invalid - before.invalid;
        assert_eq!(taken, failed == 0);
        (failed, after.forged - before.forged)
    }

    #[test]
    fn whatever_the_topic_a_forgery_counts_and_what_the_peer_may_see_otherwise_is_none() {
        let key = MeshKey::from_entropy([1; 48]);
        let tickets = tickets(&key);
        let earth = tickets.0.topics.of(&earth());
        let unknown = TopicHash::from_raw("nobody is there");
        let good = frame(&key, WallTime::MIN);
        assert_eq!(judge(&tickets, &earth, good.bytes()), (0, 0));
        assert_eq!(judge(&tickets, &unknown, good.bytes()), (1, 1));
        assert_eq!(judge(&tickets, &unknown, b"no frame"), (1, 1));
        let later = wall_time() + Duration::from_secs(24 * 3600);
        let not_yet = frame(&key, later);
        assert_eq!(judge(&tickets, &earth, not_yet.bytes()), (1, 0));
        // Of the next authority, which this node does not believe yet.
        let next = frame(&MeshKey::from_entropy([2; 48]), WallTime::MIN);
        assert_eq!(judge(&tickets, &earth, next.bytes()), (1, 0));
    }

    #[test]
    fn a_frame_waits_for_its_ticket_until_all_that_was_new_is_told() {
        let key = MeshKey::from_entropy([1; 48]);
        let (tickets, good) = (tickets(&key), frame(&key, WallTime::MIN));
        let topic = tickets.0.topics.of(&earth());
        let ticket = take_in(&tickets, &topic, good.bytes()).expect("it is good");
        assert_eq!(ticket, good.id().as_bytes());
        let (frame, member) = tickets.redeem(&ticket).expect("it waits");
        assert_eq!(frame.bytes(), good.bytes());
        assert_eq!(member.sender(), good.sender());
        assert!(tickets.redeem(&ticket).is_none(), "it is gone");
        let copy = take_in(&tickets, &topic, good.bytes());
        assert_eq!(copy.as_ref(), Some(&ticket));
        tickets.forget_copies();
        assert!(tickets.redeem(&ticket).is_none());
    }

    #[test]
    fn only_a_ticket_of_a_frame_that_was_taken_in_passes() {
        let key = MeshKey::from_entropy([1; 48]);
        let (tickets, good) = (tickets(&key), frame(&key, WallTime::MIN));
        let topic = tickets.0.topics.of(&earth());
        let passes = |data: &[u8]| pass(&tickets, topic.clone(), data).is_some();
        let id = good.id();
        assert!(!passes(good.bytes()), "a frame is none");
        assert!(!passes(id.as_bytes()), "it has not come");
        let ticket = take_in(&tickets, &topic, good.bytes()).expect("it is good");
        assert_eq!(
            pass(&tickets, topic.clone(), &ticket).as_ref(),
            Some(&ticket)
        );
        assert!(passes(&ticket), "a copy");
        assert_eq!(judge(&tickets, &topic, &ticket), (1, 1), "sent by a peer");
        assert!(!passes(&[]) && !passes(&[7; 16]));
        tickets.forget_copies();
        assert!(!passes(&ticket));
    }

    #[test]
    fn only_what_is_being_published_leaves() {
        let key = MeshKey::from_entropy([1; 48]);
        let (tickets, frame) = (tickets(&key), frame(&key, WallTime::MIN));
        let topic = tickets.0.topics.of(&earth());
        let leave = |ticket| tickets.outbound_transform(&topic, ticket);
        let id = frame.id().as_bytes().to_vec();
        let left = tickets.publish(id, frame.bytes().clone(), leave);
        assert_eq!(left.expect("it is published"), frame.bytes()[..]);
        assert!(leave(frame.id().as_bytes().to_vec()).is_err());
    }
}
