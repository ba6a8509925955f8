//! Work of hubs for the driver, each once in a queue, and a bell that wakes it.
//!
//! There are no commands that could overflow, get lost or overtake each other: what is to be done
//! is read off the hubs.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use futures::task::AtomicWaker;

/// Between hubs of this type and the driver. Its lock is the last to be taken.
#[derive(Debug)]
pub(crate) struct Bell<H> {
    waker: AtomicWaker,
    queues: Mutex<Queues<H>>,
}

#[derive(Debug)]
struct Queues<H> {
    /// Their outbox is not empty.
    ready: VecDeque<Arc<H>>,
    /// They ask something of the driver.
    requesting: VecDeque<Arc<H>>,
    /// They got their first object or lost their last, or made way for others.
    changed: VecDeque<Arc<H>>,
    /// They lost their last object, and the registry does not know yet.
    vacated: Vec<Arc<H>>,
    /// Nothing more is queued: the node stops, and the driver goes through all hubs.
    closed: bool,
}

impl<H> Bell<H> {
    /// A hub got something to send.
    pub(crate) fn ready(&self, hub: &Arc<H>) {
        self.queue(|queues| queues.ready.push_back(Arc::clone(hub)));
        self.wake();
    }

    /// A hub asks something of the driver.
    pub(super) fn ask(&self, hub: &Arc<H>) {
        self.queue(|queues| queues.requesting.push_back(Arc::clone(hub)));
        self.wake();
    }

    /// The driver is to look at a hub. [Wake](Self::wake) it then.
    pub(super) fn change(&self, hub: &Arc<H>) {
        self.queue(|queues| queues.changed.push_back(Arc::clone(hub)));
    }

    /// A hub lost its last object, of which the registry is to hear.
    pub(super) fn vacate(&self, hub: &Arc<H>) {
        self.queue(|queues| queues.vacated.push(Arc::clone(hub)));
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Whom to wake when there may be something to take. To be called before it is looked for, by
    /// one task alone.
    pub(crate) fn listen(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The next hub with something to send. Put it [back](Self::ready) if there is more.
    pub(crate) fn take_ready(&self) -> Option<Arc<H>> {
        self.lock().ready.pop_front()
    }

    /// The next hub that asks something.
    pub(crate) fn take_requesting(&self) -> Option<Arc<H>> {
        self.lock().requesting.pop_front()
    }

    /// The hubs to look at, in the order in which they changed, so many at most.
    pub(super) fn take_changed(&self, limit: usize) -> Vec<Arc<H>> {
        let changed = &mut self.lock().changed;
        changed.drain(..limit.min(changed.len())).collect()
    }

    /// Those that lost their last object since this was called last, in that order.
    pub(super) fn take_vacated(&self) -> Vec<Arc<H>> {
        std::mem::take(&mut self.lock().vacated)
    }

    /// Lets go of those the driver need not look at, if more wait than so many.
    pub(super) fn shorten_changed(&self, most: usize, is_needed: impl Fn(&Arc<H>) -> bool) {
        let changed = &mut self.lock().changed;
        if changed.len() > most {
            changed.retain(is_needed);
        }
    }

    /// Whether there are some to look at.
    pub(crate) fn has_changed(&self) -> bool {
        !self.lock().changed.is_empty()
    }

    /// Whether something is left to open, to send or to answer.
    pub(crate) fn has_more(&self) -> bool {
        let queues = self.lock();
        !queues.ready.is_empty() || !queues.requesting.is_empty() || !queues.changed.is_empty()
    }

    /// Queues nothing more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// The same, and lets go of what is queued.
    pub(super) fn clear(&self) {
        let closed = Queues {
            closed: true,
            ..Queues::default()
        };
        let queues = std::mem::replace(&mut *self.lock(), closed);
        // Not under the lock: it may be all that holds a hub.
        drop(queues);
    }

    fn queue(&self, push: impl FnOnce(&mut Queues<H>)) {
        let mut queues = self.lock();
        if !queues.closed {
            push(&mut queues);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues<H>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H> Default for Bell<H> {
    fn default() -> Self {
        Self {
            waker: AtomicWaker::new(),
            queues: Mutex::default(),
        }
    }
}

impl<H> Default for Queues<H> {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            requesting: VecDeque::new(),
            changed: VecDeque::new(),
            vacated: Vec::new(),
            closed: false,
        }
    }
}
