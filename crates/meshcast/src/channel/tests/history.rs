//! The messages an object hears from before it was made.

use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::mpsc;

use crate::{
    Bytes, GapReason, Limits, Messages, Node, RecvError, Since,
    node::fixture::{Mesh, addresses, alone, joined, next, next_error, open, until, within},
};

const ALWAYS: Since = Since::Ago(Duration::from_secs(500));

fn open_since<T: crate::Payload>(node: &Node, since: Since) -> crate::BroadcastChannel<T> {
    node.channel_since("earth", since).expect("opens")
}

/// Posts these numbers, and returns when they have left.
async fn post(
    node: &Node,
    channel: &crate::BroadcastChannel<u64>,
    numbers: std::ops::RangeInclusive<u64>,
) {
    for n in numbers {
        channel.post_message(&n).expect("posted");
    }
    // A channel that the driver has not seen yet is not among them.
    until(node, |it| {
        !it.channels.is_empty() && it.channels.iter().all(|it| it.outbox_bytes == 0)
    })
    .await;
}

async fn expect(messages: &mut Messages<u64>, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        let message = within(messages.recv())
            .await
            .expect("not the end")
            .expect("no gap");
        assert_eq!((message.data, message.seq()), (n, n));
    }
}

#[tokio::test]
async fn an_object_that_asks_for_the_last_messages_of_others_gets_them_and_goes_on_and_plain_ones_do_not()
 {
    let node = alone().await;
    let a = open::<u64>(&node, "earth");
    post(&node, &a, 1..=10).await;
    let (three, all) = (open_since(&node, Since::Last(3)), open_since(&node, ALWAYS));
    let (plain, none) = (
        open::<u64>(&node, "earth"),
        open_since(&node, Since::Last(0)),
    );
    let mut readers = [&three, &all, &plain, &none].map(|channel| channel.messages());
    post(&node, &a, 11..=12).await;
    for (messages, first) in readers.iter_mut().zip([8, 1, 11, 11]) {
        expect(messages, first..=12).await;
        assert!(messages.recv().now_or_never().is_none());
    }
}

/// On one thread nothing leaves before the test yields.
#[tokio::test]
async fn what_waits_in_the_outbox_is_heard_once_and_own_posts_are_not() {
    let node = alone().await;
    let a = open::<u64>(&node, "earth");
    post(&node, &a, 1..=2).await;
    (3..=4).for_each(|n| drop(a.post_message(&n).expect("posted")));
    let late = open_since(&node, Since::Last(3));
    let mut at_late = late.messages();
    late.post_message(&5).expect("posted");
    let later = open_since(&node, ALWAYS);
    a.post_message(&6).expect("posted");
    for n in [1, 2, 3, 4, 6] {
        assert_eq!(next(&mut at_late).await, n);
    }
    let mut at_later = later.messages();
    expect(&mut at_later, 1..=6).await;
    assert!(at_late.recv().now_or_never().is_none() && at_later.recv().now_or_never().is_none());
}

