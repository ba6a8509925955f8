//! The engine against reference models: [`mesh`] with honest senders over a bad network,
//! [`hostile`] with senders that break the rules, [`convergence`] with engines that are connected.
//! The tests here and in the other modules are step by step.

mod answers;
mod arrivals;
mod backfill;
mod beginnings;
mod bounds;
mod convergence;
mod cost;
mod floods;
mod flow_control;
mod forwarding;
mod handover;
mod hostile;
mod listener;
mod mesh;
mod outcomes;
mod repairing;
mod reported;
mod resume;
mod silence;
mod world;

use std::collections::BTreeSet;

use super::*;
use crate::fixture;
use fixture::{FULL, channel, frame, peer, restarted, wholes};
use listener::{Listener, RETENTION, config};
use world::World;

use crate::{
    log::{GapReason, SETTLE, UNFINISHED_TIMEOUT},
    wire::{Format, MAX_FRAGMENT_LEN, Part, fragments, write_record},
};

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

fn range(first: u64, last: u64) -> SeqRange {
    let seq = |n| Seq::new(n).expect("not 0");
    SeqRange::new(seq(first), seq(last)).expect("in order")
}

fn section<'a>(records: impl IntoIterator<Item = (Part, &'a [u8])>) -> Vec<u8> {
    let mut section = Vec::new();
    for (part, payload) in records {
        write_record(&mut section, Format::Raw, part, payload);
    }
    section
}

/// A listener that heard number 1 of these peers on channel 0.
fn listener_of(peers: &[usize]) -> Listener {
    let mut listener = Listener::new(config(), 1);
    for &who in peers {
        listener.hear(who, wholes(peer(who), &channel(0), 1, 1));
        listener.expect(who, &[(range(1, 1), None)]);
    }
    listener
}

#[test]
fn equal_values_posted_twice_come_twice() {
    let mut listener = listener_of(&[0]);
    for first in [2, 3] {
        listener.hear(
            0,
            frame(
                peer(0),
                &channel(0),
                first,
                [(Part::Whole, b"same".as_slice())],
            ),
        );
    }
    listener.expect(0, &[(range(2, 2), None), (range(3, 3), None)]);
}

#[test]
fn without_peers_a_lost_frame_is_reported_after_the_retention_and_before_what_follows() {
    let mut listener = listener_of(&[0]);
    listener.hear(0, wholes(peer(0), &channel(0), 3, 2));
    listener.expect(0, &[]);
    listener.run_until(Time::ZERO + RETENTION - Duration::from_millis(1));
    listener.expect(0, &[]);
    listener.run_until(Time::ZERO + RETENTION);
    listener.expect(
        0,
        &[(range(2, 2), Some(GapReason::Lost)), (range(3, 4), None)],
    );
}

#[test]
fn holes_that_were_known_at_the_same_time_are_given_up_at_the_same_time() {
    let mut listener = listener_of(&[0]);
    for first in [3, 5, 7] {
        listener.hear(0, wholes(peer(0), &channel(0), first, 1));
    }
    listener.run_until(Time::ZERO + RETENTION);
    let lost = Some(GapReason::Lost);
    listener.expect(
        0,
        &[
            (range(2, 2), lost),
            (range(3, 3), None),
            (range(4, 4), lost),
            (range(5, 5), None),
            (range(6, 6), lost),
            (range(7, 7), None),
        ],
    );
}

#[test]
fn a_hole_that_is_being_filled_is_waited_for_anew() {
    let mut listener = listener_of(&[0]);
    listener.hear(0, wholes(peer(0), &channel(0), 9, 1));
    for (first, millis) in [(2, 15_000), (3, 30_000), (4, 45_000)] {
        listener.run_until(at(millis));
        listener.hear(0, wholes(peer(0), &channel(0), first, 1));
        listener.expect(0, &[(range(first, first), None)]);
    }
    listener.run_until(at(45_000) + RETENTION);
    listener.expect(
        0,
        &[(range(5, 8), Some(GapReason::Lost)), (range(9, 9), None)],
    );
}

