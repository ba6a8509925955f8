//! Peers that answer nothing, too much, or what is not true.

use std::{
    cell::RefCell,
    collections::{BTreeSet, VecDeque},
    rc::Rc,
};

use super::{
    super::*,
    fixture::{channel, peer, wholes},
    range,
    world::{ANSWERS, Event, World, connected, sender},
};
use crate::{conduct::Offence, log::GapReason};

const LOST: GapReason = GapReason::Lost;

#[test]
fn a_peer_that_never_answers_is_passed_over() {
    let mut world = World::new(3, &Config::default(), 1);
    world.tamper = Box::new(|from, _, message| match message {
        SyncMessage::Frames(_) if from == 1 => vec![],
        message => vec![message],
    });
    world.connect_all();
    world.run_secs(1);
    world.post(0, 1);
    world.run_secs(2);
    for _ in 0..20 {
        world.cut(0, 2);
        world.post(0, 3);
        world.run(Duration::from_millis(800));
        world.connect(0, 2);
        world.run(Duration::from_millis(200));
    }
    world.run_secs(10);
    world.expect_everything();
    world.expect_rest();
}

/// A peer that answers nothing must not keep the places that answers of others could take, nor
/// keep logs waiting for its own.
#[test]
fn many_logs_are_not_held_up_by_a_silent_peer() {
    let mut world = World::new(12, &Config::default(), 3);
    // Node 11 is to hear of all others from 0, which is silent, or from 1.
    world.tamper = Box::new(|from, _, message| match message {
        SyncMessage::Frames(_) if from == 0 => vec![],
        message => vec![message],
    });
    for n in 2..11 {
        world.connect(1, n);
    }
    world.run_secs(1);
    for n in 1..11 {
        world.post(n, 2);
    }
    world.loss = 0;
    world.connect(0, 1);
    world.run_secs(4);
    for n in 1..11 {
        world.post(n, 1);
    }
    world.run_secs(2);
    world.loss = 100;
    world.connect(11, 0);
    world.connect(11, 1);
    world.run_secs(5);
    for of in 1..11 {
        assert_eq!(world.story(11, of), [Event::Values(range(1, 3))], "{of}");
    }
    world.expect_rest();
}

/// An answer that took too long, or was requested before the link broke and comes over another
/// connection, arrives when the answer to something else is expected, and says nothing of that.
#[test]
fn an_answer_to_an_earlier_request_is_not_taken_for_that_to_the_last() {
    for seed in 0..20 {
        let mut world = World::new(2, &Config::default(), seed);
        let held = Rc::new(RefCell::new(VecDeque::new()));
        let late = Rc::clone(&held);
        world.tamper = Box::new(move |from, _, message| match message {
            SyncMessage::Frames(_) if from == 0 => {
                let mut late = late.borrow_mut();
                late.push_back(message);
                if late.len() > 1 {
                    late.pop_front().into_iter().collect()
                } else {
                    vec![]
                }
            }
            message => vec![message],
        });
        world.connect_all();
        world.run_secs(1);
        world.post(0, 1);
        world.run_secs(2);
        world.loss = 100;
        for _ in 0..10 {
            world.post(0, 1);
            world.run_secs(8);
        }
        world.tamper = Box::new(|_, _, message| vec![message]);
        world.run_secs(10);
        world.expect_everything();
        world.expect_rest();
    }
}

/// What a peer may answer to make trouble; of eight kinds.
pub(super) fn trouble(kind: usize, frames: Frames) -> Vec<SyncMessage> {
    let garbage = |bytes: &'static [u8]| {
        SyncMessage::Frames(Frames {
            frames: vec![(Duration::ZERO, bytes.into())],
            ..frames.clone()
        })
    };
    let forged = || {
        let mut forged = frames.clone();
        for (_, frame) in &mut forged.frames {
            let mut bytes = frame.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            *frame = bytes.into();
        }
        SyncMessage::Frames(forged)
    };
    match kind {
        0 => vec![garbage(b"")],
        1 => vec![garbage(b"no frame at all"); 3],
        2 => vec![forged()],
        // Of another, who did not post it.
        3 => vec![SyncMessage::Frames(Frames {
            sender: sender(1),
            ..frames
        })],
        4 => vec![SyncMessage::Frames(Frames {
            channel: channel(1),
            ..frames
        })],
        5 => vec![SyncMessage::Frames(Frames {
            frames: vec![],
            ..frames
        })],
        6 => vec![SyncMessage::Frames(Frames {
            frames: vec![],
            upto: Seq::FIRST,
            ..frames
        })],
        _ => vec![],
    }
}

