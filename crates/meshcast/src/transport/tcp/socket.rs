//! A connection as libp2p wants to read and write it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
};

use super::greeting::ANSWER;
use crate::gate::GateError;

/// A TCP connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// What was read of it already.
    read: &'static [u8],
    /// What has to come first.
    expected: &'static [u8],
}

impl Socket {
    /// A connection that this node opened. A process that answers otherwise than libp2p does is
    /// [named](GateError::Foreign).
    pub(super) const fn dialled(stream: TcpStream) -> Self {
        Self {
            stream,
            read: &[],
            expected: ANSWER,
        }
    }

    /// A connection that another opened, and this is how it greeted.
    pub(super) const fn greeted(stream: TcpStream, greeting: &'static [u8]) -> Self {
        Self {
            stream,
            read: greeting,
            expected: &[],
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.read.is_empty() {
            let (now, later) = self.read.split_at(self.read.len().min(into.len()));
            into[..now.len()].copy_from_slice(now);
            self.read = later;
            return Poll::Ready(Ok(now.len()));
        }
        let mut buffer = ReadBuf::new(into);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let read = buffer.filled();
        if !self.expected.is_empty() {
            let (now, later) = self.expected.split_at(self.expected.len().min(read.len()));
            if !read.starts_with(now) {
                let foreign = io::Error::new(io::ErrorKind::InvalidData, GateError::Foreign);
                return Poll::Ready(Err(foreign));
            }
            self.expected = later;
        }
        Poll::Ready(Ok(read.len()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
