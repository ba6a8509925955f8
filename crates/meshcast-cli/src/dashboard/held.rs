//! What pages themselves hold open, so that it is not taken for what others do: a channel that is
//! open for nobody but a page is not followed any more, and is closed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Objects by node and channel. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<Objects>>);

/// How many, by the id of the process and the name of the channel.
pub(super) type Objects = BTreeMap<(String, String), usize>;

/// An object that is held until this is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    held: Held,
    at: (String, String),
}

impl Held {
    /// One more is held of this channel by a page, at this process.
    pub(super) fn hold(&self, peer_id: &str, channel: &str) -> Hold {
        let at = (peer_id.to_owned(), channel.to_owned());
        *self.lock().entry(at.clone()).or_default() += 1;
        let held = self.clone();
        Hold { held, at }
    }

    /// All that is held now.
    pub(super) fn now(&self) -> Objects {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if let Some(count) = held.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.at);
            }
        }
    }
}

/// What was held all the time between two looks.
pub(super) fn throughout(mut before: Objects, after: &Objects) -> Objects {
    before.retain(|at, count| {
        *count = (*count).min(after.get(at).copied().unwrap_or(0));
        *count > 0
    });
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        let held = Held::default();
        let first = held.hold("a", "earth");
        let before = held.now();
        let second = held.hold("a", "earth");
        let other = held.hold("b", "earth");
        let count = |objects: &Objects, at: &str| {
            let at = (at.to_owned(), "earth".to_owned());
            objects.get(&at).copied()
        };
        assert_eq!(
            (count(&held.now(), "a"), count(&held.now(), "b")),
            (Some(2), Some(1))
        );
        // A node that was asked between may have told of none of the later ones.
        let all_the_time = throughout(before, &held.now());
        assert_eq!(
            (count(&all_the_time, "a"), count(&all_the_time, "b")),
            (Some(1), None)
        );
        drop((first, second, other));
        assert_eq!(held.now(), Objects::new());
    }
}
