//! Reports of one about another: of use where they are true, and harmless where they are not.

use std::{cell::Cell, rc::Rc};

use proptest::prelude::*;

use super::{
    super::*,
    fixture::channel,
    range,
    repairing::keeps_frames,
    world::{ANSWERS, Event, LATENCY, World, connected, sender},
};
use crate::{conduct::Offence, log::GapReason};

/// The report of a liar on a sender: that it has these numbers, up to before `next`.
fn claim(of: usize, oldest: u64, next: u64) -> Holding {
    let seq = |n| Seq::new(n).expect("not 0");
    Holding {
        sender: sender(of),
        oldest: seq(oldest),
        next: seq(next),
        due: Some(seq(next)),
        hops: 1,
        lowest: None,
        begin: Seq::FIRST,
    }
}

fn have(holding: Holding) -> SyncMessage {
    SyncMessage::Have(vec![Holdings {
        channel: channel(0),
        answer: Some(ANSWERS),
        logs: vec![holding],
    }])
}

/// Node `liar` says nothing but what it is made to say.
fn with_liar(nodes: usize, liar: usize) -> World {
    let mut world = World::new(nodes, &Config::default(), 1);
    world.tamper = Box::new(move |from, _, message| match message {
        SyncMessage::Open(_) => vec![message],
        _ if from == liar => vec![],
        message => vec![message],
    });
    world.connect_all();
    let nothing = SyncMessage::Have(vec![Holdings {
        channel: channel(0),
        answer: Some(ANSWERS),
        logs: vec![],
    }]);
    (0..nodes).for_each(|other| world.say(liar, other, &nothing));
    world.run_secs(1);
    world
}

/// A node that believes another tells it of many logs that nobody has: a liar made them up.
#[test]
fn a_log_with_frames_makes_way_for_no_reported_log_however_many_there_are() {
    let config = Config {
        max_logs: 64,
        ..Config::default()
    };
    for is_told_of_first in [false, true] {
        let mut world = World::new(3, &config, 1);
        (world.loss, world.forwards) = (0, false);
        world.tamper = Box::new(|from, _, message| match message {
            SyncMessage::Open(_) => vec![message],
            _ if from == 1 => vec![],
            message => vec![message],
        });
        world.connect_all();
        world.run_secs(1);
        if is_told_of_first {
            world.say(1, 2, &have(claim(0, 1, 1)));
            world.run(LATENCY * 2);
        }
        world.post(0, 2);
        world.run_secs(1);
        // The next post does not arrive, something later does, and the sender is cut off.
        world.silent.insert((0, 2));
        world.post(0, 2);
        world.run(LATENCY);
        world.silent.clear();
        world.post(0, 1);
        world.run(LATENCY + Duration::from_millis(1));
        world.cut(0, 2);
        for n in 0..200_u32 {
            let mut key = [7; 32];
            key[..4].copy_from_slice(&n.to_le_bytes());
            let holding = Holding {
                sender: Sender::new(key),
                ..claim(0, 1, 5)
            };
            world.say(1, 2, &have(holding));
            world.run(Duration::from_millis(1));
        }
        world.connect(0, 2);
        world.run_secs(5);
        let story = world.story(2, 0);
        assert_eq!(story, [Event::Values(range(1, 5))], "{is_told_of_first}");
    }
}

/// The only peer of a node believes a liar, and has nothing of what it is asked for.
#[test]
fn missing_numbers_of_a_log_are_requested_at_once_however_many_others_are_reported() {
    const INVENTED: u32 = 256;
    let mut world = World::new(3, &Config::default(), 1);
    world.loss = 0;
    world.connect(0, 1);
    world.connect(1, 2);
    world.run_secs(1);
    world.post(0, 2);
    world.run_secs(1);
    let invented = (0..INVENTED).map(|n| {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&n.to_le_bytes());
        Holding {
            sender: Sender::new(key),
            due: Some(Seq::FIRST),
            ..claim(0, 1, 5)
        }
    });
    let logs = invented.collect();
    world.say(
        1,
        2,
        &SyncMessage::Have(vec![Holdings {
            channel: channel(0),
            answer: None,
            logs,
        }]),
    );
    world.run_secs(1);
    let requests = world.counters(2).requests;
    world.silent.insert((1, 2));
    world.post(0, 1);
    world.run(LATENCY * 2);
    world.silent.clear();
    world.post(0, 1);
    world.run(LATENCY * 2 + Duration::from_millis(500));
    assert_eq!(world.story(2, 0), [Event::Values(range(1, 4))]);
    world.run_secs(10);
    let requests = world.counters(2).requests - requests;
    assert!(
        requests > 200,
        "the others are asked for as well: {requests}"
    );
    world.nodes[2].engine.logs.audit();
}

