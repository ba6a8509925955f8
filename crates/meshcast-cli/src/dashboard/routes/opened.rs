//! Channels that pages had opened: by hand, since to follow one opens none.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The channels by their keys, each while a page follows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Opened(Arc<Mutex<BTreeMap<String, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    followers: usize,
    /// The node where it is open for them.
    at: Option<String>,
}

/// A page that follows a channel.
#[derive(Debug)]
pub(super) struct Follower {
    all: Opened,
    key: String,
}

impl Opened {
    pub(super) fn follow(&self, key: &str) -> Follower {
        self.lock().entry(key.to_owned()).or_default().followers += 1;
        Follower {
            all: self.clone(),
            key: key.to_owned(),
        }
    }

    /// Opens it at a node, for all pages that follow it; `false` if none does.
    pub(super) fn open(&self, key: &str, node: String) -> bool {
        let mut all = self.lock();
        let entry = all.get_mut(key);
        entry.map(|entry| entry.at = Some(node)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Where it is open for pages.
    pub(super) fn at(&self) -> Option<String> {
        self.all.lock().get(&self.key)?.at.clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(entry) = all.get_mut(&self.key) {
            entry.followers -= 1;
            if entry.followers == 0 {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_stays_open_while_a_page_follows_it() {
        let opened = Opened::default();
        assert!(!opened.open("moon", "fra-1".into()));
        let first = opened.follow("moon");
        assert_eq!(first.at(), None);
        assert!(opened.open("moon", "fra-1".into()));
        let second = opened.follow("moon");
        drop(first);
        assert_eq!(second.at().as_deref(), Some("fra-1"));
        drop(second);
        assert_eq!(opened.follow("moon").at(), None);
    }
}
