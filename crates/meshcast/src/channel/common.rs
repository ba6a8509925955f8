//! The shared parts of all channels of a node: its limits, its clock, its counters, and where their
//! handlers run.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use libp2p::PeerId;
use meshcast_proto::{Asks, Budget, ChannelName, Topics};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    cursor::Place,
    ring::{Count, ObjectGaps},
};
use crate::{clock::Clock, limits::Limits, thread::HandlerThread};

#[derive(Debug)]
pub(crate) struct Common {
    limits: Limits,
    budget: Budget,
    here: Here,
    clock: Clock,
    /// Where the node was spawned.
    runtime: Handle,
    handlers: Mutex<Handlers>,
    stats: Stats,
    /// Questions that may wait for answers.
    asking: Arc<Semaphore>,
}

/// Whose channels they are.
#[derive(Debug)]
pub(crate) struct Here {
    /// By which cursors know channels.
    pub(crate) topics: Topics,
    /// Who posts.
    pub(crate) me: PeerId,
}

/// The thread for handlers whose runtime is gone.
#[derive(Debug, Default)]
struct Handlers {
    thread: Option<HandlerThread>,
    stopped: bool,
}

impl Common {
    /// Everything that waits on channels is charged to this budget.
    pub(crate) fn new(
        limits: Limits,
        budget: Budget,
        here: Here,
        clock: Clock,
        runtime: Handle,
    ) -> Self {
        Self {
            limits,
            budget,
            here,
            clock,
            runtime,
            handlers: Mutex::default(),
            stats: Stats::default(),
            asking: Arc::new(Semaphore::new(Asks::MAX_ASKING)),
        }
    }

    /// What the node may use.
    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What cursors call a channel.
    pub(crate) fn place(&self, name: &ChannelName) -> Place {
        Place::new(&self.here.topics, name)
    }

    /// The sender of local posts.
    pub(super) const fn me(&self) -> &PeerId {
        &self.here.me
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// One of so many questions that may wait for answers; `None` if there are as many.
    pub(super) fn may_ask(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.asking).try_acquire_owned().ok()
    }

    /// Runs a task that calls handlers where it does not end with some runtime.
    ///
    /// # Errors
    /// Those of starting a thread; the task was dropped.
    pub(super) fn spawn_on_thread(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = match handlers.thread.take() {
            Some(thread) => thread,
            None => HandlerThread::start()?,
        };
        thread.spawn(task);
        handlers.thread = Some(thread).filter(|_| !handlers.stopped);
        Ok(())
    }

    /// The node has stopped: the thread of handlers ends when nothing is left to call.
    pub(super) fn stop(&self) {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.thread = None;
        handlers.stopped = true;
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
