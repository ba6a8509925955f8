//! Nodes that end while there is something to hand over.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::{
    Bytes, Node,
    driver::stop::HAND_OVER,
    node::fixture::{Mesh, addresses, alone, joined, next, open, within},
};

#[tokio::test]
async fn with_nobody_there_a_node_ends_at_once_whatever_it_posted() {
    let node = alone().await;
    let channel = open::<u32>(&node, "earth");
    for n in 0..100 {
        channel.post_message(&n).expect("posted");
    }
    let before = Instant::now();
    within(node.shutdown()).await;
    assert!(before.elapsed() < HAND_OVER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_of_a_moment_posts_arrives() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    let mut heard = open::<u32>(&a, "earth").messages();
    for job in 0..10 {
        let b = mesh.node("b", &[&a]).await;
        let at_b = open::<u32>(&b, "earth");
        within(b.ready()).await.expect("runs");
        for n in 0..10 {
            at_b.post_message(&(job * 10 + n)).expect("posted");
        }
        within(b.shutdown()).await;
    }
    // Between jobs there is no order.
    let mut next_of = [0; 10];
    for _ in 0..100 {
        let n: u32 = next(&mut heard).await;
        let next_of = &mut next_of[n as usize / 10];
        assert_eq!(*next_of, n % 10);
        *next_of += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_outbox_and_many_channels_are_handed_over() {
    // What a busy machine in a build without optimization hands over well within the time.
    let mesh = Mesh::new();
    let limits = crate::Limits {
        outbox_bytes: 1_000_000,
        ..crate::Limits::default()
    };
    let a = mesh.node("a", &[]).await;
    let b = mesh.builder("b").limits(limits).seeds(addresses(&a).await);
    let b = b.spawn().await.expect("starts");
    let (large, from) = (open::<Bytes>(&a, "large"), open::<Bytes>(&b, "large"));
    let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let small: Vec<_> = names.iter().map(|name| open::<u32>(&a, name)).collect();
    let from_small: Vec<_> = names.iter().map(|name| open::<u32>(&b, name)).collect();
    let mut heard = large.messages();
    let mut heard_small: Vec<_> = small.iter().map(crate::BroadcastChannel::messages).collect();
    joined(&[&a, &b], "39").await;
    let message = Bytes::from(vec![7; 200_000]);
    let mut posted = 0;
    while from.post_message(&message).is_ok() {
        posted += 1;
    }
    for channel in &from_small {
        channel.post_message(&1).expect("posted");
    }
    let reading = tokio::spawn(async move {
        for _ in 0..posted {
            assert_eq!(next(&mut heard).await.len(), 200_000);
        }
        for heard in &mut heard_small {
            assert_eq!(next(heard).await, 1);
        }
    });
    within(b.shutdown()).await;
    within(reading).await.expect("all arrived");
}

#[tokio::test]
async fn a_peer_that_does_not_move_is_waited_for_and_not_for_long() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    let at_a = open::<u32>(&a, "earth");
    let seeds = addresses(&a).await;
    let (spawned, when_spawned) = tokio::sync::oneshot::channel::<Node>();
    let (release, released) = mpsc::sync_channel::<()>(1);
    let (freeze, frozen) = tokio::sync::oneshot::channel::<()>();
    // A node whose only thread can be stopped.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("starts").block_on(async move {
            let node = mesh.builder("b").seeds(seeds).spawn().await.expect("starts");
            let _channel = open::<u32>(&node, "earth");
            assert!(spawned.send(node.clone()).is_ok());
            frozen.await.expect("told to");
            // An error means that the test is over.
            let _ = released.recv();
        });
    });
    let b = within(when_spawned).await.expect("starts");
    joined(&[&a, &b], "earth").await;
    freeze.send(()).expect("still waits");
    drop(b);
    // Whether it has stopped by now or soon: this one it may get, or not.
    at_a.post_message(&1).expect("posted");
    let before = Instant::now();
    within(a.shutdown()).await;
    assert!(before.elapsed() < HAND_OVER + Duration::from_secs(10));
    drop(release);
    thread.join().expect("ends");
}
