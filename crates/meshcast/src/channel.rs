//! `BroadcastChannel`, as the web has it, over everything this process knows of a channel name.
//!
//! May use: plain modules: `clock`, `error`, `ids`, `limits`, `thread`, `throttle`.
//! Must not: know libp2p but for its ids, call the driver, which takes what is left in the
//! registry, or know who asks and who is present beyond what it keeps for them (`exchange`,
//! `board`).

mod awaited;
mod bell;
mod board;
mod common;
mod cursor;
mod dispatch;
mod exchange;
mod history;
mod hub;
mod message;
mod messages;
mod outbox;
mod payload;
mod receipt;
mod registry;
mod ring;
mod since;
pub(crate) mod spans;

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::Sink;
use meshcast_proto::ChannelName;
use tokio::runtime::Handle;

use self::dispatch::Handlers;
use crate::error::PostError;

#[cfg(feature = "testing")]
pub(crate) use self::message::{Origin, Provenance};
pub use self::{
    awaited::AckError,
    cursor::{Cursor, CursorError},
    dispatch::Subscription,
    history::{Entry, History, Marked},
    message::{Gap, GapReason, Message, RecvError, Undecodable},
    messages::Messages,
    payload::{Borrowed, Payload},
    receipt::Receipt,
    since::Since,
};
pub(crate) use self::{
    awaited::Awaited,
    board::{Audience, Board},
    common::{Common, Here},
    exchange::{AskEvent, AskQueues, Asking, Charge, Incoming, Replier},
    hub::{Hub, Opening, Requests},
    outbox::{Poster, Posters, Section},
    payload::{decode, decode_bytes},
    registry::{MAX_NAMES, Registry},
    ring::{Item, ReaderId, Wanted},
};
#[cfg(feature = "metrics")]
pub(crate) use self::{hub::Load, ring::ObjectGaps};
#[cfg(feature = "admin")]
pub(crate) use self::{message::Received, ring::Unpacked};

/// One object on a channel: what it posts, every other object of that name hears, in this process
/// and in every other; it never hears itself.
///
/// It receives from the moment it is made, or what was posted before as well if it was opened by
/// [`Node::channel_since`](crate::Node::channel_since). `Clone` gives another handle to the *same*
/// object; call [`Node::channel`](crate::Node::channel) again for another object. The object closes
/// when [`Self::close`] is called or its last handle, stream and [`Subscription`] are dropped.
pub struct BroadcastChannel<T: Payload> {
    object: Arc<Object<T>>,
}

impl<T: Payload> BroadcastChannel<T> {
    pub(crate) fn new(hub: Arc<Hub>, options: ChannelOptions) -> Self {
        let id = hub.open_object(options);
        Self::of(hub, id)
    }

    fn of(hub: Arc<Hub>, id: ObjectId) -> Self {
        let handlers = Arc::new(Handlers::new(Arc::clone(&hub)));
        Self {
            object: Arc::new(Object {
                hub,
                id,
                closed: AtomicBool::new(false),
                handlers,
            }),
        }
    }

