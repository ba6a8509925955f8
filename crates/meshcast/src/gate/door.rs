//! The door: how many may be on their way to the gate, and who makes way for whom.
//!
//! A connection that was accepted goes through three stages, each of which holds a bounded number:
//!
//! 1. *accepted*: it has shown nothing. A member begins to speak at once, with the same bytes each
//!    time. Until they are there nothing is done for it: it costs a socket and some 500 bytes.
//! 2. *securing*: the handshake, some 30 KiB. A stranger that does not know the mesh gets no
//!    further.
//! 3. *admitting*: the messages of the gate, 256 KiB at most.
//!
//! A newcomer always finds a place: whoever has been longest at a stage, of the addresses that hold
//! most of it, makes way. Addresses where members were connected before have a few places of their
//! own.

mod places;

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::{AbortHandle, AbortRegistration};

use self::places::Places;
pub(super) use self::places::{host_of, range_of};

/// The door of a node. Clones are the same door.
#[derive(Debug, Clone, Default)]
pub(crate) struct Door(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    stages: [Places<AbortHandle>; 3],
    /// At which stage a connection is that has begun to speak.
    inside: HashMap<Ends, (Stage, u64)>,
    members: Members,
    last: u64,
    counts: InboundCounts,
}

/// The identity of a connection: where it came to and where it came from.
pub(crate) type Ends = (SocketAddr, SocketAddr);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Accepted,
    Securing,
    Admitting,
}

/// Connections that others opened, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct InboundCounts {
    /// Connections that were accepted.
    pub(crate) all: u64,
    /// Those that said nothing in time, or hung up before.
    pub(crate) silent: u64,
    /// Those that began otherwise than members do.
    pub(crate) foreign: u64,
    /// Those that made way for newcomers.
    pub(crate) displaced: u64,
    /// How many are on their way now.
    pub(crate) pending: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            stages: [ACCEPTED, SECURING, ADMITTING].map(Places::new),
            inside: HashMap::new(),
            members: Members::default(),
            last: 0,
            counts: InboundCounts::default(),
        }
    }
}

impl Door {
    /// Somebody has come, and has shown nothing.
    pub(crate) fn accept(&self, from: SocketAddr) -> (Place, AbortRegistration) {
        let mut state = self.lock();
        state.counts.all += 1;
        let (id, registration) = state.enter(Stage::Accepted, host_of(from.ip()));
        let place = Place {
            door: self.clone(),
            host: host_of(from.ip()),
            stay: Stay::Accepted(id),
        };
        (place, registration)
    }

    /// Somebody who was accepted speaks as members do, and is to prove that it is one. The place
    /// ends when it is dropped.
    pub(crate) fn secure(&self, ends: Ends) -> (Place, AbortRegistration) {
        let mut state = self.lock();
        let host = host_of(ends.1.ip());
        let (id, registration) = state.enter(Stage::Securing, host);
        state.inside.insert(ends, (Stage::Securing, id));
        let place = Place {
            door: self.clone(),
            host,
            stay: Stay::Inside(ends),
        };
        (place, registration)
    }

    /// The handshake is over: it knows the mesh.
    pub(crate) fn secured(&self, ends: &Ends) {
        let mut state = self.lock();
        let host = host_of(ends.1.ip());
        let Some((Stage::Securing, id)) = state.inside.get(ends).copied() else {
            return;
        };
        if let Some(handle) = state.stages[Stage::Securing as usize].remove(host, id) {
            state.put(Stage::Admitting, host, id, handle);
            state.inside.insert(*ends, (Stage::Admitting, id));
        }
    }

    /// A member is at this address.
    pub(crate) fn remember(&self, member: IpAddr) {
        self.lock().members.remember(host_of(member));
    }

    /// The process is out of sockets: whoever is next of those who have shown nothing makes way.
    pub(crate) fn make_way(&self) {
        let mut state = self.lock();
        let State {
            stages, members, ..
        } = &mut *state;
        if let Some(handle) = stages[Stage::Accepted as usize].displace(|host| members.knows(host))
        {
            handle.abort();
            state.counts.displaced += 1;
        }
    }

    pub(crate) fn note_silent(&self) {
        self.lock().counts.silent += 1;
    }

    pub(crate) fn note_foreign(&self) {
        self.lock().counts.foreign += 1;
    }

    pub(crate) fn inbound(&self) -> InboundCounts {
        let state = self.lock();
        let pending = state.stages.iter().map(Places::taken).sum();
        InboundCounts {
            pending,
            ..state.counts
        }
    }

    /// No code panics while it holds the lock, and each change is complete in itself.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, stage: Stage, host: IpAddr) -> (u64, AbortRegistration) {
        self.last += 1;
        let id = self.last;
        let (handle, registration) = AbortHandle::new_pair();
        self.put(stage, host, id, handle);
        (id, registration)
    }

    fn put(&mut self, stage: Stage, host: IpAddr, id: u64, handle: AbortHandle) {
        let Self {
            stages, members, ..
        } = self;
        let displaced = stages[stage as usize].insert(host, id, handle, |host| members.knows(host));
        if let Some(displaced) = displaced {
            displaced.abort();
            self.counts.displaced += 1;
        }
    }
}

