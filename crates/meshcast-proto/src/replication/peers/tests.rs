use super::*;
use crate::fixture::{channel, peer};

fn sender(who: usize) -> Sender {
    peer(who).member.sender()
}

fn now() -> Time {
    Time::from_start(Duration::from_secs(100))
}

fn opened(name: &ChannelName, secs: u64, last: u64) -> Opened {
    Opened {
        channel: name.clone(),
        since: Duration::from_secs(secs),
        last,
        opening: 1,
    }
}

fn connected(count: usize) -> Peers {
    let mut peers = Peers::default();
    (0..count).for_each(|who| peers.add(sender(who), now()));
    peers
}

#[test]
fn listeners_are_those_that_opened_and_have_not_closed() {
    let (mut peers, name) = (connected(2), channel(0));
    assert!(!peers.listens(sender(0), &name));
    assert!(peers.open(sender(0), &opened(&name, 30, 7), now()));
    assert!(peers.listens(sender(0), &name));
    assert!(!peers.listens(sender(0), &channel(1)));
    assert!(!peers.listens(sender(1), &name));
    let wanted = peers.wanted(sender(0), &name).expect("it listens");
    assert_eq!(wanted.last, 7);
    assert!(wanted.since + TRAVEL == now() - Duration::from_secs(30));

    // Once more, from then on.
    assert!(peers.open(sender(0), &opened(&name, 0, 0), now()));
    let wanted = peers.wanted(sender(0), &name).expect("it listens");
    assert_eq!((wanted.since + TRAVEL, wanted.last), (now(), 0));
    peers.close(sender(0), &name);
    assert!(!peers.listens(sender(0), &name));
}

#[test]
fn longer_open_than_the_clock_runs_is_before_its_start() {
    let (mut peers, name) = (connected(1), channel(0));
    assert!(peers.open(sender(0), &opened(&name, 1_000, 0), now()));
    let wanted = peers.wanted(sender(0), &name).expect("it listens");
    assert_eq!(wanted.since + TRAVEL + Duration::from_secs(1_000), now());
}

#[test]
fn the_word_of_a_peer_is_forgotten_when_it_goes() {
    let (mut peers, name) = (connected(2), channel(0));
    assert!(peers.open(sender(0), &opened(&name, 0, 0), now()));
    peers.tell_all(&name, now());
    peers.has_answered(sender(0), &name);
    peers.asked(sender(0), true, now());
    peers.remove(sender(0));
    assert!(!peers.contains(sender(0)));
    assert!(!peers.open(sender(0), &opened(&name, 0, 0), now()));
    assert!(!peers.may_ask(sender(0), true));
    peers.add(sender(0), Time::ZERO);
    assert!(!peers.listens(sender(0), &name));
    assert!(peers.requests().is_empty());
    assert_eq!(peers.iter().count(), 2);
}

#[test]
fn everybody_counts_as_not_having_told_until_it_did() {
    let (mut peers, name) = (connected(3), channel(0));
    let untold = |peers: &Peers| {
        let interests = peers.interests(&name);
        interests
            .filter(|(_, interest)| !interest.has_told())
            .count()
    };
    assert_eq!(untold(&peers), 3);
    peers.has_answered(sender(1), &name);
    assert_eq!(untold(&peers), 2);
    peers.untell(&name);
    assert_eq!(untold(&peers), 3);
}

fn answer(opening: u64, held: u64, more: bool) -> Option<Answer> {
    Some(Answer {
        opening,
        held: Duration::from_millis(held),
        more,
    })
}

#[test]
fn only_what_answers_the_last_opening_answers_and_what_came_before_is_outdated() {
    let (mut peers, name, peer) = (connected(1), channel(0), sender(0));
    let mut hear = |answer| peers.hear_have(peer, &name, answer, now());
    assert_eq!(hear(None), Have::Outdated, "it was never opened");
    let first = peers.tell_all(&name, now());
    peers.untell(&name);
    let second = peers.tell_all(&name, now());
    assert_ne!(first, second);
    let mut hear = |answer| peers.hear_have(peer, &name, answer, now());
    for outdated in [None, answer(first, 0, true), answer(first, 0, false)] {
        assert_eq!(hear(outdated), Have::Outdated, "{outdated:?}");
    }
    assert_eq!(hear(answer(second, 0, true)), Have::Counts);
    assert_eq!(hear(answer(first, 0, false)), Have::Outdated);
    assert_eq!(hear(None), Have::Counts, "it was said behind the opening");
    assert_eq!(hear(answer(second, 0, false)), Have::CompletesAnswer);
    assert!(!peers.all_told(&name));
    peers.has_answered(peer, &name);
    assert!(peers.all_told(&name));
    assert_eq!(peers.hear_have(peer, &name, None, now()), Have::Counts);
}

