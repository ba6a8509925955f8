//! Many streams over one connection, by yamux, in bounded memory.
//!
//! yamux lets a stream bring what its window has room for, whether or not anybody reads it. It
//! doubles a window as long as its reader is quick compared with the round trip, and believes the
//! other side how long that is. And it keeps each frame as it came, also of a byte. So
//! [`Frames`] looks at each frame before yamux does, [`Unread`] counts what is held, and the
//! connection is not read while that is as much as it may be.

mod frames;
mod unread;

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use futures::{AsyncRead, AsyncWrite, Stream as _};
use libp2p::core::{
    Endpoint,
    muxing::{StreamMuxer, StreamMuxerEvent},
};
use yamux::{Config, Connection, ConnectionError, Mode, Packet};

use self::frames::Frames;
pub(super) use self::unread::{FreeRooms, Unread};

/// Its name in protocol negotiation.
pub(super) const NAME: &str = "/yamux/1.0.0";

/// A connection with many streams.
pub(crate) struct Muxer<C> {
    connection: Connection<Frames<C>>,
    unread: Unread,
    /// Those that the other side opened while somebody else polled, at most [`MAX_STREAMS`].
    arrived: VecDeque<Stream>,
    /// Who waits for one.
    waiting: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    pub(super) fn new(io: C, role: Endpoint) -> Self {
        let mut config = Config::default();
        config
            .set_max_num_streams(MAX_STREAMS)
            .set_max_connection_receive_window(Some(WINDOWS))
            .set_split_send_size(FRAME);
        let mode = match role {
            Endpoint::Dialer => Mode::Client,
            Endpoint::Listener => Mode::Server,
        };
        let unread = Unread::of_stranger();
        Self {
            connection: Connection::new(Frames::new(io, unread.clone()), config, mode),
            unread,
            arrived: VecDeque::new(),
            waiting: None,
        }
    }

    /// What it holds.
    pub(super) const fn unread(&self) -> &Unread {
        &self.unread
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stream, ConnectionError>> {
        let next = ready!(self.connection.poll_next_inbound(cx));
        let stream = next.unwrap_or(Err(ConnectionError::Closed))?;
        Poll::Ready(Ok(Stream::new(stream, &self.unread)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Stream;
    type Error = ConnectionError;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let this = self.get_mut();
        if let Some(stream) = this.arrived.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = this.poll_next(cx);
        if next.is_pending() {
            this.waiting = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let this = self.get_mut();
        let stream = ready!(this.connection.poll_new_outbound(cx))?;
        Poll::Ready(Ok(Stream::new(stream, &this.unread)))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_mut().connection.poll_close(cx)
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        let this = self.get_mut();
        let stream = ready!(this.poll_next(cx))?;
        this.arrived.push_back(stream);
        if let Some(waiting) = this.waiting.take() {
            waiting.wake();
        }
        // Others may take a turn before it goes on.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<C> fmt::Debug for Muxer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Muxer")
            .field("unread", &self.unread)
            .finish_non_exhaustive()
    }
}

/// A stream of a connection.
#[derive(Debug)]
pub(crate) struct Stream {
    stream: yamux::Stream,
    /// The frame that is being read, and how much of it was.
    frame: Option<(Packet, usize)>,
    unread: Unread,
}

impl Stream {
    fn new(stream: yamux::Stream, unread: &Unread) -> Self {
        unread.open(stream.id().val());
        Self {
            stream,
            frame: None,
            unread: unread.clone(),
        }
    }

    /// Takes what there is of the frame that is being read.
    fn take(&mut self, into: &mut [u8]) -> usize {
        let Some((frame, taken)) = &mut self.frame else {
            return 0;
        };
        let frame = frame.as_ref();
        let len = into.len().min(frame.len() - *taken);
        into[..len].copy_from_slice(&frame[*taken..][..len]);
        *taken += len;
        if *taken == frame.len() {
            let read = frame.len();
            self.frame = None;
            self.unread.read(self.stream.id().val(), read);
        }
        len
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut read = 0;
        while read < into.len() {
            if this.frame.is_none() {
                match Pin::new(&mut this.stream).poll_next(cx) {
                    Poll::Ready(Some(Ok(frame))) => this.frame = Some((frame, 0)),
                    // It says so again when it is asked again.
                    _ if read > 0 => break,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => break,
                    Poll::Pending => return Poll::Pending,
                }
            }
            read += this.take(&mut into[read..]);
        }
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_close(cx)
    }
}

/// yamux keeps what is unread of a stream that was dropped until it has told the other side, which
/// it cannot as long as that does not read.
impl Drop for Stream {
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(_))) = Pin::new(&mut self.stream).poll_next(&mut cx) {}
        self.unread.close(self.stream.id().val());
    }
}

/// Streams of a connection, of both sides together. A node has seven: gossip, session and ping each
/// way, and for a moment that of the gate. The rest is for those that end while others begin.
const MAX_STREAMS: usize = 16;

/// The most that all windows of a connection hold, of which each stream has 256 KiB for itself: one
/// stream gets 12 MiB, a gigabit per second at a round trip of 100 ms.
const WINDOWS: usize = 16 * 1024 * 1024;

/// What a frame carries at most, in both directions: as many bytes as leave at once. A longer one
/// ends the connection, so no node may send longer ones before all take them.
const FRAME: usize = 64 * 1024;

#[cfg(test)]
mod tests;
