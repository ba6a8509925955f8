use std::future::poll_fn;

use futures::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use libp2p::{PeerId, core::muxing::StreamMuxerExt as _};
use meshcast_proto::{Account, Budget, Payer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::mpsc,
    task::unconstrained,
};

use super::*;
use crate::{netem::Pipe, transport::batching::Batching};

/// A node, and somebody at the other end who writes frames by hand.
struct Flooded {
    muxer: Muxer<Batching<Pipe>>,
    far: DuplexStream,
    /// What the node does not read.
    streams: Vec<Stream>,
}

fn flooded() -> Flooded {
    flooded_with(1 << 20)
}

/// So much may be on its way.
fn flooded_with(room: usize) -> Flooded {
    let (near, far) = duplex(room);
    Flooded {
        muxer: Muxer::new(Batching::new(Pipe(near)), Endpoint::Listener),
        far,
        streams: Vec::new(),
    }
}

impl Flooded {
    /// Lets the node take in what it will, and returns how the connection ended if it did.
    async fn turn(&mut self) -> Option<ConnectionError> {
        poll_fn(|cx| {
            loop {
                match self.muxer.poll_inbound_unpin(cx) {
                    Poll::Ready(Ok(stream)) => self.streams.push(stream),
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(error)),
                    Poll::Pending => return Poll::Ready(None),
                }
            }
        })
        .await
    }

    /// Says this until the node takes no more of it, and returns how much was said.
    async fn flood(&mut self, words: &[u8]) -> usize {
        // It takes as many turns as it needs.
        unconstrained(self.say(words)).await
    }

    async fn say(&mut self, words: &[u8]) -> usize {
        let mut said = 0;
        loop {
            let before = said;
            while let Some(written) = self.far.write(&words[said..]).now_or_never()
                && said < words.len()
            {
                said += written.expect("it is there");
            }
            assert!(self.turn().await.is_none(), "it is there");
            if said == before {
                return said;
            }
        }
    }

    /// Reads what there is, and returns how many bytes.
    fn read(&mut self, into: &mut [u8]) -> usize {
        let mut read = 0;
        for stream in &mut self.streams {
            while let Some(len) = stream.read(into).now_or_never() {
                read += len.expect("it is there");
            }
        }
        read
    }

    /// Says this, and returns how the connection ended.
    async fn ended_by(mut self, words: &[u8]) -> ConnectionError {
        self.far.write_all(words).await.expect("it is there");
        self.turn().await.expect("it ends")
    }

    fn admit(&self, budget: &Budget) -> Account {
        self.admit_of(budget, &FreeRooms::default(), PeerId::random())
    }

    fn admit_of(&self, budget: &Budget, rooms: &FreeRooms, peer: PeerId) -> Account {
        let account = budget.account(Payer::Member([7; 32]));
        self.muxer.unread.admit(account.clone(), rooms.of(peer));
        account
    }
}

/// A frame of data, with flags.
fn frame(stream: u32, flags: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("short");
    [
        &[0, 0, 0, flags][..],
        &stream.to_be_bytes(),
        &len.to_be_bytes(),
        body,
    ]
    .concat()
}

/// Each of so many streams with its least window of data, or less, in frames of that size.
fn windows(streams: u32, size: usize) -> Vec<u8> {
    let all = (0..streams).flat_map(|stream| {
        let first = frame(2 * stream + 1, SYN, &[]);
        let next = frame(2 * stream + 1, 0, &vec![b'a'; size]);
        [first, next.repeat((256 * KIB / size).min(6_000))].concat()
    });
    all.collect()
}

const SYN: u8 = 1;
const KIB: usize = 1024;

#[tokio::test]
async fn a_stranger_does_not_make_a_node_hold_more_than_two_frames() {
    for size in [1, 16, 2_000, 16 * KIB, FRAME] {
        let mut flooded = flooded();
        flooded.flood(&windows(1, size)).await;
        let held = flooded.muxer.unread.held();
        assert!((FRAME / 2..=128 * KIB).contains(&held), "{size}: {held}");
    }
}

#[tokio::test]
async fn what_a_member_makes_a_node_hold_is_charged_to_it() {
    for size in [1, 16, 2_000, 16 * KIB, FRAME] {
        let (mut flooded, budget) = (flooded(), Budget::default());
        let account = flooded.admit(&budget);
        flooded.flood(&windows(15, size)).await;
        let held = flooded.muxer.unread.held();
        assert!(held <= 512 * KIB + account.used(), "{size}: {held}");
        assert!(account.used() <= 5 << 20, "{size}: {}", account.used());
        drop(flooded);
        assert_eq!(account.used(), 0);
    }
}

#[tokio::test]
async fn a_member_without_room_on_its_account_has_its_connection_read_no_further() {
    for size in [1, 2_000, FRAME] {
        let (mut flooded, budget) = (flooded(), Budget::new(0));
        let account = flooded.admit(&budget);
        flooded.flood(&windows(15, size)).await;
        let held = flooded.muxer.unread.held();
        assert!((64 * KIB..=512 * KIB).contains(&held), "{size}: {held}");
        assert_eq!(account.used(), 0);
    }
}

