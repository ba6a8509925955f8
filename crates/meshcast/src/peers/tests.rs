use std::{sync::Arc, time::Duration};

use libp2p::{Multiaddr, swarm::ConnectionId};
use meshcast_proto::{Time, WallTime};
use proptest::prelude::*;

use super::{DEAD, Direction, KEEP_SURPLUS, Peers, SILENCE, SPREAD_AT_ONCE, SPREAD_INTERVAL};
use crate::{channel::fixture::Source, ids::peer_id};

/// Two nodes and the connections between them, each with one number at both ends.
struct Pair {
    ends: [Peers; 2],
    sources: [Source; 2],
    now: Time,
}

impl Pair {
    fn new() -> Self {
        let mut sources = [Source::new(1), Source::new(2)];
        // The first is the one with the smaller id.
        sources.sort_by_key(|source| peer_id(source.member.sender()));
        let ends = [0, 1].map(|end: usize| Peers::new(peer_id(sources[end].member.sender())));
        let now = Time::ZERO;
        Self { ends, sources, now }
    }

    fn established(&mut self, end: usize, number: usize, dialler: usize) {
        let other = &self.sources[1 - end].member;
        let direction = if dialler == end {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        let connection = (
            ConnectionId::new_unchecked(number),
            direction,
            Multiaddr::empty(),
        );
        let (other, now) = (Arc::clone(other), self.now);
        self.ends[end].handle_established(other, connection, now, WallTime::MIN);
    }

    fn closed(&mut self, end: usize, number: usize) {
        let peer = peer_id(self.sources[1 - end].member.sender());
        self.ends[end].handle_closed(peer, ConnectionId::new_unchecked(number));
    }

    /// Lets time pass and closes at both ends what either closes. Returns what is left.
    fn settle(&mut self, mut open: Vec<usize>) -> Vec<usize> {
        self.now = self.now + KEEP_SURPLUS;
        let closing: Vec<_> = self
            .ends
            .iter_mut()
            .flat_map(|end| end.take_surplus(self.now))
            .map(|(_, connection)| connection)
            .collect();
        let closes = |number: &usize| closing.contains(&ConnectionId::new_unchecked(*number));
        for number in open
            .extract_if(.., |number| closes(number))
            .collect::<Vec<_>>()
        {
            (0..2).for_each(|end| self.closed(end, number));
        }
        for end in &mut self.ends {
            assert_eq!(end.surplus_due(), None, "nothing is left to be due");
        }
        open
    }
}

/// Every way in which up to three connections can be dialled and come up at each end.
#[test]
fn of_any_connections_exactly_one_stays_and_both_ends_agree() {
    for count in 1..=3_usize {
        for dialled in 0..1 << count {
            for (first, second) in orders(count)
                .into_iter()
                .flat_map(|a| orders(count).into_iter().map(move |b| (a.clone(), b)))
            {
                let mut pair = Pair::new();
                for (end, order) in [(0, first), (1, second)] {
                    for number in order {
                        pair.now = pair.now + Duration::from_millis(1);
                        pair.established(end, number, dialled >> number & 1);
                    }
                }
                let left = pair.settle((0..count).collect());
                assert_eq!(left.len(), 1, "{count} connections, dialled by {dialled:b}");
            }
        }
    }
}

fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else {
        return vec![Vec::new()];
    };
    let shorter = orders(last);
    let with_last = shorter.into_iter().flat_map(|order| {
        (0..count).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        })
    });
    with_last.collect()
}

#[test]
fn a_surplus_connection_is_closed_once_and_not_before_its_time() {
    let mut pair = Pair::new();
    pair.established(0, 0, 1);
    pair.now = pair.now + 100 * KEEP_SURPLUS;
    let peer = peer_id(pair.sources[1].member.sender());
    pair.ends[0].handle_heard(&peer, pair.now);
    pair.established(0, 1, 0);
    let end = &mut pair.ends[0];
    assert_eq!(
        end.surplus_due(),
        Some(pair.now + KEEP_SURPLUS),
        "also if it is the old one that goes"
    );
    assert!(end.take_surplus(pair.now).is_empty());
    assert_eq!(
        end.take_surplus(pair.now + KEEP_SURPLUS),
        [(peer, ConnectionId::new_unchecked(0))]
    );
    assert!(end.take_surplus(pair.now + KEEP_SURPLUS).is_empty());
}

#[test]
fn a_peer_is_gone_with_its_last_connection() {
    let mut pair = Pair::new();
    pair.established(0, 0, 0);
    pair.established(0, 1, 1);
    let peer = peer_id(pair.sources[1].member.sender());
    assert!(
        pair.ends[0]
            .handle_closed(peer, ConnectionId::new_unchecked(0))
            .is_none()
    );
    assert!(
        pair.ends[0]
            .handle_closed(peer, ConnectionId::new_unchecked(1))
            .is_some()
    );
    assert!(
        pair.ends[0]
            .handle_closed(peer, ConnectionId::new_unchecked(1))
            .is_none()
    );
    assert!(pair.ends[0].get(&peer).is_none());
}

/// Two looks a second.
const LOOK: Duration = Duration::from_millis(500);

/// Looks at the one peer of the first node, and tells whether a sign of life is due and whether it
/// is dead.
fn look(pair: &mut Pair, received: bool, sent: bool) -> (bool, bool) {
    pair.now = pair.now + LOOK;
    let (_, peer) = pair.ends[0].iter_mut().next().expect("is connected");
    let due = peer.look(received, sent, pair.now);
    (due, peer.is_dead(pair.now))
}