    /// All of its name in this process.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.object.hub
    }

    /// Which of the objects of its name it is.
    pub(crate) fn object_id(&self) -> ObjectId {
        self.object.id
    }

    /// A guard that holds the object open as long as it lives.
    pub(crate) fn keep_open(&self) -> Arc<dyn Send + Sync> {
        Arc::clone(&self.object) as _
    }

    /// The name it was opened with.
    pub fn name(&self) -> &ChannelName {
        self.object.hub.name()
    }

    /// The name of the channel in spans of [`tracing`]: a hash that is the same at all members of
    /// the mesh, and from which nobody else can tell the name.
    pub fn trace_hash(&self) -> String {
        self.object.hub.place().to_string()
    }

    /// Posts a message: encodes it at once, queues it, and returns. Never blocks.
    ///
    /// The message is a `T` or what is [borrowed](Borrowed) of one: a channel of `String` takes a
    /// `str`.
    ///
    /// That there is nobody to hear it is no error: it is kept, and given to whoever comes in time.
    /// A [`Receipt`] tells which members have it; it can be ignored.
    ///
    /// # Errors
    /// [`PostError`]; nothing was posted. [`PostError::Full`] means that messages are posted faster
    /// than this node sends them, or than the members that listen take them: try again later, or
    /// use [`Self::post_message_wait`].
    pub fn post_message(
        &self,
        message: &(impl Borrowed<T> + ?Sized),
    ) -> Result<Receipt, PostError> {
        self.object.post(message, Poster::NonBlocking)
    }

    /// Posts a message, waiting for room where [`Self::post_message`] returns [`PostError::Full`]:
    /// it goes at the pace at which messages leave, and little more than what leaves at once waits
    /// in front of it. That there is room does not mean that anybody has the message; ask the
    /// [`Receipt`] for that. Of several that wait, any may be the first to get in.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing was posted.
    ///
    /// # Errors
    /// [`PostError`] but for `Full`; nothing was posted.
    pub async fn post_message_wait(
        &self,
        message: &(impl Borrowed<T> + ?Sized),
    ) -> Result<Receipt, PostError> {
        // As a rule there is room, and to get ready to wait for it costs more than to post.
        match self.object.post(message, Poster::Waiting) {
            Err(PostError::Full { .. }) => {}
            done => return done,
        }
        loop {
            // Before the attempt, so that room made in between is noticed.
            let mut room = std::pin::pin!(self.object.hub.room());
            room.as_mut().enable();
            match self.object.post(message, Poster::Waiting) {
                Err(PostError::Full { .. }) => room.await,
                done => return done,
            }
        }
    }

    /// A sink that [waits](Self::post_message_wait) until there is room for a message. To flush it
    /// waits for nothing more: a [`Receipt`] says who has a message.
    pub fn sink(&self) -> impl Sink<T, Error = PostError> + Send + use<T>
    where
        T: Sync,
    {
        futures::sink::unfold(self.clone(), |channel, message: T| async move {
            channel.post_message_wait(&message).await?;
            Ok(channel)
        })
    }

    /// The messages that arrive, as a stream.
    ///
    /// The first stream (or handler) of an object begins with what arrived since the object was
    /// made; a further one begins now. For an object that nobody reads from, a quarter of
    /// [`Limits::unread_bytes`](crate::Limits::unread_bytes) is held, and the rest read out of what
    /// the node keeps.
    pub fn messages(&self) -> Messages<T> {
        Messages::new(Arc::clone(&self.object))
    }

    /// Calls `handler` for every message, until the returned guard is dropped or the channel is
    /// closed.
    ///
    /// All handlers of one channel name in this process are called from one task, one after
    /// another: each message to the objects in the order they were made, and there in the order of
    /// registration. So a handler must not block for long. One that panics is counted and goes on
    /// with the next message.
    ///
    /// The task runs on the Tokio runtime that the [`Node`](crate::Node) was spawned in, so a
    /// handler may spawn tasks there. If that runtime is gone it runs on the one that a handler of
    /// the name was last registered in, and if that is gone too on a thread of the node's for
    /// handlers. No handler is called by the thread that the network is on, so one that blocks
    /// holds up other handlers alone.
    pub fn on_message(&self, handler: impl FnMut(Message<T>) + Send + 'static) -> Subscription<T> {
        let id = self.object.handlers.add_message(handler);
        self.object.dispatch();
        Subscription::new(Arc::clone(&self.object), id)
    }

    /// Calls `handler` for everything [`Self::messages`] would return as an error, like
    /// [`Self::on_message`].
    pub fn on_message_error(
        &self,
        handler: impl FnMut(RecvError) + Send + 'static,
    ) -> Subscription<T> {
        let id = self.object.handlers.add_error(handler);
        self.object.dispatch();
        Subscription::new(Arc::clone(&self.object), id)
    }

    /// Calls `handler` for every message and waits for what it returns, one message after another,
    /// until the returned guard is dropped or the channel is closed.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let key = meshcast::MeshKey::random()?;
    /// # let node = meshcast::Node::builder().key(key).listen("127.0.0.1:0").spawn().await?;
    /// # let (done, mut all_done) = tokio::sync::mpsc::channel(1);
    /// # async fn store(_: String) {}
    /// let earth = node.channel::<String>("earth")?;
    /// let handler = earth.on_message_async(move |message| {
    ///     let done = done.clone();
    ///     async move {
    ///         let seq = message.seq();
    ///         store(message.data).await;
    ///         let _ = done.send(seq).await;
    ///     }
    /// });
    /// # node.channel::<String>("earth")?.post_message("hello")?;
    /// # assert_eq!(all_done.recv().await, Some(1));
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Unlike those of [`Self::on_message`] each such handler is a task of its own: it may take its
    /// time and holds up nobody. It reads as a stream does, so what waits for it beyond
    /// [`Limits::unread_bytes`](crate::Limits::unread_bytes) is read out of what the node keeps,
    /// and what is not kept is a [`Gap`] of the reason
    /// [`Unread`](crate::GapReason::Unread), told to the handlers of [`Self::on_message_error`].
    /// One that panics is counted and goes on with the next message.
    ///
    /// It runs on the Tokio runtime that this is called in, else on the one that the node was
    /// spawned in, and ends with that. The end of the guard ends it where it awaits something, and
    /// to close the channel, or the end of the node, after the message it has.
    pub fn on_message_async<F, Fut>(&self, handler: F) -> Subscription<T>
    where
        F: FnMut(Message<T>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let messages = self.messages();
        let handlers = Arc::clone(&self.object.handlers);
        let task = dispatch::call_in_turn(messages, handlers, handler);
        let runtime = Handle::try_current();
        let runtime = runtime
            .as_ref()
            .unwrap_or_else(|_| self.object.hub.common().runtime());
        Subscription::of_task(Arc::clone(&self.object), &runtime.spawn(task))
    }

    /// Closes the object. Pending deliveries to it are dropped; what it posted before still goes
    /// out. Closing again does nothing.
    ///
    /// Await the returned value to know when that is out; or drop it:
    ///
    /// ```no_run
    /// # use meshcast::{AckError, BroadcastChannel};
    /// # async fn example(channel: BroadcastChannel<String>) -> Result<(), AckError> {
    /// channel.post_message("goodbye").ok();
    /// channel.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self) -> Closing {
        let queued = self.object.hub.queued();
        self.object.close();
        let last = queued.and_then(|pushed| pushed.checked_sub(1));
        Closing(last.map(|record| Receipt::new(Arc::clone(&self.object.hub), record)))
    }
}

