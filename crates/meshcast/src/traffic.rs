//! On which links anything passes, whatever it is.
//!
//! What a connection brings is seen where its streams are read: also a large message that is not
//! whole yet, and also copies that nobody above hears of. So a link that carries much slowly is not
//! taken for one that carries nothing.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId,
    core::muxing::{StreamMuxer, StreamMuxerEvent},
};
use meshcast_proto::Region;

#[cfg(feature = "metrics")]
use crate::by_region::ByRegion;

/// What passes between this node and each peer. Clones are the same.
///
/// An entry lives as long as a connection of its peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    peers: Arc<Mutex<HashMap<PeerId, Entry>>>,
    #[cfg(feature = "metrics")]
    regions: Arc<Mutex<ByRegion<Arc<Bytes>>>>,
}

#[derive(Debug)]
struct Entry {
    signs: Arc<Signs>,
    connections: usize,
}

/// Whether anything passed since somebody looked, by whichever connection.
#[derive(Debug, Default)]
struct Signs {
    received: AtomicBool,
    sent: AtomicBool,
    /// With all others of its region.
    #[cfg(feature = "metrics")]
    bytes: Arc<Bytes>,
}

/// How much passed, before encryption.
#[cfg(feature = "metrics")]
#[derive(Debug, Default)]
struct Bytes {
    received: std::sync::atomic::AtomicU64,
    sent: std::sync::atomic::AtomicU64,
}

/// How many bytes passed since the node was started, before encryption.
#[cfg(feature = "metrics")]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PassedBytes {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

impl Signs {
    fn received(&self, bytes: usize) {
        if bytes > 0 {
            self.received.store(true, Relaxed);
            #[cfg(feature = "metrics")]
            self.bytes.received.fetch_add(bytes as u64, Relaxed);
        }
    }

    fn sent(&self, bytes: usize) {
        if bytes > 0 {
            self.sent.store(true, Relaxed);
            #[cfg(feature = "metrics")]
            self.bytes.sent.fetch_add(bytes as u64, Relaxed);
        }
    }
}

/// What passed between this node and a peer since somebody looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) received: bool,
    pub(crate) sent: bool,
}

impl Traffic {
    /// Watches a connection to a peer of a region; `None` if it broke meanwhile.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "counted for metrics")
    )]
    pub(crate) fn watch<M>(&self, peer: PeerId, region: Option<&Region>, muxer: M) -> Watched<M> {
        let signs = || Signs {
            #[cfg(feature = "metrics")]
            bytes: region.map_or_else(Arc::default, |it| Arc::clone(self.regions().get(it))),
            ..Signs::default()
        };
        let mut peers = self.lock();
        let entry = peers.entry(peer).or_insert_with(|| Entry {
            signs: Arc::new(signs()),
            connections: 0,
        });
        entry.connections += 1;
        Watched {
            muxer,
            signs: Arc::clone(&entry.signs),
            _watch: Watch {
                traffic: self.clone(),
                peer,
            },
        }
    }

    /// What passed since this was last asked.
    pub(crate) fn take(&self, peer: &PeerId) -> Passed {
        self.lock()
            .get(peer)
            .map_or_else(Passed::default, |entry| Passed {
                received: entry.signs.received.swap(false, Relaxed),
                sent: entry.signs.sent.swap(false, Relaxed),
            })
    }

    /// What passed to and from each region.
    #[cfg(feature = "metrics")]
    pub(crate) fn bytes(&self) -> ByRegion<PassedBytes> {
        self.regions().map(|bytes| PassedBytes {
            received: bytes.received.load(Relaxed),
            sent: bytes.sent.load(Relaxed),
        })
    }

    #[cfg(feature = "metrics")]
    fn regions(&self) -> MutexGuard<'_, ByRegion<Arc<Bytes>>> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No code panics while it holds the lock, and each change is complete in itself.
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Entry>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's claim on an entry, given up when dropped.
#[derive(Debug)]
struct Watch {
    traffic: Traffic,
    peer: PeerId,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut peers = self.traffic.lock();
        if let Some(entry) = peers.get_mut(&self.peer) {
            entry.connections -= 1;
            if entry.connections == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

/// A connection, unchanged, of which is noted whether it brings and takes anything.
#[derive(Debug)]
pub(crate) struct Watched<M> {
    muxer: M,
    signs: Arc<Signs>,
    _watch: Watch,
}

impl<M> Watched<M> {
    fn watch<S>(&self, stream: S) -> WatchedStream<S> {
        WatchedStream {
            stream,
            signs: Arc::clone(&self.signs),
        }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Watched<M>
where
    M::Substream: Unpin,
{
    type Substream = WatchedStream<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.muxer).poll_inbound(cx);
        polled.map_ok(|stream| this.watch(stream))
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.muxer).poll_outbound(cx);
        polled.map_ok(|stream| this.watch(stream))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.get_mut().muxer).poll_close(cx)
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.get_mut().muxer).poll(cx)
    }
}

