//! The places of nodes, what is to happen to the links between them, and the connections it happens
//! to.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use libp2p::{Multiaddr, multiaddr::Protocol};
use meshcast_proto::{NodeName, Region};
use tokio::{sync::watch, time::Instant};

use super::{Cut, Links, Place, Shape};

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: NodeName,
    pub(crate) region: Region,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnectionState {
    /// To what the dialling end sends.
    pub(super) out: Direction,
    /// To what it gets.
    pub(super) back: Direction,
    /// It breaks.
    pub(super) reset: bool,
}

/// What happens to a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Direction {
    pub(super) shape: Shape,
    /// Whether what is due may arrive.
    pub(super) passage: Passage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    Open,
    OpensAt(Instant),
    Blocked,
}

#[derive(Debug)]
pub(super) struct Table {
    seed: u64,
    shapes: Vec<(Place, Place, Shape)>,
    cuts: Vec<(Place, Place, Cut)>,
    stalls: Vec<(Place, Place, Instant)>,
    listening: HashMap<Multiaddr, Host>,
    connections: BTreeMap<u64, Connection>,
    made: u64,
    /// Bytes that have set out.
    carried: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Connection {
    dialler: Host,
    address: Multiaddr,
    /// Once known it stays, also if the node is gone.
    listener: Option<Host>,
    state: watch::Sender<ConnectionState>,
}

impl Table {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            shapes: Vec::new(),
            cuts: Vec::new(),
            stalls: Vec::new(),
            listening: HashMap::new(),
            connections: BTreeMap::new(),
            made: 0,
            carried: Arc::default(),
        }
    }

    pub(super) fn shape(&mut self, from: &Place, to: &Place, shape: Shape) {
        replace(&mut self.shapes, from, to, shape);
        self.decide();
    }

    pub(super) fn cut(&mut self, from: &Place, to: &Place, cut: Cut) {
        replace(&mut self.cuts, from, to, cut);
        self.decide();
    }

    pub(super) fn mend(&mut self, from: &Place, to: &Place) {
        self.cuts.retain(|(a, b, _)| (a, b) != (from, to));
        self.decide();
    }

    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.stalls.clear();
        self.decide();
    }

    pub(super) fn stall(&mut self, from: &Place, to: &Place, until: Instant, now: Instant) {
        self.stalls.retain(|(_, _, until)| *until > now);
        replace(&mut self.stalls, from, to, until);
        self.decide();
    }

    pub(super) fn reset(&self, a: &Place, b: &Place) {
        for connection in self.connections.values() {
            let (dialler, listener) = (Some(&connection.dialler), connection.listener.as_ref());
            let between = |from: &Place, to: &Place| {
                from.fits(dialler).is_some() && to.fits(listener).is_some()
            };
            if between(a, b) || between(b, a) {
                connection.state.send_modify(|state| state.reset = true);
            }
        }
    }

    pub(super) fn cuts(&self) -> &[(Place, Place, Cut)] {
        &self.cuts
    }

    pub(super) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Tells every connection what happens to it now.
    fn decide(&mut self) {
        for connection in self.connections.values_mut() {
            if connection.listener.is_none() {
                connection.listener = self.listening.get(&connection.address).cloned();
            }
        }
        for connection in self.connections.values() {
            let mut state = self.state(&connection.dialler, connection.listener.as_ref());
            connection.state.send_if_modified(|current| {
                // What broke stays so.
                state.reset |= current.reset;
                let modified = *current != state;
                *current = state;
                modified
            });
        }
    }

    fn state(&self, dialler: &Host, listener: Option<&Host>) -> ConnectionState {
        let (out, out_reset) = self.direction(Some(dialler), listener);
        let (back, back_reset) = self.direction(listener, Some(dialler));
        ConnectionState {
            out,
            back,
            reset: out_reset || back_reset,
        }
    }

    /// What happens in a direction, and whether that breaks the connection.
    fn direction(&self, from: Option<&Host>, to: Option<&Host>) -> (Direction, bool) {
        let fits = |a: &Place, b: &Place| Some(a.fits(from)? + b.fits(to)?);
        let shapes = self.shapes.iter();
        let fitting = shapes.filter_map(|(a, b, shape)| Some((fits(a, b)?, shape)));
        let shape = fitting
            .max_by_key(|(exact, _)| *exact)
            .map(|(_, shape)| *shape);
        let cuts = self.cuts.iter().filter(|(a, b, _)| fits(a, b).is_some());
        let (mut shut, mut reset) = (false, false);
        for (_, _, cut) in cuts {
            match cut {
                Cut::Silent => shut = true,
                Cut::Reset => reset = true,
            }
        }
        let stalls = self.stalls.iter().filter(|(a, b, _)| fits(a, b).is_some());
        let stalled = stalls.map(|(_, _, until)| *until).max();
        let passage = match (shut, stalled) {
            (true, _) => Passage::Blocked,
            (false, Some(until)) => Passage::OpensAt(until),
            (false, None) => Passage::Open,
        };
        let shape = shape.unwrap_or_default();
        (Direction { shape, passage }, reset)
    }
}

