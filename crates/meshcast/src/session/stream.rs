//! The two streams of a connection: one that is only written, one that is only read.
//!
//! They know no more of a stream than that it can be read and written, so that the tests can count
//! what is asked of it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};

use super::{
    framing::{Decoder, Encoder, Oversized},
    queue::Intake,
};

/// The outbound stream with what is on its way into it.
#[derive(Debug)]
pub(super) struct Writer<S> {
    stream: S,
    intake: Intake,
    encoder: Encoder,
    /// Something is written and not yet flushed.
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Writer<S> {
    pub(super) fn new(stream: S, intake: Intake) -> Self {
        Self {
            stream,
            intake,
            encoder: Encoder::default(),
            unflushed: false,
        }
    }

    /// Writes all that waits, then flushes once. Ready with `Ok` when the queue has room again.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_hangup(cx)?;
        loop {
            while self.encoder.has_room() {
                let Poll::Ready(message) = self.intake.poll_take(cx) else {
                    break;
                };
                self.encoder.push(message);
            }
            if self.encoder.is_empty() {
                break;
            }
            match Pin::new(&mut self.stream).poll_write(cx, self.encoder.chunk())? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(n) => {
                    self.encoder.advance(n);
                    self.unflushed = true;
                }
                Poll::Pending => break,
            }
        }
        if self.unflushed
            && self.encoder.is_empty()
            && Pin::new(&mut self.stream).poll_flush(cx)?.is_ready()
        {
            self.unflushed = false;
        }
        // Everything that can go on has left a waker above: the queue if it was empty, else the
        // stream.
        if self.intake.has_room_again() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Notices that the peer dropped the stream while we have nothing to write. The peer never
    /// writes on our stream, and keeps its half open for as long as it reads.
    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match Pin::new(&mut self.stream).poll_read(cx, &mut [0])? {
            Poll::Pending => Ok(()),
            Poll::Ready(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Poll::Ready(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The inbound stream with what of it has been read.
#[derive(Debug)]
pub(super) struct Reader<S> {
    /// 1 for the first stream that the peer opened on this connection.
    number: u32,
    stream: S,
    decoder: Decoder,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub(super) fn new(stream: S, number: u32, max_message: usize) -> Self {
        Self {
            number,
            stream,
            decoder: Decoder::new(max_message),
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Whether the stream would end within a message if it ended now.
    pub(super) fn is_inside_message(&self) -> bool {
        self.decoder.is_inside_message()
    }

    /// The next message. Once it has failed the stream is of no more use.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ReadError>> {
        loop {
            if let Some(message) = self.decoder.next_message()? {
                return Poll::Ready(Ok(message));
            }
            match ready!(Pin::new(&mut self.stream).poll_read(cx, self.decoder.space()))? {
                0 => return Poll::Ready(Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()))),
                n => self.decoder.filled(n),
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Oversized(#[from] Oversized),
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use meshcast_proto::{Budget, Payer};

    use super::*;
    use crate::session::{SessionConfig, queue::queue};

    #[test]
    fn many_messages_take_one_flush_and_few_writes() {
        let (outbox, intake) = queue(
            &SessionConfig::default(),
            Budget::default().account(Payer::Ourselves),
        );
        let mut writer = Writer::new(
            Pipe {
                room: usize::MAX,
                ..Pipe::default()
            },
            intake,
        );
        for _ in 0..100 {
            outbox
                .push(Bytes::from_static(&[1; 96]))
                .expect("there is room");
        }
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(writer.poll(cx).is_pending());
        assert!(writer.poll(cx).is_pending());
        let Pipe {
            written,
            writes,
            flushes,
            ..
        } = &writer.stream;
        assert_eq!((written.len(), *writes, *flushes), (100 * 100, 1, 1));
    }

    #[test]
    fn what_a_stream_does_not_take_stays_in_order() {
        let (outbox, intake) = queue(
            &SessionConfig::default(),
            Budget::default().account(Payer::Ourselves),
        );
        let mut writer = Writer::new(Pipe::default(), intake);
        let messages: Vec<Bytes> = (0..60)
            .map(|n| vec![n; usize::from(n) * 700].into())
            .collect();
        let mut waiting = messages.iter();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut next = waiting.next();
        while next.is_some() || outbox.queue_depth().messages > 0 || !writer.encoder.is_empty() {
            while let Some(message) = next
                && outbox.push(message.clone()).is_ok()
            {
                next = waiting.next();
            }
            writer.stream.room = 9_973;
            assert!(!matches!(writer.poll(cx), Poll::Ready(Err(_))));
        }
        let expected: Vec<u8> = messages
            .iter()
            .flat_map(|m| [&(m.len() as u32).to_be_bytes(), &m[..]].concat())
            .collect();
        assert!(writer.stream.written == expected);
        assert_eq!(writer.stream.flushes, 1);
    }

    #[test]
    fn a_peer_that_lets_go_is_noticed_with_nothing_to_write() {
        let (_outbox, intake) = queue(
            &SessionConfig::default(),
            Budget::default().account(Payer::Ourselves),
        );
        let mut writer = Writer::new(
            Pipe {
                ended: true,
                ..Pipe::default()
            },
            intake,
        );
        let end = writer.poll(&mut Context::from_waker(Waker::noop()));
        assert!(
            matches!(end, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof)
        );
    }

    /// Takes `room` bytes, then no more; has nothing to read.
    #[derive(Debug, Default)]
    struct Pipe {
        room: usize,
        written: Vec<u8>,
        writes: usize,
        flushes: usize,
        ended: bool,
    }

    impl AsyncRead for Pipe {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if self.ended {
                Poll::Ready(Ok(0))
            } else {
                Poll::Pending
            }
        }
    }

    impl AsyncWrite for Pipe {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let n = bytes.len().min(self.room);
            if n == 0 {
                return Poll::Pending;
            }
            self.room -= n;
            self.writes += 1;
            self.written.extend_from_slice(&bytes[..n]);
            Poll::Ready(Ok(n))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}
