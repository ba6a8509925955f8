//! Earlier messages: as a list, and as the part of a stream before a mark.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::Stream;
use meshcast_proto::{Sender, Seq, WallTime};

use super::{
    BroadcastChannel, ChannelOptions, Payload, Since,
    messages::{Messages, Next},
};
use crate::{
    channel::message::{Gap, GapReason, Message, Received, RecvError},
    error::OpenError,
};

/// The messages of a channel, by [`BroadcastChannel::history`] or [`Messages::history`].
#[derive(Debug)]
#[non_exhaustive]
pub struct History<T> {
    /// The messages, by when they were posted, those of one moment by sender; those of one sender
    /// are in its order, whatever its clock did.
    pub messages: Vec<Message<T>>,
    /// The gaps between them, at most [`Self::MAX_GAPS`], and values that are no `T`.
    pub errors: Vec<RecvError>,
    /// The number of gaps left out, which came earlier.
    pub left_out_gaps: u64,
    /// The number of messages left out, which are older: a history holds at most
    /// [`Self::MAX_MESSAGES`], and [`Self::MAX_BYTES`] of encoded payload.
    pub left_out: u64,
    /// The number of connected members that had not told in time what they keep; see
    /// [`Messages::untold_members`].
    pub untold_members: usize,
    /// `true` if it went to its end: the object was not closed, nor the node stopped, before.
    pub is_complete: bool,
}

impl<T> History<T> {
    /// The most messages that one holds.
    pub const MAX_MESSAGES: usize = 10_000;
    /// The most bytes of encoded payload that one holds, but for a single message that is longer.
    pub const MAX_BYTES: usize = 16 * 1024 * 1024;
    /// The most gaps that one holds. Numbers of a sender that follow each other and are missing for
    /// the same reason are one gap.
    pub const MAX_GAPS: usize = 1_000;
}

impl<T> IntoIterator for History<T> {
    type Item = Message<T>;
    type IntoIter = std::vec::IntoIter<Message<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.messages.into_iter()
    }
}

/// An item of a [marked](Messages::marked) stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum Entry<T> {
    /// A message.
    Message(Message<T>),
    /// The stream has read all of the past that it began with. It comes once.
    CaughtUp,
}

/// The messages of a channel with a mark where the past is over: [`Messages::marked`].
pub struct Marked<T: Payload>(Messages<T>);

impl<T: Payload> BroadcastChannel<T> {
    /// The messages posted on the channel, as far back as `since` says and anybody keeps them; also
    /// those of this object.
    ///
    /// [`Since::Last`] is so many messages in all here, the newest, whoever posted them. It looks
    /// back as [`Node::channel_since`](crate::Node::channel_since) does: members are asked for what
    /// is not here, and those that have not told yet what they have are waited for, 5 s at most. At
    /// most [`History::MAX_MESSAGES`] come, and [`History::MAX_BYTES`]; older ones are counted.
    ///
    /// It does not include later posts, and has no position from which another object could go on:
    /// to go on, open an object with `since`, and call [`Messages::history`] first.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`OpenError::Closed`] if the object is closed, [`OpenError::ForeignCursor`].
    pub async fn history(&self, since: Since) -> Result<History<T>, OpenError> {
        let hub = &self.object.hub;
        if self.object.is_closed() {
            return Err(OpenError::Closed);
        }
        if since
            .cursor()
            .is_some_and(|cursor| !cursor.is_of(hub.place()))
        {
            return Err(OpenError::ForeignCursor);
        }
        let most = match since {
            Since::Last(most) => usize::try_from(most).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let id = hub.open_beside(ChannelOptions::new().since(since));
        let beside = Self::of(hub.clone(), id);
        Ok(beside.messages().past(most).await)
    }
}

impl<T: Payload> Messages<T> {
    /// The messages that the stream begins with: all up to where it has caught up, in one list. The
    /// stream goes on behind it; what was received from it before is not among it. At most
    /// [`History::MAX_MESSAGES`] come, and [`History::MAX_BYTES`]; older ones are counted.
    ///
    /// Not cancel-safe: what was read already is lost if the future is dropped.
    pub async fn history(&mut self) -> History<T> {
        self.past(usize::MAX).await
    }

