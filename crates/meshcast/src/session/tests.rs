//! Sessions between real swarms over memory, with real yamux.
//!
//! If a test is about what can *not* happen, it runs on one thread with the clock paused: time then
//! moves only when every task of every swarm waits, so that a timeout means exactly "nothing is
//! left to be done", and not "it took long".

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use libp2p::{
    PeerId,
    swarm::{
        dial_opts::{DialOpts, PeerCondition},
        dummy,
    },
};

use self::flaky::Flaky;
use super::{
    CloseReason, MAX_MESSAGE, Oversized, QUEUE_BYTES, QUEUE_MESSAGES, QueueDepth, SendError,
    SessionConfig, SessionEvent, Sessions, handler::REOPENINGS,
};
use crate::swarm_fixture::{Node, guard};

mod flaky;

const LARGEST: usize = MAX_MESSAGE as usize;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_messages_each_way_arrive_once_in_order_and_whole() {
    let (mut a, mut b) = guard(connected()).await;
    guard(exchange(&mut a, &mut b, 0..10_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_connections_keep_the_order() {
    let (mut a, mut b) = guard(connected_twice()).await;
    guard(exchange(&mut a, &mut b, 0..3_000)).await;
    assert_eq!((a.connections.len(), b.connections.len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_one_of_two_connections_loses_the_tail_and_never_the_order() {
    let (mut a, mut b) = guard(connected_twice()).await;
    let to = b.id();
    let (mut next, mut heard) = (0, Vec::new());
    let mut reopened_at = None;
    guard(async {
        while heard.last() != Some(&2_999) {
            next = a.send_from(&to, next..3_000);
            tokio::select! {
                event = a.event() => match event {
                    SessionEvent::Closed { reason, .. } => assert_eq!(
                        reason,
                        CloseReason::Disconnected,
                    ),
                    SessionEvent::Opened { .. } => assert_eq!(reopened_at.replace(next), None),
                    _ => {}
                },
                event = b.event() => if let SessionEvent::Message { bytes, .. } = event {
                    heard.push(number_of(&bytes));
                    // A may use either: closing the older one on one side and asking which is open
                    // on the other would race: B closes the one that the messages come on.
                    if heard.len() == 500 {
                        let source = b.sessions().peers[&a.id()].source_connection();
                        let connection = source.expect("a message came");
                        assert!(b.swarm.close_connection(connection));
                    }
                },
            }
        }
    })
    .await;
    let reopened_at = reopened_at.expect("A reports the change");
    assert!(heard.is_sorted_by(|a, b| a < b), "out of order or twice");
    let gap = heard
        .windows(2)
        .filter(|pair| pair[1] != pair[0] + 1)
        .collect::<Vec<_>>();
    assert!(gap.len() <= 1, "more than the tail is lost: {gap:?}");
    assert_eq!(
        heard.iter().filter(|n| **n >= reopened_at).count(),
        3_000 - reopened_at
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_fills_the_queue_and_costs_no_more() {
    let (mut a, mut b) = guard(connected()).await;
    let (to, size) = (b.id(), 64 * 1024);
    let message = |n: usize| chunk(n, size);

    // B is not polled. A sends whatever is taken, until nothing moves any more.
    let (mut sent, mut writable) = (0, 0);
    loop {
        let before = sent;
        while a.sessions().send(&to, message(sent)).is_ok() {
            sent += 1;
        }
        let queue_depth = a.sessions().queue_depth(&to).expect("the session is open");
        assert!(
            queue_depth.bytes <= QUEUE_BYTES && queue_depth.messages <= QUEUE_MESSAGES,
            "{queue_depth:?}"
        );
        match tokio::time::timeout(Duration::from_secs(1), a.event()).await {
            Ok(SessionEvent::Writable { .. }) => writable += 1,
            Ok(event) => panic!("{event:?}"),
            Err(_) if sent == before => break,
            Err(_) => {}
        }
    }
    let refused = a.sessions().send(&to, message(sent));
    assert!(matches!(refused, Err(SendError::Full { message: m }) if m == message(sent)));
    // The queue, what the encoder holds, the reports that wait for B, and the window of the stream,
    // which yamux doubles as long as its reader is quick: here until B stops, after 512 KiB.
    let most = QUEUE_BYTES + LARGEST + 10 * size + 4 * 256 * 1024;
    assert!(
        sent * size <= most,
        "{} bytes taken by a peer that reads nothing",
        sent * size
    );

    // B reads again: A hears that it may go on, and nothing is missing.
    let mut heard = 0;
    let before = writable;
    guard(async {
        while heard < 500 {
            while sent < 500 && a.sessions().send(&to, message(sent)).is_ok() {
                sent += 1;
            }
            tokio::select! {
                event = a.event() => writable += usize::from(
                    matches!(event, SessionEvent::Writable { .. })
                ),
                event = b.event() => if let SessionEvent::Message { bytes, .. } = event {
                    assert!(bytes == message(heard), "message {heard} is not what was sent");
                    heard += 1;
                },
            }
        }
    })
    .await;
    assert!(writable > before, "no word that the queue has room");
    assert_eq!(a.sessions().queue_depth(&to), Some(QueueDepth::default()));
}

#[tokio::test(start_paused = true)]
async fn who_is_throttled_is_heard_as_far_as_is_granted_and_loses_nothing() {
    let (mut a, mut b) = guard(connected()).await;
    let (to, from) = (b.id(), a.id());
    b.sessions().set_throttled(&from, true);
    for n in 0..100 {
        a.sessions().send(&to, chunk(n, 10)).expect("there is room");
    }
    let mut heard = 0;
    for (granted, expected) in [(0, 0), (7, 7), (20, 27)] {
        b.sessions().grant(granted);
        let event = async |a: &mut Node<Sessions>, b: &mut Node<Sessions>| {
            tokio::select! { event = b.event() => event, () = a.run() => unreachable!() }
        };
        while let Ok(event) =
            tokio::time::timeout(Duration::from_secs(1), event(&mut a, &mut b)).await
        {
            assert!(
                matches!(event, SessionEvent::Message { bytes, .. } if bytes == chunk(heard, 10))
            );
            heard += 1;
        }
        assert_eq!(heard, expected);
    }
    b.sessions().set_throttled(&from, false);
    while heard < 100 {
        let event = guard(async {
            tokio::select! { event = b.event() => event, () = a.run() => unreachable!() }
        });
        assert!(
            matches!(event.await, SessionEvent::Message { bytes, .. } if bytes == chunk(heard, 10))
        );
        heard += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_held_is_heard_only_as_far_as_it_was_read_and_loses_nothing() {
    let (mut a, mut b) = guard(connected()).await;
    let (to, from) = (b.id(), a.id());
    for n in 0..100 {
        a.sessions().send(&to, chunk(n, 10)).expect("there is room");
    }
    let mut heard = 0;
    let mut hear = async |b: &mut Node<Sessions>, a: &mut Node<Sessions>| {
        let event = async {
            tokio::select! { event = b.event() => event, () = a.run() => unreachable!() }
        };
        let Ok(event) = tokio::time::timeout(Duration::from_secs(10), event).await else {
            return heard;
        };
        assert!(matches!(event, SessionEvent::Message { bytes, .. } if bytes == chunk(heard, 10)));
        heard += 1;
        heard
    };
    assert_eq!(hear(&mut b, &mut a).await, 1);
    b.sessions().set_paused(&from, true);
    let (mut last, mut count) = (1, hear(&mut b, &mut a).await);
    while last < count {
        last = std::mem::replace(&mut count, hear(&mut b, &mut a).await);
    }
    assert!(count <= 1 + 9, "{count}");
    b.sessions().set_paused(&from, false);
    while hear(&mut b, &mut a).await < 100 {}
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_in_messages_and_in_bytes() {
    let (mut a, b) = guard(connected()).await;
    let to = b.id();
    // One thread: the connection takes nothing while this does not wait.
    let small = (0..)
        .take_while(|n| a.sessions().send(&to, chunk(*n, 1)).is_ok())
        .count();
    assert_eq!(small, QUEUE_MESSAGES);

    let (mut a, b) = guard(connected()).await;
    let to = b.id();
    let large = (0..)
        .take_while(|n| a.sessions().send(&to, chunk(*n, LARGEST)).is_ok())
        .count();
    assert_eq!(large, QUEUE_BYTES / LARGEST);
    let refused = a.sessions().send(&to, chunk(0, LARGEST + 1));
    assert_eq!(
        refused,
        Err(SendError::TooLarge {
            size: LARGEST + 1,
            limit: LARGEST
        })
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_has_nothing_to_do_and_wakes_for_a_message() {
    let (mut a, mut b) = guard(connected()).await;
    for n in 0..20 {
        for (from, to) in [(0, 1), (1, 0)] {
            let mut ends = [&mut a, &mut b];
            let peer = ends[to].id();
            ends[from]
                .sessions()
                .send(&peer, chunk(n, 100))
                .expect("the session is open");
            guard(async {
                let heard = loop {
                    let [a, b] = &mut ends;
                    tokio::select! {
                        event = a.event() => if to == 0 { break event },
                        event = b.event() => if to == 1 { break event },
                    }
                };
                assert!(
                    matches!(heard, SessionEvent::Message { bytes, .. } if bytes == chunk(n, 100))
                );
            })
            .await;
            let idle = async {
                tokio::select! { event = a.event() => event, event = b.event() => event }
            };
            assert!(
                tokio::time::timeout(Duration::from_secs(3600), idle)
                    .await
                    .is_err()
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_over_the_limit_ends_that_link_and_no_other() {
    let mut rude = Node::new(Sessions::new(SessionConfig {
        max_message: 2 * MAX_MESSAGE,
        ..SessionConfig::default()
    }));
    let (mut a, mut b) = guard(connected()).await;
    a.dial(&mut rude).await;
    let (size, limit) = (LARGEST + 1, LARGEST);
    let (to_a, to_b, to_rude) = (a.id(), b.id(), rude.id());
    let (mut told_a, mut told_rude) = (Vec::new(), Vec::new());
    let expected_rude = [
        vec![CloseReason::Reset; REOPENINGS as usize],
        vec![CloseReason::Broken],
    ]
    .concat();
    guard(async {
        while told_a.is_empty() || told_rude.len() < expected_rude.len() {
            tokio::select! {
                event = a.event() =>
                if let SessionEvent::Closed { peer, reason, connection } = event {
                    assert!(peer == to_rude && reason.is_final());
                    told_a.push(reason);
                    assert_eq!(a.connections.iter().find(|c| **c == connection), Some(&connection));
                },
                event = rude.event() => match event {
                    SessionEvent::Opened { .. } if told_rude.is_empty() => {
                        rude.sessions().send(&to_a, chunk(0, 10)).expect("the session is open");
                        rude.sessions().send(&to_a, chunk(1, size)).expect(
                            "its own limit is higher"
                        );
                    }
                    SessionEvent::Closed { reason, .. } => told_rude.push(reason),
                    _ => {}
                },
                _ = b.event() => {}
            }
        }
    })
    .await;
    assert_eq!(told_a, [CloseReason::Oversized(Oversized { size, limit })]);
    assert_eq!(told_rude, expected_rude);
    assert_eq!(
        a.sessions().send(&to_rude, Bytes::new()),
        Err(SendError::NotConnected)
    );
    assert_eq!(
        rude.sessions().send(&to_a, Bytes::new()),
        Err(SendError::NotConnected)
    );
    assert!(
        a.swarm.is_connected(&to_rude) && a.swarm.is_connected(&to_b),
        "the connections stay"
    );
    guard(exchange(&mut a, &mut b, 0..300)).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_speak_the_protocol_is_reported() {
    let mut a = Node::new(Sessions::new(SessionConfig::default()));
    let mut mute = Node::new(dummy::Behaviour);
    a.dial(&mut mute).await;
    let peer = mute.id();
    let event = guard(async {
        tokio::select! { event = a.event() => event, () = mute.run() => unreachable!("it runs for ever") }
    });
    let event = event.await;
    assert!(
        matches!(
            event,
            SessionEvent::Closed { peer: p, reason: CloseReason::Unsupported, .. } if p == peer,
        ),
        "{event:?}"
    );
    assert_eq!(
        a.sessions().send(&peer, Bytes::new()),
        Err(SendError::NotConnected)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_opened_anew_and_carries_on() {
    let drops = REOPENINGS as usize;
    let mut a = Node::new(Sessions::new(SessionConfig::default()));
    let mut b = Node::new(Flaky::new(Sessions::new(SessionConfig::default()), drops));
    a.dial(&mut b).await;
    let (mut resets, mut heard, mut sent) = (0, 0, 0);
    let (to, total) = (b.id(), 1_000);
    guard(async {
        while heard < total {
            if resets == drops {
                while sent < total && a.sessions().send(&to, chunk(sent, 100)).is_ok() {
                    sent += 1;
                }
            }
            tokio::select! {
                event = a.event() => if let SessionEvent::Closed { reason, .. } = event {
                    assert_eq!(reason, CloseReason::Reset);
                    resets += 1;
                },
                event = b.event() => if let SessionEvent::Message { bytes, .. } = event {
                    assert_eq!(bytes, chunk(heard, 100));
                    heard += 1;
                },
            }
        }
    })
    .await;
    assert_eq!(resets, drops);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_connection_is_reported_on_both_sides() {
    let (mut a, mut b) = guard(connected()).await;
    let (to, connection) = (b.id(), a.connections[0]);
    a.swarm.disconnect_peer_id(to).expect("connected");
    guard(async {
        for node in [&mut a, &mut b] {
            let event = node.event().await;
            assert!(
                matches!(
                    event,
                    SessionEvent::Closed {
                        reason: CloseReason::Disconnected,
                        ..
                    }
                ),
                "{event:?}"
            );
        }
    })
    .await;
    assert!(!a.connections.contains(&connection));
    assert_eq!(
        a.sessions().send(&to, Bytes::new()),
        Err(SendError::NotConnected)
    );
    assert!(a.sessions().peers.is_empty() && b.sessions().peers.is_empty());
}

/// Sends the messages of these numbers both ways and checks that just these arrive.
async fn exchange(a: &mut Node<Sessions>, b: &mut Node<Sessions>, numbers: Range<usize>) {
    let (to_a, to_b) = (a.id(), b.id());
    let (mut sent_a, mut sent_b) = (numbers.start, numbers.start);
    let (mut heard_a, mut heard_b) = (numbers.start, numbers.start);
    let hear = |event, heard: &mut usize| {
        if let SessionEvent::Message { bytes, .. } = event {
            assert!(
                bytes == message(*heard),
                "message {heard} is not what was sent"
            );
            *heard += 1;
        }
    };
    while heard_a < numbers.end || heard_b < numbers.end {
        sent_a = a.send_from(&to_b, sent_a..numbers.end);
        sent_b = b.send_from(&to_a, sent_b..numbers.end);
        tokio::select! {
            event = a.event() => hear(event, &mut heard_a),
            event = b.event() => hear(event, &mut heard_b),
        }
    }
}

async fn connected() -> (Node<Sessions>, Node<Sessions>) {
    let mut a = Node::new(Sessions::new(SessionConfig::default()));
    let mut b = Node::new(Sessions::new(SessionConfig::default()));
    a.dial(&mut b).await;
    opened(&mut a, &mut b).await;
    (a, b)
}

/// Two nodes that dial each other at the same time, with a session open and both connections up on
/// both sides.
async fn connected_twice() -> (Node<Sessions>, Node<Sessions>) {
    let mut a = Node::new(Sessions::new(SessionConfig::default()));
    let mut b = Node::new(Sessions::new(SessionConfig::default()));
    let (at_a, at_b) = (a.address().await, b.address().await);
    let (to_a, to_b) = (a.id(), b.id());
    for (node, peer, address) in [(&mut a, to_b, at_b), (&mut b, to_a, at_a)] {
        let dial = DialOpts::peer_id(peer)
            .condition(PeerCondition::Always)
            .addresses(vec![address]);
        node.swarm.dial(dial.build()).expect("the address is good");
    }
    opened(&mut a, &mut b).await;
    while a.connections.len() < 2 || b.connections.len() < 2 {
        tokio::select! { () = a.step() => {}, () = b.step() => {} }
    }
    (a, b)
}

async fn opened(a: &mut Node<Sessions>, b: &mut Node<Sessions>) {
    for open in 0..2 {
        let event = tokio::select! { event = a.event() => event, event = b.event() => event };
        assert!(
            matches!(event, SessionEvent::Opened { .. }),
            "{open}: {event:?}"
        );
    }
}

impl Node<Sessions> {
    fn sessions(&mut self) -> &mut Sessions {
        self.swarm.behaviour_mut()
    }

    /// Sends as many of these messages as are taken; returns the number of the first that was not.
    fn send_from(&mut self, to: &PeerId, numbers: std::ops::Range<usize>) -> usize {
        let end = numbers.end;
        numbers
            .into_iter()
            .find(|n| self.sessions().send(to, message(*n)).is_err())
            .unwrap_or(end)
    }
}

/// The message of a number: mostly small, some large, some at the limit.
fn message(n: usize) -> Bytes {
    let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let size = match n % 100 {
        0 => 8 + spread % (LARGEST - 8),
        50 if n % 1000 == 50 => LARGEST,
        1..10 => 8 + spread % 40_000,
        _ => 8 + spread % 600,
    };
    chunk(n, size)
}

/// Bytes that begin with the number if there is room for it.
fn chunk(n: usize, size: usize) -> Bytes {
    let mut bytes = vec![n as u8; size];
    if let Some(head) = bytes.first_chunk_mut() {
        *head = (n as u64).to_be_bytes();
    }
    bytes.into()
}

fn number_of(bytes: &Bytes) -> usize {
    let n = bytes
        .first_chunk()
        .map_or(0, |head| u64::from_be_bytes(*head)) as usize;
    assert!(*bytes == message(n), "message {n} is not what was sent");
    n
}
