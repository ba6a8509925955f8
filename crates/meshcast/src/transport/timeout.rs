//! Ends what takes too long. By the clock of tokio, unlike what libp2p has for it, so that a test
//! can move it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr,
    core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent},
};
use tokio::time::timeout;

/// A transport that gives up.
pub(super) struct WithTimeout<T> {
    inner: T,
    /// For connections to others.
    dial: Duration,
    /// For those of others, if it is not without end.
    upgrade: Option<Duration>,
    late: fn() -> io::Error,
}

impl<T> WithTimeout<T> {
    /// For all connections so much time. What takes longer ends with the error `late`.
    pub(super) const fn new(inner: T, most: Duration, late: fn() -> io::Error) -> Self {
        Self {
            inner,
            dial: most,
            upgrade: Some(most),
            late,
        }
    }

    /// The same, for connections to others alone.
    pub(super) const fn with_dials(inner: T, most: Duration, late: fn() -> io::Error) -> Self {
        Self {
            inner,
            dial: most,
            upgrade: None,
            late,
        }
    }
}

impl<T> Transport for WithTimeout<T>
where
    T: Transport<Error = io::Error> + Unpin,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<T::Output>>;
    type Dial = BoxFuture<'static, io::Result<T::Output>>;

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
        let dial = self.inner.dial(address, opts)?;
        Ok(within(dial, Some(self.dial), self.late))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let (most, late) = (self.upgrade, self.late);
        let event = Pin::new(&mut self.inner).poll(cx);
        event.map(|event| event.map_upgrade(|upgrade| within(upgrade, most, late)))
    }
}

/// What comes of it, or the error `late`.
fn within<T>(
    it: impl Future<Output = io::Result<T>> + Send + 'static,
    most: Option<Duration>,
    late: fn() -> io::Error,
) -> BoxFuture<'static, io::Result<T>> {
    match most {
        None => it.boxed(),
        Some(most) => {
            let timed = async move { timeout(most, it).await.unwrap_or_else(|_| Err(late())) };
            timed.boxed()
        }
    }
}
