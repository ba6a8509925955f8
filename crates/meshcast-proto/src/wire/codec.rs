//! The encoding of everything, in the one file that names bincode.
//!
//! The rest of the crate works on its own types and calls the functions below. A successor of
//! bincode (which is no longer maintained, hence the exact version) goes in here and nowhere else;
//! the golden vectors in `testdata/` tell whether it writes the same bytes.
//!
//! Input is hostile. Lengths are not believed beyond [`LIMIT`], borrowed fields are slices of the
//! input, and trailing bytes are refused. So are numbers in a longer form than needed, which
//! bincode would accept. So whatever is accepted has exactly one encoding.

use bincode::{
    BorrowDecode, Encode,
    config::{Configuration, Limit, LittleEndian, Varint},
    enc::{EncoderImpl, write::SizeWriter},
    error::DecodeError,
};

/// The longest frame, see [`Frame::MAX_LEN`](crate::Frame::MAX_LEN).
pub(crate) const MAX_FRAME_LEN: usize = 256 * 1024;

/// The longest records section, see [`Frame::MAX_RECORDS_LEN`](crate::Frame::MAX_RECORDS_LEN).
pub(crate) const MAX_RECORDS_LEN: usize = MAX_FRAME_LEN - 1024 - MAX_CHAIN_LEN;

/// The longest chain, see [`Chain::MAX_LEN`](crate::Chain::MAX_LEN).
pub(crate) const MAX_CHAIN_LEN: usize = 1024;

/// What a frame says, without its version byte and signature.
#[derive(Encode, BorrowDecode)]
pub(crate) struct FrameBody<'a> {
    pub(crate) sender: [u8; 32],
    pub(crate) channel: &'a str,
    pub(crate) first_seq: u64,
    pub(crate) count: u32,
    pub(crate) posted_at: u64,
    pub(crate) since_first: u64,
    pub(crate) records: &'a [u8],
    pub(crate) chain: &'a [u8],
}

/// The beginning of a [`FrameBody`] up to the length of its records, for frames whose records are
/// in place already.
#[derive(Encode)]
pub(crate) struct FrameHead<'a> {
    pub(crate) sender: [u8; 32],
    pub(crate) channel: &'a str,
    pub(crate) first_seq: u64,
    pub(crate) count: u32,
    pub(crate) posted_at: u64,
    pub(crate) since_first: u64,
    pub(crate) records_len: u64,
}

/// What an authority signs about a member.
#[derive(Encode, BorrowDecode)]
pub(crate) struct CredentialBody<'a> {
    pub(crate) authority: [u8; 32],
    pub(crate) subject: [u8; 32],
    pub(crate) name: &'a str,
    pub(crate) region: &'a str,
    /// Reserved for rights to post and to read. It is opaque and signed already, so old nodes can
    /// check credentials that carry some.
    pub(crate) grants: &'a [u8],
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) serial: u64,
}

/// What a member signs about the boot key of a process.
#[derive(Encode, BorrowDecode)]
pub(crate) struct BootBody {
    pub(crate) boot: [u8; 32],
    pub(crate) issued_at: u64,
}

/// Both signatures, from the authority to the boot key.
#[derive(Encode, BorrowDecode)]
pub(crate) struct ChainBody<'a> {
    pub(crate) credential: &'a [u8],
    pub(crate) credential_signature: [u8; 64],
    pub(crate) boot: BootBody,
    pub(crate) boot_signature: [u8; 64],
}

