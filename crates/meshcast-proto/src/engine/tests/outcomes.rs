//! The outcomes that the engine returns, and whose gossip it finds not to arrive.

use super::*;
use crate::conduct::Offence;

const WALL: WallTime = WallTime::MIN;

fn sender(n: usize) -> Sender {
    peer(n).member.sender()
}

/// An engine that listens on the first channel.
fn listens() -> Engine {
    let me = peer(9);
    let mut engine = Engine::new(
        Config::default(),
        me.identity.clone(),
        Arc::clone(&me.member),
        1,
    );
    let opened = engine.handle_open(&channel(0), Since::Now, at(0));
    opened.expect("few");
    engine
}

/// Gives what was said to be done, without what goes to peers.
fn mute(engine: &mut Engine) -> Vec<Sender> {
    let outputs = std::iter::from_fn(|| engine.poll_output());
    let mute = outputs.filter_map(|output| match output {
        Output::Mute(peer) => Some(peer),
        _ => None,
    });
    mute.collect()
}

#[test]
fn the_outcome_of_a_frame_is_returned_and_a_stale_one_is_not_new() {
    let mut engine = listens();
    let mut take = |who: usize, on: usize, seq, wall| {
        let frame = wholes(peer(who), &channel(on), seq, 1);
        let taken = engine.handle_frame(sender(0), frame, &peer(who).member, at(0), wall);
        mute(&mut engine);
        taken
    };
    assert_eq!(take(0, 0, 1, WALL), Taken::New);
    assert_eq!(take(0, 0, 1, WALL), Taken::Duplicate);
    assert_eq!(take(0, 1, 1, WALL), Taken::Unwanted, "not open");
    assert_eq!(take(9, 0, 1, WALL), Taken::Unwanted, "our own");
    let later = WALL + Config::default().history.age + crate::CLOCK_SKEW + Duration::from_secs(1);
    assert_eq!(take(1, 0, 1, later), Taken::Stale);
    let words = [Taken::New, Taken::Stale].map(Taken::as_str);
    assert_eq!(words, ["new", "stale"]);
}

#[test]
fn a_peer_whose_posts_come_only_by_way_of_others_is_mute_and_a_copy_of_it_speaks_for_it() {
    for copies in [false, true] {
        let mut engine = listens();
        for who in [0, 1] {
            engine.handle_peer_up(sender(who), at(0));
            mute(&mut engine);
        }
        let mut found = Vec::new();
        for n in 1..=60 {
            let now = at(1_000 * n);
            if copies && n % 10 == 0 {
                engine.handle_copy(sender(0), now);
            }
            let frame = wholes(peer(0), &channel(0), n, 1);
            engine.handle_frame(sender(1), frame, &peer(0).member, now, WALL);
            found.append(&mut mute(&mut engine));
        }
        let expected = if copies { vec![] } else { vec![sender(0)] };
        assert_eq!(found, expected, "copies: {copies}");
        assert_eq!(engine.times_mute(sender(0)), u32::from(!copies));
        assert_eq!(engine.times_mute(sender(1)), 0);
    }
}

/// Asks for numbers of peer 0 as `asker`. Returns what it is given, up to where that is an answer,
/// and how many offences of peer 0 were reported.
fn ask(
    engine: &mut Engine,
    asker: usize,
    seqs: SeqRange,
    now: Time,
) -> (Vec<SeqRange>, Seq, usize) {
    let want = Want {
        channel: channel(0),
        sender: sender(0),
        seqs,
        request: 1,
    };
    let verify = |_: &[Frame]| Vec::new();
    engine.handle_sync(sender(asker), SyncMessage::Want(want), now, WALL, verify);
    let (mut given, mut upto, mut offences) = (Vec::new(), Seq::FIRST, 0);
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Sync(to, SyncMessage::Frames(frames)) if to == sender(asker) => {
                let read = frames.frames.into_iter().map(|(_, bytes)| {
                    let frame = Frame::decode(bytes).expect("a frame");
                    assert!(crate::is_signed(&frame), "it can be handed on");
                    frame.seqs()
                });
                given.extend(read);
                upto = frames.upto;
            }
            Output::Misbehaved { peer, offence } => {
                assert_eq!((peer, offence), (sender(0), Offence::Forged));
                offences += 1;
            }
            _ => {}
        }
    }
    (given, upto, offences)
}

