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

fn connected(peers: usize) -> Neighbours {
    let mut neighbours = Neighbours::default();
    (0..peers).for_each(|who| neighbours.add(sender(who), now()));
    neighbours
}

#[test]
fn who_listens_is_who_opened_and_has_not_closed() {
    let (mut neighbours, name) = (connected(2), channel(0));
    assert!(!neighbours.listens(sender(0), &name));
    assert!(neighbours.open(sender(0), &opened(&name, 30, 7), now()));
    assert!(neighbours.listens(sender(0), &name));
    assert!(!neighbours.listens(sender(0), &channel(1)));
    assert!(!neighbours.listens(sender(1), &name));
    let wanted = neighbours.wanted(sender(0), &name).expect("it listens");
    assert_eq!(wanted.last, 7);
    assert!(wanted.since + TRAVEL == now() - Duration::from_secs(30));

    // Once more, from then on.
    assert!(neighbours.open(sender(0), &opened(&name, 0, 0), now()));
    let wanted = neighbours.wanted(sender(0), &name).expect("it listens");
    assert_eq!((wanted.since + TRAVEL, wanted.last), (now(), 0));
    neighbours.close(sender(0), &name);
    assert!(!neighbours.listens(sender(0), &name));
}

#[test]
fn longer_open_than_the_clock_runs_is_before_its_start() {
    let (mut neighbours, name) = (connected(1), channel(0));
    assert!(neighbours.open(sender(0), &opened(&name, 1_000, 0), now()));
    let wanted = neighbours.wanted(sender(0), &name).expect("it listens");
    assert_eq!(wanted.since + TRAVEL + Duration::from_secs(1_000), now());
}

#[test]
fn what_somebody_said_is_forgotten_when_it_goes() {
    let (mut neighbours, name) = (connected(2), channel(0));
    assert!(neighbours.open(sender(0), &opened(&name, 0, 0), now()));
    neighbours.ask(sender(0), &name, Duration::ZERO, now());
    neighbours.told(sender(0), &name);
    neighbours.asked(sender(0));
    neighbours.remove(sender(0));
    assert!(!neighbours.contains(sender(0)));
    assert!(!neighbours.open(sender(0), &opened(&name, 0, 0), now()));
    assert!(!neighbours.may_ask(sender(0)));
    neighbours.add(sender(0), Time::ZERO);
    assert!(!neighbours.listens(sender(0), &name));
    assert!(neighbours.requests().is_empty());
    assert_eq!(neighbours.iter().count(), 2);
}

#[test]
fn everybody_counts_as_not_having_told_until_it_did() {
    let (mut neighbours, name) = (connected(3), channel(0));
    let untold = |neighbours: &Neighbours| {
        let interests = neighbours.interests(&name);
        interests
            .filter(|(_, interest)| !interest.has_told())
            .count()
    };
    assert_eq!(untold(&neighbours), 3);
    neighbours.told(sender(1), &name);
    assert_eq!(untold(&neighbours), 2);
    neighbours.untell(&name);
    assert_eq!(untold(&neighbours), 3);
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
    let (mut neighbours, name, peer) = (connected(1), channel(0), sender(0));
    let mut hear = |answer| neighbours.hear_have(peer, &name, answer, now());
    assert_eq!(hear(None), Have::Outdated, "it was never opened");
    let first = neighbours.ask(peer, &name, Duration::ZERO, now());
    neighbours.untell(&name);
    let second = neighbours.ask(peer, &name, Duration::ZERO, now());
    assert_ne!(first, second);
    let mut hear = |answer| neighbours.hear_have(peer, &name, answer, now());
    for outdated in [None, answer(first, 0, true), answer(first, 0, false)] {
        assert_eq!(hear(outdated), Have::Outdated, "{outdated:?}");
    }
    assert_eq!(hear(answer(second, 0, true)), Have::Counts);
    for outdated in [None, answer(first, 0, false)] {
        assert_eq!(hear(outdated), Have::Outdated, "{outdated:?}");
    }
    assert_eq!(hear(answer(second, 0, false)), Have::CompletesAnswer);
    assert!(!neighbours.all_told(&name));
    neighbours.told(peer, &name);
    assert!(neighbours.all_told(&name));
    assert_eq!(neighbours.hear_have(peer, &name, None, now()), Have::Counts);
}

/// What an answer waited for with whoever gives it is no delay of the way.
#[test]
fn an_answer_that_was_long_on_the_way_has_the_channel_opened_once_more_and_once_only() {
    let (mut neighbours, name, peer) = (connected(1), channel(0), sender(0));
    let first = neighbours.ask(peer, &name, Duration::ZERO, now());
    let late = |millis| now() + Duration::from_millis(millis);
    let hear = |neighbours: &mut Neighbours, opening, took, held| {
        neighbours.hear_have(peer, &name, answer(opening, held, false), late(took))
    };
    assert_eq!(
        hear(&mut neighbours, first, 5_200, 5_000),
        Have::CompletesAnswer
    );
    let way = Duration::from_millis(201);
    assert_eq!(
        hear(&mut neighbours, first, 5_201, 5_000),
        Have::TooLate { way }
    );
    let second = neighbours.ask(peer, &name, way, late(5_201));
    assert_eq!(hear(&mut neighbours, first, 5_201, 5_201), Have::Outdated);
    assert_eq!(
        hear(&mut neighbours, second, 60_000, 0),
        Have::CompletesAnswer
    );
}

#[test]
fn no_more_than_three_requests_are_under_way() {
    let mut neighbours = connected(1);
    for _ in 0..3 {
        assert!(neighbours.may_ask(sender(0)));
        neighbours.asked(sender(0));
    }
    assert!(!neighbours.may_ask(sender(0)));
    neighbours.answered(sender(0));
    assert!(neighbours.may_ask(sender(0)));
    assert!(!neighbours.may_ask(sender(1)));
}

#[test]
fn closed_channels_take_no_place() {
    let mut neighbours = connected(1);
    let name = |n: usize| ChannelName::new(&format!("channel {n}")).expect("valid");
    for n in 0..2 * MAX_CHANNELS {
        assert!(neighbours.open(sender(0), &opened(&name(n), 0, 0), now()));
        neighbours.close(sender(0), &name(n));
    }
    for n in 0..MAX_CHANNELS {
        assert!(neighbours.open(sender(0), &opened(&name(n), 0, 0), now()));
    }
    assert!(!neighbours.open(sender(0), &opened(&name(MAX_CHANNELS), 0, 0), now()));
    assert!(neighbours.open(sender(0), &opened(&name(0), 5, 0), now()));
    neighbours.close(sender(0), &name(7));
    assert!(neighbours.open(sender(0), &opened(&name(MAX_CHANNELS), 0, 0), now()));
}
