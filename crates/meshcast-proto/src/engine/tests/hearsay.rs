//! What one says of another: of use where it is true, and harmless where it is not.

use super::{
    super::*,
    fixture::channel,
    range,
    world::{Event, LATENCY, World, connected, sender},
};

/// What a liar says of a sender: that it has these numbers, up to before `next`.
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
        flows: vec![holding],
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
    world.run_secs(1);
    world
}

/// When each number of a sender came to somebody, as it is looked every few milliseconds.
fn arrivals(world: &mut World, who: usize, of: usize, posts: usize, every: Duration) -> Vec<Duration> {
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

/// Three that are all connected; nobody passes anything on. The link from the sender to one of them is cut without
/// either end taking notice: that one is told by the third what it lacks, and asks it.
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
        let cut = arrivals(&mut world, 1, 0, 40, every);
        // Half a second until the third tells, the time copies may race, and four ways.
        let most = Duration::from_millis(500 + 80 + 10) + LATENCY * 4;
        assert!(cut.iter().all(|took| *took <= most), "{every:?}: {cut:?}");
        assert_eq!(world.counters(1).gaps, 0);
    }
}

/// A link that works is not called dead by what others say while its sender is only told of later.
#[test]
fn what_others_say_is_not_asked_for_while_the_sender_itself_speaks() {
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

/// The last frame of a sender that is gone is known to one that does not keep it, and says so: nobody can know
/// whether it ever was.
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
