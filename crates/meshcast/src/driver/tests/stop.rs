//! Nodes that end while there is something to hand over.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::{
    Bytes, Node, Since,
    driver::stop::HAND_OVER,
    node::fixture::{Mesh, addresses, alone, joined, next, open, until, within},
    thread::TIMEOUT,
};

/// Waits until a node ends, and does nothing any more but hand over what was posted.
async fn winds_down(node: &Node) {
    within(async {
        while node.channel::<u32>("another").is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn with_nobody_there_a_node_ends_at_once_whatever_it_posted() {
    let node = alone().await;
    let channel = open::<u32>(&node, "earth");
    for n in 0..100 {
        channel.post_message(&n).expect("posted");
    }
    let before = Instant::now();
    let shutdown = within(node.shutdown()).await;
    assert!(before.elapsed() < HAND_OVER);
    assert!(shutdown.orderly && shutdown.members == 0);
    let [left] = &shutdown.undelivered[..] else {
        panic!("{shutdown:?}")
    };
    assert_eq!((left.channel.as_str(), left.messages), ("earth", 100));
    assert!(left.bytes >= 100);
    let again = within(node.shutdown()).await;
    assert_eq!(again, shutdown, "whoever asks later is told the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_posted_before_anybody_is_connected_is_handed_over_to_a_seed() {
    let mesh = Mesh::new();
    let a = mesh.apart("a").spawn().await.expect("starts");
    let mut heard = open::<u32>(&a, "earth").messages();
    for job in 0..5 {
        let b = mesh.apart("b").seeds(addresses(&a).await);
        let b = b.spawn().await.expect("starts");
        let at_b = open::<u32>(&b, "earth");
        for n in 0..5 {
            at_b.post_message(&(job * 5 + n)).expect("posted");
        }
        let shutdown = within(b.shutdown()).await;
        assert!(shutdown.is_complete(), "{shutdown}");
        for n in 0..5 {
            assert_eq!(next(&mut heard).await, job * 5 + n);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_member_that_comes_back_while_a_node_winds_down_gets_what_it_missed() {
    let mesh = Mesh::new();
    let (a, b) = mesh.pair().await;
    let (_at_a, at_b) = (open::<u32>(&a, "earth"), open::<u32>(&b, "earth"));
    joined(&[&a, &b], "earth").await;
    within(a.abort()).await;
    until(&b, |it| it.peers.is_empty()).await;
    for n in 0..3 {
        at_b.post_message(&n).expect("posted");
    }
    let seeds = addresses(&b).await;
    let ending = tokio::spawn({
        let b = b.clone();
        async move { b.shutdown().await }
    });
    winds_down(&b).await;
    let again = mesh
        .builder("a")
        .seeds(seeds)
        .spawn()
        .await
        .expect("starts");
    let since = Since::Ago(Duration::from_secs(60));
    let mut heard = again
        .channel_since::<u32>("earth", since)
        .expect("opens")
        .messages();
    for n in 0..3 {
        assert_eq!(next(&mut heard).await, n);
    }
    let shutdown = within(ending).await.expect("no panic");
    assert!(shutdown.is_complete(), "{shutdown}");
}

#[tokio::test]
async fn for_a_seed_that_does_not_come_a_node_waits_its_time_and_says_what_nobody_has() {
    let mesh = Mesh::new();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = gone.local_addr().expect("a port").port();
    drop(gone);
    let seed = format!("127.0.0.1:{port}");
    let node = mesh.builder("a").seed(seed).spawn().await.expect("starts");
    let channel = open::<u32>(&node, "earth");
    for n in 0..3 {
        channel.post_message(&n).expect("posted");
    }
    let flushing = node.flush();
    let waits = tokio::time::timeout(Duration::from_millis(100), flushing).await;
    assert!(waits.is_err(), "somebody may come");
    let before = Instant::now();
    let shutdown = within(node.shutdown()).await;
    assert!(before.elapsed() >= HAND_OVER);
    let left: Vec<_> = shutdown
        .undelivered
        .iter()
        .map(|left| left.messages)
        .collect();
    assert_eq!((left, shutdown.members), (vec![3], 0));
}

#[test]
fn whoever_drops_the_last_handle_waits_a_while_if_somebody_may_come() {
    let runtime = tokio::runtime::Runtime::new().expect("starts");
    let mesh = Mesh::new();
    let drop_with = |seeds: &[&str]| {
        let builder = mesh.apart("a").seeds(seeds.iter().copied());
        let node = runtime.block_on(builder.spawn()).expect("starts");
        let posted = open::<u32>(&node, "earth").post_message(&1);
        posted.expect("posted");
        let before = Instant::now();
        drop(node);
        before.elapsed()
    };
    assert!(drop_with(&["127.0.0.1:1"]) >= TIMEOUT, "nobody is there");
    assert!(drop_with(&[]) < HAND_OVER, "nobody can come");
}

#[tokio::test]
async fn to_abort_cuts_winding_down_short() {
    let mesh = Mesh::new();
    let node = mesh.builder("a").seed("127.0.0.1:1");
    let node = node.spawn().await.expect("starts");
    open::<u32>(&node, "earth")
        .post_message(&1)
        .expect("posted");
    let before = Instant::now();
    let (ended, ()) = tokio::join!(within(node.shutdown()), async {
        winds_down(&node).await;
        // Also meanwhile it answers.
        within(node.inspect()).await.expect("still winds down");
        within(node.abort()).await;
    });
    assert!(before.elapsed() < HAND_OVER);
    assert!(!ended.orderly);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_flush_waits_until_somebody_has_what_was_posted() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    let heard = open::<u32>(&a, "earth");
    let b = mesh
        .builder("b")
        .seeds(addresses(&a).await)
        .spawn()
        .await
        .expect("starts");
    let at_b = open::<u32>(&b, "earth");
    for n in 0..1_000 {
        at_b.post_message(&n).expect("posted");
    }
    let flushed = within(b.flush()).await.expect("runs");
    assert!(flushed.is_complete() && flushed.members == 1, "{flushed}");
    // Nothing is left behind by a process that ends now.
    within(b.abort()).await;
    let mut messages = heard.messages();
    for n in 0..1_000 {
        assert_eq!(next(&mut messages).await, n);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_flush_says_what_nobody_wants() {
    let mesh = Mesh::new();
    let a = alone().await;
    open::<u32>(&a, "earth").post_message(&1).expect("posted");
    let flushed = within(a.flush()).await.expect("runs");
    let left: Vec<_> = flushed
        .undelivered
        .iter()
        .map(|left| left.messages)
        .collect();
    assert_eq!((left, flushed.members), (vec![1], 0), "{flushed}");
    let (b, c) = mesh.pair().await;
    let _elsewhere = open::<u32>(&c, "moon");
    open::<u32>(&b, "earth").post_message(&1).expect("posted");
    let flushed = within(b.flush()).await.expect("runs");
    let left: Vec<_> = flushed
        .undelivered
        .iter()
        .map(|left| left.messages)
        .collect();
    assert_eq!((left, flushed.members), (vec![1], 1), "{flushed}");
    within(b.shutdown()).await;
    b.flush().await.expect_err("it has stopped");
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
    let mut heard_small: Vec<_> = small
        .iter()
        .map(crate::BroadcastChannel::messages)
        .collect();
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("starts").block_on(async move {
            let node = mesh
                .builder("b")
                .seeds(seeds)
                .spawn()
                .await
                .expect("starts");
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
