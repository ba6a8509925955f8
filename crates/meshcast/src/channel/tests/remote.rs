//! What holds between the objects of several processes.

use futures::StreamExt;

use crate::{
    Bytes, GapReason, Limits, RecvError, Value,
    node::fixture::{Mesh, joined, next, open, until, within},
};

#[tokio::test]
async fn messages_cross_with_who_posted_them_and_their_numbers() {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<String>(&a, "earth"), open::<String>(&b, "earth"));
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    // Equal payloads are two messages.
    (0..2).for_each(|_| drop(at_a.post_message(&"hello".to_owned()).expect("posted")));
    for seq in 1..=2 {
        let message = within(heard.recv())
            .await
            .expect("not the end")
            .expect("a message");
        assert_eq!(
            (message.data.as_str(), message.seq(), message.seqs()),
            ("hello", seq, seq..=seq)
        );
        assert_eq!(
            (message.sender(), message.name(), message.region()),
            (a.peer_id(), a.name(), a.region())
        );
    }
    let counters = b.inspect().await.expect("runs").counters;
    assert_eq!(
        (
            counters.delivered,
            counters.gaps,
            counters.traffic.frames_invalid
        ),
        (2, 0, 0)
    );
}

#[tokio::test]
async fn what_was_posted_before_close_reaches_others() {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<u8>(&a, "earth"), open::<u8>(&b, "earth"));
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    (0..10).for_each(|n| drop(at_a.post_message(&n).expect("posted")));
    at_a.close();
    for n in 0..10 {
        assert_eq!(next(&mut heard).await, n);
    }
}

#[tokio::test]
async fn a_name_opened_again_at_once_goes_on_with_its_numbers() {
    let (a, b) = Mesh::new().pair().await;
    let at_b = open::<u64>(&b, "earth");
    let mut heard = at_b.messages();
    let first = open::<u64>(&a, "earth");
    joined(&[&a, &b], "earth").await;
    first.post_message(&1).expect("posted");
    first.close();
    for n in 2..=50 {
        let again = open::<u64>(&a, "earth");
        again.post_message(&n).expect("posted");
    }
    let last = open::<u64>(&a, "earth");
    let mut back = last.messages();
    for n in 1..=50 {
        let message = within(heard.recv())
            .await
            .expect("not the end")
            .expect("no gap");
        assert_eq!((message.data, message.seq()), (n, n));
    }
    at_b.post_message(&51).expect("posted");
    assert_eq!(next(&mut back).await, 51);
}

#[tokio::test]
async fn a_large_value_arrives_once_as_one_message_and_the_next_follows() {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<Bytes>(&a, "earth"), open::<Bytes>(&b, "earth"));
    let mut heard = at_b.messages();
    let beside = open::<Bytes>(&a, "earth");
    let mut heard_here = beside.messages();
    joined(&[&a, &b], "earth").await;
    let large: Bytes = (0..1024 * 1024)
        .map(|n: u32| n.to_le_bytes()[1])
        .collect::<Vec<_>>()
        .into();
    at_a.post_message(&large).expect("posted");
    at_a.post_message(&Bytes::from_static(b"next"))
        .expect("posted");
    for messages in [&mut heard, &mut heard_here] {
        let message = within(messages.recv())
            .await
            .expect("not the end")
            .expect("a message");
        assert!(message.data == large, "every byte");
        let seqs = message.seqs();
        assert!(*seqs.start() == 1 && *seqs.end() > 3, "{seqs:?}");
        let after = within(messages.recv())
            .await
            .expect("not the end")
            .expect("a message");
        assert_eq!(
            (&after.data[..], after.seq()),
            (&b"next"[..], seqs.end() + 1)
        );
    }
}

