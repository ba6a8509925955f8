//! The stream face of a channel.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::Stream;

use super::{
    Object, Payload,
    ring::{Item, ReaderId, Unpacked},
};
use crate::message::{Message, RecvError};

/// The messages of a channel, as a [`Stream`].
///
/// Decoding happens in the task that polls. The stream goes on after an error; it ends when the
/// channel object is closed or its node has stopped. It keeps the object open.
///
/// A reader that does not keep up loses nothing as long as the node keeps it: once more than
/// [`Limits::unread_bytes`](crate::Limits::unread_bytes) wait in its channel, the oldest make way,
/// and are read out of what is kept for other members
/// ([`Limits::history_bytes`](crate::Limits::history_bytes),
/// [`Limits::history_age`](crate::Limits::history_age)) when the reader comes to them. What is not
/// kept any more either, or the node has stopped meanwhile, is a [`Gap`](crate::Gap) with
/// [`GapReason::Unread`](crate::GapReason::Unread) and the exact numbers, before anything later of
/// that sender. The order between senders changes by that.
pub struct Messages<T: Payload> {
    object: Arc<Object<T>>,
    /// `None` when the object was closed already.
    reader: Option<ReaderId>,
    /// Values taken from the ring and not handed out yet.
    current: Option<Unpacked>,
}

impl<T: Payload> Messages<T> {
    pub(super) fn new(object: Arc<Object<T>>) -> Self {
        let reader = object.hub.claim_reader(object.id);
        Self {
            object,
            reader,
            current: None,
        }
    }

    /// The next message or error; `None` at the end. Cancel-safe: nothing is lost when the future
    /// is dropped.
    pub async fn recv(&mut self) -> Option<Result<Message<T>, RecvError>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message<T>, RecvError>>> {
        loop {
            // Pending deliveries to a closed object are dropped, also those taken from the ring.
            let Some(reader) = self.reader.filter(|_| !self.object.is_closed()) else {
                return Poll::Ready(None);
            };
            if let Some(current) = &mut self.current {
                match current.find(|value| value.is_for(self.object.id)) {
                    Some(value) => return Poll::Ready(Some(self.object.handlers.decode(&value))),
                    None => self.current = None,
                }
            }
            match ready!(self.object.hub.poll_read(reader, cx)) {
                None => return Poll::Ready(None),
                Some(Item::Missed(missed)) => return Poll::Ready(Some(Err(missed.into()))),
                Some(Item::Values(delivery, posters)) => {
                    self.current = Some(Unpacked::new(delivery, posters))
                }
            }
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

impl<T: Payload> fmt::Debug for Messages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages")
            .field(self.object.hub.name())
            .finish()
    }
}
