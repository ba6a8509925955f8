//! Looks at the frames of yamux as they arrive.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};

use super::{FRAME, MAX_STREAMS, unread::Unread};

/// Bytes below yamux. Writes pass unchanged; reads stop before a frame for which there is no room.
///
/// yamux takes a frame as a whole before it asks for the next, so that each stream it has opened is
/// known here before the next frame is looked at.
pub(super) struct Frames<T> {
    io: T,
    unread: Unread,
    /// The header of the frame, of which so much has arrived,
    header: [u8; HEADER],
    arrived: usize,
    /// and so much was handed on.
    told: usize,
    /// What of its body is not handed on yet,
    body: usize,
    /// or nobody wants.
    unwanted: usize,
}

impl<T> Frames<T> {
    pub(super) const fn new(io: T, unread: Unread) -> Self {
        Self {
            io,
            unread,
            header: [0; HEADER],
            arrived: 0,
            told: 0,
            body: 0,
            unwanted: 0,
        }
    }

    /// The header is there.
    fn headed(&mut self) -> io::Result<()> {
        let [_, kind, _, flags, a, b, c, d, e, f, g, h] = self.header;
        let stream = u32::from_be_bytes([a, b, c, d]);
        // yamux says that it will not have it, and goes on.
        if matches!(kind, DATA | WINDOW) && flags & SYN > 0 && !self.unread.may_open(stream) {
            return Err(invalid(format!("more streams than {MAX_STREAMS}")));
        }
        if kind != DATA {
            return Ok(());
        }
        let len = u32::from_be_bytes([e, f, g, h]) as usize;
        if len > FRAME {
            return Err(invalid(format!("a frame of {len} bytes, not {FRAME}")));
        }
        if flags & SYN > 0 {
            self.unread.open(stream);
        }
        if flags & RST == 0 && self.unread.arrives(stream, len) {
            self.body = len;
        } else {
            // What the header says beside it still counts.
            self.header[HEADER - size_of::<u32>()..].fill(0);
            self.unwanted = len;
        }
        Ok(())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Frames<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            if this.arrived == HEADER && this.told < HEADER {
                let len = into.len().min(HEADER - this.told);
                into[..len].copy_from_slice(&this.header[this.told..][..len]);
                this.told += len;
                return Poll::Ready(Ok(len));
            }
            if this.body > 0 {
                let len = into.len().min(this.body);
                let read = ready!(Pin::new(&mut this.io).poll_read(cx, &mut into[..len]))?;
                this.body -= read;
                return Poll::Ready(Ok(read));
            }
            if this.unwanted > 0 {
                let mut dropped = [0; 4096];
                let len = dropped.len().min(this.unwanted);
                match ready!(Pin::new(&mut this.io).poll_read(cx, &mut dropped[..len]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                    read => this.unwanted -= read,
                }
                continue;
            }
            if this.told == HEADER {
                (this.arrived, this.told) = (0, 0);
            }
            if this.arrived == 0 && !this.unread.has_room(cx) {
                // Written bytes leave with a read, or with a flush that follows one.
                for _ in 0..2 {
                    if let Poll::Ready(flushed) = Pin::new(&mut this.io).poll_flush(cx) {
                        flushed?;
                    }
                }
                return Poll::Pending;
            }
            let header = &mut this.header[this.arrived..];
            match ready!(Pin::new(&mut this.io).poll_read(cx, header))? {
                0 if this.arrived == 0 => return Poll::Ready(Ok(0)),
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                read => this.arrived += read,
            }
            if this.arrived == HEADER {
                this.headed()?;
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Frames<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_close(cx)
    }
}

fn invalid(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

/// A header of yamux: version, kind, flags, stream, length.
const HEADER: usize = 12;

/// The kind that has a body, and the other one that opens streams.
const DATA: u8 = 0;
const WINDOW: u8 = 1;

/// The flags of the frame that opens a stream, and of one that is the end of it.
const SYN: u8 = 1;
const RST: u8 = 8;