/// Time that an answer waited with the peer that gives it is no delay of the way.
#[test]
fn an_answer_counts_that_took_no_longer_on_the_way_than_was_granted() {
    let (mut peers, name, peer) = (connected(1), channel(0), sender(0));
    let first = peers.tell_all(&name, now());
    let late = |millis| now() + Duration::from_millis(millis);
    let hear = |peers: &mut Peers, opening, took, held| {
        peers.hear_have(peer, &name, answer(opening, held, false), late(took))
    };
    assert_eq!(hear(&mut peers, first, 5_200, 5_000), Have::CompletesAnswer);
    let way = Duration::from_millis(201);
    assert_eq!(hear(&mut peers, first, 5_201, 5_000), Have::TooLate { way });
    let second = peers.tell_again(peer, &name, way, late(5_201));
    let second = second.expect("there is room");
    assert_eq!(hear(&mut peers, first, 5_201, 5_201), Have::Outdated);
    // The second may take longer still.
    let most = 5_201 + 200 + 201;
    assert_eq!(hear(&mut peers, second, most, 0), Have::CompletesAnswer);
    let way = Duration::from_millis(402);
    assert_eq!(hear(&mut peers, second, most + 1, 0), Have::TooLate { way });
}

#[test]
fn no_more_than_three_requests_are_under_way() {
    let mut peers = connected(1);
    for _ in 0..3 {
        assert!(peers.may_ask(sender(0), true));
        peers.asked(sender(0), true, now());
    }
    assert!(!peers.may_ask(sender(0), true));
    peers.answered(sender(0));
    assert!(peers.may_ask(sender(0), true));
    assert!(!peers.may_ask(sender(1), true));
}

#[test]
fn a_peer_has_at_most_two_requests_for_reported_logs_under_way() {
    let mut peers = connected(1);
    for _ in 0..2 {
        assert!(peers.may_ask(sender(0), false));
        peers.asked(sender(0), false, now());
    }
    assert!(!peers.may_ask(sender(0), false));
    assert!(peers.may_ask(sender(0), true));
}

/// Seconds from [`now`] on.
fn later(secs: f64) -> Time {
    now() + Duration::from_secs_f64(secs)
}

#[test]
fn who_is_late_again_and_again_is_asked_last_for_longer_and_longer() {
    let mut peers = connected(1);
    let is_late = |peers: &Peers, secs| peers.is_late(sender(0), later(secs));
    assert!(!is_late(&peers, 0.0));
    let mut at = 0.0;
    for secs in [5.0, 10.0, 20.0, 40.0, 40.0] {
        peers.was_late(sender(0), later(at));
        // What it was asked at the same time.
        peers.was_late(sender(0), later(at + 3.0));
        assert!(is_late(&peers, at + secs - 0.1), "{secs}");
        at += secs;
        assert!(!is_late(&peers, at), "{secs}");
    }
    // A new connection is a new beginning.
    peers.remove(sender(0));
    peers.add(sender(0), later(at));
    peers.was_late(sender(0), later(at));
    assert!(!is_late(&peers, at + 5.0));
}

#[test]
fn who_was_late_is_tried_by_one_request_at_a_time_and_asked_like_others_when_it_is_quick() {
    let mut peers = connected(1);
    let is_late = |peers: &Peers, secs| peers.is_late(sender(0), later(secs));
    peers.was_late(sender(0), later(0.0));
    peers.asked(sender(0), true, later(6.0));
    assert!(is_late(&peers, 8.9) && !is_late(&peers, 9.0));
    peers.answered(sender(0));
    peers.was_quick(sender(0), later(6.1));
    assert!(!is_late(&peers, 6.1));
    // It was no more often late than it was quick since.
    peers.asked(sender(0), true, later(6.2));
    assert!(!is_late(&peers, 6.2));
}

/// Others tell it of what does not exist, and it denies that at once; or it posts what nobody else
/// has.
#[test]
fn a_late_peer_is_asked_like_others_three_seconds_after_it_was_tried() {
    for is_proven in [false, true] {
        let mut peers = connected(1);
        let is_late = |peers: &Peers, secs| peers.is_late(sender(0), later(secs));
        peers.was_late(sender(0), later(0.0));
        for second in 0..60 {
            peers.asked(sender(0), is_proven, later(f64::from(second)));
            peers.answered(sender(0));
        }
        let until = if is_proven { 8.0 } else { 5.0 };
        assert!(is_late(&peers, until - 0.1), "{is_proven}");
        assert!(!is_late(&peers, until), "{is_proven}");
        // When it is late once more that counts as before.
        peers.was_late(sender(0), later(60.0));
        assert!(is_late(&peers, 69.9) && !is_late(&peers, 70.0));
    }
}

#[test]
fn closed_channels_take_no_place() {
    let mut peers = connected(1);
    let name = |n: usize| ChannelName::new(&format!("channel {n}")).expect("valid");
    for n in 0..2 * MAX_CHANNELS {
        assert!(peers.open(sender(0), &opened(&name(n), 0, 0), now()));
        peers.close(sender(0), &name(n));
    }
    for n in 0..MAX_CHANNELS {
        assert!(peers.open(sender(0), &opened(&name(n), 0, 0), now()));
    }
    assert!(!peers.open(sender(0), &opened(&name(MAX_CHANNELS), 0, 0), now()));
    assert!(peers.open(sender(0), &opened(&name(0), 5, 0), now()));
    peers.close(sender(0), &name(7));
    assert!(peers.open(sender(0), &opened(&name(MAX_CHANNELS), 0, 0), now()));
}
