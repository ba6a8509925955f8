//! Beginnings of logs, and what they mean for peers who began earlier.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use super::{
    super::*,
    fixture::{Peer, channel, peer},
    range,
    world::{Event, World, connected, sender},
};
use crate::log::GapReason;

const LOST: GapReason = GapReason::Lost;

/// All hear the second frame, and who posted it is gone before it told of the first.
#[test]
fn a_first_frame_that_everybody_lost_is_a_gap_and_not_silence() {
    let mut config = Config::default();
    config.history.age = Duration::from_secs(20);
    let mut world = World::new(3, &config, 1);
    world.connect_all();
    world.run_secs(1);
    world.post(0, 2);
    world.loss = 0;
    world.post(0, 1);
    world.run(Duration::from_millis(100));
    world.kill(0);
    world.run_secs(30);
    for who in 1..3 {
        let story = [Event::Missed(range(1, 2), LOST), Event::Values(range(3, 3))];
        assert_eq!(world.story(who, 0), story);
    }
    world.expect_rest();
}

#[test]
fn a_first_frame_that_one_has_comes_to_all_who_heard_only_the_second() {
    let mut world = connected(3);
    world.cut(0, 2);
    world.loss = 0;
    world.post(0, 2);
    world.connect(0, 2);
    world.post(0, 1);
    world.run(Duration::from_millis(100));
    world.kill(0);
    world.run_secs(5);
    world.expect_everything();
}

/// Earlier posts are no part of it, also if the sender goes before it could say so.
#[test]
fn a_sender_that_had_posted_before_the_opening_begins_where_it_is_heard() {
    let mut world = connected(2);
    world.close(1);
    world.post(0, 4);
    world.run_secs(20);
    world.cut(0, 1);
    world.open(1, Since::Now);
    world.loss = 0;
    world.tamper = Box::new(|_, _, _| vec![]);
    world.connect(0, 1);
    world.post(0, 1);
    world.run(Duration::from_millis(100));
    world.kill(0);
    world.run_secs(5);
    assert_eq!(world.story(1, 0), [Event::Values(range(5, 5))]);
}

/// A process that gets no processor for seconds answers late, while its frames and other words
/// come.
#[test]
fn a_sender_that_is_there_is_waited_for_to_say_where_it_begins_however_late_it_answers() {
    for late in [1, 4, 10, 18] {
        let mut world = connected(2);
        world.close(1);
        world.post(0, 5);
        world.run_secs(60);
        let (held, kept) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(true)));
        let (hold, keeps) = (Rc::clone(&held), Rc::clone(&kept));
        world.tamper = Box::new(move |from, _, message| match message {
            SyncMessage::Have(_) if from == 0 && keeps.get() => {
                hold.borrow_mut().push(message);
                vec![]
            }
            message => vec![message],
        });
        world.open(1, Since::Now);
        world.run(Duration::from_millis(50));
        // The first that is due is lost on its way.
        world.loss = 100;
        world.post(0, 1);
        world.loss = 0;
        world.post(0, 1);
        for _ in 0..late {
            world.say(0, 1, &SyncMessage::KEEP_ALIVE);
            world.run_secs(1);
        }
        assert_eq!(
            world.story(1, 0),
            [],
            "{late} s: nobody knows where it begins"
        );
        kept.set(false);
        for message in held.take() {
            world.say(0, 1, &message);
        }
        world.run_secs(5);
        assert_eq!(world.story(1, 0), [Event::Values(range(6, 7))], "{late} s");
    }
}

/// 0 and 2 only see each other by way of 1, then by way of 3, which opens in between.
fn relayed() -> World {
    let mut world = World::new(4, &Config::default(), 1);
    world.close(3);
    world.connect(0, 1);
    world.connect(1, 2);
    world.run_secs(1);
    world.post(2, 1);
    world.run_secs(3);
    assert_eq!(world.story(0, 2), [Event::Values(range(1, 1))]);
    world.kill(1);
    world.run_secs(1);
    world.post(2, 3);
    world.run_secs(1);
    world.open(3, Since::Now);
    world.run_secs(1);
    world.post(2, 1);
    world.connect(2, 3);
    world.run_secs(1);
    assert_eq!(world.story(3, 2), [Event::Values(range(5, 5))]);
    world
}

