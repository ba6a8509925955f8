//! Where channel objects and the driver meet: what is open, and what has something to send.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use futures::task::AtomicWaker;
use meshcast_proto::ChannelName;
use tokio::runtime::Handle;

use crate::{channel::Hub, error::OpenError, limits::Limits, thread::HandlerThread};

/// The desired state that the driver follows, and a bell to wake it.
///
/// There are no commands that could overflow, get lost or overtake each other. Locks are taken in the order
/// registry, then hub.
#[derive(Debug)]
pub(crate) struct Registry {
    limits: Limits,
    /// Where the node was spawned.
    runtime: Handle,
    /// Where handlers are called whose runtime is gone.
    handlers: Mutex<Option<HandlerThread>>,
    bell: AtomicWaker,
    stats: Stats,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    hubs: HashMap<ChannelName, Arc<Hub>>,
    /// Every name ever opened: their numbers must go on, so they are never forgotten and hence bounded.
    used: HashSet<ChannelName>,
    /// Hubs whose outbox is not empty, each once.
    ready: VecDeque<Arc<Hub>>,
    /// Hubs that ask something of the driver, each once.
    asking: VecDeque<Arc<Hub>>,
    /// Hubs that got their first object or lost their last.
    changed: Vec<Arc<Hub>>,
    stopped: bool,
}

impl Registry {
    pub(crate) fn new(limits: Limits, runtime: Handle) -> Self {
        let (handlers, bell, stats, inner) = Default::default();
        Self {
            limits,
            runtime,
            handlers,
            bell,
            stats,
            inner,
        }
    }

    /// The hub of a name, with one more object opened by `object`.
    ///
    /// # Errors
    /// [`OpenError`] but for `Name`.
    pub(crate) fn open<O>(
        self: &Arc<Self>,
        name: ChannelName,
        object: impl FnOnce(Arc<Hub>) -> O,
    ) -> Result<O, OpenError> {
        let mut inner = self.lock();
        if inner.stopped {
            return Err(OpenError::Closed);
        }
        if let Some(hub) = inner.hubs.get(&name).cloned() {
            // Under the lock, so that the driver does not give the hub up in between.
            let first = hub.objects() == 0;
            let object = object(Arc::clone(&hub));
            let asks = hub.has_to_ask();
            if asks {
                inner.asking.push_back(Arc::clone(&hub));
            }
            if first {
                inner.changed.push(hub);
            }
            drop(inner);
            if first || asks {
                self.bell.wake();
            }
            return Ok(object);
        }
        if inner.hubs.len() >= self.limits.max_channels {
            return Err(OpenError::TooManyChannels {
                limit: self.limits.max_channels,
            });
        }
        if inner.used.len() >= MAX_NAMES && !inner.used.contains(&name) {
            return Err(OpenError::TooManyNames { limit: MAX_NAMES });
        }
        let hub = Arc::new(Hub::new(name.clone(), &self.limits, Arc::clone(self)));
        let object = object(Arc::clone(&hub));
        if hub.has_to_ask() {
            inner.asking.push_back(Arc::clone(&hub));
        }
        inner.used.insert(name.clone());
        inner.hubs.insert(name, Arc::clone(&hub));
        inner.changed.push(hub);
        drop(inner);
        self.bell.wake();
        Ok(object)
    }

    /// A hub got something to send.
    pub(crate) fn ready(&self, hub: &Arc<Hub>) {
        let mut inner = self.lock();
        // Once the node stops, the driver goes through all hubs.
        if !inner.stopped {
            inner.ready.push_back(Arc::clone(hub));
        }
        drop(inner);
        self.bell.wake();
    }

    /// A hub lost its last object.
    pub(crate) fn changed(&self, hub: &Arc<Hub>) {
        let mut inner = self.lock();
        if !inner.stopped {
            inner.changed.push(Arc::clone(hub));
        }
        drop(inner);
        self.bell.wake();
    }

    /// A hub asks something of the driver.
    pub(crate) fn ask(&self, hub: &Arc<Hub>) {
        let mut inner = self.lock();
        if !inner.stopped {
            inner.asking.push_back(Arc::clone(hub));
        }
        drop(inner);
        self.bell.wake();
    }