#[test]
fn gaps_of_two_senders_at_the_same_moment_stay_apart() {
    let mut listener = listener_of(&[0, 1]);
    listener.hear(1, wholes(peer(1), &channel(0), 2, 1));
    listener.expect(1, &[(range(2, 2), None)]);
    // Above each hole there is half a value, so that nothing is delivered between the two gaps.
    let half = |who, first| frame(peer(who), &channel(0), first, [(Part::First, &FULL[..])]);
    listener.hear(0, half(0, 3));
    listener.hear(1, half(1, 4));
    listener.run_until(Time::ZERO + RETENTION);
    for (who, seq) in [(0, 2), (1, 3)] {
        listener.expect(who, &[(range(seq, seq), Some(GapReason::Lost))]);
    }
    assert_eq!(listener.engine.counters().gaps, 2);
}

#[test]
fn a_value_whose_sender_died_halfway_is_reported() {
    let mut listener = listener_of(&[0]);
    for (first, part) in [(2, Part::First), (3, Part::Middle)] {
        listener.hear(0, frame(peer(0), &channel(0), first, [(part, &FULL[..])]));
    }
    listener.run_until(Time::ZERO + UNFINISHED_TIMEOUT);
    listener.expect(0, &[(range(2, 3), Some(GapReason::Incomplete))]);
    listener.hear(
        0,
        frame(peer(0), &channel(0), 4, [(Part::Last, b"z".as_slice())]),
    );
    listener.expect(0, &[(range(4, 4), Some(GapReason::Incomplete))]);
}

/// Its sender may be on the other side of a partition, and come back with the rest.
#[test]
fn half_a_value_is_waited_for_like_any_missing_number_while_its_sender_is_gone() {
    let begun = || {
        let mut listener = Listener::new(Config::default(), 1);
        let half = frame(peer(0), &channel(0), 1, [(Part::First, &FULL[..])]);
        listener.hear(0, half);
        listener
    };
    let given_up = [(range(1, 1), Some(GapReason::Incomplete))];
    let retention = Time::ZERO + Config::default().history.age;
    let mut gone = begun();
    gone.run_until(retention - Duration::from_millis(1));
    gone.expect(0, &[]);
    gone.run_until(retention);
    gone.expect(0, &given_up);

    let mut back = begun();
    back.run_until(at(100_000));
    back.engine
        .handle_peer_up(peer(0).member.sender(), back.now);
    while back.engine.poll_output().is_some() {}
    back.hear(
        0,
        frame(peer(0), &channel(0), 2, [(Part::Middle, &FULL[..])]),
    );
    back.run_until(at(100_000) + UNFINISHED_TIMEOUT - Duration::from_millis(1));
    back.expect(0, &[]);
    back.run_until(at(100_000) + UNFINISHED_TIMEOUT);
    back.expect(0, &[(range(1, 2), Some(GapReason::Incomplete))]);
}

#[test]
fn a_value_that_lost_a_fragment_is_one_gap() {
    let mut listener = listener_of(&[0]);
    let mut hear = |first, part, payload| {
        listener.hear(0, frame(peer(0), &channel(0), first, [(part, payload)]));
    };
    hear(2, Part::First, &FULL[..]);
    hear(4, Part::Last, b"x");
    hear(5, Part::Whole, b"x");
    listener.run_until(Time::ZERO + RETENTION);
    listener.expect(
        0,
        &[(range(2, 4), Some(GapReason::Lost)), (range(5, 5), None)],
    );
}

#[test]
fn a_value_over_the_limit_is_not_taken_for_lost_with_what_is_before_it() {
    let config = Config {
        max_message_len: MAX_FRAGMENT_LEN,
        ..config()
    };
    let mut listener = Listener::new(config, 1);
    listener.hear(0, wholes(peer(0), &channel(0), 1, 1));
    for (first, record) in [(3, (Part::First, &FULL[..])), (4, (Part::Last, b"x"))] {
        listener.hear(0, frame(peer(0), &channel(0), first, [record]));
    }
    listener.run_until(Time::ZERO + RETENTION);
    let (lost, too_large) = (Some(GapReason::Lost), Some(GapReason::TooLarge));
    listener.expect(
        0,
        &[
            (range(1, 1), None),
            (range(2, 2), lost),
            (range(3, 4), too_large),
        ],
    );
}

#[test]
fn a_value_over_the_limit_is_reported_and_the_next_one_comes() {
    let config = Config {
        max_message_len: 2 * MAX_FRAGMENT_LEN,
        ..config()
    };
    let mut listener = Listener::new(config, 1);
    for (first, part) in [(1, Part::First), (2, Part::Middle), (3, Part::Middle)] {
        listener.hear(0, frame(peer(0), &channel(0), first, [(part, &FULL[..])]));
    }
    let end = [(Part::Last, b"x".as_slice()), (Part::Whole, b"y")];
    listener.hear(0, frame(peer(0), &channel(0), 4, end));
    let too_large = Some(GapReason::TooLarge);
    listener.expect(0, &[(range(1, 4), too_large), (range(5, 5), None)]);
}

