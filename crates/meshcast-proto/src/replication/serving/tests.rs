use super::*;
use crate::{
    fixture::{channel, peer, wholes},
    log::{Arrival, HistoryLimits},
    wire::{Seq, SeqRange},
};

fn who(n: usize) -> Sender {
    let mut key = [7; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    Sender::new(key)
}

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

fn want(n: usize) -> Want {
    Want {
        channel: channel(0),
        sender: who(n),
        seqs: SeqRange::new(Seq::FIRST, Seq::MAX).expect("in order"),
        request: 1,
    }
}

const ANSWER: usize = 256 * 1024;

/// Peers that always have three requests under way, for ten seconds. What each got, in bytes.
fn served(askers: usize, requests: usize) -> Vec<usize> {
    let (mut serving, mut now) = (Serving::default(), at(0));
    let mut got = vec![0; askers];
    for n in 0..askers {
        for _ in 0..requests {
            serving.ask(who(n), want(n), now);
        }
    }
    while now < at(10_000) {
        while let Some((peer, asked)) = serving.next(now) {
            assert_eq!(asked.sender, peer);
            serving.gave(peer, ANSWER, now);
            let n = (0..askers).find(|n| who(*n) == peer).expect("one of them");
            got[n] += ANSWER;
            serving.ask(peer, want(n), now);
        }
        let next = serving.poll_timeout().expect("they wait");
        assert!(next > now, "busy");
        now = next;
    }
    got
}

#[test]
fn one_peer_gets_what_it_asks_for_at_its_rate_and_no_faster() {
    for requests in [3, MAX_WAITING] {
        let got = served(1, requests)[0] / (10 * 1024 * 1024);
        assert!((32..34).contains(&got), "{got} MiB/s");
    }
}

#[test]
fn many_share_what_there_is_alike_however_much_they_ask() {
    let got = served(8, 3);
    let (least, most) = (got.iter().min(), got.iter().max());
    assert!(
        most.expect("some") - least.expect("some") <= ANSWER,
        "{got:?}"
    );
    let all = got.iter().sum::<usize>() / (10 * 1024 * 1024);
    assert!((64..67).contains(&all), "{all} MiB/s");
}

#[test]
fn a_flood_of_requests_is_cut_off_and_leaves_the_others_their_turn() {
    let mut serving = Serving::default();
    let taken = (0..10_000).filter(|_| serving.ask(who(0), want(0), at(0)));
    assert_eq!(taken.count(), MAX_WAITING);
    while let Some((peer, _)) = serving.next(at(0)) {
        serving.gave(peer, 0, at(0));
        serving.ask(who(0), want(0), at(0));
    }
    assert!(serving.ask(who(1), want(1), at(0)));
    let next = serving.poll_timeout().expect("they wait");
    serving.ask(who(0), want(0), at(0));
    assert_eq!(serving.next(next).map(|(peer, _)| peer), Some(who(1)));
}

#[test]
fn what_waited_too_long_is_not_answered_any_more() {
    let mut serving = Serving::default();
    serving.ask(who(0), want(0), at(0));
    serving.ask(who(0), want(1), at(1));
    let late = at(0) + REQUEST_TIMEOUT;
    assert_eq!(serving.next(late), Some((who(0), want(1))));
    assert_eq!(serving.poll_timeout(), None);
}

#[test]
fn the_requests_of_a_peer_go_with_it() {
    let mut serving = Serving::default();
    serving.ask(who(0), want(0), at(0));
    serving.forget(who(0));
    assert_eq!((serving.next(at(0)), serving.poll_timeout()), (None, None));
}

/// At a pace at which nobody exceeds its rate: what each was given is forgotten before its next
/// turn.
#[test]
fn who_asks_for_a_little_is_answered_before_thirty_that_ask_for_much() {
    let mut serving = Serving::default();
    let refill = |serving: &mut Serving, now| {
        (1..=30).for_each(|n| while serving.ask(who(n), want(n), now) {});
    };
    for now in (0..200).map(|n| at(n * 50)) {
        refill(&mut serving, now);
        if now > at(3_000) {
            assert!(serving.ask(who(31), want(31), now));
            let next = serving.next(now).map(|(peer, _)| peer);
            assert_eq!(next, Some(who(31)), "at {now:?}");
            serving.gave(who(31), 300, now);
        }
        let (peer, _) = serving.next(now).expect("they ask for much");
        serving.gave(peer, ANSWER, now);
    }
}

#[test]
fn an_answer_names_the_numbers_that_are_missing_below_its_first_frame() {
    let (sender, earth) = (peer(1), channel(0));
    let mut history = History::new(HistoryLimits {
        bytes: 1 << 20,
        age: Duration::from_secs(600),
    });
    let arrival = Arrival::local(at(0));
    history.insert(wholes(sender, &earth, 5, 2), Duration::ZERO, arrival);
    let range = |first, last| {
        let [first, last] = [first, last].map(|n| Seq::new(n).expect("not 0"));
        SeqRange::new(first, last)
    };
    let lacks = |first, last| {
        let seqs = range(first, last).expect("in order");
        let key = sender.identity.sender();
        Served::new(&history, &earth, key, seqs, at(1)).lacks
    };
    assert_eq!(lacks(2, 9), range(2, 4));
    assert_eq!(lacks(5, 9), None);
    assert_eq!(lacks(7, 9), range(7, 9));
}
