//! Connections, unchanged, of which is seen what passes.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};

use super::{per_peer::Claim, signs::Signs};

/// A connection that leaves signs of what passes. Its claim on them goes with it.
#[derive(Debug)]
pub(crate) struct Watched<M> {
    muxer: M,
    signs: Claim<Signs>,
}

impl<M> Watched<M> {
    pub(super) const fn new(muxer: M, signs: Claim<Signs>) -> Self {
        Self { muxer, signs }
    }
}

impl<M: StreamMuxer<Substream: Unpin> + Unpin> StreamMuxer for Watched<M> {
    type Substream = Stream<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let Self { muxer, signs } = self.get_mut();
        let polled = Pin::new(muxer).poll_inbound(cx);
        polled.map_ok(|stream| Stream {
            stream,
            signs: Arc::clone(signs.of()),
        })
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let Self { muxer, signs } = self.get_mut();
        let polled = Pin::new(muxer).poll_outbound(cx);
        polled.map_ok(|stream| Stream {
            stream,
            signs: Arc::clone(signs.of()),
        })
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.get_mut().muxer).poll_close(cx)
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.get_mut().muxer).poll(cx)
    }
}

/// A stream of a [`Watched`] connection.
#[derive(Debug)]
pub(crate) struct Stream<S> {
    stream: S,
    signs: Arc<Signs>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(cx, into);
        if let Poll::Ready(Ok(bytes)) = read {
            this.signs.on_read(bytes);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(len)) = written {
            this.signs.on_written(len);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_close(cx)
    }
}
