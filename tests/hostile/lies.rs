//! Streams over a connection, by somebody who does not keep to what they mean.

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    io, iter,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::{
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};
use tokio::time::Instant;

/// How somebody multiplexes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lies {
    /// The delay of answers to a ping, which the other side takes for the round trip.
    pub(super) pongs_after: Duration,
    /// How many bytes a frame carries at most.
    pub(super) frame: usize,
}

impl Lies {
    /// None.
    pub(super) const NONE: Self = Self {
        pongs_after: Duration::ZERO,
        frame: 16 * 1024,
    };
}

impl UpgradeInfo for Lies {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<T> for Lies {
    type Output = Liar<T>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_outbound(self, io: T, _: Self::Info) -> Self::Future {
        ready(Ok(Liar::new(io, self, yamux::Mode::Client)))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<T> for Lies {
    type Output = Liar<T>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_inbound(self, io: T, _: Self::Info) -> Self::Future {
        ready(Ok(Liar::new(io, self, yamux::Mode::Server)))
    }
}

/// A connection with many streams.
pub(super) struct Liar<T> {
    connection: yamux::Connection<LatePongs<T>>,
    waiting: VecDeque<yamux::Stream>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Liar<T> {
    fn new(io: T, lies: Lies, mode: yamux::Mode) -> Self {
        let mut config = yamux::Config::default();
        config.set_split_send_size(lies.frame);
        let io = LatePongs {
            io,
            after: lies.pongs_after,
            head: Vec::new(),
            body: 0,
            pongs: VecDeque::new(),
            out: VecDeque::new(),
        };
        Self {
            connection: yamux::Connection::new(io, config, mode),
            waiting: VecDeque::new(),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        match ready!(self.connection.poll_next_inbound(cx)) {
            Some(Ok(stream)) => Poll::Ready(Ok(stream)),
            Some(Err(error)) => Poll::Ready(Err(io::Error::other(error))),
            None => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Liar<T> {
    type Substream = yamux::Stream;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        match self.waiting.pop_front() {
            Some(stream) => Poll::Ready(Ok(stream)),
            None => self.poll_next(cx),
        }
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        self.connection
            .poll_new_outbound(cx)
            .map_err(io::Error::other)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_close(cx).map_err(io::Error::other)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        loop {
            let stream = ready!(self.poll_next(cx))?;
            self.waiting.push_back(stream);
        }
    }
}

/// Holds back each pong for some time, and then sends it before the next frame.
struct LatePongs<T> {
    io: T,
    after: Duration,
    /// The header that is being written.
    head: Vec<u8>,
    /// How much of a body follows.
    body: usize,
    pongs: VecDeque<(Instant, Vec<u8>)>,
    /// What goes out before anything else.
    out: VecDeque<u8>,
}

impl<T: AsyncWrite + Unpin> LatePongs<T> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let (bytes, _) = self.out.as_slices();
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
            self.out.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// A header is whole: what it says goes out, or waits.
    fn headed(&mut self) {
        let head = std::mem::take(&mut self.head);
        if head[1] == PING && head[3] & ACK > 0 {
            self.pongs.push_back((Instant::now() + self.after, head));
            return;
        }
        while let Some((due, _)) = self.pongs.front()
            && *due <= Instant::now()
        {
            self.out.extend(
                self.pongs
                    .pop_front()
                    .into_iter()
                    .flat_map(|(_, pong)| pong),
            );
        }
        if head[1] == DATA {
            self.body = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
        }
        self.out.extend(head);
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for LatePongs<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        if this.body > 0 {
            let bytes = &bytes[..bytes.len().min(this.body)];
            let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
            this.body -= written;
            return Poll::Ready(Ok(written));
        }
        let taken = bytes.len().min(HEADER - this.head.len());
        this.head.extend_from_slice(&bytes[..taken]);
        if this.head.len() == HEADER {
            this.headed();
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.io).poll_close(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for LatePongs<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, bytes)
    }
}

/// As in the protocol of yamux.
const HEADER: usize = 12;
const DATA: u8 = 0;
const PING: u8 = 2;
const ACK: u8 = 2;
