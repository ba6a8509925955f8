//! Reports of the engine on earlier messages.

use super::{
    super::*,
    fixture::channel,
    peer, range,
    repairing::keeps_frames,
    world::{ANSWERS, Event, LATENCY, World, connected, sender},
};
use crate::bounds::Payer;

fn backlog(world: &World, who: usize, of: usize, since: Since) -> Option<SeqRange> {
    let (engine, now) = (&world.nodes[who].engine, world.clock(who));
    let name = channel(0);
    let mut before = engine
        .given_out(&name)
        .filter(|(its, _)| *its == sender(of));
    let (_, before) = before.next()?;
    let (from, last) = since.at(now);
    engine
        .history()
        .backlog(&channel(0), sender(of), before, from, last)
}

fn look_back(world: &mut World, who: usize, since: Since) -> u64 {
    let now = world.clock(who);
    let engine = &mut world.nodes[who].engine;
    let id = engine.handle_backfill(&channel(0), since, now);
    world.drain(who);
    id
}

/// The result of a backfill of a sender: what is kept, and what could not be fetched.
fn brought(
    world: &World,
    who: usize,
    id: u64,
    of: usize,
) -> Option<(Option<SeqRange>, Option<SeqRange>)> {
    let past = world.nodes[who].past.get(&id)?;
    let past = past.iter().find(|past| past.sender == sender(of));
    Some(past.map_or((None, None), |past| (past.kept, past.unfetched)))
}

/// 0 has posted frames of one number every second, of which 1 has heard all, and 2 those after
/// `before`.
fn late(before: usize, after: usize, config: &Config) -> World {
    let mut world = World::new(3, config, 1);
    world.loss = 0;
    world.close(2);
    world.connect_all();
    world.run_secs(1);
    for posted in 0..before + after {
        if posted == before {
            world.run_secs(2);
            world.open(2, Since::Now);
            world.run_secs(1);
        }
        world.post(0, 1);
        world.run_secs(1);
    }
    world
}

#[test]
fn kept_deliveries_are_the_backfill_of_a_late_reader() {
    let mut world = connected(2);
    world.loss = 0;
    assert_eq!(backlog(&world, 1, 0, Since::Last(9)), None, "nobody posted");
    for _ in 0..4 {
        world.post(0, 2);
        world.run_secs(10);
    }
    for who in 0..2 {
        assert_eq!(backlog(&world, who, 0, Since::Now), None);
        assert_eq!(backlog(&world, who, 0, Since::Last(3)), Some(range(6, 8)));
        assert_eq!(
            backlog(&world, who, 0, Since::Ago(Duration::from_secs(25))),
            Some(range(5, 8))
        );
    }
    let engine = &world.nodes[1].engine;
    let recall = engine.recall(&channel(0), &peer(0).member, range(3, 8), 1);
    assert_eq!(recall.upto.get(), 4, "a frame at a time");
    world.run_secs(585);
    assert_eq!(
        backlog(&world, 1, 0, Since::Last(9)),
        Some(range(7, 8)),
        "the others are too old"
    );
}

#[test]
fn only_a_channel_on_which_nobody_was_heard_can_be_made_to_begin_earlier() {
    let mut world = World::new(2, &Config::default(), 1);
    world.loss = 0;
    world.post(0, 5);
    world.run_secs(10);
    world.close(1);
    world.open(1, Since::Now);
    world.open(1, Since::Last(2));
    world.connect(0, 1);
    world.run_secs(2);
    assert_eq!(world.story(1, 0), [Event::Values(range(4, 5))]);
    let said = world.said;
    world.open(1, Since::Last(5));
    world.run_secs(2);
    assert_eq!(
        (world.said, world.story(1, 0)),
        (said, vec![Event::Values(range(4, 5))])
    );
}

