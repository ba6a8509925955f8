//! What holds between the objects of one process.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use futures::{FutureExt, SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    BroadcastChannel, Bytes, ChannelOptions, GapReason, Limits, Node, PostError, RecvError,
    Subscription, Value,
    node::fixture::{Mesh, addresses, alone, joined, next, next_error, open, until, within},
};

fn tell<T>(to: &mpsc::UnboundedSender<T>, what: T) {
    // An error means that the test is over.
    let _ = to.send(what);
}

/// Earlier posts have been delivered when this returns.
async fn flushed(node: &Node) {
    until(node, |it| {
        it.channels.iter().all(|channel| channel.outbox_bytes == 0)
    })
    .await;
}

#[tokio::test]
async fn two_objects_of_one_name_hear_each_other_and_never_themselves() {
    let node = alone().await;
    let (a, b) = (
        open::<String>(&node, "earth"),
        open::<String>(&node, "earth"),
    );
    let (mut at_a, mut at_b) = (a.messages(), b.messages());
    a.post_message(&"from a".to_owned()).expect("posted");
    b.post_message(&"from b".to_owned()).expect("posted");
    assert_eq!(next(&mut at_a).await, "from b");
    assert_eq!(next(&mut at_b).await, "from a");
    flushed(&node).await;
    assert!(at_a.recv().now_or_never().is_none() && at_b.recv().now_or_never().is_none());
}

#[tokio::test]
async fn an_object_with_an_echo_hears_itself_in_the_order_of_all() {
    let node = alone().await;
    let options = ChannelOptions::new().echo(true);
    let a = node
        .channel_with::<String>("earth", options.clone())
        .expect("opened");
    let b = open::<String>(&node, "earth");
    let (mut at_a, mut at_b) = (a.messages(), b.messages());
    let (heard, mut by_handler) = mpsc::unbounded_channel();
    let _subscription = a.on_message(move |message| tell(&heard, message.data));
    for (channel, text) in [(&a, "1"), (&b, "2"), (&a, "3")] {
        channel.post_message(text).expect("posted");
    }
    for text in ["1", "2", "3"] {
        assert_eq!(next(&mut at_a).await, text);
        assert_eq!(within(by_handler.recv()).await.as_deref(), Some(text));
    }
    assert_eq!([next(&mut at_b).await, next(&mut at_b).await], ["1", "3"]);
    // A later object has an echo of its own posts, and hears nothing from before.
    let late = node
        .channel_with::<String>("earth", options)
        .expect("opened");
    let mut at_late = late.messages();
    late.post_message("4").expect("posted");
    assert_eq!(next(&mut at_late).await, "4");
}

#[tokio::test]
async fn a_borrowed_value_is_posted_like_an_owned_one() {
    let node = alone().await;
    let (texts, heard) = (open::<String>(&node, "text"), open::<String>(&node, "text"));
    let mut heard = heard.messages();
    texts.post_message("lent").expect("posted");
    texts.post_message(&"owned".to_owned()).expect("posted");
    assert_eq!(
        [next(&mut heard).await, next(&mut heard).await],
        ["lent", "owned"]
    );

    let (lists, heard) = (
        open::<Vec<u16>>(&node, "list"),
        open::<Vec<u16>>(&node, "list"),
    );
    let mut heard = heard.messages();
    lists.post_message(&[1, 2, 3][..]).expect("posted");
    assert_eq!(next(&mut heard).await, [1, 2, 3]);

    let (bytes, heard) = (open::<Bytes>(&node, "bytes"), open::<Bytes>(&node, "bytes"));
    let mut heard = heard.messages();
    bytes.post_message(&b"raw"[..]).expect("posted");
    assert_eq!(next(&mut heard).await, &b"raw"[..]);
}

