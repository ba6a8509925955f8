//! The part of a hub that calls handlers: all of one name from one task, in order.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{Hub, HubState};
use crate::channel::{
    ObjectId,
    message::{Gap, Received},
    ring::{Item, Pending},
};

/// The handlers of one object, seen by the task that knows nothing of `T`.
pub(crate) trait Dispatch: Send + Sync {
    /// Calls the handlers with a value.
    fn value(&self, value: &Received);
    /// Calls the error handlers with what is missing.
    fn missed(&self, gap: &Gap);
    /// Whether there is no handler left. Called under the lock of the hub.
    fn is_vacant(&self) -> bool;
}

/// Something handlers are due to get.
pub(crate) struct Due {
    pub(crate) item: Option<Item>,
    /// It is of the past that they began with.
    pub(crate) is_history: bool,
    pub(crate) objects: Vec<(ObjectId, Arc<dyn Dispatch>)>,
}

impl Hub {
    /// Lets `handlers` be called for an object. `true` if the caller has to start the task that
    /// does.
    pub(crate) fn start_dispatch(&self, object: ObjectId, handlers: Arc<dyn Dispatch>) -> bool {
        let mut state = self.lock();
        // Further handlers of an object join the first: they share its reader.
        if state.dispatch.contains_key(&object) {
            return false;
        }
        let Some(reader) = state.claim_reader(object) else {
            return false;
        };
        state.dispatch.insert(object, (reader, handlers));
        if let Ok(here) = tokio::runtime::Handle::try_current() {
            state.registered_on = Some(here);
        }
        let idle = !std::mem::replace(&mut state.dispatching, true);
        // A running task waits for the readers it knew.
        let dispatcher = state.dispatcher.take();
        drop(state);
        dispatcher.into_iter().for_each(Waker::wake);
        idle
    }

    /// The runtime that handlers were registered on last, if any.
    pub(crate) fn registered_on(&self) -> Option<tokio::runtime::Handle> {
        self.lock().registered_on.clone()
    }

    /// The task that calls handlers is gone. Whether another has to go on.
    pub(crate) fn orphan_dispatch(&self) -> bool {
        let mut state = self.lock();
        state.dispatcher = None;
        if state.dispatch.is_empty() {
            state.dispatching = false;
        }
        state.dispatching
    }

    /// There is no task that calls handlers.
    pub(crate) fn end_dispatch(&self) {
        self.lock().dispatching = false;
    }

    /// Stops calling handlers for an object, unless there is one again.
    pub(crate) fn stop_dispatch(&self, object: ObjectId) {
        let mut state = self.lock();
        if !state
            .dispatch
            .get(&object)
            .is_some_and(|(_, it)| it.is_vacant())
        {
            return;
        }
        if let Some((reader, handlers)) = state.dispatch.remove(&object) {
            state.ring.remove_reader(reader);
            let dispatcher = state.dispatcher.take();
            drop(state);
            drop(handlers);
            dispatcher.into_iter().for_each(Waker::wake);
        }
    }

    /// The next item for handlers and the objects that are due to get it, oldest first; `None` when
    /// there are no handlers left.
    pub(crate) fn poll_dispatch(self: &Arc<Self>, cx: &Context<'_>) -> Poll<Option<Due>> {
        let mut state = self.lock();
        let due = state.poll_dispatch(cx);
        self.ask(state);
        due
    }
}

impl HubState {
    fn poll_dispatch(&mut self, cx: &Context<'_>) -> Poll<Option<Due>> {
        if self.dispatch.is_empty() {
            self.dispatching = false;
            return Poll::Ready(None);
        }
        let Self { ring, dispatch, .. } = self;
        let Some(lowest) = dispatch
            .values()
            .filter_map(|(reader, _)| ring.pending(*reader))
            .min()
        else {
            if self.ended {
                self.dispatching = false;
                return Poll::Ready(None);
            }
            dispatch.values().for_each(|(reader, _)| {
                ring.wait(*reader, cx.waker());
            });
            self.dispatcher = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let mut due = Due {
            item: None,
            is_history: false,
            objects: Vec::new(),
        };
        for (object, (reader, handlers)) in dispatch.iter() {
            if ring.pending(*reader) == Some(lowest) {
                ring.take_caught_up(*reader);
                let is_history = ring.is_backfilling(*reader);
                // What is history for one may be news for another one.
                if due.item.is_some() && due.is_history != is_history {
                    continue;
                }
                due.is_history = is_history;
                due.item = ring.read(*reader);
                due.objects.push((*object, Arc::clone(handlers)));
                // An item from the lag of one object is for that one alone.
                if lowest == Pending::Behind {
                    break;
                }
            }
        }
        Poll::Ready(Some(due))
    }
}