/// As whoever holds the channel does: it opens it with what it wants from before, and looks back
/// for the object.
#[test]
fn whoever_opens_a_channel_with_the_last_messages_is_given_so_many_and_no_more() {
    for is_connected in [true, false] {
        for last in [1, 3, 20] {
            let mut world = World::new(3, &Config::default(), 1);
            world.loss = 0;
            world.close(2);
            world.connect(0, 1);
            if is_connected {
                world.connect_all();
            }
            for _ in 0..12 {
                world.post(0, 1);
                world.run_secs(1);
            }
            world.run_secs(10);
            world.open(2, Since::Last(last));
            expect(&mut world, 2, !is_connected);
            let id = look_back(&mut world, 2, Since::Last(last));
            world.connect_all();
            expect(&mut world, 2, false);
            world.run_secs(8);
            let (kept, unfetched) = brought(&world, 2, id, 0).expect("it is over");
            assert_eq!(unfetched, None);
            let all = [range(13_u64.saturating_sub(last).max(1), 12)];
            let mut given: Vec<_> = kept.into_iter().collect();
            for event in world.story(2, 0) {
                assert!(matches!(event, Event::Values(_)));
                match given.last_mut() {
                    Some(before) if before.touches(event.seqs()) => {
                        *before = before.hull(event.seqs())
                    }
                    _ => given.push(event.seqs()),
                }
            }
            assert_eq!(given, all, "{is_connected} {last}");
            // The next one is given what it asks for, of what was fetched or has yet to be.
            let id = look_back(&mut world, 2, Since::Last(5));
            world.run_secs(8);
            let five = (Some(range(8, 12)), None);
            assert_eq!(
                brought(&world, 2, id, 0),
                Some(five),
                "{is_connected} {last}"
            );
        }
    }
}

#[test]
fn who_opened_the_channel_after_a_post_does_not_answer_for_it() {
    let mut world = connected(3);
    world.loss = 0;
    world.close(2);
    world.post(0, 1);
    world.run_secs(1);
    world.open(2, Since::Now);
    world.run_secs(1);
    world.post(0, 1);
    world.run_secs(1);
    let acked = |world: &World, n| world.nodes[0].engine.acked(&channel(0), Seq::new(n)?);
    assert_eq!(
        (acked(&world, 1), acked(&world, 2), acked(&world, 3)),
        (Some(1), Some(2), None)
    );
    world.cut(0, 1);
    assert_eq!(acked(&world, 1), Some(0));
    world.run_secs(700);
    assert_eq!(acked(&world, 2), None, "it is not kept any more");
}

#[test]
fn whoever_comes_late_to_an_open_channel_gets_what_peers_keep() {
    for sender_is_gone in [false, true] {
        let mut world = late(30, 10, &Config::default());
        if sender_is_gone {
            world.kill(0);
            world.run_secs(1);
        }
        let heard = backlog(&world, 2, 0, Since::Last(1_000)).expect("it heard the last");
        assert_eq!((heard.first().get() > 25, heard.last().get()), (true, 40));
        let (story, accepted) = (world.story(2, 0), world.counters(2).frames_accepted);
        look_back(&mut world, 2, Since::Last(30));
        world.run_secs(1);
        assert_eq!(world.nodes[2].backfilled, 1);
        assert_eq!(backlog(&world, 2, 0, Since::Last(30)), Some(range(11, 40)));
        let fetched = world.counters(2).frames_accepted - accepted;
        assert_eq!(
            fetched,
            heard.first().get() - 11,
            "no more than was asked for"
        );
        // By time somewhat more may come, and all that was asked for.
        look_back(&mut world, 2, Since::Ago(Duration::from_secs(39)));
        world.run_secs(1);
        let by_time = backlog(&world, 2, 0, Since::Ago(Duration::from_secs(39))).expect("some");
        assert!((3..=8).contains(&by_time.first().get()), "{by_time}");
        look_back(&mut world, 2, Since::Ago(Duration::from_secs(500)));
        world.run_secs(1);
        assert_eq!(
            backlog(&world, 2, 0, Since::Last(1_000)),
            Some(range(1, 40))
        );
        assert_eq!(world.nodes[2].backfilled, 3);
        assert_eq!(
            world.story(2, 0),
            story,
            "who was there before hears nothing of it"
        );
        world.run_secs(2);
        if !sender_is_gone {
            world.expect_rest();
        }
    }
}

#[test]
fn a_backfill_asks_nobody_if_this_node_has_all() {
    let mut world = connected(3);
    world.loss = 0;
    look_back(&mut world, 1, Since::Last(9));
    assert_eq!(world.nodes[1].backfilled, 1, "nobody posted");
    (0..5).for_each(|_| world.post(0, 1));
    world.run_secs(3);
    let said = world.said;
    for since in [
        Since::Now,
        Since::Last(3),
        Since::Last(9),
        Since::Ago(Duration::from_secs(60)),
    ] {
        look_back(&mut world, 1, since);
    }
    assert_eq!((world.nodes[1].backfilled, world.said), (5, said));
}

