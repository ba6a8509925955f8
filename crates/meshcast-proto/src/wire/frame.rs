//! The frame: one signed gossip message that carries one or many records of one sender on one
//! channel.

mod draft;
mod unsigned;

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

pub use draft::Draft;
pub(crate) use unsigned::{Head, Unsigned};

use crate::wire::{
    codec::{self, CodecError, FrameBody, MAX_FRAME_LEN, MAX_RECORDS_LEN},
    id::{Sender, Seq, SeqRange, Short},
    name::{ChannelName, ChannelNameError},
    record::{Record, RecordError, Records, Survey},
    time::WallTime,
};

/// A well-formed frame. Whether its sender is a member is decided by the
/// [`Verifier`](crate::Verifier). Clones are cheap, since they share everything.
///
/// ```text
/// ┌───────┬──────┬───────┬─────────┬──────┬─────────┬───────────┬───────┬─────┬─────────┐
/// │version│sender│channel│first seq│count │posted at│since first│records│chain│signature│
/// │1 byte │32    │str    │varint   │varint│varint   │varint     │bytes  │bytes│64       │
/// └───────┴──────┴───────┴─────────┴──────┴─────────┴───────────┴───────┴─────┴─────────┘
/// ```
///
/// Between version and signature is a `FrameBody` of the `codec` module (bincode, standard
/// configuration: a varint with the length comes before strings and byte strings). `records` is
/// what [`write_record`](crate::write_record) makes of each [`Record`], one after the other. The
/// signature is the sender's, Ed25519, over the BLAKE3 hash (`derive_key`, context `meshcast v1
/// frame`) of everything before it; the first 16 bytes of the same hash are the [`FrameId`]. So a
/// frame certifies itself: any member can hand it on later, and nobody can change it.
#[derive(Clone)]
pub struct Frame(Arc<Parts>);

/// A frame as it travels, and as it was read.
struct Parts {
    bytes: Bytes,
    fields: Fields,
    /// The hash of the signed part, once it was asked for. For a long frame it takes as long as the
    /// signature.
    hash: OnceLock<blake3::Hash>,
    /// Set once its signature was found to be right.
    is_signed: AtomicBool,
}

/// The fields of a frame, and where its records and its chain stand in it.
struct Fields {
    sender: Sender,
    channel: ChannelName,
    seqs: SeqRange,
    posted_at: WallTime,
    since_first: Duration,
    records: Range<usize>,
    fragmented: bool,
    chain: Range<usize>,
}

impl Frame {
    /// The longest frame in bytes. It is long enough that the cost of a frame is small for each of
    /// its bytes, and takes 20 ms on a link of 100 Mbit/s. Larger values are fragmented.
    pub const MAX_LEN: usize = MAX_FRAME_LEN;

    /// The longest records section: what is left of [`Self::MAX_LEN`] under the longest header
    /// (version 1, sender 32, channel 258, numbers 9 + 5 + 9 + 9, two lengths of 5), chain and
    /// signature (64).
    pub const MAX_RECORDS_LEN: usize = MAX_RECORDS_LEN;

    /// The longest front of a frame, before its records: version 1, sender 32, the name and its
    /// length, numbers 9 + 5 + 9 + 9, the length of the records 5.
    fn longest_head(channel: &ChannelName) -> usize {
        1 + 32 + 3 + channel.wire().len() + 9 + 5 + 9 + 9 + 5
    }

