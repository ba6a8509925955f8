use std::iter::from_fn;

use super::*;
use crate::fixture::peer;

fn who(n: usize) -> Sender {
    peer(n).member.sender()
}

/// Somebody else, of as many as one likes.
fn another(n: usize) -> Sender {
    let mut key = [0xee; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    Sender::new(key)
}

fn at(seconds: u64) -> Time {
    Time::from_start(Duration::from_secs(seconds))
}

impl Conduct {
    fn verdicts(&mut self) -> Vec<Verdict> {
        from_fn(|| self.poll_verdict()).collect()
    }

    fn offend(&mut self, peer: Sender, offence: Offence, times: u64, now: Time) -> Vec<Verdict> {
        self.handle_offence(peer, offence, times, now);
        self.verdicts()
    }
}

#[test]
fn who_goes_on_is_throttled_then_cut_and_each_is_said_once() {
    let (mut conduct, peer, offence) = (Conduct::default(), who(0), Offence::Forged);
    let said: Vec<_> = (0..12)
        .flat_map(|n| {
            let said = conduct.offend(peer, offence, 1, at(0));
            said.into_iter().map(move |it| (n, it))
        })
        .collect();
    let throttle = Verdict::Throttle { peer, offence };
    assert_eq!(said, [(4, throttle), (9, Verdict::Cut { peer, offence })]);
    assert_eq!(conduct.standing(peer), Standing::Cut);
    assert_eq!(conduct.offences(peer), 12);
    assert_eq!(conduct.standing(who(1)), Standing::Good);
}

#[test]
fn what_is_done_by_gossip_and_in_a_session_adds_up() {
    let (mut conduct, peer) = (Conduct::default(), who(0));
    // Gossip brings many at once, a session one by one.
    assert_eq!(conduct.offend(peer, Offence::Forged, 4, at(0)), []);
    let offence = Offence::FalseClaim;
    let said = (0..30).flat_map(|_| conduct.offend(peer, offence, 1, at(0)));
    let said: Vec<_> = said.collect();
    let throttle = Verdict::Throttle { peer, offence };
    assert_eq!(said, [throttle, Verdict::Cut { peer, offence }]);
    assert_eq!(conduct.offences(peer), 34);
    // And much more than enough at once cuts off whoever it is.
    let (peer, offence) = (who(1), Offence::Unreadable);
    let said = conduct.offend(peer, offence, u64::MAX, at(0));
    assert_eq!(said, [Verdict::Cut { peer, offence }]);
}

#[test]
fn what_is_done_now_and_then_has_no_consequence() {
    let mut conduct = Conduct::default();
    for n in 0..1_000 {
        // Four a minute.
        let said = conduct.offend(who(0), Offence::FalseClaim, 1, at(15 * n));
        assert_eq!(said, []);
        conduct.handle_timeout(at(15 * n));
        assert_eq!(conduct.verdicts(), []);
    }
}

#[test]
fn who_stops_is_forgiven_and_who_was_cut_is_not() {
    let mut conduct = Conduct::default();
    for _ in 0..60 {
        conduct.offend(who(0), Offence::OverLimit, 1, at(0));
        conduct.offend(who(1), Offence::Impossible, 1, at(0));
    }
    let standing = |conduct: &Conduct| [0, 1].map(|n| conduct.standing(who(n)));
    assert_eq!(standing(&conduct), [Standing::Throttled, Standing::Cut]);
    conduct.handle_timeout(at(60));
    assert_eq!(conduct.verdicts(), []);
    // From sixty points to half of what throttles.
    conduct.handle_timeout(at(6 * 35));
    assert_eq!(conduct.verdicts(), [Verdict::Forgive { peer: who(0) }]);
    assert_eq!(standing(&conduct), [Standing::Good, Standing::Cut]);
    conduct.handle_timeout(at(10_000));
    assert_eq!(conduct.offences(who(0)), 0);
    assert_eq!(standing(&conduct), [Standing::Good, Standing::Cut]);
}

#[test]
fn many_identities_do_not_take_more_than_their_places() {
    let mut conduct = Conduct::default();
    conduct.offend(who(0), Offence::Forged, 10, at(0));
    for n in 0..2 * MAX_SUSPECTS {
        conduct.offend(another(n), Offence::OverLimit, 1, at(0));
    }
    assert_eq!(conduct.suspects.len(), MAX_SUSPECTS);
    assert_eq!(conduct.standing(who(0)), Standing::Cut);
}

#[test]
fn whoever_is_forgotten_for_want_of_room_is_not_left_throttled() {
    let (mut conduct, peer) = (Conduct::default(), who(0));
    conduct.offend(peer, Offence::Forged, 5, at(0));
    for n in 0..MAX_SUSPECTS - 1 {
        conduct.offend(another(n), Offence::Forged, 6, at(0));
    }
    let said = conduct.offend(another(MAX_SUSPECTS), Offence::OverLimit, 1, at(0));
    assert_eq!(said, [Verdict::Forgive { peer }]);
    assert_eq!(conduct.standing(peer), Standing::Good);
}

#[test]
fn whoever_is_let_back_in_for_want_of_room_is_judged_anew_and_cut_off_again() {
    let (mut conduct, peer, offence) = (Conduct::default(), who(0), Offence::Forged);
    conduct.offend(peer, offence, 10, at(0));
    let mut said = Vec::new();
    for n in 0..MAX_CUT {
        said = conduct.offend(another(n), offence, 10, at(1));
    }
    let last = another(MAX_CUT - 1);
    let cut = Verdict::Cut {
        peer: last,
        offence,
    };
    assert_eq!(said, [Verdict::Readmit { peer }, cut]);
    assert_eq!(conduct.standing(peer), Standing::Good);
    assert_eq!(conduct.cut.len(), MAX_CUT);
    let said = conduct.offend(peer, offence, 10, at(2));
    assert_eq!(said.last(), Some(&Verdict::Cut { peer, offence }));
}