/// When each number of a sender came to somebody, as it is looked every few milliseconds.
fn arrivals(
    world: &mut World,
    who: usize,
    of: usize,
    posts: usize,
    every: Duration,
) -> Vec<Duration> {
    let look = Duration::from_millis(5);
    let (mut posted, mut came): (Vec<Duration>, Vec<Duration>) = Default::default();
    let before = world
        .story(who, of)
        .last()
        .map_or(0, |event| event.seqs().last().get());
    let end = world.now + every * u32::try_from(posts).expect("few") + Duration::from_secs(5);
    while world.now < end {
        if posted.len() < posts && posted.last().is_none_or(|last| *last + every <= world.now) {
            world.post(of, 1);
            posted.push(world.now);
        }
        world.run(look);
        let last = world
            .story(who, of)
            .last()
            .map_or(0, |event| event.seqs().last().get());
        came.resize(usize::try_from(last - before).expect("few"), world.now);
    }
    assert_eq!(came.len(), posts, "all came");
    came.into_iter()
        .zip(posted)
        .map(|(came, posted)| came - posted)
        .collect()
}

/// Three that are all connected; nobody passes anything on. The link from the sender to one of them
/// is cut without either end taking notice: that one is told by the third what it lacks, and asks
/// it.
#[test]
fn behind_a_silently_cut_link_what_others_say_is_asked_for_in_half_a_second() {
    for every in [37, 137, 700, 3_000].map(Duration::from_millis) {
        let mut world = connected(3);
        world.loss = 0;
        world.forwards = false;
        let whole = arrivals(&mut world, 1, 0, 20, every);
        assert!(whole.iter().all(|took| *took <= LATENCY * 2), "{whole:?}");
        let requests = world.counters(1).requests;
        assert_eq!(requests, 0, "nothing is asked for where links work");
        world.silent.insert((0, 1));
        let mut cut = arrivals(&mut world, 1, 0, 200, every);
        cut.sort();
        let (p99, longest) = (cut[cut.len() * 99 / 100], cut[cut.len() - 1]);
        assert!(p99 <= Duration::from_millis(500), "{every:?}: {p99:?}");
        // A quarter second until the third tells, the time copies may race, and four ways.
        let most = Duration::from_millis(250 + 80 + 10) + LATENCY * 4;
        assert!(longest <= most, "{every:?}: {longest:?}");
        assert_eq!(world.counters(1).gaps, 0);
    }
}

/// A link that works is not called dead by what others say while its sender is only told of later.
#[test]
fn reported_numbers_are_not_requested_while_the_sender_itself_speaks() {
    let mut world = connected(3);
    world.loss = 0;
    world.forwards = false;
    for _ in 0..200 {
        world.post(0, 1);
        world.post(1, 1);
        world.run(Duration::from_millis(20));
    }
    world.run_secs(2);
    world.expect_everything();
    let requests: u64 = (0..3).map(|who| world.counters(who).requests).sum();
    assert_eq!(requests, 0);
}

/// The sender is cut off, somebody says that it is far beyond all that it ever posted, and goes.
#[test]
fn a_number_that_only_a_liar_knows_makes_nobody_deaf() {
    for heard_before in [true, false] {
        for stays in [true, false] {
            let mut world = with_liar(4, 3);
            if heard_before {
                world.post(0, 2);
                world.run_secs(3);
            }
            (1..4).for_each(|other| world.cut(0, other));
            for next in [1 << 60, 1 << 61] {
                world.say(3, 1, &have(claim(0, 1, next)));
                world.say(3, 1, &have(claim(0, next - 5, next)));
                world.run_secs(30);
            }
            if !stays {
                world.kill(3);
            }
            world.run_secs(700);
            for who in [1, 2] {
                assert!(
                    !world
                        .story(who, 0)
                        .iter()
                        .any(|event| matches!(event, Event::Missed(..)))
                );
            }
            world.post(0, 3);
            world.connect(0, 1);
            world.connect(0, 2);
            world.run_secs(5);
            world.loss = 0;
            world.post(0, 2);
            world.run_secs(5);
            let all = range(1, if heard_before { 7 } else { 5 });
            for who in [1, 2] {
                assert_eq!(
                    world.story(who, 0),
                    [Event::Values(all)],
                    "{who} {heard_before} {stays}"
                );
            }
        }
    }
}