#[test]
fn a_relay_fetches_frames_for_a_peer_and_delivers_none() {
    let mut world = relayed();
    world.connect(0, 3);
    world.run_secs(3);
    assert_eq!(world.story(0, 2), [Event::Values(range(1, 5))]);
    assert_eq!(world.story(3, 2), [Event::Values(range(5, 5))]);
    world.expect_rest();
}

#[test]
fn missing_frames_are_fetched_over_several_relays_that_never_wanted_them() {
    let mut world = World::new(6, &Config::default(), 1);
    (3..6).for_each(|late| world.close(late));
    world.connect(0, 1);
    world.connect(1, 2);
    world.run_secs(1);
    world.post(2, 1);
    world.run_secs(3);
    world.kill(1);
    world.run_secs(1);
    world.post(2, 300);
    world.run_secs(1);
    for late in 3..6 {
        world.open(late, Since::Now);
    }
    world.run_secs(1);
    world.post(2, 1);
    for (a, b) in [(2, 3), (3, 4), (4, 5), (5, 0)] {
        world.connect(a, b);
        world.run_secs(4);
    }
    world.run_secs(10);
    assert_eq!(world.story(0, 2), [Event::Values(range(1, 302))]);
    for late in 3..6 {
        assert_eq!(world.story(late, 2), [Event::Values(range(302, 302))]);
    }
    world.expect_rest();
}

/// A peer that came later is no proof that it is lost: the sender is given the time to be found
/// again.
#[test]
fn a_hole_that_only_late_peers_deny_waits_until_all_may_be_back() {
    for comes_back in [true, false] {
        let mut world = relayed();
        world.cut(2, 3);
        world.connect(0, 3);
        world.run_secs(17);
        assert_eq!(world.story(0, 2), [Event::Values(range(1, 1))]);
        if comes_back {
            world.connect(2, 3);
        }
        world.run_secs(8);
        let rest = [Event::Missed(range(2, 4), LOST), Event::Values(range(5, 5))];
        match comes_back {
            true => assert_eq!(world.story(0, 2), [Event::Values(range(1, 5))]),
            false => assert_eq!(world.story(0, 2)[1..], rest),
        }
    }
}

/// The peer that wanted it got it elsewhere, before the answer is there.
#[test]
fn frames_fetched_for_a_peer_are_not_due_here() {
    let (sender, keeper, late, wants) = (0, 1, 2, 3);
    let mut world = World::new(4, &Config::default(), 1);
    world.close(late);
    world.connect(sender, keeper);
    world.connect(sender, wants);
    world.run_secs(1);
    world.post(sender, 1);
    world.run_secs(3);
    world.cut(sender, wants);
    world.post(sender, 2);
    world.run_secs(3);
    world.kill(sender);
    world.run_secs(60);
    world.open(late, Since::Now);
    world.connect(keeper, late);
    world.run_secs(10);
    world.tamper = Box::new(move |from, to, message| match message {
        SyncMessage::Frames(_) if (from, to) == (keeper, late) => vec![],
        message => vec![message],
    });
    world.connect(late, wants);
    world.run(Duration::from_millis(500));
    assert_eq!(world.counters(late).requests, 1, "it is fetched for a peer");
    world.connect(keeper, wants);
    world.run(Duration::from_millis(1_500));
    assert_eq!(world.story(wants, sender), [Event::Values(range(1, 3))]);
    world.tamper = Box::new(|_, _, message| vec![message]);
    world.give(keeper, late, sender, 1, Duration::from_secs(60));
    world.run_secs(5);
    assert_eq!(world.story(late, sender), []);
}

/// Two who want it of each other, and nobody else who could have it.
#[test]
fn a_peer_that_asks_for_frames_is_not_asked_back() {
    let mut world = relayed();
    world.cut(2, 3);
    world.connect(0, 3);
    world.run_secs(30);
    let requests = world.counters(0).requests + world.counters(3).requests;
    assert!(requests < 20, "{requests}");
    world.expect_rest();
}

