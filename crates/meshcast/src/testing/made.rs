//! Messages and gaps made by hand, for the tests of what is done with them.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::RangeInclusive,
    sync::Arc,
};

use libp2p::PeerId;
use meshcast_proto::{Identity, Member, MeshKey, NodeName, Region, Seq, SeqRange, Trust, Via};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    channel::{Gap, GapReason, Message, Origin, Provenance},
    clock::{moment, wall_time},
    ids::peer_id,
};

/// A process that there is not, for messages that nobody posted.
///
/// ```
/// use meshcast::{GapReason, Message, RecvError, testing::Poster};
///
/// fn handle(received: Result<Message<String>, RecvError>) -> String {
///     match received {
///         Ok(message) => format!("{} from {}", message.data, message.region()),
///         Err(RecvError::Gap(gap)) => format!("missed {:?}", gap.missed()),
///         Err(error) => error.to_string(),
///     }
/// }
///
/// let frankfurt = Poster::new("fra-1", "fra");
/// assert_eq!(handle(Ok(frankfurt.message(1, "hello".to_owned()))), "hello from fra");
/// assert_eq!(handle(Err(frankfurt.gap(2..=4, GapReason::Lost).into())), "missed 2..=4");
/// ```
#[derive(Debug, Clone)]
pub struct Poster {
    member: Arc<Member>,
}

impl Poster {
    /// One with a name and a region. Two of the same name and region are the same process.
    ///
    /// # Panics
    /// If no node or no region can be called so: both have 1 to 63 letters, digits, `-`, `_` or
    /// `.`.
    pub fn new(name: &str, region: &str) -> Self {
        let (Ok(label), Ok(place)) = (NodeName::new(name), Region::new(region)) else {
            panic!("no node can be called {name:?} in {region:?}");
        };
        let key = MeshKey::from_entropy([0; 48]);
        // Two that are called otherwise have other keys.
        let mut hasher = DefaultHasher::new();
        (name, region).hash(&mut hasher);
        let mut entropy = [0; 64];
        StdRng::seed_from_u64(hasher.finish()).fill_bytes(&mut entropy);
        let identity = Identity::from_mesh_key(&key, label, place, entropy, wall_time());
        let member = Trust::from(&key).verify(identity.chain().as_bytes());
        Self {
            member: Arc::new(member.expect("the authority of the key has just issued it")),
        }
    }

    /// Its peer id.
    pub fn peer_id(&self) -> PeerId {
        peer_id(self.member.sender())
    }

    /// Its post with this number, now: gossip brought it, from the sender itself.
    ///
    /// # Panics
    /// If the number is 0: each sender counts from 1.
    pub fn message<T>(&self, seq: u64, data: T) -> Message<T> {
        Message {
            data,
            origin: self.origin(seq, Via::Gossip, false),
        }
    }

    /// The same, as of the [past](Message::is_history) that a stream began with.
    ///
    /// # Panics
    /// As [`Self::message`].
    pub fn history<T>(&self, seq: u64, data: T) -> Message<T> {
        Message {
            data,
            origin: self.origin(seq, Via::History, true),
        }
    }

    fn origin(&self, seq: u64, via: Via, is_history: bool) -> Origin {
        Origin {
            seqs: numbers(seq..=seq),
            delivery: Arc::new(Provenance {
                member: Arc::clone(&self.member),
                posted_at: wall_time(),
                via,
                from: Some(self.member.sender()),
                received: moment(),
                is_history,
            }),
        }
    }

    /// That these numbers of it are missing.
    ///
    /// # Panics
    /// If there are none, or 0 is among them.
    pub fn gap(&self, missed: RangeInclusive<u64>, reason: GapReason) -> Gap {
        Gap {
            member: Arc::clone(&self.member),
            missed: numbers(missed),
            reason,
        }
    }
}

fn numbers(seqs: RangeInclusive<u64>) -> SeqRange {
    let range = Seq::new(*seqs.start()).zip(Seq::new(*seqs.end()));
    let range = range.and_then(|(first, last)| SeqRange::new(first, last));
    range.unwrap_or_else(|| panic!("{seqs:?} are no numbers of messages: they begin at 1"))
}