/// Reports on other senders push out the report on this one, which is not remembered.
#[test]
fn a_number_that_only_a_liar_knows_makes_nobody_deaf_when_it_was_forgotten_either() {
    let config = Config {
        max_logs: 8,
        ..Config::default()
    };
    let mut world = World::new(3, &config, 1);
    (world.loss, world.forwards) = (0, false);
    world.tamper = Box::new(|from, _, message| match message {
        SyncMessage::Open(_) => vec![message],
        _ if from == 2 => vec![],
        message => vec![message],
    });
    world.connect(1, 2);
    world.run_secs(1);
    let nothing = SyncMessage::Have(vec![Holdings {
        channel: channel(0),
        answer: Some(ANSWERS),
        logs: vec![],
    }]);
    world.say(2, 1, &nothing);
    world.say(2, 1, &have(claim(0, 1 << 40, 1 << 41)));
    world.run_secs(1);
    let key = (channel(0), sender(0));
    let knows = |world: &World| world.nodes[1].engine.logs.get(&key).is_some();
    assert!(knows(&world), "it is told of");
    for n in 0..20 {
        let holding = Holding {
            sender: Sender::new([100 + n; 32]),
            ..claim(0, 1, 5)
        };
        world.say(2, 1, &have(holding));
        world.run_secs(1);
    }
    assert!(!knows(&world), "it made way");
    world.kill(2);
    world.run_secs(30);
    world.connect(0, 1);
    world.run_secs(1);
    world.post(0, 3);
    world.run_secs(5);
    assert_eq!(world.story(1, 0), [Event::Values(range(1, 3))]);
}

/// The last frame of a sender that is gone is known to one that does not keep it, and says so:
/// nobody can know whether it ever was.
#[test]
fn numbers_that_nobody_can_show_are_no_gap() {
    let mut world = with_liar(3, 2);
    world.post(0, 2);
    world.run_secs(2);
    world.kill(0);
    world.say(2, 1, &have(claim(0, 8, 8)));
    world.run_secs(1_500);
    assert_eq!(world.story(1, 0), [Event::Values(range(1, 2))]);
    let engine = &world.nodes[1].engine;
    assert_eq!(
        engine.poll_timeout(),
        engine.history_expires,
        "it waits for nothing"
    );
}

/// The ways in which a peer withholds what it says it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Excuse {
    /// It says nothing any more, and its link stays.
    Mute,
    /// It does not answer.
    Silence,
    Empty,
    Later,
    Garbage,
    MovingOldest,
}

