//! Gives each connection that is being secured its place, and takes it from those who have to make
//! way.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{
    FutureExt,
    future::{Abortable, BoxFuture},
};
use libp2p::{
    Multiaddr,
    core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent},
};

use super::{Secured, tcp::socket_addr};
use crate::gate::{Door, GateError};

/// Every connection that comes out of it was admitted.
pub(super) struct Doorway {
    inner: Secured,
    door: Door,
}

impl Doorway {
    pub(super) const fn new(inner: Secured, door: Door) -> Self {
        Self { inner, door }
    }
}

impl Transport for Doorway {
    type Output = <Secured as Transport>::Output;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<Self::Output>>;
    type Dial = <Secured as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, opts)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let event = std::task::ready!(Pin::new(&mut self.inner).poll(cx));
        let ends = match &event {
            TransportEvent::Incoming {
                local_addr,
                send_back_addr,
                ..
            } => socket_addr(local_addr).zip(socket_addr(send_back_addr)),
            _ => None,
        };
        let place = ends.map(|ends| self.door.secure(ends));
        Poll::Ready(event.map_upgrade(|upgrade| match place {
            // Not of TCP: in tests.
            None => upgrade.boxed(),
            Some((place, registration)) => {
                let upgrade = Abortable::new(upgrade, registration);
                let admitted = async move {
                    let admitted = upgrade.await;
                    drop(place);
                    admitted.unwrap_or_else(|_aborted| Err(io::Error::other(GateError::Displaced)))
                };
                admitted.boxed()
            }
        }))
    }
}
