//! Who is inside.

use std::{
    collections::{HashMap, hash_map},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use libp2p::{
    PeerId,
    core::muxing::{StreamMuxer, StreamMuxerEvent},
};
use meshcast_proto::{Member, Reason};

/// The members behind the connections that passed the gate. Clones are the same table.
///
/// An entry lives exactly as long as a connection of its peer: each connection [holds](Held) its entry and
/// gives it up when it is dropped, be it because it closed, because the Swarm denied it, or because the
/// gate's last message did not arrive. So there is nothing to forget and nothing to evict. Only members get
/// in, and when there is no room for another one it is refused.
#[derive(Clone)]
pub(crate) struct Admitted {
    entries: Arc<Mutex<HashMap<PeerId, Entry>>>,
    room: usize,
}

struct Entry {
    member: Arc<Member>,
    connections: usize,
}

impl Admitted {
    /// Nobody is in yet. `room` is for how many peers at the same time there is room, at about 400 bytes each.
    pub(super) fn new(room: usize) -> Self {
        let entries = Arc::default();
        Self { entries, room }
    }

    /// The member behind a peer that has a connection.
    ///
    /// `None` for a connection that the Swarm just reported means that it broke in the meantime, and that
    /// its end will be reported next.
    pub(crate) fn get(&self, peer: &PeerId) -> Option<Arc<Member>> {
        self.lock().get(peer).map(|entry| Arc::clone(&entry.member))
    }

    /// How many peers are inside.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Lets in one connection of a peer. A later credential replaces an earlier one.
    pub(super) fn admit(&self, peer: PeerId, member: Member) -> Result<Ticket, Reason> {
        let mut table = self.lock();
        let full = table.len() >= self.room;
        let member = Arc::new(member);
        match table.entry(peer) {
            hash_map::Entry::Occupied(mut known) => {
                let entry = known.get_mut();
                entry.member = member;
                entry.connections += 1;
            }
            hash_map::Entry::Vacant(_) if full => return Err(Reason::Full),
            hash_map::Entry::Vacant(place) => {
                place.insert(Entry {
                    member,
                    connections: 1,
                });
            }
        }
        Ok(Ticket {
            admitted: self.clone(),
            peer,
        })
    }

    /// No code panics while it holds the lock, and each change is complete in itself.
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admitted({} peers)", self.len())
    }
}

/// One connection's claim on an entry, given up when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    admitted: Admitted,
    peer: PeerId,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let hash_map::Entry::Occupied(mut entry) = self.admitted.lock().entry(self.peer) {
            entry.get_mut().connections -= 1;
            if entry.get().connections == 0 {
                entry.remove();
            }
        }
    }
}

/// A connection that passed the gate: the muxer unchanged, and its entry in [`Admitted`].
pub(crate) struct Held<M> {
    muxer: M,
    ticket: Ticket,
}

impl<M> Held<M> {
    pub(super) const fn new(muxer: M, ticket: Ticket) -> Self {
        Self { muxer, ticket }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Held<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.get_mut().muxer).poll_inbound(cx)
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.get_mut().muxer).poll_outbound(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.get_mut().muxer).poll_close(cx)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.get_mut().muxer).poll(cx)
    }
}

impl<M> fmt::Debug for Held<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.ticket).finish_non_exhaustive()
    }
}