#[test]
fn whatever_one_peer_answers_another_helps() {
    for kind in 0..8 {
        let mut world = World::new(3, &Config::default(), kind as u64);
        world.tamper = Box::new(move |from, to, message| match message {
            SyncMessage::Frames(frames) if (from, to) == (1, 2) => trouble(kind, frames),
            message => vec![message],
        });
        world.connect_all();
        world.run_secs(1);
        let refused = |world: &World| world.counters(2).answers_refused;
        for _ in 0..12 {
            world.cut(0, 2);
            world.post(0, 2);
            world.run(Duration::from_millis(1_400));
            world.connect(0, 2);
            world.run_secs(1);
        }
        world.run_secs(5);
        world.expect_everything();
        world.expect_rest();
        assert_eq!(refused(&world) > 0, kind < 5, "{kind}: {}", refused(&world));
    }
}

/// Its own clock is off, or the credential of the sender expired while the frames were kept.
#[test]
fn who_hands_on_frames_whose_credential_has_expired_here_is_no_forger() {
    let mut world = World::new(3, &Config::default(), 1);
    world.expired = BTreeSet::from([(2, 0)]);
    world.connect(0, 1);
    world.connect(1, 2);
    world.run_secs(1);
    for _ in 0..12 {
        world.post(0, 2);
        world.run_secs(5);
    }
    assert_eq!(world.story(1, 0), [Event::Values(range(1, 24))]);
    assert_eq!(world.seen(2, 0), []);
    assert!(world.counters(2).answers_refused >= 12);
    assert_eq!(world.nodes[2].offences, []);
    // Nobody asks for them over and over.
    let requests = world.counters(2).requests;
    assert!(requests < 100, "{requests}");
    // By another clock, or with a new credential, they come.
    world.expired.clear();
    world.post(0, 1);
    world.run_secs(5);
    let last = world.story(2, 0).last().map(|event| event.seqs().last());
    assert_eq!(last, Seq::new(25));
}

/// The same frames, but not as they were signed.
#[test]
fn a_peer_that_hands_on_unsigned_frames_is_a_forger_however_old_they_are() {
    let mut world = World::new(2, &Config::default(), 1);
    world.tamper = Box::new(|_, _, message| match message {
        SyncMessage::Frames(frames) => trouble(2, frames),
        message => vec![message],
    });
    world.expired = BTreeSet::from([(1, 0)]);
    world.connect_all();
    world.run_secs(1);
    world.post(0, 2);
    world.run_secs(2);
    assert!(world.nodes[1].offences.contains(&(0, Offence::Forged)));
}

/// An old frame again and again, genuine but of no use.
#[test]
fn answers_that_bring_nothing_new_do_not_go_on_for_ever() {
    let mut world = World::new(2, &Config::default(), 1);
    let first = Rc::new(RefCell::new(None::<Frames>));
    world.tamper = Box::new(move |_, _, message| match message {
        SyncMessage::Frames(frames) => {
            let mut first = first.borrow_mut();
            let request = frames.request;
            let old = first.get_or_insert(frames).clone();
            vec![SyncMessage::Frames(Frames { request, ..old })]
        }
        message => vec![message],
    });
    world.connect_all();
    world.run_secs(1);
    world.post(0, 1);
    world.run_secs(2);
    world.post(0, 1);
    world.run_secs(30);
    assert!(
        world.counters(1).requests < 30,
        "{}",
        world.counters(1).requests
    );
    let story = [Event::Values(range(1, 1)), Event::Missed(range(2, 2), LOST)];
    assert_eq!(world.story(1, 0), story);
}