/// 1 has heard the fourth number of 0, and lacks those before.
fn behind() -> World {
    let mut world = connected(2);
    world.loss = 100;
    world.post(0, 3);
    world.loss = 0;
    world.post(0, 1);
    world.run(LATENCY + Duration::from_millis(1));
    assert_eq!(world.story(1, 0), []);
    world
}

/// The time that a backfill takes.
fn lasts(world: &mut World, who: usize, id: u64) -> Duration {
    let begun = world.now;
    while !world.nodes[who].past.contains_key(&id) {
        world.run(Duration::from_millis(1));
        assert!(world.now < begun + Duration::from_secs(10), "it is over");
    }
    world.now - begun
}

#[test]
fn known_posts_come_before_a_backfill_is_over() {
    for since in [ALL, MINUTES] {
        let mut world = behind();
        let id = look_back(&mut world, 1, since);
        lasts(&mut world, 1, id);
        assert_eq!(world.story(1, 0), [Event::Values(range(1, 4))]);
    }
}

#[test]
fn missing_frames_hold_up_a_backfill_for_a_second() {
    let mut world = behind();
    world.kill(0);
    let id = look_back(&mut world, 1, ALL);
    assert_eq!(lasts(&mut world, 1, id), Duration::from_secs(1));
    assert_eq!(world.story(1, 0), []);
    // Nobody waits for messages of those who have not come yet.
    let mut world = behind();
    let id = look_back(&mut world, 1, ALL);
    let end = world.now + Duration::from_millis(950);
    while world.now < end {
        world.post(0, 1);
        world.run(Duration::from_millis(20));
    }
    assert!(world.nodes[1].past.contains_key(&id));
}

#[test]
fn a_backfill_waits_for_silent_peers_and_missing_frames_for_five_seconds() {
    let mut world = late(30, 10, &Config::default());
    world.tamper = Box::new(|_, to, message| match message {
        SyncMessage::Frames(_) if to == 2 => vec![],
        message => vec![message],
    });
    look_back(&mut world, 2, Since::Last(30));
    world.run(Duration::from_millis(4_900));
    assert_eq!(world.nodes[2].backfilled, 0);
    // A peer that comes meanwhile has as long.
    let later = look_back(&mut world, 2, Since::Last(35));
    world.run(Duration::from_millis(100));
    assert_eq!(world.nodes[2].backfilled, 1);
    world.run(Duration::from_millis(4_800));
    assert_eq!(world.nodes[2].backfilled, 1);
    world.run(Duration::from_millis(100));
    assert_eq!(world.nodes[2].backfilled, 2);
    let (kept, unfetched) = brought(&world, 2, later, 0).expect("it ended");
    let kept = kept.expect("it heard the last");
    let told = Some(range(6, kept.first().get() - 1));
    assert_eq!(
        (kept.last().get(), unfetched),
        (40, told),
        "others say that they keep it"
    );
    world.tamper = Box::new(|_, _, message| vec![message]);
    world.run_secs(10);
    let id = look_back(&mut world, 2, Since::Last(30));
    world.run_secs(1);
    assert_eq!(brought(&world, 2, id, 0), Some((Some(range(11, 40)), None)));
    assert_eq!(backlog(&world, 2, 0, Since::Last(30)), Some(range(11, 40)));
    // Alone it has nobody to ask.
    for other in 0..2 {
        world.cut(other, 2);
    }
    look_back(&mut world, 2, Since::Last(40));
    assert_eq!(world.nodes[2].backfilled, 4);
    assert_eq!(backlog(&world, 2, 0, Since::Last(40)), Some(range(11, 40)));
}

const ALL: Since = Since::Last(10);
const MINUTES: Since = Since::Ago(Duration::from_secs(120));

/// 0 has posted three and died, 1 has posted one; 1 and 2 are connected and keep all four. Others
/// came since.
fn kept_by_two(nodes: usize) -> World {
    let mut world = World::new(nodes, &Config::default(), 1);
    world.loss = 0;
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.connect(a, b);
    }
    world.run_secs(5);
    for _ in 0..3 {
        world.post(0, 1);
        world.run_secs(1);
    }
    world.kill(0);
    world.run_secs(1);
    world.post(1, 1);
    world.run_secs(10);
    world.expect_everything_at(&[1, 2]);
    for late in 3..nodes {
        world.close(late);
        world.open(late, Since::Now);
    }
    world
}

