//! A connection that is secured: each byte is copied once on its way out and once on its way in.
//!
//! Writes are gathered where they will be encrypted, and arriving bytes are decrypted where they
//! were read to. As with [`Batching`](super::super::batching), what was flushed leaves when the
//! owner turns to reading: the multiplexer flushes after each of its frames, and a record for each
//! and a system call for each would cost more than the cipher.

use std::{
    fmt, io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets};

use super::record::{Content, HEADER, Keys, LONGEST, MOST, RecordError, record_len};

/// A stream of bytes in records of TLS. It has no plain text of the handshake in it.
pub(in super::super) struct TlsStream<T> {
    io: T,
    renewal: Box<dyn Renewal>,
    /// After how many records a key is replaced.
    renew_after: u64,
    /// What records are made with,
    tx: Keys,
    /// those that wait, of which `sent` bytes are gone,
    outgoing: Vec<u8>,
    sent: usize,
    /// and where the one begins that is not full.
    open: Option<usize>,
    /// It was flushed, and nothing was written since.
    flushed: bool,
    /// The keys that records are read with, and where they are read to.
    rx: Keys,
    incoming: Vec<u8>,
    /// Records nobody has looked at, or a part of one.
    sealed: Range<usize>,
    /// What is decrypted and not read.
    plain: Range<usize>,
    /// The other side has said that nothing follows,
    ended: bool,
    /// or this one has.
    closed: bool,
    /// A record was wrong, or could not be made: nothing more is sent or read.
    failed: bool,
}

/// What follows the keys of a connection.
pub(super) trait Renewal: Send {
    fn next_tx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>;
    fn next_rx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>;
}

impl<T> TlsStream<T> {
    /// `outgoing` was not sent yet, and nobody has looked at what is in `incoming`.
    pub(super) fn new(
        io: T,
        secrets: &ExtractedSecrets,
        renewal: Box<dyn Renewal>,
        outgoing: Vec<u8>,
        incoming: Vec<u8>,
    ) -> Result<Self, RecordError> {
        Ok(Self {
            io,
            renewal,
            renew_after: RENEW_AFTER,
            tx: Keys::new(secrets.tx.0, &secrets.tx.1)?,
            outgoing,
            sent: 0,
            open: None,
            flushed: false,
            rx: Keys::new(secrets.rx.0, &secrets.rx.1)?,
            sealed: 0..incoming.len(),
            incoming,
            plain: 0..0,
            ended: false,
            closed: false,
            failed: false,
        })
    }

    #[cfg(test)]
    pub(super) fn algorithm(&self) -> &'static aws_lc_rs::aead::Algorithm {
        self.tx.algorithm()
    }

    #[cfg(test)]
    pub(super) const fn io_mut(&mut self) -> &mut T {
        &mut self.io
    }

    #[cfg(test)]
    pub(super) const fn renewing_after(mut self, records: u64) -> Self {
        self.renew_after = records;
        self
    }

    fn gather(&mut self, content: Content, mut bytes: &[u8]) -> Result<(), RecordError> {
        while !bytes.is_empty() {
            let start = match self.open {
                Some(start) => start,
                None => {
                    if self.tx.used() >= self.renew_after {
                        self.renew()?;
                    }
                    let start = self.outgoing.len();
                    self.outgoing.extend_from_slice(&[0; HEADER]);
                    *self.open.insert(start)
                }
            };
            let room = MOST - (self.outgoing.len() - start - HEADER);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.outgoing.extend_from_slice(now);
            bytes = later;
            if now.len() == room {
                self.seal(content)?;
            }
        }
        Ok(())
    }

    /// Makes a record of what was gathered.
    fn seal(&mut self, content: Content) -> Result<(), RecordError> {
        match self.open.take() {
            Some(start) => self.tx.seal(content, &mut self.outgoing, start),
            None => Ok(()),
        }
    }

    /// Says that another key follows, and takes it.
    fn renew(&mut self) -> Result<(), RecordError> {
        let start = self.outgoing.len();
        self.outgoing.extend_from_slice(&[0; HEADER]);
        self.outgoing.extend_from_slice(&KEY_UPDATE);
        self.tx
            .seal(Content::Handshake, &mut self.outgoing, start)?;
        let (next, secrets) = self.renewal.next_tx().map_err(|_| RecordError::Encrypt)?;
        self.tx = Keys::new(next, &secrets)?;
        Ok(())
    }

    /// Reads the next record if it is there as a whole; `false` if it is not.
    fn read_record(&mut self) -> Result<bool, ReadError> {
        let there = &self.incoming[self.sealed.clone()];
        let Some(len) = record_len(there)?.filter(|len| *len <= there.len()) else {
            return Ok(false);
        };
        let start = self.sealed.start;
        self.sealed.start += len;
        let record = &mut self.incoming[start..start + len];
        let (content, inside) = self.rx.open(record)?;
        let inside = start + inside.start..start + inside.end;
        match (content, &self.incoming[inside.clone()]) {
            (Content::Data, _) => self.plain = inside,
            (Content::Handshake, [KIND_KEY_UPDATE, 0, 0, 1, 0]) => {
                let (next, secrets) = self.renewal.next_rx().map_err(|_| RecordError::Decrypt)?;
                self.rx = Keys::new(next, &secrets)?;
            }
            (Content::Alert, [_, CLOSE_NOTIFY]) => self.ended = true,
            // A member sends nothing else.
            _ => return Err(ReadError::Unexpected),
        }
        Ok(true)
    }

    /// The connection is at its end if this went wrong: what is half done must not leave, nor what
    /// follows be read.
    fn whole<V, E: Into<io::Error>>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<V, E>,
    ) -> io::Result<V> {
        if self.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        step(self).map_err(|error| {
            self.failed = true;
            error.into()
        })
    }

    /// Makes room for more of what arrives.
    fn make_room(&mut self) {
        let (start, len) = (self.sealed.start, self.sealed.len());
        if start > 0 {
            self.incoming.copy_within(self.sealed.clone(), 0);
            self.sealed = 0..len;
        }
        if len == self.incoming.len() {
            // There is more than that, so there is somebody to spend room on.
            let more = if len < FIRST { FIRST } else { AHEAD };
            self.incoming.resize(more, 0);
        }
    }
}