impl<T: Payload> Clone for BroadcastChannel<T> {
    fn clone(&self) -> Self {
        Self {
            object: Arc::clone(&self.object),
        }
    }
}

impl<T: Payload> fmt::Debug for BroadcastChannel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BroadcastChannel")
            .field(self.name())
            .finish()
    }
}

/// A channel object that was [closed](BroadcastChannel::close). To be awaited by whoever wants to
/// know when what was posted before is out: when all that this process has posted on the channel
/// has left for the members that are connected, and is kept for those who come. With nobody there
/// that is at once. A [`Receipt`] tells whether a member has it, and
/// [`Node::flush`](crate::Node::flush) does so for all channels.
///
/// Cancel-safe. An error, [`AckError::Closed`], means that the node stopped before.
#[derive(Debug)]
pub struct Closing(Option<Receipt>);

impl IntoFuture for Closing {
    type Output = Result<(), AckError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            match self.0 {
                Some(last) if last.is_queued() => match last.acked(0).await {
                    // Sent so long ago that nobody knows who has it.
                    Ok(_) | Err(AckError::Expired) => Ok(()),
                    Err(error) => Err(error),
                },
                _ => Ok(()),
            }
        })
    }
}

/// Options for opening a channel object.
///
/// ```
/// use meshcast::{ChannelOptions, Since};
///
/// let options = ChannelOptions::new().since(Since::Last(50)).echo(true);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "options do nothing until a channel is opened with them"]
pub struct ChannelOptions {
    pub(crate) since: Since,
    pub(crate) echo: bool,
    pub(crate) observer: bool,
}

impl ChannelOptions {
    /// As [`Node::channel`](crate::Node::channel) has them, and the web.
    pub const fn new() -> Self {
        Self {
            since: Since::Now,
            echo: false,
            observer: false,
        }
    }

    /// The earlier messages that the object hears, see
    /// [`Node::channel_since`](crate::Node::channel_since). Nothing by default.
    pub fn since(self, since: Since) -> Self {
        Self { since, ..self }
    }

    /// If `true`, the object hears its own posts as well, in the order in which everybody hears
    /// them. By default it does not.
    pub fn echo(self, echo: bool) -> Self {
        Self { echo, ..self }
    }

    /// Whether the object is there only to look, for tools that show what goes on: it hears as any
    /// other, and is counted apart too, as [`ChannelInfo::observers`](crate::ChannelInfo). So
    /// several such tools do not take each other for a reason to stay, and the node leaves a
    /// channel at once that was only looked at. By default it is not.
    pub fn observer(self, observer: bool) -> Self {
        Self { observer, ..self }
    }
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Names an object of one channel name in this process. Objects made earlier are less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct ObjectId {
    number: u64,
    /// It hears what was posted before it was made, too.
    late: bool,
    /// It hears what it posts itself, too.
    echo: bool,
    /// It is there only to look.
    observer: bool,
}

impl ObjectId {
    const fn next(self) -> Self {
        Self::nth(self.number + 1)
    }

    const fn nth(number: u64) -> Self {
        Self {
            number,
            late: false,
            echo: false,
            observer: false,
        }
    }

    const fn is_late(self) -> bool {
        self.late
    }

    /// The same object, as one that came late.
    const fn late(self) -> Self {
        Self { late: true, ..self }
    }

    /// The same object, as one that hears itself or not.
    const fn with_echo(self, echo: bool) -> Self {
        Self { echo, ..self }
    }

    /// The same object, as one that is there only to look or not.
    const fn with_observer(self, observer: bool) -> Self {
        Self { observer, ..self }
    }

    const fn is_observer(self) -> bool {
        self.observer
    }
}

/// What all handles of one object share.
struct Object<T: Payload> {
    hub: Arc<Hub>,
    id: ObjectId,
    closed: AtomicBool,
    handlers: Arc<Handlers<T>>,
}

impl<T: Payload> Object<T> {
    fn post(
        &self,
        message: &(impl Borrowed<T> + ?Sized),
        who: Poster,
    ) -> Result<Receipt, PostError> {
        // First: what cannot be encoded is no other error on a closed channel.
        if self.is_closed() {
            return Err(PostError::Closed);
        }
        let posted = message.encoded(|format, value| {
            let record = self.hub.post(self.id, format, value, who)?;
            Ok(Receipt::new(Arc::clone(&self.hub), record))
        });
        posted?
    }

    fn dispatch(&self) {
        if self
            .hub
            .start_dispatch(self.id, Arc::clone(&self.handlers) as _)
        {
            dispatch::spawn(&self.hub);
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn close(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.hub.close_object(self.id);
            self.handlers.clear();
        }
    }
}

impl<T: Payload> Drop for Object<T> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