    /// Decodes a frame. Any bytes give a frame or an error, without panic and without allocating a
    /// claimed length. The records share `bytes`.
    ///
    /// # Errors
    /// [`FrameError`] names what is wrong.
    pub fn decode(bytes: Bytes) -> Result<Self, FrameError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(FrameError::TooLong {
                len: bytes.len(),
                limit: Self::MAX_LEN,
            });
        }
        match bytes.first() {
            None => return Err(FrameError::TooShort { len: 0 }),
            Some(&VERSION) => {}
            Some(&version) => return Err(FrameError::Version(version)),
        }
        let signature = bytes.len().saturating_sub(SIGNATURE_LEN);
        let body: FrameBody<'_> = codec::decode(
            bytes
                .get(1..signature)
                .ok_or(FrameError::TooShort { len: bytes.len() })?,
        )?;
        let channel = ChannelName::from_wire(body.channel)?;
        let first = Seq::new(body.first_seq).ok_or(FrameError::Seq)?;
        if body.records.len() > Self::MAX_RECORDS_LEN {
            return Err(FrameError::RecordsTooLong {
                len: body.records.len(),
                limit: Self::MAX_RECORDS_LEN,
            });
        }
        let Survey { count, fragmented } = Records::survey(body.records)?;
        if count != body.count {
            return Err(FrameError::Count {
                claimed: body.count,
                found: count,
            });
        }
        let seqs = numbers(first, count)?;
        let (records, chain) = (range_in(&bytes, body.records), range_in(&bytes, body.chain));
        let fields = Fields {
            sender: Sender::new(body.sender),
            channel,
            seqs,
            posted_at: WallTime::from_unix_millis(body.posted_at),
            since_first: Duration::from_millis(body.since_first),
            records,
            fragmented,
            chain,
        };
        Ok(Self(Arc::new(Parts {
            bytes,
            fields,
            hash: OnceLock::new(),
            is_signed: AtomicBool::new(false),
        })))
    }

    /// The whole frame as it travels.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Who made it.
    pub fn sender(&self) -> Sender {
        self.0.fields.sender
    }

    /// The channel it belongs to.
    pub fn channel(&self) -> &ChannelName {
        &self.0.fields.channel
    }

    /// The numbers of its records.
    pub fn seqs(&self) -> SeqRange {
        self.0.fields.seqs
    }

    /// When its sender made it, by the sender's clock.
    pub fn posted_at(&self) -> WallTime {
        self.0.fields.posted_at
    }

    /// How long its sender had been posting on the channel at that time, by a monotonic clock. A
    /// listener that was there all this time and heard nothing has lost the beginning.
    pub fn since_first(&self) -> Duration {
        self.0.fields.since_first
    }

    /// Its records with their numbers, in order.
    pub fn records(&self) -> impl Iterator<Item = (Seq, Record)> + '_ {
        let numbers =
            std::iter::successors(Some(self.0.fields.seqs.first()), |seq| seq.checked_add(1));
        numbers.zip(Records::of(
            self.0.bytes.slice(self.0.fields.records.clone()),
        ))
    }

    /// Its records, in order.
    pub(crate) fn into_records(self) -> Records {
        Records::of(self.0.bytes.slice(self.0.fields.records.clone()))
    }

    /// Whether any record is a fragment of a value.
    pub(crate) fn is_fragmented(&self) -> bool {
        self.0.fields.fragmented
    }

    /// The encoded chain of its sender.
    pub fn chain(&self) -> &[u8] {
        &self.0.bytes[self.0.fields.chain.clone()]
    }

    /// The hash that its sender signed.
    pub fn hash(&self) -> blake3::Hash {
        *self
            .0
            .hash
            .get_or_init(|| hash(&self.0.bytes[..self.0.bytes.len() - SIGNATURE_LEN]))
    }

    /// Its id among gossip messages.
    pub fn id(&self) -> FrameId {
        FrameId::from_hash(&self.hash())
    }

    /// Whether it is known that its signature is right.
    pub(crate) fn is_known_signed(&self) -> bool {
        self.0.is_signed.load(Ordering::Relaxed)
    }

    /// Its signature was found to be right.
    pub(crate) fn set_signed(&self) {
        self.0.is_signed.store(true, Ordering::Relaxed);
    }

    /// The signature.
    pub(crate) fn signature(&self) -> [u8; SIGNATURE_LEN] {
        let from = self.0.bytes.len() - SIGNATURE_LEN;
        std::array::from_fn(|i| self.0.bytes[from + i])
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { bytes, fields, .. } = &*self.0;
        let Fields {
            sender,
            channel,
            seqs,
            ..
        } = fields;
        write!(
            f,
            "Frame({sender} {channel:?} {seqs}, {} bytes)",
            bytes.len()
        )
    }
}

