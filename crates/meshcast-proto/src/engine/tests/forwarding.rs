//! Forwarding: how many copies come, and how late what a link withholds.

use super::{world::*, *};
use crate::bounds::{INTEREST_BYTES, Payer};

/// The delay of each of the next posts of a sender to another.
fn delays(
    world: &mut World,
    (of, to): (usize, usize),
    posts: u64,
    every: Duration,
) -> Vec<Duration> {
    let mut waiting: Vec<(u64, Duration)> = Vec::new();
    let mut delays = Vec::new();
    let step = Duration::from_millis(1);
    let seen = |world: &World| match world.story(to, of).as_slice() {
        [] => 0,
        [Event::Values(seqs)] => seqs.last().get(),
        other => panic!("{other:?}"),
    };
    let mut posted = seen(world);
    for _ in 0..posts {
        posted += 1;
        world.post(of, 1);
        waiting.push((posted, world.now));
        let until = world.now + every;
        while world.now < until {
            world.run(step);
            let (now, last) = (world.now, seen(world));
            waiting.retain(|(seq, at)| {
                if *seq <= last {
                    delays.push(now - *at);
                }
                *seq > last
            });
        }
    }
    world.run_secs(2);
    delays.sort();
    delays
}

fn percentile(delays: &[Duration], percent: usize) -> Duration {
    delays[(delays.len() - 1) * percent / 100]
}

fn linked(nodes: usize, links: impl IntoIterator<Item = (usize, usize)>) -> World {
    let mut world = World::new(nodes, &Config::default(), 1);
    world.loss = 0;
    links.into_iter().for_each(|(a, b)| world.connect(a, b));
    world.run_secs(1);
    world
}

fn all_linked(nodes: usize) -> World {
    linked(nodes, (0..nodes).flat_map(|b| (0..b).map(move |a| (a, b))))
}

/// How many copies come for each delivery, once all know how each hears of whom.
fn copies(world: &mut World, nodes: usize) -> f64 {
    (0..nodes).for_each(|who| world.post(who, 1));
    world.run_secs(2);
    let before = world.copies;
    const ROUNDS: usize = 50;
    for _ in 0..ROUNDS {
        (0..nodes).for_each(|who| world.post(who, 1));
        world.run(Duration::from_millis(40));
    }
    world.run_secs(2);
    world.expect_everything();
    (world.copies - before) as f64 / (ROUNDS * nodes * (nodes - 1)) as f64
}

#[test]
fn where_all_are_linked_each_frame_comes_once() {
    for nodes in [2, 3, 5, 8] {
        let copies = copies(&mut all_linked(nodes), nodes);
        assert!(copies <= 1.0, "{nodes}: {copies}");
    }
}

#[test]
fn in_chains_rings_and_meshes_each_frame_comes_everywhere_and_at_most_twice() {
    let chain: Vec<_> = (1..6).map(|n| (n - 1, n)).collect();
    let ring: Vec<_> = chain.iter().copied().chain([(0, 5)]).collect();
    let crossed: Vec<_> = ring
        .iter()
        .copied()
        .chain([(0, 3), (1, 4), (2, 5)])
        .collect();
    for links in [chain, ring, crossed] {
        let copies = copies(&mut linked(6, links.clone()), 6);
        assert!(copies <= 1.3, "{links:?}: {copies}");
    }
}

/// Nobody knows yet how anybody hears of whom.
#[test]
fn a_first_frame_reaches_everybody_and_not_from_everybody() {
    let mut world = all_linked(12);
    world.post(0, 1);
    world.run(LATENCY * 2);
    assert!(world.copies <= 11 * 5, "{}", world.copies);
    for who in 1..12 {
        assert_eq!(world.story(who, 0), [Event::Values(range(1, 1))], "{who}");
    }
    let mut chain = linked(6, (1..6).map(|n| (n - 1, n)));
    chain.post(0, 1);
    chain.run(LATENCY * 5);
    assert_eq!(chain.story(5, 0), [Event::Values(range(1, 1))]);
}

#[test]
fn behind_a_silently_cut_link_a_frame_comes_in_a_quarter_of_a_second_by_the_backup_upstream() {
    for every in [10, 137, 700].map(Duration::from_millis) {
        for nodes in [3, 5] {
            let mut world = all_linked(nodes);
            delays(&mut world, (0, 1), 20, every);
            world.silent.insert((0, 1));
            let delays = delays(&mut world, (0, 1), 300, every);
            let longest = percentile(&delays, 100);
            // Until the backup upstream tells, the time copies may race, and four ways.
            let most = Duration::from_millis(100 + 80 + 10) + LATENCY * 4;
            assert!(longest <= most, "{every:?} {nodes}: {longest:?}");
            world.expect_everything();
        }
    }
}

