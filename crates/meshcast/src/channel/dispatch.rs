//! The callback face of a channel: one task for each name calls the handlers of all its objects.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::FutureExt as _;
use meshcast_proto::Posted;
use meshcast_value::DecodeError;
use tokio::task::{AbortHandle, JoinHandle};
use tracing::{Instrument as _, Span};

use super::{
    Messages, Object, ObjectId,
    hub::{Dispatch, Due, Hub},
    payload::{self, Payload},
    ring::{Item, Unpacked},
};
use crate::{
    channel::{
        message::{Gap, GapReason, Message, Origin, Received, RecvError, Undecodable},
        spans,
    },
    clock::Clock,
    throttle::Throttle,
};

/// Keeps a handler registered; dropping it removes the handler. It keeps the channel object open.
#[must_use = "dropping the subscription removes the handler"]
pub struct Subscription<T: Payload> {
    object: Arc<Object<T>>,
    handle: Handle,
}

/// What a subscription keeps.
enum Handle {
    Handler(HandlerId),
    Task(AbortHandle),
}

impl<T: Payload> Subscription<T> {
    pub(super) fn new(object: Arc<Object<T>>, id: HandlerId) -> Self {
        let handle = Handle::Handler(id);
        Self { object, handle }
    }

    pub(super) fn of_task(object: Arc<Object<T>>, task: &JoinHandle<()>) -> Self {
        let handle = Handle::Task(task.abort_handle());
        Self { object, handle }
    }
}

impl<T: Payload> Drop for Subscription<T> {
    fn drop(&mut self) {
        match &self.handle {
            Handle::Handler(id) if self.object.handlers.remove(*id) => {
                self.object.hub.stop_dispatch(self.object.id);
            }
            Handle::Handler(_) => {}
            Handle::Task(task) => task.abort(),
        }
    }
}

impl<T: Payload> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription")
            .field(self.object.hub.name())
            .finish()
    }
}

/// The handlers of one object.
pub(crate) struct Handlers<T> {
    hub: Arc<Hub>,
    lists: Mutex<Lists<T>>,
    /// Posts decide how often a handler panics.
    panics: Mutex<Throttle>,
    clock: Clock,
}

struct Lists<T> {
    next: HandlerId,
    message: Vec<(HandlerId, Handler<Message<T>>)>,
    error: Vec<(HandlerId, Handler<RecvError>)>,
}

/// Shared, so that a handler can be called while others are added and removed, also by itself.
type Handler<A> = Arc<Mutex<dyn FnMut(A) + Send>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HandlerId(u64);