/// Peer 0 brings a frame of its own, which may have a wrong signature.
fn hear_itself(engine: &mut Engine, frame: &Frame, is_wrong: bool) -> Taken {
    let mut bytes = frame.bytes().to_vec();
    *bytes.last_mut().expect("a signature") ^= u8::from(is_wrong);
    let frame = Frame::decode(bytes.into()).expect("well-formed");
    let taken = engine.handle_frame(sender(0), frame, &peer(0).member, at(1), WALL);
    mute(engine);
    taken
}

#[test]
fn behind_many_wrong_signatures_nothing_unchecked_is_handed_out() {
    let mut engine = listens();
    for who in [0, 1] {
        engine.handle_peer_up(sender(who), at(0));
        mute(&mut engine);
    }
    for n in 1..=70 {
        hear_itself(&mut engine, &wholes(peer(0), &channel(0), n, 1), true);
    }
    hear_itself(&mut engine, &wholes(peer(0), &channel(0), 71, 1), false);
    let seq = |n| Seq::new(n).expect("not 0");
    let (given, upto, offences) = ask(&mut engine, 1, range(1, 71), at(2));
    assert_eq!((given, upto, offences), (vec![], seq(64), 64));
    let (given, upto, offences) = ask(&mut engine, 1, range(65, 71), at(3));
    assert_eq!((given, upto, offences), (vec![range(71, 71)], seq(71), 6));
}

#[test]
fn a_wrong_frame_that_reaches_into_what_is_wanted_is_not_handed_out_in_place_of_another() {
    let mut engine = listens();
    for who in [0, 1] {
        engine.handle_peer_up(sender(who), at(0));
        mute(&mut engine);
    }
    for first in [2, 1] {
        hear_itself(&mut engine, &wholes(peer(0), &channel(0), first, 100), true);
    }
    for seconds in 2..5 {
        let (given, ..) = ask(&mut engine, 1, range(100, 100), at(seconds));
        assert_eq!(given, []);
    }
}

#[test]
fn a_frame_is_handed_out_once_its_signature_was_checked_and_never_with_a_wrong_one() {
    let mut engine = listens();
    for who in [0, 1] {
        engine.handle_peer_up(sender(who), at(0));
        mute(&mut engine);
    }
    for n in 1..=200 {
        let frame = wholes(peer(0), &channel(0), n, 1);
        let taken = hear_itself(&mut engine, &frame, n % 100 == 50);
        assert_eq!(taken, Taken::New, "on its own connection it is believed");
    }
    let seq = |n| Seq::new(n).expect("not 0");
    // So many signatures are checked for an answer; the rest may be asked for again.
    let (given, upto, offences) = ask(&mut engine, 1, range(1, 200), at(2));
    assert_eq!((given.len(), upto, offences), (63, seq(64), 1));
    let (given, upto, offences) = ask(&mut engine, 1, range(1, 64), at(3));
    assert_eq!(
        (given.len(), upto, offences),
        (63, seq(64), 0),
        "checked before"
    );
    assert!(!given.contains(&range(50, 50)));
    let (given, upto, offences) = ask(&mut engine, 1, range(65, 200), at(4));
    assert_eq!((given.len(), upto, offences), (64, seq(128), 0));
    for (seconds, expected) in [(5, 1), (6, 0)] {
        let (given, _, offences) = ask(&mut engine, 1, range(150, 150), at(seconds));
        assert_eq!((given.len(), offences), (0, expected));
    }
}
