//! A transport over links.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{
    AsyncRead, AsyncWrite, FutureExt, TryFutureExt,
    future::{BoxFuture, MapOk},
};
use libp2p::{
    Multiaddr,
    core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent},
};
use tokio::{
    sync::watch,
    time::{sleep, sleep_until},
};

use super::{
    pump::{Shaped, shaped},
    table::{ConnectionState, HostLinks, Passage},
};

/// Shapes what is dialled over another transport. An accepted connection is left alone: it is
/// shaped at the other end.
#[derive(Debug)]
pub(crate) struct Shaping<T> {
    inner: T,
    here: HostLinks,
}

impl<T> Shaping<T> {
    pub(crate) const fn new(inner: T, here: HostLinks) -> Self {
        Self { inner, here }
    }
}

impl<T> Transport for Shaping<T>
where
    T: Transport<Error = io::Error> + Unpin,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Dial: Send + 'static,
{
    type Output = MaybeShaped<T::Output>;
    type Error = io::Error;
    type ListenerUpgrade = MapOk<T::ListenerUpgrade, fn(T::Output) -> Self::Output>;
    type Dial = BoxFuture<'static, io::Result<Self::Output>>;

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
        let connecting = self.inner.dial(address.clone(), opts)?;
        let here = self.here.clone();
        let dial = async move {
            let mut guard = here.connection(&address);
            let there_and_back = handshake(guard.state.clone());
            tokio::select! {
                () = there_and_back => {}
                _ = guard.state.wait_for(|state| state.reset) => {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
            }
            let socket = connecting.await?;
            Ok(MaybeShaped::Shaped(shaped(socket, guard)))
        };
        Ok(dial.boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let direct: fn(T::Output) -> Self::Output = MaybeShaped::Direct;
        let event = Pin::new(&mut self.inner).poll(cx);
        event.map(|event| event.map_upgrade(|upgrade| upgrade.map_ok(direct)))
    }
}

/// The request for a connection has to get there, and the answer back.
async fn handshake(mut state: watch::Receiver<ConnectionState>) {
    let ConnectionState { out, back, .. } = *state.borrow();
    sleep(out.shape.delay + back.shape.delay).await;
    loop {
        let ConnectionState { out, back, .. } = *state.borrow_and_update();
        let opens = match (out.passage, back.passage) {
            (Passage::Open, Passage::Open) => return,
            (Passage::Blocked, _) | (_, Passage::Blocked) => None,
            (Passage::OpensAt(a), Passage::OpensAt(b)) => Some(a.max(b)),
            (Passage::OpensAt(at), Passage::Open) | (Passage::Open, Passage::OpensAt(at)) => {
                Some(at)
            }
        };
        let opened = async {
            match opens {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = opened => return,
            changed = state.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
        }
    }
}

/// A connection: of the transport below, or shaped.
#[derive(Debug)]
pub(crate) enum MaybeShaped<S> {
    Direct(S),
    Shaped(Shaped),
}

impl<S: AsyncRead + Unpin> AsyncRead for MaybeShaped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Direct(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Shaped(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MaybeShaped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Direct(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Shaped(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Direct(stream) => Pin::new(stream).poll_flush(cx),
            Self::Shaped(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Direct(stream) => Pin::new(stream).poll_close(cx),
            Self::Shaped(stream) => Pin::new(stream).poll_close(cx),
        }
    }
}