#[test]
fn answers_that_nobody_asked_for_are_refused_before_they_are_looked_at() {
    let mut world = connected(2);
    world.post(0, 3);
    world.run_secs(2);
    world.expect_everything();
    let before = world.counters(1);
    let frames = Frames {
        channel: channel(0),
        sender: sender(0),
        request: before.requests,
        upto: Seq::FIRST,
        frames: vec![
            (
                Duration::ZERO,
                wholes(peer(0), &channel(0), 4, 1).bytes().clone()
            );
            3
        ],
    };
    let now = world.clock(1);
    let engine = &mut world.nodes[1].engine;
    engine.handle_sync(
        sender(0),
        SyncMessage::Frames(frames),
        now,
        WallTime::MIN,
        |frames| panic!("{frames:?} are verified"),
    );
    assert!(engine.poll_output().is_none());
    let after = engine.counters();
    assert_eq!(
        after,
        Counters {
            answers_refused: before.answers_refused + 1,
            ..before
        }
    );
}

#[test]
fn whoever_is_not_connected_is_not_listened_to() {
    let mut world = connected(2);
    let now = world.clock(1);
    let want = Want {
        channel: channel(0),
        sender: sender(1),
        seqs: range(1, 9),
        request: 1,
    };
    world.post(1, 1);
    let engine = &mut world.nodes[1].engine;
    engine.handle_sync(
        sender(5),
        SyncMessage::Want(want),
        now,
        WallTime::MIN,
        |_| Vec::new(),
    );
    assert!(engine.poll_output().is_none());
}

fn have(
    world: &mut World,
    from: usize,
    to: usize,
    of: usize,
    oldest: u64,
    next: u64,
    due: Option<u64>,
) {
    let seq = |n| Seq::new(n).expect("not 0");
    let holding = Holding {
        sender: sender(of),
        oldest: seq(oldest),
        next: seq(next),
        due: due.map(seq),
        hops: Holding::FAR,
        lowest: None,
        begin: Seq::FIRST,
    };
    let message = SyncMessage::Have(vec![Holdings {
        channel: channel(0),
        answer: Some(ANSWERS),
        logs: vec![holding],
    }]);
    world.say(from, to, &message);
}

/// One says that another has posted what it has not.
#[test]
fn a_lie_about_a_sender_that_is_there_takes_nothing_away() {
    for due in [None, Some(1), Some(u64::MAX - 1)] {
        let mut world = connected(3);
        world.post(0, 2);
        world.run_secs(2);
        have(&mut world, 1, 2, 0, 1, u64::MAX, due);
        world.run_secs(60);
        world.post(0, 2);
        world.run_secs(60);
        world.post(0, 2);
        world.run_secs(2);
        world.expect_everything();
    }
}

/// And that has not posted anything, so that it has nothing to say itself.
#[test]
fn a_lie_about_a_sender_that_is_there_does_not_make_deaf_for_it() {
    for due in [None, Some(1), Some(5), Some(u64::MAX - 1)] {
        let mut world = connected(3);
        have(&mut world, 1, 2, 0, 1, u64::MAX, due);
        world.run_secs(60);
        world.post(0, 2);
        world.run_secs(5);
        world.expect_everything();
    }
}

/// It says nothing, as one whose machine is gone and whose connection still seems whole.
#[test]
fn reports_on_a_sender_count_as_soon_as_it_is_gone() {
    let mut world = World::new(3, &Config::default(), 1);
    world.tamper = Box::new(|from, to, message| match message {
        SyncMessage::Have(_) if (from, to) == (0, 2) => vec![],
        message => vec![message],
    });
    world.connect_all();
    world.run_secs(1);
    world.post(0, 3);
    world.run_secs(5);
    assert_eq!(world.story(1, 0), [Event::Values(range(1, 3))]);
    assert_eq!(world.seen(2, 0), []);
    world.kill(0);
    world.run_secs(5);
    world.expect_everything();
}