impl<T: AsyncWrite + Unpin> TlsStream<T> {
    /// The waiting bytes are gone, although nobody reads.
    #[cfg(test)]
    pub(super) async fn sent(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_send(cx)).await
    }

    /// Passes on what waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.whole(|this| this.seal(Content::Data))?;
        while self.sent < self.outgoing.len() {
            let left = &self.outgoing[self.sent..];
            match ready!(Pin::new(&mut self.io).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // If it does not take all now, the task is woken when it does.
        if let Poll::Ready(sent) = this.poll_send(cx) {
            sent?;
        }
        while this.plain.is_empty() {
            if this.ended || into.is_empty() {
                return Poll::Ready(Ok(0));
            }
            if this.whole(Self::read_record)? {
                continue;
            }
            this.make_room();
            let room = &mut this.incoming[this.sealed.end..];
            match ready!(Pin::new(&mut this.io).poll_read(cx, room))? {
                0 if this.sealed.is_empty() => this.ended = true,
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                read => this.sealed.end += read,
            }
        }
        let len = this.plain.len().min(into.len());
        into[..len].copy_from_slice(&this.incoming[this.plain.start..][..len]);
        this.plain.start += len;
        Poll::Ready(Ok(len))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.outgoing.len() >= BATCH {
            ready!(this.poll_send(cx))?;
        }
        this.flushed = false;
        let len = bytes.len().min(2 * BATCH - OVERHEAD - this.outgoing.len());
        this.whole(|this| this.gather(Content::Data, &bytes[..len]))?;
        Poll::Ready(Ok(len))
    }

    /// Waiting bytes leave with the next read, or the next flush if nothing is written before that.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if std::mem::replace(&mut this.flushed, true) {
            ready!(this.poll_send(cx))?;
        }
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed {
            this.closed = true;
            this.whole(|this| {
                this.seal(Content::Data)?;
                this.gather(Content::Alert, &[WARNING, CLOSE_NOTIFY])?;
                this.seal(Content::Alert)
            })?;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_close(cx)
    }
}

/// Why nothing more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the other side said something that no member says")]
    Unexpected,
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl From<RecordError> for io::Error {
    fn from(error: RecordError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl<T> fmt::Debug for TlsStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("made", &self.tx.used())
            .field("read", &self.rx.used())
            .finish_non_exhaustive()
    }
}

/// The number of bytes that go to the system at once: four records, and as many packets as loopback
/// takes in one. Twice as many may wait to be sent, so that there is room before the first are
/// gone.
const BATCH: usize = 64 * 1024;

/// More than records add to what waits.
const OVERHEAD: usize = 1024;

/// The size of a read until that much came at once: strangers do not send it.
const FIRST: usize = 4 * 1024;

/// How much is read at once from then on: a batch behind a record that is not whole.
const AHEAD: usize = BATCH + LONGEST;

/// AES-GCM must not encrypt more than 2^24.5 records with one key. This is half of 2^24: 128 GiB.
const RENEW_AFTER: u64 = 1 << 23;

/// Says that another key follows, and asks for none in return.
const KEY_UPDATE: [u8; 5] = [KIND_KEY_UPDATE, 0, 0, 1, 0];
const KIND_KEY_UPDATE: u8 = 24;

/// The level of an alert that is none, and the one that ends a connection in peace.
const WARNING: u8 = 1;
const CLOSE_NOTIFY: u8 = 0;
