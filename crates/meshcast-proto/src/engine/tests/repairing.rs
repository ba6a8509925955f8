//! Engines that are connected: what is posted comes to everybody whatever gossip loses, or a gap says what not.

use std::{cell::RefCell, rc::Rc};

use proptest::prelude::*;

use super::{
    super::*,
    fixture::{channel, wholes},
    range,
    world::{Event, LATENCY, World, sender},
};
use crate::delivery::GapReason;

const LOST: GapReason = GapReason::Lost;

fn connected(nodes: usize) -> World {
    let mut world = World::new(nodes, &Config::default(), 1);
    world.connect_all();
    world.run_secs(1);
    world
}

/// A history that only has room for so many frames of ten small values.
fn keeps_frames(frames: usize) -> Config {
    let mut config = Config::default();
    config.history.bytes = frames * wholes(super::peer(0), &channel(0), 1, 10).bytes().len() * 11 / 10;
    config
}

#[test]
fn a_last_message_that_gossip_lost_comes_within_a_second() {
    let mut world = connected(2);
    world.post(0, 1);
    world.run(Duration::from_millis(900));
    assert_eq!(world.seen(1, 0), [Event::Values(range(1, 1))]);
    let counters = world.counters(1);
    assert_eq!((counters.requests, counters.frames_repaired), (1, 1));
    assert_eq!(world.counters(0).frames_served, 1);
}

#[test]
fn what_came_by_gossip_is_not_asked_for() {
    let mut world = connected(3);
    world.loss = 0;
    for _ in 0..20 {
        world.post(0, 3);
        world.run(Duration::from_millis(70));
    }
    world.run_secs(2);
    world.expect_everything();
    for who in 0..3 {
        assert_eq!(world.counters(who).requests, 0);
    }
}

#[test]
fn nothing_is_said_while_nothing_changes() {
    let mut world = connected(3);
    for who in 0..3 {
        world.post(who, 2);
    }
    world.run_secs(5);
    world.expect_everything();
    world.expect_rest();
    let said = world.said;
    world.run_secs(500);
    assert_eq!(world.said, said);
    world.run_secs(200);
    assert_eq!(world.said, said);
    for node in &world.nodes {
        assert_eq!(node.engine.poll_timeout(), None);
        assert_eq!(node.engine.history().bytes(), 0);
    }
}

#[test]
fn a_sender_is_told_after_16_frames_or_50_ms() {
    let mut world = connected(2);
    world.loss = 0;
    world.post(0, 1);
    world.run(LATENCY + Duration::from_millis(49));
    let acked = |world: &World| {
        let channel = &world.nodes[0].engine.channels[&channel(0)];
        channel.acked.get(&sender(1)).copied().map(Seq::get)
    };
    assert_eq!(acked(&world), None);
    world.run(LATENCY + Duration::from_millis(1));
    assert_eq!(acked(&world), Some(2));
    (0..16).for_each(|_| world.post(0, 1));
    world.run(2 * LATENCY);
    assert_eq!(acked(&world), Some(18));
}

#[test]
fn a_sender_that_died_is_heard_from_whoever_heard_it() {
    let mut world = connected(4);
    world.cut(0, 2);
    world.cut(0, 3);
    world.post(0, 5);
    world.run(Duration::from_millis(700));
    assert_eq!(world.seen(1, 0), [Event::Values(range(1, 5))]);
    world.kill(0);
    world.run_secs(2);
    world.expect_everything();
}

#[test]
fn over_several_hops_everything_comes() {
    let mut world = World::new(4, &Config::default(), 1);
    for n in 0..3 {
        world.connect(n, n + 1);
    }
    world.run_secs(1);
    for _ in 0..5 {
        world.post(0, 2);
        world.post(3, 2);
        world.run(Duration::from_millis(130));
    }
    world.run_secs(5);
    world.expect_everything();
    world.expect_rest();
}

