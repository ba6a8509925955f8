//! Messages over the first stream of a connection that nobody drives yet.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead as _, AsyncWrite as _};
use libp2p::core::{
    Endpoint,
    muxing::{StreamMuxer, StreamMuxerExt as _},
};
use meshcast_proto::{Admission, Reason};

use super::error::GateError;

/// A connection at the gate.
///
/// A muxer moves bytes only while it is polled, and later that is the Swarm's business. Here every
/// step polls it first. All of it happens in the task of the step, so whatever becomes ready wakes
/// that one task.
pub(super) struct Talk<M: StreamMuxer> {
    muxer: M,
    role: Endpoint,
    stream: Option<M::Substream>,
    /// The connection failed and must not be polled again.
    broken: bool,
    /// Whether the other side may have streams beside that of the gate.
    ///
    /// An honest one has none before it is through, which needs our hello or our verdict. While it
    /// is a stranger, each stream would be one more thing that it makes us keep, so a second one
    /// ends the admission. Once it is a member, its streams stay in the muxer for the Swarm.
    streams_allowed: bool,
}

impl<M> Talk<M>
where
    M: StreamMuxer + Unpin,
    M::Substream: Unpin,
{
    pub(super) const fn new(muxer: M, role: Endpoint) -> Self {
        Self {
            muxer,
            role,
            stream: None,
            broken: false,
            streams_allowed: false,
        }
    }

    pub(super) const fn role(&self) -> Endpoint {
        self.role
    }

    /// The connection as it is, with the streams that nobody has taken yet.
    pub(super) fn into_muxer(self) -> M {
        self.muxer
    }

    /// Opens the stream, or waits until the other side does.
    pub(super) async fn begin(&mut self) -> Result<(), GateError> {
        let role = self.role;
        let stream = self
            .step(|talk, cx| {
                let opened = match role {
                    Endpoint::Dialer => talk.muxer.poll_outbound_unpin(cx),
                    Endpoint::Listener => talk.muxer.poll_inbound_unpin(cx),
                };
                opened.map_err(|_| GateError::Closed)
            })
            .await?;
        self.stream = Some(stream);
        Ok(())
    }

    /// From now on the other side may open further streams.
    pub(super) const fn allow_streams(&mut self) {
        self.streams_allowed = true;
    }

    /// Sends a message that has its length in front.
    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), GateError> {
        let mut left = message;
        while !left.is_empty() {
            let written = self.io(|stream, cx| stream.poll_write(cx, left)).await?;
            if written == 0 {
                return Err(GateError::Closed);
            }
            left = &left[written..];
        }
        self.io(|stream, cx| stream.poll_flush(cx)).await
    }

    /// Receives a message and returns it without its length. Takes no byte more from the stream.
    pub(super) async fn receive<'b>(
        &mut self,
        buffer: &'b mut [u8; Admission::MAX_LEN],
    ) -> Result<&'b [u8], GateError> {
        let mut prefix = [0; Admission::PREFIX_LEN];
        self.read_exact(&mut prefix).await?;
        let message = buffer
            .get_mut(..usize::from(u16::from_be_bytes(prefix)))
            .ok_or(GateError::Reject(Reason::Malformed))?;
        self.read_exact(message).await?;
        Ok(message)
    }

    /// Closes our side of the stream. Written bytes go out when the connection is polled on.
    pub(super) async fn close(&mut self) -> Result<(), GateError> {
        self.io(|stream, cx| stream.poll_close(cx)).await
    }

    /// Sends the last message and keeps the connection until the other side has hung up.
    pub(super) async fn refuse(&mut self, refusal: &[u8]) -> Result<(), GateError> {
        if self.stream.is_none() {
            match self.role {
                Endpoint::Dialer => self.begin().await?,
                Endpoint::Listener => return Ok(()),
            }
        }
        self.send(refusal).await?;
        self.close().await?;
        // Nothing is read any more, so what the other side sends is not held for long.
        self.step(|_, _| Poll::Pending).await
    }

    async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), GateError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let read = self
                .io(|stream, cx| stream.poll_read(cx, &mut buffer[filled..]))
                .await?;
            if read == 0 {
                return Err(GateError::Closed);
            }
            filled += read;
        }
        Ok(())
    }

    async fn io<T>(
        &mut self,
        mut poll: impl FnMut(Pin<&mut M::Substream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, GateError> {
        self.step(|talk, cx| match &mut talk.stream {
            Some(stream) => poll(Pin::new(stream), cx).map_err(|_| GateError::Closed),
            None => Poll::Ready(Err(GateError::Closed)),
        })
        .await
    }

    /// Polls until the step is done, and the connection along with it.
    async fn step<T>(
        &mut self,
        mut poll: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<Result<T, GateError>>,
    ) -> Result<T, GateError> {
        poll_fn(|cx| {
            self.poll_connection(cx)?;
            match poll(self, cx) {
                // Only now: what had arrived before the connection broke could still be read, and
                // often that is a refusal.
                Poll::Pending if self.broken => Poll::Ready(Err(GateError::Closed)),
                result => result,
            }
        })
        .await
    }

    /// Lets the connection read, write, and put down what arrived where the streams find it.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Result<(), GateError> {
        while !self.broken {
            match self.muxer.poll_unpin(cx) {
                // The other side has moved (QUIC); the Swarm learns of the next move.
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => self.broken = true,
                Poll::Pending => break,
            }
        }
        if self.broken || self.streams_allowed || (self.stream.is_none() && self.role.is_listener())
        {
            return Ok(());
        }
        match self.muxer.poll_inbound_unpin(cx) {
            Poll::Ready(Ok(_stranger)) => Err(GateError::Reject(Reason::Malformed)),
            Poll::Ready(Err(_)) => {
                self.broken = true;
                Ok(())
            }
            Poll::Pending => Ok(()),
        }
    }
}
