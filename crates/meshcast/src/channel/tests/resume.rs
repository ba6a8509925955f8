//! Streams that stop, and go on at another member; what was before as a list, and its end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::FutureExt;
use meshcast_proto::{Sender, Seq};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    BroadcastChannel, Bytes, ChannelOptions, Cursor, Entry, Gap, GapReason, Limits, Messages, Node,
    OpenError, RecvError, Since,
    channel::cursor::{Mark, Marks},
    clock::moment,
    ids::sender,
    node::fixture::{Mesh, addresses, alone, joined, next, next_error, open, until, within},
};

fn go_on<T: crate::Payload>(node: &Node, cursor: Cursor) -> Messages<T> {
    let channel = node.channel_since::<T>("earth", Since::After(cursor));
    channel.expect("opens").messages()
}

/// A client keeps the text.
fn kept_by_a_client(messages: &mut Messages<impl crate::Payload>) -> Cursor {
    let text = messages.cursor().to_string();
    text.parse().expect("it is a cursor")
}

async fn expect(messages: &mut Messages<u64>, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        assert_eq!(next(messages).await, n);
    }
}

async fn post(channel: &BroadcastChannel<u64>, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        channel.post_message_wait(&n).await.expect("posted");
    }
}

#[tokio::test]
async fn a_stream_goes_on_at_another_member_with_the_next_message_and_then_live() {
    let mesh = Mesh::new();
    let (a, b) = mesh.pair().await;
    let (at_a, at_b) = (open::<u64>(&a, "earth"), open::<u64>(&b, "earth"));
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    let before = kept_by_a_client(&mut heard);
    post(&at_a, 1..=6).await;
    expect(&mut heard, 1..=1).await;
    let first = kept_by_a_client(&mut heard);
    expect(&mut heard, 2..=4).await;
    let fourth = kept_by_a_client(&mut heard);
    expect(&mut heard, 5..=6).await;
    // In the process that posted, at the one it was made by, and at one that has just started.
    let c = mesh.node("c", &[&a, &b]).await;
    for node in [&a, &b, &c] {
        for (cursor, due) in [(&before, 1), (&first, 2), (&fourth, 5)] {
            let mut messages = go_on::<u64>(node, cursor.clone());
            let message = within(messages.recv()).await.expect("not the end");
            let message = message.expect("no gap");
            assert_eq!((message.data, message.is_history()), (due, true));
            expect(&mut messages, due + 1..=6).await;
            // It is no other at once.
            let again = kept_by_a_client(&mut messages);
            assert!(go_on::<u64>(node, again).recv().now_or_never().is_none());
        }
    }
    let mut live = go_on::<u64>(&c, kept_by_a_client(&mut heard));
    post(&at_a, 7..=7).await;
    let message = within(live.recv()).await.expect("not the end");
    assert_eq!(message.expect("no gap").data, 7);
    assert!(live.is_caught_up());
}

#[tokio::test]
async fn a_cursor_of_another_channel_or_mesh_is_refused_at_the_door() {
    let (node, other) = (alone().await, alone().await);
    let earth = open::<u64>(&node, "earth");
    let cursor = earth.messages().cursor();
    let since = || Since::After(cursor.clone());
    for refused in [
        node.channel_since::<u64>("mars", since()).err(),
        other.channel_since::<u64>("earth", since()).err(),
        open::<u64>(&other, "earth").history(since()).await.err(),
    ] {
        assert_eq!(refused, Some(OpenError::ForeignCursor));
    }
    assert!(node.channel_since::<u64>("earth", since()).is_ok());
    earth.close();
    assert_eq!(
        earth.history(Since::Now).await.err(),
        Some(OpenError::Closed)
    );
}

