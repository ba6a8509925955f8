//! Where channel objects and the driver meet: what is open, and what has something to send.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use futures::task::AtomicWaker;
use libp2p::PeerId;
use meshcast_proto::{Asks, Budget, ChannelName, Topics};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    cursor::Place,
    hub::Hub,
    ring::{Count, ObjectGaps},
};
use crate::{clock::Clock, error::OpenError, limits::Limits, thread::HandlerThread};

/// The desired state that the driver follows, and a bell to wake it.
///
/// There are no commands that could overflow, get lost or overtake each other. Locks are taken in
/// the order registry, then hub.
#[derive(Debug)]
pub(crate) struct Registry {
    limits: Limits,
    budget: Budget,
    here: Here,
    clock: Clock,
    /// Where the node was spawned.
    runtime: Handle,
    /// Where handlers are called whose runtime is gone.
    handlers: Mutex<Option<HandlerThread>>,
    bell: AtomicWaker,
    stats: Stats,
    /// Questions that may wait for answers.
    asking: Arc<Semaphore>,
    inner: Mutex<Inner>,
}

/// Whose registry it is.
#[derive(Debug)]
pub(crate) struct Here {
    /// By which cursors know channels.
    pub(crate) topics: Topics,
    /// Who posts.
    pub(crate) me: PeerId,
}

#[derive(Debug, Default)]
struct Inner {
    hubs: HashMap<ChannelName, Entry>,
    /// Hubs without an object, by when the last was closed: gossip stays subscribed for a while.
    /// They make way for others.
    lingering: BTreeMap<u64, ChannelName>,
    /// How many hubs lost their last object so far.
    closings: u64,
    /// How many names are closed, and yet have to be remembered.
    remembered: usize,
    /// Hubs whose outbox is not empty, each once.
    ready: VecDeque<Arc<Hub>>,
    /// Hubs that ask something of the driver, each once.
    requesting: VecDeque<Arc<Hub>>,
    /// Hubs that got their first object or lost their last, or made way for others, each once.
    changed: VecDeque<Arc<Hub>>,
    stopped: bool,
}

#[derive(Debug)]
struct Entry {
    hub: Arc<Hub>,
    /// Its place among those that linger.
    lingers: Option<u64>,
}

impl Registry {
    /// What waits on channels is charged to this budget.
    pub(crate) fn new(
        limits: Limits,
        budget: Budget,
        here: Here,
        clock: Clock,
        runtime: Handle,
    ) -> Self {
        let (handlers, bell, stats, inner) = Default::default();
        Self {
            limits,
            budget,
            here,
            clock,
            runtime,
            handlers,
            bell,
            stats,
            asking: Arc::new(Semaphore::new(Asks::MAX_ASKING)),
            inner,
        }
    }