#[tokio::test]
async fn typed_dynamic_and_raw_channels_understand_each_other() {
    let (a, b) = Mesh::new().pair().await;
    let (typed, raw) = (open::<Vec<u32>>(&a, "earth"), open::<Bytes>(&a, "earth"));
    let dynamic = open::<Value>(&b, "earth");
    let (mut at_typed, mut at_dynamic) = (typed.messages(), dynamic.messages());
    joined(&[&a, &b], "earth").await;
    typed.post_message(&vec![1, 2, 3]).expect("posted");
    let value = next(&mut at_dynamic).await;
    dynamic.post_message(&value).expect("posted");
    assert_eq!(next(&mut at_typed).await, [1, 2, 3]);
    raw.post_message(&Bytes::from_static(b"abc"))
        .expect("posted");
    let bytes = next(&mut at_dynamic).await;
    assert_eq!(bytes, Value::from(Bytes::from_static(b"abc")));
    let back = open::<Bytes>(&a, "earth");
    let mut at_back = back.messages();
    dynamic.post_message(&bytes).expect("posted");
    assert_eq!(next(&mut at_back).await, b"abc"[..]);
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed_of_each_sender() {
    let mesh = Mesh::new();
    let limits = Limits {
        unread_bytes: 32 * 1024,
        history_bytes: 32 * 1024,
        ..Limits::default()
    };
    let a = mesh
        .builder("a")
        .limits(limits)
        .spawn()
        .await
        .expect("starts");
    let b = mesh.node("b", &[&a]).await;
    let c = mesh.node("c", &[&a, &b]).await;
    let (slow, quick) = (open::<Bytes>(&a, "earth"), open::<Bytes>(&a, "earth"));
    let (mut at_slow, mut at_quick) = (slow.messages(), quick.messages());
    let senders = [open::<Bytes>(&b, "earth"), open::<Bytes>(&c, "earth")];
    joined(&[&a, &b, &c], "earth").await;
    for _ in 0..20 {
        for sender in &senders {
            sender
                .post_message(&Bytes::from(vec![0; 5_000]))
                .expect("posted");
            next(&mut at_quick).await;
        }
    }
    // Of each the first are gone; the others it gets, from the history or the ring.
    let mut expected = std::collections::BTreeMap::from([(b.peer_id(), 1), (c.peer_id(), 1)]);
    let mut unread = 0;
    while expected.values().any(|next| *next <= 20) {
        let (sender, seqs) = match within(at_slow.recv()).await.expect("not the end") {
            Ok(message) => (message.sender(), message.seqs()),
            Err(RecvError::Gap(gap)) => {
                assert_eq!(
                    (gap.reason(), *gap.missed().start()),
                    (GapReason::Unread, 1)
                );
                unread += gap.missed().count();
                (gap.sender(), gap.missed())
            }
            Err(error) => panic!("{error}"),
        };
        let next = expected.get_mut(&sender).expect("one of the two");
        assert_eq!(seqs.start(), next);
        *next = seqs.end() + 1;
    }
    let counters = a.inspect().await.expect("runs").counters;
    assert!(
        unread > 0 && counters.objects.unread == unread as u64,
        "{counters:?}"
    );
}

#[tokio::test]
async fn what_was_queued_reaches_the_others_before_the_node_is_gone() {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<Bytes>(&a, "earth"), open::<Bytes>(&b, "earth"));
    let heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    for n in 0..200 {
        at_a.post_message(&Bytes::from(vec![n; 4_000]))
            .expect("posted");
    }
    within(a.shutdown()).await;
    let data: Vec<u8> = within(
        heard
            .take(200)
            .map(|it| it.expect("a message").data[0])
            .collect(),
    )
    .await;
    assert_eq!(data, (0..200).collect::<Vec<u8>>());
}

#[tokio::test]
async fn dropping_the_last_handle_sends_what_is_queued_too() {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<u8>(&a, "earth"), open::<u8>(&b, "earth"));
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    at_a.post_message(&1).expect("posted");
    drop(a);
    assert_eq!(next(&mut heard).await, 1);
    until(&b, |it| it.peers.is_empty()).await;
    assert!(matches!(
        at_a.post_message(&2),
        Err(crate::PostError::Closed)
    ));
}

#[tokio::test]
async fn three_hundred_channels_of_two_nodes_each_deliver() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    let names: Vec<_> = (0..300).map(|n| format!("channel {n}")).collect();
    let posting: Vec<_> = names.iter().map(|name| open::<u32>(&a, name)).collect();
    let b = mesh.node("b", &[&a]).await;
    let listening: Vec<_> = names
        .iter()
        .map(|name| open::<u32>(&b, name).messages())
        .collect();
    for node in [&a, &b] {
        until(node, |it| {
            it.channels.len() == 300
                && it
                    .channels
                    .iter()
                    .all(|channel| channel.subscribers.len() == 1)
        })
        .await;
    }
    for (n, channel) in (0..).zip(&posting) {
        channel.post_message(&n).expect("posted");
    }
    for (n, mut messages) in (0..).zip(listening) {
        assert_eq!(next(&mut messages).await, n);
    }
}

/// The window of a channel is a part of what is kept, and one message may be larger than that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_go_on_however_little_is_kept_and_however_large_they_are() {
    for history in [200_000, 400_000, 800_000] {
        let mesh = Mesh::new();
        let limits = crate::Limits {
            history_bytes: history,
            ..crate::Limits::default()
        };
        let (mut nodes, mut channels) = (Vec::new(), Vec::new());
        for n in 0..3 {
            let mut builder = mesh.apart(&format!("node-{n}")).limits(limits.clone());
            for node in &nodes {
                builder = builder.seeds(crate::node::fixture::addresses(node).await);
            }
            let node = builder.spawn().await.expect("starts");
            channels.push(open::<crate::Bytes>(&node, "earth"));
            nodes.push(node);
        }
        joined(&nodes.iter().collect::<Vec<_>>(), "earth").await;
        for step in 0..60 {
            let len = [10, 1_000, 20_000, 150_000][step % 4];
            let data = crate::Bytes::from(vec![1; len]);
            within(channels[step * 7 % 3].post_message_wait(&data))
                .await
                .expect("posted");
        }
    }
}