#[tokio::test]
async fn more_than_the_ring_holds_comes_and_large_messages_come_whole() {
    let limits = Limits {
        unread_bytes: 64 * 1024,
        ..Limits::default()
    };
    let builder = Mesh::new().builder("a").limits(limits);
    let node = builder.spawn().await.expect("starts");
    let a = open::<Bytes>(&node, "earth");
    let large: Bytes = vec![9; 300_000].into();
    a.post_message_wait(&large).await.expect("posted");
    for n in 0..50 {
        a.post_message_wait(&Bytes::from(vec![n; 10_000]))
            .await
            .expect("posted");
    }
    until(&node, |it| it.channels[0].outbox_bytes == 0).await;
    // The fiftieth number from the end is of a small one, the fifty-first inside the large one.
    for (last, with_large) in [(50, false), (51, true)] {
        let late = open_since::<Bytes>(&node, Since::Last(last));
        let mut messages = late.messages();
        if with_large {
            assert!(next(&mut messages).await == large);
        }
        for n in 0..50 {
            assert_eq!(next(&mut messages).await, vec![n; 10_000]);
        }
        assert!(messages.recv().now_or_never().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_get_what_was_before_as_streams_do() {
    let node = alone().await;
    let a = open::<u64>(&node, "earth");
    post(&node, &a, 1..=10).await;
    let (sender, mut heard) = mpsc::unbounded_channel();
    let late = open_since(&node, Since::Last(4));
    let _guard = late.on_message(move |message| {
        // An error means that the test is over.
        let _ = sender.send(message.data);
    });
    a.post_message(&11).expect("posted");
    for n in 7..=11 {
        assert_eq!(within(heard.recv()).await, Some(n));
    }
}

#[tokio::test]
async fn a_node_that_comes_late_is_given_what_others_keep_and_goes_on() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    let at_a = open::<u64>(&a, "earth");
    post(&a, &at_a, 1..=5).await;
    let b = mesh.node("b", &[&a]).await;
    // Perhaps before they are connected.
    let late = open_since(&b, Since::Last(3));
    let mut at_b = late.messages();
    let first = within(at_b.recv())
        .await
        .expect("not the end")
        .expect("no gap")
        .seq();
    assert!(first <= 3, "others grant a moment more");
    expect(&mut at_b, first + 1..=5).await;
    at_a.post_message(&6).expect("posted");
    expect(&mut at_b, 6..=6).await;
    // Now it has the channel open, gives what it keeps, and asks for the rest.
    let later = open_since(&b, ALWAYS);
    expect(&mut later.messages(), 1..=6).await;
    // Alone it has what it fetched.
    a.shutdown().await;
    let alone = open_since(&b, Since::Last(5));
    expect(&mut alone.messages(), 2..=6).await;
}

#[tokio::test]
async fn an_object_that_comes_to_an_open_channel_is_given_what_other_nodes_keep_and_goes_on() {
    let mesh = Mesh::new();
    let (a, b) = mesh.pair().await;
    let at_a = open::<u64>(&a, "earth");
    post(&a, &at_a, 1..=300).await;
    let at_b = open::<u64>(&b, "earth");
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    post(&a, &at_a, 301..=305).await;
    // Opening a channel grants a moment more, perhaps all of it.
    let first = within(heard.recv())
        .await
        .expect("not the end")
        .expect("no gap")
        .seq();
    expect(&mut heard, first + 1..=305).await;
    let (all, some) = (
        open_since::<u64>(&b, ALWAYS),
        open_since::<u64>(&b, Since::Last(100)),
    );
    let (mut all, mut some) = (all.messages(), some.messages());
    post(&a, &at_a, 306..=310).await;
    expect(&mut all, 1..=310).await;
    expect(&mut some, 206..=310).await;
    expect(&mut heard, 306..=310).await;
}

#[tokio::test]
async fn an_object_that_comes_to_an_open_channel_hears_of_all_senders_what_this_node_heard() {
    let mesh = Mesh::new();
    let (a, b) = mesh.pair().await;
    let (at_a, at_b) = (open::<u64>(&a, "earth"), open::<u64>(&b, "earth"));
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    post(&a, &at_a, 1..=5).await;
    expect(&mut heard, 1..=5).await;
    post(&b, &at_b, 1..=5).await;
    at_b.close();
    drop(heard);
    // The channel lingers, and is as good as open.
    let late = open_since::<u64>(&b, Since::Last(2));
    let mut messages = late.messages();
    post(&a, &at_a, 6..=6).await;
    let mut of_a = Vec::new();
    let mut of_b = Vec::new();
    while of_a.len() < 3 || of_b.len() < 2 {
        let message = within(messages.recv())
            .await
            .expect("not the end")
            .expect("no gap");
        let own = message.sender() == b.peer_id();
        if own { &mut of_b } else { &mut of_a }.push(message.seq());
    }
    assert_eq!((of_a, of_b), (vec![4, 5, 6], vec![4, 5]));
}

/// There is nobody to wait for: no seed, or one that refuses.
#[tokio::test]
async fn whoever_asks_where_nobody_can_be_reached_is_not_kept_waiting() {
    let mesh = Mesh::new();
    let gone = mesh.node("gone", &[]).await;
    let builder = mesh.builder("a").seeds(addresses(&gone).await);
    gone.shutdown().await;
    let a = builder.spawn().await.expect("starts");
    let first = open::<u64>(&a, "earth");
    post(&a, &first, 1..=1).await;
    let (asked, second) = (Instant::now(), open_since::<u64>(&a, ALWAYS));
    expect(&mut second.messages(), 1..=1).await;
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "{:?}",
        asked.elapsed()
    );
}

/// Of fragments, in a frame of its own, and among others; when they come and out of the history.
#[tokio::test]
async fn a_receiver_with_a_lower_limit_is_told_of_each_larger_message_in_one_gap() {
    let mesh = Mesh::new();
    let limits = |max_message_bytes| Limits {
        max_message_bytes,
        outbox_bytes: 64 * 1024 * 1024,
        ..Limits::default()
    };
    let (huge, small) = (16 * 1024 * 1024, 1_000);
    let a = mesh.builder("a").limits(limits(huge));
    let a = a.spawn().await.expect("starts");
    for (limit, length, last) in [(1024 * 1024, huge, 65), (small, 100_000, 1)] {
        let b = mesh
            .builder("b")
            .limits(limits(limit))
            .seeds(addresses(&a).await);
        let b = b.spawn().await.expect("starts");
        let name = format!("of {limit}");
        let (at_a, at_b) = (open::<Bytes>(&a, &name), open::<Bytes>(&b, &name));
        let mut heard = at_b.messages();
        joined(&[&a, &b], &name).await;
        let (large, fits): (Bytes, Bytes) = (vec![7; length].into(), vec![8; small].into());
        at_a.post_message_wait(&large).await.expect("posted");
        at_a.post_message_wait(&fits).await.expect("posted");
        let late = || {
            b.channel_since::<Bytes>(&name, Since::Last(1_000))
                .expect("opens")
        };
        for again in [false, true] {
            if again {
                heard = late().messages();
            }
            let RecvError::Gap(gap) = next_error(&mut heard).await else {
                panic!("no gap");
            };
            assert_eq!(
                (gap.missed(), gap.reason()),
                (1..=last, GapReason::TooLarge)
            );
            assert_eq!(next(&mut heard).await, fits);
        }
        b.shutdown().await;
    }
}

/// Numbers up to 20, of which a node with little room keeps the last; also at one that comes later.
#[tokio::test]
async fn of_the_last_messages_that_are_asked_for_those_that_nobody_keeps_are_told_as_a_gap() {
    let mesh = Mesh::new();
    let limits = Limits {
        history_bytes: 1024 * 1024,
        ..Limits::default()
    };
    let a = mesh.builder("a").limits(limits.clone());
    let a = a.spawn().await.expect("starts");
    let at_a = open::<Bytes>(&a, "earth");
    let large: Bytes = vec![7; 150_000].into();
    for _ in 0..20 {
        at_a.post_message_wait(&large).await.expect("posted");
    }
    until(&a, |it| it.channels[0].outbox_bytes == 0).await;
    let b = mesh.builder("b").limits(limits).seeds(addresses(&a).await);
    let b = b.spawn().await.expect("starts");
    for (node, is_new) in [(&a, false), (&b, true)] {
        let since = |last| open_since::<Bytes>(node, Since::Last(last));
        let mut messages = since(15).messages();
        let (mut due, mut first) = (None, None);
        while first.is_none() {
            match within(messages.recv()).await.expect("not the end") {
                Ok(message) => first = Some(message.seq()),
                Err(RecvError::Gap(gap)) => {
                    // One that just came hears perhaps of a moment more than it asked for.
                    assert!(gap.reason() == GapReason::Expired || is_new, "{gap}");
                    let (from, to) = gap.missed().into_inner();
                    let begins = due.map_or(from == 6 || (is_new && from < 6), |due| from == due);
                    assert!(begins, "{gap}");
                    due = Some(to + 1);
                }
                Err(error) => panic!("{error}"),
            }
        }
        let first = first.expect("it came");
        assert!(due == Some(first) && (10..=20).contains(&first), "{due:?}");
        for seq in first + 1..=20 {
            let message = within(messages.recv()).await.expect("not the end");
            assert_eq!(message.expect("no further gap").seq(), seq);
        }
        // As many as are kept is nothing missing, in a list of so many neither.
        let few = 21 - first;
        let mut messages = since(few).messages();
        let message = within(messages.recv()).await.expect("not the end");
        assert_eq!(message.expect("no gap").seq(), first);
        let channel = open::<Bytes>(node, "earth");
        for (most, gaps) in [(few, 0), (15, 1)] {
            let history = within(channel.history(Since::Last(most))).await;
            let history = history.expect("open");
            let kept = usize::try_from(few).expect("few");
            assert_eq!((history.messages.len(), history.errors.len()), (kept, gaps));
        }
    }
}
