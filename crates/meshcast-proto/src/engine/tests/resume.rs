//! Reports of the engine to readers that resume where they stopped, perhaps at another member.

use super::{
    super::*,
    fixture::channel,
    range,
    world::{ANSWERS, Event, World, connected, sender},
};
use crate::{log::HistoryLimits, replication::Jitter};

/// Up to where a node has given out each of these.
fn positions(world: &World, who: usize) -> Arc<Positions> {
    let name = channel(0);
    let given_out = world.nodes[who].engine.given_out(&name);
    let read = given_out.filter_map(|(sender, due)| Some((sender.prefix(), due.previous()?)));
    Arc::new(read.collect())
}

fn at(of: usize, read: u64) -> Arc<Positions> {
    let read = Seq::new(read).expect("not zero");
    Arc::new([(sender(of).prefix(), read)].into_iter().collect())
}

fn resume(world: &mut World, who: usize, after: &Arc<Positions>) -> u64 {
    let now = world.clock(who);
    let engine = &mut world.nodes[who].engine;
    let id = engine.handle_resume(&channel(0), after, now);
    world.drain(who);
    id
}

fn brought(world: &World, who: usize, id: u64, of: usize) -> Option<Backlog> {
    let past = world.nodes[who].past.get(&id).expect("it is over");
    past.iter().find(|past| past.sender == sender(of)).cloned()
}

fn due(number: u64, is_doubtful: bool) -> Option<Resumption> {
    let due = Seq::new(number).expect("not zero");
    Some(Resumption {
        gone: None,
        due,
        is_doubtful,
    })
}

/// 0 has posted ten numbers that 1 has heard, and 2 nothing.
fn ten() -> World {
    let mut world = World::new(3, &Config::default(), 1);
    world.loss = 0;
    world.close(2);
    world.connect_all();
    world.run_secs(1);
    for _ in 0..10 {
        world.post(0, 1);
        world.run_secs(1);
    }
    world.run_secs(5);
    world.open(2, Since::Now);
    world.run_secs(1);
    world
}

#[test]
fn a_reader_that_goes_on_is_given_what_follows_and_nothing_below_is_asked_for() {
    for gone in [false, true] {
        let mut world = ten();
        if gone {
            world.kill(0);
        }
        let id = resume(&mut world, 2, &at(0, 7));
        world.run_secs(1);
        let past = brought(&world, 2, id, 0).expect("it is kept");
        assert_eq!((past.kept, past.unfetched), (Some(range(8, 10)), None));
        assert_eq!(past.resumption, due(11, false));
        let oldest = world.nodes[2]
            .engine
            .history()
            .oldest(&channel(0), sender(0));
        assert_eq!(oldest, Seq::new(8));
        // A reader that has read all waits for what follows; a cursor without senders wants all.
        let (all, none) = (
            resume(&mut world, 2, &at(0, 10)),
            resume(&mut world, 2, &Arc::default()),
        );
        world.run_secs(1);
        let past = brought(&world, 2, all, 0).expect("it is named");
        assert_eq!((past.kept, past.resumption), (None, due(11, false)));
        let past = brought(&world, 2, none, 0).expect("it is kept");
        assert_eq!(
            (past.kept, past.resumption),
            (Some(range(1, 10)), due(11, false))
        );
    }
}

#[test]
fn a_thousand_readers_that_go_on_at_once_share_what_is_asked_of_peers() {
    let mut world = ten();
    let before = world.counters(2).requests;
    let ids: Vec<u64> = (0..1_000)
        .map(|n| resume(&mut world, 2, &at(0, 3 + n % 5)))
        .collect();
    world.run_secs(1);
    for (n, id) in (0..).zip(&ids) {
        let past = brought(&world, 2, *id, 0).expect("it is kept");
        assert_eq!(past.kept, Some(range(4 + n % 5, 10)));
    }
    let asked = world.counters(2).requests - before;
    assert!(asked <= 3, "{asked} requests");
    assert_eq!(world.nodes[2].engine.budget().used(), {
        let mut alone = ten();
        resume(&mut alone, 2, &at(0, 3));
        alone.run_secs(1);
        alone.nodes[2].engine.budget().used()
    });
}

#[test]
fn a_number_that_its_sender_has_not_got_to_is_doubtful_and_nothing_is_missing_for_it() {
    let mut world = ten();
    // Of one that is known, of one that is not, and of the node itself.
    let far = Seq::new(1 << 60).expect("not zero");
    let after = [0, 1, 2].map(|of| (sender(of).prefix(), far));
    let after = Arc::new(after.into_iter().collect::<Positions>());
    let requests = world.counters(2).requests;
    let id = resume(&mut world, 2, &after);
    world.run_secs(6);
    let past = brought(&world, 2, id, 0).expect("it is known");
    assert_eq!((past.kept, past.unfetched), (None, None));
    assert_eq!(past.resumption, due((1 << 60) + 1, true));
    assert!(brought(&world, 2, id, 1).is_none());
    // Nobody knows better what it posted itself: nothing.
    let own = brought(&world, 2, id, 2).expect("it knows of itself");
    assert_eq!((own.kept, own.resumption), (None, due(1, false)));
    assert_eq!(world.counters(2).requests, requests);
    world.post(2, 1);
    world.run_secs(1);
    let id = resume(&mut world, 2, &after);
    world.run_secs(6);
    let own = brought(&world, 2, id, 2).expect("it posted");
    assert_eq!((own.kept, own.resumption), (None, due(2, false)));
}

