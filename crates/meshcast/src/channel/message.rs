//! Messages and gaps that a channel receives.

use std::{
    fmt,
    ops::{Deref, RangeInclusive},
    sync::Arc,
};

use libp2p::PeerId;
use meshcast_proto::{Member, NodeName, Posted, Region, Sender, SeqRange, Via, WallTime};
use meshcast_value::{DecodeError, Value};

use crate::{
    clock::{Instant, wall_time_of},
    ids::peer_id,
};

/// A message, and who posted it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Message<T> {
    /// The posted value.
    pub data: T,
    pub(crate) origin: Origin,
}

/// A value that came, not decoded yet, and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) origin: Origin,
    pub(crate) posted: Posted,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) seqs: SeqRange,
    pub(crate) delivery: Arc<Provenance>,
}

impl Deref for Origin {
    type Target = Provenance;

    fn deref(&self) -> &Provenance {
        &self.delivery
    }
}

/// Where the values of a delivery come from. They share it: each is moved a few times on its way to
/// a reader.
#[derive(Debug, Clone)]
pub(crate) struct Provenance {
    pub(crate) member: Arc<Member>,
    pub(crate) posted_at: WallTime,
    pub(crate) via: Via,
    /// The peer that gave it, as far as that is known.
    pub(crate) from: Option<Sender>,
    pub(crate) received: Instant,
    /// It is of the history that its reader began with.
    pub(crate) is_history: bool,
}

impl<T> Message<T> {
    /// The process that posted it.
    pub fn sender(&self) -> PeerId {
        peer_id(self.origin.member.sender())
    }

    /// The name of the node that posted it.
    pub fn name(&self) -> &NodeName {
        &self.origin.member.credential().name
    }

    /// The region of the node that posted it.
    pub fn region(&self) -> &Region {
        &self.origin.member.credential().region
    }

    /// Its number: each sender counts 1, 2, 3 … on each channel.
    ///
    /// A value too large for one frame takes several numbers; this is the first, see
    /// [`Self::seqs`].
    pub fn seq(&self) -> u64 {
        self.origin.seqs.first().get()
    }

    /// All numbers it took: more than one if it was too large for one frame. The next message of
    /// the sender begins after the last.
    pub fn seqs(&self) -> RangeInclusive<u64> {
        numbers(self.origin.seqs)
    }

    /// When it was posted, by the sender's clock: when the frame it travels in was made, which is
    /// at once unless the sender is busy. For people: clocks jump and differ.
    pub fn posted_at(&self) -> WallTime {
        self.origin.posted_at
    }

    /// The way it came to this node.
    ///
    /// A value too large for one frame came in parts: if some of them had to be asked for, so was
    /// it.
    pub fn via(&self) -> Via {
        self.origin.via
    }

    /// The member that gave it to this node, often another than [the one that posted
    /// it](Self::sender). `None` if it was posted here, and where that is not known any more: of
    /// what waited beyond the memory for unread messages, or came before the object, only those are
    /// remembered that the sender gave itself.
    pub fn peer(&self) -> Option<PeerId> {
        self.origin.from.map(peer_id)
    }

    /// When it came to this node, by its own wall clock as it is set now. It may have waited for
    /// earlier ones of its sender, and to be read, since then.
    pub fn received_at(&self) -> WallTime {
        wall_time_of(self.origin.received)
    }

    /// Whether it belongs to the history that the stream or handler began with: it was posted
    /// before this node had looked back. Never with an object that wanted nothing from before it
    /// was made.
    pub fn is_history(&self) -> bool {
        self.origin.is_history
    }

    /// The same message with other data.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Message<U> {
        Message {
            data: f(self.data),
            origin: self.origin,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Message<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("data", &self.data)
            .field("name", self.name())
            .field("region", self.region())
            .field("sender", &format_args!("{}", Short(self.sender())))
            .field("seq", &self.seq())
            .finish_non_exhaustive()
    }
}

/// Something a channel could not hand over. The stream goes on after it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// Messages of one sender that this object will not get, told before the next one of that
    /// sender.
    #[error(transparent)]
    Gap(#[from] Gap),
    /// A message came that is no `T` (the web's `messageerror`). Its numbers count as received.
    #[error(transparent)]
    Decode(#[from] Undecodable),
}

/// Messages of one sender that a channel object will not get.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("messages {missed} of {} are missing: {reason}", self.name())]
pub struct Gap {
    pub(crate) member: Arc<Member>,
    pub(crate) missed: SeqRange,
    pub(crate) reason: GapReason,
}

impl Gap {
    /// The process that posted them.
    pub fn sender(&self) -> PeerId {
        peer_id(self.member.sender())
    }

    /// The name of the node that posted them.
    pub fn name(&self) -> &NodeName {
        &self.member.credential().name
    }

    /// The region of the node that posted them.
    pub fn region(&self) -> &Region {
        &self.member.credential().region
    }

    /// Their numbers.
    pub fn missed(&self) -> RangeInclusive<u64> {
        numbers(self.missed)
    }

    /// Why they are missing.
    pub fn reason(&self) -> GapReason {
        self.reason
    }
}

impl fmt::Debug for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gap")
            .field("name", self.name())
            .field("region", self.region())
            .field("sender", &format_args!("{}", Short(self.sender())))
            .field("missed", &self.missed())
            .field("reason", &self.reason)
            .finish()
    }
}