#[test]
fn a_node_begins_where_it_opened_although_it_connects_later() {
    for hears_gossip in [false, true] {
        let mut world = World::new(3, &Config::default(), 1);
        world.loss = if hears_gossip { 0 } else { 100 };
        world.close(2);
        world.connect(0, 1);
        world.post(0, 3);
        world.run_secs(10);
        world.open(2, Since::Now);
        world.run_secs(1);
        world.post(0, 4);
        world.run_secs(10);
        world.post(0, 1);
        world.connect(1, 2);
        world.connect(0, 2);
        world.post(0, 2);
        world.run_secs(5);
        assert_eq!(world.story(2, 0), [Event::Values(range(4, 10))]);
        world.expect_rest();
    }
}

#[test]
fn posts_in_the_millisecond_of_opening_are_not_lost() {
    let mut world = World::new(2, &Config::default(), 1);
    world.close(1);
    world.run(Duration::from_micros(1_000_300));
    world.open(1, Since::Now);
    world.run(Duration::from_micros(200));
    world.post(0, 1);
    world.run(Duration::from_micros(100_900));
    world.connect(0, 1);
    world.run(LATENCY);
    // What was posted while the word of the opening travelled is the same to both.
    world.run_secs(2);
    assert_eq!(world.story(1, 0), [Event::Values(range(1, 1))]);
}

#[test]
fn a_channel_that_asks_for_the_last_minute_gets_it() {
    let mut world = World::new(2, &Config::default(), 1);
    world.close(1);
    world.post(0, 2);
    world.run_secs(30);
    world.post(0, 3);
    world.run_secs(50);
    world.open(1, Since::Ago(Duration::from_secs(60)));
    world.connect(0, 1);
    world.run_secs(2);
    assert_eq!(world.story(1, 0), [Event::Values(range(3, 5))]);
}

/// The clock of node 0 begins at zero, so that what it asks for was before its time.
#[test]
fn a_node_that_just_started_can_ask_for_what_was_before() {
    let mut world = World::new(2, &Config::default(), 1);
    world.close(0);
    world.post(1, 2);
    world.run_secs(1);
    world.open(0, Since::Ago(Duration::from_secs(60)));
    world.connect(0, 1);
    world.run_secs(2);
    assert_eq!(world.story(0, 1), [Event::Values(range(1, 2))]);
}

#[test]
fn a_channel_that_asks_for_the_last_numbers_gets_them_and_what_follows() {
    for (last, first) in [(1, 12), (2, 11), (3, 10), (10, 3), (12, 1), (500, 1)] {
        let mut world = World::new(2, &Config::default(), 1);
        world.close(1);
        for count in [5, 1, 6] {
            world.post(0, count);
            world.run_secs(5);
        }
        world.open(1, Since::Last(last));
        world.connect(0, 1);
        world.run_secs(2);
        world.post(0, 1);
        world.run_secs(2);
        assert_eq!(world.story(1, 0), [Event::Values(range(first, 13))], "{last}");
    }
}

#[test]
fn asking_for_the_last_numbers_loses_none_that_came_after() {
    let mut world = World::new(2, &Config::default(), 1);
    world.close(1);
    world.post(0, 5);
    world.run_secs(5);
    world.open(1, Since::Last(2));
    world.run_secs(1);
    world.post(0, 10);
    world.run_secs(1);
    world.connect(0, 1);
    world.run_secs(2);
    assert_eq!(world.story(1, 0), [Event::Values(range(6, 15))]);
}

#[test]
fn a_channel_opened_again_hears_what_is_posted_since() {
    for gossip in [0, 100] {
        let mut world = connected(2);
        world.loss = gossip;
        world.post(0, 3);
        world.run_secs(2);
        world.expect_everything();
        world.close(1);
        world.run_secs(1);
        world.post(0, 4);
        world.run_secs(1);
        world.open(1, Since::Now);
        world.run_secs(1);
        world.post(0, 2);
        world.run_secs(2);
        assert_eq!(world.story(1, 0), [Event::Values(range(8, 9))], "{gossip}");
    }
}

