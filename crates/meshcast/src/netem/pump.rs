//! Carries the bytes of a connection: one task, a line each way, and a pipe to whoever uses the
//! connection.
//!
//! In a task of its own because the kernel is what it stands for: bytes that were written arrive,
//! also if nobody reads, and also after the writer has let go of the connection.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, future::try_join};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf, duplex},
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    delay_line::{DelayLine, Payload},
    table::{ConnectionGuard, ConnectionState, Direction, Passage},
};

/// Shapes a connection. Must be called in a Tokio runtime, where it goes on until both ends are
/// done with it.
pub(super) fn shaped<S>(socket: S, guard: ConnectionGuard) -> Shaped
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (near, far) = duplex(PIPE);
    let broken = Arc::new(AtomicBool::new(false));
    let shaped = Shaped {
        pipe: Pipe(near),
        broken: Arc::clone(&broken),
    };
    tokio::spawn(async move {
        if pump(socket, Pipe(far), guard, &broken).await.is_err() {
            tracing::debug!("a shaped connection was reset");
        }
    });
    shaped
}

/// The end of a shaped connection.
#[derive(Debug)]
pub(crate) struct Shaped {
    pipe: Pipe,
    /// The end is none: the connection broke.
    broken: Arc<AtomicBool>,
}

impl Shaped {
    fn check(&self) -> io::Result<()> {
        match self.broken.load(Ordering::Acquire) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for Shaped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.pipe).poll_read(cx, buf))?;
        if read == 0 && !buf.is_empty() {
            self.check()?;
        }
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Shaped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.pipe).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_close(cx)
    }
}

/// The connection broke.
#[derive(Debug)]
struct Reset;

async fn pump<S>(
    socket: S,
    pipe: Pipe,
    mut guard: ConnectionGuard,
    broken: &AtomicBool,
) -> Result<(), Reset>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut socket_read, mut socket_write) = socket.split();
    let (mut pipe_read, mut pipe_write) = pipe.split();
    let seed = guard.seed;
    let (out, back) = (guard.state.clone(), guard.state.clone());
    let done = {
        let way = |seed, state, side| HalfLink {
            line: DelayLine::new(seed),
            state,
            side,
            carried: &guard.carried,
        };
        let out = way(seed, out, |state| state.out).carry(&mut pipe_read, &mut socket_write);
        let back = way(seed.wrapping_add(1), back, |state| state.back)
            .carry(&mut socket_read, &mut pipe_write);
        tokio::select! {
            done = try_join(out, back) => done.map(drop),
            // An error means that nobody can mend it any more.
            _ = guard.state.wait_for(|state| state.reset) => Err(Reset),
        }
    };
    if done.is_err() {
        // Before the pipe is let go of.
        broken.store(true, Ordering::Release);
    }
    done
}

/// One direction of a connection.
struct HalfLink<'a> {
    line: DelayLine,
    state: watch::Receiver<ConnectionState>,
    side: fn(&ConnectionState) -> Direction,
    /// How many bytes were carried, by both.
    carried: &'a AtomicU64,
}

impl HalfLink<'_> {
    /// Carries it to its end.
    async fn carry<R, W>(self, from: &mut R, to: &mut W) -> Result<(), Reset>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let Self {
            mut line,
            mut state,
            side,
            carried,
        } = self;
        let mut buffer = vec![0; PACKET];
        let mut ended = false;
        loop {
            let Direction { shape, passage } = side(&state.borrow_and_update());
            tokio::select! {
                changed = state.changed() => changed.map_err(|_| Reset)?,
                arrived = arrive(to, line.head(), passage), if line.head().is_some() => {
                    match arrived {
                        Arrived::Bytes(Ok(len)) => line.advance(len),
                        Arrived::End => return Ok(()),
                        Arrived::Reset => return Err(Reset),
                        // Nobody takes them any more. The other direction is told there.
                        Arrived::Bytes(Err(_)) => return Ok(()),
                    }
                }
                read = from.read(&mut buffer), if !ended && line.has_room(&shape) => {
                    let payload = match read {
                        Ok(0) => Payload::End,
                        Ok(len) => {
                            carried.fetch_add(len as u64, Ordering::Relaxed);
                            Payload::Bytes(buffer[..len].to_vec().into())
                        }
                        Err(_) => Payload::Reset,
                    };
                    ended = !matches!(payload, Payload::Bytes(_));
                    line.push(payload, &shape, Instant::now());
                }
            }
        }
    }
}

enum Arrived {
    Bytes(io::Result<usize>),
    End,
    Reset,
}

/// Hands over what comes next, when it is due and may pass. Cancel-safe: nothing is handed over
/// then.
async fn arrive<W>(to: &mut W, head: Option<(Instant, &Payload)>, passage: Passage) -> Arrived
where
    W: AsyncWrite + Unpin,
{
    let (due, payload) = match (head, passage) {
        (Some((due, payload)), Passage::Open) => (due, payload),
        (Some((due, payload)), Passage::OpensAt(at)) => (due.max(at), payload),
        (_, Passage::Blocked) | (None, _) => return std::future::pending().await,
    };
    if due > Instant::now() {
        sleep_until(due).await;
    }
    match payload {
        // No flush: neither a socket nor a pipe keeps what was written to itself.
        Payload::Bytes(bytes) => Arrived::Bytes(to.write(bytes).await),
        Payload::End => {
            // An error means that the other end is gone.
            let _ = to.close().await;
            Arrived::End
        }
        Payload::Reset => Arrived::Reset,
    }
}

/// A pipe inside the process, with the traits of `futures`.
#[derive(Debug)]
pub(crate) struct Pipe(pub(crate) DuplexStream);

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Between the task and whoever uses the connection: a frame fits.
const PIPE: usize = 64 * 1024;
/// What is read at once, and so delayed as one.
const PACKET: usize = 16 * 1024;
