//! The stream face of a channel.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::Stream;
use meshcast_proto::{Sender, Seq};

use super::{
    Object, Payload,
    cursor::{Cursor, Mark, Marks},
    hub::Read,
    ring::{Item, ReadPosition, ReaderId, Unpacked},
};
use crate::channel::message::{Gap, Message, Received, RecvError};
use crate::clock::moment;

/// The messages of a channel, as a [`Stream`].
///
/// Decoding happens in the task that polls. The stream goes on after an error; it ends when the
/// channel object is closed or its node has stopped. It keeps the object open.
///
/// A reader that does not keep up loses nothing as long as the node keeps it: once more than
/// [`Limits::unread_bytes`](crate::Limits::unread_bytes) wait in its channel, the oldest make way,
/// and are read out of what is kept for other members
/// ([`Limits::history_bytes`](crate::Limits::history_bytes),
/// [`Limits::history_age`](crate::Limits::history_age)) when the reader comes to them. Messages
/// that are not kept any more either are a [`Gap`] with
/// [`GapReason::Unread`](crate::GapReason::Unread) and the exact numbers, before anything later of
/// that sender. So are those that the stream was still to read when the node stopped. The order
/// between senders changes by that.
pub struct Messages<T: Payload> {
    object: Arc<Object<T>>,
    /// `None` when the object was closed already.
    reader: Option<ReaderId>,
    /// Values taken from the ring and not handed out yet.
    current: Option<Unpacked>,
    /// The position that was read, if somebody wants to know.
    read: Option<Box<Marks>>,
    /// The number of senders at the last time when idle ones were forgotten.
    settled: usize,
    /// It has read all of the past that it began with.
    caught_up: bool,
}

/// What a stream reads next.
pub(super) enum Next {
    Value(Received),
    Missed(Gap),
    CaughtUp,
}

impl<T: Payload> Messages<T> {
    pub(super) fn new(object: Arc<Object<T>>) -> Self {
        let reader = object.hub.claim_reader(object.id);
        Self {
            object,
            reader,
            current: None,
            read: None,
            settled: 0,
            caught_up: false,
        }
    }

    /// The next message or error; `None` at the end. Cancel-safe: nothing is lost when the future
    /// is dropped.
    pub async fn recv(&mut self) -> Option<Result<Message<T>, RecvError>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Up to where it has read: at any member of the mesh another object that is opened
    /// [there](crate::Since::After) goes on with the next message.
    ///
    /// Received messages count as read, and so do gaps that were told. Call it after each message
    /// whose place somebody is to remember: it takes some microseconds, and the first call looks
    /// through what waits to be read. A stream that was made of
    /// [`Since::After`](crate::Since::After) has that cursor until it was told what there is. If
    /// the object was closed before the first call, it is that of somebody who has read nothing.
    pub fn cursor(&mut self) -> Cursor {
        let hub = &self.object.hub;
        if self.read.is_none() {
            let read_position = self.reader.and_then(|reader| hub.read_position(reader));
            let mut read = match read_position {
                Some(ReadPosition::Read(read)) => read,
                Some(ReadPosition::Waiting(Some(cursor))) => return cursor,
                Some(ReadPosition::Waiting(None)) | None => return Cursor::empty(hub.place()),
            };
            if let Some(current) = &self.current {
                let (sender, due) = current.due();
                read.rewind(sender.prefix(), due, moment());
            }
            self.settled = read.len();
            self.read = Some(Box::new(read));
        }
        let read = self.read.get_or_insert_default();
        let is_crowded = read.len() > self.settled + MORE_SENDERS;
        let cursor = hub.cursor(read, is_crowded);
        if is_crowded {
            self.settled = read.len();
        }
        cursor
    }

    /// Whether it has read all of the history that it began with: the messages posted before this
    /// node had looked back, as far as the options of the object want them. Later messages are no
    /// [history](Message::is_history). A stream of an object that wanted nothing from before is
    /// caught up when it is polled first.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// The number of connected members that had not told what they keep when the history of the
    /// stream was handed out: messages that they alone keep are not in it, and are no gap. They are
    /// waited for, 5 s at most. 0 until it [has caught up](Self::is_caught_up), and for streams
    /// that wanted nothing from before.
    pub fn untold_members(&self) -> usize {
        let hub = &self.object.hub;
        self.reader.map_or(0, |reader| hub.untold(reader))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message<T>, RecvError>>> {
        // As a rule the delivery that is being read has one more.
        if let Some(value) = self.next_value() {
            return Poll::Ready(Some(self.object.handlers.decode(value)));
        }
        loop {
            match ready!(self.poll_next_item(cx)) {
                None => return Poll::Ready(None),
                Some(Next::CaughtUp) => {}
                Some(next) => return Poll::Ready(self.decode(next)),
            }
        }
    }

    /// What is handed out of it, if that is anything.
    pub(super) fn decode(&self, next: Next) -> Option<Result<Message<T>, RecvError>> {
        match next {
            Next::Value(value) => Some(self.object.handlers.decode(value)),
            Next::Missed(gap) => Some(Err(gap.into())),
            Next::CaughtUp => None,
        }
    }

    pub(super) fn poll_next_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Next>> {
        loop {
            // Pending deliveries to a closed object are dropped, also those taken from the ring.
            let Some(reader) = self.reader.filter(|_| !self.object.is_closed()) else {
                return Poll::Ready(None);
            };
            if let Some(value) = self.next_value() {
                return Poll::Ready(Some(Next::Value(value)));
            }
            match ready!(self.object.hub.poll_read(reader, cx)) {
                None => return Poll::Ready(None),
                Some(Read::CaughtUp) => {
                    self.caught_up = true;
                    return Poll::Ready(Some(Next::CaughtUp));
                }
                Some(Read::Item(Item::Missed(missed), _)) => {
                    self.note((missed.member.sender(), missed.missed.last().next()));
                    return Poll::Ready(Some(Next::Missed(missed)));
                }
                Some(Read::Item(Item::Values(delivery, posters), is_history)) => {
                    let clock = self.object.hub.common().clock();
                    self.current = Some(Unpacked::new(delivery, posters, is_history, clock));
                }
            }
        }
    }

    /// The next value of the delivery that is being read.
    // Inlined; see `Unpacked::next_for`.
    #[inline(always)]
    fn next_value(&mut self) -> Option<Received> {
        let current = self.current.as_mut()?;
        if self.object.is_closed() {
            return None;
        }
        let value = current.next_for(self.object.id);
        if value.is_none() || self.read.is_some() {
            let due = current.due();
            self.note(due);
        }
        if value.is_none() {
            self.current = None;
        }
        value
    }

    /// Notes down which number is due next of a sender, if anybody wants to know.
    #[inline]
    fn note(&mut self, (sender, due): (Sender, Seq)) {
        if let (Some(marks), Some(read)) = (&mut self.read, due.previous()) {
            let heard = moment();
            marks.advance(sender.prefix(), Mark { read, heard });
        }
    }
}

impl<T: Payload> Stream for Messages<T> {
    type Item = Result<Message<T>, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx)
    }
}

impl<T: Payload> Unpin for Messages<T> {}

impl<T: Payload> Drop for Messages<T> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader {
            self.object.hub.release_reader(reader);
        }
    }
}

/// So many more senders may be remembered before it is looked whether some are gone.
const MORE_SENDERS: usize = 16;

impl<T: Payload> fmt::Debug for Messages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages")
            .field(self.object.hub.name())
            .finish()
    }
}