#[test]
fn whoever_opens_hears_from_a_sender_that_never_opened_itself() {
    let mut world = connected(3);
    world.close(1);
    world.run_secs(1);
    world.post(0, 2);
    world.run_secs(2);
    assert_eq!(world.story(2, 0), [Event::Values(range(1, 2))]);
    assert_eq!(world.seen(1, 0), []);
    world.nodes[1].engine.flows.audit();
}

/// The one it meets first came later itself, and knows nothing of what was before.
#[test]
fn a_node_that_opened_early_is_not_misled_by_one_that_opened_late() {
    let mut world = World::new(3, &Config::default(), 1);
    world.close(1);
    world.run_secs(1);
    world.post(0, 3);
    world.run_secs(2);
    world.open(1, Since::Now);
    world.connect(0, 1);
    world.run_secs(1);
    world.post(0, 2);
    world.run_secs(2);
    assert_eq!(world.story(1, 0), [Event::Values(range(4, 5))]);
    world.connect(1, 2);
    world.connect(0, 2);
    world.run_secs(2);
    assert_eq!(world.story(2, 0), [Event::Values(range(1, 5))]);
}

#[test]
fn a_node_that_was_cut_off_gets_what_it_missed() {
    let mut world = connected(3);
    world.post(0, 1);
    world.run_secs(2);
    world.cut(0, 2);
    world.cut(1, 2);
    for _ in 0..300 {
        world.post(0, 2);
        world.post(1, 1);
        world.run(Duration::from_millis(50));
    }
    world.connect_all();
    world.run_secs(5);
    world.expect_everything();
    world.expect_rest();
}

#[test]
fn both_sides_of_a_partition_get_what_the_other_posted() {
    let mut world = connected(4);
    world.loss = 30;
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        world.cut(a, b);
    }
    for _ in 0..150 {
        (0..4).for_each(|who| world.post(who, 1));
        world.run(Duration::from_millis(20));
    }
    world.connect(1, 2);
    world.run_secs(6);
    world.expect_everything();
    world.expect_rest();
}

#[test]
fn what_nobody_keeps_is_one_exact_gap() {
    let mut world = World::new(3, &keeps_frames(4), 1);
    world.connect_all();
    world.run_secs(1);
    world.post(0, 10);
    world.run_secs(2);
    world.expect_everything();
    world.cut(0, 2);
    world.cut(1, 2);
    for _ in 0..12 {
        world.post(0, 10);
        world.run_secs(1);
    }
    world.connect_all();
    world.run_secs(5);
    let story = [
        Event::Values(range(1, 10)),
        Event::Missed(range(11, 90), LOST),
        Event::Values(range(91, 130)),
    ];
    assert_eq!(world.story(2, 0), story);
    world.post(0, 1);
    world.run_secs(2);
    assert_eq!(world.story(2, 0).last(), Some(&Event::Values(range(91, 131))));
    assert_eq!(world.counters(2).gaps, 1);
    world.expect_rest();
}

/// Nothing is left above that would show it: only others know that there was something.
#[test]
fn last_messages_that_nobody_keeps_any_more_are_one_exact_gap() {
    let mut config = Config::default();
    config.history.age = Duration::from_secs(20);
    let mut world = World::new(3, &config, 1);
    world.connect_all();
    world.run_secs(1);
    world.post(0, 2);
    world.run_secs(2);
    world.cut(0, 2);
    world.cut(1, 2);
    world.post(0, 7);
    world.run_secs(30);
    world.connect_all();
    world.run_secs(5);
    let story = [Event::Values(range(1, 2)), Event::Missed(range(3, 9), LOST)];
    // Said as soon as it is known, and live from there on.
    assert_eq!(world.story(2, 0), story);
    world.post(0, 1);
    world.run_secs(2);
    assert_eq!(world.story(2, 0)[2..], [Event::Values(range(10, 10))]);
    world.expect_rest();
}