/// For a moment a peer has four, and as many as it likes one after the other.
#[tokio::test]
async fn several_connections_of_a_member_have_no_more_room_without_a_charge_than_one() {
    for size in [2_000, FRAME] {
        for (limit, most) in [(0, 512 * KIB + 4 * FRAME), (256 << 20, usize::MAX)] {
            let (budget, rooms, peer) =
                (Budget::new(limit), FreeRooms::default(), PeerId::random());
            let (mut all, mut account) = (Vec::new(), None);
            for _ in 0..4 {
                let mut flooded = flooded();
                account = Some(flooded.admit_of(&budget, &rooms, peer));
                flooded.flood(&windows(15, size)).await;
                all.push(flooded);
            }
            let held: usize = all.iter().map(|it| it.muxer.unread.held()).sum();
            let charged = account.map_or(0, |account| account.used());
            // Each takes a frame if it has none.
            let free = held.saturating_sub(charged);
            assert!(free <= 512 * KIB + 4 * (FRAME + 64), "{size}: {free}");
            assert!(held <= most.saturating_add(400), "{size}: {held}");
            // What one does not need any more another may have.
            all.clear();
            let mut flooded = flooded();
            flooded.admit_of(&budget, &rooms, peer);
            flooded.flood(&windows(15, size)).await;
            assert!(flooded.muxer.unread.held() > 300 * KIB, "{size}");
        }
    }
}

#[tokio::test]
async fn frames_of_a_byte_are_held_by_their_number() {
    let (mut flooded, budget) = (flooded(), Budget::default());
    flooded.admit(&budget);
    let taken = flooded.flood(&windows(1, 1)).await / (12 + 1);
    // All the rest is on its way.
    assert_eq!(taken, 6_000);
    let held = flooded.muxer.unread.held();
    assert!(held <= 4_096 * 100, "{held}");
}

#[tokio::test]
async fn what_is_read_makes_room_for_more() {
    let (mut flooded, budget) = (flooded(), Budget::new(4 << 20));
    let account = flooded.admit(&budget);
    let words = windows(4, 1_000);
    let (mut said, mut read) = (0, 0);
    while said < words.len() {
        let more = flooded.flood(&words[said..]).await;
        let held = flooded.muxer.unread.held();
        read += flooded.read(&mut [0; 700]);
        assert!(more > 0 && held > 0, "{said} of {}", words.len());
        said += more;
    }
    flooded.turn().await;
    read += flooded.read(&mut [0; 700]);
    assert_eq!(read, 4 * (256 * KIB / 1_000) * 1_000);
    assert_eq!(account.used(), 0);
}

#[tokio::test]
async fn what_is_said_leaves_while_the_connection_waits_for_room() {
    let mut flooded = flooded();
    flooded.admit(&Budget::new(0));
    let words = windows(6, 1_000);
    flooded.flood(&words).await;
    let held = flooded.muxer.unread.held();
    let mut stream = flooded.streams.remove(0);
    stream.write_all(b"a word").await.expect("it is there");
    flooded.turn().await;
    let mut heard = vec![0; 1_000];
    let len = flooded.far.read(&mut heard).await.expect("it is there");
    assert!(heard[..len].windows(6).any(|it| it == b"a word"));
    assert_eq!(flooded.muxer.unread.held(), held);
}

#[tokio::test]
async fn streams_that_were_dropped_hold_nothing_although_the_other_side_does_not_hear_of_it() {
    let mut flooded = flooded_with(64);
    flooded.admit(&Budget::default());
    let words = windows(1, 1_000);
    flooded.flood(&words[..100_000]).await;
    assert!(flooded.muxer.unread.held() > 0);
    flooded.streams.clear();
    assert_eq!(flooded.muxer.unread.held(), 0);
    let (read, said) = (flooded.read(&mut [0; 16]), &words[100_000..]);
    assert_eq!((read, flooded.flood(said).await), (0, said.len()));
    assert_eq!(flooded.muxer.unread.held(), 0);
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_the_connection() {
    let error = flooded().ended_by(&frame(1, SYN, &[0; FRAME + 1])).await;
    assert!(error.to_string().contains("a frame of"), "{error}");
}

#[tokio::test]
async fn more_streams_than_there_may_be_end_the_connection() {
    let streams: Vec<_> = (0..17).flat_map(|n| frame(2 * n + 1, SYN, &[])).collect();
    let error = flooded().ended_by(&streams).await;
    assert!(error.to_string().contains("more streams"), "{error}");
}

/// Lets a connection move bytes, and hands out the streams that the other side opens.
async fn drive(mut muxer: Muxer<Pipe>, opened: mpsc::UnboundedSender<Stream>) {
    poll_fn(|cx| {
        loop {
            match muxer.poll_inbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => drop(opened.send(stream)),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

#[tokio::test]
async fn bytes_come_as_they_went_with_room_for_little() {
    let (near, far) = duplex(10_000);
    let [mut near, far] = [(near, Endpoint::Dialer), (far, Endpoint::Listener)]
        .map(|(io, role)| Muxer::new(Pipe(io), role));
    let free = FreeRooms::default().of(PeerId::random());
    let account = Budget::new(0).account(Payer::Ourselves);
    far.unread.admit(account, free);
    let [one, other] = [(), ()].map(|()| {
        poll_fn(|cx| near.poll_outbound_unpin(cx))
            .now_or_never()
            .expect("at once")
            .expect("opens")
    });
    let (opened, mut streams) = mpsc::unbounded_channel();
    tokio::spawn(drive(near, mpsc::unbounded_channel().0));
    tokio::spawn(drive(far, opened));
    let bytes: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
    let (sent, again) = (bytes.clone(), bytes.clone());
    for (mut stream, bytes) in [(one, sent), (other, again)] {
        tokio::spawn(async move {
            stream.write_all(&bytes).await.expect("it is there");
            stream.close().await.expect("it is there");
        });
    }
    // One is not read before the other is at its end.
    let mut late = streams.recv().await.expect("one is opened");
    let mut stream = streams.recv().await.expect("one is opened");
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.expect("it is there");
    assert!(heard == bytes);
    let mut heard = Vec::new();
    late.read_to_end(&mut heard).await.expect("it is there");
    assert!(heard == bytes);
}