#[test]
fn frames_without_room_become_a_gap() {
    let config = Config {
        max_held_bytes: wholes(peer(0), &channel(0), 3, 1).bytes().len(),
        ..config()
    };
    let mut listener = Listener::new(config, 1);
    for first in [1, 3, 4, 5] {
        listener.hear(0, wholes(peer(0), &channel(0), first, 1));
    }
    assert_eq!(listener.engine.counters().frames_without_room, 2);
    listener.run_until(Time::ZERO + RETENTION);
    let lost = Some(GapReason::Lost);
    listener.expect(
        0,
        &[
            (range(1, 1), None),
            (range(2, 2), lost),
            (range(3, 3), None),
            (range(4, 5), lost),
        ],
    );
}

#[test]
fn a_sender_heard_first_without_room_does_not_stop_the_clock() {
    let config = Config {
        max_held_bytes: 0,
        ..config()
    };
    let mut listener = Listener::new(config, 1);
    listener.hear(0, wholes(peer(0), &channel(0), 7, 1));
    listener.run_until(Time::ZERO + SETTLE + RETENTION);
    listener.expect(0, &[(range(7, 7), Some(GapReason::Lost))]);
    assert!(listener.at_rest());
}

#[test]
fn a_sender_at_the_end_of_all_numbers_does_not_stop_the_clock() {
    let mut listener = Listener::new(config(), 1);
    let last = || wholes(peer(0), &channel(0), u64::MAX - 1, 1);
    listener.hear(0, last());
    listener.run_until(at(5_000));
    listener.expect(0, &[(range(u64::MAX - 1, u64::MAX - 1), None)]);
    listener.hear(0, last());
    listener.run_until(at(10_000));
    listener.expect(0, &[]);
    assert!(listener.at_rest());
}

#[test]
fn gaps_over_all_numbers_do_not_overflow_the_counters() {
    let mut listener = listener_of(&[0, 1]);
    for who in [0, 1] {
        listener.hear(who, wholes(peer(who), &channel(0), u64::MAX - 1, 1));
    }
    listener.run_until(Time::ZERO + RETENTION);
    for who in [0, 1] {
        listener.expect(
            who,
            &[
                (range(2, u64::MAX - 2), Some(GapReason::Lost)),
                (range(u64::MAX - 1, u64::MAX - 1), None),
            ],
        );
    }
    assert_eq!(listener.engine.counters().missed, u64::MAX);
}

#[test]
fn frames_that_wait_are_given_out_when_their_sender_is_forgotten() {
    let config = Config {
        max_logs: 1,
        ..config()
    };
    let mut listener = Listener::new(config, 1);
    listener.hear(0, wholes(peer(0), &channel(0), 1, 1));
    listener.hear(0, wholes(peer(0), &channel(0), 3, 1));
    listener.hear(
        0,
        frame(peer(0), &channel(0), 4, [(Part::First, &FULL[..])]),
    );
    listener.hear(1, wholes(peer(1), &channel(0), 1, 1));
    listener.expect(
        0,
        &[
            (range(1, 1), None),
            (range(2, 2), Some(GapReason::Lost)),
            (range(3, 3), None),
            (range(4, 4), Some(GapReason::Incomplete)),
        ],
    );
    listener.expect(1, &[(range(1, 1), None)]);
    assert!(listener.at_rest());
    assert_eq!(listener.engine.senders(&channel(0)).count(), 1);
}

#[test]
fn the_sender_not_heard_of_for_longest_is_forgotten_first() {
    let config = Config {
        max_logs: 2,
        ..config()
    };
    let mut listener = Listener::new(config, 2);
    let hear = |listener: &mut Listener, millis, who, name: usize, first| {
        listener.run_until(at(millis));
        listener.hear(who, wholes(peer(who), &channel(name), first, 1));
    };
    hear(&mut listener, 0, 0, 0, 1);
    hear(&mut listener, 1, 1, 1, 1);
    hear(&mut listener, 2, 0, 0, 2);
    hear(&mut listener, 3, 2, 0, 1);
    let heard = |name| {
        let name = channel(name);
        let senders = listener.engine.senders(&name);
        senders.map(|(sender, _)| sender).collect::<BTreeSet<_>>()
    };
    assert_eq!(heard(0), [0, 2].map(|who| peer(who).member.sender()).into());
    assert_eq!(heard(1), [].into());
}

