use std::{collections::BTreeSet, time::Duration};

use libp2p::{Multiaddr, PeerId};
use meshcast_proto::{Sender, Time};
use proptest::prelude::*;

use super::{
    Dial, Dialer, FORGET_MEMBER, HEAD_START, LASTING, LOOKUP_INTERVAL, LOOKUP_TIMEOUT,
    MAX_ADDRESSES, MAX_TARGETS, RETRY_OURSELVES, SeedId, SeedStatus,
    members::{MAX_MEMBERS, MAX_REPORTED, MAX_TOLD, REPORTED_BURST, REPORTED_DIALS, TELLER_DIALS},
    seeds::{TOLD_AT_ONCE, TOLD_EVERY},
    target::{BASE_WAIT, LONGEST_WAIT, LONGEST_WAIT_RECENT, RECENTLY, SHORTEST_WAIT},
};
use crate::ids::peer_id;

const SEED: SeedId = SeedId(0);
const SECOND: Duration = Duration::from_secs(1);

fn at(since: Duration) -> Time {
    Time::from_start(since)
}

fn peer(n: u16) -> PeerId {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&n.to_be_bytes());
    peer_id(Sender::new(key))
}

fn me() -> PeerId {
    peer(500)
}

/// Who tells of others.
fn teller() -> PeerId {
    peer(2)
}

fn address(n: u16) -> Multiaddr {
    format!("/ip4/192.0.2.1/tcp/{}", n + 1)
        .parse()
        .expect("an address")
}

fn name() -> Multiaddr {
    "/dns/mesh.internal/tcp/4001".parse().expect("an address")
}

fn refused() -> (SeedStatus, String) {
    (SeedStatus::Refused, "refused".to_owned())
}

/// What a resolver says.
fn found(addresses: impl IntoIterator<Item = Multiaddr>) -> Result<Vec<Multiaddr>, String> {
    let addresses: Vec<_> = addresses.into_iter().collect();
    if addresses.is_empty() {
        Err("no such name".to_owned())
    } else {
        Ok(addresses)
    }
}

fn dialer(seeds: impl IntoIterator<Item = Multiaddr>) -> Dialer {
    Dialer::new(me(), seeds.into_iter().collect(), 7, Time::ZERO)
}

fn outputs(dialer: &mut Dialer, now: Time) -> Vec<Dial> {
    dialer.handle_timeout(now);
    std::iter::from_fn(|| dialer.poll_output()).collect()
}

/// The waits after failures one upon the other.
fn waits(seed: u64, failures: usize) -> Vec<Duration> {
    let mut dialer = Dialer::new(me(), vec![address(1)], seed, Time::ZERO);
    let mut now = Time::ZERO;
    let wait = |_| {
        assert_eq!(outputs(&mut dialer, now), [Dial::Address(SEED, address(1))]);
        assert_eq!(
            dialer.poll_timeout(),
            None,
            "nothing to do while it is dialled"
        );
        dialer.handle_seed_failed(SEED, &address(1), refused(), now);
        let due = dialer.poll_timeout().expect("tried again");
        let wait = due.saturating_since(now);
        now = due;
        wait
    };
    (0..failures).map(wait).collect()
}

#[test]
fn waits_grow_within_bounds_and_are_spread_over_all_of_them() {
    let all: Vec<_> = (0..200).map(|seed| waits(seed, 12)).collect();
    for n in 0_u32..12 {
        let longest = BASE_WAIT.saturating_mul(1 << n).min(LONGEST_WAIT);
        let nth = || all.iter().map(|waits| waits[n as usize] - SHORTEST_WAIT);
        assert!(nth().all(|wait| wait <= longest));
        let mean = nth().sum::<Duration>() / 200;
        assert!(
            mean > longest * 4 / 10 && mean < longest * 6 / 10,
            "{n}: {mean:?} of {longest:?}"
        );
        assert!(nth().any(|wait| wait < longest / 10) && nth().any(|wait| wait > longest * 9 / 10));
    }
}

#[test]
fn the_same_seed_makes_the_same_waits() {
    assert_eq!(waits(3, 8), waits(3, 8));
    assert_ne!(waits(3, 8), waits(4, 8));
}

