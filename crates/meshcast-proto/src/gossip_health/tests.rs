use proptest::prelude::*;

use super::*;

const FRESHLY: Duration = Duration::from_millis(600);

fn peer(n: u8) -> Sender {
    Sender::new([n; 32])
}

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

/// Judges one peer, which is up since the start.
fn with_one() -> MuteDetector {
    let mut detector = MuteDetector::default();
    detector.handle_up(peer(1), at(0));
    detector
}

/// Gives the same sign every 500 ms from `from` until the peer is found mute, at the latest
/// until `to`.
fn signs(detector: &mut MuteDetector, sign: Sign, from: u64, to: u64) -> Option<u64> {
    (from..to).step_by(500).find(|now| {
        detector.handle_sign(peer(1), sign, at(*now));
        detector.poll_mute().is_some()
    })
}

#[test]
fn who_is_heard_only_by_repair_is_found_mute_after_five_seconds_and_once() {
    let mut detector = with_one();
    assert_eq!(
        signs(&mut detector, Sign::Fetched(FRESHLY), 1_000, 60_000),
        Some(6_500)
    );
    assert_eq!(
        signs(&mut detector, Sign::Fetched(FRESHLY), 7_000, 60_000),
        None
    );
    assert_eq!(detector.times(peer(1)), 1);
}

#[test]
fn a_peer_that_withholds_or_is_heard_on_detours_is_given_longer() {
    let mut detector = with_one();
    assert_eq!(
        signs(&mut detector, Sign::Withheld(FRESHLY), 0, 90_000),
        Some(20_500)
    );
    let mut detector = with_one();
    assert_eq!(
        signs(&mut detector, Sign::Detoured, 0, 90_000),
        Some(30_500)
    );
}

#[test]
fn any_frame_by_gossip_acquits_of_every_suspicion() {
    for sign in [
        Sign::Fetched(FRESHLY),
        Sign::Withheld(FRESHLY),
        Sign::Detoured,
    ] {
        let mut detector = with_one();
        for round in 0..100 {
            let begin = round * 5_000;
            assert_eq!(
                signs(&mut detector, sign, begin, begin + 5_000),
                None,
                "{sign:?}"
            );
            detector.handle_gossip(peer(1), at(begin + 4_999));
        }
    }
}

#[test]
fn who_is_behind_fetches_and_the_link_is_not_blamed() {
    let mut detector = with_one();
    assert_eq!(
        signs(&mut detector, Sign::Fetched(FRESH + FRESHLY), 0, 600_000),
        None
    );
    assert_eq!(
        signs(&mut detector, Sign::Withheld(FRESH + FRESHLY), 0, 600_000),
        None
    );
    // An old sign takes back fresh ones.
    for round in 0..100 {
        let begin = 600_000 + round * 5_000;
        assert_eq!(
            signs(&mut detector, Sign::Fetched(FRESHLY), begin, begin + 5_000),
            None
        );
        detector.handle_sign(
            peer(1),
            Sign::Fetched(Duration::from_secs(3)),
            at(begin + 4_999),
        );
    }
}

#[test]
fn frames_that_come_all_at_once_after_a_pause_are_one_sign() {
    let mut detector = with_one();
    detector.handle_sign(peer(1), Sign::Fetched(FRESHLY), at(0));
    for millis in 0..100 {
        detector.handle_sign(peer(1), Sign::Fetched(FRESHLY), at(30_000 + millis));
    }
    assert_eq!(detector.poll_mute(), None);
}

#[test]
fn signs_far_apart_do_not_add_up() {
    let mut detector = with_one();
    for minute in 0..1_000 {
        detector.handle_sign(peer(1), Sign::Fetched(FRESHLY), at(minute * 60_000));
    }
    assert_eq!(detector.poll_mute(), None);
}

#[test]
fn a_fresh_connection_starts_without_suspicion_and_a_closed_one_is_not_judged() {
    let mut detector = with_one();
    assert_eq!(signs(&mut detector, Sign::Fetched(FRESHLY), 0, 5_000), None);
    detector.handle_down(peer(1));
    assert_eq!(
        signs(&mut detector, Sign::Fetched(FRESHLY), 5_000, 60_000),
        None
    );
    detector.handle_up(peer(1), at(60_000));
    assert_eq!(
        signs(&mut detector, Sign::Fetched(FRESHLY), 60_000, 90_000),
        Some(65_500)
    );
    // Found and gone before anybody asked.
    let mut detector = with_one();
    (0..20).for_each(|n| detector.handle_sign(peer(1), Sign::Fetched(FRESHLY), at(n * 500)));
    detector.handle_down(peer(1));
    assert_eq!(detector.poll_mute(), None);
}