/// The id of a frame among gossip messages: 16 bytes of the hash that its sender signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId([u8; 16]);

impl fmt::Debug for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameId({:?})", Short(&self.0))
    }
}

impl FrameId {
    /// An id of these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id of a frame with this hash.
    pub fn from_hash(hash: &blake3::Hash) -> Self {
        let bytes = hash.as_bytes();
        Self(std::array::from_fn(|i| bytes[i]))
    }

    /// The id of encoded bytes, whether or not they are a frame.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hash(&hash(&bytes[..bytes.len().saturating_sub(SIGNATURE_LEN)]))
    }

    /// The id as bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Over [`Frame::MAX_LEN`].
    #[error("frame of {len} bytes is over the limit of {limit}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The longest one allowed.
        limit: usize,
    },
    /// Shorter than any frame.
    #[error("{len} bytes are no frame")]
    TooShort {
        /// How many bytes there are.
        len: usize,
    },
    /// A version this build does not speak.
    #[error("frame has version {0}, expected {VERSION}")]
    Version(u8),
    /// The body cannot be read.
    #[error("frame is unreadable: {0}")]
    Unreadable(#[from] CodecError),
    /// The channel name is not allowed.
    #[error("frame names a bad channel: {0}")]
    Channel(#[from] ChannelNameError),
    /// The records cannot be read.
    #[error("frame holds a bad record: {0}")]
    Record(#[from] RecordError),
    /// The records section is over [`Frame::MAX_RECORDS_LEN`].
    #[error("records of {len} bytes are over the limit of {limit}")]
    RecordsTooLong {
        /// Its length.
        len: usize,
        /// The longest one allowed.
        limit: usize,
    },
    /// A number is 0, or not below [`Seq::MAX`]: each has a next one.
    #[error("frame has numbers out of range")]
    Seq,
    /// There are more or fewer records than it says, or none.
    #[error("frame claims {claimed} records and holds {found}")]
    Count {
        /// What it says.
        claimed: u32,
        /// What is there.
        found: u32,
    },
}

/// Why a frame could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The records are over [`Frame::MAX_RECORDS_LEN`].
    #[error("records of {len} bytes are over the limit of {limit}")]
    TooLong {
        /// Their length.
        len: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// The records section was not made by [`crate::write_record`].
    #[error("bad records: {0}")]
    Record(#[from] RecordError),
    /// There is no record, or no number left for one.
    #[error("records without numbers: {0}")]
    OutOfNumbers(FrameError),
}

/// The numbers of so many records: at least one, and each below [`Seq::MAX`], so that there is a
/// next one.
fn numbers(first: Seq, count: u32) -> Result<SeqRange, FrameError> {
    let (claimed, found) = (count, count);
    let more = count
        .checked_sub(1)
        .ok_or(FrameError::Count { claimed, found })?;
    let last = first.checked_add(u64::from(more)).ok_or(FrameError::Seq)?;
    let seqs = SeqRange::new(first, last).filter(|_| last < Seq::MAX);
    seqs.ok_or(FrameError::Seq)
}

fn hash(signed: &[u8]) -> blake3::Hash {
    blake3::Hasher::new_derive_key("meshcast v1 frame")
        .update(signed)
        .finalize()
}

/// The range of `part`, which was borrowed from `whole`, in it.
fn range_in(whole: &Bytes, part: &[u8]) -> Range<usize> {
    let from = part.as_ptr() as usize - whole.as_ptr() as usize;
    from..from + part.len()
}

const VERSION: u8 = 2;
const SIGNATURE_LEN: usize = 64;

#[cfg(test)]
mod tests;