fn expect(world: &mut World, who: usize, expecting: bool) {
    let now = world.clock(who);
    world.nodes[who].engine.handle_expecting(expecting, now);
    world.drain(who);
}

/// It brought all that [`kept_by_two`] keep.
#[track_caller]
fn assert_all(world: &World, who: usize, id: u64) {
    let all = |last| Some((Some(range(1, last)), None));
    assert_eq!(
        (brought(world, who, id, 0), brought(world, who, id, 1)),
        (all(3), all(1))
    );
}

#[test]
fn a_backfill_waits_for_peers_that_have_not_told() {
    for since in [ALL, MINUTES] {
        for (already, both) in [
            (0, false),
            (0, true),
            (20, false),
            (45, true),
            (70, true),
            (500, false),
        ] {
            let mut world = kept_by_two(4);
            world.connect(2, 3);
            if both {
                world.connect(1, 3);
            }
            // Before it is told, before what it asks is answered, or after.
            world.run(Duration::from_millis(already));
            let id = look_back(&mut world, 3, since);
            world.run(Duration::from_millis(500));
            assert_all(&world, 3, id);
            assert_eq!(world.story(3, 0), [], "nobody else asked for it");
        }
    }
}

#[test]
fn a_backfill_waits_for_late_reports_and_five_seconds_for_missing_ones() {
    use std::{cell::RefCell, rc::Rc};
    for late in [true, false] {
        let mut world = kept_by_two(4);
        world.connect(1, 2);
        let held = Rc::new(RefCell::new(Vec::new()));
        let hold = Rc::clone(&held);
        world.tamper = Box::new(move |from, to, message| match message {
            SyncMessage::Have(_) if (from, to) == (2, 3) => {
                hold.borrow_mut().push(message);
                vec![]
            }
            message => vec![message],
        });
        world.connect(2, 3);
        let id = look_back(&mut world, 3, ALL);
        world.run_secs(3);
        assert_eq!(brought(&world, 3, id, 0), None);
        world.tamper = Box::new(|_, _, message| vec![message]);
        if late {
            let held = std::mem::take(&mut *held.borrow_mut());
            held.iter().for_each(|message| world.say(2, 3, message));
            world.run(Duration::from_millis(500));
            assert_all(&world, 3, id);
        } else {
            world.run(Duration::from_millis(1_999));
            assert_eq!(brought(&world, 3, id, 0), None);
            world.run(Duration::from_millis(1));
            assert_eq!(brought(&world, 3, id, 0), Some((None, None)));
        }
    }
}

/// A channel of more logs than one message tells of.
#[test]
fn who_is_told_in_parts_looks_back_until_the_last() {
    use std::{cell::RefCell, rc::Rc};
    let mut world = kept_by_two(4);
    let held = Rc::new(RefCell::new(Vec::new()));
    let hold = Rc::clone(&held);
    world.tamper = Box::new(move |from, to, message| match message {
        SyncMessage::Have(whole) if (from, to) == (2, 3) => {
            let part = |holdings: &Holdings| Holdings {
                answer: holdings.answer.map(|answer| Answer {
                    more: true,
                    ..answer
                }),
                logs: holdings.logs[..1].to_vec(),
                ..holdings.clone()
            };
            let first = SyncMessage::Have(whole.iter().map(part).collect());
            hold.borrow_mut().push(SyncMessage::Have(whole));
            vec![first]
        }
        message => vec![message],
    });
    world.connect(2, 3);
    let id = look_back(&mut world, 3, ALL);
    world.run_secs(3);
    assert_eq!(brought(&world, 3, id, 0), None);
    world.tamper = Box::new(|_, _, message| vec![message]);
    let held = std::mem::take(&mut *held.borrow_mut());
    held.iter().for_each(|message| world.say(2, 3, message));
    world.run(Duration::from_millis(500));
    assert_all(&world, 3, id);
}