/// Nobody is connected who could say that there is no hope.
#[test]
fn a_hole_is_kept_open_for_whoever_comes_back() {
    let mut world = connected(3);
    world.loss = 0;
    world.cut(0, 1);
    world.cut(0, 2);
    world.cut(1, 2);
    world.post(0, 3);
    world.connect(0, 1);
    world.run_secs(1);
    world.cut(0, 1);
    world.run_secs(60);
    assert_eq!(world.story(1, 0), [Event::Values(range(1, 3))]);
    world.connect(1, 2);
    world.run_secs(1);
    assert_eq!(world.story(2, 0), [Event::Values(range(1, 3))]);
}

/// Three have the same hole, which only the sender can fill. It comes back after half a minute.
#[test]
fn a_hole_that_all_who_are_there_share_is_not_given_up() {
    let mut world = connected(4);
    let hole = Rc::new(RefCell::new(true));
    // The sender does not serve for the time being.
    let closed = Rc::clone(&hole);
    world.tamper = Box::new(move |_, _, message| match message {
        SyncMessage::Frames(_) if *closed.borrow() => vec![],
        message => vec![message],
    });
    world.post(0, 2);
    world.run(Duration::from_millis(700));
    world.loss = 0;
    world.post(0, 2);
    world.run(Duration::from_millis(100));
    for other in 1..4 {
        world.cut(0, other);
    }
    world.run_secs(30);
    for who in 1..4 {
        assert_eq!(world.seen(who, 0), []);
    }
    *hole.borrow_mut() = false;
    world.connect(0, 3);
    world.run_secs(5);
    world.expect_everything();
}

#[test]
fn a_neighbour_that_never_answers_is_passed_over() {
    let mut world = World::new(3, &Config::default(), 1);
    world.tamper = Box::new(|from, _, message| match message {
        SyncMessage::Frames(_) if from == 1 => vec![],
        message => vec![message],
    });
    world.connect_all();
    world.run_secs(1);
    world.post(0, 1);
    world.run_secs(2);
    for _ in 0..20 {
        world.cut(0, 2);
        world.post(0, 3);
        world.run(Duration::from_millis(800));
        world.connect(0, 2);
        world.run(Duration::from_millis(200));
    }
    world.run_secs(10);
    world.expect_everything();
    world.expect_rest();
}

/// A neighbour that answers nothing must not keep the places that answers of others could take, nor keep flows
/// waiting for its own.
#[test]
fn many_flows_are_not_held_up_by_a_silent_neighbour() {
    let mut world = World::new(12, &Config::default(), 3);
    // Node 11 is to hear of all others from 0, which is silent, or from 1.
    world.tamper = Box::new(|from, _, message| match message {
        SyncMessage::Frames(_) if from == 0 => vec![],
        message => vec![message],
    });
    for n in 2..11 {
        world.connect(1, n);
    }
    world.run_secs(1);
    for n in 1..11 {
        world.post(n, 2);
    }
    world.loss = 0;
    world.connect(0, 1);
    world.run_secs(4);
    for n in 1..11 {
        world.post(n, 1);
    }
    world.run_secs(2);
    world.loss = 100;
    world.connect(11, 0);
    world.connect(11, 1);
    world.run_secs(13);
    for of in 1..11 {
        assert_eq!(world.story(11, of), [Event::Values(range(1, 3))], "{of}");
    }
    world.expect_rest();
}