/// In place of what is said of the same places.
fn replace<T>(list: &mut Vec<(Place, Place, T)>, from: &Place, to: &Place, value: T) {
    list.retain(|(a, b, _)| (a, b) != (from, to));
    list.push((from.clone(), to.clone(), value));
}

/// The links as a node sees them.
#[derive(Debug, Clone)]
pub(crate) struct HostLinks {
    links: Links,
    host: Host,
}

impl HostLinks {
    pub(super) fn new(links: &Links, host: Host) -> Self {
        Self {
            links: links.clone(),
            host,
        }
    }

    /// The node listens there, until what is returned is dropped.
    pub(crate) fn listens_on<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a Multiaddr>,
    ) -> Listening {
        let addresses: Vec<_> = addresses.into_iter().map(socket).collect();
        let mut table = self.links.table();
        for address in &addresses {
            table.listening.insert(address.clone(), self.host.clone());
        }
        table.decide();
        Listening {
            here: self.clone(),
            addresses,
        }
    }

    /// The node dials.
    pub(super) fn connection(&self, address: &Multiaddr) -> ConnectionGuard {
        let mut table = self.links.table();
        let address = socket(address);
        let listener = table.listening.get(&address).cloned();
        let (sender, state) = watch::channel(table.state(&self.host, listener.as_ref()));
        table.made += 1;
        let number = table.made;
        let connection = Connection {
            dialler: self.host.clone(),
            address,
            listener,
            state: sender,
        };
        table.connections.insert(number, connection);
        ConnectionGuard {
            state,
            // Two lines a connection.
            seed: table.seed.wrapping_add(2 * number),
            number,
            carried: Arc::clone(&table.carried),
            table: Arc::downgrade(&self.links.table),
        }
    }
}

/// The addresses of a node, for as long as it has them.
#[derive(Debug)]
pub(crate) struct Listening {
    here: HostLinks,
    addresses: Vec<Multiaddr>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut table = self.here.links.table();
        for address in &self.addresses {
            // Somebody else may have it by now.
            if table.listening.get(address) == Some(&self.here.host) {
                table.listening.remove(address);
            }
        }
    }
}

/// The place of a connection in the table, for as long as it is there.
pub(super) struct ConnectionGuard {
    pub(super) state: watch::Receiver<ConnectionState>,
    pub(super) seed: u64,
    number: u64,
    /// To be added to by what sets out.
    pub(super) carried: Arc<AtomicU64>,
    /// If the table is gone, nobody can say any more what is to happen.
    table: Weak<Mutex<Table>>,
}

impl fmt::Debug for ConnectionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionGuard({})", self.number)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            table.connections.remove(&self.number);
        }
    }
}

/// The part of an address that says where a socket is.
fn socket(address: &Multiaddr) -> Multiaddr {
    let parts = address
        .iter()
        .take_while(|part| !matches!(part, Protocol::P2p(_)));
    parts.collect()
}