#[test]
fn a_sender_that_nobody_ever_heard_of_costs_nothing_in_the_end() {
    let mut world = connected(2);
    have(&mut world, 0, 1, 7, 1, u64::MAX, Some(1));
    have(&mut world, 0, 1, 8, 5, 9, Some(7));
    world.run_secs(700);
    world.nodes[1].engine.logs.audit();
    assert!(world.counters(1).requests < 1_000);
    assert_eq!(world.seen(1, 7), []);
}

#[test]
fn a_peer_that_goes_frees_what_waited_for_it() {
    let mut world = World::new(10, &Config::default(), 1);
    // Node 8 has everything and is mute; 9 hears of it and waits. Then 8 goes, and 0 has it as
    // well.
    world.tamper = Box::new(|from, _, message| match message {
        SyncMessage::Frames(_) if from == 8 => vec![],
        message => vec![message],
    });
    for n in 1..8 {
        world.connect(n, 8);
        world.connect(n, 0);
    }
    world.run_secs(1);
    world.loss = 0;
    for n in 1..8 {
        world.post(n, 1);
    }
    world.run_secs(2);
    world.connect(8, 9);
    world.run_secs(1);
    world.cut(8, 9);
    world.connect(0, 9);
    world.run_secs(2);
    for of in 1..8 {
        assert_eq!(world.story(9, of), [Event::Values(range(1, 1))], "{of}");
    }
    world.expect_rest();
}

/// The requested frame came by gossip, so that nothing waits for its answer but its places.
#[test]
fn a_silent_peer_gets_its_places_back() {
    let mut world = World::new(6, &Config::default(), 1);
    world.tamper = Box::new(|from, _, message| match message {
        SyncMessage::Frames(_) if from == 0 => vec![],
        message => vec![message],
    });
    (2..6).for_each(|n| world.connect(0, n));
    world.run_secs(1);
    (2..6).for_each(|n| world.post(n, 1));
    world.run_secs(1);
    world.connect(0, 1);
    world.run(Duration::from_millis(300));
    assert_eq!(world.counters(1).requests, 2, "the third is for what came");
    let asks = |world: &World, of| {
        let logs = &world.nodes[1].engine.logs;
        let log = logs.get(&(channel(0), sender(of))).expect("told of");
        log.fetch.asking().any(|asked| asked == sender(0))
    };
    let asked: Vec<usize> = (2..6).filter(|of| asks(&world, *of)).collect();
    asked.iter().for_each(|of| world.hand(0, 1, *of));
    world.run(Duration::from_millis(2_900));
    assert_eq!(world.counters(1).requests, 4);
    world.run_secs(4);
    for of in asked {
        assert_eq!(world.story(1, of), [Event::Values(range(1, 1))]);
    }
}

#[test]
fn a_window_without_room_does_not_ask_for_the_same_over_and_over() {
    let config = Config {
        max_held_bytes: 2 * wholes(peer(0), &channel(0), 1, 1).bytes().len(),
        ..Config::default()
    };
    let mut world = World::new(3, &config, 1);
    // The first frame is served by nobody for a while.
    let withheld = Rc::new(RefCell::new(true));
    let still = Rc::clone(&withheld);
    world.tamper = Box::new(move |_, _, message| match message {
        SyncMessage::Frames(mut frames) if *still.borrow() => {
            frames.frames.retain(|(_, bytes)| {
                let frame = Frame::decode(bytes.clone()).expect("served");
                frame.seqs().first() != Seq::FIRST
            });
            vec![SyncMessage::Frames(frames)]
        }
        message => vec![message],
    });
    world.connect(0, 1);
    world.connect(0, 2);
    world.run_secs(1);
    for _ in 0..10 {
        world.post(0, 1);
    }
    world.run(Duration::from_millis(2_300));
    assert!(
        world.counters(1).requests < 12,
        "{}",
        world.counters(1).requests
    );
    *withheld.borrow_mut() = false;
    world.run_secs(3);
    assert_eq!(
        world.story(1, 0).last().map(|event| event.seqs().last()),
        Seq::new(10)
    );
}
