use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

fn seq(n: u64) -> Seq {
    Seq::new(n).expect("not 0")
}

fn lags(listener: &Progress) -> bool {
    listener.lags(Seq::FIRST).is_some()
}

fn checkpoints(reached: &[(u64, u64)]) -> Checkpoints {
    let mut checkpoints = Checkpoints::default();
    for (millis, next) in reached {
        checkpoints.reached(seq(*next), at(*millis));
    }
    checkpoints
}

#[test]
fn a_peer_that_has_everything_is_never_behind() {
    let checkpoints = checkpoints(&[(0, 2), (10, 9)]);
    assert_eq!(checkpoints.ahead_of(seq(9)), None);
    assert_eq!(checkpoints.ahead_of(seq(8)), Some(at(10)));
    assert_eq!(checkpoints.ahead_of(seq(1)), Some(at(0)));
}

#[test]
fn whoever_is_silent_lags_after_six_tenths_and_keeps_up_again_when_it_moves() {
    let checkpoints = checkpoints(&[(0, 2), (10, 9)]);
    let mut listener = Progress::new(seq(2), Some(seq(2)), &checkpoints, at(10));
    assert_eq!((listener.gate(), lags(&listener)), (Some(seq(2)), false));
    listener.judge(&checkpoints, at(10), at(609));
    assert_eq!((listener.gate(), lags(&listener)), (Some(seq(2)), false));
    listener.judge(&checkpoints, at(10), at(610));
    assert_eq!((listener.gate(), lags(&listener)), (None, true));
    listener.advanced(seq(3), Some(seq(3)), &checkpoints, at(620));
    assert_eq!((listener.gate(), lags(&listener)), (Some(seq(3)), false));
}

#[test]
fn whoever_is_slow_but_moves_lags_after_two_seconds_and_keeps_up_again_within_one() {
    let checkpoints = checkpoints(&[(0, 2), (10, 100), (400, 200)]);
    let mut listener = Progress::new(seq(2), Some(seq(2)), &checkpoints, at(10));
    for (step, millis) in (3..).zip((500..2_000).step_by(500)) {
        listener.advanced(seq(step), Some(seq(step)), &checkpoints, at(millis));
        assert_eq!((listener.gate(), lags(&listener)), (Some(seq(step)), false));
    }
    listener.advanced(seq(9), Some(seq(9)), &checkpoints, at(2_010));
    assert_eq!((listener.gate(), lags(&listener)), (None, true));
    listener.advanced(seq(199), Some(seq(199)), &checkpoints, at(2_020));
    assert!(lags(&listener), "what it lacks is more than a second old");
    listener.advanced(seq(200), Some(seq(200)), &checkpoints, at(2_030));
    assert_eq!((listener.gate(), lags(&listener)), (Some(seq(200)), false));
}

#[test]
fn whoever_comes_later_is_not_waited_for_before_it_caught_up() {
    let checkpoints = checkpoints(&[(0, 100), (2000, 200)]);
    let mut listener = Progress::new(seq(5), Some(seq(5)), &checkpoints, at(2200));
    assert_eq!((listener.gate(), lags(&listener)), (None, false));
    listener.advanced(seq(100), Some(seq(100)), &checkpoints, at(2299));
    assert_eq!((listener.gate(), lags(&listener)), (Some(seq(100)), false));
}

#[test]
fn a_relay_that_keeps_up_is_judged_without_the_laggards_behind_it() {
    let checkpoints = checkpoints(&[(0, 2), (10, 9)]);
    let mut relay = Progress::new(seq(9), Some(seq(2)), &checkpoints, at(10));
    assert_eq!(relay.gate(), Some(seq(2)));
    relay.judge(&checkpoints, at(10), at(1000));
    assert_eq!((relay.gate(), lags(&relay)), (Some(seq(9)), false));
    // One that looks to somebody else is waited for by that one.
    relay.advanced(seq(9), None, &checkpoints, at(1000));
    assert_eq!(relay.gate(), None);
    assert_eq!(relay.due(&checkpoints, at(10), at(1000)), None);
}

proptest! {
    /// The reference: every moment at which this node got further, remembered for ever.
    #[test]
    fn checkpoints_tell_who_is_behind_as_a_full_record_does(
        steps in prop::collection::vec((0..400_u64, 1..50_u64), 1..80),
        wait in 0..5000_u64,
        back in 0..500_u64,
    ) {
        let (mut checkpoints, mut full) = (Checkpoints::default(), Vec::new());
        let (mut now, mut next) = (0, 1);
        for (pause, count) in steps {
            (now, next) = (now + pause, next + count);
            checkpoints.reached(seq(next), at(now));
            full.push((now, next));
        }
        let waits_for = next.saturating_sub(back).max(1);
        let exact = full.iter().find(|(_, next)| *next > waits_for).map(|(at, _)| *at);
        let told = checkpoints.ahead_of(seq(waits_for));
        prop_assert_eq!(exact.is_some(), told.is_some());
        if let (Some(exact), Some(told)) = (exact, told) {
            // Late by what lies between two marks; of what was forgotten it is only known that it
            // is long ago.
            let told = u64::try_from(told.since_start().as_millis()).expect("small");
            prop_assert!(told >= exact);
            prop_assert!(
                told <= exact + 100 || told + 2000 <= now,
                "{} is told as {} at {}",
                exact,
                told,
                now,
            );
            let verdict = |since: u64| at(now + wait) < at(since) + LAG;
            if verdict(exact + 100) == verdict(exact) {
                prop_assert_eq!(verdict(told), verdict(exact));
            }
        }
        // Any two but peers are a tenth of a second apart.
        prop_assert!(checkpoints.0.len() <= 43);
    }
}