#[test]
fn a_member_is_forgotten_when_it_was_not_reached_for_as_long_as_messages_are_kept() {
    let mut dialer = dialer([]);
    dialer.handle_reported(teller(), peer(900), vec![address(1)], Time::ZERO);
    let mut last = Time::ZERO;
    while let Some(now) = dialer.poll_timeout() {
        for dial in outputs(&mut dialer, now) {
            assert_eq!(dial, Dial::Member(peer(900), vec![address(1)]));
            dialer.handle_member_failed(peer(900), false, now);
            last = now;
        }
    }
    assert!(
        last < at(FORGET_MEMBER) && last + 2 * LONGEST_WAIT > at(FORGET_MEMBER),
        "{last:?}"
    );
    assert!(dialer.members.all().is_empty());
}

#[test]
fn a_member_that_is_connected_or_told_of_is_not_forgotten() {
    let mut dialer = dialer([]);
    dialer.handle_reported(teller(), peer(900), vec![address(1)], Time::ZERO);
    dialer.handle_reported(teller(), peer(901), vec![address(2)], Time::ZERO);
    dialer.handle_connected(peer(900), Time::ZERO);
    dialer.handle_reported(
        teller(),
        peer(901),
        vec![address(2)],
        at(FORGET_MEMBER - SECOND),
    );
    dialer.handle_timeout(at(FORGET_MEMBER + SECOND));
    assert_eq!(dialer.members.all().len(), 2);
}

#[test]
fn a_member_in_whose_place_another_process_answers_is_forgotten() {
    let mut dialer = dialer([]);
    dialer.handle_reported(teller(), peer(900), vec![address(1)], Time::ZERO);
    assert_eq!(outputs(&mut dialer, Time::ZERO).len(), 1);
    dialer.handle_member_failed(peer(900), true, Time::ZERO);
    assert_eq!(dialer.poll_timeout(), None);
}

#[test]
fn a_seed_that_is_this_node_counts_as_tried_and_is_seldom_dialled_again() {
    let mut dialer = dialer([address(1)]);
    assert_eq!(outputs(&mut dialer, Time::ZERO).len(), 1);
    assert!(!dialer.seeds_tried());
    dialer.handle_seed_is_us(SEED, &address(1), Time::ZERO);
    assert!(dialer.seeds_tried());
    assert_eq!(dialer.poll_timeout(), Some(at(RETRY_OURSELVES)));
    assert_eq!(outputs(&mut dialer, at(RETRY_OURSELVES)).len(), 1);
}

#[test]
fn all_addresses_of_a_name_are_dialled_and_an_answer_replaces_the_one_before() {
    let mut dialer = dialer([name()]);
    assert_eq!(
        outputs(&mut dialer, Time::ZERO),
        [Dial::Resolve(SEED, name())]
    );
    dialer.handle_resolved(SEED, found([address(1), address(2)]), Time::ZERO);
    assert_eq!(outputs(&mut dialer, Time::ZERO).len(), 2);
    dialer.handle_seed_failed(SEED, &address(1), refused(), Time::ZERO);
    assert!(!dialer.seeds_tried());
    dialer.handle_seed_reached(SEED, &address(2), peer(1), Time::ZERO);
    assert!(dialer.seeds_tried());
    let now = at(LOOKUP_INTERVAL);
    assert!(outputs(&mut dialer, now).contains(&Dial::Resolve(SEED, name())));
    dialer.handle_resolved(SEED, found([address(2), address(3)]), now);
    assert_eq!(
        outputs(&mut dialer, now),
        [Dial::Address(SEED, address(3))],
        "1 is gone, 2 is reached"
    );
    dialer.handle_resolved(SEED, found([]), now);
    assert_eq!(
        dialer.seeds[0].targets.len(),
        2,
        "no answer takes nothing back"
    );
    dialer.handle_resolved(SEED, found((0..500).map(address)), now);
    assert_eq!(dialer.seeds[0].targets.len(), MAX_TARGETS);
}