#[test]
fn a_late_reader_without_peers_waits_for_those_expected() {
    // Somebody comes who keeps nothing, and then somebody who keeps all.
    let mut world = kept_by_two(5);
    expect(&mut world, 3, true);
    let id = look_back(&mut world, 3, ALL);
    world.run_secs(1);
    world.connect(3, 4);
    world.run_secs(1);
    assert_eq!(brought(&world, 3, id, 0), None);
    world.connect(1, 3);
    expect(&mut world, 3, false);
    world.run(Duration::from_millis(500));
    assert_all(&world, 3, id);
    // Nobody comes, and nobody is expected any longer; or still is.
    for (given_up, ends) in [(true, 2_000), (false, 5_000)] {
        let mut world = kept_by_two(4);
        expect(&mut world, 3, true);
        let id = look_back(&mut world, 3, ALL);
        world.run(Duration::from_millis(ends - 1));
        assert_eq!(brought(&world, 3, id, 0), None);
        if given_up {
            expect(&mut world, 3, false);
        } else {
            world.run(Duration::from_millis(1));
        }
        assert_eq!(brought(&world, 3, id, 0), Some((None, None)));
        let id = look_back(&mut world, 3, ALL);
        assert_eq!(brought(&world, 3, id, 0).is_some(), given_up);
    }
}

#[test]
fn claims_that_peers_do_not_honour_are_named() {
    for since in [ALL, MINUTES] {
        let mut world = kept_by_two(4);
        world.tamper = Box::new(|_, to, message| match message {
            SyncMessage::Frames(_) if to == 3 => vec![],
            message => vec![message],
        });
        world.connect(2, 3);
        let id = look_back(&mut world, 3, since);
        world.run_secs(5);
        assert_eq!(brought(&world, 3, id, 0), Some((None, Some(range(1, 3)))));
    }
    // Numbers that they deny when they are asked are lost, and were wanted as far as they are kept.
    let mut world = kept_by_two(4);
    world.tamper = Box::new(|_, to, message| match message {
        SyncMessage::Frames(frames) if to == 3 => {
            vec![SyncMessage::Frames(Frames {
                frames: vec![],
                ..frames
            })]
        }
        message => vec![message],
    });
    world.connect(2, 3);
    let id = look_back(&mut world, 3, ALL);
    world.run_secs(1);
    assert_eq!(brought(&world, 3, id, 0), Some((None, None)));
}

/// A sender that is connected and says nothing does not keep others from telling what was before.
#[test]
fn frames_of_a_silent_sender_come_from_others() {
    let mut world = World::new(4, &Config::default(), 1);
    world.loss = 0;
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.connect(a, b);
    }
    world.run_secs(1);
    (0..3).for_each(|_| world.post(0, 1));
    world.run_secs(2);
    world.close(3);
    world.open(3, Since::Now);
    world.tamper = Box::new(|from, to, message| {
        if (from, to) == (0, 3) {
            vec![]
        } else {
            vec![message]
        }
    });
    for other in 0..3 {
        world.connect(other, 3);
    }
    let id = look_back(&mut world, 3, ALL);
    world.run_secs(5);
    assert_eq!(brought(&world, 3, id, 0), Some((Some(range(1, 3)), None)));
    // It goes on, and nothing is missing in between.
    world.tamper = Box::new(|_, _, message| vec![message]);
    world.post(0, 1);
    world.run_secs(5);
    assert_eq!(world.story(3, 0), [Event::Values(range(4, 4))]);
}

/// A peer that began where the sender was then does not know what was before; one that comes later
/// does. A late reader hears all of it once, be it from before or because it was due.
#[test]
fn a_late_reader_hears_nothing_twice_if_a_log_begins_lower_after_all() {
    let mut world = World::new(4, &Config::default(), 1);
    world.loss = 0;
    world.close(3);
    world.connect(0, 1);
    world.run_secs(1);
    (0..3).for_each(|_| world.post(0, 1));
    world.run_secs(1);
    // 3 is there while 4 and 5 are posted, but nobody tells it.
    world.open(3, Since::Now);
    world.run_secs(1);
    (0..2).for_each(|_| world.post(0, 1));
    world.run_secs(1);
    // 2 begins after that.
    world.close(2);
    world.connect(0, 2);
    world.run(Duration::from_millis(100));
    world.open(2, Since::Now);
    world.run_secs(1);
    world.kill(0);
    world.run_secs(5);
    world.connect(2, 3);
    let id = look_back(&mut world, 3, Since::Last(1));
    world.run_secs(1);
    assert!(brought(&world, 3, id, 0).is_some(), "2 has told");
    world.connect(1, 3);
    world.run_secs(5);
    let from = world.nodes[3].past[&id].iter().find_map(|past| past.from);
    let due = world
        .seen(3, 0)
        .iter()
        .filter(|event| from.is_none_or(|from| from <= event.seqs().first()));
    assert!(due.count() <= 2, "{from:?} {:?}", world.seen(3, 0));
    assert_eq!(world.story(3, 0), [Event::Values(range(4, 5))]);
}

