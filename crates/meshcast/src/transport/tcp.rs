//! TCP: sockets that listen, sockets that dial.
//!
//! The transport of libp2p shares a port with whoever else asks for the same (`SO_REUSEPORT`), so
//! two nodes could listen on one without an error, and each connection went to either. It also
//! dials from the port that it listens on: two nodes that dial each other at the same moment then
//! meet in one connection that neither accepted, and a node whose peer has the same port dials
//! itself. Here a port belongs to one, and each dial has a new one.

mod greeting;
mod listening;
mod socket;

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Ready},
};
use libp2p::{
    Multiaddr,
    core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent},
    multiaddr::Protocol,
};
use tokio::net::TcpSocket;

use self::listening::Listening;
pub(crate) use self::{listening::Turned, socket::Socket};
use crate::gate::Door;

/// The sockets of a node. Needs a runtime of tokio around it.
#[derive(Debug)]
pub(crate) struct Tcp {
    door: Door,
    /// The time that others may take until their first bytes.
    time_limit: Duration,
    listening: Vec<Listening>,
    events: VecDeque<Event>,
}

type Event = TransportEvent<Ready<io::Result<Socket>>, io::Error>;

impl Tcp {
    pub(crate) const fn new(door: Door, time_limit: Duration) -> Self {
        Self {
            door,
            time_limit,
            listening: Vec::new(),
            events: VecDeque::new(),
        }
    }
}

impl Transport for Tcp {
    type Output = Socket;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Socket>>;
    type Dial = BoxFuture<'static, io::Result<Socket>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        let Some(at) = socket_addr(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let listening = Listening::new(id, at, self.door.clone(), self.time_limit)
            .map_err(TransportError::Other)?;
        self.listening.push(listening);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let before = self.listening.len();
        self.listening.retain(|listening| listening.id() != id);
        let removed = self.listening.len() < before;
        if removed {
            self.events.push_back(TransportEvent::ListenerClosed {
                listener_id: id,
                reason: Ok(()),
            });
        }
        removed
    }

    /// Dials from a new port, whatever the options say.
    fn dial(
        &mut self,
        address: Multiaddr,
        _: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        match socket_addr(&address) {
            Some(to) if to.port() != 0 && !to.ip().is_unspecified() => Ok(connect(to).boxed()),
            _ => Err(TransportError::MultiaddrNotSupported(address)),
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        for (place, listening) in self.listening.iter_mut().enumerate() {
            if let Poll::Ready(event) = listening.poll(cx) {
                // Its turn was now: the others come before it next.
                self.listening.rotate_left(place + 1);
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }
}

async fn connect(to: SocketAddr) -> io::Result<Socket> {
    let socket = new_socket(to)?;
    // Small messages must not wait for the acknowledgement of earlier ones.
    socket.set_nodelay(true)?;
    let stream = socket.connect(to).await?;
    if stream.local_addr()? == to {
        // Nobody listens there, and the system chose the very port that is dialled: a socket
        // connected to itself.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(Socket::dialled(stream))
}

fn new_socket(address: SocketAddr) -> io::Result<TcpSocket> {
    match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
}

/// An address and a port, whoever is said to be there.
pub(super) fn socket_addr(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else {
        return None;
    };
    parts
        .all(|part| matches!(part, Protocol::P2p(_)))
        .then_some(SocketAddr::new(ip, port))
}

pub(crate) fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

#[cfg(test)]
mod tests;