/// A message that does not decode as what its channel object carries.
#[derive(Clone, thiserror::Error)]
#[error("message {} of {} does not decode", value.origin.seqs, self.name())]
pub struct Undecodable {
    /// By itself, so that a result with this error is not much larger than a message.
    value: Box<Received>,
    source: DecodeError,
}

impl Undecodable {
    pub(crate) fn new(value: Received, source: DecodeError) -> Self {
        Self {
            value: Box::new(value),
            source,
        }
    }

    /// The process that posted it.
    pub fn sender(&self) -> PeerId {
        peer_id(self.value.origin.member.sender())
    }

    /// The name of the node that posted it.
    pub fn name(&self) -> &NodeName {
        &self.value.origin.member.credential().name
    }

    /// The region of the node that posted it.
    pub fn region(&self) -> &Region {
        &self.value.origin.member.credential().region
    }

    /// Its number; see [`Message::seq`].
    pub fn seq(&self) -> u64 {
        self.value.origin.seqs.first().get()
    }

    /// The decoding error.
    pub fn reason(&self) -> &DecodeError {
        &self.source
    }

    /// The posted value, of no particular type: a newer version of a service may have sent it.
    ///
    /// # Errors
    /// [`DecodeError`] if its bytes are no value at all.
    pub fn value(&self) -> Result<Value, DecodeError> {
        crate::channel::decode(&self.value.posted)
    }
}

impl fmt::Debug for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undecodable")
            .field("name", self.name())
            .field("region", self.region())
            .field("sender", &format_args!("{}", Short(self.sender())))
            .field("seq", &self.seq())
            .field("reason", &self.source)
            .finish_non_exhaustive()
    }
}

/// The end of a peer's id: all begin alike.
struct Short(PeerId);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0.to_string();
        let end = id.get(id.len().saturating_sub(8)..).unwrap_or(&id);
        write!(f, "…{end}")
    }
}

/// Why messages are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum GapReason {
    /// The network lost them and nobody that could be asked keeps them.
    #[error("lost on the network")]
    Lost,
    /// They are over this node's limit for messages.
    #[error("over the limit for messages")]
    TooLarge,
    /// They are pieces of a message of which other pieces are missing.
    #[error("incomplete")]
    Incomplete,
    /// This object did not read them in time: they had to make way, and the node does not keep them
    /// any more.
    #[error("not read in time")]
    Unread,
    /// They are from before this object was made: a member said that it keeps them, and they could
    /// not be fetched. It did not answer in time, or there was no room for them here. Asked for by
    /// time, some of them may be older.
    #[error("not fetched from those who keep them")]
    Unfetched,
    /// This object asked for them, as those that follow on its cursor or as the last of a sender,
    /// and nobody that could be asked keeps them any more. Or its cursor was made of numbers that
    /// never were.
    #[error("no longer kept")]
    Expired,
}

fn numbers(seqs: SeqRange) -> RangeInclusive<u64> {
    seqs.first().get()..=seqs.last().get()
}

impl From<meshcast_proto::GapReason> for GapReason {
    fn from(reason: meshcast_proto::GapReason) -> Self {
        use meshcast_proto::GapReason as Reason;
        match reason {
            Reason::TooLarge => Self::TooLarge,
            Reason::Incomplete => Self::Incomplete,
            _ => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use meshcast_proto::{Identity, MeshKey, Seq, Trust};

    use super::*;

    #[test]
    fn what_people_print_fits_on_a_line_and_says_who() {
        let key = MeshKey::from_entropy([7; 48]);
        let [name, region] = ["fra-1", "fra"].map(str::to_owned);
        let identity = Identity::from_mesh_key(
            &key,
            NodeName::new(&name).expect("a name"),
            Region::new(&region).expect("a region"),
            [1; 64],
            WallTime::MIN,
        );
        let trust = Trust::from(&key);
        let member = Arc::new(trust.verify(identity.chain().as_bytes()).expect("a member"));
        let seq = |number| Seq::new(number).expect("not zero");
        let gap = Gap {
            member: Arc::clone(&member),
            missed: SeqRange::new(seq(2), seq(4)).expect("in order"),
            reason: GapReason::Lost,
        };
        let sender = gap.sender().to_string();
        let short = format!("…{}", &sender[sender.len() - 8..]);
        assert_eq!(
            format!("{gap:?}"),
            format!(
                "Gap {{ name: fra-1, region: fra, sender: {short}, missed: 2..=4, reason: Lost }}"
            )
        );
        let origin = Origin {
            seqs: SeqRange::single(seq(1)),
            delivery: Arc::new(Provenance {
                member: Arc::clone(&member),
                posted_at: WallTime::MIN,
                via: Via::Local,
                from: None,
                received: crate::clock::moment(),
                is_history: false,
            }),
        };
        let posted = Posted {
            seqs: origin.seqs,
            format: meshcast_proto::Format::Value,
            payload: bytes::Bytes::new(),
        };
        let source = DecodeError::Truncated { offset: 1 };
        let message = Message {
            data: "hello",
            origin: origin.clone(),
        };
        let undecodable = Undecodable::new(Received { origin, posted }, source);
        let error = RecvError::from(gap.clone());
        let credential = member.credential();
        let printed: [&dyn fmt::Debug; 8] = [
            &gap,
            &error,
            &undecodable,
            &message,
            &member,
            credential,
            &trust,
            &identity,
        ];
        for printed in printed {
            let text = format!("{printed:?}");
            assert!(text.len() <= 200, "{} characters: {text}", text.len());
        }
    }
}
