//! On which links anything passes, whatever it is.
//!
//! The bytes of a connection are seen where its streams are read: also a large message that is not
//! whole yet, and also copies that nobody above hears of. So a link that carries much slowly is not
//! taken for one that carries nothing.
//!
//! A connection of a peer is [`watched`], and holds a claim on the [signs](signs::Signs) of that
//! peer ([`per_peer`]): all of its connections leave the same.
//!
//! May use: `by_region`.
//! Must not: know what the bytes are, or read a clock. The driver asks, and knows when.

mod per_peer;
mod signs;
mod watched;

use std::sync::atomic::Ordering::Relaxed;
#[cfg(feature = "metrics")]
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;
use meshcast_proto::Region;

#[cfg(feature = "metrics")]
use self::signs::Bytes;
use self::{per_peer::PerPeer, signs::Signs, watched::Watched};
#[cfg(feature = "metrics")]
use crate::by_region::ByRegion;

/// What passes between this node and each peer. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    peers: PerPeer<Signs>,
    #[cfg(feature = "metrics")]
    regions: Arc<Mutex<ByRegion<Arc<Bytes>>>>,
}

/// The number of bytes that passed since the node was started, before encryption.
#[cfg(feature = "metrics")]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PassedBytes {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// The bytes between this node and a peer since somebody looked.
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
        Watched::new(muxer, self.peers.claim(peer, signs))
    }

    /// What passed since this was last asked.
    pub(crate) fn take(&self, peer: &PeerId) -> Passed {
        let signs = self.peers.get(peer);
        signs.map_or_else(Passed::default, |signs| Passed {
            received: signs.received.swap(false, Relaxed),
            sent: signs.sent.swap(false, Relaxed),
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
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use futures::{AsyncReadExt, AsyncWriteExt, executor::block_on, future::poll_fn, io::Cursor};
    use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent, StreamMuxerExt};

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
    fn bytes_of_all_streams_and_connections_of_a_peer_are_counted_once() {
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
    }
}