#[tokio::test]
async fn a_sink_posts_and_is_refused_when_the_channel_is_closed() {
    let node = alone().await;
    let (channel, heard) = (open::<u32>(&node, "earth"), open::<u32>(&node, "earth"));
    let mut heard = heard.messages();
    let mut sink = Box::pin(channel.sink());
    within(sink.send_all(&mut futures::stream::iter((0..100).map(Ok))))
        .await
        .expect("posted");
    for number in 0..100 {
        assert_eq!(next(&mut heard).await, number);
    }
    channel.close();
    assert!(matches!(
        within(sink.send(100)).await,
        Err(PostError::Closed)
    ));
}

#[tokio::test]
async fn what_is_no_message_of_the_type_can_be_looked_at_as_a_value() {
    let node = alone().await;
    let (texts, numbers) = (open::<String>(&node, "earth"), open::<u32>(&node, "earth"));
    let mut at_numbers = numbers.messages();
    texts.post_message("seven").expect("posted");
    let RecvError::Decode(undecodable) = next_error(&mut at_numbers).await else {
        panic!("a text is no number");
    };
    assert_eq!(
        undecodable.value().expect("it is a value"),
        Value::from("seven")
    );
}

#[tokio::test]
async fn handles_of_one_object_do_not_hear_each_other_and_other_names_hear_nothing() {
    let node = alone().await;
    let (a, other) = (open::<u8>(&node, "earth"), open::<u8>(&node, "Earth"));
    let clone = a.clone();
    let (mut at_clone, mut at_other) = (clone.messages(), other.messages());
    a.post_message(&1).expect("posted");
    flushed(&node).await;
    assert!(at_clone.recv().now_or_never().is_none() && at_other.recv().now_or_never().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_are_called_in_the_order_of_posts_and_there_in_the_order_objects_were_made() {
    let node = alone().await;
    let [c1, c2, c3] = [(); 3].map(|()| open::<String>(&node, "earth"));
    let (sender, mut heard) = mpsc::unbounded_channel();
    let record = |at: &'static str| {
        let sender = sender.clone();
        move |message: crate::Message<String>| tell(&sender, format!("{at}<-{}", message.data))
    };
    // Registered the other way round: it is the objects' order that counts.
    let _guards = (
        c3.on_message(record("c3")),
        c2.on_message(record("c2")),
        c1.on_message(record("c1")),
    );
    c1.post_message(&"c1".to_owned()).expect("posted");
    c3.post_message(&"c3".to_owned()).expect("posted");
    c2.post_message(&"c2".to_owned()).expect("posted");
    for expected in ["c2<-c1", "c3<-c1", "c1<-c3", "c2<-c3", "c1<-c2", "c3<-c2"] {
        assert_eq!(within(heard.recv()).await.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn an_object_made_later_does_not_hear_earlier_posts() {
    let node = alone().await;
    let a = open::<u8>(&node, "earth");
    a.post_message(&1).expect("posted");
    // The first may still be in the outbox, or have left: either way it was posted before.
    let b = open::<u8>(&node, "earth");
    let mut at_b = b.messages();
    a.post_message(&2).expect("posted");
    assert_eq!(next(&mut at_b).await, 2);
}

#[tokio::test]
async fn what_was_posted_before_close_goes_out_and_nothing_after() {
    let node = alone().await;
    let (a, b) = (open::<u8>(&node, "earth"), open::<u8>(&node, "earth"));
    let mut at_b = b.messages();
    a.post_message(&1).expect("posted");
    a.close();
    a.close();
    assert!(matches!(a.post_message(&2), Err(PostError::Closed)));
    assert_eq!(a.name().as_str(), "earth");
    assert_eq!(next(&mut at_b).await, 1);
    assert!(within(a.messages().recv()).await.is_none());
}

/// Cannot be encoded.
#[derive(Debug, Deserialize)]
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}

#[tokio::test]
async fn closed_comes_before_what_is_wrong_with_the_message() {
    let node = alone().await;
    let a = open::<Stubborn>(&node, "earth");
    assert!(matches!(
        a.post_message(&Stubborn),
        Err(PostError::Encode(_))
    ));
    a.close();
    assert!(matches!(a.post_message(&Stubborn), Err(PostError::Closed)));
}

#[tokio::test]
async fn closing_drops_pending_deliveries_to_a_stream() {
    let node = alone().await;
    let (a, b) = (open::<u8>(&node, "earth"), open::<u8>(&node, "earth"));
    let mut at_b = b.messages();
    (0..10).for_each(|n| drop(a.post_message(&n).expect("posted")));
    assert_eq!(next(&mut at_b).await, 0);
    b.close();
    assert!(
        within(at_b.recv()).await.is_none(),
        "not even what came in the same frame"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_in_its_own_handler_drops_what_is_pending() {
    let node = alone().await;
    let (a, b, c) = (
        open::<u8>(&node, "earth"),
        open::<u8>(&node, "earth"),
        open::<u8>(&node, "earth"),
    );
    let (sender, mut heard) = mpsc::unbounded_channel();
    let (own, to_b) = (b.clone(), sender.clone());
    let _b = b.on_message(move |message| {
        tell(&to_b, ("b", message.data));
        own.close();
    });
    let _c = c.on_message(move |message| tell(&sender, ("c", message.data)));
    (0..3).for_each(|n| drop(a.post_message(&n).expect("posted")));
    for expected in [("b", 0), ("c", 0), ("c", 1), ("c", 2)] {
        assert_eq!(within(heard.recv()).await, Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_channel_lets_go_of_handlers_that_hold_it() {
    let node = alone().await;
    let a = open::<u8>(&node, "earth");
    let (own, token) = (a.clone(), Arc::new(()));
    let weak = Arc::downgrade(&token);
    let guard = a.on_message(move |_| {
        let _ = (&own, &token);
    });
    a.close();
    assert_eq!(weak.strong_count(), 0);
    drop(guard);
}

#[tokio::test]
async fn the_last_handle_closes_unless_a_stream_or_handler_lives() {
    let node = alone().await;
    let objects = |count| {
        move |it: &crate::Snapshot| it.channels.iter().map(|it| it.objects).sum::<usize>() == count
    };
    let (a, b) = (open::<u8>(&node, "earth"), open::<u8>(&node, "earth"));
    let clone = a.clone();
    drop(a);
    until(&node, objects(2)).await;
    let messages = clone.messages();
    drop(clone);
    let guard = b.on_message(|_| {});
    drop(b);
    until(&node, objects(2)).await;
    drop(messages);
    until(&node, objects(1)).await;
    drop(guard);
    until(&node, objects(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_is_removed_with_its_guard_also_by_itself_and_by_one_before_it() {
    let node = alone().await;
    let (a, b) = (open::<u8>(&node, "earth"), open::<u8>(&node, "earth"));
    let (sender, mut heard) = mpsc::unbounded_channel();
    let guards: Arc<Mutex<Vec<Subscription<u8>>>> = Arc::default();
    let (own, to) = (Arc::clone(&guards), sender.clone());
    let first = b.on_message(move |message| {
        tell(&to, ("once", message.data));
        let mut guards = own.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = std::mem::take(&mut *guards);
        drop(guards);
        drop(removed);
    });
    let to = sender.clone();
    let second = b.on_message(move |message| tell(&to, ("never", message.data)));
    guards.lock().expect("whole").extend([first, second]);
    let _third = b.on_message(move |message| tell(&sender, ("always", message.data)));
    (1..3).for_each(|n| drop(a.post_message(&n).expect("posted")));
    for expected in [("once", 1), ("always", 1), ("always", 2)] {
        assert_eq!(within(heard.recv()).await, Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_further_handler_takes_nothing_from_the_first() {
    let node = alone().await;
    let (a, b) = (open::<u8>(&node, "earth"), open::<u8>(&node, "earth"));
    (0..10).for_each(|n| drop(a.post_message(&n).expect("posted")));
    flushed(&node).await;
    let (sender, mut heard) = mpsc::unbounded_channel();
    let _guards = (
        b.on_message(move |message| tell(&sender, message.data)),
        b.on_message(|_| {}),
    );
    for n in 0..10 {
        assert_eq!(within(heard.recv()).await, Some(n));
    }
}

/// Removing the last handler and adding another race; the one added must be called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_added_while_the_last_is_removed_is_called() {
    let node = alone().await;
    let (a, b) = (open::<u32>(&node, "earth"), open::<u32>(&node, "earth"));
    let mut last = b.on_message(|_| {});
    for n in 0..300 {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let dropping = std::thread::spawn(move || drop(last));
        last = b.on_message(move |message| tell(&sender, message.data));
        dropping.join().expect("no panic");
        a.post_message(&n).expect("posted");
        while within(heard.recv()).await.expect("is called") != n {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_is_counted_and_gets_the_next_message() {
    let node = alone().await;
    let (a, b) = (open::<u8>(&node, "earth"), open::<u8>(&node, "earth"));
    let (sender, mut heard) = mpsc::unbounded_channel();
    let _guard = b.on_message(move |message| {
        assert!(message.data != 0, "a panic on purpose");
        tell(&sender, message.data);
    });
    a.post_message(&0).expect("posted");
    a.post_message(&1).expect("posted");
    assert_eq!(within(heard.recv()).await, Some(1));
    let snapshot = until(&node, |it| it.counters.objects.handler_panics > 0).await;
    assert_eq!(snapshot.counters.objects.handler_panics, 1);
}

/// Panics when it is decoded.
#[derive(Debug, Serialize)]
struct Bomb;

impl<'de> Deserialize<'de> for Bomb {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("on purpose")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_that_panics_when_decoded_does_not_silence_other_objects() {
    let node = alone().await;
    let (a, bomb, b) = (
        open::<u8>(&node, "earth"),
        open::<Bomb>(&node, "earth"),
        open::<u8>(&node, "earth"),
    );
    let (sender, mut heard) = mpsc::unbounded_channel();
    let _guards = (
        bomb.on_message(|_| {}),
        b.on_message(move |message| tell(&sender, message.data)),
    );
    (0..2).for_each(|n| drop(a.post_message(&n).expect("posted")));
    assert_eq!(
        (within(heard.recv()).await, within(heard.recv()).await),
        (Some(0), Some(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_another_type_is_an_error_for_the_stream_and_the_error_handler_and_is_counted()
{
    let node = alone().await;
    let (text, number) = (open::<String>(&node, "earth"), open::<u32>(&node, "earth"));
    let (sender, mut errors) = mpsc::unbounded_channel();
    let handled = open::<u32>(&node, "earth");
    let _guard = handled.on_message_error(move |error| tell(&sender, error));
    let mut at_number = number.messages();
    text.post_message(&"no number".to_owned()).expect("posted");
    let other = open::<u32>(&node, "earth");
    other.post_message(&7).expect("posted");
    let RecvError::Decode(error) = next_error(&mut at_number).await else {
        panic!("another error");
    };
    assert_eq!((error.seq(), error.sender()), (1, node.peer_id()));
    assert_eq!(next(&mut at_number).await, 7);
    assert!(
        matches!(within(errors.recv()).await, Some(RecvError::Decode(error)) if error.seq() == 1)
    );
    let snapshot = until(&node, |it| it.counters.objects.undecodable >= 2).await;
    assert_eq!(
        snapshot.counters.objects.undecodable, 2,
        "once at each object"
    );
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_with_both_sizes() {
    let limits = Limits {
        max_message_bytes: 100,
        ..Limits::default()
    };
    let node = Mesh::new()
        .builder("a")
        .limits(limits)
        .spawn()
        .await
        .expect("starts");
    let a = open::<crate::Bytes>(&node, "earth");
    let posted = a.post_message(&Bytes::from(vec![0; 101]));
    assert!(matches!(
        posted,
        Err(PostError::TooLarge {
            size: 101,
            limit: 100
        })
    ));
    a.post_message(&Bytes::from(vec![0; 100])).expect("posted");
}

/// On one thread nothing leaves before the test yields, so what is full is full for sure.
#[tokio::test]
async fn a_full_outbox_refuses_and_whoever_waits_gets_in_and_whoever_gives_up_posted_nothing() {
    let limits = Limits {
        outbox_bytes: 1000,
        ..Limits::default()
    };
    let node = Mesh::new()
        .builder("a")
        .limits(limits)
        .spawn()
        .await
        .expect("starts");
    let (a, b) = (
        open::<crate::Bytes>(&node, "earth"),
        open::<crate::Bytes>(&node, "earth"),
    );
    let mut at_b = b.messages();
    let post = |n: u8| a.post_message(&Bytes::from(vec![n; 400]));
    (0..2).for_each(|n| drop(post(n).expect("room")));
    assert!(matches!(post(2), Err(PostError::Full { limit: 1000 })));
    let (given_up, waited) = (Bytes::from(vec![8; 400]), Bytes::from(vec![9; 400]));
    assert!(a.post_message_wait(&given_up).now_or_never().is_none());
    within(a.post_message_wait(&waited)).await.expect("posted");
    for n in [0, 1, 9] {
        assert_eq!(next(&mut at_b).await[0], n);
    }
}

#[tokio::test]
async fn whoever_waits_for_room_learns_that_the_channel_is_closed() {
    let limits = Limits {
        outbox_bytes: 10,
        ..Limits::default()
    };
    let node = Mesh::new()
        .builder("a")
        .limits(limits)
        .spawn()
        .await
        .expect("starts");
    let a = open::<crate::Bytes>(&node, "earth");
    a.post_message(&Bytes::from(vec![0; 10])).expect("room");
    let message = Bytes::from(vec![1; 10]);
    let mut waiting = std::pin::pin!(a.post_message_wait(&message));
    assert!(matches!(futures::poll!(&mut waiting), Poll::Pending));
    a.close();
    assert!(matches!(within(waiting).await, Err(PostError::Closed)));
}

#[tokio::test]
async fn a_reader_that_never_reads_gets_exact_gaps_and_disturbs_nobody() {
    let limits = Limits {
        unread_bytes: 64 * 1024,
        history_bytes: 128 * 1024,
        ..Limits::default()
    };
    let node = Mesh::new()
        .builder("a")
        .limits(limits)
        .spawn()
        .await
        .expect("starts");
    let [a, slow, quick] = [(); 3].map(|()| open::<crate::Bytes>(&node, "earth"));
    let (mut at_slow, mut at_quick) = (slow.messages(), quick.messages());
    for n in 0..100_u8 {
        within(a.post_message_wait(&Bytes::from(vec![n; 10_000])))
            .await
            .expect("posted");
        assert_eq!(next(&mut at_quick).await[0], n);
    }
    let RecvError::Gap(gap) = next_error(&mut at_slow).await else {
        panic!("another error");
    };
    assert_eq!(
        (gap.reason(), gap.sender()),
        (GapReason::Unread, node.peer_id())
    );
    assert_eq!(*gap.missed().start(), 1);
    for n in gap.missed().end() + 1..=100 {
        let message = within(at_slow.recv())
            .await
            .expect("not the end")
            .expect("a message");
        assert_eq!((message.seq(), u64::from(message.data[0])), (n, n - 1));
    }
    assert!(*gap.missed().end() < 100 - 8, "what is kept is no gap");
    let unread = node.inspect().await.expect("runs").counters.objects.unread;
    assert_eq!(unread, *gap.missed().end());
}

/// A node with room for a few of [`filled`] in the rings of its channels.
async fn with_short_rings() -> Node {
    let limits = Limits {
        unread_bytes: 64 * 1024,
        ..Limits::default()
    };
    let builder = Mesh::new().builder("a").limits(limits);
    builder.spawn().await.expect("starts")
}

/// Many of these overrun a short ring.
fn filled(n: u8) -> crate::Bytes {
    vec![n; 10_000].into()
}

#[tokio::test]
async fn a_stream_that_does_not_keep_up_reads_everything_as_long_as_it_is_kept() {
    let node = with_short_rings().await;
    let [a, b, slow] = [(); 3].map(|()| open::<crate::Bytes>(&node, "earth"));
    let mut at_slow = slow.messages();
    for n in 0..60 {
        let poster = if n % 3 == 0 { &a } else { &b };
        within(poster.post_message_wait(&filled(n)))
            .await
            .expect("posted");
        // Its own posts are not among what it reads.
        slow.post_message(&crate::Bytes::new()).expect("room");
        if n % 20 == 0 {
            flushed(&node).await;
        }
    }
    let large: crate::Bytes = vec![60; 300_000].into();
    within(a.post_message_wait(&large)).await.expect("posted");
    a.post_message(&filled(61)).expect("posted");
    flushed(&node).await;
    for n in 0..60 {
        assert_eq!(next(&mut at_slow).await, filled(n));
    }
    assert!(next(&mut at_slow).await == large, "in one piece");
    assert_eq!(next(&mut at_slow).await, filled(61));
    assert!(at_slow.recv().now_or_never().is_none());
    let counters = node.inspect().await.expect("runs").counters;
    assert!(
        counters.objects.unread == 0 && counters.objects.recalled > 40,
        "{counters:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_does_not_keep_up_is_called_with_everything_too_and_holds_up_no_stream() {
    let node = with_short_rings().await;
    let [a, slow, quick] = [(); 3].map(|()| open::<crate::Bytes>(&node, "earth"));
    let (sender, mut heard) = mpsc::unbounded_channel();
    let (go, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let _guard = slow.on_message(move |message| {
        if message.data[0] == 0 {
            // Until it is let go, or the test is over.
            let _ = gate.recv();
        }
        tell(&sender, message.data);
    });
    let mut at_quick = quick.messages();
    for n in 0..60 {
        within(a.post_message_wait(&filled(n)))
            .await
            .expect("posted");
        assert_eq!(next(&mut at_quick).await, filled(n));
    }
    go.send(()).expect("it waits");
    for n in 0..60 {
        assert_eq!(within(heard.recv()).await, Some(filled(n)));
    }
}

#[tokio::test]
async fn a_reader_that_is_behind_when_the_node_stops_is_told_what_it_missed() {
    let node = with_short_rings().await;
    let (a, slow) = (
        open::<crate::Bytes>(&node, "earth"),
        open::<crate::Bytes>(&node, "earth"),
    );
    let at_slow = slow.messages();
    for n in 0..60 {
        within(a.post_message_wait(&filled(n)))
            .await
            .expect("posted");
    }
    within(node.shutdown()).await;
    let mut next = 1;
    for item in within(at_slow.collect::<Vec<_>>()).await {
        let seqs = match item {
            Ok(message) => message.seqs(),
            Err(RecvError::Gap(gap)) if gap.reason() == GapReason::Unread => gap.missed(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(*seqs.start(), next);
        next = seqs.end() + 1;
    }
    assert_eq!(next, 61);
}

#[tokio::test]
async fn the_empty_name_is_a_name_and_long_ones_have_a_limit() {
    let node = alone().await;
    for name in ["", " ", "日本", &"x".repeat(255)] {
        let (a, b) = (open::<u8>(&node, name), open::<u8>(&node, name));
        let mut at_b = b.messages();
        a.post_message(&1).expect("posted");
        assert_eq!(next(&mut at_b).await, 1);
        assert_eq!(a.name().as_str(), name);
    }
    assert!(matches!(
        node.channel::<u8>(&"x".repeat(256)),
        Err(crate::OpenError::Name(_))
    ));
}

#[tokio::test]
async fn more_channels_than_allowed_are_refused() {
    let limits = Limits {
        max_channels: 2,
        ..Limits::default()
    };
    let node = Mesh::new()
        .builder("a")
        .limits(limits)
        .spawn()
        .await
        .expect("starts");
    let _open = (
        open::<u8>(&node, "1"),
        open::<u8>(&node, "2"),
        open::<u8>(&node, "2"),
    );
    assert_eq!(
        node.channel::<u8>("3").err(),
        Some(crate::OpenError::TooManyChannels { limit: 2 })
    );
}

/// Opens a channel once there is a place: as long as what was posted in others has not left they do
/// not make way.
async fn opened(node: &Node, name: &str, limit: usize) -> BroadcastChannel<usize> {
    let open = async {
        loop {
            match node.channel(name) {
                Ok(channel) => return channel,
                Err(error) => assert_eq!(error, crate::OpenError::TooManyChannels { limit }),
            }
            tokio::task::yield_now().await;
        }
    };
    within(open).await
}

/// As when users come and go, each with a room of his own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_that_are_closed_make_way_for_others_and_numbers_go_on() {
    const ROOMS: usize = 50;
    let limits = Limits {
        max_channels: ROOMS,
        ..Limits::default()
    };
    let mesh = Mesh::new();
    let a = mesh
        .apart("a")
        .limits(limits)
        .spawn()
        .await
        .expect("starts");
    let b = mesh.apart("b").seeds(addresses(&a).await);
    let b = b.spawn().await.expect("starts");
    let mut heard = open::<usize>(&b, "earth").messages();
    for n in 1..=10 {
        let earth = opened(&a, "earth", ROOMS).await;
        joined(&[&a, &b], "earth").await;
        let receipt = earth.post_message(&n).expect("posted");
        assert_eq!(within(receipt.acked(1)).await, Ok(1));
        assert_eq!(receipt.seq(), Some(n as u64), "no number twice");
        assert_eq!(next(&mut heard).await, n);
        earth.close();
        for room in 0..500 {
            let room = opened(&a, &format!("{n}/{room}"), ROOMS).await;
            room.post_message(&n).expect("posted");
        }
    }
    // An open channel does not make way.
    let mut rooms = Vec::new();
    for room in 0..ROOMS {
        rooms.push(opened(&a, &format!("1/{room}"), ROOMS).await);
    }
    let limit = ROOMS;
    let refused = a.channel::<usize>("earth").err();
    assert_eq!(refused, Some(crate::OpenError::TooManyChannels { limit }));
    until(&a, |it| it.channels.len() == ROOMS).await;
    drop(rooms);
    let again = opened(&a, "1/7", ROOMS)
        .await
        .post_message(&7)
        .expect("posted");
    assert_eq!(within(again.acked(0)).await, Ok(0));
    assert_eq!(again.seq(), Some(2));
}

#[tokio::test]
async fn streams_end_after_what_was_delivered_when_the_node_stops() {
    let node = alone().await;
    let (a, b) = (open::<u8>(&node, "earth"), open::<u8>(&node, "earth"));
    let at_b = b.messages();
    (0..3).for_each(|n| drop(a.post_message(&n).expect("posted")));
    within(node.shutdown()).await;
    assert!(matches!(a.post_message(&9), Err(PostError::Closed)));
    let rest: Vec<_> = within(at_b.collect::<Vec<_>>()).await;
    let rest: Vec<u8> = rest
        .into_iter()
        .map(|it| it.expect("a message").data)
        .collect();
    assert_eq!(rest, [0, 1, 2]);
    assert_eq!(
        node.channel::<u8>("earth").err(),
        Some(crate::OpenError::Closed)
    );
}

/// Posts of many channels at once must not wait for the next thing to happen to the driver.
#[tokio::test]
async fn posts_on_many_channels_at_the_same_time_all_leave_at_once() {
    let node = alone().await;
    let names: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    let pairs: Vec<(BroadcastChannel<u8>, _)> = names
        .iter()
        .map(|name| (open(&node, name), open::<u8>(&node, name).messages()))
        .collect();
    let started = tokio::time::Instant::now();
    pairs
        .iter()
        .for_each(|(channel, _)| drop(channel.post_message(&1).expect("posted")));
    for (_, mut messages) in pairs {
        assert_eq!(next(&mut messages).await, 1);
    }
    // The driver looks around once a second: 300 channels by 16 a look would take 18 seconds.
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}