/// What a neighbour may answer to make trouble.
fn trouble(kind: usize, frames: Frames) -> Vec<SyncMessage> {
    let garbage = |bytes: &'static [u8]| {
        SyncMessage::Frames(Frames {
            frames: vec![(Duration::ZERO, bytes.into())],
            ..frames.clone()
        })
    };
    let forged = || {
        let mut forged = frames.clone();
        for (_, frame) in &mut forged.frames {
            let mut bytes = frame.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            *frame = bytes.into();
        }
        SyncMessage::Frames(forged)
    };
    match kind {
        0 => vec![garbage(b"")],
        1 => vec![garbage(b"no frame at all"); 3],
        2 => vec![forged()],
        // Of another, who did not post it.
        3 => vec![SyncMessage::Frames(Frames {
            sender: sender(1),
            ..frames
        })],
        4 => vec![SyncMessage::Frames(Frames {
            channel: channel(1),
            ..frames
        })],
        5 => vec![SyncMessage::Frames(Frames {
            frames: vec![],
            ..frames
        })],
        6 => vec![SyncMessage::Frames(Frames {
            frames: vec![],
            upto: Seq::FIRST,
            ..frames
        })],
        _ => vec![],
    }
}

#[test]
fn whatever_one_neighbour_answers_another_helps() {
    for kind in 0..8 {
        let mut world = World::new(3, &Config::default(), kind as u64);
        world.tamper = Box::new(move |from, to, message| match message {
            SyncMessage::Frames(frames) if (from, to) == (1, 2) => trouble(kind, frames),
            message => vec![message],
        });
        world.connect_all();
        world.run_secs(1);
        let refused = |world: &World| world.counters(2).answers_refused;
        for _ in 0..12 {
            world.cut(0, 2);
            world.post(0, 2);
            world.run(Duration::from_millis(1_400));
            world.connect(0, 2);
            world.run_secs(1);
        }
        world.run_secs(5);
        world.expect_everything();
        world.expect_rest();
        assert_eq!(refused(&world) > 0, kind < 5, "{kind}: {}", refused(&world));
    }
}

/// An old frame again and again, genuine but of no use.
#[test]
fn answers_that_bring_nothing_new_do_not_go_on_for_ever() {
    let mut world = World::new(2, &Config::default(), 1);
    let first = Rc::new(RefCell::new(None::<Frames>));
    world.tamper = Box::new(move |_, _, message| match message {
        SyncMessage::Frames(frames) => {
            let mut first = first.borrow_mut();
            let old = first.get_or_insert(frames).clone();
            vec![SyncMessage::Frames(old)]
        }
        message => vec![message],
    });
    world.connect_all();
    world.run_secs(1);
    world.post(0, 1);
    world.run_secs(2);
    world.post(0, 1);
    world.run_secs(30);
    assert!(world.counters(1).requests < 30, "{}", world.counters(1).requests);
    let story = [Event::Values(range(1, 1)), Event::Missed(range(2, 2), LOST)];
    assert_eq!(world.story(1, 0), story);
}

#[test]
fn answers_that_nobody_asked_for_are_refused_before_they_are_looked_at() {
    let mut world = connected(2);
    world.post(0, 3);
    world.run_secs(2);
    world.expect_everything();
    let before = world.counters(1);
    let frames = Frames {
        channel: channel(0),
        sender: sender(0),
        upto: Seq::FIRST,
        frames: vec![
            (
                Duration::ZERO,
                wholes(super::peer(0), &channel(0), 4, 1).bytes().clone()
            );
            3
        ],
    };
    let now = world.clock(1);
    let engine = &mut world.nodes[1].engine;
    engine.handle_sync(sender(0), SyncMessage::Frames(frames), now, |frame| {
        panic!("{frame:?} is verified")
    });
    assert!(engine.poll_output().is_none());
    let after = engine.counters();
    assert_eq!(
        after,
        Counters {
            answers_refused: before.answers_refused + 1,
            ..before
        }
    );
}

#[test]
fn whoever_is_not_connected_is_not_listened_to() {
    let mut world = connected(2);
    let now = world.clock(1);
    let want = Want {
        channel: channel(0),
        sender: sender(1),
        seqs: range(1, 9),
    };
    world.post(1, 1);
    let engine = &mut world.nodes[1].engine;
    engine.handle_sync(sender(5), SyncMessage::Want(want), now, |_| None);
    assert!(engine.poll_output().is_none());
}

