//! Connections that close in a bounded time.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use tokio::time::{Sleep, sleep};

/// A connection that is closed without the other side's help if it does not come soon.
///
/// To close in peace means to send what is buffered and then a farewell. Through a path that has
/// gone dead that never happens: the socket is full, and the system tries again at intervals that
/// double, for a quarter of an hour. The Swarm counts the connection until it is closed. For so
/// long nobody would dial the peer again, and what is said to it would go to a connection that is
/// no more.
#[derive(Debug)]
pub(super) struct Closing<M, T> {
    muxer: M,
    _kept: T,
    /// When it is dropped as it is, once it is being closed.
    time_limit: Option<Pin<Box<Sleep>>>,
}

impl<M, T> Closing<M, T> {
    /// It keeps `kept` as long as it is there.
    pub(super) const fn new(muxer: M, kept: T) -> Self {
        Self {
            muxer,
            _kept: kept,
            time_limit: None,
        }
    }
}

impl<M: StreamMuxer + Unpin, T: Unpin> StreamMuxer for Closing<M, T> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.get_mut().muxer).poll_inbound(cx)
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.get_mut().muxer).poll_outbound(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let this = self.get_mut();
        if let Poll::Ready(closed) = Pin::new(&mut this.muxer).poll_close(cx) {
            return Poll::Ready(closed);
        }
        let time_limit = this
            .time_limit
            .get_or_insert_with(|| Box::pin(sleep(TIMEOUT)));
        time_limit.as_mut().poll(cx).map(Ok)
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.get_mut().muxer).poll(cx)
    }
}

/// The time that the other side may take to take in what is buffered: some round trips round the
/// world. Bytes in the hands of the system by then are sent all the same.
const TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::io;

    use futures::{future::poll_fn, io::Cursor};
    use libp2p::core::muxing::StreamMuxerExt;

    use super::*;

    /// A connection whose path is dead, or not.
    struct Muxer {
        closes: bool,
    }

    impl StreamMuxer for Muxer {
        type Substream = Cursor<Vec<u8>>;
        type Error = io::Error;

        fn poll_inbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<io::Result<Self::Substream>> {
            Poll::Pending
        }

        fn poll_outbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<io::Result<Self::Substream>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            match self.closes {
                true => Poll::Ready(Err(io::Error::other("as it is"))),
                false => Poll::Pending,
            }
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
            Poll::Pending
        }
    }

    async fn close(closes: bool) -> (io::Result<()>, Duration) {
        let start = tokio::time::Instant::now();
        let mut connection = Closing::new(Muxer { closes }, ());
        let closed = poll_fn(|cx| connection.poll_close_unpin(cx)).await;
        (closed, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_over_a_dead_path_is_closed_all_the_same() {
        let (closed, took) = close(false).await;
        assert!(closed.is_ok());
        assert_eq!(took.as_secs(), TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_closes_does_so_at_once_and_as_it_does() {
        let (closed, took) = close(true).await;
        assert_eq!(closed.expect_err("as it is").to_string(), "as it is");
        assert_eq!(took, Duration::ZERO);
    }
}