#[test]
fn a_peer_of_which_nothing_comes_is_dead_after_four_seconds_and_one_of_which_anything_does_is_not()
{
    let mut pair = Pair::new();
    pair.established(0, 0, 0);
    for nth in 0..100 {
        let received = nth % 7 == 6;
        assert!(
            !look(&mut pair, received, true).1,
            "every three and a half seconds"
        );
    }
    assert!(!look(&mut pair, true, true).1);
    let dead = [(); 8].map(|()| look(&mut pair, false, true).1);
    assert_eq!(
        dead,
        [false, false, false, false, false, false, false, true]
    );
}

#[test]
fn a_sign_of_life_is_sent_to_whom_nothing_is_said_and_to_nobody_else() {
    let mut pair = Pair::new();
    pair.established(0, 0, 0);
    let sent = [(); 20].map(|()| look(&mut pair, true, true).0);
    assert_eq!(sent, [false; 20]);
    let mut signs = 0;
    let mut last = false;
    for _ in 0..60 {
        // Something sent at one look is seen at the next.
        last = look(&mut pair, true, last).0;
        signs += u32::from(last);
    }
    assert_eq!(signs, 20, "one in a second and a half for half a minute");
}

#[test]
fn whoever_stood_still_itself_blames_nobody_for_that_time() {
    let mut pair = Pair::new();
    pair.established(0, 0, 0);
    look(&mut pair, false, true);
    for still in [SILENCE, DEAD, Duration::from_secs(3600)] {
        pair.now = pair.now + still;
        pair.ends[0].excuse_silence(still, pair.now);
        let (_, peer) = pair.ends[0].iter().next().expect("is connected");
        assert!(!peer.is_silent(pair.now) && !peer.is_dead(pair.now));
    }
    let dead = [(); 7].map(|()| look(&mut pair, false, true).1);
    assert_eq!(
        dead.map(usize::from).iter().sum::<usize>(),
        1,
        "for the rest it does"
    );
}

proptest! {
    /// Connections come and go at random; whenever it is quiet, one is left if there was any.
    #[test]
    fn one_connection_is_left_whenever_it_is_quiet(
        rounds in prop::collection::vec(
            prop::collection::vec((0_usize..2, any::<bool>(), any::<bool>()), 0..4),
            1..10,
        ),
    ) {
        let mut pair = Pair::new();
        let (mut open, mut next) = (Vec::new(), 0);
        for round in rounds {
            for (dialler, second_first, drops_one) in round {
                let ends = if second_first { [1, 0] } else { [0, 1] };
                ends.into_iter().for_each(|end| pair.established(end, next, dialler));
                open.push(next);
                next += 1;
                if drops_one {
                    let gone = open.remove(0);
                    (0..2).for_each(|end| pair.closed(end, gone));
                }
            }
            let expected = usize::from(!open.is_empty());
            open = pair.settle(open);
            prop_assert_eq!(open.len(), expected);
        }
    }
}

#[test]
fn a_silent_peer_that_comes_back_by_another_connection_loses_the_old_one_at_once() {
    let mut pair = Pair::new();
    for end in 0..2 {
        pair.established(end, 1, 0);
    }
    pair.now = pair.now + SILENCE;
    for end in 0..2 {
        pair.established(end, 2, 1);
        let old = ConnectionId::new_unchecked(1);
        let closing = pair.ends[end].take_surplus(pair.now);
        assert_eq!(
            closing.into_iter().map(|(_, it)| it).collect::<Vec<_>>(),
            [old]
        );
    }
    (0..2).for_each(|end| pair.closed(end, 1));
    assert_eq!(pair.settle(vec![2]), [2]);
}

#[test]
fn a_peer_that_is_heard_keeps_its_connection_for_as_long_as_any() {
    let mut pair = Pair::new();
    pair.established(0, 1, 0);
    let peer = peer_id(pair.sources[1].member.sender());
    let silent = |pair: &Pair| {
        pair.ends[0]
            .get(&peer)
            .expect("is connected")
            .is_silent(pair.now)
    };
    pair.now = pair.now + SILENCE;
    assert!(silent(&pair));
    pair.ends[0].handle_heard(&peer, pair.now);
    assert!(!silent(&pair));
    pair.established(0, 2, 1);
    assert_eq!(pair.ends[0].take_surplus(pair.now), []);
    pair.now = pair.now + SILENCE;
    assert!(silent(&pair));
    pair.ends[0].excuse_silence(SILENCE, pair.now);
    assert!(!silent(&pair));
}

#[test]
fn everybody_is_told_of_new_addresses_at_once_a_few_times_and_then_at_a_rate_of_the_last() {
    let mut pair = Pair::new();
    pair.established(0, 1, 1);
    let (peers, id) = (&mut pair.ends[0], peer_id(pair.sources[1].member.sender()));
    let address = |n: u32| -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{n}")
            .parse()
            .expect("an address")
    };
    let told = |peers: &mut Peers, millis: u32| {
        let now = Time::from_start(Duration::from_millis(millis.into()));
        peers.take_news(&id, now)
    };
    assert!(!told(peers, 0), "it has said nothing");
    let mut count = 0;
    for millis in 0..60_000 {
        peers.handle_addresses(id, &[address(millis % 2 + 1)]);
        count += u32::from(told(peers, millis));
    }
    assert_eq!(count, SPREAD_AT_ONCE + 5);
    // What it said last is told some time, once.
    let interval = u32::try_from(SPREAD_INTERVAL.as_millis()).expect("short");
    assert!(told(peers, 60_000 + interval) && !told(peers, 60_000 + 2 * interval));
    peers.handle_addresses(id, &[address(2)]);
    assert!(!told(peers, 60_000 + 3 * interval), "it is where it was");
}
