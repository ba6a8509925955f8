use std::collections::VecDeque;

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use proptest::prelude::*;

use super::*;

/// A socket that takes and gives what it is told to, call by call; what it takes comes back.
#[derive(Debug, Default)]
struct Echo {
    /// The bytes that each call to write takes, and each to read gives; nothing: it is not ready.
    takes: VecDeque<usize>,
    gives: VecDeque<usize>,
    inside: VecDeque<u8>,
    writes: usize,
    reads: usize,
    closed: bool,
}

impl AsyncWrite for Echo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        self.writes += 1;
        match self.takes.pop_front().unwrap_or(bytes.len()) {
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            most => {
                let len = most.min(bytes.len());
                self.inside.extend(&bytes[..len]);
                Poll::Ready(Ok(len))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Echo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize>> {
        self.reads += 1;
        let most = self.gives.pop_front().unwrap_or(into.len());
        let len = most.min(into.len()).min(self.inside.len());
        if len == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        for (to, byte) in into.iter_mut().zip(self.inside.drain(..len)) {
            *to = byte;
        }
        Poll::Ready(Ok(len))
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8).collect()
}

#[tokio::test]
async fn what_was_flushed_in_pieces_goes_out_in_one_with_the_next_read() {
    let mut batching = Batching::new(Echo::default());
    for piece in pattern(4 * 1000).chunks(1000) {
        batching.write_all(piece).await.expect("written");
        batching.flush().await.expect("flushed");
    }
    assert_eq!(batching.io.writes, 0);
    let mut back = vec![0; 4 * 1000];
    for piece in back.chunks_mut(1000) {
        batching.read_exact(piece).await.expect("it comes back");
    }
    assert_eq!(back, pattern(4 * 1000));
    assert_eq!((batching.io.writes, batching.io.reads), (1, 1));
}

#[tokio::test]
async fn what_was_flushed_goes_out_without_a_read_if_it_is_flushed_again() {
    let mut batching = Batching::new(Echo::default());
    for word in [&b"one"[..], b"two"] {
        batching.write_all(word).await.expect("written");
        batching.flush().await.expect("flushed");
    }
    assert_eq!(batching.io.writes, 0);
    batching.flush().await.expect("flushed");
    assert_eq!(batching.io.inside, b"onetwo");
}

#[tokio::test]
async fn no_more_than_two_batches_wait_for_a_socket_that_takes_nothing() {
    let mut batching = Batching::new(Echo {
        takes: vec![0; 1000].into(),
        ..Echo::default()
    });
    let piece = pattern(BATCH / 2 + 1);
    let written = (0..10).take_while(|_| batching.write(&piece).now_or_never().is_some());
    assert_eq!(written.count(), 2);
}

#[tokio::test]
async fn closing_sends_what_waits_before() {
    let mut batching = Batching::new(Echo::default());
    batching.write_all(b"farewell").await.expect("written");
    batching.close().await.expect("closed");
    assert!(batching.io.closed);
    assert_eq!(batching.io.inside, b"farewell");
}

#[tokio::test]
async fn what_cannot_be_sent_is_told_to_who_reads() {
    let mut full = [0; 3];
    let mut batching = Batching::new(futures::io::Cursor::new(&mut full[..]));
    batching.write_all(b"four").await.expect("written");
    let error = batching
        .read(&mut [0; 8])
        .await
        .expect_err("there is no room");
    assert_eq!(error.kind(), ErrorKind::WriteZero);
}

proptest! {
    /// In any case, the bytes are the same, in order.
    #[test]
    fn bytes_come_as_they_went(
        takes in prop::collection::vec(prop_oneof![Just(0_usize), 1..3 * BATCH], 0..20),
        gives in prop::collection::vec(prop_oneof![Just(0_usize), 1..3 * BATCH], 0..20),
        pieces in prop::collection::vec((1..2 * BATCH, any::<bool>()), 1..12),
        room in 1..2 * BATCH,
    ) {
        let echo = Echo { takes: takes.into(), gives: gives.into(), ..Echo::default() };
        let mut batching = Batching::new(echo);
        let all = pattern(pieces.iter().map(|(len, _)| len).sum());
        let (mut left, mut back, mut into) = (&all[..], Vec::new(), vec![0; room]);
        for (len, reads) in pieces {
            let (piece, later) = left.split_at(len);
            left = later;
            futures::executor::block_on(batching.write_all(piece)).expect("written");
            if reads {
                let read = futures::executor::block_on(batching.read(&mut into)).expect("read");
                back.extend_from_slice(&into[..read]);
            }
        }
        while back.len() < all.len() {
            let read = futures::executor::block_on(batching.read(&mut into)).expect("read");
            back.extend_from_slice(&into[..read]);
        }
        prop_assert_eq!(back, all);
    }
}
