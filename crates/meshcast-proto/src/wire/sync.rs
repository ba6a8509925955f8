//! Session messages: what members say to each other beside gossip, on the protocol
//! `/meshcast/sync/1`.
//!
//! A message is a `SyncBody` of the `codec` module: a byte for its kind (0 members, 1 ping, 2 pong,
//! 3 open, 4 close, 5 have, 6 want, 7 frames, 8 ask, 9 presence, 10 leaving), then its fields. It
//! comes over a connection of its own from a member, so nothing in it is signed but the frames and
//! what members say of their presence, and what it says about others is only a report. No message
//! names a channel, a log or a member twice: such a message is refused, since reading it would do
//! the work twice.
//!
//! When two nodes connect, each tells the other which channels it has [open](SyncMessage::Open).
//! The other answers with what it [has](SyncMessage::Have) of each, and goes on telling what
//! changes. So a node learns what it lacks, even if that is the last message of a sender that died,
//! and [asks](SyncMessage::Want) a peer that has it.

mod have;

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::wire::{
    ask::AskMessage,
    codec::{self, CodecError, FramesBody, MemberBody, OpenBody, SyncBody, WantBody},
    fields::{at_most, channel, millis, once},
    id::{Sender, Seq, SeqRange},
    name::ChannelName,
    presence::PresenceMessage,
};

/// One session message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncMessage {
    /// Addresses of members, as far as the speaker knows. It names itself too.
    Members(Vec<MemberAddresses>),
    /// Answer with [`Self::Pong`] and the same number.
    Ping(u64),
    /// The answer to [`Self::Ping`].
    Pong(u64),
    /// The speaker has these channels open too, and wants to be told what the listener has of them.
    Open(Vec<Opened>),
    /// The speaker has closed these channels.
    Close(Vec<ChannelName>),
    /// The speaker's holdings of channels that the listener has open. Replaces what it said of the
    /// same logs. An `Open` is [answered](Answer) by all logs of each channel, in as many messages
    /// as it takes.
    Have(Vec<Holdings>),
    /// The speaker asks for frames. A peer that is asked for numbers before its own
    /// [beginning](Holding::begin) denies to have them, but tries to get them, as long as it says
    /// that it waits for them.
    Want(Want),
    /// The answer to a [`Self::Want`].
    Frames(Frames),
    /// A question, or what belongs to one.
    Ask(AskMessage),
    /// About who is present on channels.
    Presence(PresenceMessage),
    /// The speaker is about to stop: the end of its connections is no failure. A peer that does not
    /// stop says it back.
    Leaving,
}

/// Where a member can be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAddresses {
    /// The process.
    pub sender: Sender,
    /// Its addresses, in the binary form of multiaddresses; opaque here.
    pub addresses: Vec<Vec<u8>>,
}

/// A channel that is open, and from when on it is to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its name.
    pub channel: ChannelName,
    /// The id of this opening: each that the speaker sends has another, so that an answer to an
    /// earlier one is not taken for one to this.
    pub opening: u64,
    /// The time back, before this message: as long as it has been open, or longer if it asks for
    /// history. It travels in whole milliseconds, rounded up.
    pub since: Duration,
    /// How many numbers of each sender from before that it wants, however old.
    pub last: u64,
}

/// What is kept of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    /// Its name.
    pub channel: ChannelName,
    /// The opening that this answers; `None` if it only says what changed.
    pub answer: Option<Answer>,
    /// By sender.
    pub logs: Vec<Holding>,
}

/// Holdings are told because the listener opened the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Which [opening](Opened::opening) is answered.
    pub opening: u64,
    /// For how long the speaker has had it. What more passed since it was sent, it and its answer
    /// spent on the way. It travels in whole milliseconds, rounded down.
    pub held: Duration,
    /// The answer goes on: not all that the speaker has is told yet.
    pub more: bool,
}

/// What is kept of one sender on a channel: the numbers from `oldest` to below `next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The sender.
    pub sender: Sender,
    /// The lowest number kept; `next` if none is.
    pub oldest: Seq,
    /// The speaker waits for this number or a higher one.
    pub next: Seq,
    /// Where a listener that does not know the sender begins.
    pub due: Option<Seq>,
    /// Where the speaker began itself. It never waited for lower numbers, so it does not know
    /// whether they are lost.
    pub begin: Seq,
    /// The number of links between the speaker and the sender; 0 is the sender itself, and
    /// [`FAR`](Self::FAR) means that it knows no way.
    pub hops: u8,
    /// Told only to the peer that is next on the way to the sender: the lowest number that the
    /// speaker, or any node behind it that keeps up, waits for.
    pub lowest: Option<Seq>,
}