#[test]
fn a_channel_that_is_closed_is_looked_back_at_no_longer() {
    let mut world = late(30, 10, &Config::default());
    look_back(&mut world, 2, Since::Last(30));
    assert_eq!(world.nodes[2].backfilled, 0);
    world.close(2);
    assert_eq!(world.nodes[2].backfilled, 1);
    world.run_secs(8);
    world.nodes[2].engine.logs.audit();
}

/// A process may open a channel as often as it likes.
#[test]
fn whoever_looks_back_without_room_to_wait_is_given_at_once_what_is_here() {
    let mut world = late(30, 10, &Config::default());
    let budget = world.nodes[2].engine.budget().clone();
    let waits = look_back(&mut world, 2, Since::Last(30));
    assert!(budget.statement(Payer::Ourselves).used > 0);
    let rest = budget.room(Payer::Ourselves);
    budget.charge(Payer::Ourselves, rest);
    let at_once = look_back(&mut world, 2, Since::Last(30));
    let (kept, unfetched) = brought(&world, 2, at_once, 0).expect("it does not wait");
    assert_eq!(kept.map(|kept| kept.last().get()), Some(40));
    assert_eq!(unfetched.map(|unfetched| unfetched.first().get()), Some(11));
    assert_eq!(brought(&world, 2, waits, 0), None);
    budget.release(Payer::Ourselves, rest);
    world.run_secs(1);
    let all = Some((Some(range(11, 40)), None));
    assert_eq!(brought(&world, 2, waits, 0), all);
    assert_eq!(budget.statement(Payer::Ourselves).used, 0);
    // Nor does a channel that is closed leave anything behind.
    look_back(&mut world, 2, Since::Last(40));
    world.close(2);
    assert_eq!(budget.statement(Payer::Ourselves).used, 0);
}

#[test]
fn backfill_evicts_nothing_from_the_history() {
    let mut config = Config::default();
    config.history.bytes = 1024;
    let mut world = late(30, 10, &config);
    let before = backlog(&world, 2, 0, Since::Last(30));
    look_back(&mut world, 2, Since::Last(30));
    world.run_secs(1);
    assert_eq!(world.nodes[2].backfilled, 1);
    assert_eq!(backlog(&world, 2, 0, Since::Last(30)), before);
}

#[test]
fn an_answer_that_brings_something_else_is_not_kept() {
    let mut world = late(30, 10, &Config::default());
    let (kept, name) = (world.nodes[0].engine.history(), channel(0));
    let kept = kept.frames(&name, sender(0), range(1, 5));
    let other: Vec<_> = kept
        .map(|kept| (Duration::ZERO, kept.bytes.clone()))
        .collect();
    assert_eq!(other.len(), 5);
    world.tamper = Box::new(move |from, to, message| match message {
        // Node 1 gives what it was not asked for.
        SyncMessage::Frames(frames) if (from, to) == (1, 2) => {
            let frames = Frames {
                frames: other.clone(),
                ..frames
            };
            vec![SyncMessage::Frames(frames)]
        }
        SyncMessage::Frames(_) if to == 2 => vec![],
        message => vec![message],
    });
    let lowest = |world: &World| {
        world.nodes[2]
            .engine
            .history()
            .oldest(&channel(0), sender(0))
    };
    let before = lowest(&world);
    look_back(&mut world, 2, Since::Last(30));
    world.run_secs(6);
    assert_eq!((world.nodes[2].backfilled, lowest(&world)), (1, before));
}

#[test]
fn of_a_sender_that_said_nothing_since_the_channel_was_opened_the_last_is_heard_too() {
    // Whether it is gone by then, and whether since before the channel was opened.
    for gone in [None, Some(false), Some(true)] {
        let mut world = late(10, 0, &Config::default());
        if gone == Some(true) {
            world.kill(0);
        }
        world.post(1, 1);
        world.open(2, Since::Now);
        world.run_secs(5);
        if gone == Some(false) {
            world.kill(0);
            world.run_secs(1);
        }
        world.post(1, 1);
        world.run_secs(5);
        assert_eq!(world.story(2, 0), []);
        look_back(&mut world, 2, Since::Last(4));
        world.run_secs(1);
        assert_eq!(
            backlog(&world, 2, 0, Since::Last(4)),
            Some(range(7, 10)),
            "{gone:?}"
        );
        if gone.is_none() {
            world.post(0, 1);
            world.run_secs(1);
            assert_eq!(world.story(2, 0), [Event::Values(range(11, 11))]);
        }
    }
}