#[test]
fn a_channel_opened_again_goes_on_numbering() {
    let (now, wall, name) = (at(0), WallTime::MIN, channel(0));
    let me = peer(0);
    let mut engine = Engine::new(config(), me.identity.clone(), Arc::clone(&me.member), 0);
    let one = section([(Part::Whole, b"x".as_slice())]);
    assert_eq!(
        engine.handle_post(&name, &one, now, wall),
        Err(PostError::NeverOpened)
    );
    for seq in 1..4 {
        assert_eq!(engine.handle_open(&name, Since::Now, at(0)), Ok(()));
        assert_eq!(
            engine.handle_post(&name, &one, now, wall),
            Ok(range(seq, seq))
        );
        while engine.poll_output().is_some() {}
        engine.handle_close(&name);
        assert!(!engine.is_open(&name));
    }
}

#[test]
fn a_refused_post_uses_no_number() {
    let (now, wall, name) = (at(0), WallTime::MIN, channel(0));
    let me = peer(0);
    let mut engine = Engine::new(config(), me.identity.clone(), Arc::clone(&me.member), 0);
    assert_eq!(engine.handle_open(&name, Since::Now, now), Ok(()));
    for bad in [vec![], vec![0xff; 3], vec![0; Frame::MAX_RECORDS_LEN + 4]] {
        assert!(engine.handle_post(&name, &bad, now, wall).is_err());
        assert!(engine.poll_output().is_none());
    }
    let two = section([(Part::Whole, b"x".as_slice()); 2]);
    assert_eq!(engine.handle_post(&name, &two, now, wall), Ok(range(1, 2)));
    while engine.poll_output().is_some() {}
    let counters = engine.counters();
    assert_eq!((counters.posted, counters.frames_posted), (2, 1));
}

#[test]
fn there_are_no_more_channels_than_allowed() {
    let me = peer(0);
    let config = Config {
        max_channels: 1,
        ..config()
    };
    let mut engine = Engine::new(config, me.identity.clone(), Arc::clone(&me.member), 0);
    assert_eq!(engine.handle_open(&channel(0), Since::Now, at(0)), Ok(()));
    let refused = Err(OpenError::TooManyChannels { limit: 1 });
    assert_eq!(engine.handle_open(&channel(1), Since::Now, at(0)), refused);
    engine.handle_close(&channel(0));
    assert_eq!(engine.handle_open(&channel(1), Since::Now, at(0)), Ok(()));
    // A name that was posted on keeps its place.
    let record = section([(Part::Whole, b"x".as_slice())]);
    assert!(
        engine
            .handle_post(&channel(1), &record, at(0), WallTime::MIN)
            .is_ok()
    );
    while engine.poll_output().is_some() {}
    engine.handle_close(&channel(1));
    assert_eq!(engine.handle_open(&channel(0), Since::Now, at(0)), refused);
    let later = at(0) + RETENTION + Duration::from_secs(1);
    engine.handle_timeout(later);
    // Its number is remembered beside.
    assert_eq!(engine.handle_open(&channel(0), Since::Now, later), Ok(()));
    let refused = engine.handle_open(&channel(1), Since::Now, later);
    assert_eq!(refused, Err(OpenError::TooManyChannels { limit: 1 }));
}

#[test]
fn a_name_of_which_something_is_kept_takes_one_place_and_no_more() {
    let me = peer(0);
    let config = Config {
        max_channels: 2,
        ..config()
    };
    let mut engine = Engine::new(config, me.identity.clone(), Arc::clone(&me.member), 0);
    assert_eq!(engine.handle_open(&channel(0), Since::Now, at(0)), Ok(()));
    let record = section([(Part::Whole, b"x".as_slice())]);
    let posted = engine.handle_post(&channel(0), &record, at(0), WallTime::MIN);
    assert_eq!(posted, Ok(range(1, 1)));
    while engine.poll_output().is_some() {}
    engine.handle_close(&channel(0));
    assert_eq!(engine.closed_names(), 1);
    assert_eq!(engine.handle_open(&channel(1), Since::Now, at(0)), Ok(()));
    let refused = Err(OpenError::TooManyChannels { limit: 2 });
    assert_eq!(engine.handle_open(&channel(2), Since::Now, at(0)), refused);
}

