//! Fewer system calls for the same bytes.
//!
//! The multiplexer flushes after each of its frames, however small, and what decrypts reads 8 KiB
//! at a time. At full speed every sixth instruction would be spent on passing such pieces to the
//! system and back.

use std::{
    io::{Error, ErrorKind, Result},
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};

/// A stream of bytes that reads ahead, and on which what was flushed leaves when its owner turns to
/// reading.
///
/// A task that drives a connection writes and flushes all it has, and then reads until there is
/// nothing: so it is the same moment, only once. An owner that does not read flushes twice.
#[derive(Debug)]
pub(super) struct Batching<T> {
    io: T,
    /// The read buffer, once there was anything to read. The bytes in `unread` are not read yet.
    ahead: Box<[u8]>,
    unread: Range<usize>,
    /// Written bytes, of which `sent` are gone.
    unsent: Vec<u8>,
    sent: usize,
    /// It was flushed, and nothing was written since.
    flushed: bool,
}

impl<T> Batching<T> {
    pub(super) fn new(io: T) -> Self {
        Self {
            io,
            ahead: Box::default(),
            unread: 0..0,
            unsent: Vec::new(),
            sent: 0,
            flushed: false,
        }
    }
}

impl<T: AsyncWrite + Unpin> Batching<T> {
    /// Passes on what waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.sent < self.unsent.len() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent[self.sent..]))? {
                0 => return Poll::Ready(Err(Error::from(ErrorKind::WriteZero))),
                sent => self.sent += sent,
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Batching<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        // If it does not take all now, the task is woken when it does.
        if let Poll::Ready(sent) = this.poll_send(cx) {
            sent?;
        }
        if this.unread.is_empty() {
            if into.len() >= BATCH {
                return Pin::new(&mut this.io).poll_read(cx, into);
            }
            if this.ahead.is_empty() {
                this.ahead = vec![0; FIRST].into();
            }
            let read = ready!(Pin::new(&mut this.io).poll_read(cx, &mut this.ahead))?;
            this.unread = 0..read;
            if read == this.ahead.len() && read < BATCH {
                // There is more than that, so there is somebody to spend room on.
                let mut longer = vec![0; BATCH];
                longer[..read].copy_from_slice(&this.ahead);
                this.ahead = longer.into();
            }
        }
        let len = this.unread.len().min(into.len());
        into[..len].copy_from_slice(&this.ahead[this.unread.start..][..len]);
        this.unread.start += len;
        Poll::Ready(Ok(len))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Batching<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        if this.unsent.len() >= BATCH {
            ready!(this.poll_send(cx))?;
        }
        this.flushed = false;
        let len = bytes.len().min(2 * BATCH - this.unsent.len());
        this.unsent.extend_from_slice(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    /// Waiting bytes leave with the next read, or the next flush if nothing is written before that:
    /// so an owner that must not read says that it has written all.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if std::mem::replace(&mut this.flushed, true) {
            ready!(this.poll_send(cx))?;
        }
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_close(cx)
    }
}

/// The number of bytes that go to the system or come from it at once: a frame of the multiplexer,
/// and as many packets as loopback takes in one. Twice as many may wait to be sent, so that there
/// is room before the first are gone.
const BATCH: usize = 64 * 1024;

/// The size of a read until that much came at once: strangers do not send it.
const FIRST: usize = 4 * 1024;

#[cfg(test)]
mod tests;