/// A connection's place on its way to the gate, given up when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    door: Door,
    host: IpAddr,
    stay: Stay,
}

#[derive(Debug)]
enum Stay {
    Accepted(u64),
    Inside(Ends),
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.door.lock();
        let stay = match &self.stay {
            Stay::Accepted(id) => Some((Stage::Accepted, *id)),
            Stay::Inside(ends) => state.inside.remove(ends),
        };
        if let Some((stage, id)) = stay {
            // It may have made way.
            state.stages[stage as usize].remove(self.host, id);
        }
    }
}

/// Hosts where members were connected, the latest [`MEMBERS`] of them.
#[derive(Debug, Default)]
struct Members {
    seen: HashMap<IpAddr, u64>,
    order: BTreeMap<u64, IpAddr>,
    last: u64,
}

impl Members {
    fn remember(&mut self, host: IpAddr) {
        self.last += 1;
        if let Some(before) = self.seen.insert(host, self.last) {
            self.order.remove(&before);
        }
        self.order.insert(self.last, host);
        if self.order.len() > MEMBERS
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.seen.remove(&oldest);
        }
    }

    fn knows(&self, host: &IpAddr) -> bool {
        self.seen.contains_key(host)
    }
}

/// Cheap, so there may be many: whoever floods the door has to open as many connections in the time
/// that a member's first bytes need to come, to be in its way.
const ACCEPTED: usize = 256;
/// As many nodes as may start at the same moment behind one address; together some 4 MiB.
const SECURING: usize = 128;
/// The same for those who know the mesh. A stranger that knows the mesh could have 16 MiB buffered,
/// so there are fewer.
const ADMITTING: usize = 64;
/// About 100 bytes each.
const MEMBERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(from: &str) -> Ends {
        let here = "127.0.0.1:4001".parse().expect("an address");
        (here, from.parse().expect("an address"))
    }

    #[test]
    fn a_place_is_held_until_it_is_dropped_in_whichever_stage_it_is() {
        let door = Door::default();
        let pending = || door.inbound().pending;
        let (accepted, _) = door.accept(ends("192.0.2.1:1").1);
        assert_eq!(pending(), 1);
        let (inside, _) = door.secure(ends("192.0.2.1:1"));
        drop(accepted);
        assert_eq!(pending(), 1);
        door.secured(&ends("192.0.2.1:1"));
        assert_eq!(pending(), 1);
        drop(inside);
        assert_eq!((pending(), door.lock().inside.len()), (0, 0));
    }

    #[test]
    fn a_newcomer_finds_a_place_however_many_say_nothing() {
        let door = Door::default();
        let from = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let crowd: Vec<_> = (0..1000).map(|port| door.accept(from(port)).0).collect();
        assert_eq!(door.inbound().pending, ACCEPTED);
        let displaced = u64::try_from(1000 - ACCEPTED).expect("few");
        assert_eq!(door.inbound().displaced, displaced);
        let (newcomer, registration) = door.accept(ends("198.51.100.1:1").1);
        let waits = futures::future::Abortable::new(std::future::pending::<()>(), registration);
        for port in 1000..1000 + 10 * u16::try_from(ACCEPTED).expect("few") {
            let _ = door.accept(from(port));
        }
        assert!(!waits.is_aborted(), "the crowd's own makes way");
        drop((crowd, newcomer));
        assert_eq!(door.inbound().pending, 0);
    }

    #[test]
    fn who_knows_the_mesh_does_not_make_way_for_those_who_do_not() {
        let door = Door::default();
        let member = ends("192.0.2.1:1");
        let (_place, registration) = door.secure(member);
        let waits = futures::future::Abortable::new(std::future::pending::<()>(), registration);
        door.secured(&member);
        let crowd: Vec<_> = (2..2000)
            .map(|port| door.secure((member.0, SocketAddr::from(([192, 0, 2, 1], port)))))
            .collect();
        assert!(!waits.is_aborted());
        assert_eq!(door.inbound().pending, SECURING + 1);
        drop(crowd);
    }

    #[test]
    fn members_are_remembered_by_host_and_the_oldest_forgotten() {
        let mut members = Members::default();
        let host = |n: usize| IpAddr::from(u32::try_from(n).expect("few").to_be_bytes());
        for n in 0..=MEMBERS {
            members.remember(host(n));
            members.remember(host(MEMBERS / 2));
        }
        assert!(!members.knows(&host(0)) && members.knows(&host(MEMBERS)));
        assert!(members.knows(&host(MEMBERS / 2)));
        assert_eq!(
            (members.seen.len(), members.order.len()),
            (MEMBERS, MEMBERS)
        );
    }
}
