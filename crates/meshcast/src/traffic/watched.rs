//! Connections, unchanged, of which is seen what passes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};

/// An observer of what passes on the streams of a connection. It is kept as long as the connection.
pub(crate) trait Watch {
    type Stream: WatchStream;

    /// For a stream that the other side opened.
    fn inbound(&self) -> Self::Stream;

    /// For one that was opened here.
    fn outbound(&self) -> Self::Stream;
}

/// An observer of what passes on a stream.
pub(crate) trait WatchStream {
    fn on_read(&mut self, _bytes: usize) {}

    fn on_write(&mut self, bytes: &[u8]);
}

#[derive(Debug)]
pub(crate) struct Watched<M, W> {
    muxer: M,
    watch: W,
}

impl<M, W> Watched<M, W> {
    pub(crate) const fn new(muxer: M, watch: W) -> Self {
        Self { muxer, watch }
    }
}

impl<M, W> StreamMuxer for Watched<M, W>
where
    M: StreamMuxer<Substream: Unpin> + Unpin,
    W: Watch<Stream: Unpin> + Unpin,
{
    type Substream = Stream<M::Substream, W::Stream>;
    type Error = M::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let Self { muxer, watch } = self.get_mut();
        let polled = Pin::new(muxer).poll_inbound(cx);
        polled.map_ok(|stream| Stream {
            stream,
            watch: watch.inbound(),
        })
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let Self { muxer, watch } = self.get_mut();
        let polled = Pin::new(muxer).poll_outbound(cx);
        polled.map_ok(|stream| Stream {
            stream,
            watch: watch.outbound(),
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
pub(crate) struct Stream<S, W> {
    stream: S,
    watch: W,
}

impl<S: AsyncRead + Unpin, W: WatchStream + Unpin> AsyncRead for Stream<S, W> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(cx, into);
        if let Poll::Ready(Ok(bytes)) = read {
            this.watch.on_read(bytes);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin, W: WatchStream + Unpin> AsyncWrite for Stream<S, W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(len)) = written {
            this.watch.on_write(bytes.get(..len).unwrap_or_default());
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