impl Holding {
    /// No way to the sender is known.
    pub const FAR: u8 = u8::MAX;
}

/// A request for frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// On which channel.
    pub channel: ChannelName,
    /// The sender.
    pub sender: Sender,
    /// The numbers.
    pub seqs: SeqRange,
    /// The number of the request, so that a late answer is not taken for the answer to a newer
    /// request.
    pub request: u64,
}

/// The answer to a request for frames.
#[derive(Clone, PartialEq, Eq)]
pub struct Frames {
    /// On which channel.
    pub channel: ChannelName,
    /// The sender.
    pub sender: Sender,
    /// The number of the [`Want`] that this answers.
    pub request: u64,
    /// The numbers that were asked for up to this one and are not among the frames are not kept by
    /// the speaker.
    pub upto: Seq,
    /// Encoded frames in order, each with its age, as far as known.
    pub frames: Vec<(Duration, Bytes)>,
}

impl SyncMessage {
    /// A pong that answers nothing, since pings are numbered from 1. It is sent when there was
    /// nothing else to say for a while, so that silence means that something is wrong.
    pub const KEEP_ALIVE: Self = Self::Pong(0);

    /// How many members one message may name. 4096: a fleet of a thousand nodes that restarted four
    /// times.
    pub const MAX_MEMBERS: usize = 4096;

    /// How many addresses a member may have. 32: a node listens on a few, in two families and over
    /// two transports.
    pub const MAX_ADDRESSES: usize = 32;

    /// How many channels one message may name. 512 of the longest names make 138 KiB.
    pub const MAX_CHANNELS: usize = 512;

    /// How many logs one message may tell of, all channels together. 2,048 with as many senders
    /// take 120 KiB.
    pub const MAX_LOGS: usize = 2048;

    /// The bytes of frames that one answer may carry, though one frame always may: it is lost as a
    /// whole if the link breaks.
    pub const MAX_FRAMES_LEN: usize = 256 * 1024;

    /// The bytes that the members of one message may take, counted as the codec does when it reads
    /// them; the rest is left out. A thousand members with ten addresses each fit. The limits on
    /// channels, logs and frames keep those messages below the limit of a session by themselves.
    const MAX_MEMBERS_LEN: usize = codec::LIMIT - 1024;

    /// The message as it travels. Anything beyond a limit is left out: a list of members is never
    /// complete anyway, and a refused message would tell nothing at all.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&match self {
            Self::Members(members) => SyncBody::Members(members_body(members)),
            Self::Ping(number) => SyncBody::Ping(*number),
            Self::Pong(number) => SyncBody::Pong(*number),
            Self::Open(opened) => SyncBody::Open(
                opened
                    .iter()
                    .take(Self::MAX_CHANNELS)
                    .map(OpenBody::from)
                    .collect(),
            ),
            Self::Close(channels) => SyncBody::Close(
                channels
                    .iter()
                    .take(Self::MAX_CHANNELS)
                    .map(ChannelName::wire)
                    .collect(),
            ),
            Self::Have(holdings) => SyncBody::Have(have::body(holdings)),
            Self::Want(want) => SyncBody::Want(WantBody {
                channel: want.channel.wire(),
                sender: *want.sender.key(),
                first: want.seqs.first().get(),
                last: want.seqs.last().get(),
                request: want.request,
            }),
            Self::Frames(frames) => SyncBody::Frames(FramesBody {
                channel: frames.channel.wire(),
                sender: *frames.sender.key(),
                request: frames.request,
                upto: frames.upto.get(),
                frames: frames
                    .frames
                    .iter()
                    .map(|(age, bytes)| (millis(*age), &**bytes))
                    .collect(),
            }),
            Self::Ask(ask) => SyncBody::Ask(ask.body()),
            Self::Presence(message) => SyncBody::Presence(message.body()),
            Self::Leaving => SyncBody::Leaving,
        })
    }

    /// Reads a message. Frames go on sharing `bytes`.
    ///
    /// # Errors
    /// [`CodecError`] if it is none, or over a limit.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        Ok(match codec::decode(bytes)? {
            SyncBody::Members(members) => {
                at_most(Self::MAX_MEMBERS, members.len())?;
                once("a member", members.iter().map(|member| member.sender))?;
                Self::Members(
                    members
                        .into_iter()
                        .map(MemberAddresses::read)
                        .collect::<Result<_, _>>()?,
                )
            }
            SyncBody::Ping(number) => Self::Ping(number),
            SyncBody::Pong(number) => Self::Pong(number),
            SyncBody::Open(opened) => {
                at_most(Self::MAX_CHANNELS, opened.len())?;
                once("a channel", opened.iter().map(|opened| opened.channel))?;
                Self::Open(
                    opened
                        .into_iter()
                        .map(Opened::read)
                        .collect::<Result<_, _>>()?,
                )
            }
            SyncBody::Close(channels) => {
                at_most(Self::MAX_CHANNELS, channels.len())?;
                once("a channel", channels.iter().copied())?;
                Self::Close(
                    channels
                        .into_iter()
                        .map(channel)
                        .collect::<Result<_, _>>()?,
                )
            }
            SyncBody::Have(body) => Self::Have(have::read(&body)?),
            SyncBody::Want(want) => Self::Want(Want {
                channel: channel(want.channel)?,
                sender: Sender::new(want.sender),
                seqs: SeqRange::new(seq(want.first)?, seq(want.last)?).ok_or_else(out_of_range)?,
                request: want.request,
            }),
            SyncBody::Frames(body) => Self::Frames(Frames {
                channel: channel(body.channel)?,
                sender: Sender::new(body.sender),
                request: body.request,
                upto: seq(body.upto)?,
                frames: body
                    .frames
                    .into_iter()
                    .map(|(age, frame)| (Duration::from_millis(age), bytes.slice_ref(frame)))
                    .collect(),
            }),
            SyncBody::Ask(body) => Self::Ask(AskMessage::read(&body, bytes)?),
            SyncBody::Presence(body) => Self::Presence(PresenceMessage::read(body, bytes)?),
            SyncBody::Leaving => Self::Leaving,
        })
    }
}