fn have(world: &mut World, from: usize, to: usize, of: usize, oldest: u64, next: u64, due: Option<u64>) {
    let seq = |n| Seq::new(n).expect("not 0");
    let holding = Holding {
        sender: sender(of),
        oldest: seq(oldest),
        next: seq(next),
        due: due.map(seq),
    };
    let message = SyncMessage::Have(vec![Holdings {
        channel: channel(0),
        flows: vec![holding],
    }]);
    world.say(from, to, &message);
}

/// One says that another has posted what it has not.
#[test]
fn a_lie_about_a_sender_that_is_there_takes_nothing_away() {
    for due in [None, Some(1), Some(u64::MAX - 1)] {
        let mut world = connected(3);
        world.post(0, 2);
        world.run_secs(2);
        have(&mut world, 1, 2, 0, 1, u64::MAX, due);
        world.run_secs(60);
        world.post(0, 2);
        world.run_secs(60);
        world.post(0, 2);
        world.run_secs(2);
        world.expect_everything();
    }
}

#[test]
fn a_sender_that_nobody_ever_heard_of_costs_nothing_in_the_end() {
    let mut world = connected(2);
    have(&mut world, 0, 1, 7, 1, u64::MAX, Some(1));
    have(&mut world, 0, 1, 8, 5, 9, Some(7));
    world.run_secs(700);
    world.nodes[1].engine.flows.audit();
    assert!(world.counters(1).requests < 1_000);
    assert_eq!(world.seen(1, 7), []);
}

#[test]
fn a_neighbour_that_goes_frees_what_waited_for_it() {
    let mut world = World::new(10, &Config::default(), 1);
    // Node 8 has everything and is mute; 9 hears of it and waits. Then 8 goes, and 0 has it as well.
    world.tamper = Box::new(|from, _, message| match message {
        SyncMessage::Frames(_) if from == 8 => vec![],
        message => vec![message],
    });
    for n in 1..8 {
        world.connect(n, 8);
        world.connect(n, 0);
    }
    world.run_secs(1);
    world.loss = 0;
    for n in 1..8 {
        world.post(n, 1);
    }
    world.run_secs(2);
    world.connect(8, 9);
    world.run_secs(1);
    world.cut(8, 9);
    world.connect(0, 9);
    world.run_secs(2);
    for of in 1..8 {
        assert_eq!(world.story(9, of), [Event::Values(range(1, 1))], "{of}");
    }
    world.expect_rest();
}

#[test]
fn a_window_without_room_does_not_ask_for_the_same_over_and_over() {
    let config = Config {
        max_held_bytes: 2 * wholes(super::peer(0), &channel(0), 1, 1).bytes().len(),
        ..Config::default()
    };
    let mut world = World::new(3, &config, 1);
    // The first frame is served by nobody for a while.
    let withheld = Rc::new(RefCell::new(true));
    let still = Rc::clone(&withheld);
    world.tamper = Box::new(move |_, _, message| match message {
        SyncMessage::Frames(mut frames) if *still.borrow() => {
            frames.frames.retain(|(_, bytes)| {
                let frame = Frame::decode(bytes.clone()).expect("served");
                frame.seqs().first() != Seq::FIRST
            });
            vec![SyncMessage::Frames(frames)]
        }
        message => vec![message],
    });
    world.connect(0, 1);
    world.connect(0, 2);
    world.run_secs(1);
    for _ in 0..10 {
        world.post(0, 1);
    }
    world.run(Duration::from_millis(2_300));
    assert!(world.counters(1).requests < 12, "{}", world.counters(1).requests);
    *withheld.borrow_mut() = false;
    world.run_secs(3);
    assert_eq!(
        world.story(1, 0).last().map(|event| event.seqs().last()),
        Seq::new(10)
    );
}