/// Somebody repeats it to whoever cannot know better.
#[test]
fn a_frame_older_than_anything_kept_is_not_taken_of_a_sender_not_heard_before() {
    use crate::fixture::{channel, peer, wholes};
    let config = Config::default();
    let (now, oldest) = (Time::ZERO, config.history.age + crate::CLOCK_SKEW);
    let wall = |late: u64| WallTime::from_unix_millis(oldest.as_millis() as u64 + late);
    let start = || {
        let peer = peer(1);
        let mut engine = Engine::new(
            Config::default(),
            peer.identity.clone(),
            Arc::clone(&peer.member),
            1,
        );
        engine
            .handle_open(&channel(0), Since::Now, now)
            .expect("few");
        engine
    };
    let taken = |engine: &mut Engine, seq, late| {
        let before = engine.counters();
        engine.handle_frame(
            sender(0),
            wholes(peer(0), &channel(0), seq, 1),
            &peer(0).member,
            now,
            wall(late),
        );
        while engine.poll_output().is_some() {}
        let after = engine.counters();
        assert_eq!(
            after.frames_accepted + after.frames_stale,
            before.frames_accepted + before.frames_stale + 1
        );
        after.frames_accepted > before.frames_accepted
    };
    let mut engine = start();
    assert!(!taken(&mut engine, 7, 1));
    assert!(taken(&mut engine, 7, 0));
    assert!(taken(&mut engine, 8, 1), "it is known by now");
    let mut engine = start();
    engine.handle_peer_up(sender(0), now);
    while engine.poll_output().is_some() {}
    assert!(
        taken(&mut engine, 7, 1),
        "it is there itself, with a clock that is wrong"
    );
}

/// More was posted than there is room for, before it was ever heard here.
#[test]
fn what_was_due_and_dropped_before_the_first_meeting_is_one_exact_gap() {
    let mut config = Config::default();
    config.history.bytes = 2_500;
    let mut world = World::new(3, &config, 1);
    world.connect(0, 1);
    world.run_secs(1);
    for _ in 0..30 {
        world.post(0, 1);
        world.run(Duration::from_millis(200));
    }
    world.run_secs(1);
    world.connect(0, 2);
    world.run_secs(5);
    let story = world.story(2, 0);
    assert_eq!(story[0].seqs().first(), Seq::FIRST);
    assert!(
        matches!(story[0], Event::Missed(..)) && story.len() == 2,
        "{story:?}"
    );
    assert_eq!(story[1].seqs().last(), Seq::new(30).expect("not 0"));
}

/// Of the beginning it only knows a bound, and whoever has what follows came later itself: it
/// fetches all for it.
#[test]
fn fetched_frames_from_before_the_opening_are_passed_over() {
    let mut world = World::new(5, &Config::default(), 1);
    for late in [2, 4] {
        world.close(late);
    }
    world.connect(0, 1);
    world.connect(0, 3);
    world.run_secs(1);
    world.post(0, 2);
    world.run_secs(3);
    world.cut(0, 3);
    for _ in 0..10 {
        world.post(0, 1);
        world.run_secs(2);
    }
    world.run_secs(5);
    world.open(2, Since::Now);
    world.connect(2, 3);
    world.run_secs(5);
    world.post(0, 1);
    world.run_secs(5);
    world.open(4, Since::Now);
    world.connect(1, 4);
    world.run_secs(5);
    world.post(0, 1);
    world.run_secs(5);
    assert_eq!(world.story(4, 0), [Event::Values(range(14, 14))]);
    world.connect(2, 4);
    world.run_secs(10);
    assert_eq!(world.story(2, 0), [Event::Values(range(13, 14))]);
    world.expect_rest();
}

/// It hears of a sender that is gone from one that came later and knows of nothing due, then from
/// one that knows better.
#[test]
fn a_log_that_began_too_high_goes_back_as_long_as_nothing_was_delivered() {
    let mut world = World::new(4, &Config::default(), 1);
    world.close(3);
    world.connect(0, 1);
    world.run_secs(1);
    world.post(0, 1);
    world.run_secs(3);
    world.open(3, Since::Now);
    world.connect(1, 3);
    world.run_secs(5);
    world.kill(0);
    world.cut(1, 3);
    world.connect(2, 3);
    world.run_secs(30);
    assert_eq!(world.story(2, 0), []);
    world.connect(1, 2);
    world.run_secs(5);
    assert_eq!(world.story(2, 0), [Event::Values(range(1, 1))]);
    world.expect_rest();
}