/// Lengths only: payloads do not belong in a log.
impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channel,
            sender,
            request,
            upto,
            frames,
        } = self;
        let bytes: usize = frames.iter().map(|(_, frame)| frame.len()).sum();
        let count = frames.len();
        write!(
            f,
            "Frames({request}: {sender} {channel:?} up to {upto}, {count} of {bytes} bytes)"
        )
    }
}

impl MemberAddresses {
    fn read(body: MemberBody<'_>) -> Result<Self, CodecError> {
        at_most(SyncMessage::MAX_ADDRESSES, body.addresses.len())?;
        Ok(Self {
            sender: Sender::new(body.sender),
            addresses: body.addresses.into_iter().map(<[u8]>::to_vec).collect(),
        })
    }
}

impl Opened {
    fn read(body: OpenBody<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            channel: channel(body.channel)?,
            opening: body.opening,
            since: Duration::from_millis(body.since),
            last: body.last,
        })
    }
}

impl<'a> From<&'a MemberAddresses> for MemberBody<'a> {
    fn from(member: &'a MemberAddresses) -> Self {
        let addresses = member.addresses.iter().take(SyncMessage::MAX_ADDRESSES);
        Self {
            sender: *member.sender.key(),
            addresses: addresses.map(Vec::as_slice).collect(),
        }
    }
}

impl<'a> From<&'a Opened> for OpenBody<'a> {
    fn from(opened: &'a Opened) -> Self {
        Self {
            channel: opened.channel.wire(),
            opening: opened.opening,
            // Rounded up, or what was posted within that millisecond would be lost.
            since: millis(opened.since.saturating_add(PART_OF_A_MILLISECOND)),
            last: opened.last,
        }
    }
}

/// The members that fit into one message. A member too large for any message is skipped.
fn members_body(members: &[MemberAddresses]) -> Vec<MemberBody<'_>> {
    let mut room = SyncMessage::MAX_MEMBERS_LEN;
    let place = |address: &&[u8]| size_of::<&[u8]>() + address.len();
    let members = members.iter().map(MemberBody::from).filter(|member| {
        let len = size_of::<MemberBody<'_>>() + member.addresses.iter().map(place).sum::<usize>();
        let fits = len <= room;
        if fits {
            room -= len;
        }
        fits
    });
    members.take(SyncMessage::MAX_MEMBERS).collect()
}

fn seq(number: u64) -> Result<Seq, CodecError> {
    Seq::new(number).ok_or_else(out_of_range)
}

fn out_of_range() -> CodecError {
    CodecError::Malformed("a number is out of range".to_owned())
}

const PART_OF_A_MILLISECOND: Duration = Duration::from_nanos(999_999);

#[cfg(test)]
mod tests;