/// A number that nobody keeps is lost after 2 s; and not much later where somebody says that it has
/// it and never gives it.
#[test]
fn a_claim_that_is_not_honoured_holds_up_a_gap_for_a_bounded_time() {
    use Excuse::{Empty, Garbage, Later, MovingOldest, Mute, Silence};
    for excuse in [Mute, Silence, Empty, Later, Garbage, MovingOldest] {
        let mut world = World::new(4, &keeps_frames(4), 1);
        let tick = Rc::new(Cell::new(0_u32));
        let ticks = Rc::clone(&tick);
        let lie = move || {
            let tick = ticks.get();
            ticks.set(tick + 1);
            match excuse {
                MovingOldest => have(claim(0, 1 + u64::from(tick % 2), 1 << 40)),
                _ => have(claim(0, 1, 1 << 40)),
            }
        };
        let says = lie.clone();
        world.tamper = Box::new(move |from, _, message| match message {
            message if from != 3 => vec![message],
            SyncMessage::Have(_) => vec![says()],
            SyncMessage::Frames(frames) => {
                let empty = Frames {
                    frames: vec![],
                    ..frames.clone()
                };
                match excuse {
                    Mute | Silence => vec![],
                    Empty | MovingOldest => vec![SyncMessage::Frames(empty), says()],
                    Later => {
                        let mut waits = claim(0, 1, 11);
                        waits.oldest = waits.next;
                        vec![have(waits), SyncMessage::Frames(empty), says()]
                    }
                    Garbage => vec![SyncMessage::Frames(Frames {
                        frames: vec![(Duration::ZERO, bytes::Bytes::from_static(b"no frame"))],
                        ..frames
                    })],
                }
            }
            message => vec![message],
        });
        world.connect_all();
        world.run_secs(1);
        world.post(0, 10);
        world.run_secs(2);
        world.cut(0, 2);
        world.cut(1, 2);
        for _ in 0..12 {
            world.post(0, 10);
            world.run_secs(1);
        }
        world.connect_all();
        let before = world.counters(2).requests;
        let mut story = world.story(2, 0);
        let asked_at = world.now;
        while story.len() < 2 {
            if excuse != Mute {
                world.say(3, 2, &lie());
            }
            world.run(Duration::from_millis(500));
            story = world.story(2, 0);
            let took = world.now - asked_at;
            // And the longest pause between two tries.
            let most = if excuse == Mute { 180 + 20 } else { 90 + 20 };
            assert!(took < Duration::from_secs(most), "{excuse:?}: {took:?}");
        }
        for _ in 0..240 {
            world.say(3, 2, &lie());
            world.run(Duration::from_millis(500));
        }
        let expected = [
            Event::Values(range(1, 10)),
            Event::Missed(range(11, 90), GapReason::Lost),
            Event::Values(range(91, 130)),
        ];
        assert_eq!(world.story(2, 0), expected, "{excuse:?}");
        let accused = |who: usize| world.nodes[who].offences.iter().map(|(peer, _)| *peer);
        assert!(
            (0..3).all(|who| accused(who).all(|peer| peer == 3)),
            "{excuse:?}"
        );
        if excuse != Empty {
            assert!(accused(2).count() > 0, "{excuse:?}");
        }
        world.run_secs(600);
        let requests = world.counters(2).requests - before;
        assert!(requests < 100, "{excuse:?}: {requests}");
        // Posts still come, by whoever has them.
        world.post(0, 1);
        world.run_secs(5);
        assert_eq!(
            world.story(2, 0).last(),
            Some(&Event::Values(range(91, 131)))
        );
    }
}

/// It would let posts go that nobody has, and call them acknowledged.
#[test]
fn nobody_acknowledges_what_was_not_posted() {
    let mut world = with_liar(2, 1);
    world.post(0, 2);
    let mut lie = claim(0, 1, 1 << 60);
    lie.lowest = Some(lie.next);
    world.say(1, 0, &have(lie));
    world.run_secs(1);
    assert_eq!(world.nodes[0].offences, [(1, Offence::Impossible)]);
    world.post(0, 1);
    let acked = |seq| {
        world.nodes[0]
            .engine
            .acked(&channel(0), Seq::new(seq).expect("not 0"))
    };
    assert_eq!((acked(2), acked(3)), (Some(1), Some(0)));
}

/// It was on the way when the channel was closed.
#[test]
fn who_acknowledges_on_a_channel_that_was_forgotten_does_nothing_wrong() {
    let mut config = Config::default();
    config.history.bytes = 0;
    let mut world = World::new(2, &config, 1);
    world.connect(0, 1);
    world.post(0, 2);
    world.run_secs(1);
    world.close(0);
    assert_eq!(world.nodes[0].engine.closed_names(), 1);
    world.say(1, 0, &have(claim(0, 1, 3)));
    world.run_secs(1);
    assert_eq!(world.nodes[0].offences, []);
    world.nodes[0].engine.logs.audit();
}

/// A number that a node has stays, whatever others say later: nobody is told of it twice.
#[test]
fn nobody_takes_an_acknowledgement_back() {
    let mut world = with_liar(2, 1);
    world.post(0, 3);
    for next in [4, 2] {
        world.say(1, 0, &have(claim(0, 1, next)));
        world.run_secs(1);
        let engine = &mut world.nodes[0].engine;
        let news = engine.poll_acked().map(|(_, seqs)| seqs);
        assert_eq!(news, Some(range(1, 3)).filter(|_| next == 4));
        let last = Seq::new(3).expect("not 0");
        assert_eq!(engine.acked(&channel(0), last), Some(1));
    }
    assert_eq!(world.nodes[0].offences, []);
}

/// Acknowledgements go to whoever is nearest to a sender: nobody is nearer than one link.
#[test]
fn only_the_sender_is_at_the_sender() {
    let mut world = with_liar(3, 2);
    world.post(0, 2);
    world.run_secs(2);
    world.cut(0, 1);
    let mut lie = claim(0, 3, 3);
    lie.hops = 0;
    world.say(2, 1, &have(lie));
    world.run_secs(1);
    assert_eq!(world.nodes[1].offences, [(2, Offence::Impossible)]);
    let log = world.nodes[1].engine.logs.get(&(channel(0), sender(0)));
    assert_eq!(log.expect("it was heard").upstream, None);
}