#[test]
fn a_name_is_looked_up_once_at_a_time_and_one_that_does_not_resolve_counts_as_tried() {
    let mut dialer = dialer([name()]);
    assert_eq!(outputs(&mut dialer, Time::ZERO).len(), 1);
    assert_eq!(dialer.poll_timeout(), Some(at(LOOKUP_TIMEOUT)));
    assert!(outputs(&mut dialer, at(LOOKUP_TIMEOUT)).is_empty());
    assert!(dialer.seeds_tried(), "the resolver hangs");
    assert_eq!(dialer.poll_timeout(), None);
    dialer.handle_resolved(SEED, found([]), at(LOOKUP_TIMEOUT));
    assert_eq!(
        dialer.poll_timeout(),
        Some(at(LOOKUP_TIMEOUT + LOOKUP_INTERVAL))
    );

    let mut dialer = self::dialer([name()]);
    outputs(&mut dialer, Time::ZERO);
    dialer.handle_resolved(SEED, found([]), Time::ZERO);
    assert!(dialer.seeds_tried());
}

#[test]
fn one_that_dials_seeds_only_dials_no_member_whoever_tells_of_it() {
    let mut dialer = dialer([address(1)]);
    dialer.dial_members(false);
    dialer.handle_own_addresses(peer(900), vec![address(2)], Time::ZERO);
    dialer.handle_reported(teller(), peer(901), vec![address(3)], Time::ZERO);
    let dials = outputs(&mut dialer, at(10 * HEAD_START));
    assert_eq!(dials, [Dial::Address(SEED, address(1))]);
}

#[test]
fn the_smaller_id_dials_at_once_and_gives_the_larger_a_head_start_to_lose() {
    let mut dialer = dialer([]);
    dialer.handle_reported(teller(), peer(900), vec![address(1)], Time::ZERO);
    assert_eq!(
        dialer.poll_timeout(),
        Some(Time::ZERO),
        "we are the smaller"
    );
    outputs(&mut dialer, Time::ZERO);
    dialer.handle_reported(teller(), peer(100), vec![address(2)], Time::ZERO);
    assert_eq!(
        dialer.poll_timeout(),
        Some(at(HEAD_START)),
        "we are the larger"
    );
}

#[test]
fn memory_is_bounded_and_this_node_is_no_member_of_it() {
    let mut dialer = dialer([]);
    dialer.handle_reported(teller(), me(), vec![address(1)], Time::ZERO);
    dialer.handle_reported(teller(), peer(1), vec![], Time::ZERO);
    assert!(dialer.members.all().is_empty());
    let many: Vec<_> = (0..100).map(address).collect();
    (1000..6000).for_each(|n| dialer.handle_reported(teller(), peer(n), many.clone(), Time::ZERO));
    assert_eq!(dialer.members.all().len(), MAX_TOLD, "of one teller");
    for n in 1000..6000 {
        dialer.handle_reported(peer(n % 7), peer(n), many.clone(), Time::ZERO);
    }
    let members = dialer.members.all();
    assert_eq!(members.len(), MAX_MEMBERS, "of all");
    assert!(members.values().all(|it| it.heard() == MAX_REPORTED));
}

#[test]
fn whoever_tells_of_much_makes_way_for_others_and_for_members_that_were_met() {
    let mut dialer = dialer([]);
    for n in 1000..6000 {
        dialer.handle_reported(peer(n % 4), peer(n), vec![address(1)], Time::ZERO);
    }
    assert_eq!(dialer.members.all().len(), MAX_MEMBERS);
    dialer.handle_own_addresses(peer(900), vec![address(2)], Time::ZERO);
    dialer.handle_reported(peer(9), peer(901), vec![address(3)], Time::ZERO);
    let members = dialer.members.all();
    assert!(members.contains_key(&peer(900)) && members.contains_key(&peer(901)));
    assert_eq!(members.len(), MAX_MEMBERS);
    for n in 0..100 {
        dialer.handle_reported(peer(1), peer(901), vec![address(1000 + n)], Time::ZERO);
        dialer.handle_reported(peer(5), peer(901), vec![address(2000 + n)], Time::ZERO);
    }
    let known = dialer.members.all()[&peer(901)].addresses();
    assert!(known.contains(&address(3)), "{known:?}");
}