/// Two nodes, of which the second opens a channel and finds the link at once, and the first finds
/// it when it has stood still for so long and posted meanwhile.
fn opened_to_one_that_stood_still(ms: u64) -> Vec<Event> {
    let at = |ms| Time::from_start(Duration::from_secs(60) + Duration::from_millis(ms));
    let mut engines = [0, 1].map(|n| {
        let Peer { identity, member } = peer(n);
        Engine::new(Config::default(), identity.clone(), Arc::clone(member), 1)
    });
    let mut story = Vec::new();
    let post = |engine: &mut Engine, now: Time| {
        let records = super::section([(crate::wire::Part::Whole, &b"x"[..])]);
        engine
            .handle_post(&channel(0), &records, now, WallTime::MIN)
            .expect("small");
        while engine.poll_output().is_some() {}
    };
    let [posts, opens] = &mut engines;
    posts
        .handle_open(&channel(0), Since::Now, Time::ZERO)
        .expect("few");
    post(posts, Time::ZERO);
    opens
        .handle_open(&channel(0), Since::Now, at(0))
        .expect("few");
    let mut to_posts = VecDeque::new();
    let mut drain = |engine: &mut Engine, to_posts: &mut VecDeque<SyncMessage>| {
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Sync(_, message) => to_posts.push_back(message),
                Output::Deliver(_, delivery) => story.push(Event::Values(delivery.seqs())),
                Output::Forward(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    opens.handle_peer_up(sender(0), at(0));
    drain(opens, &mut to_posts);
    post(posts, at(10));
    posts.handle_peer_up(sender(1), at(ms));
    for step in ms..ms + 5_000 {
        let mut to_opens = Vec::new();
        while let Some(output) = posts.poll_output() {
            if let Output::Sync(_, message) = output {
                to_opens.push(message);
            }
        }
        if opens.poll_timeout().is_some_and(|due| due <= at(step)) {
            opens.handle_timeout(at(step));
            drain(opens, &mut to_posts);
        }
        for message in to_opens {
            let verify = |frames: &[Frame]| {
                frames
                    .iter()
                    .map(|_| Ok(Arc::clone(&peer(0).member)))
                    .collect()
            };
            opens.handle_sync(sender(0), message, at(step), WallTime::MIN, verify);
            drain(opens, &mut to_posts);
        }
        if let Some(message) = to_posts.pop_front() {
            posts.handle_sync(sender(1), message, at(step), WallTime::MIN, |_| Vec::new());
        }
    }
    story
}

#[test]
fn a_peer_that_finds_the_link_late_does_not_take_the_channel_for_opened_later() {
    for ms in [50, 150, 250, 400, 1_000, 2_500] {
        assert_eq!(
            opened_to_one_that_stood_still(ms),
            [Event::Values(range(2, 2))],
            "{ms}"
        );
    }
}

/// By gossip as well as by what a peer says is young: neither is proof.
#[test]
fn a_frame_that_is_too_old_is_told_with_its_sender_and_how_old_it_is() {
    use crate::fixture::wholes;
    let behind = Duration::from_secs(3_600);
    let wall = WallTime::MIN + behind;
    let me = peer(1);
    let mut engine = Engine::new(
        Config::default(),
        me.identity.clone(),
        Arc::clone(&me.member),
        1,
    );
    let stale = |engine: &mut Engine| {
        let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
        let stale = outputs.into_iter().filter_map(|output| match output {
            Output::Stale {
                channel,
                member,
                behind,
                ..
            } => Some((channel, member.sender(), behind)),
            Output::Deliver(..) => panic!("it was taken"),
            _ => None,
        });
        stale.collect::<Vec<_>>()
    };
    let at = |secs| Time::from_start(Duration::from_secs(secs));
    engine
        .handle_open(&channel(0), Since::Now, at(0))
        .expect("few");
    let frame = |who, seq| wholes(peer(who), &channel(0), seq, 1);
    for (secs, told) in [(0, 1), (1, 0), (59, 0), (60, 1)] {
        engine.handle_frame(
            sender(0),
            frame(0, 7 + secs),
            &peer(0).member,
            at(secs),
            wall,
        );
        let told = vec![(channel(0), sender(0), behind); told];
        assert_eq!(stale(&mut engine), told, "after {secs} s");
    }
    assert_eq!(engine.counters().frames_stale, 4);

    engine.handle_peer_up(sender(3), at(70));
    assert_eq!(stale(&mut engine), []);
    let holding = Holding {
        sender: sender(2),
        oldest: Seq::FIRST,
        next: Seq::new(2).expect("not 0"),
        due: Some(Seq::FIRST),
        hops: 1,
        lowest: None,
        begin: Seq::FIRST,
    };
    let have = SyncMessage::Have(vec![Holdings {
        channel: channel(0),
        answer: Some(Answer {
            // The first was of the channel, before anybody was there.
            opening: 2,
            held: Duration::ZERO,
            more: false,
        }),
        logs: vec![holding],
    }]);
    engine.handle_sync(sender(3), have, at(70), wall, |_| Vec::new());
    assert_eq!(stale(&mut engine), []);
    engine.handle_timeout(at(71));
    let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
    let want = outputs.into_iter().find_map(|output| match output {
        Output::Sync(_, SyncMessage::Want(want)) => Some(want),
        _ => None,
    });
    let want = want.expect("it is said to be there");
    let answer = Frames {
        channel: channel(0),
        sender: sender(2),
        request: want.request,
        upto: Seq::FIRST,
        frames: vec![(Duration::ZERO, frame(2, 1).bytes().clone())],
    };
    let verify = |frames: &[Frame]| vec![Ok(Arc::clone(&peer(2).member)); frames.len()];
    engine.handle_sync(sender(3), SyncMessage::Frames(answer), at(71), wall, verify);
    assert_eq!(stale(&mut engine), [(channel(0), sender(2), behind)]);
}

/// Gossip comes by a third, whose link brings nothing else, and the first frame was lost.
#[test]
fn a_log_does_not_begin_before_those_who_are_silent_have_told() {
    let (sender, other, late) = (0, 1, 2);
    let mut world = World::new(3, &Config::default(), 1);
    world.loss = 0;
    world.close(late);
    world.connect_all();
    world.run_secs(1);
    world.post(sender, 3);
    world.run_secs(3);
    world.open(late, Since::Now);
    world.tamper = Box::new(move |from, to, message| {
        if to == late && from != late {
            vec![]
        } else {
            vec![message]
        }
    });
    world.run_secs(1);
    // It is lost, and the next is heard.
    world.loss = 100;
    world.post(sender, 1);
    world.run_secs(1);
    world.loss = 0;
    world.post(sender, 1);
    world.run_secs(20);
    assert_eq!(world.story(late, sender), []);
    world.tamper = Box::new(|_, _, message| vec![message]);
    world.cut(sender, late);
    world.cut(other, late);
    world.connect(other, late);
    world.run_secs(3);
    assert_eq!(world.story(late, sender), [Event::Values(range(4, 5))]);
}

/// It wanted to hear from earlier on, and what it is told of that is still on the way.
#[test]
fn a_late_answer_to_an_earlier_opening_does_not_decide_where_a_log_begins() {
    let mut world = connected(2);
    world.close(1);
    world.post(0, 5);
    world.run_secs(20);
    world.open(1, Since::Ago(Duration::from_secs(60)));
    world.close(1);
    world.open(1, Since::Now);
    world.run_secs(1);
    assert_eq!(world.story(1, 0), []);
    world.post(0, 1);
    world.run_secs(3);
    assert_eq!(world.story(1, 0), [Event::Values(range(6, 6))]);
}

/// Over the same link, which holds up what is said without breaking.
#[test]
fn an_opening_that_was_held_up_on_its_way_begins_where_it_was() {
    use std::{cell::RefCell, rc::Rc};
    for held_up in [100, 1_000, 2_500] {
        let mut world = connected(2);
        world.close(1);
        world.post(0, 2);
        world.run_secs(20);
        let held = Rc::new(RefCell::new(Vec::new()));
        let holds = Rc::clone(&held);
        world.tamper = Box::new(move |from, _, message| match message {
            SyncMessage::Open(_) if from == 1 => {
                holds.borrow_mut().push(message);
                vec![]
            }
            message => vec![message],
        });
        world.open(1, Since::Now);
        world.run(Duration::from_millis(held_up / 2));
        world.post(0, 1);
        world.run(Duration::from_millis(held_up / 2));
        world.tamper = Box::new(|_, _, message| vec![message]);
        let held = std::mem::take(&mut *held.borrow_mut());
        held.iter().for_each(|message| world.say(1, 0, message));
        world.run_secs(3);
        assert_eq!(
            world.story(1, 0),
            [Event::Values(range(3, 3))],
            "{held_up} ms"
        );
    }
}
