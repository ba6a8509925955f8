use super::*;
use crate::fixture::peer;

fn who(n: usize) -> Sender {
    peer(n).member.sender()
}

fn at(seconds: u64) -> Time {
    Time::from_start(Duration::from_secs(seconds))
}

#[test]
fn who_goes_on_is_throttled_then_cut_and_each_is_said_once() {
    let mut conduct = Conduct::default();
    let said: Vec<_> = (0..12)
        .filter_map(|n| {
            conduct
                .handle_offence(who(0), Offence::Forged, at(0))
                .map(|it| (n, it))
        })
        .collect();
    assert_eq!(said, [(4, Standing::Throttled), (9, Standing::Cut)]);
    assert_eq!(conduct.standing(who(0)), Standing::Cut);
    assert_eq!(conduct.offences(who(0)), 12);
    assert_eq!(conduct.standing(who(1)), Standing::Good);
}

#[test]
fn what_is_done_now_and_then_has_no_consequence() {
    let mut conduct = Conduct::default();
    for n in 0..1_000 {
        // Four a minute.
        assert_eq!(
            conduct.handle_offence(who(0), Offence::FalseClaim, at(15 * n)),
            None
        );
        assert_eq!(conduct.handle_timeout(at(15 * n)), []);
    }
}

#[test]
fn who_stops_is_forgiven_and_who_was_cut_is_not() {
    let mut conduct = Conduct::default();
    for _ in 0..60 {
        conduct.handle_offence(who(0), Offence::OverLimit, at(0));
        conduct.handle_offence(who(1), Offence::Impossible, at(0));
    }
    let standing = |conduct: &Conduct| [0, 1].map(|n| conduct.standing(who(n)));
    assert_eq!(standing(&conduct), [Standing::Throttled, Standing::Cut]);
    assert_eq!(conduct.handle_timeout(at(60)), []);
    // From sixty points to half of what throttles.
    assert_eq!(conduct.handle_timeout(at(6 * 35)), [who(0)]);
    assert_eq!(standing(&conduct), [Standing::Good, Standing::Cut]);
    conduct.handle_timeout(at(10_000));
    assert_eq!(conduct.offences(who(0)), 0);
    assert_eq!(standing(&conduct), [Standing::Good, Standing::Cut]);
}

#[test]
fn many_identities_do_not_take_more_than_their_places() {
    let mut conduct = Conduct::default();
    for _ in 0..10 {
        conduct.handle_offence(who(0), Offence::Forged, at(0));
    }
    for n in 0..2 * MAX_RECORDS {
        let mut key = [0xee; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        conduct.handle_offence(Sender::new(key), Offence::OverLimit, at(0));
    }
    assert_eq!(conduct.records.len(), MAX_RECORDS);
    assert_eq!(conduct.standing(who(0)), Standing::Cut);
}
