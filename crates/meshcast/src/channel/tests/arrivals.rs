//! The routes that messages report.

use crate::{
    Message, Messages, Via,
    node::fixture::{Mesh, joined, open, within},
};

async fn next_message(messages: &mut Messages<u64>) -> Message<u64> {
    let next = within(messages.recv()).await.expect("not the end");
    next.expect("a message")
}

#[tokio::test]
async fn a_message_says_which_way_it_came_and_when_and_from_whom() {
    let mesh = Mesh::new();
    let (a, b) = mesh.pair().await;
    let (at_a, beside, at_b) = (open(&a, "earth"), open(&a, "earth"), open(&b, "earth"));
    let (mut local, mut remote) = (beside.messages(), at_b.messages());
    joined(&[&a, &b], "earth").await;
    // Both are told in whole milliseconds.
    let before = crate::clock::wall_time() - std::time::Duration::from_millis(2);
    // On a machine that is so busy that gossip takes half a second it may be fetched instead.
    for n in 1.. {
        at_a.post_message(&n).expect("posted");
        let here = next_message(&mut local).await;
        assert_eq!((here.via(), here.peer()), (Via::Local, None));
        let there = next_message(&mut remote).await;
        assert!(there.received_at() >= before, "it came after it was posted");
        assert!(there.received_at() <= crate::clock::wall_time());
        assert_eq!(there.peer(), Some(a.peer_id()));
        if there.via() == Via::Gossip {
            break;
        }
        assert_eq!(there.via(), Via::Repair);
    }
    let shown = b.inspect().await.expect("runs").peers[0].clock_ahead_us;
    let ahead = shown.expect("it has posted");
    assert!(ahead.abs() < 60_000_000, "it is the same clock: {ahead}");
}