/// Backfill that a reader was given must not come again as something new.
#[test]
fn a_beginning_stands_once_somebody_was_given_what_is_before_it() {
    let mut world = late(10, 0, &Config::default());
    world.open(2, Since::Now);
    world.run_secs(5);
    look_back(&mut world, 2, Since::Last(4));
    world.run_secs(1);
    let begun = |world: &World| {
        let (_, replica) = world.nodes[2]
            .engine
            .logs
            .of(&channel(0))
            .find(|(it, _)| *it == sender(0))?;
        replica.log.begun()
    };
    assert_eq!(begun(&world).map(Seq::get), Some(11));
    world.kill(0);
    let lower = Holding {
        sender: sender(0),
        oldest: Seq::FIRST,
        next: Seq::new(11).expect("not 0"),
        due: Seq::new(5),
        hops: Holding::FAR,
        lowest: None,
        begin: Seq::FIRST,
    };
    let (channel, logs) = (channel(0), vec![lower]);
    world.say(
        1,
        2,
        &SyncMessage::Have(vec![Holdings {
            channel,
            answer: Some(ANSWERS),
            logs,
        }]),
    );
    world.run_secs(1);
    assert_eq!(begun(&world).map(Seq::get), Some(11));
    assert_eq!(world.story(2, 0), []);
}

/// The reference: who comes late and looks back, before or after it is connected, hears of each
/// sender the last it asked for that anybody keeps who is connected to it by then, once and without
/// a hole.
#[test]
fn whoever_looks_back_hears_what_those_keep_that_it_is_connected_to() {
    for seed in 1..=60 {
        let mut chance = crate::replication::Jitter::new(seed);
        let mut world = World::new(5, &Config::default(), seed);
        world.loss = chance.index(60);
        let late = 4;
        world.close(late);
        for (a, b) in [(0, 1), (1, 2), (2, 3), (0, 2)] {
            world.connect(a, b);
        }
        world.run_secs(5);
        for _ in 0..1 + chance.index(12) {
            let who = chance.index(4);
            world.post(who, 1 + chance.index(3));
            world.run(Duration::from_millis(chance.index(2_000) as u64));
        }
        world.run_secs(20);
        let gone = chance.index(4);
        if chance.index(3) > 0 {
            world.kill(gone);
            world.run(Duration::from_millis(chance.index(4_000) as u64));
        }
        let last = 1 + chance.index(20) as u64;
        let moment = |chance: &mut crate::replication::Jitter| {
            Duration::from_millis(chance.index(400) as u64)
        };
        world.open(late, Since::Now);
        world.run(moment(&mut chance));
        expect(&mut world, late, true);
        let (before, friends) = (chance.index(3), 1 + chance.index(3));
        let mut id = None;
        for (nth, friend) in [3, 1, 2, 0].into_iter().take(friends).enumerate() {
            if nth == before {
                id = Some(look_back(&mut world, late, Since::Last(last)));
            }
            world.connect(friend, late);
            world.run(moment(&mut chance));
        }
        let id = id.unwrap_or_else(|| look_back(&mut world, late, Since::Last(last)));
        expect(&mut world, late, false);
        world.run_secs(5);
        for of in 0..4 {
            let keeps = |who: &usize| world.is_connected(*who, late);
            let keepers = (0..4).filter(keeps).filter_map(|who| {
                let history = world.nodes[who].engine.history();
                let (name, all) = (channel(0), range(1, 1_000));
                let first = history.oldest(&name, sender(of))?;
                let newest = history.frames(&name, sender(of), all).last()?.seqs.last();
                Some((first, newest))
            });
            let Some((first, newest)) = keepers.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
                continue;
            };
            // A message posted a moment before it opened may be due anyway.
            let wanted = newest.get().saturating_sub(last - 1).max(first.get());
            let (kept, unfetched) = brought(&world, late, id, of).expect("it ended");
            assert_eq!(unfetched, None, "seed {seed}: {of}");
            let due = world.seen(late, of);
            let from = kept
                .or_else(|| due.first().map(Event::seqs))
                .map(|seqs| seqs.first().get());
            assert!(
                from.is_some_and(|from| from <= wanted),
                "seed {seed}: {of} {from:?} {wanted}"
            );
            let goes_on = kept.map(|kept| kept.last().next()).zip(due.first());
            assert!(
                goes_on.is_none_or(|(next, due)| due.seqs().first() <= next),
                "seed {seed}: {of}"
            );
            let upto = due.last().map(Event::seqs).or(kept).map(|seqs| seqs.last());
            assert_eq!(upto, Some(newest), "seed {seed}: {of}");
        }
    }
}