/// A message on the sync protocol.
#[derive(Encode, BorrowDecode)]
pub(crate) enum SyncBody<'a> {
    Members(Vec<MemberBody<'a>>),
    Ping(u64),
    Pong(u64),
    Open(Vec<OpenBody<'a>>),
    Close(Vec<&'a str>),
    Have(HaveBody<'a>),
    Want(WantBody<'a>),
    Frames(FramesBody<'a>),
    Ask(AskBody<'a>),
    Presence(PresenceBody<'a>),
    Leaving,
}

/// About a question. `within` and `left` are in milliseconds; `raw` says that the payload is bytes
/// as they are; `why` is 0 for nobody who answers, 1 for too busy, 2 for a failure, 3 for a channel
/// that is not open there.
#[derive(Encode, BorrowDecode)]
pub(crate) enum AskBody<'a> {
    Question {
        number: u64,
        channel: &'a str,
        within: u64,
        raw: bool,
        payload: &'a [u8],
    },
    Answer {
        question: u64,
        raw: bool,
        payload: &'a [u8],
    },
    Declined {
        question: u64,
        why: u8,
    },
    Withdrawn(u64),
    Relay {
        hops: u8,
        left: u64,
        inquiry: &'a [u8],
    },
    Finding(&'a [u8]),
    Echo {
        asker: [u8; 32],
        question: u64,
        whole: bool,
    },
    Recall {
        asker: [u8; 32],
        question: u64,
    },
    Links([u8; 16]),
}

/// What the asker signs of a question that travels over members. The signature stands behind it.
#[derive(Encode, BorrowDecode)]
pub(crate) struct InquiryBody<'a> {
    pub(crate) asker: [u8; 32],
    pub(crate) number: u64,
    pub(crate) channel: &'a str,
    pub(crate) asked_at: u64,
    pub(crate) within: u64,
    pub(crate) only: Option<[u8; 32]>,
    pub(crate) raw: bool,
    pub(crate) payload: &'a [u8],
    pub(crate) chain: &'a [u8],
}

/// What a member signs that replies to such a question. The signature stands behind it.
#[derive(Encode, BorrowDecode)]
pub(crate) struct FindingBody<'a> {
    pub(crate) asker: [u8; 32],
    pub(crate) question: u64,
    pub(crate) answerer: [u8; 32],
    pub(crate) reply: ReplyBody<'a>,
    pub(crate) chain: &'a [u8],
}

#[derive(Encode, BorrowDecode)]
pub(crate) enum ReplyBody<'a> {
    Answer { raw: bool, payload: &'a [u8] },
    Declined(u8),
}

/// A channel the speaker has open, and how far back it wants to hear: milliseconds, and numbers of
/// each sender. The answer repeats `opening`.
#[derive(Encode, BorrowDecode)]
pub(crate) struct OpenBody<'a> {
    pub(crate) channel: &'a str,
    pub(crate) opening: u64,
    pub(crate) since: u64,
    pub(crate) last: u64,
}

/// What the speaker keeps. Senders are named once and then by their place in the list.
#[derive(Encode, BorrowDecode)]
pub(crate) struct HaveBody<'a> {
    pub(crate) senders: Vec<[u8; 32]>,
    pub(crate) channels: Vec<HaveChannelBody<'a>>,
}

#[derive(Encode, BorrowDecode)]
pub(crate) struct HaveChannelBody<'a> {
    pub(crate) channel: &'a str,
    pub(crate) answer: Option<AnswerBody>,
    pub(crate) logs: Vec<HaveLogBody>,
}

/// The `opening` that this answers, for how many milliseconds the speaker has had it, and whether
/// more of the answer follows.
#[derive(Encode, BorrowDecode)]
pub(crate) struct AnswerBody {
    pub(crate) opening: u64,
    pub(crate) held: u64,
    pub(crate) more: bool,
}

/// `next` is the number after the last one that nothing is missing below; `kept` how many of the
/// numbers before it are kept; `due` from which one the listener is to begin, 0 if it knows;
/// `passed` how many the speaker began after; `hops` how many links the speaker is away from the
/// sender, 255 if it knows no way; `behind` by how many numbers whoever hears of it through the
/// speaker is at most behind `next`, plus 1; 0 if the listener is not concerned.
#[derive(Encode, BorrowDecode)]
pub(crate) struct HaveLogBody {
    pub(crate) sender: u32,
    pub(crate) next: u64,
    pub(crate) kept: u64,
    pub(crate) due: u64,
    pub(crate) passed: u64,
    pub(crate) hops: u8,
    pub(crate) behind: u64,
}

#[derive(Encode, BorrowDecode)]
pub(crate) struct WantBody<'a> {
    pub(crate) channel: &'a str,
    pub(crate) sender: [u8; 32],
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) request: u64,
}

/// The answer to the `Want` of that number: all that is kept of it up to `upto`, with the age of
/// each frame in milliseconds.
#[derive(Encode, BorrowDecode)]
pub(crate) struct FramesBody<'a> {
    pub(crate) channel: &'a str,
    pub(crate) sender: [u8; 32],
    pub(crate) request: u64,
    pub(crate) upto: u64,
    pub(crate) frames: Vec<(u64, &'a [u8])>,
}

