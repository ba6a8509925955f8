//! The number of threads that have a name open.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// By name. Bounded by the channels that a node may have open.
static NAMES: Mutex<Option<HashMap<String, Arc<AtomicUsize>>>> = Mutex::new(None);

/// One link of a name, among others.
#[derive(Debug)]
pub(super) struct Links {
    name: String,
    count: Arc<AtomicUsize>,
    closed: AtomicBool,
}

impl Links {
    pub(super) fn open(name: String) -> Self {
        let mut names = names();
        let count = names
            .get_or_insert_default()
            .entry(name.clone())
            .or_default();
        count.fetch_add(1, Ordering::SeqCst);
        Self {
            name,
            count: Arc::clone(count),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(super) fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut names = names();
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some(names) = names.as_mut()
        {
            names.remove(&self.name);
        }
    }
}

fn names() -> MutexGuard<'static, Option<HashMap<String, Arc<AtomicUsize>>>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}