#[derive(Debug, Clone)]
enum Step {
    Post(usize, usize),
    Pass(u64),
    Connect(usize, usize),
    Cut(usize, usize),
    Loss(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    prop_oneof![
        8 => (node(), 1..4_usize).prop_map(|(who, count)| Step::Post(who, count)),
        6 => (0..200_u64).prop_map(Step::Pass),
        1 => (0..4_000_u64).prop_map(Step::Pass),
        2 => (node(), node()).prop_map(|(a, b)| Step::Connect(a, b)),
        2 => (node(), node()).prop_map(|(a, b)| Step::Cut(a, b)),
        1 => prop_oneof![Just(0), Just(100), 0..100_usize].prop_map(Step::Loss),
    ]
}

const NODES: usize = 3;

fn take(world: &mut World, step: &Step) {
    match *step {
        Step::Post(who, count) => world.post(who, count),
        Step::Pass(millis) => world.run(Duration::from_millis(millis)),
        Step::Connect(a, b) if a != b => world.connect(a, b),
        Step::Cut(a, b) if a != b => world.cut(a, b),
        Step::Connect(..) | Step::Cut(..) => {}
        Step::Loss(loss) => world.loss = loss,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// G5 and G8: whatever gossip loses and however links come and go. Everybody has heard of everybody before:
    /// of a sender that goes after its first frame was lost and the second was not, nobody knows where it began.
    #[test]
    fn everything_posted_after_opening_comes_to_everybody(
        steps in prop::collection::vec(step(), 1..60),
        loss in prop_oneof![Just(100), 0..100_usize],
        seed in any::<u32>(),
    ) {
        let mut world = World::new(NODES, &Config::default(), seed.into());
        world.connect_all();
        (0..NODES).for_each(|who| world.post(who, 1));
        world.run_secs(3);
        world.loss = loss;
        steps.iter().for_each(|step| take(&mut world, step));
        world.connect_all();
        world.run_secs(10);
        world.expect_everything();
        world.run_secs(10);
        world.expect_rest();
    }

    /// The same from the beginning, as nodes meet one after the other.
    #[test]
    fn everything_posted_comes_to_everybody_who_is_there_from_the_beginning(
        steps in prop::collection::vec(step(), 1..40),
        loss in prop_oneof![Just(100), 0..100_usize],
        seed in any::<u32>(),
    ) {
        let mut world = World::new(NODES, &Config::default(), seed.into());
        world.loss = loss;
        let steps = steps.iter().filter(|step| !matches!(step, Step::Cut(..)));
        steps.for_each(|step| take(&mut world, step));
        world.connect_all();
        world.run_secs(10);
        world.expect_everything();
        world.run_secs(10);
        world.expect_rest();
    }

    /// The same with one that opens late. It begins about where it opened, and from there on misses nothing.
    #[test]
    fn whoever_opens_late_misses_nothing_from_then_on(
        before in prop::collection::vec(step(), 1..20),
        after in prop::collection::vec(step(), 1..30),
        loss in prop_oneof![Just(100), 0..100_usize],
        seed in any::<u32>(),
    ) {
        let late = NODES - 1;
        let mut world = World::new(NODES, &Config::default(), seed.into());
        world.close(late);
        world.loss = loss;
        let before = before.iter().filter(|step| !matches!(step, Step::Post(who, _) if *who == late));
        before.for_each(|step| take(&mut world, step));
        world.open(late, Since::Now);
        // Until everybody was told.
        world.run(2 * LATENCY);
        let told = world.now;
        let after = after.iter().filter(|step| !matches!(step, Step::Cut(..)));
        after.for_each(|step| take(&mut world, step));
        world.connect_all();
        world.run_secs(10);
        for of in 0..NODES {
            let due = world.posted_between(of, told, world.now);
            let story = world.story(late, of);
            if due.is_empty() && story.is_empty() {
                continue;
            }
            let [Event::Values(seqs)] = story[..] else {
                panic!("{story:?}");
            };
            if let (Some(first), Some(last)) = (due.first(), due.last()) {
                prop_assert!(seqs.first().get() <= *first && *last <= seqs.last().get(), "{due:?} {seqs:?}");
            }
        }
    }
}
