//! What is awaited: handlers that take their time, and the end of a channel object.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::FutureExt as _;
use tokio::sync::{Semaphore, mpsc};

use crate::{
    AckError, Bytes, GapReason, Limits, RecvError,
    node::fixture::{Mesh, alone, next, open, until, within},
};

#[tokio::test]
async fn an_asynchronous_handler_is_called_in_order_and_one_message_at_a_time() {
    let node = alone().await;
    let (at, running) = (open::<u32>(&node, "earth"), Arc::new(AtomicUsize::new(0)));
    let (done, mut heard) = mpsc::unbounded_channel();
    let _handler = at.on_message_async(move |message| {
        let (done, running) = (done.clone(), Arc::clone(&running));
        async move {
            let others = running.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            // An error means that the test is over.
            let _ = done.send((message.data, others));
        }
    });
    let posting = open::<u32>(&node, "earth");
    for n in 0..100 {
        posting.post_message(&n).expect("posted");
    }
    for n in 0..100 {
        assert_eq!(within(heard.recv()).await, Some((n, 0)));
    }
}

/// Messages it misses are told with exact numbers; a handler beside it hears all meanwhile.
#[tokio::test]
async fn a_slow_asynchronous_handler_holds_up_nobody_and_is_told_its_gap() {
    const MESSAGES: u64 = 2_000;
    let limits = Limits {
        unread_bytes: 64 * 1024,
        history_bytes: 128 * 1024,
        ..Limits::default()
    };
    let node = Mesh::new().builder("a").limits(limits);
    let node = node.spawn().await.expect("starts");
    let (slow, quick) = (open::<Bytes>(&node, "earth"), open::<Bytes>(&node, "earth"));
    let gate = Arc::new(Semaphore::new(0));
    let (told, mut called) = mpsc::unbounded_channel();
    let (gap, mut gaps) = mpsc::unbounded_channel();
    let _errors = slow.on_message_error(move |error| _ = gap.send(error));
    let opens = Arc::clone(&gate);
    let _handler = slow.on_message_async(move |message| {
        let (told, gate) = (told.clone(), Arc::clone(&opens));
        async move {
            let _ = told.send(message.seq());
            gate.acquire().await.expect("open").forget();
        }
    });
    let mut beside = quick.messages();
    let posting = open::<Bytes>(&node, "earth");
    let message = Bytes::from(vec![7; 1024]);
    for n in 1..=MESSAGES {
        posting.post_message_wait(&message).await.expect("posted");
        let heard = within(beside.recv()).await.expect("not the end");
        assert_eq!(heard.expect("a message").seq(), n);
    }
    gate.add_permits(Semaphore::MAX_PERMITS / 2);
    let (mut next, mut missed) = (1, 0);
    while next <= MESSAGES {
        let seq = within(called.recv()).await.expect("it runs");
        missed += seq - next;
        next = seq + 1;
    }
    assert!(missed > 0, "it was given all");
    let mut told_missed = 0;
    while told_missed < missed {
        match within(gaps.recv()).await {
            Some(RecvError::Gap(gap)) => {
                assert_eq!(gap.reason(), GapReason::Unread);
                told_missed += gap.missed().end() - gap.missed().start() + 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told_missed, missed);
}

#[tokio::test]
async fn an_asynchronous_handler_that_panics_is_counted_and_goes_on() {
    let node = alone().await;
    let at = open::<u32>(&node, "earth");
    let (done, mut heard) = mpsc::unbounded_channel();
    let _handler = at.on_message_async(move |message| {
        let done = done.clone();
        async move {
            assert_ne!(message.data, 1, "as a test wants");
            let _ = done.send(message.data);
        }
    });
    let posting = open::<u32>(&node, "earth");
    for n in 0..3 {
        posting.post_message(&n).expect("posted");
    }
    assert_eq!(within(heard.recv()).await, Some(0));
    assert_eq!(within(heard.recv()).await, Some(2));
    let counters = node.counters().await.expect("runs");
    assert_eq!(counters.objects.handler_panics, 1);
}

#[tokio::test]
async fn without_its_guard_an_asynchronous_handler_ends_where_it_waits_and_closes_its_object() {
    let node = alone().await;
    let at = open::<u32>(&node, "earth");
    let (done, mut called) = mpsc::unbounded_channel();
    let handler = at.on_message_async(move |message| {
        let _ = done.send(message.data);
        std::future::pending()
    });
    drop(at);
    let posting = open::<u32>(&node, "earth");
    posting.post_message(&1).expect("posted");
    assert_eq!(within(called.recv()).await, Some(1));
    until(&node, |it| it.channels[0].objects == 2).await;
    drop(handler);
    assert_eq!(within(called.recv()).await, None, "the handler is gone");
    until(&node, |it| it.channels[0].objects == 1).await;
}

#[tokio::test]
async fn an_asynchronous_handler_finishes_the_message_it_has_when_the_channel_is_closed() {
    let node = alone().await;
    let at = open::<u32>(&node, "earth");
    let gate = Arc::new(Semaphore::new(0));
    let (done, mut heard) = mpsc::unbounded_channel();
    let opens = Arc::clone(&gate);
    let _handler = at.on_message_async(move |message| {
        let (done, gate) = (done.clone(), Arc::clone(&opens));
        async move {
            let _ = done.send("begun");
            gate.acquire().await.expect("open").forget();
            let _ = done.send("done");
            drop(message);
        }
    });
    let posting = open::<u32>(&node, "earth");
    for n in 0..2 {
        posting.post_message(&n).expect("posted");
    }
    assert_eq!(within(heard.recv()).await, Some("begun"));
    at.close();
    gate.add_permits(2);
    assert_eq!(within(heard.recv()).await, Some("done"));
    assert_eq!(within(heard.recv()).await, None, "the second is dropped");
}

#[tokio::test]
async fn whoever_awaits_the_end_of_a_channel_knows_that_what_was_posted_is_out() {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<u32>(&a, "earth"), open::<u32>(&b, "earth"));
    let mut heard = at_b.messages();
    let receipt = at_a.post_message(&1).expect("posted");
    let closing = at_a.close();
    assert!(receipt.is_queued(), "the node has not had a turn");
    assert_eq!(within(closing.into_future()).await, Ok(()));
    assert!(!receipt.is_queued());
    assert_eq!(next(&mut heard).await, 1);
    // With nothing posted, and again, it is ready at once.
    assert_eq!(at_a.close().into_future().now_or_never(), Some(Ok(())));
    // A node that stops as it stands lets nobody wait for ever: it is out before, or never.
    let again = open::<u32>(&a, "earth");
    again.post_message(&2).expect("posted");
    let closing = again.close();
    within(a.abort()).await;
    let ended = within(closing.into_future()).await;
    assert!(matches!(ended, Ok(()) | Err(AckError::Closed)), "{ended:?}");
}
