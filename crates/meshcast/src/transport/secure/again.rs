//! Dials that can be repeated.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::{
    FutureExt, TryFutureExt,
    future::{BoxFuture, MapOk},
};
use libp2p::{
    Multiaddr,
    core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent},
};

/// A transport that can dial again where it has dialled.
///
/// Its dials must do nothing before they are polled.
pub(in super::super) struct Repeating<T> {
    inner: T,
    repeats: bool,
}

/// A dialled or accepted stream, and for a dialled one, a way to dial again.
pub(in super::super) struct Line<T: Transport> {
    pub(in super::super) io: T::Output,
    pub(in super::super) again: Option<T::Dial>,
}

impl<T> Repeating<T> {
    pub(in super::super) const fn new(inner: T, repeats: bool) -> Self {
        Self { inner, repeats }
    }
}

impl<T> Transport for Repeating<T>
where
    T: Transport + Unpin + 'static,
    T::Output: Send,
    T::Dial: Send + 'static,
{
    type Output = Line<T>;
    type Error = T::Error;
    type ListenerUpgrade = MapOk<T::ListenerUpgrade, fn(T::Output) -> Line<T>>;
    type Dial = BoxFuture<'static, Result<Line<T>, T::Error>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<T::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<T::Error>> {
        let again = match self.repeats {
            true => Some(self.inner.dial(address.clone(), opts)?),
            false => None,
        };
        let dial = self.inner.dial(address, opts)?;
        Ok(dial.map_ok(|io| Line { io, again }).boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, T::Error>> {
        let accepted: fn(T::Output) -> Line<T> = |io| Line { io, again: None };
        let event = Pin::new(&mut self.inner).poll(cx);
        event.map(|event| event.map_upgrade(|upgrade| upgrade.map_ok(accepted)))
    }
}