/// Two ways round a ring; the one by which a node hears of the sender goes silent.
#[test]
fn in_a_ring_a_silent_link_between_others_delays_a_frame_by_less_than_half_a_second() {
    for silent in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        let mut world = linked(5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]);
        for to in 1..5 {
            delays(&mut world, (0, to), 5, Duration::from_millis(20));
        }
        world.silent.insert(silent);
        for to in 1..5 {
            let delays = delays(&mut world, (0, to), 40, Duration::from_millis(50));
            let longest = percentile(&delays, 100);
            assert!(
                longest <= Duration::from_millis(500) + LATENCY * 4,
                "{silent:?} {to}: {longest:?}"
            );
        }
        world.expect_everything();
    }
}

/// It says that it is linked with the sender and is not: to one who looks to it, and to one who
/// would have given it copies.
#[test]
fn who_lies_about_its_way_to_a_sender_delays_honest_members_by_less_than_half_a_second() {
    let mut world = linked(5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]);
    world.tamper = Box::new(|from, _, mut message| {
        if let (2, SyncMessage::Have(channels)) = (from, &mut message) {
            for holding in channels.iter_mut().flat_map(|channel| &mut channel.logs) {
                if holding.sender == peer(0).member.sender() {
                    (holding.hops, holding.lowest) = (1, None);
                }
            }
        }
        vec![message]
    });
    for to in [1, 3, 4] {
        delays(&mut world, (0, to), 20, Duration::from_millis(20));
        let delays = delays(&mut world, (0, to), 100, Duration::from_millis(20));
        let longest = percentile(&delays, 100);
        assert!(longest <= Duration::from_millis(500), "{to}: {longest:?}");
    }
    world.expect_everything();
}

/// The one node between two others closes the channel, and later opens it again.
#[test]
fn a_node_takes_another_upstream_when_its_own_closes_the_channel() {
    let mut world = linked(4, [(0, 1), (0, 2), (1, 3), (2, 3)]);
    delays(&mut world, (0, 3), 10, Duration::from_millis(20));
    let key = (channel(0), peer(0).member.sender());
    let upstream = |world: &World| {
        let replica = world.nodes[3].engine.logs.get(&key);
        replica
            .and_then(|replica| replica.upstream)
            .expect("there is a way")
    };
    let before = upstream(&world);
    let closes = if before == peer(1).member.sender() {
        1
    } else {
        2
    };
    world.close(closes);
    world.run(LATENCY * 4);
    assert_ne!(upstream(&world), before);
    let delays = delays(&mut world, (0, 3), 20, Duration::from_millis(20));
    assert!(
        percentile(&delays, 100) <= LATENCY * 2 + Duration::from_millis(5),
        "{delays:?}"
    );
}

/// Who is the next on the way to node 0, for another.
fn upstream(world: &World, who: usize) -> usize {
    upstream_of(world, who).expect("there is a way")
}

fn upstream_of(world: &World, who: usize) -> Option<usize> {
    let key = (channel(0), peer(0).member.sender());
    let upstream = world.nodes[who].engine.logs.get(&key)?.upstream?;
    let is_it = |n: &usize| peer(*n).member.sender() == upstream;
    (0..world.nodes.len()).find(is_it)
}

/// It is linked with the sender and tells what there is, but hands on nothing.
#[test]
fn a_silent_upstream_is_demoted_and_named_again_if_the_other_is_silent_too() {
    let mut world = linked(4, [(0, 1), (0, 2), (1, 3), (2, 3)]);
    let every = Duration::from_millis(50);
    delays(&mut world, (0, 3), 20, every);
    let first = upstream(&world, 3);
    world.withhold = BTreeSet::from([first]);
    delays(&mut world, (0, 3), 40, every);
    let second = upstream(&world, 3);
    assert_ne!(second, first);
    let after = delays(&mut world, (0, 3), 40, every);
    let longest = percentile(&after, 100);
    assert!(
        longest <= LATENCY * 2 + Duration::from_millis(5),
        "{longest:?}"
    );
    // Nothing speaks against the first any more once half a minute is over.
    world.withhold = BTreeSet::from([second]);
    world.run_secs(30);
    delays(&mut world, (0, 3), 40, every);
    assert_eq!(upstream(&world, 3), first);
    let after = delays(&mut world, (0, 3), 40, every);
    assert!(percentile(&after, 100) <= LATENCY * 2 + Duration::from_millis(5));
    world.expect_everything();
}

/// It may leave this node to fetch since that is behind elsewhere, and gives it nothing then.
#[test]
fn a_link_is_kept_whose_peer_was_passed_over_and_brings_nothing() {
    let mut world = linked(4, [(0, 1), (0, 2), (1, 3), (2, 3)]);
    let every = Duration::from_millis(50);
    delays(&mut world, (0, 3), 20, every);
    let first = upstream(&world, 3);
    world.mute = BTreeSet::from([(first, 3)]);
    delays(&mut world, (0, 3), 600, every);
    assert_ne!(upstream(&world, 3), first);
    assert!((0..4).all(|who| world.nodes[who].muted.is_empty()));
    world.expect_everything();
}

