//! What a receipt says.

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};

use meshcast_proto::MAX_FRAGMENT_LEN;

use crate::{
    AckError, Bytes, Limits,
    channel::Awaited,
    node::fixture::{Mesh, alone, joined, open, until, within},
};

/// On one thread nothing leaves before the test yields.
#[tokio::test]
async fn a_receipt_says_when_the_message_left_with_which_number_and_who_has_it() {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<Bytes>(&a, "earth"), open::<Bytes>(&b, "earth"));
    joined(&[&a, &b], "earth").await;
    let large = at_a
        .post_message(&Bytes::from(vec![0; MAX_FRAGMENT_LEN + 1]))
        .expect("posted");
    let small = at_a.post_message(&Bytes::new()).expect("posted");
    assert!(small.is_queued() && small.seq().is_none());
    assert_eq!(within(small.acked(1)).await, Ok(1));
    assert_eq!(within(large.clone().acked(1)).await, Ok(1));
    assert_eq!((large.seq(), small.seq()), (Some(2), Some(3)));
    assert!(!small.is_queued());
    // Two there are not.
    assert!(small.acked(2).now_or_never().is_none());
    assert_eq!(within(small.acked(0)).await, Ok(1));
    drop(at_b);
}

#[tokio::test]
async fn whoever_waits_is_told_when_the_first_peer_comes_and_has_it() {
    let mesh = Mesh::new();
    let b = mesh.node("b", &[]).await;
    let _at_b = open::<u8>(&b, "earth");
    let a = mesh.node("a", &[&b]).await;
    let at_a = open::<u8>(&a, "earth");
    let receipt = at_a.post_message(&1).expect("posted");
    at_a.close();
    assert_eq!(within(receipt.acked(1)).await, Ok(1));
}

#[tokio::test]
async fn nobody_answers_for_expired_frames() {
    let limits = Limits {
        history_bytes: 50_000,
        ..Limits::default()
    };
    let builder = Mesh::new().builder("a").limits(limits);
    let node = builder.spawn().await.expect("starts");
    let channel = open::<Bytes>(&node, "earth");
    let first = channel
        .post_message(&Bytes::from(vec![0; 40_000]))
        .expect("posted");
    assert_eq!(within(first.acked(0)).await, Ok(0), "it has left");
    let mut waiting = std::pin::pin!(first.acked(1));
    assert!(futures::poll!(&mut waiting).is_pending());
    channel
        .post_message(&Bytes::from(vec![0; 40_000]))
        .expect("posted");
    assert_eq!(within(waiting).await, Err(AckError::Expired));
    assert_eq!(within(first.acked(0)).await, Err(AckError::Expired));
}

#[tokio::test]
async fn whoever_waits_learns_that_the_node_has_stopped() {
    let node = alone().await;
    let channel = open::<u8>(&node, "earth");
    let receipt = channel.post_message(&1).expect("posted");
    let mut waiting = std::pin::pin!(receipt.acked(1));
    assert!(futures::poll!(&mut waiting).is_pending());
    within(node.shutdown()).await;
    assert_eq!(within(waiting).await, Err(AckError::Closed));
    assert_eq!(within(receipt.acked(0)).await, Err(AckError::Closed));
    assert_eq!(receipt.seq(), Some(1), "it left before");
}

#[tokio::test]
async fn no_more_wait_than_may_and_those_who_leave_make_room() {
    let node = alone().await;
    let channel = open::<u8>(&node, "earth");
    let receipt = channel.post_message(&1).expect("posted");
    within(receipt.acked(0)).await.expect("left");
    let mut waiting: FuturesUnordered<_> = (0..=Awaited::MOST).map(|_| receipt.acked(1)).collect();
    let limit = Awaited::MOST;
    assert_eq!(
        within(waiting.next()).await,
        Some(Err(AckError::TooMany { limit }))
    );
    drop(waiting);
    // The driver looks after them once a second, and whenever something happens.
    within(async {
        while receipt.acked(0).await.is_err() {
            channel.post_message(&2).expect("posted");
            tokio::task::yield_now().await;
        }
    })
    .await;
    until(&node, |it| it.counters.posted > 0).await;
}