/// A stream of a [`Watched`] connection.
#[derive(Debug)]
pub(crate) struct WatchedStream<S> {
    stream: S,
    signs: Arc<Signs>,
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(cx, into);
        if let Poll::Ready(Ok(bytes)) = read {
            this.signs.received(bytes);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(bytes)) = written {
            this.signs.sent(bytes);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{AsyncReadExt, AsyncWriteExt, executor::block_on, future::poll_fn, io::Cursor};
    use libp2p::core::muxing::StreamMuxerExt;

    use super::*;

    /// Each stream brings three bytes and takes as many.
    struct Muxer;

    impl StreamMuxer for Muxer {
        type Substream = Cursor<Vec<u8>>;
        type Error = Infallible;

        fn poll_inbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Infallible>> {
            Poll::Ready(Ok(Cursor::new(vec![1, 2, 3])))
        }

        fn poll_outbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Infallible>> {
            Poll::Ready(Ok(Cursor::new(Vec::new())))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn poll(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<StreamMuxerEvent, Infallible>> {
            Poll::Pending
        }
    }

    #[test]
    fn what_any_stream_of_any_connection_of_a_peer_brings_and_takes_is_noted_once() {
        let (traffic, peer) = (Traffic::default(), PeerId::random());
        let region = Region::new("fra").expect("a region");
        let region = Some(&region);
        let mut one = traffic.watch(peer, region, Muxer);
        let mut two = traffic.watch(peer, region, Muxer);
        let nothing = Passed::default();
        assert_eq!(traffic.take(&peer), nothing);
        let mut inbound = block_on(poll_fn(|cx| one.poll_inbound_unpin(cx))).expect("a stream");
        let mut outbound = block_on(poll_fn(|cx| two.poll_outbound_unpin(cx))).expect("a stream");
        assert_eq!(traffic.take(&peer), nothing, "no byte has passed");
        let mut bytes = [0; 2];
        block_on(inbound.read_exact(&mut bytes)).expect("three bytes");
        let expected = Passed {
            received: true,
            sent: false,
        };
        assert_eq!(
            (traffic.take(&peer), traffic.take(&peer)),
            (expected, nothing)
        );
        block_on(outbound.write_all(&bytes)).expect("taken");
        assert!(traffic.take(&peer).sent);
        #[cfg(feature = "metrics")]
        {
            let bytes = traffic.bytes();
            let bytes = bytes.iter();
            let bytes: Vec<_> = bytes
                .map(|(name, it)| (name, it.received, it.sent))
                .collect();
            assert_eq!(bytes, [("fra", 2, 2)]);
        }
        assert_eq!(traffic.take(&PeerId::random()), nothing);
        drop((one, outbound));
        assert_eq!(traffic.lock().len(), 1);
        drop(two);
        assert!(traffic.lock().is_empty());
    }
}
