//! A direction of gossip that ends without an event, as it does in the real thing.

use std::time::Duration;

use futures::StreamExt;

use crate::{
    Bytes, Node, NodeEvent,
    node::fixture::{Mesh, joined, next, open, random_key, until, within},
    transport::Handshake,
};

/// Two nodes, of which the first reads nothing over 32 KiB: a longer message ends its reading of
/// what the other gossips, while both believe the link to be well.
async fn hard_of_hearing(mesh: &Mesh) -> (Node, Node) {
    let a = mesh.builder("a").mute_from(32 * 1024);
    let a = a.spawn().await.expect("starts");
    let b = mesh.node("b", &[&a]).await;
    (a, b)
}

fn numbered(n: u32, len: usize) -> Bytes {
    let mut message = vec![0; len];
    message[..4].copy_from_slice(&n.to_be_bytes());
    message.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_went_mute_is_found_and_renewed_and_all_arrives_meanwhile() {
    for how in [Handshake::Tls, Handshake::Noise] {
        go_mute(Mesh(random_key(), how)).await;
    }
}

async fn go_mute(mesh: Mesh) {
    let (a, b) = hard_of_hearing(&mesh).await;
    let (at_a, at_b) = (open::<Bytes>(&a, "earth"), open::<Bytes>(&b, "earth"));
    let mut heard = at_a.messages();
    joined(&[&a, &b], "earth").await;
    let mut events = a.events();

    at_b.post_message(&numbered(0, 8)).expect("posted");
    assert_eq!(next(&mut heard).await, numbered(0, 8));
    at_b.post_message(&numbered(1, 40_000)).expect("posted");
    let (mut posted, mut pace) = (2, tokio::time::interval(Duration::from_millis(100)));
    let mute = within(async {
        loop {
            tokio::select! {
                _ = pace.tick() => {
                    at_b.post_message(&numbered(posted, 8)).expect("posted");
                    posted += 1;
                }
                event = events.next() => if let Some(NodeEvent::Mute { peer, .. }) = event {
                    return peer;
                }
            }
        }
    })
    .await;
    assert_eq!(mute, b.peer_id());
    while !matches!(
        within(events.next()).await,
        Some(NodeEvent::Connected { peer, .. }) if peer == mute,
    ) {}
    for n in 1..posted {
        assert_eq!(next(&mut heard).await[..4], n.to_be_bytes());
    }

    joined(&[&a, &b], "earth").await;
    let before = until(&a, |it| it.peers.len() == 1).await;
    assert_eq!(
        (before.counters.peers.mute_links, before.peers[0].mute),
        (1, 1)
    );
    assert!(before.counters.frames_repaired > 5);
    for n in posted..posted + 20 {
        at_b.post_message(&numbered(n, 8)).expect("posted");
        assert_eq!(next(&mut heard).await[..4], n.to_be_bytes());
    }
    let after = a.inspect().await.expect("runs").counters;
    // One or the other is fetched on a machine so busy that gossip takes half a second.
    let repaired = after.frames_repaired - before.counters.frames_repaired;
    assert!(repaired < 10, "{repaired} of 20 did not come by gossip");
    assert_eq!((after.gaps, after.peers.mute_links), (0, 1));
}