/// Node `liar` says of every frame that it gives that it was posted an hour earlier.
fn makes_old(world: &mut World, liar: usize) {
    let hour = Duration::from_secs(3_600);
    world.tamper = Box::new(move |from, _, message| match message {
        SyncMessage::Frames(mut frames) if from == liar => {
            frames.frames.iter_mut().for_each(|(age, _)| *age += hour);
            vec![SyncMessage::Frames(frames)]
        }
        message => vec![message],
    });
}

/// A node that came before anything was posted is told that it was posted before that, by one of
/// two that have it.
#[test]
fn a_false_age_does_not_make_a_log_begin_later_than_others_say() {
    for seed in 0..16 {
        let mut world = World::new(4, &Config::default(), seed);
        makes_old(&mut world, 3);
        (0..4).for_each(|a| {
            (0..a)
                .filter(|b| *b != 2 && a != 2)
                .for_each(|b| world.connect(a, b))
        });
        world.run_secs(1);
        world.loss = 0;
        (0..10).for_each(|_| world.post(0, 1));
        world.run_secs(5);
        world.kill(0);
        world.connect(1, 2);
        world.connect(2, 3);
        world.run_secs(10);
        assert_eq!(world.story(2, 0), [Event::Values(range(1, 10))], "{seed}");
    }
}

/// It keeps, and hands on with its age, what it hears of a sender of which it was told that all is
/// older.
#[test]
fn a_false_age_is_not_handed_on_by_whoever_heard_the_sender_itself() {
    let mut world = World::new(4, &Config::default(), 1);
    makes_old(&mut world, 3);
    world.connect(0, 1);
    world.connect(0, 3);
    world.run_secs(1);
    world.loss = 0;
    world.post(0, 1);
    world.run_secs(1);
    world.cut(0, 1);
    world.post(0, 1);
    world.run_secs(1);
    world.connect(1, 3);
    world.run_secs(3);
    assert_eq!(world.story(1, 0), [Event::Values(range(1, 2))]);
    world.connect(0, 1);
    world.run_secs(1);
    world.post(0, 1);
    world.run_secs(100);
    for other in [1, 3] {
        world.cut(0, other);
    }
    world.cut(1, 3);
    world.connect(1, 2);
    world.run_secs(10);
    assert_eq!(world.story(2, 0), [Event::Values(range(1, 3))]);
}

/// All it has is the word of two, one of whom lies; it is asked itself when both are gone.
#[test]
fn of_two_ages_of_the_same_sender_the_younger_counts() {
    for first in [1, 3] {
        let mut world = World::new(5, &Config::default(), 1);
        makes_old(&mut world, 3);
        for who in [1, 3] {
            world.connect(0, who);
        }
        world.run_secs(1);
        world.loss = 0;
        world.post(0, 1);
        world.run_secs(1);
        world.cut(0, 4 - first);
        world.post(0, 1);
        world.run_secs(1);
        world.kill(0);
        // Each has what the other has not told yet.
        world.connect(4 - first, 2);
        world.run_secs(10);
        world.connect(first, 2);
        world.run_secs(10);
        world.kill(1);
        world.kill(3);
        assert_eq!(world.story(2, 0), [Event::Values(range(1, 2))], "{first}");
        world.connect(2, 4);
        world.run_secs(10);
        assert_eq!(world.story(4, 0), [Event::Values(range(1, 2))], "{first}");
    }
}

const HONEST: usize = 3;
const LIAR: usize = HONEST;
/// It is there from the beginning, and connected to nobody before the end.
const LATE: usize = LIAR + 1;

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there are few at a time")]
enum Step {
    Post(usize, usize),
    Pass(u64),
    Connect(usize, usize),
    Cut(usize, usize),
    Loss(usize),
    Lie(usize, SyncMessage),
    /// The liar gives what it has, as an answer to that request, and says how old it is.
    Give(usize, usize, u64, Duration),
}

fn number() -> impl Strategy<Value = Seq> {
    let numbers = prop_oneof![
        6 => 1..40_u64,
        1 => (0..9_u64).prop_map(|n| (1 << 60) + n),
        1 => u64::MAX - 2..=u64::MAX,
    ];
    numbers.prop_map(|n| Seq::new(n).expect("not 0"))
}

