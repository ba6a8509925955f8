//! A member is seen where it is, whichever way its signs of life come.

use super::{
    super::*,
    world::{World, channel},
    *,
};
use crate::wire::Places;

/// The first and the last are connected by two others. One of these has only the first channel
/// open, the other has all but that.
fn two_ways(channels: usize) -> World {
    let mut world = World::with(channels, 4);
    world.open_at(0, 2, false);
    (1..channels).for_each(|at| world.open_at(at, 1, false));
    for (a, b) in [(0, 1), (1, 3), (0, 2), (2, 3)] {
        world.connect(a, b);
    }
    world.watch_all(3);
    world.run(secs(20));
    world.assert_equal();
    assert_eq!(world.nodes[3].seen().len(), 3);
    world
}

fn sees_first(world: &World) -> bool {
    world.nodes[3].seen().contains_key(&world.nodes[0].sender)
}

#[test]
fn who_closes_a_channel_is_gone_there_for_those_who_hear_of_it_by_another() {
    let mut world = two_ways(2);
    world.disconnect(1, 3);
    world.run(secs(60));
    assert!(sees_first(&world), "it is there, and is heard of");
    world.open_at(0, 0, false);
    let took = world.run_until(secs(60), |world| !sees_first(world));
    assert!(took <= secs(3), "{took:?}");
    let (_, last) = world.nodes[3].changes().last().expect("seen");
    assert!(matches!(last, PresenceChange::Left(_)), "{last:?}");
    world.assert_equal();
    let other = &world.nodes[3].spots[1].seen;
    assert!(other.contains_key(&world.nodes[0].sender), "it is on this");
    // And it is seen when it comes back.
    world.connect(1, 3);
    world.run(secs(60));
    assert!(!sees_first(&world), "an old record is not believed");
    world.open_at(0, 0, true);
    world.run_until(secs(10), World::is_equal);
}

/// Each sign of life is about some of its channels.
#[test]
fn who_closes_one_of_many_channels_is_gone_there_after_some_signs_of_life() {
    let mut world = two_ways(3 * Places::MAX_TAGS);
    world.disconnect(1, 3);
    world.run(secs(5));
    let told = world.nodes[3].spots[1].changes.len();
    world.open_at(0, 0, false);
    let took = world.run_until(secs(60), |world| !sees_first(world));
    assert!(took <= 4 * crate::presence::BEAT, "{took:?}");
    world.run(secs(60));
    world.assert_equal();
    assert_eq!(world.nodes[3].spots[1].changes.len(), told, "no flap");
}

/// It does not follow a channel on which nobody watches any more, as far as it knows.
#[test]
fn who_closes_a_channel_that_it_did_not_follow_any_more_says_so_by_its_signs_of_life() {
    let mut world = two_ways(2);
    world.disconnect(1, 3);
    world.disconnect(0, 2);
    world.run(secs(120));
    let named = |world: &World| world.nodes[0].tracker.places.len();
    assert!(!world.nodes[0].tracker.is_followed(&channel(0)));
    assert_eq!(named(&world), 2, "both are open");
    world.open_at(0, 0, false);
    assert_eq!(named(&world), 1);
    world.connect(0, 2);
    let took = world.run_until(secs(10), World::is_equal);
    assert!(took <= BACK, "it is back on the other: {took:?}");
    for _ in 0..100 {
        world.run(secs(3));
        assert!(!sees_first(&world), "it has closed that channel");
    }
    world.assert_equal();
}

/// The time until somebody is seen again, once there is a way to it: a comparison, and what it
/// needs on the way.
const BACK: Duration = Duration::from_secs(3);

#[test]
fn who_was_lost_for_long_and_is_back_behind_another_is_seen_within_seconds() {
    for minutes in [1, 2, 4] {
        let mut world = two_ways(2);
        world.disconnect(1, 3);
        world.disconnect(0, 2);
        world.run(secs(60 * minutes));
        let on_other = |world: &World| world.nodes[3].spots[1].seen.len();
        assert_eq!(on_other(&world), 2, "it is lost");
        world.connect(0, 2);
        let took = world.run_until(secs(400), |world| on_other(world) == 3);
        assert!(took <= BACK, "{took:?} after {minutes} min");
    }
}

/// Their records are what they were, so nobody has anything new to tell.
#[test]
fn two_halves_that_were_apart_for_long_see_all_of_each_other_within_seconds() {
    for minutes in [1, 2, 4] {
        let mut world = World::chain(6);
        (0..6).for_each(|n| world.watch(n, true));
        world.run(secs(20));
        world.assert_equal();
        world.disconnect(2, 3);
        world.run(secs(60 * minutes));
        assert_eq!(world.nodes[0].seen().len(), 3, "they are lost");
        world.connect(2, 3);
        let took = world.run_until(secs(400), World::is_equal);
        assert!(took <= 2 * BACK, "{took:?} after {minutes} min");
        world.run(SETTLE);
        world.assert_equal();
    }
}

/// The word of a peer is not believed for it, and does not keep what is known of who is gone.
#[test]
fn who_says_again_and_again_that_one_is_back_makes_nobody_look_for_it_for_ever() {
    let mut world = World::chain(3);
    (0..3).for_each(|n| world.watch(n, true));
    world.run(secs(20));
    let [me, liar, gone] = [0, 1, 2].map(|n| world.nodes[n].sender);
    let record = world.nodes[2].tracker.rooms[&channel(0)].own.record.clone();
    let record = record.expect("said");
    world.crash(2);
    world.run(secs(60));
    let asked = world.said;
    for _ in 0..400 {
        let roll = vec![(me, u64::MAX), (gone, record.version)];
        world.hear(0, liar, PresenceMessage::Roll(channel(0), roll));
        world.hear(0, liar, PresenceMessage::Records(vec![record.clone()]));
        assert!(!world.nodes[0].seen().contains_key(&gone));
        world.run(secs(1));
    }
    // Every 2 s for less than 5 min, and what those between say to each other every 10 s.
    assert!(world.said - asked <= 400, "{}", world.said - asked);
}

/// Somebody hands round what was true before.
#[test]
fn an_old_record_does_not_bring_back_who_closed_the_channel_however_late_it_comes() {
    let mut world = two_ways(2);
    let old = world.nodes[0].tracker.rooms[&channel(0)].own.record.clone();
    let old = old.expect("said");
    world.disconnect(1, 3);
    world.open_at(0, 0, false);
    world.run(secs(10));
    let hostile = world.nodes[2].sender;
    for _ in 0..50 {
        let records = PresenceMessage::Records(vec![old.clone()]);
        world.hear(3, hostile, records);
        assert!(!sees_first(&world));
        world.run(secs(10));
    }
}
