//! What threads have open, by numbers.
//!
//! JavaScript has a number, and no object that wraps what it is of: where a thread is ended from
//! outside, Deno takes such objects for others.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
};

use napi::{Env, Result};

/// It can be closed, also more than once.
pub(crate) trait Close {
    /// In its thread: nothing may be called or let go of in a thread that has ended.
    fn close(&self);
}

/// All of a kind that are open.
pub(crate) struct Opened<T>(Mutex<Option<Table<T>>>);

struct Table<T> {
    items: HashMap<u32, Item<T>>,
    next: u32,
}

struct Item<T> {
    item: Arc<T>,
    /// Its owner: it is closed when that ends.
    thread: ThreadId,
}

impl<T: Close + Send + Sync> Opened<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Notes what is open until it is closed or this thread ends, whoever ends it.
    pub(crate) fn add(&'static self, env: Env, item: Arc<T>) -> Result<u32> {
        let thread = thread::current().id();
        let number = {
            let mut table = locked(&self.0);
            let table = table.get_or_insert_with(Table::default);
            // Numbers come round only after four thousand million.
            while table.items.contains_key(&table.next) {
                table.next = table.next.wrapping_add(1);
            }
            let number = table.next;
            table.next = number.wrapping_add(1);
            table.items.insert(number, Item { item, thread });
            number
        };
        close_with_thread(env, self, thread)?;
        Ok(number)
    }

    /// `None` if it was closed.
    pub(crate) fn get(&self, number: u32) -> Option<Arc<T>> {
        let table = locked(&self.0);
        let item = table.as_ref()?.items.get(&number)?;
        Some(Arc::clone(&item.item))
    }

    pub(crate) fn close(&self, number: u32) {
        let item = locked(&self.0)
            .as_mut()
            .and_then(|table| table.items.remove(&number));
        if let Some(item) = item {
            item.item.close();
        }
    }
}

/// Everything of a kind that a thread has open is closed when it ends.
trait CloseAll: Sync {
    fn close_all(&self, thread: ThreadId);
}

impl<T: Close + Send + Sync> CloseAll for Opened<T> {
    fn close_all(&self, thread: ThreadId) {
        let items: Vec<_> = match locked(&self.0).as_mut() {
            None => return,
            Some(table) => {
                let of_thread = table.items.extract_if(|_, item| item.thread == thread);
                of_thread.map(|(_, item)| item.item).collect()
            }
        };
        items.iter().for_each(|item| item.close());
    }
}

fn close_with_thread(env: Env, kind: &'static dyn CloseAll, thread: ThreadId) -> Result<()> {
    thread_local! {
        static HOOKED: Cell<Vec<*const ()>> = const { Cell::new(Vec::new()) };
    }
    let mut hooked = HOOKED.take();
    let this = std::ptr::from_ref(kind).cast::<()>();
    let is_new = !hooked.contains(&this);
    if is_new {
        hooked.push(this);
    }
    HOOKED.set(hooked);
    if is_new {
        env.add_env_cleanup_hook(kind, move |kind| kind.close_all(thread))?;
    }
    Ok(())
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            items: HashMap::new(),
            next: 0,
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
