//! What depends on when things happen, in the time of the test.

use std::{collections::BTreeMap, time::Duration};

use meshcast::{BroadcastChannel, Messages, Node, Since, testing::Mesh};
use tokio::time::sleep;

/// An object also hears of what was posted up to 0.4 s before it was opened.
const WELL_BEFORE: Duration = Duration::from_millis(500);

fn open(node: &Node, since: Since) -> BroadcastChannel<u64> {
    node.channel_since("earth", since).expect("opens")
}

async fn next(messages: &mut Messages<u64>) -> u64 {
    let next = messages.recv().await.expect("not the end");
    next.expect("a message").data
}

/// The first so many messages of a stream, by their senders.
async fn heard(messages: &mut Messages<u64>, count: usize) -> BTreeMap<String, Vec<u64>> {
    let mut heard = BTreeMap::<_, Vec<_>>::new();
    for _ in 0..count {
        let message = messages.recv().await.expect("not the end").expect("no gap");
        let of_sender = heard.entry(message.name().to_string()).or_default();
        of_sender.push(message.data);
    }
    heard
}

/// One node posts and leaves, another posts and stays. The third was there from the start, and the
/// last comes when all is over: its objects are opened before it is connected.
#[tokio::test(start_paused = true)]
async fn whoever_asks_before_its_node_is_connected_hears_what_others_keep_of_one_that_is_gone() {
    const GONE: usize = 0;
    const STAYS: usize = 1;
    const HEARS: usize = 2;
    const LATE: usize = 3;
    for since in [Since::Last(10), Since::Ago(Duration::from_secs(500))] {
        let mut mesh = Mesh::new(4).await;
        mesh.stop(LATE).await;
        let stays = open(mesh.node(STAYS), Since::Now);
        let mut inboxes = [
            stays.messages(),
            open(mesh.node(HEARS), Since::Now).messages(),
        ];
        let gone = open(mesh.node(GONE), Since::Now);
        for n in 1..=3 {
            gone.post_message(&n).expect("posted");
        }
        for inbox in &mut inboxes {
            assert_eq!(
                [next(inbox).await, next(inbox).await, next(inbox).await],
                [1, 2, 3]
            );
        }
        mesh.stop(GONE).await;
        stays.post_message(&10).expect("posted");
        assert_eq!(next(&mut inboxes[1]).await, 10);
        sleep(WELL_BEFORE).await;

        mesh.restart(LATE).await;
        let mut plain = open(mesh.node(LATE), Since::Now).messages();
        let mut late = open(mesh.node(LATE), since).messages();
        let [of_gone, of_stays] = ["node-0", "node-1"].map(ToOwned::to_owned);
        let all = BTreeMap::from([(of_gone, vec![1, 2, 3]), (of_stays, vec![10])]);
        assert_eq!(heard(&mut late, 4).await, all);
        stays.post_message(&11).expect("posted");
        assert_eq!(
            next(&mut plain).await,
            11,
            "it asked for nothing from before"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_nothing_from_before_does_not_count_as_having_it() {
    let mut mesh = Mesh::new(2).await;
    mesh.stop(1).await;
    let posts = open(mesh.node(0), Since::Now);
    posts.post_message(&1).expect("posted");
    sleep(WELL_BEFORE).await;
    mesh.restart(1).await;
    let mut inbox = open(mesh.node(1), Since::Now).messages();
    mesh.connected().await;
    posts.post_message(&2).expect("posted");
    assert_eq!(next(&mut inbox).await, 2);
    let shutdown = mesh.stop(0).await;
    let left = shutdown.undelivered.iter().map(|left| left.messages);
    let left: Vec<_> = left.collect();
    assert_eq!((left, shutdown.members), (vec![1], 1), "{shutdown}");
}
