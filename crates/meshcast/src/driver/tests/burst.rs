//! Much to post at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::task::yield_now;

use crate::{
    BroadcastChannel, Node,
    node::fixture::{Mesh, alone, next, open, until},
};

/// A channel each, so that there are as many frames as channels.
fn channels(node: &Node, count: usize) -> Vec<BroadcastChannel<u32>> {
    (0..count)
        .map(|n| open(node, &format!("channel {n}")))
        .collect()
}

/// What gossip queued for connections is taken by tasks that may have to share the thread of the
/// driver.
#[tokio::test]
async fn a_node_with_much_to_post_gives_the_others_on_its_thread_a_turn_in_between() {
    let node = alone().await;
    let channels = channels(&node, 640);
    let (last, turns) = (
        open::<u32>(&node, "channel 639"),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut heard = last.messages();
    // One round, so that opening is behind them.
    channels[639].post_message(&0).expect("posted");
    assert_eq!(next(&mut heard).await, 0);
    let counting = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            counting.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
        }
    });
    for channel in &channels {
        channel.post_message(&1).expect("posted");
    }
    assert_eq!(next(&mut heard).await, 1);
    other.abort();
    let turns = turns.load(Ordering::Relaxed);
    assert!(turns >= 640 / 16 - 1, "{turns} turns");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_post_on_each_of_many_channels_arrives_be_it_by_gossip_or_fetched() {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (channels(&a, 200), channels(&b, 200));
    let mut heard: Vec<_> = at_b.iter().map(BroadcastChannel::messages).collect();
    until(&a, |it| {
        it.channels.len() == 200 && it.channels.iter().all(|it| !it.subscribers.is_empty())
    })
    .await;
    for round in 0..3 {
        for channel in &at_a {
            channel.post_message(&round).expect("posted");
        }
        for messages in &mut heard {
            assert_eq!(next(messages).await, round);
        }
    }
    // On a busy machine the other may seem to lag for a moment, and gossip then spares it; but it
    // has room.
    let counters = a.inspect().await.expect("runs").counters;
    assert_eq!(counters.traffic.frames_refused, 0);
}