/// Another takes its place each time, and hands everything on.
#[test]
fn a_link_whose_peer_is_passed_over_again_and_again_and_brings_nothing_is_found() {
    let mut world = linked(4, [(0, 1), (0, 2), (1, 3), (2, 3)]);
    delays(&mut world, (0, 3), 20, Duration::from_millis(50));
    let first = upstream(&world, 3);
    world.mute = BTreeSet::from([(first, 3)]);
    let began = world.now;
    for _ in 0..3_000 {
        world.post(0, 1);
        world.run(Duration::from_millis(100));
    }
    let [(found, at)] = world.nodes[3].muted[..] else {
        panic!("{:?}", world.nodes[3].muted);
    };
    assert_eq!(found, first);
    let after = (at - began).as_secs();
    assert!((120..300).contains(&after), "after {after} s");
    world.run_secs(2);
    world.expect_everything();
}

/// Its own link to the sender is mute, and it hands on what it fetches.
#[test]
fn a_demoted_upstream_that_gets_everything_late_itself_is_not_found_mute() {
    let every = Duration::from_millis(50);
    for seconds in [3, 4, 30] {
        let mut world = linked(4, [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]);
        delays(&mut world, (0, 3), 20, every);
        let first = upstream(&world, 3);
        world.mute = BTreeSet::from([(0, first)]);
        delays(&mut world, (0, 3), seconds * 20, every);
        assert_eq!(world.nodes[3].muted, [], "{seconds}");
        world.expect_everything();
    }
}

/// A peer that answers in place of one that hands on nothing is named from then on, and did nothing
/// wrong.
#[test]
fn frames_withheld_by_one_peer_do_not_count_against_its_successor() {
    let mut world = linked(4, [(0, 1), (0, 2), (1, 3), (2, 3)]);
    let every = Duration::from_millis(50);
    delays(&mut world, (0, 3), 20, every);
    let first = upstream(&world, 3);
    world.withhold = BTreeSet::from([first]);
    let (second, mut signs) = (3 - first, 0);
    for _ in 0..500 {
        if world.now.as_millis().is_multiple_of(50) {
            world.post(0, 1);
        }
        world.run(Duration::from_millis(10));
        let health = &world.nodes[3].engine.health;
        signs = signs.max(health.signs(peer(second).member.sender()));
    }
    assert_eq!(upstream(&world, 3), second);
    assert_eq!(signs, 0);
    world.run_secs(1);
    world.expect_everything();
}

/// They look to it, and there is no room there for what they say.
#[test]
fn who_has_no_room_for_what_its_peers_say_hands_on_to_them_nevertheless() {
    const BEHIND: usize = 7;
    let mut world = linked(2 + BEHIND, [(0, 1)]);
    world.post(0, 1);
    world.run_secs(1);
    let budget = world.nodes[1].engine.budget().clone();
    let opened = BEHIND * (INTEREST_BYTES + channel(0).wire().len());
    let rest = budget.limit() - budget.used() - opened;
    budget.charge(Payer::Ourselves, rest);
    (2..2 + BEHIND).for_each(|n| world.connect(1, n));
    world.run_secs(1);
    assert!(world.counters(1).claims_refused > 0);
    for _ in 0..300 {
        world.post(0, 1);
        world.run(Duration::from_millis(100));
    }
    for who in 2..2 + BEHIND {
        assert_eq!(world.nodes[who].muted, [], "{who}");
    }
    budget.release(Payer::Ourselves, rest);
    world.run_secs(2);
    let missing = world.counters(2).requests;
    assert!(missing < 10, "{missing}");
}

/// Both are behind the one that hands on nothing, and linked with each other.
#[test]
fn two_behind_the_same_who_hands_on_nothing_do_not_look_to_each_other() {
    let mut world = linked(4, [(0, 1), (1, 2), (1, 3), (2, 3)]);
    let every = Duration::from_millis(50);
    delays(&mut world, (0, 3), 20, every);
    world.withhold = BTreeSet::from([1]);
    let late = delays(&mut world, (0, 3), 100, every);
    assert_eq!((upstream(&world, 2), upstream(&world, 3)), (1, 1));
    let longest = percentile(&late, 100);
    assert!(longest <= Duration::from_millis(500), "{longest:?}");
    world.expect_everything();
}

#[test]
fn a_way_that_loses_a_few_frames_is_kept() {
    let mut world = linked(4, [(0, 1), (0, 2), (1, 3), (2, 3)]);
    let every = Duration::from_millis(50);
    delays(&mut world, (0, 3), 20, every);
    let first = upstream(&world, 3);
    world.loss = 15;
    for _ in 0..20 {
        delays(&mut world, (0, 3), 20, every);
        assert_eq!(upstream(&world, 3), first);
    }
    world.expect_everything();
}
