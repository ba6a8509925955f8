//! Engines that are connected: what is posted comes to everybody whatever gossip loses, or a gap
//! says what not. [`answers`](super::answers) has peers that help badly,
//! [`convergence`](super::convergence) leaves it to chance what happens.

use std::{cell::RefCell, rc::Rc};

use super::{
    super::*,
    fixture::{channel, wholes},
    range,
    world::{Event, LATENCY, World, connected, sender},
};
use crate::log::GapReason;

const LOST: GapReason = GapReason::Lost;

/// A history that only has room for so many frames of ten small values.
pub(super) fn keeps_frames(frames: usize) -> Config {
    let mut config = Config::default();
    let size = wholes(super::peer(0), &channel(0), 1, 10).bytes().len() + History::ENTRY_BYTES;
    config.history.bytes = frames * size * 11 / 10;
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
fn a_peer_that_gossip_is_too_fast_for_is_told_at_once_what_there_is() {
    for (slow, comes) in [(false, false), (true, true)] {
        let mut world = connected(3);
        world.post(0, 1);
        world.run_secs(2);
        world.post(0, 1);
        world.run(Duration::from_millis(20));
        if slow {
            let now = world.clock(0);
            world.nodes[0].engine.handle_slow_peer(sender(1), now);
            world.drain(0);
        }
        // Told, the time a hole is left alone, asked, answered; and not yet the time to tell all.
        world.run(3 * LATENCY + Duration::from_millis(150));
        let came = world.seen(1, 0).contains(&Event::Values(range(2, 2)));
        assert_eq!(came, comes);
        assert!(!world.seen(2, 0).contains(&Event::Values(range(2, 2))));
        world.run_secs(2);
        world.expect_everything();
    }
}

#[test]
fn whoever_is_not_there_is_told_nothing_however_slow_it_was() {
    let mut world = connected(2);
    world.post(0, 1);
    let now = world.clock(0);
    world.nodes[0].engine.handle_slow_peer(sender(7), now);
    assert!(world.nodes[0].engine.poll_output().is_none());
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
        let logs = &world.nodes[0].engine.logs;
        let log = logs.get(&(channel(0), sender(0)))?;
        Some(log.fetch.holders().listener(sender(1))?.next().get())
    };
    assert_eq!(acked(&world), None);
    world.run(LATENCY + Duration::from_millis(1));
    assert_eq!(acked(&world), Some(2));
    (0..16).for_each(|_| world.post(0, 1));
    world.run(2 * LATENCY);
    assert_eq!(acked(&world), Some(18));
    // What has been said since then, in one range; and once.
    let mut poll = || world.nodes[0].engine.poll_acked();
    assert_eq!((poll(), poll()), (Some((channel(0), range(1, 17))), None));
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
    // A message posted while the word of the opening travelled is the same to both.
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
        assert_eq!(
            world.story(1, 0),
            [Event::Values(range(first, 13))],
            "{last}"
        );
    }
}

#[test]
fn the_last_numbers_are_those_before_it_was_opened() {
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
    assert_eq!(world.story(1, 0), [Event::Values(range(4, 15))]);
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
    world.nodes[1].engine.logs.audit();
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
    assert_eq!(
        world.story(2, 0).last(),
        Some(&Event::Values(range(91, 131)))
    );
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