impl<T: Payload> Handlers<T> {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let lists = Lists {
            next: HandlerId(0),
            message: Vec::new(),
            error: Vec::new(),
        };
        Self {
            hub,
            lists: Mutex::new(lists),
            panics: Mutex::default(),
            clock: Clock::start(),
        }
    }

    pub(super) fn add_message(
        &self,
        handler: impl FnMut(Message<T>) + Send + 'static,
    ) -> HandlerId {
        let mut lists = lock(&self.lists);
        let id = lists.take_id();
        lists.message.push((id, Arc::new(Mutex::new(handler))));
        id
    }

    pub(super) fn add_error(&self, handler: impl FnMut(RecvError) + Send + 'static) -> HandlerId {
        let mut lists = lock(&self.lists);
        let id = lists.take_id();
        lists.error.push((id, Arc::new(Mutex::new(handler))));
        id
    }

    /// Removes a handler. `true` if it was the last.
    fn remove(&self, id: HandlerId) -> bool {
        let mut lists = lock(&self.lists);
        let message: Vec<_> = lists
            .message
            .extract_if(.., |(other, _)| *other == id)
            .collect();
        let error: Vec<_> = lists
            .error
            .extract_if(.., |(other, _)| *other == id)
            .collect();
        let vacant = lists.is_vacant();
        drop(lists);
        // Not under the lock: a handler may own what removes another one.
        drop((message, error));
        vacant
    }

    /// Removes all handlers. Those that hold a handle of their own channel would otherwise live for
    /// ever.
    pub(super) fn clear(&self) {
        let mut lists = lock(&self.lists);
        let removed = (
            std::mem::take(&mut lists.message),
            std::mem::take(&mut lists.error),
        );
        drop(lists);
        drop(removed);
    }

    /// Makes a message of a value, or says that it is none and counts it.
    // Inlined; see `Unpacked::next_for`.
    #[inline(always)]
    pub(super) fn decode(&self, value: Received) -> Result<Message<T>, RecvError> {
        let Received { origin, posted } = value;
        match payload::take(posted) {
            Ok(data) => Ok(Message { data, origin }),
            Err(failed) => Err(self.undecodable(origin, *failed).into()),
        }
    }

    #[cold]
    fn undecodable(&self, origin: Origin, (posted, source): (Posted, DecodeError)) -> Undecodable {
        let value = Received { origin, posted };
        let origin = &value.origin;
        self.hub.common().stats().undecodable();
        tracing::debug!(channel = ?self.hub.name(), name = %origin.member.credential().name,
            seqs = %origin.seqs, error = %source, "a value does not decode");
        Undecodable::new(value, source)
    }

    /// Around what handlers do with a message.
    fn span(&self, origin: &Origin) -> Span {
        spans::handle(self.hub.place(), origin.member.sender(), origin.seqs)
    }

    /// Runs code of the user, who is told of a panic and goes on. `None` if it panicked.
    fn guarded<R>(&self, call: impl FnOnce() -> R) -> Option<R> {
        let done = catch_unwind(AssertUnwindSafe(call)).ok();
        if done.is_none() {
            self.panicked();
        }
        done
    }

    fn panicked(&self) {
        self.hub.common().stats().handler_panicked();
        if let Some(suppressed) = lock(&self.panics).pass(self.clock.now()) {
            tracing::error!(channel = ?self.hub.name(), suppressed, "a message handler panicked");
        }
    }

    fn error(&self, error: &RecvError) {
        let handlers = lock(&self.lists).error.clone();
        for (id, handler) in &handlers {
            if lock(&self.lists).has(*id) {
                self.guarded(|| lock(handler)(error.clone()));
            }
        }
    }
}

impl<T: Payload> Dispatch for Handlers<T> {
    fn value(&self, value: &Received) {
        let span = self.span(&value.origin);
        let _inside = span.enter();
        let handlers = lock(&self.lists).message.clone();
        // Decoding runs code of the user as well: that of `T`.
        let decode = || self.guarded(|| self.decode(value.clone()));
        if handlers.is_empty() {
            // There are only error handlers, who want to know whether it would have been one.
            if let Some(Err(error)) = decode() {
                self.error(&error);
            }
        }
        // Each handler gets a value of its own, as each listener on the web may change what it got.
        for (id, handler) in &handlers {
            // The one before may have removed this one, or closed the channel.
            if !lock(&self.lists).has(*id) {
                continue;
            }
            match decode() {
                Some(Ok(message)) => drop(self.guarded(|| lock(handler)(message))),
                Some(Err(error)) => return self.error(&error),
                None => {}
            }
        }
    }

    fn is_vacant(&self) -> bool {
        lock(&self.lists).is_vacant()
    }

    fn missed(&self, gap: &Gap) {
        self.error(&gap.clone().into());
    }
}

impl<T> Lists<T> {
    fn take_id(&mut self) -> HandlerId {
        self.next = HandlerId(self.next.0 + 1);
        self.next
    }

    fn has(&self, id: HandlerId) -> bool {
        let messages = self.message.iter().map(|(id, _)| id);
        messages
            .chain(self.error.iter().map(|(id, _)| id))
            .any(|other| *other == id)
    }

    fn is_vacant(&self) -> bool {
        self.message.is_empty() && self.error.is_empty()
    }
}

