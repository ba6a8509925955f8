//! Nothing is lost at either end of the life of a channel object.

use tokio::sync::oneshot;

use crate::{
    Node, Since,
    node::fixture::{Mesh, joined, open, within},
};

/// A thousand first messages, each posted in the same tick as its channel is opened, by nodes that
/// have no peer at that moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_without_any_peer_is_delivered_when_one_comes() {
    const NODES: usize = 20;
    const CHANNELS: usize = 50;
    let mesh = Mesh::new();
    let listener = mesh.node("listener", &[]).await;
    let name = |node: usize, channel: usize| format!("{node}/{channel}");
    for node in 0..NODES {
        let mut inboxes: Vec<_> = (0..CHANNELS)
            .map(|channel| open::<u32>(&listener, &name(node, channel)).messages())
            .collect();
        let poster = mesh.node(&format!("poster-{node}"), &[&listener]).await;
        for channel in 0..CHANNELS {
            let receipt = open::<u32>(&poster, &name(node, channel)).post_message(&7);
            receipt.expect("posted");
        }
        for inbox in &mut inboxes {
            let message = within(inbox.recv())
                .await
                .expect("not the end")
                .expect("no gap");
            assert_eq!((message.data, message.seq()), (7, 1));
        }
        within(poster.shutdown()).await;
    }
}

#[tokio::test]
async fn an_object_opened_again_at_once_hears_everything_posted_from_then_on() {
    let (a, b) = Mesh::new().pair().await;
    let at_a = open::<u64>(&a, "earth");
    let mut at_b = open::<u64>(&b, "earth");
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    for n in 1..=200 {
        at_a.post_message(&n).expect("posted");
        let message = within(heard.recv())
            .await
            .expect("not the end")
            .expect("no gap");
        assert_eq!((message.data, message.seq()), (n, n));
        if n % 3 == 0 {
            at_b.close();
            at_b = open(&b, "earth");
            heard = at_b.messages();
        }
    }
}

/// Both ends come and go while messages are on their way: each object hears one run of numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_come_and_go_under_load_hear_runs_without_a_hole() {
    let (a, b) = Mesh::new().pair().await;
    let keeps_b = open::<u64>(&b, "earth");
    let keeps_a = open::<u64>(&a, "earth");
    joined(&[&a, &b], "earth").await;
    let mut all = keeps_b.messages();
    let (stop, stopped) = oneshot::channel();
    let posting = tokio::spawn(post_with_fresh_objects(a, stopped));
    let mut last = 0;
    for _ in 0..30 {
        let object = open::<u64>(&b, "earth");
        let mut heard = object.messages();
        let first = within(heard.recv())
            .await
            .expect("not the end")
            .expect("no gap");
        assert!(
            first.seq() > last,
            "it hears only what is posted from then on"
        );
        last = first.seq();
        for _ in 0..20 {
            let message = within(heard.recv())
                .await
                .expect("not the end")
                .expect("no gap");
            assert_eq!(message.seq(), last + 1);
            last = message.seq();
        }
    }
    // An error means that it has ended.
    let _ = stop.send(());
    let (_a, posted) = within(posting).await.expect("no panic");
    for n in 1..=posted {
        let message = within(all.recv())
            .await
            .expect("not the end")
            .expect("no gap");
        assert_eq!((message.data, message.seq()), (n, n));
    }
    drop(keeps_a);
}

/// Posts until it is told to stop, a burst each time that the one before has arrived, each message
/// with an object of its own. Returns how many it were.
async fn post_with_fresh_objects(node: Node, mut stopped: oneshot::Receiver<()>) -> (Node, u64) {
    let mut posted = 0;
    while stopped.try_recv().is_err() {
        let mut receipt = None;
        for _ in 0..10 {
            posted += 1;
            let object = open::<u64>(&node, "earth");
            receipt = Some(object.post_message(&posted).expect("posted"));
        }
        if let Some(receipt) = receipt {
            within(receipt.acked(1)).await.expect("arrives");
        }
    }
    (node, posted)
}

/// Objects that come late are told what there was before anything more is posted, and may come
/// between the two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_posts_goes_on_while_objects_come_that_look_back() {
    let node = Mesh::new().apart("a").spawn().await.expect("starts");
    let channel = open::<u64>(&node, "earth");
    let late = node.clone();
    let coming = tokio::task::spawn_blocking(move || {
        for _ in 0..5_000 {
            let since = Since::Last(1);
            drop(late.channel_since::<u64>("earth", since).expect("opens"));
        }
    });
    let mut posted = 0;
    while !coming.is_finished() {
        within(channel.post_message_wait(&posted))
            .await
            .expect("posted");
        posted += 1;
    }
    within(node.info()).await.expect("runs");
    within(node.shutdown()).await;
}