#[test]
fn a_link_that_is_mute_again_at_once_is_given_twice_as_long_each_time() {
    let (mut detector, mut connected_at, mut lasted) = (MuteDetector::default(), 0, Vec::new());
    for _ in 0..9 {
        detector.handle_up(peer(1), at(connected_at));
        let found = signs(
            &mut detector,
            Sign::Fetched(FRESHLY),
            connected_at,
            connected_at + 3_600_000,
        )
        .expect("is mute");
        lasted.push((found - connected_at) / 1_000);
        detector.handle_down(peer(1));
        connected_at = found + 500;
    }
    assert_eq!(lasted, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
}

#[test]
fn a_steady_minute_clears_the_record() {
    let mut detector = with_one();
    let found = signs(&mut detector, Sign::Fetched(FRESHLY), 0, 60_000).expect("is mute");
    detector.handle_down(peer(1));
    detector.handle_up(peer(1), at(found + 1_000));
    detector.handle_gossip(peer(1), at(found + 60_000));
    assert_eq!(detector.times(peer(1)), 1);
    detector.handle_gossip(peer(1), at(found + 61_000));
    assert_eq!(detector.times(peer(1)), 0);
}

#[test]
fn if_all_links_seem_mute_they_are_closed_one_by_one() {
    let mut detector = MuteDetector::default();
    (1..=10).for_each(|n| detector.handle_up(peer(n), at(0)));
    let mut found = Vec::new();
    for now in (0..30_000).step_by(500) {
        for n in 1..=10 {
            detector.handle_sign(peer(n), Sign::Fetched(FRESHLY), at(now));
            found.extend(detector.poll_mute().map(|_| now));
        }
    }
    let expected: Vec<u64> = (0..10).map(|n| 5_500 + n * 1_000).collect();
    assert_eq!(found, expected);
}

#[test]
fn records_are_bounded() {
    let mut detector = MuteDetector::default();
    for n in 0..MAX_HISTORIES as u64 + 100 {
        let id = Sender::new(std::array::from_fn(|at| n.to_le_bytes()[at % 8]));
        let start = n * 10;
        detector.handle_up(id, at(start));
        // Each is judged far enough from the others for the rate not to matter, and within the same
        // quarter hour.
        detector.last = None;
        for sign in 0..20 {
            detector.handle_sign(id, Sign::Fetched(FRESHLY), at(start + sign * 500));
        }
        assert_eq!(detector.poll_mute(), Some(id));
        detector.handle_down(id);
    }
    assert_eq!(detector.histories.len(), MAX_HISTORIES);
}

/// What may happen to a link within half a second.
#[derive(Debug, Clone, Copy)]
enum Step {
    Sign(Sign),
    Gossip,
    Reconnect,
    Nothing,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let age = (0_u64..4_000).prop_map(Duration::from_millis);
    let step = prop_oneof![
        4 => age.clone().prop_map(|age| Step::Sign(Sign::Fetched(age))),
        2 => age.prop_map(|age| Step::Sign(Sign::Withheld(age))),
        2 => Just(Step::Sign(Sign::Detoured)),
        1 => Just(Step::Gossip),
        1 => Just(Step::Reconnect),
        2 => Just(Step::Nothing),
    ];
    proptest::collection::vec((0_u64..2_000, step), 0..500)
}

proptest! {
    /// In any case nobody is found mute within five seconds of being connected or heard, nor sooner
    /// after the last time than its backoff.
    #[test]
    fn nobody_is_found_soon_after_it_was_heard_and_never_too_often(steps in steps()) {
        let mut detector = with_one();
        let (mut now, mut connected_at, mut heard, mut found) = (0, 0, 0, None::<u64>);
        for (pause, step) in steps {
            now += pause;
            match step {
                Step::Sign(sign) => detector.handle_sign(peer(1), sign, at(now)),
                Step::Gossip => {
                    detector.handle_gossip(peer(1), at(now));
                    heard = now;
                }
                Step::Reconnect => {
                    detector.handle_down(peer(1));
                    detector.handle_up(peer(1), at(now));
                    (connected_at, heard) = (now, now);
                }
                Step::Nothing => {}
            }
            let before = detector.times(peer(1));
            if detector.poll_mute().is_some() {
                prop_assert!(now - connected_at.max(heard) > 5_000);
                // The record counts this time already.
                let held = backoff(before - 1).as_millis() as u64;
                prop_assert!(now - connected_at >= held);
                prop_assert!(found.is_none_or(|last| now - last >= 1_000));
                found = Some(now);
            }
        }
    }
}