/// The report of a backfill on a sender: what is kept, and what nobody keeps any more.
fn kept_and_gone(
    world: &World,
    who: usize,
    id: u64,
    of: usize,
) -> (Option<SeqRange>, Option<SeqRange>) {
    let past = world.nodes[who].past.get(&id).expect("it ended");
    let past = past.iter().find(|past| past.sender == sender(of));
    past.map_or((None, None), |past| {
        assert_eq!(past.unfetched, None);
        (past.kept, past.gone)
    })
}

#[test]
fn of_numbers_that_are_asked_for_those_that_nobody_keeps_are_named() {
    let mut world = World::new(3, &keeps_frames(4), 1);
    world.loss = 0;
    world.connect(0, 1);
    world.run_secs(1);
    for _ in 0..10 {
        world.post(0, 10);
        world.run_secs(10);
    }
    let kept = |world: &World, who| backlog(world, who, 0, Since::Last(1_000)).expect("some");
    for who in [0, 1] {
        let kept = kept(&world, who);
        let (first, end) = (kept.first().get(), kept.last().get());
        assert!(first > 50 && end == 100, "{kept}");
        for (last, gone) in [
            (80, Some(range(21, first - 1))),
            (1_000, Some(range(1, first - 1))),
            (101 - first, None),
            (3, None),
        ] {
            let id = look_back(&mut world, who, Since::Last(last));
            world.run(LATENCY * 4);
            let (kept, is_gone) = kept_and_gone(&world, who, id, 0);
            assert_eq!(is_gone, gone, "the last {last} at {who}");
            assert_eq!(kept.map(|kept| kept.last().get()), Some(100));
        }
        // By time: what was posted within it, was here and had to go.
        for (secs, gone) in [(85, Some(range(21, first - 1))), (15, None)] {
            let id = look_back(&mut world, who, Since::Ago(Duration::from_secs(secs)));
            world.run(LATENCY * 4);
            let (kept, is_gone) = kept_and_gone(&world, who, id, 0);
            let near = |gone: Option<SeqRange>| gone.map(|gone| gone.last());
            assert_eq!(near(is_gone), near(gone), "{secs} s at {who}");
            assert_eq!(kept.map(|kept| kept.last().get()), Some(100));
        }
    }

    // One that comes, and has heard nothing before it asks.
    let first = kept(&world, 0).first().get();
    world.close(2);
    world.open(2, Since::Last(80));
    world.connect(0, 2);
    world.connect(1, 2);
    let id = look_back(&mut world, 2, Since::Last(80));
    world.run_secs(6);
    assert_eq!(
        kept_and_gone(&world, 2, id, 0).1,
        Some(range(21, first - 1))
    );
    assert_eq!(world.story(2, 0), [Event::Values(range(first, 100))]);
}

/// A peer that has said nothing in five seconds keeps perhaps something, and is counted.
#[test]
fn a_look_back_says_how_many_members_have_told_nothing_by_then() {
    let mut world = late(3, 3, &Config::default());
    let id = look_back(&mut world, 2, Since::Last(9));
    world.run_secs(6);
    assert_eq!(world.nodes[2].untold.get(&id), Some(&0));
    let mut world = World::new(3, &Config::default(), 1);
    world.loss = 0;
    world.tamper = Box::new(|from, to, message| match message {
        SyncMessage::Have(_) if (from, to) == (1, 2) => vec![],
        message => vec![message],
    });
    world.connect_all();
    world.post(0, 3);
    world.run_secs(1);
    let id = look_back(&mut world, 2, Since::Last(9));
    world.run_secs(6);
    assert_eq!(world.nodes[2].untold.get(&id), Some(&1));
}