/// A member and its addresses, as multiaddresses in binary form.
#[derive(Encode, BorrowDecode)]
pub(crate) struct MemberBody<'a> {
    pub(crate) sender: [u8; 32],
    pub(crate) addresses: Vec<&'a [u8]>,
}

/// Messages about presence.
#[derive(Encode, BorrowDecode)]
pub(crate) enum PresenceBody<'a> {
    Links([u8; 16]),
    Records(Vec<&'a [u8]>),
    Beats(Vec<(u64, BeatBody)>),
    Hashes(Vec<(&'a str, [u8; 16])>),
    Roll(&'a str, Vec<([u8; 32], u64)>),
    Fetch(&'a str, Vec<[u8; 32]>),
    Follow(Vec<[u8; 32]>),
    Unfollow(Vec<[u8; 32]>),
}

/// What a member signs about its presence on a channel. The signature stands behind it.
#[derive(Encode, BorrowDecode)]
pub(crate) struct PresenceRecordBody<'a> {
    pub(crate) sender: [u8; 32],
    pub(crate) channel: &'a str,
    pub(crate) version: u64,
    pub(crate) since: u64,
    pub(crate) watching: bool,
    pub(crate) left: bool,
    pub(crate) state: Option<&'a [u8]>,
    pub(crate) chain: &'a [u8],
}

/// The signed part of a heartbeat: when, by its wall clock, within how many milliseconds the next
/// one follows, and on which channels of some the member is. Tags are numbers in little-endian
/// order, as long whatever their value.
#[derive(Encode, BorrowDecode)]
pub(crate) struct BeatBody {
    pub(crate) sender: [u8; 32],
    pub(crate) at: u64,
    pub(crate) period: u64,
    pub(crate) version: u64,
    pub(crate) from: [u8; 8],
    pub(crate) upto: [u8; 8],
    pub(crate) tags: Vec<[u8; 8]>,
    pub(crate) signature: [u8; 64],
}

/// Bytes that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end too early, claim a length over the limit, or hold a value that their type does
    /// not have.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Everything was read and this many bytes are left.
    #[error("{0} trailing bytes")]
    Trailing(usize),
    /// A list is longer than it may be.
    #[error("list of {found} is over the limit of {limit}")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A list names the same thing twice. That has no use, and each mention costs the reader.
    #[error("{0} named twice")]
    Twice(&'static str),
    /// A number takes more bytes than it needs.
    #[error("not in canonical form")]
    NotCanonical,
}

pub(crate) fn encode<T: Encode>(value: &T) -> Vec<u8> {
    // A message with frames is long: to grow into it would copy it several times.
    let mut bytes = Vec::with_capacity(encoded_len(value));
    encode_into(value, &mut bytes);
    bytes
}

pub(crate) fn encode_into<T: Encode>(value: &T, out: &mut Vec<u8>) {
    let written = bincode::encode_into_std_write(value, out, CONFIG);
    // Writing to a Vec cannot fail, and bincode accepts all values of the types above.
    debug_assert!(written.is_ok(), "{written:?}");
}

pub(crate) fn decode<'a, T: BorrowDecode<'a, ()> + Encode>(
    bytes: &'a [u8],
) -> Result<T, CodecError> {
    let (value, read) = bincode::borrow_decode_from_slice(bytes, CONFIG).map_err(malformed)?;
    match bytes.len() - read {
        // Only numbers have several forms, which differ in length; so comparing lengths is enough.
        0 if encoded_len(&value) == read => Ok(value),
        0 => Err(CodecError::NotCanonical),
        trailing => Err(CodecError::Trailing(trailing)),
    }
}

/// The length of the encoding, without copying.
fn encoded_len<T: Encode>(value: &T) -> usize {
    let mut encoder = EncoderImpl::new(SizeWriter::default(), CONFIG);
    let written = value.encode(&mut encoder);
    debug_assert!(written.is_ok(), "{written:?}");
    encoder.into_writer().bytes_written
}

fn malformed(error: DecodeError) -> CodecError {
    CodecError::Malformed(error.to_string())
}

/// Nothing that is encoded is larger: a frame has at most 256 KiB, a session message 512 KiB.
pub(crate) const LIMIT: usize = 512 * 1024;

const CONFIG: Configuration<LittleEndian, Varint, Limit<LIMIT>> =
    bincode::config::standard().with_limit::<LIMIT>();