    /// Whom to wake when there may be something to take. To be called before it is looked for, by one task alone.
    pub(crate) fn listen(&self, waker: &Waker) {
        self.bell.register(waker);
    }

    /// The next hub with something to send. Put it [back](Self::ready) if there is more.
    pub(crate) fn take_ready(&self) -> Option<Arc<Hub>> {
        self.lock().ready.pop_front()
    }

    /// The next hub that asks something.
    pub(crate) fn take_asking(&self) -> Option<Arc<Hub>> {
        self.lock().asking.pop_front()
    }

    /// The hubs whose first object was opened or last one closed, in that order, so many at most.
    pub(crate) fn take_changed(&self, limit: usize) -> Vec<Arc<Hub>> {
        let changed = &mut self.lock().changed;
        changed.drain(..limit.min(changed.len())).collect()
    }

    /// Whether some are left.
    pub(crate) fn has_changed(&self) -> bool {
        !self.lock().changed.is_empty()
    }

    /// Forgets a hub if it still has no object, and nothing to send. `true` if there is none of that name afterwards.
    pub(crate) fn remove_vacant(&self, name: &ChannelName) -> bool {
        let mut inner = self.lock();
        let vacant = inner.hubs.get(name).is_none_or(|hub| hub.is_vacant());
        if vacant {
            inner.hubs.remove(name);
        }
        vacant
    }

    /// The hubs that have something to send, and how many records were posted on each so far.
    pub(crate) fn queued(&self) -> Vec<(Arc<Hub>, u64)> {
        let inner = self.lock();
        let queued = |hub: &Arc<Hub>| Some((Arc::clone(hub), hub.queued()?));
        inner.hubs.values().filter_map(queued).collect()
    }

    /// Whether something is left to open, to send or to answer.
    pub(crate) fn has_more(&self) -> bool {
        let inner = self.lock();
        !inner.ready.is_empty() || !inner.asking.is_empty() || !inner.changed.is_empty()
    }

    /// Nothing is opened or posted any more. Returns the hubs, whose outboxes do not fill again.
    pub(crate) fn refuse(&self) -> Vec<Arc<Hub>> {
        let mut inner = self.lock();
        inner.stopped = true;
        let hubs: Vec<_> = inner.hubs.values().cloned().collect();
        drop(inner);
        hubs.iter().for_each(|hub| hub.refuse());
        hubs
    }

    /// The node has stopped: nothing is opened or posted any more, streams end.
    pub(crate) fn stop(&self) {
        let mut inner = self.lock();
        inner.stopped = true;
        let hubs = std::mem::take(&mut inner.hubs);
        let rest = (
            std::mem::take(&mut inner.ready),
            std::mem::take(&mut inner.asking),
            std::mem::take(&mut inner.changed),
        );
        drop(inner);
        drop(rest);
        hubs.values().for_each(|hub| hub.end());
        // Its thread ends when nothing is left to call.
        *self.handlers.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) const fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs a task that calls handlers where it does not end with some runtime.
    ///
    /// # Errors
    /// Those of starting a thread; the task was dropped.
    pub(crate) fn spawn_on_thread(&self, task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let stopped = self.lock().stopped;
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = match handlers.take() {
            Some(thread) => thread,
            None => HandlerThread::start()?,
        };
        thread.spawn(task);
        *handlers = Some(thread).filter(|_| !stopped);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is counted outside the driver.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    undecodable: AtomicU64,
    handler_panics: AtomicU64,
    /// Numbers not read in time.
    unread: AtomicU64,
}

impl Stats {
    pub(crate) fn undecodable(&self) {
        self.undecodable.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn handler_panicked(&self) {
        self.handler_panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unread(&self, numbers: u64) {
        self.unread.fetch_add(numbers, Ordering::Relaxed);
    }

    /// Undecodable values, panicked handlers, unread numbers.
    pub(crate) fn read(&self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (
            read(&self.undecodable),
            read(&self.handler_panics),
            read(&self.unread),
        )
    }
}

/// Names a node may use in its life, at about 100 bytes each.
pub(crate) const MAX_NAMES: usize = 262_144;