#[test]
fn names_that_nobody_uses_are_forgotten_and_their_numbers_are_not() {
    let me = peer(0);
    let config = Config {
        max_channels: 200_000,
        history: crate::HistoryLimits {
            bytes: 1_000_000,
            age: RETENTION,
        },
        ..config()
    };
    let mut engine = Engine::new(config, me.identity.clone(), Arc::clone(&me.member), 0);
    let name = |n: usize| ChannelName::new(&format!("room-{n}")).expect("valid");
    let record = section([(Part::Whole, b"x".as_slice())]);
    let post = |engine: &mut Engine, n: usize, now| {
        let seqs = engine.handle_post(&name(n), &record, now, WallTime::MIN);
        while engine.poll_output().is_some() {}
        seqs.expect("open").first().get()
    };
    // Only listened to.
    for n in 0..10_000 {
        assert_eq!(engine.handle_open(&name(n), Since::Now, at(0)), Ok(()));
        engine.handle_close(&name(n));
    }
    assert_eq!(
        (engine.channels.iter().count(), engine.closed_names()),
        (0, 0)
    );
    // Posted on: as long as something is kept the channel is known, and then its counter.
    for n in 0..10_000 {
        let now = at(n as u64);
        assert_eq!(engine.handle_open(&name(n), Since::Now, now), Ok(()));
        assert_eq!(post(&mut engine, n, now), 1);
        engine.handle_close(&name(n));
        assert!(
            engine.channels.iter().count() < 2_500,
            "{}",
            engine.channels.iter().count()
        );
    }
    let later = at(10_000) + RETENTION + Duration::from_secs(1);
    engine.handle_timeout(later);
    assert_eq!(
        (engine.channels.iter().count(), engine.closed_names()),
        (0, 10_000)
    );
    for n in (0..10_000).step_by(7) {
        assert_eq!(engine.handle_open(&name(n), Since::Now, later), Ok(()));
        assert_eq!(post(&mut engine, n, later), 2);
    }
}

/// However many names a service posts on in its life.
#[test]
fn of_more_names_than_are_remembered_no_number_is_used_twice_either() {
    const REMEMBERED: usize = 8;
    const NAMES: u64 = 24;
    let me = peer(0);
    let config = Config {
        max_closed_names: REMEMBERED,
        ..config()
    };
    let mut engine = Engine::new(config, me.identity.clone(), Arc::clone(&me.member), 0);
    let name = |n: u64| ChannelName::new(&format!("room-{n}")).expect("valid");
    let record = section([(Part::Whole, b"x".as_slice())]);
    let (mut used, mut now) = (BTreeSet::new(), at(0));
    for round in 0..10 {
        for n in 0..NAMES {
            // Each in another order each time, and some more often than others.
            let n = (n * 7 + round * 5) % NAMES;
            assert_eq!(engine.handle_open(&name(n), Since::Now, now), Ok(()));
            for _ in 0..=n % 5 {
                let seqs = engine.handle_post(&name(n), &record, now, WallTime::MIN);
                while engine.poll_output().is_some() {}
                let seq = seqs.expect("it is open").first();
                assert!(used.insert((n, seq)), "{seq:?} of {n} once more");
            }
            engine.handle_close(&name(n));
            now = now + RETENTION + Duration::from_secs(1);
            engine.handle_timeout(now);
            while engine.poll_output().is_some() {}
            assert!(engine.closed_names() <= REMEMBERED);
        }
    }
    assert!(engine.logs.of(&name(0)).next().is_none());
}

/// It has the channel open for longer than the poster runs.
#[test]
fn a_name_that_does_not_begin_with_the_first_number_is_heard_without_a_gap() {
    let config = Config {
        max_closed_names: 0,
        ..config()
    };
    let mut world = World::new(2, &config, 1);
    world.connect_all();
    world.run_secs(1);
    // Another name was posted on, and is forgotten.
    let (other, now) = (channel(1), world.clock(0));
    let engine = &mut world.nodes[0].engine;
    assert_eq!(engine.handle_open(&other, Since::Now, now), Ok(()));
    while engine.poll_output().is_some() {}
    for _ in 0..5 {
        let record = section([(Part::Whole, b"x".as_slice())]);
        let posted = engine.handle_post(&other, &record, now, WallTime::MIN);
        assert!(posted.is_ok());
        while engine.poll_output().is_some() {}
    }
    engine.handle_close(&other);
    world.drain(0);
    world.run(RETENTION + Duration::from_secs(5));
    assert_eq!(world.nodes[0].engine.closed_names(), 0);
    // Numbers of the other, as far as the poster knows.
    let others = vec![(Duration::ZERO, bytes::Bytes::new()); 5];
    world.posted.insert(0, others);
    world.post(0, 3);
    world.run_secs(10);
    assert_eq!(world.story(1, 0), [world::Event::Values(range(6, 8))]);
    world.expect_rest();
}