#[test]
fn reported_addresses_are_dialled_at_a_rate_and_true_ones_at_any() {
    let mut dialer = dialer([]);
    let tell = |dialer: &mut Dialer, n: u16, now| {
        dialer.handle_reported(teller(), peer(n), vec![address(n)], now);
    };
    (1000..2000).for_each(|n| tell(&mut dialer, n, Time::ZERO));
    let (mut now, mut dialled) = (Time::ZERO, 0_u32);
    while let Some(due) = dialer.poll_timeout().filter(|due| *due < at(60 * SECOND)) {
        now = now.max(due);
        let dials = outputs(&mut dialer, now);
        assert!(dials.len() <= TELLER_DIALS);
        for dial in dials {
            let Dial::Member(peer, _) = dial else {
                panic!("{dial:?}")
            };
            dialer.handle_member_failed(peer, false, now);
            dialled += 1;
        }
    }
    assert_eq!(
        dialled,
        REPORTED_BURST + 119,
        "two a second for a minute, but for the first"
    );

    let mut dialer = self::dialer([]);
    (1000..2000).for_each(|n| tell(&mut dialer, n, Time::ZERO));
    let mut reached = 0;
    loop {
        let dials = outputs(&mut dialer, Time::ZERO);
        if dials.is_empty() {
            break;
        }
        for dial in dials {
            let Dial::Member(peer, _) = dial else {
                panic!("{dial:?}")
            };
            dialer.handle_member_reached(peer);
            dialer.handle_connected(peer, Time::ZERO);
            reached += 1;
        }
    }
    assert_eq!(reached, 1000);
}

#[test]
fn honest_reporters_are_not_held_up_by_liars() {
    let mut dialer = dialer([]);
    let liar = peer(3);
    (1000..2000).for_each(|n| dialer.handle_reported(liar, peer(n), vec![address(n)], Time::ZERO));
    // None of these ends.
    assert_eq!(outputs(&mut dialer, Time::ZERO).len(), TELLER_DIALS);
    // The liar also tells of those whom somebody else tells of truly, and before.
    (3000..3100).for_each(|n| dialer.handle_reported(liar, peer(n), vec![address(1)], Time::ZERO));
    (3000..3100)
        .for_each(|n| dialer.handle_reported(teller(), peer(n), vec![address(n)], Time::ZERO));
    let mut reached = 0;
    loop {
        let dials = outputs(&mut dialer, Time::ZERO);
        if dials.is_empty() {
            break;
        }
        for dial in dials {
            let Dial::Member(peer, addresses) = dial else {
                panic!("{dial:?}")
            };
            assert!(addresses.iter().any(|it| *it != address(1)), "{peer}");
            dialer.handle_member_reached(peer);
            dialer.handle_connected(peer, Time::ZERO);
            reached += 1;
        }
    }
    assert_eq!(reached, 100);
}

/// The reports of a liar: when, of whom, and where they are.
#[derive(Debug, Clone)]
struct Lie {
    at: u64,
    of: std::ops::Range<u16>,
    addresses: Vec<u16>,
}

fn lie() -> impl Strategy<Value = Lie> {
    // Peer 900 is a member that was met.
    let of = (890_u16..1000, 1_u16..200).prop_map(|(from, many)| from..from + many);
    let addresses = prop::collection::vec(0_u16..200, 1..40);
    (0_u64..45_000, of, addresses).prop_map(|(at, of, addresses)| Lie { at, of, addresses })
}