    /// One of so many questions that may wait for answers; `None` if there are as many.
    pub(crate) fn may_ask(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.asking).try_acquire_owned().ok()
    }

    /// What the node may use.
    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The clock of the node.
    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What cursors call a channel.
    pub(crate) fn place(&self, name: &ChannelName) -> Place {
        Place::new(&self.here.topics, name)
    }

    /// Who posts what is posted here.
    pub(crate) const fn me(&self) -> &PeerId {
        &self.here.me
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
        if let Some(entry) = inner.hubs.get_mut(&name) {
            let (hub, lingers) = (Arc::clone(&entry.hub), entry.lingers.take());
            lingers.map(|place| inner.lingering.remove(&place));
            // Under the lock, so that the driver does not give the hub up in between.
            let first = hub.objects() == 0;
            let object = object(Arc::clone(&hub));
            let asks = hub.has_to_request();
            if asks {
                inner.requesting.push_back(Arc::clone(&hub));
            }
            if first {
                inner.note(&hub);
            }
            drop(inner);
            if first || asks {
                self.bell.wake();
            }
            return Ok(object);
        }
        if inner.hubs.len() >= self.limits.max_channels && !inner.make_way() {
            return Err(OpenError::TooManyChannels {
                limit: self.limits.max_channels,
            });
        }
        if inner.remembered + inner.hubs.len() >= MAX_NAMES {
            return Err(OpenError::TooManyNames { limit: MAX_NAMES });
        }
        let (place, this) = (self.place(&name), Arc::clone(self));
        let hub = Arc::new(Hub::new(name.clone(), place, &self.limits, this));
        let object = object(Arc::clone(&hub));
        if hub.has_to_request() {
            inner.requesting.push_back(Arc::clone(&hub));
        }
        let entry = Entry {
            hub: Arc::clone(&hub),
            lingers: None,
        };
        inner.hubs.insert(name, entry);
        inner.note(&hub);
        inner.shorten(3 * self.limits.max_channels);
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
            inner.linger(hub);
            inner.note(hub);
        }
        drop(inner);
        self.bell.wake();
    }

    /// Something else is to be said of this node on the channel of a hub, or somebody watches who
    /// is present there.
    pub(crate) fn note(&self, hub: &Arc<Hub>) {
        let mut inner = self.lock();
        if !inner.stopped && !hub.is_gone() {
            inner.note(hub);
        }
        drop(inner);
        self.bell.wake();
    }

    /// A hub asks something of the driver.
    pub(crate) fn ask(&self, hub: &Arc<Hub>) {
        let mut inner = self.lock();
        if !inner.stopped {
            inner.requesting.push_back(Arc::clone(hub));
        }
        drop(inner);
        self.bell.wake();
    }

    /// Whom to wake when there may be something to take. To be called before it is looked for, by
    /// one task alone.
    pub(crate) fn listen(&self, waker: &Waker) {
        self.bell.register(waker);
    }

    /// The next hub with something to send. Put it [back](Self::ready) if there is more.
    pub(crate) fn take_ready(&self) -> Option<Arc<Hub>> {
        self.lock().ready.pop_front()
    }

    /// The next hub that asks something.
    pub(crate) fn take_requesting(&self) -> Option<Arc<Hub>> {
        self.lock().requesting.pop_front()
    }

    /// The hubs that were opened and closed or made way, in that order, so many at most.
    pub(crate) fn take_changed(&self, limit: usize) -> Vec<Arc<Hub>> {
        let changed = &mut self.lock().changed;
        let taken = changed.drain(..limit.min(changed.len()));
        taken.inspect(|hub| _ = hub.set_noted(false)).collect()
    }

    /// Whether some are left.
    pub(crate) fn has_changed(&self) -> bool {
        !self.lock().changed.is_empty()
    }

    /// Forgets a hub if it still has no object, and nothing to send. `true` if there is none of
    /// that name afterwards.
    pub(crate) fn remove_vacant(&self, name: &ChannelName) -> bool {
        let mut inner = self.lock();
        let vacant = inner
            .hubs
            .get(name)
            .is_none_or(|entry| entry.hub.is_vacant());
        if vacant {
            inner.remove(name);
        }
        vacant
    }

    /// How many names are closed, and yet have to be remembered.
    pub(crate) fn remember(&self, names: usize) {
        self.lock().remembered = names;
    }

    /// The hubs that have something to send, and how many records were posted on each so far.
    pub(crate) fn queued(&self) -> Vec<(Arc<Hub>, u64)> {
        let inner = self.lock();
        let queued = |hub: &Arc<Hub>| Some((Arc::clone(hub), hub.queued()?));
        let hubs = inner.hubs.values().map(|entry| &entry.hub);
        hubs.filter_map(queued).collect()
    }

    /// Whether something is left to open, to send or to answer.
    pub(crate) fn has_more(&self) -> bool {
        let inner = self.lock();
        !inner.ready.is_empty() || !inner.requesting.is_empty() || !inner.changed.is_empty()
    }

    /// Nothing is opened or posted any more. Returns the hubs, whose outboxes do not fill again.
    pub(crate) fn refuse(&self) -> Vec<Arc<Hub>> {
        let mut inner = self.lock();
        inner.stopped = true;
        let hubs = inner.hubs.values().map(|entry| Arc::clone(&entry.hub));
        let hubs: Vec<_> = hubs.collect();
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
            std::mem::take(&mut inner.requesting),
            std::mem::take(&mut inner.changed),
        );
        drop(inner);
        drop(rest);
        hubs.values().for_each(|entry| entry.hub.end());
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
    pub(crate) fn spawn_on_thread(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        // Only now: a node that stops later takes the thread away itself.
        let stopped = self.lock().stopped;
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

impl Inner {
    /// The driver is to look at a hub.
    fn note(&mut self, hub: &Arc<Hub>) {
        if !hub.set_noted(true) {
            self.changed.push_back(Arc::clone(hub));
        }
    }

    /// Names may be opened and closed faster than the driver looks: what it has never seen it need
    /// not hear of.
    fn shorten(&mut self, most: usize) {
        if self.changed.len() > most {
            self.changed
                .retain(|hub| !hub.is_gone() || hub.is_followed());
        }
    }

    /// A hub lost its last object, unless it got another since.
    fn linger(&mut self, hub: &Arc<Hub>) {
        let Some(entry) = self.hubs.get_mut(hub.name()) else {
            return;
        };
        if Arc::ptr_eq(&entry.hub, hub) && hub.objects() == 0 && entry.lingers.is_none() {
            self.closings += 1;
            entry.lingers = Some(self.closings);
            self.lingering.insert(self.closings, hub.name().clone());
        }
    }

    /// Lets go of the hub that has been without an object for longest and has sent everything.
    /// `false` if there is none.
    fn make_way(&mut self) -> bool {
        let is_vacant = |name: &&ChannelName| {
            self.hubs
                .get(*name)
                .is_some_and(|entry| entry.hub.is_vacant())
        };
        let Some(name) = self.lingering.values().find(is_vacant).cloned() else {
            return false;
        };
        if let Some(hub) = self.remove(&name) {
            self.note(&hub);
        }
        true
    }

    fn remove(&mut self, name: &ChannelName) -> Option<Arc<Hub>> {
        let Entry { hub, lingers } = self.hubs.remove(name)?;
        lingers.map(|place| self.lingering.remove(&place));
        hub.let_go();
        Some(hub)
    }
}

/// What is counted outside the driver.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    undecodable: AtomicU64,
    handler_panics: AtomicU64,
    /// Gaps and numbers that single objects were told of: not read in time, not fetched, expired.
    told: [[AtomicU64; 2]; 3],
}

impl Stats {
    pub(crate) fn undecodable(&self) {
        self.undecodable.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn handler_panicked(&self) {
        self.handler_panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn told(&self, news: ObjectGaps) {
        let news = [news.unread, news.unfetched, news.expired];
        for ([gaps, numbers], count) in self.told.iter().zip(news) {
            gaps.fetch_add(count.gaps, Ordering::Relaxed);
            numbers.fetch_add(count.numbers, Ordering::Relaxed);
        }
    }

    /// Undecodable values and panicked handlers.
    pub(crate) fn read(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.undecodable), read(&self.handler_panics))
    }

    pub(crate) fn object_gaps(&self) -> ObjectGaps {
        let [unread, unfetched, expired] = &self.told;
        let read = |[gaps, numbers]: &[AtomicU64; 2]| Count {
            gaps: gaps.load(Ordering::Relaxed),
            numbers: numbers.load(Ordering::Relaxed),
        };
        ObjectGaps {
            unread: read(unread),
            unfetched: read(unfetched),
            expired: read(expired),
        }
    }
}

/// Names that a node may post on in its life, at about 50 bytes each once they are closed. Those
/// that were only listened to do not count.
pub(crate) const MAX_NAMES: usize = 1_048_576;
