//! Connections within a process, in place of sockets, for tests: they take no time of their own,
//! and nothing of the system.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Ready, ready},
};
use libp2p::{
    Multiaddr,
    core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent},
};
use tokio::{io::duplex, sync::mpsc};

use super::tcp::{multiaddr, socket_addr};
use crate::netem::Pipe;

/// Where nodes of one process find each other. Clones are the same network.
#[derive(Clone, Default)]
pub(crate) struct MemoryNetwork {
    listening: Arc<Mutex<HashMap<SocketAddr, mpsc::Sender<Arrival>>>>,
}

/// A place in it.
#[derive(Debug, Clone)]
pub(crate) struct MemoryHost {
    pub(crate) network: MemoryNetwork,
    pub(crate) ip: IpAddr,
}

/// The transport of a node that is there.
pub(super) struct Memory {
    here: MemoryHost,
    /// What it dialled from last.
    port: u16,
    listening: Vec<Listening>,
    events: VecDeque<Event>,
}

/// Somebody has dialled.
struct Arrival {
    pipe: Pipe,
    from: SocketAddr,
}

struct Listening {
    id: ListenerId,
    at: SocketAddr,
    arrivals: mpsc::Receiver<Arrival>,
    network: MemoryNetwork,
}

type Event = TransportEvent<Ready<io::Result<Pipe>>, io::Error>;

impl MemoryNetwork {
    fn connect(&self, from: SocketAddr, to: SocketAddr) -> io::Result<Pipe> {
        let (near, far) = duplex(BUFFER);
        let pipe = Pipe(far);
        let arrives = self
            .lock()
            .get(&to)
            .map(|it| it.try_send(Arrival { pipe, from }));
        match arrives {
            Some(Ok(())) => Ok(Pipe(near)),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    fn listen(&self, id: ListenerId, at: SocketAddr) -> io::Result<Listening> {
        let (sender, arrivals) = mpsc::channel(BACKLOG);
        let mut listening = self.lock();
        if listening.contains_key(&at) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        listening.insert(at, sender);
        Ok(Listening {
            id,
            at,
            arrivals,
            network: self.clone(),
        })
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, mpsc::Sender<Arrival>>> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    pub(super) const fn new(here: MemoryHost) -> Self {
        Self {
            here,
            port: FIRST_PORT,
            listening: Vec::new(),
            events: VecDeque::new(),
        }
    }
}

impl Transport for Memory {
    type Output = Pipe;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Pipe>>;
    type Dial = BoxFuture<'static, io::Result<Pipe>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        let Some(at) = socket_addr(&address).filter(|at| at.ip() == self.here.ip) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let listening = self
            .here
            .network
            .listen(id, at)
            .map_err(TransportError::Other)?;
        self.listening.push(listening);
        self.events.push_back(TransportEvent::NewAddress {
            listener_id: id,
            listen_addr: multiaddr(at),
        });
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let removed = self.listening.extract_if(.., |it| it.id == id).count() > 0;
        if removed {
            self.events.push_back(TransportEvent::ListenerClosed {
                listener_id: id,
                reason: Ok(()),
            });
        }
        removed
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        _: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some(to) = socket_addr(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        self.port = self.port.checked_add(1).unwrap_or(FIRST_PORT);
        let from = SocketAddr::new(self.here.ip, self.port);
        let network = self.here.network.clone();
        // Not before it is waited for: links let it wait.
        Ok(async move { network.connect(from, to) }.boxed())
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        for listening in &mut self.listening {
            if let Poll::Ready(Some(Arrival { pipe, from })) = listening.arrivals.poll_recv(cx) {
                return Poll::Ready(TransportEvent::Incoming {
                    listener_id: listening.id,
                    upgrade: ready(Ok(pipe)),
                    local_addr: multiaddr(listening.at),
                    send_back_addr: multiaddr(from),
                });
            }
        }
        Poll::Pending
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.network.lock().remove(&self.at);
    }
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryNetwork({} listen)", self.lock().len())
    }
}

/// The bytes on their way that nobody reads, in each direction: as much as a frame.
const BUFFER: usize = 64 * 1024;
/// How many connections wait to be accepted. Further dials are refused, and repeated.
const BACKLOG: usize = 128;
/// Where systems begin to choose ports from.
const FIRST_PORT: u16 = 32_768;
