//! The work that peers may make a node do, and what becomes of the rest.

use super::{
    super::{super::link::Shares, *},
    world::{Node, World, channel},
    *,
};
use crate::bounds::{Payer, Rate};

/// A record a second, and four at once.
const FEW: Rate = Rate::every(Duration::from_secs(1), 4);

/// Nobody does wrong who gives what it was asked for, or asks for what it lacks. Records without a
/// share are counted, and made up for.
#[test]
fn whoever_has_much_to_catch_up_with_is_not_blamed_nor_is_who_gives_it() {
    for shares in [
        Shares {
            served: FEW,
            ..Shares::default()
        },
        Shares {
            checks: FEW,
            ..Shares::default()
        },
    ] {
        let mut world = World::with(12, 4).sharing(shares);
        world.connect(0, 1);
        (0..3).for_each(|n| world.watch_all(n));
        world.run(secs(60));
        world.connect(1, 2);
        world.connect(2, 3);
        world.run(secs(120));
        world.assert_equal();
        for node in &world.nodes {
            assert_eq!(node.offences, []);
        }
        let limited = |node: &Node| node.tracker.counters().presence_limited;
        assert!(world.nodes.iter().map(limited).sum::<u64>() > 0);
    }
}

#[test]
fn all_channels_are_compared_however_few_at_once() {
    let shares = Shares {
        hashes: 2,
        ..Shares::default()
    };
    let mut world = World::with(7, 3).sharing(shares);
    world.connect(0, 1);
    (0..3).for_each(|n| world.watch_all(n));
    world.run(secs(2));
    // A later node is told by the one between what was said before.
    world.connect(1, 2);
    let took = world.run_until(secs(60), World::is_equal);
    assert!(took < secs(10), "{took:?}");
}

/// A search costs as much as a find.
#[test]
fn who_asks_for_records_that_nobody_has_uses_up_its_share() {
    let shares = Shares {
        served: FEW,
        ..Shares::default()
    };
    let mut world = World::full(2).sharing(shares);
    (0..2).for_each(|n| world.watch(n, true));
    world.run(secs(30));
    let (asker, known) = (world.nodes[1].sender, world.nodes[0].sender);
    let fetch = |senders: Vec<Sender>| PresenceMessage::Fetch(channel(0), senders);
    let said = world.said;
    world.hear(0, asker, fetch(vec![known]));
    assert_eq!(world.said - said, 1, "it is given");
    let invented = (0..100_u8).map(|n| Sender::new([n; 32]));
    world.hear(0, asker, fetch(invented.collect()));
    world.hear(0, asker, fetch(vec![known]));
    assert_eq!(world.said - said, 1, "its share is used up");
    assert_eq!(
        world.nodes[0].tracker.counters().presence_limited,
        100 - 3 + 1
    );
    assert_eq!(world.nodes[0].offences, []);
}

#[test]
fn a_peer_that_does_not_read_is_given_no_records_until_it_does() {
    let mut world = World::with(3, 3);
    world.connect(0, 1);
    (0..3).for_each(|n| world.watch_all(n));
    world.run(secs(2));
    let late = world.nodes[2].sender;
    world.connect(1, 2);
    world.nodes[1].tracker.set_congested(late, true);
    world.run(secs(20));
    let known = |world: &World| {
        world.nodes[2]
            .spots
            .iter()
            .map(|spot| spot.seen.len())
            .sum()
    };
    // Itself, and what the one between says of itself.
    let seen: usize = known(&world);
    assert_eq!(seen, 3 * 2);
    world.nodes[1].tracker.set_congested(late, false);
    let took = world.run_until(secs(20), World::is_equal);
    assert!(took < secs(10), "{took:?}");
}

#[test]
fn with_a_peer_that_does_not_read_nothing_is_compared() {
    let mut world = World::full(2);
    (0..2).for_each(|n| world.watch(n, true));
    world.run(secs(30));
    let said = world.said;
    world.run(secs(60));
    assert!(world.said > said, "it is compared now and then");
    let senders = [world.nodes[0].sender, world.nodes[1].sender];
    for (n, other) in [(0, senders[1]), (1, senders[0])] {
        world.nodes[n].tracker.set_congested(other, true);
    }
    world.run(secs(1));
    let said = world.said;
    world.run(secs(60));
    assert_eq!(world.said, said);
}

#[test]
fn who_asks_for_signs_of_life_is_charged_for_each_that_it_is_handed_them_of() {
    let mut world = World::full(6);
    (0..6).for_each(|n| world.watch(n, true));
    world.run(secs(5));
    let all: Vec<_> = world.nodes.iter().map(|node| node.sender).collect();
    let payer = Payer::from(all[1]);
    let used = |world: &World| world.nodes[0].tracker.budget.statement(payer).used;
    let before = used(&world);
    // Not itself, nor anybody who is not there.
    let nobody = (100..200_u8).map(|n| Sender::new([n; 32]));
    let wanted: Vec<_> = all.iter().copied().chain(nobody).collect();
    world.hear(0, all[1], PresenceMessage::Follow(wanted.clone()));
    world.hear(0, all[1], PresenceMessage::Follow(wanted));
    let each = super::following::FOLLOWED;
    assert_eq!(used(&world) - before, 5 * each);
    world.hear(0, all[1], PresenceMessage::Unfollow(vec![all[2], all[2]]));
    assert_eq!(used(&world) - before, 4 * each);
    // Without room nothing is remembered.
    let budget = world.nodes[0].tracker.budget.clone();
    let rest = budget.room(payer);
    budget.charge(payer, rest);
    world.hear(0, all[1], PresenceMessage::Follow(vec![all[2]]));
    assert_eq!(used(&world) - before, 4 * each + rest);
    let refused = world.nodes[0].tracker.counters().presence_refused;
    assert_eq!(refused, 1);
    budget.release(payer, rest);
    let now = world.time(0);
    world.nodes[0].tracker.handle_peer_down(all[1], now);
    assert!(used(&world) <= before);
}