/// Dials of seeds and of a member that was met and lost, and what was dialled besides, while all
/// dials fail: those of seeds and of the member after 3 s, others after half a minute.
fn dials_beside(lies: &[Lie], seed: u64) -> (Vec<(Time, Dial)>, usize) {
    let met = peer(900);
    let mut dialer = Dialer::new(me(), vec![address(1), name()], seed, Time::ZERO);
    dialer.handle_own_addresses(met, vec![address(5)], Time::ZERO);
    dialer.handle_connected(met, Time::ZERO);
    let mut ends: BTreeSet<(Time, usize)> = BTreeSet::new();
    let (mut all, mut own, mut others, mut under_way) = (Vec::new(), Vec::new(), 0, 0_usize);
    let mut lies: Vec<_> = lies
        .iter()
        .map(|lie| (at(Duration::from_millis(lie.at)), lie))
        .collect();
    lies.sort_by_key(|(at, _)| *at);
    let mut lies = lies.into_iter().peekable();
    let lost = at(15 * SECOND);
    let mut is_lost = false;
    loop {
        let due = [
            dialer.poll_timeout(),
            ends.first().map(|(time, _)| *time),
            lies.peek().map(|(time, _)| *time),
            (!is_lost).then_some(lost),
        ];
        let now = due
            .into_iter()
            .flatten()
            .min()
            .expect("seeds are dialled for ever");
        if now > at(60 * SECOND) {
            return (own, others);
        }
        if !is_lost && lost <= now {
            is_lost = true;
            dialer.handle_disconnected(met, now);
        }
        while let Some((_, dial)) = ends.first().copied().filter(|(time, _)| *time <= now) {
            ends.pop_first();
            match &all[dial] {
                Dial::Resolve(id, _) => {
                    dialer.handle_resolved(*id, found((2..5).map(address)), now)
                }
                Dial::Address(id, address) => {
                    dialer.handle_seed_failed(*id, address, refused(), now)
                }
                Dial::Member(peer, _) => {
                    under_way -= usize::from(*peer != met);
                    dialer.handle_member_failed(*peer, false, now);
                }
            }
        }
        while let Some((_, lie)) = lies.next_if(|(time, _)| *time <= now) {
            for n in lie.of.clone() {
                let addresses = lie.addresses.iter().copied().map(address).collect();
                dialer.handle_reported(peer(3), peer(n), addresses, now);
            }
        }
        for dial in outputs(&mut dialer, now) {
            let (takes, told) = match &dial {
                Dial::Member(peer, addresses) if *peer == met => {
                    assert_eq!(addresses[0], address(5), "what it told itself goes first");
                    (3 * SECOND, Some(Dial::Member(met, vec![])))
                }
                Dial::Member(..) => {
                    (others, under_way) = (others + 1, under_way + 1);
                    (30 * SECOND, None)
                }
                Dial::Address(..) => (3 * SECOND, Some(dial.clone())),
                Dial::Resolve(..) => (SECOND, Some(dial.clone())),
            };
            own.extend(told.map(|dial| (now, dial)));
            ends.insert((now + takes, all.len()));
            all.push(dial);
        }
        assert!(under_way <= REPORTED_DIALS);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_lie_delays_or_hastens_a_dial_of_a_seed_or_of_a_member_that_was_met(
        lies in prop::collection::vec(lie(), 1..8), seed in any::<u64>(),
    ) {
        let (without, none) = dials_beside(&[], seed);
        let (with, others) = dials_beside(&lies, seed);
        prop_assert_eq!(none, 0);
        prop_assert!(others <= 60 * 2 + usize::try_from(REPORTED_BURST).expect("few"), "{}", others);
        prop_assert_eq!(with, without);
    }
}

#[test]
fn who_hangs_up_at_once_is_dialled_at_growing_intervals() {
    let mut dialer = dialer([address(1)]);
    let mut now = Time::ZERO;
    for _ in 0..20 {
        // Its state may be told in between.
        while outputs(&mut dialer, now).is_empty() {
            now = dialer.poll_timeout().expect("tried again");
        }
        dialer.handle_seed_reached(SEED, &address(1), peer(1), now);
        dialer.handle_connected(peer(1), now);
        dialer.handle_disconnected(peer(1), now);
    }
    assert!(now > at(30 * SECOND), "twenty dials within {now:?}");
    while outputs(&mut dialer, now).is_empty() {
        now = dialer.poll_timeout().expect("tried again");
    }
    dialer.handle_seed_reached(SEED, &address(1), peer(1), now);
    dialer.handle_connected(peer(1), now);
    let now = now + LASTING;
    dialer.handle_disconnected(peer(1), now);
    let due = dialer.poll_timeout().expect("tried again");
    assert!(
        due <= now + SHORTEST_WAIT + BASE_WAIT,
        "a connection that lasted is sought again soon"
    );
}

#[test]
fn new_addresses_of_a_member_are_dialled_without_the_wait_that_the_old_ones_earned() {
    let mut dialer = dialer([]);
    dialer.handle_reported(teller(), peer(900), vec![address(1)], Time::ZERO);
    let mut now = Time::ZERO;
    for _ in 0..10 {
        assert_eq!(outputs(&mut dialer, now).len(), 1);
        dialer.handle_member_failed(peer(900), false, now);
        now = dialer.poll_timeout().expect("tried again");
    }
    let before = now - Duration::from_millis(1);
    dialer.handle_own_addresses(peer(900), vec![address(2)], before);
    assert_eq!(
        outputs(&mut dialer, before),
        [Dial::Member(peer(900), vec![address(2)])]
    );
}

#[test]
fn only_a_member_itself_replaces_its_addresses_and_what_others_add_is_bounded() {
    let mut dialer = dialer([]);
    dialer.handle_own_addresses(peer(900), vec![address(1)], Time::ZERO);
    for n in 0..100 {
        dialer.handle_reported(
            teller(),
            peer(900),
            vec![address(n), address(n + 100)],
            Time::ZERO,
        );
    }
    let known = dialer.members.all()[&peer(900)].addresses();
    assert_eq!((known.len(), &known[0]), (1 + MAX_REPORTED, &address(1)));
    let many = (200..300).map(address).collect();
    dialer.handle_own_addresses(peer(900), many, Time::ZERO);
    let known = dialer.members.all()[&peer(900)].addresses();
    assert_eq!((known.len(), &known[0]), (MAX_ADDRESSES, &address(200)));
}

/// How a seed is doing, and whether that was told since the last look.
fn look(dialer: &mut Dialer, seed: SeedId) -> (SeedStatus, Option<String>, usize) {
    let status = dialer.seed(seed).expect("a seed").status();
    let (is, reason) = (status.is, status.reason.clone());
    (
        is,
        reason,
        std::iter::from_fn(|| dialer.poll_news()).count(),
    )
}

#[test]
fn how_a_seed_is_doing_is_told_once_when_it_changes_and_with_the_reason() {
    let mut dialer = dialer([address(1)]);
    outputs(&mut dialer, Time::ZERO);
    assert_eq!(look(&mut dialer, SEED), (SeedStatus::Dialling, None, 0));
    let mut now = Time::ZERO;
    for tries in 0..5 {
        dialer.handle_seed_failed(SEED, &address(1), refused(), now);
        let told = usize::from(tries == 0);
        assert_eq!(
            look(&mut dialer, SEED),
            (SeedStatus::Refused, Some("refused".into()), told)
        );
        now = dialer.poll_timeout().expect("tried again");
        outputs(&mut dialer, now);
    }
    assert_eq!(
        dialer.seed(SEED).expect("a seed").status().since,
        Time::ZERO
    );
    dialer.handle_seed_reached(SEED, &address(1), peer(1), now);
    dialer.handle_connected(peer(1), now);
    assert_eq!(
        look(&mut dialer, SEED),
        (SeedStatus::Connected(peer(1)), None, 1)
    );
    let lost = now + LASTING;
    dialer.handle_disconnected(peer(1), lost);
    let reason = Some("the connection was lost".to_owned());
    assert_eq!(look(&mut dialer, SEED), (SeedStatus::Dialling, reason, 1));
    assert_eq!(dialer.seed(SEED).expect("a seed").status().since, lost);
}

#[test]
fn a_dns_name_is_reported_by_its_best_address_once_all_were_tried() {
    let mut dialer = dialer([name()]);
    assert_eq!(look(&mut dialer, SEED), (SeedStatus::Resolving, None, 0));
    outputs(&mut dialer, Time::ZERO);
    dialer.handle_resolved(SEED, found([]), Time::ZERO);
    assert_eq!(
        look(&mut dialer, SEED),
        (SeedStatus::Unresolved, Some("no such name".into()), 1)
    );
    dialer.handle_resolved(
        SEED,
        found([address(1), address(2), address(3)]),
        Time::ZERO,
    );
    look(&mut dialer, SEED);

    let mut dialer = self::dialer([name()]);
    outputs(&mut dialer, Time::ZERO);
    dialer.handle_resolved(
        SEED,
        found([address(1), address(2), address(3)]),
        Time::ZERO,
    );
    outputs(&mut dialer, Time::ZERO);
    dialer.handle_seed_failed(SEED, &address(1), refused(), Time::ZERO);
    dialer.handle_seed_is_us(SEED, &address(2), Time::ZERO);
    assert_eq!(
        look(&mut dialer, SEED),
        (SeedStatus::Dialling, None, 1),
        "3 is not known yet"
    );
    dialer.handle_seed_failed(
        SEED,
        &address(3),
        (SeedStatus::TimedOut, "late".into()),
        Time::ZERO,
    );
    assert_eq!(look(&mut dialer, SEED).0, SeedStatus::Refused);
    dialer.handle_seed_reached(SEED, &address(3), peer(3), Time::ZERO);
    assert_eq!(
        look(&mut dialer, SEED),
        (SeedStatus::Connected(peer(3)), None, 1)
    );
    let each = dialer.seed(SEED).expect("a seed");
    let each: Vec<_> = each.addresses().map(|(_, status)| status.is).collect();
    assert_eq!(
        each,
        [
            SeedStatus::Refused,
            SeedStatus::Ourselves,
            SeedStatus::Connected(peer(3))
        ]
    );
}

#[test]
fn a_name_that_the_resolver_does_not_answer_for_is_told_of() {
    let mut dialer = dialer([name()]);
    outputs(&mut dialer, Time::ZERO);
    outputs(&mut dialer, at(LOOKUP_TIMEOUT));
    assert_eq!(look(&mut dialer, SEED).0, SeedStatus::TimedOut);
}

#[test]
fn a_seed_that_comes_and_goes_is_told_of_now_and_then_and_what_is_true_in_the_end_is() {
    let mut dialer = dialer([address(1)]);
    let (mut now, mut told) = (Time::ZERO, 0);
    for _ in 0..1000 {
        outputs(&mut dialer, now);
        dialer.handle_seed_reached(SEED, &address(1), peer(1), now);
        dialer.handle_connected(peer(1), now);
        told += look(&mut dialer, SEED).2;
        dialer.handle_disconnected(peer(1), now);
        told += look(&mut dialer, SEED).2;
        now = now + Duration::from_millis(100);
    }
    let most = usize::try_from(TOLD_AT_ONCE).expect("few") + 100 / 30;
    assert!(told <= most, "{told} in {now:?}");
    dialer.handle_seed_failed(SEED, &address(1), refused(), now);
    let end = now + TOLD_EVERY;
    while let Some(due) = dialer.poll_timeout().filter(|due| *due <= end) {
        if !outputs(&mut dialer, due).is_empty() {
            dialer.handle_seed_failed(SEED, &address(1), refused(), due);
        }
    }
    assert_eq!(look(&mut dialer, SEED).2, 1);
}

#[derive(Debug, Clone)]
enum Event {
    Pass(u16),
    Resolved(Vec<u16>),
    Reached(u16, u16),
    Us(u16),
    Failed(u16),
    MemberFailed(u16, bool),
    MemberReached(u16),
    Connected(u16),
    Disconnected(u16),
    Member(u16, u16),
}

fn event() -> impl Strategy<Value = Event> {
    let (seed, member) = (0_u16..4, 498_u16..504);
    prop_oneof![
        (0_u16..20_000).prop_map(Event::Pass),
        prop::collection::vec(seed.clone(), 0..4).prop_map(Event::Resolved),
        (seed.clone(), member.clone()).prop_map(|(a, p)| Event::Reached(a, p)),
        seed.clone().prop_map(Event::Us),
        seed.clone().prop_map(Event::Failed),
        (member.clone(), any::<bool>()).prop_map(|(p, gone)| Event::MemberFailed(p, gone)),
        member.clone().prop_map(Event::MemberReached),
        member.clone().prop_map(Event::Connected),
        member.clone().prop_map(Event::Disconnected),
        (member, seed).prop_map(|(p, a)| Event::Member(p, a)),
    ]
}

proptest! {
    /// Whatever is told and in whatever order, right or wrong.
    #[test]
    fn nothing_is_due_right_after_what_was_due_is_done(
        events in prop::collection::vec(event(), 1..200),
    ) {
        let mut dialer = dialer([address(0), name()]);
        let mut now = Time::ZERO;
        for event in events {
            match event {
                Event::Pass(millis) => now = now + Duration::from_millis(millis.into()),
                Event::Resolved(n) => dialer.handle_resolved(
                    SeedId(1),
                    found(n.into_iter().map(address)),
                    now,
                ),
                Event::Reached(n, p) => (0..2).for_each(
                    |id| dialer.handle_seed_reached(SeedId(id), &address(n), peer(p), now)
                ),
                Event::Us(n) => (0..2).for_each(
                    |id| dialer.handle_seed_is_us(SeedId(id), &address(n), now)
                ),
                Event::Failed(n) => (0..2).for_each(
                    |id| dialer.handle_seed_failed(SeedId(id), &address(n), refused(), now)
                ),
                Event::MemberFailed(p, gone) => dialer.handle_member_failed(peer(p), gone, now),
                Event::MemberReached(p) => dialer.handle_member_reached(peer(p)),
                Event::Connected(p) => dialer.handle_connected(peer(p), now),
                Event::Disconnected(p) => dialer.handle_disconnected(peer(p), now),
                Event::Member(p, n) => dialer.handle_reported(
                    peer(n),
                    peer(p),
                    vec![address(n)],
                    now,
                ),
            }
            let dials = outputs(&mut dialer, now);
            prop_assert!(dialer.poll_timeout().is_none_or(|due| due > now));
            let members: Vec<_> = dials.iter().filter_map(|dial| match dial {
                Dial::Member(peer, _) => Some(*peer),
                _ => None,
            }).collect();
            let distinct: BTreeSet<_> = members.iter().copied().collect();
            prop_assert_eq!(distinct.len(), members.len());
            prop_assert!(!distinct.contains(&me()));
        }
    }
}

#[test]
fn a_silent_member_is_dialled_again_and_again_until_it_is_heard() {
    let mut dialer = dialer([]);
    let it = peer(900);
    dialer.handle_own_addresses(it, vec![address(1)], Time::ZERO);
    dialer.handle_connected(it, Time::ZERO);
    assert_eq!(outputs(&mut dialer, at(FORGET_MEMBER * 2)), []);
    let mut now = at(FORGET_MEMBER * 2);
    dialer.handle_silent(it, now);
    let head_start = dialer.first_wait(&it);
    for _ in 0..20 {
        let due = dialer.poll_timeout().expect("is to be dialled");
        assert!(due >= now && due <= now + SHORTEST_WAIT + LONGEST_WAIT_RECENT.max(head_start));
        now = due;
        assert_eq!(
            outputs(&mut dialer, now),
            [Dial::Member(it, vec![address(1)])]
        );
        dialer.handle_silent(it, now);
        dialer.handle_member_failed(it, false, now);
    }
    dialer.handle_heard(it);
    assert_eq!(dialer.poll_timeout(), None);
    assert_eq!(outputs(&mut dialer, now + RECENTLY), []);
}

#[test]
fn whoever_was_lost_a_moment_ago_is_looked_for_more_often() {
    let mut dialer = dialer([]);
    let it = peer(900);
    dialer.handle_own_addresses(it, vec![address(1)], Time::ZERO);
    dialer.handle_connected(it, Time::ZERO);
    let lost = at(LASTING);
    dialer.handle_disconnected(it, lost);
    let mut now = lost;
    let mut longest = [Duration::ZERO; 2];
    while now < lost + RECENTLY * 3 / 2 {
        let due = dialer.poll_timeout().expect("is to be dialled");
        let recent = now < lost + RECENTLY;
        let known = &mut longest[usize::from(!recent)];
        if now > lost {
            *known = (*known).max(due.saturating_since(now));
        }
        now = due;
        assert_eq!(outputs(&mut dialer, now).len(), 1);
        dialer.handle_member_failed(it, false, now);
    }
    assert!(longest[0] <= SHORTEST_WAIT + LONGEST_WAIT_RECENT);
    assert!(longest[1] > SHORTEST_WAIT + LONGEST_WAIT_RECENT);
}
