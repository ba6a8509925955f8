//! A member that posts on more channels than there is memory to follow.

use crate::{
    BroadcastChannel, Limits, Node, NodeEvent,
    node::fixture::{Mesh, joined, open, within},
};

/// At 2 KiB each they take more than the share of one member in 16 MiB.
const CHANNELS: usize = 4_000;

fn channels(node: &Node) -> Vec<BroadcastChannel<u32>> {
    let names = (0..CHANNELS).map(|n| format!("channel {n}"));
    names.map(|name| open(node, &name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_no_memory_to_follow_is_told_with_its_sender() {
    let mesh = Mesh::new();
    let limits = Limits {
        memory_bytes: 16 * 1024 * 1024,
        ..Limits::default()
    };
    let small = mesh.builder("small").limits(limits).spawn().await;
    let small = small.expect("starts");
    let large = mesh.node("large", &[&small]).await;
    let (_at_small, at_large) = (channels(&small), channels(&large));
    joined(&[&small, &large], &format!("channel {}", CHANNELS - 1)).await;
    let mut events = small.events();
    for channel in &at_large {
        channel.post_message(&7).expect("posted");
    }
    let no_room = async {
        loop {
            let event = events.recv().await.expect("runs");
            if let NodeEvent::NoRoom { peer, name, .. } = event {
                return (peer, name);
            }
        }
    };
    let (peer, name) = within(no_room).await;
    assert_eq!((peer, name.as_str()), (large.peer_id(), "large"));
    let snapshot = small.inspect().await.expect("runs");
    assert!(snapshot.counters.logs_refused > 0);
}
