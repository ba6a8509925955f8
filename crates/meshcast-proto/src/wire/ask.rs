//! Questions that are asked of peers by the session to them, or over members, and their answers.

mod relayed;

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::wire::{
    codec::{AskBody, CodecError},
    fields,
    id::Sender,
    name::ChannelName,
    record::Format,
};

pub(crate) use relayed::Query;
pub use relayed::{Finding, Inquiry};

/// Messages between the asker and those who are asked. Questions are numbered by the asker.
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
    /// The speaker asks, or hands on what another asks: the listener is to reply if it is asked,
    /// and to hand it on.
    Relay(Relayed),
    /// The speaker replies to what was handed to it, or hands on what another replied.
    Finding(Finding),
    /// Nothing more comes back of what the listener handed to the speaker.
    Echo {
        /// Who asked.
        asker: Sender,
        /// The number of the question.
        question: u64,
        /// The speaker kept nothing from anybody: all behind it that it could ask were asked, and
        /// all replies were handed on.
        whole: bool,
    },
    /// Nobody waits any more for the answers to what the speaker handed to the listener.
    Recall {
        /// Who asked.
        asker: Sender,
        /// The number of the question.
        question: u64,
    },
    /// A hash of the speaker and its peers. If it is the same for two nodes, they have the same
    /// peers.
    Links([u8; 16]),
}

/// A question on its way over members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    /// How many links it has come over with this one. Peers that hand it on may say anything.
    pub hops: u8,
    /// For how long the asker still waits, by the word of whoever hands it on. It travels in whole
    /// milliseconds, rounded up.
    pub left: Duration,
    /// The question.
    pub inquiry: Inquiry,
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
    /// The channel is not open there. Said only by one that was asked alone.
    NotOpen,
}

impl Declined {
    const fn code(self) -> u8 {
        match self {
            Self::NoHandler => 0,
            Self::Busy => 1,
            Self::Failed => 2,
            Self::NotOpen => 3,
        }
    }

    fn read(code: u8) -> Result<Self, CodecError> {
        Ok(match code {
            0 => Self::NoHandler,
            1 => Self::Busy,
            2 => Self::Failed,
            3 => Self::NotOpen,
            _ => return Err(CodecError::Malformed("unknown reason".to_owned())),
        })
    }
}

impl AskMessage {
    /// The longest question and the longest answer, in bytes of payload. A quarter of what may be
    /// asked of history: a question goes to each who is there.
    pub const MAX_PAYLOAD_LEN: usize = 64 * 1024;

    /// Whether it neither asks nor answers, so that it wakes nobody and needs no proof.
    pub(crate) const fn is_short(&self) -> bool {
        matches!(
            self,
            Self::Withdrawn(_) | Self::Echo { .. } | Self::Recall { .. } | Self::Links(_)
        )
    }

    pub(super) fn body(&self) -> AskBody<'_> {
        match self {
            Self::Question(question) => AskBody::Question {
                number: question.number,
                channel: question.channel.wire(),
                within: rounded_up(question.within),
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
                    why: declined.code(),
                },
            },
            Self::Withdrawn(question) => AskBody::Withdrawn(*question),
            Self::Relay(relay) => AskBody::Relay {
                hops: relay.hops,
                left: rounded_up(relay.left),
                inquiry: &relay.inquiry.bytes,
            },
            Self::Finding(finding) => AskBody::Finding(&finding.bytes),
            Self::Echo {
                asker,
                question,
                whole,
            } => AskBody::Echo {
                asker: *asker.key(),
                question: *question,
                whole: *whole,
            },
            Self::Recall { asker, question } => AskBody::Recall {
                asker: *asker.key(),
                question: *question,
            },
            Self::Links(links) => AskBody::Links(*links),
        }
    }

    /// Payloads go on sharing `bytes`.
    pub(super) fn read(body: &AskBody<'_>, bytes: &Bytes) -> Result<Self, CodecError> {
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
                payload: payload(asked, bytes)?,
            }),
            AskBody::Answer {
                question,
                raw,
                payload: answer,
            } => Self::Reply {
                question,
                reply: Reply::Answer(format(raw), payload(answer, bytes)?),
            },
            AskBody::Declined { question, why } => Self::Reply {
                question,
                reply: Reply::Declined(Declined::read(why)?),
            },
            AskBody::Withdrawn(question) => Self::Withdrawn(question),
            AskBody::Relay {
                hops,
                left,
                inquiry,
            } => Self::Relay(Relayed {
                hops,
                left: Duration::from_millis(left),
                inquiry: Inquiry::decode(&bytes.slice_ref(inquiry))?,
            }),
            AskBody::Finding(finding) => Self::Finding(Finding::decode(&bytes.slice_ref(finding))?),
            AskBody::Echo {
                asker,
                question,
                whole,
            } => Self::Echo {
                asker: Sender::new(asker),
                question,
                whole,
            },
            AskBody::Recall { asker, question } => Self::Recall {
                asker: Sender::new(asker),
                question,
            },
            AskBody::Links(links) => Self::Links(links),
        })
    }
}

const fn format(raw: bool) -> Format {
    if raw { Format::Raw } else { Format::Value }
}

/// A payload that goes on sharing `bytes`.
fn payload(payload: &[u8], bytes: &Bytes) -> Result<Bytes, CodecError> {
    fields::at_most(AskMessage::MAX_PAYLOAD_LEN, payload.len())?;
    Ok(bytes.slice_ref(payload))
}

fn rounded_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
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
