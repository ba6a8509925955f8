//! The places of handlers on a channel: how many questions are handled at the same time, and whose.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use meshcast_proto::{Asks, Sender};

/// Who brings a question: the peer, and whether that asks it itself.
pub(super) type Bringer = (Sender, bool);

/// So many places, shared by the peers that bring questions. Each may take further ones while it
/// has fewer than are free, as with the [memory budget](meshcast_proto::Budget). So one alone gets
/// half of them, those that take all they can have the same number each, and one that comes late
/// finds some. Nothing that is handled has to be given up for that.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<Bringer, usize>,
}

/// A place, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    by: Bringer,
}

impl Places {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            taken: Mutex::default(),
        }))
    }

    /// A place for a question that this peer brings; `None` if it has its share.
    pub(super) fn take(&self, by: Bringer) -> Option<Place> {
        let mut taken = self.lock();
        let free = self.0.limit.saturating_sub(taken.all);
        let own = taken.by.get(&by).copied().unwrap_or(0);
        if own >= free {
            return None;
        }
        taken.all += 1;
        taken.by.insert(by, own + 1);
        drop(taken);
        let places = self.clone();
        Some(Place { places, by })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // No code panics while it holds the lock.
        let taken = self.0.taken.lock();
        taken.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(own) = taken.by.get_mut(&self.by) {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(&self.by);
            }
        }
    }
}

/// The number of places on a channel: twice what may come over others at the same time, so that one
/// peer that brings all of that has places for it.
pub(super) const PLACES: usize = 2 * Asks::MAX_RELAYED;

#[cfg(test)]
mod tests {
    use super::*;

    fn by(n: u8) -> Bringer {
        (Sender::new([n; 32]), n.is_multiple_of(2))
    }

    /// Takes as many as it gets.
    fn take_all(places: &Places, by: Bringer) -> Vec<Place> {
        std::iter::from_fn(|| places.take(by)).collect()
    }

    #[test]
    fn handlers_that_do_not_end_leave_places_for_the_questions_of_others() {
        let places = Places::new(PLACES);
        let one = take_all(&places, by(1));
        assert_eq!(one.len(), PLACES / 2, "one alone gets half");
        let other = take_all(&places, by(2));
        assert_eq!(other.len(), PLACES / 4);
        drop(one);
        let more = take_all(&places, by(2));
        assert_eq!(other.len() + more.len(), PLACES / 2);
        drop((other, more));
        assert_eq!(take_all(&places, by(3)).len(), PLACES / 2);
    }

    /// As many as a node has peers, but for one.
    #[test]
    fn however_many_bring_all_they_can_one_that_comes_late_finds_a_place() {
        let places = Places::new(PLACES);
        let mut taken = Vec::new();
        for _ in 0..PLACES {
            taken.extend((0..255).filter_map(|n| places.take(by(n))));
        }
        let late = take_all(&places, by(255));
        assert!(!late.is_empty());
        drop((taken, late));
        let shared = places.lock();
        assert!(shared.all == 0 && shared.by.is_empty());
    }
}
