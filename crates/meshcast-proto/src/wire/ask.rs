//! Questions that are asked of peers by the session to them, and their answers.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::wire::{
    codec::{AskBody, CodecError},
    fields,
    name::ChannelName,
    record::Format,
};

/// What the asker and whoever is asked say to each other. Questions are numbered by the asker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskMessage {
    /// The speaker asks.
    Question(Question),
    /// The speaker answers a question, or says why not.
    Reply {
        /// The number of the question.
        question: u64,
        /// What it has to say.
        reply: Reply,
    },
    /// The speaker does not wait for the answer to this question any more.
    Withdrawn(u64),
}

/// A question to those who have a channel open.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// Its number.
    pub number: u64,
    /// On which channel it is asked.
    pub channel: ChannelName,
    /// For how long the asker waits. It travels in whole milliseconds, rounded up.
    pub within: Duration,
    /// How the payload is to be read.
    pub format: Format,
    /// What is asked.
    pub payload: Bytes,
}

/// What comes back.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// The answer, and how its payload is to be read.
    Answer(Format, Bytes),
    /// There is none.
    Declined(Declined),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declined {
    /// Nobody answers questions on this channel there.
    NoHandler,
    /// It has too many questions to answer already.
    Busy,
    /// Its handler failed, or does not understand the question.
    Failed,
}

impl AskMessage {
    /// The longest question and the longest answer, in bytes of payload. A quarter of what may be
    /// asked of history: a question goes to each who is there.
    pub const MAX_PAYLOAD_LEN: usize = 64 * 1024;

    pub(super) fn body(&self) -> AskBody<'_> {
        match self {
            Self::Question(question) => AskBody::Question {
                number: question.number,
                channel: question.channel.wire(),
                within: u64::try_from(question.within.as_micros().div_ceil(1_000))
                    .unwrap_or(u64::MAX),
                raw: question.format == Format::Raw,
                payload: &question.payload,
            },
            Self::Reply { question, reply } => match reply {
                Reply::Answer(format, payload) => AskBody::Answer {
                    question: *question,
                    raw: *format == Format::Raw,
                    payload,
                },
                Reply::Declined(declined) => AskBody::Declined {
                    question: *question,
                    why: match declined {
                        Declined::NoHandler => 0,
                        Declined::Busy => 1,
                        Declined::Failed => 2,
                    },
                },
            },
            Self::Withdrawn(question) => AskBody::Withdrawn(*question),
        }
    }

    /// Payloads go on sharing `bytes`.
    pub(super) fn read(body: &AskBody<'_>, bytes: &Bytes) -> Result<Self, CodecError> {
        let payload = |payload: &[u8]| match payload.len() {
            len if len > Self::MAX_PAYLOAD_LEN => Err(CodecError::TooMany {
                found: len,
                limit: Self::MAX_PAYLOAD_LEN,
            }),
            _ => Ok(bytes.slice_ref(payload)),
        };
        let format = |raw| if raw { Format::Raw } else { Format::Value };
        Ok(match *body {
            AskBody::Question {
                number,
                channel,
                within,
                raw,
                payload: asked,
            } => Self::Question(Question {
                number,
                channel: fields::channel(channel)?,
                within: Duration::from_millis(within),
                format: format(raw),
                payload: payload(asked)?,
            }),
            AskBody::Answer {
                question,
                raw,
                payload: answer,
            } => Self::Reply {
                question,
                reply: Reply::Answer(format(raw), payload(answer)?),
            },
            AskBody::Declined { question, why } => Self::Reply {
                question,
                reply: Reply::Declined(match why {
                    0 => Declined::NoHandler,
                    1 => Declined::Busy,
                    2 => Declined::Failed,
                    _ => return Err(CodecError::Malformed("unknown reason".to_owned())),
                }),
            },
            AskBody::Withdrawn(question) => Self::Withdrawn(question),
        })
    }
}

/// Lengths only: payloads do not belong in a log.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            channel,
            within,
            format,
            payload,
        } = self;
        write!(
            f,
            "Question({number} on {channel:?}, within {within:?}, {format:?} of {} bytes)",
            payload.len()
        )
    }
}

/// The same.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(format, payload) => {
                write!(f, "Answer({format:?} of {} bytes)", payload.len())
            }
            Self::Declined(declined) => write!(f, "{declined:?}"),
        }
    }
}
