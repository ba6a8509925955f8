//! A socket that listens.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream::FuturesUnordered,
};
use if_watch::{IfEvent, tokio::IfWatcher};
use libp2p::core::transport::{ListenerId, TransportEvent};
use rustix::net::sockopt;
use tokio::{
    net::TcpListener,
    time::{Sleep, sleep},
};

use super::{
    Event, Socket,
    greeting::{Greeting, read_greeting},
    multiaddr, new_socket,
};
use crate::{error::is_out_of_descriptors, gate::Door};

#[derive(Debug)]
pub(super) struct Listening {
    id: ListenerId,
    at: SocketAddr,
    listener: TcpListener,
    /// The addresses of the machine, if it listens on all.
    interfaces: Option<IfWatcher>,
    door: Door,
    time_limit: Duration,
    /// Connections that have said nothing so far; as many as the door lets wait.
    greetings: FuturesUnordered<BoxFuture<'static, Greeting>>,
    /// It listens on one address and has not said so yet.
    unsaid: bool,
    /// The system has trouble and is left alone for a moment.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Listening {
    /// Fails if somebody listens there, be it on this address or on all of the machine.
    pub(super) fn new(
        id: ListenerId,
        at: SocketAddr,
        door: Door,
        time_limit: Duration,
    ) -> io::Result<Self> {
        let socket = new_socket(at)?;
        // Remains of earlier connections (TIME_WAIT) do not keep a restarted process from its port.
        socket.set_reuseaddr(true)?;
        if at.is_ipv6() {
            // A node that wants IPv4 as well says so: some systems do not give both.
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        // Connections that are accepted inherit it.
        socket.set_nodelay(true)?;
        socket.bind(at)?;
        let listener = socket.listen(BACKLOG)?;
        let at = listener.local_addr()?;
        let everywhere = at.ip().is_unspecified();
        Ok(Self {
            id,
            at,
            listener,
            interfaces: everywhere.then(IfWatcher::new).transpose()?,
            door,
            time_limit,
            greetings: FuturesUnordered::new(),
            unsaid: !everywhere,
            pause: None,
        })
    }

    pub(super) const fn id(&self) -> ListenerId {
        self.id
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if std::mem::take(&mut self.unsaid) {
            return Poll::Ready(TransportEvent::NewAddress {
                listener_id: self.id,
                listen_addr: multiaddr(self.at),
            });
        }
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if let Poll::Ready(event) = self.poll_interfaces(cx) {
            return Poll::Ready(event);
        }
        // Those who spoke go first: whoever is accepted may take a place from one who has not.
        if let Poll::Ready(event) = self.poll_greetings(cx) {
            return Poll::Ready(event);
        }
        for _ in 0..ACCEPTED_AT_ONCE {
            match self.listener.poll_accept(cx) {
                Poll::Ready(Ok((stream, from))) => {
                    let place = self.door.accept(from);
                    let greeting =
                        read_greeting(stream, from, self.door.clone(), place, self.time_limit);
                    self.greetings.push(greeting.boxed());
                }
                Poll::Ready(Err(error)) if is_of_one_connection(&error) => {}
                Poll::Ready(Err(error)) => {
                    if is_out_of_descriptors(&error) {
                        self.door.make_way();
                    }
                    return Poll::Ready(self.trouble(error));
                }
                Poll::Pending => return self.poll_greetings(cx),
            }
        }
        // There may be more, but others want to do something as well.
        cx.waker().wake_by_ref();
        self.poll_greetings(cx)
    }

    fn poll_greetings(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let listener_id = self.id;
        while let Poll::Ready(Some(greeting)) = self.greetings.poll_next_unpin(cx) {
            match greeting {
                Greeting::Ours(stream, from, greeting) => {
                    // An error means that the connection is gone already.
                    if let Ok(at) = stream.local_addr() {
                        return Poll::Ready(TransportEvent::Incoming {
                            listener_id,
                            upgrade: ready(Ok(Socket::greeted(stream, greeting))),
                            local_addr: multiaddr(at),
                            send_back_addr: multiaddr(from),
                        });
                    }
                }
                Greeting::Foreign(from) => {
                    let error = io::Error::other(Turned { from });
                    return Poll::Ready(TransportEvent::ListenerError { listener_id, error });
                }
                Greeting::Nobody => {}
            }
        }
        Poll::Pending
    }

    fn poll_interfaces(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let Some(interfaces) = &mut self.interfaces else {
            return Poll::Pending;
        };
        while let Poll::Ready(Some(event)) = interfaces.poll_next_unpin(cx) {
            let (ip, up) = match event {
                Ok(IfEvent::Up(net)) => (net.addr(), true),
                Ok(IfEvent::Down(net)) => (net.addr(), false),
                Err(error) => return Poll::Ready(self.trouble(error)),
            };
            if ip.is_ipv4() != self.at.is_ipv4() {
                continue;
            }
            let (listener_id, listen_addr) =
                (self.id, multiaddr(SocketAddr::new(ip, self.at.port())));
            return Poll::Ready(match up {
                true => TransportEvent::NewAddress {
                    listener_id,
                    listen_addr,
                },
                false => TransportEvent::AddressExpired {
                    listener_id,
                    listen_addr,
                },
            });
        }
        Poll::Pending
    }

    fn trouble(&mut self, error: io::Error) -> Event {
        self.pause = Some(Box::pin(sleep(PAUSE)));
        TransportEvent::ListenerError {
            listener_id: self.id,
            error,
        }
    }
}

/// Somebody who was turned away at the door. libp2p knows of connections only from where they are
/// secured, so it travels as an error of the socket that listens.
#[derive(Debug, thiserror::Error)]
#[error("refused at the door")]
pub(crate) struct Turned {
    /// Who that was.
    pub(crate) from: SocketAddr,
}

/// Whether only the connection that was to be accepted is concerned: it is gone again.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// The number of connections that the system keeps until they are accepted, if it allows as many.
const BACKLOG: u32 = 4096;

/// The number of connections accepted before something else has its turn.
const ACCEPTED_AT_ONCE: usize = 32;

/// For how long a system without descriptors or memory is left alone.
const PAUSE: Duration = Duration::from_millis(100);
