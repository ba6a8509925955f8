//! The room that all connections of a member share and that is not charged.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use libp2p::PeerId;

/// The free room of each member, as long as it has a connection. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(in super::super::super) struct FreeRooms(Arc<Mutex<HashMap<PeerId, Weak<Free>>>>);

/// How much of the free room of a member is left.
#[derive(Debug)]
pub(in super::super::super) struct Free {
    left: AtomicUsize,
    peer: PeerId,
    rooms: FreeRooms,
}

impl FreeRooms {
    /// That of this member.
    pub(in super::super::super) fn of(&self, peer: PeerId) -> Arc<Free> {
        let mut rooms = self.lock();
        if let Some(free) = rooms.get(&peer).and_then(Weak::upgrade) {
            return free;
        }
        let free = Arc::new(Free {
            left: AtomicUsize::new(FREE),
            peer,
            rooms: self.clone(),
        });
        rooms.insert(peer, Arc::downgrade(&free));
        free
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Weak<Free>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Free {
    /// Takes so much of it, or what is left.
    pub(super) fn take(&self, most: usize) -> usize {
        let mut taken = 0;
        // It always has something to say, if it is that nothing is left.
        let _ = self.left.fetch_update(Relaxed, Relaxed, |left| {
            taken = left.min(most);
            Some(left - taken)
        });
        taken
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Relaxed);
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        let mut rooms = self.rooms.lock();
        // It may have a new one already.
        if rooms
            .get(&self.peer)
            .is_some_and(|it| it.strong_count() == 0)
        {
            rooms.remove(&self.peer);
        }
    }
}

/// The least window of two streams, gossip and session.
const FREE: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_of_a_member_have_one_room_and_it_goes_with_the_last_of_them() {
        let (rooms, one, other) = (FreeRooms::default(), PeerId::random(), PeerId::random());
        let (first, second) = (rooms.of(one), rooms.of(one));
        assert_eq!(first.take(FREE - 10), FREE - 10);
        assert_eq!((second.take(100), first.take(100)), (10, 0));
        assert_eq!(rooms.of(other).take(100), 100);
        drop(first);
        second.give_back(7);
        assert_eq!(rooms.of(one).take(100), 7);
        drop(second);
        assert!(rooms.lock().is_empty());
        assert_eq!(rooms.of(one).take(usize::MAX), FREE);
    }
}
