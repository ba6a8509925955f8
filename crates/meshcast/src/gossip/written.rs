//! What connections have written of what gossip gave to their peers.
//!
//! gossipsub has a queue for each peer and tells nobody what is in it. It writes one frame after
//! the other, so how many it has written tells which are left. That is seen on the streams that it
//! opens: they begin with its name, and what follows are messages, each with its length.

use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed},
        fence,
    },
};

use libp2p::{
    PeerId, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed},
};

use crate::{
    per_peer::{Claim, PerPeer},
    watched::{Watch, WatchStream, Watched},
};

/// What is written to each peer. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Written(PerPeer<Count>);

/// What gossip has written to a peer, by whichever connection.
#[derive(Debug, Default)]
pub(super) struct Count {
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl Count {
    /// Frames that are written, or were begun when their stream ended.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// Bytes of frames and all else.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Whether no connection counts any more: what is written by another is counted anew.
    pub(super) fn is_over(self: &Arc<Self>) -> bool {
        // One is that of whoever asks.
        let is_over = Arc::strong_count(self) == 1;
        // What was counted before the others were dropped is seen from now on.
        fence(Acquire);
        is_over
    }

    #[cfg(test)]
    pub(super) fn add(&self, frames: u64, bytes: u64) {
        self.frames.fetch_add(frames, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }
}

impl Written {
    /// Counts what is written on the connections of a transport.
    pub(super) fn over(
        &self,
        transport: Boxed<(PeerId, StreamMuxerBox)>,
    ) -> Boxed<(PeerId, StreamMuxerBox)> {
        let written = self.clone();
        let watch = move |(peer, muxer)| {
            let claim = written.0.claim(peer, Count::default);
            (peer, StreamMuxerBox::new(Watched::new(muxer, claim)))
        };
        transport
            .map(move |connection, _| watch(connection))
            .boxed()
    }

    /// What is written to a peer; `None` if it has no connection that is watched.
    pub(super) fn to(&self, peer: &PeerId) -> Option<Arc<Count>> {
        self.0.get(peer)
    }

    #[cfg(test)]
    pub(super) fn watched(&self, peer: PeerId) -> Arc<Count> {
        self.0.begin(peer, Count::default)
    }

    /// The last connection of a peer that is counted is gone.
    #[cfg(test)]
    pub(super) fn end(&self, peer: &PeerId) {
        self.0.end(peer);
    }
}

impl Watch for Claim<Count> {
    /// `None` if it is none of gossip.
    type Stream = Option<Speech>;

    fn inbound(&self) -> Option<Speech> {
        None
    }

    fn outbound(&self) -> Option<Speech> {
        Some(Speech::new(Arc::clone(self.of())))
    }
}

impl WatchStream for Option<Speech> {
    fn on_write(&mut self, bytes: &[u8]) {
        if let Some(speech) = self {
            speech.hear(bytes);
            if speech.topic == Topic::Other {
                *self = None;
            }
        }
    }
}

/// What is said on a stream that was opened here, as far as is needed to tell what it is: messages,
/// each after its length, of which the first two negotiate the protocol.
#[derive(Debug)]
pub(super) struct Speech {
    count: Arc<Count>,
    topic: Topic,
    /// The length of the message that begins, or how much of it is left.
    len: usize,
    /// How many bits of the length are known; `None` inside of a message.
    bits: Option<u32>,
    /// How the message begins.
    head: [u8; GOSSIP.len()],
    head_len: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic {
    /// Nothing was said.
    Unknown,
    /// The protocol follows that two agree by on another.
    Negotiation,
    Gossip,
    Other,
}

impl Speech {
    const fn new(count: Arc<Count>) -> Self {
        Self {
            count,
            topic: Topic::Unknown,
            len: 0,
            bits: Some(0),
            head: [0; GOSSIP.len()],
            head_len: 0,
        }
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        if self.topic == Topic::Gossip {
            self.count.bytes.fetch_add(bytes.len() as u64, Relaxed);
        }
        while self.topic != Topic::Other
            && let Some((&first, rest)) = bytes.split_first()
        {
            match self.bits {
                // No message is so long.
                Some(28..) => self.topic = Topic::Other,
                Some(bits) => {
                    self.len |= usize::from(first & 0x7f) << bits;
                    self.bits = Some(bits + 7);
                    if first & 0x80 == 0 {
                        self.bits = (self.len == 0).then_some(0);
                        self.head_len = 0;
                    }
                    bytes = rest;
                }
                None => {
                    let (some, rest) = bytes.split_at(self.len.min(bytes.len()));
                    for (to, from) in self.head.iter_mut().skip(self.head_len).zip(some) {
                        *to = *from;
                        self.head_len += 1;
                    }
                    self.len -= some.len();
                    if self.len == 0 {
                        self.end_message();
                    }
                    bytes = rest;
                }
            }
        }
    }

    fn end_message(&mut self) {
        let head = self.head.get(..self.head_len).unwrap_or_default();
        match self.topic {
            Topic::Unknown if NEGOTIATION.starts_with(head) => self.topic = Topic::Negotiation,
            Topic::Negotiation if head == GOSSIP => self.topic = Topic::Gossip,
            Topic::Gossip if head.first() == Some(&FRAME) => {
                self.count.frames.fetch_add(1, Relaxed);
            }
            Topic::Gossip => {}
            _ => self.topic = Topic::Other,
        }
        self.bits = Some(0);
    }
}

impl Drop for Speech {
    /// What gossipsub has taken from its queue for this stream is not written any more: one frame,
    /// whether a byte of it was written or none. To count one too many is made up for when nothing
    /// waits; one too few would stay charged.
    fn drop(&mut self) {
        if self.topic == Topic::Gossip {
            self.count.frames.fetch_add(1, Relaxed);
        }
    }
}

/// How the name of the protocol begins by which two agree on another, and those of gossipsub.
const NEGOTIATION: &[u8] = b"/multistream/";
const GOSSIP: &[u8; 9] = b"/meshsub/";

/// With what an RPC begins that holds a frame: the field `publish`, which has a length.
const FRAME: u8 = 2 << 3 | 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        let mut len = bytes.len();
        while len >= 0x80 {
            message.push((len & 0x7f) as u8 | 0x80);
            len >>= 7;
        }
        message.push(len as u8);
        message.extend_from_slice(bytes);
        message
    }

    fn frame(len: usize) -> Vec<u8> {
        let mut rpc = vec![7; len];
        rpc[0] = FRAME;
        message(&rpc)
    }

    fn begun(protocol: &[u8]) -> Vec<u8> {
        [message(b"/multistream/1.0.0\n"), message(protocol)].concat()
    }

    fn count() -> Arc<Count> {
        Arc::default()
    }

    #[test]
    fn frames_are_counted_however_they_are_cut_and_nothing_else_is() {
        let other_proposal = message(b"/meshsub/1.1.0\n");
        let subscription = message(&[1 << 3 | 2, 3, 1, 2, 3]);
        let said = [
            begun(b"/meshsub/1.3.0\n"),
            other_proposal,
            subscription,
            frame(1),
            message(b""),
            frame(300_000),
            frame(200),
        ]
        .concat();
        for cut in [1, 2, 3, 100, 4_096, said.len()] {
            let count = count();
            let mut speech = Speech::new(Arc::clone(&count));
            said.chunks(cut).for_each(|some| speech.hear(some));
            assert_eq!(count.frames(), 3, "{cut}");
            drop(speech);
            assert_eq!(count.frames(), 4, "one may have been taken for it");
        }
    }

    #[test]
    fn a_frame_that_was_begun_is_over_with_its_stream() {
        let count = count();
        let mut speech = Speech::new(Arc::clone(&count));
        speech.hear(&begun(b"/meshsub/1.3.0\n"));
        speech.hear(&frame(1000)[..500]);
        assert_eq!((count.frames(), count.bytes()), (0, 500));
        drop(speech);
        assert_eq!(count.frames(), 1);
    }

    #[test]
    fn what_other_protocols_say_does_not_count() {
        for protocol in [b"/meshcast/sync/1\n".as_slice(), b"/ipfs/ping/1.0.0\n"] {
            let count = count();
            let mut speech = Speech::new(Arc::clone(&count));
            speech.hear(&begun(protocol));
            speech.hear(&frame(10));
            assert_eq!(speech.topic, Topic::Other);
            drop(speech);
            assert_eq!((count.frames(), count.bytes()), (0, 0));
        }
        let count = count();
        let mut speech = Speech::new(Arc::clone(&count));
        speech.hear(&[0xff; 100]);
        assert_eq!(speech.topic, Topic::Other);
    }
}