#[tokio::test]
async fn expired_numbers_are_told_and_large_messages_are_whole() {
    let mesh = Mesh::new();
    let limits = Limits {
        history_bytes: 1024 * 1024,
        ..Limits::default()
    };
    let a = mesh.builder("a").limits(limits.clone());
    let a = a.spawn().await.expect("starts");
    let b = mesh.builder("b").limits(limits).seeds(addresses(&a).await);
    let b = b.spawn().await.expect("starts");
    let (at_a, at_b) = (open::<Bytes>(&a, "earth"), open::<Bytes>(&b, "earth"));
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    let large: Bytes = vec![7; 150_000].into();
    at_a.post_message_wait(&large).await.expect("posted");
    let first = within(heard.recv()).await.expect("not the end");
    let due = first.expect("no gap").seqs().end() + 1;
    let cursor = kept_by_a_client(&mut heard);
    for _ in 0..20 {
        at_a.post_message_wait(&large).await.expect("posted");
        assert_eq!(next(&mut heard).await, large);
    }
    for node in [&a, &b] {
        let mut messages = go_on::<Bytes>(node, cursor.clone());
        // What only the other one keeps does not fit here: that is told apart.
        let (mut expected, mut first) = (due, None);
        let mut missed = 0;
        while first.is_none() {
            match within(messages.recv()).await.expect("not the end") {
                Ok(message) => first = Some(message),
                Err(RecvError::Gap(gap)) => {
                    let reasons = [GapReason::Expired, GapReason::Unfetched];
                    assert!(reasons.contains(&gap.reason()), "{gap}");
                    assert_eq!(*gap.missed().start(), expected);
                    missed += gap.missed().count() as u64;
                    expected = gap.missed().end() + 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        let first = first.expect("it came");
        assert!(due < expected && (*first.seqs().start(), &first.data) == (expected, &large));
        expected = first.seqs().end() + 1;
        let mut came = 0;
        while came < 3 {
            let message = within(messages.recv()).await.expect("not the end");
            let message = message.expect("no further gap");
            assert_eq!((*message.seqs().start(), &message.data), (expected, &large));
            (expected, came) = (message.seqs().end() + 1, came + 1);
        }
        let counters = node.inspect().await.expect("runs").counters;
        assert!(missed > 0);
        assert_eq!(
            counters.objects.expired + counters.objects.unfetched,
            missed
        );
    }
}

fn forged(node: &Node, of: &[(Sender, u64)]) -> Cursor {
    let now = moment();
    let marks = of.iter().map(|(sender, read)| {
        let read = Seq::new(*read).expect("not zero");
        (sender.prefix(), Mark::idle_for(read, 0, now))
    });
    let place = open::<u64>(node, "earth").object.hub.place();
    Cursor::new(place, &marks.collect::<Marks>(), now)
}

#[tokio::test]
async fn a_number_far_above_makes_nobody_deaf_and_nothing_missing() {
    let mesh = Mesh::new();
    let (a, b) = mesh.pair().await;
    let (at_a, at_b) = (open::<u64>(&a, "earth"), open::<u64>(&b, "earth"));
    let mut honest = at_b.messages();
    joined(&[&a, &b], "earth").await;
    post(&at_a, 1..=5).await;
    expect(&mut honest, 1..=5).await;
    let sender_of = |node: &Node| sender(&node.peer_id()).expect("an Ed25519 key");
    let senders = [(sender_of(&a), 1 << 60), (sender_of(&b), u64::MAX)];
    let (began, cursor) = (Instant::now(), forged(&b, &senders));
    let mut messages = go_on::<u64>(&b, cursor);
    // Nobody knows this node's own posts better.
    at_b.post_message(&100).expect("posted");
    assert_eq!(next(&mut messages).await, 100);
    let mut n = 5;
    let first = loop {
        n += 1;
        post(&at_a, n..=n).await;
        tokio::select! {
            message = messages.recv() => break message.expect("not the end"),
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it is deaf");
    };
    let first = first.expect("no gap").data;
    assert!(first > 6 && began.elapsed() >= Duration::from_secs(5));
    post(&at_a, n + 1..=n + 3).await;
    expect(&mut messages, first + 1..=n + 3).await;
    // Others hear all of it.
    expect(&mut honest, 6..=n + 3).await;
}

#[tokio::test]
async fn history_is_one_list_by_time_with_what_is_missing_beside_it() {
    let mesh = Mesh::new();
    let (a, b) = mesh.pair().await;
    let (at_a, at_b) = (open::<u64>(&a, "earth"), open::<u64>(&b, "earth"));
    joined(&[&a, &b], "earth").await;
    let mut in_a = at_a.messages();
    for n in 0..10 {
        // So that one is later than the other, by the clock that both have.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let channel = if n % 2 == 0 { &at_a } else { &at_b };
        post(channel, n..=n).await;
        if n % 2 == 1 {
            assert_eq!(next(&mut in_a).await, n);
        }
    }
    let numbers = |history: crate::History<u64>| -> Vec<u64> {
        assert!(history.is_complete && history.errors.is_empty());
        assert!(history.messages.iter().all(crate::Message::is_history));
        history.into_iter().map(|message| message.data).collect()
    };
    for channel in [&at_a, &at_b] {
        let minute = Since::Ago(Duration::from_secs(60));
        let history = channel.history(minute).await.expect("open");
        assert_eq!(numbers(history), (0..10).collect::<Vec<_>>());
        let history = channel.history(Since::Last(3)).await.expect("open");
        assert_eq!(history.left_out, 3);
        assert_eq!(numbers(history), [7, 8, 9]);
        let history = channel.history(Since::Now).await.expect("open");
        assert_eq!(numbers(history), Vec::<u64>::new());
    }
    // Somebody who posts words.
    let words = open::<String>(&b, "earth");
    words.post_message("no number").expect("posted");
    assert!(matches!(next_error(&mut in_a).await, RecvError::Decode(_)));
    let history = at_a.history(Since::Last(2)).await.expect("open");
    assert_eq!((history.messages.len(), history.errors.len()), (1, 1));
    b.shutdown().await;
    assert!(
        !at_b
            .history(Since::Last(3))
            .await
            .is_ok_and(|it| it.is_complete)
    );
}

#[tokio::test]
async fn a_marked_stream_says_once_where_the_past_is_over() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    let at_a = open::<u64>(&a, "earth");
    post(&at_a, 1..=40).await;
    until(&a, |it| it.channels.iter().all(|it| it.outbox_bytes == 0)).await;
    // One that has heard nobody yet, and one that has.
    let b = mesh.node("b", &[&a]).await;
    for last in 40..=41 {
        let options = ChannelOptions::new().since(Since::Ago(Duration::from_secs(60)));
        let channel = b.channel_with::<u64>("earth", options).expect("opens");
        let mut marked = channel.messages().marked();
        for n in 1..=last {
            let entry = within(marked.recv()).await.expect("not the end");
            let Entry::Message(message) = entry.expect("no gap") else {
                panic!("the past is not over before {n}");
            };
            assert_eq!((message.data, message.is_history()), (n, true));
        }
        let mark = within(marked.recv()).await.expect("not the end");
        assert!(matches!(mark.expect("no gap"), Entry::CaughtUp));
        assert!(marked.recv().now_or_never().is_none());
        at_a.post_message(&(last + 1)).expect("posted");
        let entry = within(marked.recv()).await.expect("not the end");
        assert!(matches!(entry, Ok(Entry::Message(message)) if !message.is_history()));
    }
    // One that wants nothing from before has no past.
    let mut plain = open::<u64>(&a, "earth").messages().marked();
    assert!(matches!(
        plain.recv().now_or_never(),
        Some(Some(Ok(Entry::CaughtUp)))
    ));
}

/// What a client has seen of each sender: the number that is due.
type Due = BTreeMap<Sender, u64>;

fn see(due: &mut Due, received: Result<crate::Message<Bytes>, RecvError>, context: &str) {
    let (sender_id, seqs) = match received {
        Ok(message) => (message.sender(), message.seqs()),
        Err(RecvError::Gap(gap)) => (gap.sender(), Gap::missed(&gap)),
        Err(error) => panic!("{error}"),
    };
    let of = sender(&sender_id).expect("an Ed25519 key");
    let first = due.entry(of).or_insert_with(|| *seqs.start());
    assert_eq!(
        *seqs.start(),
        *first,
        "{context}: each begins where the last ended"
    );
    *first = seqs.end() + 1;
}

/// The reference, with real nodes: whoever posts, restarts, forgets and is moved to, a client sees
/// each number of a sender once and in order, or is told of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_moved_about_sees_every_number_or_is_told() {
    for seed in 0..8 {
        let mut random = StdRng::seed_from_u64(seed);
        let limits = Limits {
            history_bytes: 200_000 << random.random_range(0..4),
            ..Limits::default()
        };
        let mesh = Mesh::new();
        let (mut nodes, mut channels) = (Vec::new(), Vec::new());
        for n in 0..3 {
            let mut builder = mesh.apart(&format!("node-{n}")).limits(limits.clone());
            for node in &nodes {
                builder = builder.seeds(addresses(node).await);
            }
            let node = builder.spawn().await.expect("starts");
            channels.push(open::<Bytes>(&node, "earth"));
            nodes.push(node);
        }
        joined(&nodes.iter().collect::<Vec<_>>(), "earth").await;
        let mut due = Due::new();
        let mut client = channels[0].messages();
        for step in 0..60 {
            let context = format!("seed {seed}, step {step}");
            match random.random_range(0..10) {
                0..5 => {
                    let len = [10, 1_000, 20_000, 150_000][random.random_range(0..4)];
                    let data = Bytes::from(vec![1; len]);
                    let at = random.random_range(0..3);
                    channels[at].post_message_wait(&data).await.expect("posted");
                }
                5..7 => {
                    for _ in 0..random.random_range(1..6) {
                        match client.recv().now_or_never() {
                            Some(received) => {
                                see(&mut due, received.expect("not the end"), &context);
                            }
                            None => tokio::task::yield_now().await,
                        }
                    }
                }
                7..9 => {
                    let cursor = kept_by_a_client(&mut client);
                    let to = random.random_range(0..3);
                    client = go_on(&nodes[to], cursor);
                }
                _ => {
                    let n = random.random_range(0..3);
                    let cursor = kept_by_a_client(&mut client);
                    nodes[n].shutdown().await;
                    let mut builder = mesh.apart(&format!("again-{step}")).limits(limits.clone());
                    for (_, node) in nodes.iter().enumerate().filter(|(other, _)| *other != n) {
                        builder = builder.seeds(addresses(node).await);
                    }
                    nodes[n] = builder.spawn().await.expect("starts");
                    channels[n] = open(&nodes[n], "earth");
                    client = go_on(&nodes[random.random_range(0..3)], cursor);
                }
            }
        }
        // The last of each says that all before it was seen.
        joined(&nodes.iter().collect::<Vec<_>>(), "earth").await;
        let end = Bytes::from(vec![2; 3]);
        for channel in &channels {
            channel.post_message_wait(&end).await.expect("posted");
        }
        let mut ends = 0;
        while ends < 3 {
            let received = within(client.recv()).await.expect("not the end");
            ends += usize::from(received.as_ref().is_ok_and(|message| message.data == end));
            see(&mut due, received, &format!("seed {seed}, at the end"));
        }
    }
}