fn lie() -> impl Strategy<Value = SyncMessage> {
    let of = || (0..HONEST).prop_map(sender);
    let hops = prop_oneof![0..4_u8, Just(Holding::FAR)];
    let some = || prop::option::of(number());
    let holding = (of(), number(), number(), some(), hops, some(), number());
    let holding = holding.prop_map(|(sender, a, b, due, hops, lowest, begin)| Holding {
        sender,
        oldest: a.min(b),
        next: a.max(b),
        due,
        hops,
        lowest: lowest.map(|lowest| lowest.min(a.max(b))),
        begin,
    });
    let want = (of(), number(), number(), any::<u64>());
    let empty = (of(), number(), 1..30_u64);
    prop_oneof![
        8 => holding.prop_map(have),
        2 => want.prop_map(|(sender, a, b, request)| SyncMessage::Want(Want {
            channel: channel(0),
            sender,
            seqs: SeqRange::new(a.min(b), a.max(b)).expect("in order"),
            request,
        })),
        2 => empty.prop_map(|(sender, upto, request)| SyncMessage::Frames(Frames {
            channel: channel(0),
            sender,
            request,
            upto,
            frames: vec![],
        })),
        1 => Just(SyncMessage::Close(vec![channel(0)])),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let honest = || 0..HONEST;
    prop_oneof![
        8 => (honest(), 1..4_usize).prop_map(|(who, count)| Step::Post(who, count)),
        6 => (0..200_u64).prop_map(Step::Pass),
        1 => (0..4_000_u64).prop_map(Step::Pass),
        2 => (honest(), honest()).prop_map(|(a, b)| Step::Connect(a, b)),
        2 => (honest(), honest()).prop_map(|(a, b)| Step::Cut(a, b)),
        1 => prop_oneof![Just(0), Just(100), 0..100_usize].prop_map(Step::Loss),
        8 => (honest(), lie()).prop_map(|(to, lie)| Step::Lie(to, lie)),
        2 => (honest(), honest(), 1..30_u64, 0..2_000_u64)
            .prop_map(
                |(to, of, request, age)| Step::Give(to, of, request, Duration::from_secs(age))
            ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A peer of all says whatever it likes, of all, all the time.
    #[test]
    fn whatever_a_peer_says_honest_members_get_all_that_honest_members_post(
        steps in prop::collection::vec(step(), 1..80),
        loss in prop_oneof![Just(100), 0..100_usize],
        seed in any::<u32>(),
    ) {
        let mut world = World::new(HONEST + 2, &Config::default(), seed.into());
        world.tamper = Box::new(
            |from, _, message| if from == LIAR { vec![] } else { vec![message] }
        );
        let connect_all = |world: &mut World| {
            (0..=LIAR).for_each(|a| (0..a).for_each(|b| world.connect(a, b)));
        };
        connect_all(&mut world);
        (0..HONEST).for_each(|who| world.post(who, 1));
        world.run_secs(3);
        world.loss = loss;
        for step in &steps {
            match step {
                Step::Post(who, count) => world.post(*who, *count),
                Step::Pass(millis) => world.run(Duration::from_millis(*millis)),
                Step::Connect(a, b) if a != b => world.connect(*a, *b),
                Step::Cut(a, b) if a != b => world.cut(*a, *b),
                Step::Connect(..) | Step::Cut(..) => {}
                Step::Loss(loss) => world.loss = *loss,
                Step::Lie(to, lie) => world.say(LIAR, *to, lie),
                Step::Give(to, of, request, age) => world.give(LIAR, *to, *of, *request, *age),
            }
        }
        connect_all(&mut world);
        world.run_secs(20);
        world.kill(LIAR);
        world.connect(1, LATE);
        world.run_secs(20);
        for of in 0..HONEST {
            let posted = world.posted_between(of, Duration::ZERO, world.now).len() as u64;
            for who in (0..HONEST).chain([LATE]) {
                prop_assert_eq!(
                    world.story(who, of),
                    [Event::Values(range(1, posted))],
                    "{} at {}",
                    of,
                    who,
                );
            }
        }
        for who in 0..HONEST {
            let accused = world.nodes[who].offences.iter().map(|(peer, _)| *peer);
            prop_assert!(accused.into_iter().all(|peer| peer == LIAR));
        }
    }
}
