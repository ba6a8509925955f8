//! Looking at a node does not hold it up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    Node,
    node::fixture::{Mesh, addresses, joined, next, open, until, within},
};

/// So many of its channels are open at the same time.
const CHANNELS: usize = 1_000;

/// Two connected nodes, each on a thread of its own, with many channels open at both.
async fn busy_pair() -> (Node, Node, Vec<crate::BroadcastChannel<u32>>) {
    let mesh = Mesh::new();
    let a = mesh.apart("a").spawn().await.expect("starts");
    let b = mesh.apart("b").seeds(addresses(&a).await);
    let b = b.spawn().await.expect("starts");
    let mut channels = Vec::new();
    for n in 0..CHANNELS {
        channels.extend([&a, &b].map(|node| open::<u32>(node, &format!("room-{n}"))));
    }
    joined(&[&a, &b], "room-999").await;
    (a, b, channels)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_inspects_in_a_loop_holds_up_no_message() {
    let (a, b, _channels) = busy_pair().await;
    let (at_a, at_b) = (open::<u32>(&a, "earth"), open::<u32>(&b, "earth"));
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    let over = Arc::new(AtomicBool::new(false));
    let looking: Vec<_> = (0..4)
        .map(|_| (b.clone(), Arc::clone(&over)))
        .map(|(b, over)| {
            tokio::spawn(async move {
                let mut looks = 0;
                while !over.load(Ordering::Relaxed) {
                    let snapshot = b.inspect().await.expect("runs");
                    assert!(snapshot.channels.len() > CHANNELS);
                    looks += 1;
                }
                looks
            })
        })
        .collect();
    let mut took = Vec::new();
    for n in 0..1_000 {
        let start = Instant::now();
        at_a.post_message(&n).expect("posted");
        assert_eq!(next(&mut heard).await, n);
        took.push(start.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    let mut looks = 0;
    for looking in looking {
        looks += within(looking).await.expect("no panic");
    }
    took.sort();
    let (median, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    eprintln!("{looks} looks at {CHANNELS} channels; p50 {median:?}, p99 {p99:?}");
    assert!(looks > 0);
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_inspects_sees_what_it_did_before_also_while_others_look() {
    let (a, b, mut channels) = busy_pair().await;
    for n in 0..20 {
        let others: Vec<_> = (0..4)
            .map(|_| a.clone())
            .map(|a| tokio::spawn(async move { a.channels().await.expect("runs").len() }))
            .collect();
        let name = format!("new-{n}");
        channels.push(open(&a, &name));
        let seen = within(a.channels()).await.expect("runs");
        assert!(seen.iter().any(|it| it.name.as_str() == name));
        assert!(seen.is_sorted_by(|a, b| a.name < b.name));
        for other in others {
            assert!(within(other).await.expect("no panic") >= CHANNELS);
        }
    }
    let peers = within(a.peers()).await.expect("runs");
    assert_eq!((peers.len(), peers[0].peer_id), (1, b.peer_id()));
    assert_eq!(peers[0].shared_channels, CHANNELS);
    let info = within(a.info()).await.expect("runs");
    assert_eq!((info.members, info.channels), (1, CHANNELS + 20));
    channels[0].post_message(&1).expect("posted");
    until(&a, |it| it.counters.posted == 1).await;
    assert_eq!(within(a.counters()).await.expect("runs").posted, 1);
    within(a.shutdown()).await;
    a.counters().await.expect_err("it has stopped");
}
