//! A shared value for each peer as long as it has a connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p::PeerId;

/// Of each peer one thing, that all of its connections share. Clones are the same.
#[derive(Debug)]
pub(super) struct PerPeer<T>(Arc<Mutex<HashMap<PeerId, SharedValue<T>>>>);

#[derive(Debug)]
struct SharedValue<T> {
    of: Arc<T>,
    claims: usize,
}

/// One connection's claim on what there is of its peer, given up when dropped.
#[derive(Debug)]
pub(super) struct Claim<T> {
    all: PerPeer<T>,
    peer: PeerId,
    of: Arc<T>,
}

impl<T> PerPeer<T> {
    /// For a new connection; `make` for the first of a peer.
    pub(super) fn claim(&self, peer: PeerId, make: impl FnOnce() -> T) -> Claim<T> {
        let mut peers = self.lock();
        let entry = peers.entry(peer).or_insert_with(|| SharedValue {
            of: Arc::new(make()),
            claims: 0,
        });
        entry.claims += 1;
        Claim {
            all: self.clone(),
            peer,
            of: Arc::clone(&entry.of),
        }
    }

    /// `None` if the peer has no connection.
    pub(super) fn get(&self, peer: &PeerId) -> Option<Arc<T>> {
        self.lock().get(peer).map(|entry| Arc::clone(&entry.of))
    }

    /// No code panics while it holds the lock, and each change is complete in itself.
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, SharedValue<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Claim<T> {
    pub(super) const fn of(&self) -> &Arc<T> {
        &self.of
    }
}

impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        let mut peers = self.all.lock();
        if let Some(entry) = peers.get_mut(&self.peer) {
            entry.claims -= 1;
            if entry.claims == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

impl<T> Clone for PerPeer<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for PerPeer<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_value_of_a_peer_goes_with_its_last_connection() {
        let (all, peer) = (PerPeer::default(), PeerId::random());
        let first = all.claim(peer, || 1);
        let second = all.claim(peer, || 2);
        assert_eq!((**first.of(), **second.of()), (1, 1));
        drop(first);
        assert_eq!(all.get(&peer).as_deref(), Some(&1));
        drop(second);
        assert_eq!(all.get(&peer), None);
        assert_eq!(**all.claim(peer, || 3).of(), 3);
    }
}