    /// The newest `most` of what the stream begins with.
    pub(crate) async fn past(&mut self, most: usize) -> History<T> {
        let mut newest = Newest::new(most.min(History::<T>::MAX_MESSAGES));
        let (mut gaps, mut is_complete) = (Gaps::default(), self.is_caught_up());
        while !is_complete {
            match std::future::poll_fn(|cx| self.poll_next_item(cx)).await {
                None => break,
                Some(Next::CaughtUp) => is_complete = true,
                Some(Next::Missed(gap)) => gaps.push(gap),
                Some(Next::Value(value)) => newest.push(value),
            }
        }
        if newest.values.len() >= most {
            // As many as were asked for: what else a sender posted before is not missing.
            gaps.newest.retain(|gap| gap.reason != GapReason::Expired);
            gaps.left_out -= gaps.left_out_expired;
        }
        let left_out = newest.left_out;
        let (left_out_gaps, gaps) = (gaps.left_out, gaps.newest);
        let mut messages = Vec::new();
        let mut errors: Vec<RecvError> = gaps.into_iter().map(RecvError::from).collect();
        for value in newest.into_values() {
            match self.decode(Next::Value(value)) {
                Some(Ok(message)) => messages.push(message),
                Some(Err(error)) => errors.push(error),
                None => {}
            }
        }
        History {
            messages,
            errors,
            left_out_gaps,
            left_out,
            untold_members: self.untold_members(),
            is_complete,
        }
    }

    /// The same stream, with a mark where the past is over that it began with.
    pub fn marked(self) -> Marked<T> {
        Marked(self)
    }
}

impl<T: Payload> Marked<T> {
    /// The next message, error or mark; `None` at the end. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Result<Entry<T>, RecvError>> {
        std::future::poll_fn(|cx| self.poll_entry(cx)).await
    }

    /// The stream without marks, which goes on where this one is.
    pub fn into_messages(self) -> Messages<T> {
        self.0
    }

    /// Up to where it has read; see [`Messages::cursor`].
    pub fn cursor(&mut self) -> super::Cursor {
        self.0.cursor()
    }

    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Entry<T>, RecvError>>> {
        let next = ready!(self.0.poll_next_item(cx));
        Poll::Ready(next.map(|next| match self.0.decode(next) {
            Some(message) => message.map(Entry::Message),
            None => Ok(Entry::CaughtUp),
        }))
    }
}

impl<T: Payload> Stream for Marked<T> {
    type Item = Result<Entry<T>, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_entry(cx)
    }
}

impl<T: Payload> Unpin for Marked<T> {}

impl<T: Payload> fmt::Debug for Marked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Marked").field(&self.0).finish()
    }
}

/// The newest of many gaps.
#[derive(Default)]
struct Gaps {
    newest: VecDeque<Gap>,
    left_out: u64,
    /// The number of these gaps whose messages nobody keeps any more.
    left_out_expired: u64,
}

impl Gaps {
    /// One more, or the last is longer.
    fn push(&mut self, gap: Gap) {
        if let Some(last) = self.newest.back_mut()
            && last.member.sender() == gap.member.sender()
            && last.reason == gap.reason
            && last.missed.last().next() == gap.missed.first()
        {
            last.missed = last.missed.hull(gap.missed);
            return;
        }
        self.newest.push_back(gap);
        if self.newest.len() > History::<()>::MAX_GAPS {
            let oldest = self.newest.pop_front();
            let is_expired = oldest.is_some_and(|gap| gap.reason == GapReason::Expired);
            self.left_out += 1;
            self.left_out_expired += u64::from(is_expired);
        }
    }
}

/// The newest of many values.
struct Newest {
    most: usize,
    /// The oldest first.
    values: BinaryHeap<Reverse<KeptMessage>>,
    bytes: usize,
    /// When the last value of each sender was posted: a clock that jumps back changes no order.
    latest: HashMap<Sender, WallTime>,
    left_out: u64,
}

struct KeptMessage {
    posted: WallTime,
    sender: Sender,
    seq: Seq,
    value: Received,
}

impl Newest {
    fn new(most: usize) -> Self {
        Self {
            most,
            values: BinaryHeap::new(),
            bytes: 0,
            latest: HashMap::new(),
            left_out: 0,
        }
    }

    fn push(&mut self, value: Received) {
        let (sender, posted) = (value.origin.member.sender(), value.origin.posted_at);
        let latest = self.latest.entry(sender).or_insert(posted);
        *latest = posted.max(*latest);
        self.bytes += value.posted.payload.len();
        self.values.push(Reverse(KeptMessage {
            posted: *latest,
            sender,
            seq: value.origin.seqs.first(),
            value,
        }));
        while self.values.len() > self.most
            || (self.bytes > History::<()>::MAX_BYTES && self.values.len() > 1)
        {
            let Some(Reverse(oldest)) = self.values.pop() else {
                break;
            };
            self.bytes -= oldest.value.posted.payload.len();
            self.left_out += 1;
        }
    }

    /// All of them, the oldest first.
    fn into_values(self) -> impl Iterator<Item = Received> {
        // The heap has them the other way round.
        let sorted = self.values.into_sorted_vec();
        sorted.into_iter().rev().map(|Reverse(kept)| kept.value)
    }
}

impl KeptMessage {
    const fn key(&self) -> (WallTime, &Sender, Seq) {
        (self.posted, &self.sender, self.seq)
    }
}

impl Ord for KeptMessage {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for KeptMessage {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for KeptMessage {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for KeptMessage {}

#[cfg(test)]
mod tests;