/// Calls a handler with one message after another, and waits each time until it is done.
pub(super) async fn call_in_turn<T: Payload, Fut: Future<Output = ()> + Send>(
    mut messages: Messages<T>,
    handlers: Arc<Handlers<T>>,
    mut handler: impl FnMut(Message<T>) -> Fut + Send,
) {
    while let Some(received) = messages.recv().await {
        match received {
            Ok(message) => {
                let span = handlers.span(&message.origin);
                let call = async { handler(message).await }.instrument(span);
                if AssertUnwindSafe(call).catch_unwind().await.is_err() {
                    handlers.panicked();
                }
            }
            // All else the error handlers are told by the task that calls them.
            Err(RecvError::Gap(gap)) if gap.reason() == GapReason::Unread => {
                handlers.missed(&gap);
            }
            Err(_) => {}
        }
    }
}

/// Starts the task that calls the handlers of a name; it ends when there are none left.
pub(super) fn spawn(hub: &Arc<Hub>) {
    start(hub, RunsOn::Node);
}

/// The places where handlers are called, in this order, since a runtime may be gone, or go.
#[derive(Debug, Clone, Copy)]
enum RunsOn {
    /// On the runtime that the node was spawned on.
    Node,
    /// On that where a handler was registered last.
    Handler,
    /// On a thread of the node's for handlers.
    Thread,
}

/// A task that calls handlers. If it is dropped before there are none left, it goes on elsewhere:
/// what it takes from the ring it hands to all of them before it may be dropped.
struct Dispatcher {
    hub: Arc<Hub>,
    runs_on: RunsOn,
    ended: bool,
}

fn start(hub: &Arc<Hub>, runs_on: RunsOn) {
    let (hub, ended) = (Arc::clone(hub), false);
    let task = run(Dispatcher {
        hub: Arc::clone(&hub),
        runs_on,
        ended,
    });
    // On a runtime that is gone it is dropped at once.
    match (runs_on, hub.registered_on()) {
        (RunsOn::Node, _) => drop(hub.common().runtime().spawn(task)),
        (RunsOn::Handler, Some(runtime)) => drop(runtime.spawn(task)),
        (RunsOn::Handler, None) => drop(task),
        (RunsOn::Thread, _) => {
            if let Err(error) = hub.common().spawn_on_thread(task) {
                tracing::error!(channel = ?hub.name(), %error, "no thread to call handlers on");
            }
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        if self.ended || !self.hub.orphan_dispatch() {
            return;
        }
        match self.runs_on {
            RunsOn::Node => start(&self.hub, RunsOn::Handler),
            RunsOn::Handler => {
                tracing::info!(channel = ?self.hub.name(),
                    "the runtimes of the handlers are gone: they are called on a thread of the node");
                start(&self.hub, RunsOn::Thread);
            }
            // The next handler that is registered tries again.
            RunsOn::Thread => self.hub.end_dispatch(),
        }
    }
}

async fn run(mut dispatcher: Dispatcher) {
    let hub = Arc::clone(&dispatcher.hub);
    while let Some(due) = std::future::poll_fn(|cx| hub.poll_dispatch(cx)).await {
        let Due {
            item,
            is_history,
            objects,
        } = due;
        let due = |object: ObjectId| hub.is_open(object);
        match item {
            Some(Item::Missed(missed)) => {
                objects
                    .iter()
                    .filter(|(object, _)| due(*object))
                    .for_each(|(_, handlers)| handlers.missed(&missed));
            }
            Some(Item::Values(delivery, posters)) => {
                let clock = hub.common().clock();
                let mut values = Unpacked::new(delivery, posters, is_history, clock);
                while let Some(value) = values.next() {
                    let hears = |object| values.is_heard_by(object, &value) && due(object);
                    let hearing = objects.iter().filter(|(object, _)| hears(*object));
                    hearing.for_each(|(_, handlers)| handlers.value(&value));
                }
            }
            None => {}
        }
        // A channel that never runs dry must leave room for others on its thread.
        tokio::task::coop::consume_budget().await;
    }
    dispatcher.ended = true;
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A handler that panicked is called again; the lists are whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
