//! Messages that members sign so that others can hand them on: a question, and a reply to it.

use std::{fmt, time::Duration};

use bytes::Bytes;

use super::{AskMessage, Declined, Reply, format, payload};
use crate::wire::{
    codec::{self, CodecError, FindingBody, InquiryBody, ReplyBody},
    fields::{at_most, channel, millis},
    id::Sender,
    name::ChannelName,
    record::Format,
    seal::{Seal, body_of},
    time::WallTime,
};

/// A question that travels over members to those who have no link to the asker. The asker signs it.
/// Not believed before it is verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// Who asks.
    pub asker: Sender,
    /// Its number, the only one of the asker's questions that has it.
    pub number: u64,
    /// On which channel it is asked.
    pub channel: ChannelName,
    /// When it was asked, by the wall clock of the asker.
    pub asked_at: WallTime,
    /// For how long the asker waits. It travels in whole milliseconds.
    pub within: Duration,
    /// Who alone is asked, if not all.
    pub only: Option<Sender>,
    /// How the payload is to be read.
    pub format: Format,
    /// What is asked.
    pub payload: Bytes,
    /// The encoded chain of the asker.
    pub(crate) chain: Bytes,
    /// The whole as it travels.
    pub(crate) bytes: Bytes,
}

/// The content of a question, before it is signed.
#[derive(Debug, Clone)]
pub(crate) struct Query<'a> {
    pub(crate) asker: Sender,
    pub(crate) number: u64,
    pub(crate) channel: &'a ChannelName,
    pub(crate) asked_at: WallTime,
    pub(crate) within: Duration,
    pub(crate) only: Option<Sender>,
    pub(crate) format: Format,
    pub(crate) payload: &'a [u8],
    pub(crate) chain: &'a [u8],
}

impl Inquiry {
    /// Longer than any: payload, chain, channel name, keys and numbers.
    pub const MAX_LEN: usize = AskMessage::MAX_PAYLOAD_LEN + codec::MAX_CHAIN_LEN + 512;

    /// Puts one together; `sign` signs its hash.
    pub(crate) fn build(
        query: &Query<'_>,
        sign: impl FnOnce(&blake3::Hash) -> [u8; 64],
    ) -> Result<Self, CodecError> {
        let body = codec::encode(&InquiryBody {
            asker: *query.asker.key(),
            number: query.number,
            channel: query.channel.wire(),
            asked_at: query.asked_at.unix_millis(),
            within: millis(query.within),
            only: query.only.map(|only| *only.key()),
            raw: query.format == Format::Raw,
            payload: query.payload,
            chain: query.chain,
        });
        Self::decode(&INQUIRY.put_on(body, sign))
    }

    /// Reads one. It shares `bytes`.
    ///
    /// # Errors
    /// [`CodecError`] if it is none, or over a limit.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        at_most(Self::MAX_LEN, bytes.len())?;
        let body: InquiryBody<'_> = codec::decode(body_of(bytes)?)?;
        Ok(Self {
            asker: Sender::new(body.asker),
            number: body.number,
            channel: channel(body.channel)?,
            asked_at: WallTime::from_unix_millis(body.asked_at),
            within: Duration::from_millis(body.within),
            only: body.only.map(Sender::new),
            format: format(body.raw),
            payload: payload(body.payload, bytes)?,
            chain: bytes.slice_ref(body.chain),
            bytes: bytes.clone(),
        })
    }

    /// What is signed, and the signature.
    pub(crate) fn signed(&self) -> (blake3::Hash, [u8; 64]) {
        INQUIRY.signed(&self.bytes)
    }
}

/// The reply of a member to an [`Inquiry`], signed by that member. Not believed before it is
/// verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    /// Who asked.
    pub asker: Sender,
    /// The number of the question.
    pub question: u64,
    /// Who replies.
    pub answerer: Sender,
    /// What it has to say.
    pub reply: Reply,
    /// The encoded chain of whoever replies.
    pub(crate) chain: Bytes,
    /// The whole as it travels.
    pub(crate) bytes: Bytes,
}

impl Finding {
    /// Longer than any: payload, chain, keys and numbers.
    pub const MAX_LEN: usize = Inquiry::MAX_LEN;

    /// Puts one together, for a question of this asker and number; `sign` signs its hash.
    pub(crate) fn build(
        (asker, question): (Sender, u64),
        (answerer, chain): (Sender, &[u8]),
        reply: &Reply,
        sign: impl FnOnce(&blake3::Hash) -> [u8; 64],
    ) -> Result<Self, CodecError> {
        let body = codec::encode(&FindingBody {
            asker: *asker.key(),
            question,
            answerer: *answerer.key(),
            reply: match reply {
                Reply::Answer(format, payload) => ReplyBody::Answer {
                    raw: *format == Format::Raw,
                    payload,
                },
                Reply::Declined(declined) => ReplyBody::Declined(declined.code()),
            },
            chain,
        });
        Self::decode(&FINDING.put_on(body, sign))
    }

    /// Reads one. It shares `bytes`.
    ///
    /// # Errors
    /// [`CodecError`] if it is none, or over a limit.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        at_most(Self::MAX_LEN, bytes.len())?;
        let body: FindingBody<'_> = codec::decode(body_of(bytes)?)?;
        Ok(Self {
            asker: Sender::new(body.asker),
            question: body.question,
            answerer: Sender::new(body.answerer),
            reply: match body.reply {
                ReplyBody::Answer {
                    raw,
                    payload: answer,
                } => Reply::Answer(format(raw), payload(answer, bytes)?),
                ReplyBody::Declined(why) => Reply::Declined(Declined::read(why)?),
            },
            chain: bytes.slice_ref(body.chain),
            bytes: bytes.clone(),
        })
    }

    /// What is signed, and the signature.
    pub(crate) fn signed(&self) -> (blake3::Hash, [u8; 64]) {
        FINDING.signed(&self.bytes)
    }
}

/// Lengths only: payloads do not belong in a log.
impl fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inquiry")
            .field("asker", &self.asker)
            .field("number", &self.number)
            .field("channel", &self.channel)
            .field("within", &self.within)
            .field("only", &self.only)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// The same.
impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finding")
            .field("asker", &self.asker)
            .field("question", &self.question)
            .field("answerer", &self.answerer)
            .field("reply", &self.reply)
            .finish_non_exhaustive()
    }
}

const INQUIRY: Seal = Seal("meshcast v1 inquiry");

const FINDING: Seal = Seal("meshcast v1 finding");