#[test]
fn a_value_of_several_posts_comes_to_the_objects_of_its_own_node_whole() {
    let (now, wall, name) = (at(0), WallTime::MIN, channel(0));
    let me = peer(0);
    let mut engine = Engine::new(config(), me.identity.clone(), Arc::clone(&me.member), 0);
    assert_eq!(engine.handle_open(&name, Since::Now, now), Ok(()));
    let value: Vec<u8> = (0..2 * MAX_FRAGMENT_LEN + 1000).map(|i| i as u8).collect();
    let mut outputs = Vec::new();
    for record in fragments(&value, crate::MAX_FRAGMENT_LEN) {
        assert!(
            engine
                .handle_post(&name, &section([record]), now, wall)
                .is_ok()
        );
        outputs.extend(std::iter::from_fn(|| engine.poll_output()));
    }
    let [
        Output::Publish(_),
        Output::Publish(_),
        Output::Publish(_),
        Output::Deliver(to, delivery),
    ] = outputs.as_slice()
    else {
        panic!("{outputs:?}");
    };
    assert_eq!((to, delivery.member.sender()), (&name, me.member.sender()));
    let values: Vec<_> = delivery.values().collect();
    assert_eq!((values.len(), values[0].seqs), (1, range(1, 3)));
    assert!(values[0].payload == value);
}

/// Neither a key nor what people say to each other belongs in a log.
#[test]
fn nothing_shows_secrets_or_payloads_in_debug_output() {
    let secret = b"a payload that nobody should read in a log".as_slice();
    let me = restarted(1);
    let seed = me.identity.boot().secret_seed();
    let mut engine = Engine::new(config(), me.identity.clone(), Arc::clone(&me.member), 0);
    let name = channel(0);
    assert_eq!(engine.handle_open(&name, Since::Now, at(0)), Ok(()));
    let posted = engine.handle_post(
        &name,
        &section([(Part::Whole, secret)]),
        at(0),
        WallTime::MIN,
    );
    assert_eq!(posted, Ok(range(1, 1)));
    let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();

    // A value between fragments and one of fragments, of which something waits.
    let mut listener = listener_of(&[0]);
    let half = || frame(peer(0), &channel(0), 2, [(Part::First, &FULL[..])]);
    listener.hear(0, half());
    listener.hear(0, wholes(peer(0), &channel(0), 9, 1));
    let mixed = frame(
        peer(0),
        &channel(0),
        2,
        [(Part::Last, secret), (Part::Whole, secret)],
    );

    let mut shown = vec![
        format!("{:?} {:?}", me.identity, me.member),
        format!("{engine:?} {outputs:?}"),
        format!("{:?}", listener.engine),
        format!("{mixed:?} {:?}", mixed.records().collect::<Vec<_>>()),
    ];
    for output in &outputs {
        if let Output::Deliver(_, delivery) = output {
            let values = delivery.values();
            shown.push(format!(
                "{delivery:?} {values:?} {:?}",
                delivery.values().collect::<Vec<_>>()
            ));
        }
    }
    assert_eq!(shown.len(), 5);
    let list = |bytes: &[u8]| format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    for text in shown {
        for part in [&secret[..8], &seed[..8], &FULL[..8]] {
            let plain = String::from_utf8_lossy(part);
            for form in [list(part), hex(part), plain.into_owned()] {
                assert!(!text.contains(&form), "{form} in {text}");
            }
        }
    }
}

#[test]
fn the_history_is_empty_when_its_time_is_over() {
    let mut listener = listener_of(&[0]);
    assert!(listener.engine.history().bytes() > 0);
    // Nobody is there to be told of it.
    listener.run_until(at(600));
    let age = config().history.age;
    assert_eq!(listener.engine.poll_timeout(), Some(Time::ZERO + age));
    listener.run_until(Time::ZERO + age);
    assert_eq!(listener.engine.history().bytes(), 0);
    assert_eq!(listener.engine.poll_timeout(), None);
}
