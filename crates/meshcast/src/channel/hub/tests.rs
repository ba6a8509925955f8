use std::{
    future::poll_fn,
    sync::{Arc, Barrier},
    task::{Context, Poll},
    thread,
};

use meshcast_proto::{ChannelName, Format, Seq, SeqRange, Via};

use super::{Hub, Poster, Read};
use crate::{
    PostError,
    channel::{
        ChannelOptions, Item,
        fixture::{Source, hub},
        message::{Gap, GapReason},
        ring::{ReaderId, Tally},
    },
    limits::Limits,
};

async fn read(hub: &Arc<Hub>, reader: ReaderId) -> Option<Item> {
    poll_fn(|cx| poll_item(hub, reader, cx)).await
}

async fn read_now(hub: &Arc<Hub>, reader: ReaderId) -> Poll<Option<Item>> {
    poll_fn(|cx| Poll::Ready(poll_item(hub, reader, cx))).await
}

fn poll_item(hub: &Arc<Hub>, reader: ReaderId, cx: &Context<'_>) -> Poll<Option<Item>> {
    loop {
        match hub.poll_read(reader, cx) {
            Poll::Ready(Some(Read::CaughtUp)) => {}
            Poll::Ready(Some(Read::Item(item, is_history))) => {
                assert!(!is_history, "none of them came late");
                return Poll::Ready(Some(item));
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        }
    }
}

#[tokio::test]
async fn the_first_reader_begins_with_the_object_and_further_ones_now() {
    let (hub, _) = hub(Limits::default());
    let mut source = Source::new(1);
    let object = hub.open_object(ChannelOptions::new());
    source
        .heard(&[b"1"])
        .into_iter()
        .for_each(|item| _ = hub.deliver(item, None));
    let (first, second) = (hub.claim_reader(object), hub.claim_reader(object));
    assert!(read_now(&hub, first.expect("open")).await.is_ready());
    assert!(read_now(&hub, second.expect("open")).await.is_pending());
}

#[tokio::test]
async fn closing_drops_pending_deliveries_and_ends_readers() {
    let (hub, _) = hub(Limits::default());
    let object = hub.open_object(ChannelOptions::new());
    let reader = hub.claim_reader(object).expect("open");
    let items = Source::new(1).heard(&[b"1"]);
    items
        .into_iter()
        .for_each(|item| _ = hub.deliver(item, None));
    hub.close_object(object);
    assert!(matches!(read_now(&hub, reader).await, Poll::Ready(None)));
    assert_eq!(hub.load().unread_bytes, 0);
    assert!(hub.claim_reader(object).is_none());
    assert!(matches!(
        hub.post(object, Format::Raw, b"x", Poster::NonBlocking),
        Err(PostError::Closed)
    ));
}

#[tokio::test]
async fn the_end_comes_after_what_was_delivered_and_nothing_comes_after_it() {
    let (hub, _) = hub(Limits::default());
    let object = hub.open_object(ChannelOptions::new());
    let reader = hub.claim_reader(object).expect("open");
    let mut source = Source::new(1);
    source
        .heard(&[b"1"])
        .into_iter()
        .for_each(|item| _ = hub.deliver(item, None));
    hub.end();
    assert!(read(&hub, reader).await.is_some());
    assert!(read(&hub, reader).await.is_none());
    source
        .heard(&[b"2"])
        .into_iter()
        .for_each(|item| _ = hub.deliver(item, None));
    assert!(read(&hub, reader).await.is_none());
    assert!(matches!(
        hub.post(object, Format::Raw, b"x", Poster::NonBlocking),
        Err(PostError::Closed)
    ));
}

/// The delivery and the poll race; whoever comes second must see the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_of_a_reader_is_lost() {
    let (hub, _) = hub(Limits::default());
    let object = hub.open_object(ChannelOptions::new());
    let reader = hub.claim_reader(object).expect("open");
    let mut source = Source::new(1);
    let items: Vec<_> = (0..500).flat_map(|_| source.heard(&[b"x"])).collect();
    let barrier = Arc::new(Barrier::new(2));
    let deliverer = {
        let (hub, barrier) = (Arc::clone(&hub), Arc::clone(&barrier));
        thread::spawn(move || {
            for item in items {
                barrier.wait();
                hub.deliver(item, None);
            }
        })
    };
    for _ in 0..500 {
        barrier.wait();
        assert!(read(&hub, reader).await.is_some());
    }
    deliverer.join().expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_post_is_left_in_an_outbox_without_the_bell() {
    const POSTS: u64 = 2000;
    let (hub, registry) = hub(Limits::default());
    let object = hub.open_object(ChannelOptions::new());
    let posters: Vec<_> = (0..2)
        .map(|_| {
            let hub = Arc::clone(&hub);
            thread::spawn(move || {
                (0..POSTS).for_each(|_| {
                    assert!(
                        hub.post(object, Format::Raw, b"x", Poster::NonBlocking)
                            .is_ok()
                    )
                });
            })
        })
        .collect();
    let mut taken = 0;
    while taken < 2 * POSTS {
        poll_fn(|cx| {
            registry.bell().listen(cx.waker());
            if registry.bell().has_more() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        while let Some(hub) = registry.bell().take_ready() {
            let (section, more) = hub.take_section();
            taken += section.map_or(0, |section| section.draft.len() as u64 / 5);
            if more {
                registry.bell().ready(&hub);
            }
        }
    }
    posters
        .into_iter()
        .for_each(|poster| poster.join().expect("no panic"));
}

#[tokio::test]
async fn an_outbox_never_holds_more_than_its_limit() {
    let (hub, _) = hub(Limits {
        outbox_bytes: 100,
        ..Limits::default()
    });
    let object = hub.open_object(ChannelOptions::new());
    let posted = (0..1000).take_while(|_| {
        hub.post(object, Format::Raw, b"", Poster::NonBlocking)
            .is_ok()
    });
    assert_eq!(posted.count(), 25, "an empty value takes four bytes");
    assert!(matches!(
        hub.post(object, Format::Raw, b"", Poster::NonBlocking),
        Err(PostError::Full { limit: 100 })
    ));
    let _ = hub.take_section();
    assert!(
        hub.post(object, Format::Raw, &[0; 1000], Poster::NonBlocking)
            .is_ok()
    );
}

#[tokio::test]
async fn a_value_over_the_limit_is_refused_whatever_room_there_is() {
    let (hub, _) = hub(Limits {
        max_message_bytes: 10,
        ..Limits::default()
    });
    let object = hub.open_object(ChannelOptions::new());
    let refused = hub.post(object, Format::Raw, &[0; 11], Poster::NonBlocking);
    assert!(matches!(
        refused,
        Err(PostError::TooLarge {
            size: 11,
            limit: 10
        })
    ));
    assert!(
        hub.post(object, Format::Raw, &[0; 10], Poster::NonBlocking)
            .is_ok()
    );
}

#[tokio::test]
async fn readers_fall_behind_with_half_of_what_may_wait_and_have_caught_up_at_a_quarter() {
    let (hub, registry) = hub(Limits {
        unread_bytes: 20_000,
        ..Limits::default()
    });
    let object = hub.open_object(ChannelOptions::new());
    let reader = hub.claim_reader(object).expect("open");
    let mut source = Source::new(1);
    let payload = [0; 1_000];
    let behind = source
        .heard(&[&payload[..]; 15])
        .into_iter()
        .map(|item| hub.deliver(item, None).readers_behind);
    let behind: Vec<bool> = behind.collect();
    assert_eq!(
        behind.iter().filter(|behind| **behind).count(),
        1,
        "said once"
    );
    let waiting = |hub: &Arc<Hub>| hub.load().unread_bytes;
    while waiting(&hub) > 5_000 {
        assert!(
            registry.bell().take_requesting().is_none(),
            "{} wait",
            waiting(&hub)
        );
        assert!(read_now(&hub, reader).await.is_ready());
    }
    let asking = registry
        .bell()
        .take_requesting()
        .expect("they have caught up");
    assert!(asking.take_requests(usize::MAX).caught_up);
    assert!(!asking.take_requests(usize::MAX).caught_up, "said once");
}

#[tokio::test]
async fn what_is_opened_and_closed_faster_than_the_driver_looks_takes_bounded_room() {
    let limits = Limits {
        max_channels: 100,
        ..Limits::default()
    };
    let (_hub, registry) = hub(limits);
    for n in 0..10_000 {
        let name = ChannelName::new(&n.to_string()).expect("allowed");
        let hub = registry.open(name, |hub| {
            let object = hub.open_object(ChannelOptions::new());
            (hub, object)
        });
        let (hub, object) = hub.expect("others make way");
        hub.close_object(object);
    }
    let noted = registry.take_changed(usize::MAX);
    assert!(noted.len() <= 301, "{}", noted.len());
    let there = noted.iter().filter(|hub| !hub.is_gone()).count();
    assert_eq!(there, 100);
}

/// Members that do not keep up hold back what is in the outbox.
#[tokio::test]
async fn a_hub_is_not_forgotten_before_all_has_left() {
    let (hub, registry) = hub(Limits::default());
    let object = hub.open_object(ChannelOptions::new());
    hub.post(object, Format::Raw, b"x", Poster::NonBlocking)
        .expect("room");
    hub.close_object(object);
    assert!(!registry.remove_vacant(hub.name()));
    assert!(hub.take_section().0.is_some());
    assert!(registry.remove_vacant(hub.name()));
}

#[tokio::test]
async fn what_is_heard_repaired_missed_and_dropped_is_counted_of_each_channel() {
    let (hub, _) = hub(Limits {
        unread_bytes: 4_000,
        ..Limits::default()
    });
    let _only_posts = hub.open_object(ChannelOptions::new());
    let object = hub.open_object(ChannelOptions::new());
    let reader = hub.claim_reader(object).expect("open");
    let mut source = Source::new(1);
    let [own, gossip, repair] = [Via::Local, Via::Gossip, Via::Repair].map(|via| {
        let items = source.heard(&[b"1", b"2"]);
        items.into_iter().map(move |item| came(item, via))
    });
    for item in own.chain(gossip).chain(repair) {
        hub.deliver(item, None);
    }
    let missed = SeqRange::new(Seq::FIRST, Seq::new(3).expect("not 0")).expect("in order");
    hub.deliver(
        Item::Missed(Gap {
            member: Arc::clone(&source.member),
            missed,
            reason: GapReason::Lost,
        }),
        None,
    );
    let heard = Tally {
        delivered: 4,
        repaired: 2,
        missed: 3,
        ..Tally::default()
    };
    assert_eq!(hub.tally(), heard);
    while read_now(&hub, reader).await.is_ready() {}
    // There is room for two with what they take beside their bytes, and the reader does not read.
    for item in (0..5).flat_map(|_| source.heard(&[&[0; 1_000]])) {
        hub.deliver(came(item, Via::Gossip), None);
    }
    let dropped = Tally {
        delivered: 9,
        dropped: 3,
        ..heard
    };
    assert_eq!(hub.tally(), dropped);
    // Messages that are not kept either are told as a gap.
    assert!(read_now(&hub, reader).await.is_pending());
    for (id, wanted) in hub.take_requests(usize::MAX).wanted {
        for (missed, reason) in wanted.spans {
            let member = Arc::clone(&wanted.member);
            let gap = Gap {
                member,
                missed,
                reason,
            };
            hub.recall(id, vec![Item::Missed(gap)], missed.last());
        }
    }
    while read_now(&hub, reader).await.is_ready() {}
    assert_eq!(
        hub.tally(),
        Tally {
            unread: 3,
            ..dropped
        }
    );
}

/// The item, as if it had come this way.
fn came(mut item: Item, way: Via) -> Item {
    if let Item::Values(delivery, _) = &mut item {
        delivery.arrival.via = way;
    }
    item
}