#[test]
fn reports_about_another_member_make_nothing_missing() {
    let mut world = connected(3);
    let lie = Holding {
        sender: sender(5),
        oldest: Seq::new(900_000).expect("not zero"),
        next: Seq::new(1_000_000).expect("not zero"),
        due: Seq::new(1_000_000),
        hops: 1,
        lowest: None,
        begin: Seq::FIRST,
    };
    let (channel, logs) = (channel(0), vec![lie]);
    let answer = Some(ANSWERS);
    let lie = Holdings {
        channel,
        answer,
        logs,
    };
    world.say(1, 2, &SyncMessage::Have(vec![lie]));
    world.run_secs(1);
    let id = resume(&mut world, 2, &at(5, 10));
    world.run_secs(6);
    let past = brought(&world, 2, id, 5).expect("somebody knows of it");
    assert!(past.member.is_none() && past.kept.is_none());
    assert_eq!(past.resumption, due(11, true));
}

#[test]
fn a_node_that_has_just_started_waits_for_its_peers() {
    let mut world = World::new(3, &Config::default(), 1);
    world.loss = 0;
    world.close(2);
    world.connect(0, 1);
    world.run_secs(1);
    for _ in 0..10 {
        world.post(0, 1);
        world.run_secs(1);
    }
    world.open(2, Since::Now);
    let now = world.clock(2);
    world.nodes[2].engine.handle_expecting(true, now);
    world.drain(2);
    let id = resume(&mut world, 2, &at(0, 4));
    world.run_secs(2);
    assert!(world.nodes[2].past.is_empty(), "nobody has said anything");
    world.connect(1, 2);
    let now = world.clock(2);
    world.nodes[2].engine.handle_expecting(false, now);
    world.drain(2);
    world.run_secs(1);
    let past = brought(&world, 2, id, 0).expect("it is kept");
    let kept = past.kept.expect("some of it");
    assert_eq!(kept.first(), Seq::new(5).expect("not zero"));
    // Messages posted right before the channel was opened are delivered as they come.
    let live = world.seen(2, 0).first().map(Event::seqs);
    assert!(live.is_none_or(|live| live.first() <= kept.last().next()));
}

/// The reference: whoever goes on is given of each sender what anybody keeps who is connected, from
/// the number that is due or the lowest that is kept, and live delivery goes on there.
#[test]
fn whoever_goes_on_at_another_member_misses_what_nobody_keeps_and_nothing_else() {
    for seed in 1..=80 {
        let mut chance = Jitter::new(seed);
        let config = Config {
            history: HistoryLimits {
                age: Duration::from_secs(20 + 10 * chance.index(4) as u64),
                ..Config::default().history
            },
            ..Config::default()
        };
        let mut world = World::new(4, &config, seed);
        world.loss = chance.index(60);
        let late = 3;
        world.close(late);
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            world.connect(a, b);
        }
        world.run_secs(5);
        let some_posts = |world: &mut World, chance: &mut Jitter| {
            for _ in 0..chance.index(10) {
                world.post(chance.index(3), 1);
                world.run(Duration::from_millis(chance.index(2_000) as u64));
            }
        };
        some_posts(&mut world, &mut chance);
        let after = positions(&world, chance.index(3));
        some_posts(&mut world, &mut chance);
        world.run_secs(5);
        let gone = chance.index(3);
        if chance.index(3) > 0 {
            world.kill(gone);
        }
        world.open(late, Since::Now);
        let friends = 1 + chance.index(3);
        (0..friends).for_each(|friend| world.connect(friend, late));
        world.run(Duration::from_millis(chance.index(400) as u64));
        let keepers = |world: &World, of: usize| {
            let keeps = |who: &usize| world.is_connected(*who, late);
            let keepers = (0..3).filter(keeps).filter_map(|who| {
                let history = world.nodes[who].engine.history();
                let (name, all) = (channel(0), range(1, 1_000));
                let first = history.oldest(&name, sender(of))?;
                let newest = history.frames(&name, sender(of), all).last()?.seqs.last();
                Some((first, newest))
            });
            keepers.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        };
        // What is kept grows old meanwhile.
        let kept_before = [0, 1, 2].map(|of| keepers(&world, of));
        let id = resume(&mut world, late, &after);
        world.run_secs(2);
        for (of, kept_before) in kept_before.into_iter().enumerate() {
            let context = format!("seed {seed}: {of}");
            let Some((first, newest)) = kept_before else {
                continue;
            };
            let later = keepers(&world, of).map_or_else(|| newest.next(), |(first, _)| first);
            let (named, read) = (after.due(sender(of)), after.read(sender(of)));
            let live = world.seen(late, of).first().map(Event::seqs);
            let Some(past) = brought(&world, late, id, of) else {
                let live = live.expect("it is kept, so it is heard");
                assert!(live.first() <= named.max(later), "{context}");
                continue;
            };
            assert_eq!(past.unfetched, None, "{context}");
            let resumption = past.resumption.expect("it is named or kept");
            if newest < named {
                assert_eq!((past.kept, resumption.due), (None, named), "{context}");
                continue;
            }
            let from = past.kept.map_or(resumption.due, |kept| kept.first());
            assert!(
                named.max(first) <= from && from <= named.max(later),
                "{context}"
            );
            // The ranges that were read, are gone, are kept and are due follow on each other.
            let gone = resumption.gone.map_or(named, |gone| {
                assert_eq!(Some(gone.first()), read.map(Seq::next), "{context}");
                gone.last().next()
            });
            assert!(read.is_none() || gone == from, "{context}");
            if let Some(kept) = past.kept {
                assert_eq!(resumption.due, kept.last().next(), "{context}");
            }
            assert!(
                live.is_none_or(|live| live.first() <= resumption.due),
                "{context}"
            );
        }
    }
}
