use std::{sync::Arc, time::Duration};

use super::{Answering, Effects, Logs, LogsLimits, ReceivedFrame};
use crate::{
    bounds::{Budget, LOG_BYTES, Payer, TOMBSTONE_BYTES},
    fixture::{channel, peer, wholes},
    log::{Arrival, Capacity, Insert, LogLimits, Lru, Owner, Quota, Tier},
    replication::{fetch::FetchLimits, origin::Posted},
    wire::{ChannelName, Holding, LogKey, Seq, Subject, Time},
};

fn key(who: usize) -> LogKey {
    (channel(0), peer(who).member.sender())
}

fn at(seconds: u64) -> Time {
    Time::from_start(std::time::Duration::from_secs(seconds))
}

fn proven(seconds: u64) -> Tier {
    Tier::Proven(at(seconds))
}

/// By way of the same peer.
fn owner(subject: Subject) -> Owner {
    let by = key(0).1;
    Owner { subject, by }
}

#[test]
fn the_log_not_heard_of_for_longest_goes() {
    let mut lru = Lru::new(8, Duration::from_secs(840));
    for who in 0..8_u8 {
        assert_eq!(lru.room(&[who; 32], false, at(10)), Capacity::Free, "{who}");
        lru.add(
            owner([who; 32]),
            proven(u64::from(8 - who)),
            &key(who.into()),
        );
    }
    assert_eq!(
        lru.room(&[8; 32], false, at(10)),
        Capacity::AfterEvicting(&key(7))
    );
    lru.remove(owner([7; 32]), proven(1), &key(7));
    assert_eq!(lru.room(&[8; 32], false, at(10)), Capacity::Free);
    assert_eq!(lru.tiers().len(), 7);
}

#[test]
fn a_member_that_has_its_share_makes_room_itself() {
    let mut lru = Lru::new(8, Duration::from_secs(840));
    lru.add(owner([9; 32]), proven(0), &key(9));
    for who in 0..2 {
        assert_eq!(lru.room(&[1; 32], false, at(10)), Capacity::Free);
        lru.add(owner([1; 32]), proven(1 + who), &key(who as usize));
    }
    assert_eq!(
        lru.room(&[1; 32], false, at(10)),
        Capacity::AfterEvicting(&key(0))
    );
    assert_eq!(lru.room(&[9; 32], false, at(10)), Capacity::Free);
}

#[test]
fn reported_logs_make_way_for_proven_ones_and_never_the_other_way() {
    let mut lru = Lru::new(4, Duration::from_secs(840));
    lru.add(owner([0; 32]), proven(0), &key(0));
    lru.add(owner([9; 32]), Tier::Reported(at(5)), &key(1));
    assert_eq!(
        lru.room(&[9; 32], true, at(10)),
        Capacity::AfterEvicting(&key(1)),
        "its share"
    );
    for who in 2..4_u8 {
        lru.add(owner([who; 32]), proven(1), &key(who.into()));
    }
    assert_eq!(
        lru.room(&[8; 32], true, at(10)),
        Capacity::AfterEvicting(&key(1))
    );
    assert_eq!(
        lru.room(&[8; 32], false, at(10)),
        Capacity::AfterEvicting(&key(1))
    );
    lru.remove(owner([9; 32]), Tier::Reported(at(5)), &key(1));
    lru.add(owner([4; 32]), proven(2), &key(4));
    assert_eq!(lru.room(&[8; 32], true, at(10)), Capacity::None);
    assert_eq!(
        lru.room(&[8; 32], false, at(10)),
        Capacity::AfterEvicting(&key(0))
    );
}

#[test]
fn the_largest_is_the_largest_log_of_the_largest_member() {
    let mut held = Quota::default();
    assert_eq!(held.largest(), None);
    held.change([1; 32], &key(0), 0, 50);
    for (who, bytes) in [(1, 20), (2, 25), (3, 10)] {
        held.change([2; 32], &key(who), 0, bytes);
    }
    assert_eq!((held.largest(), held.total()), (Some(&key(2)), 105));
    held.change([2; 32], &key(2), 25, 15);
    assert_eq!((held.largest(), held.total()), (Some(&key(0)), 95));
    held.change([1; 32], &key(0), 50, 0);
    assert_eq!(held.largest(), Some(&key(1)));
    for (who, bytes) in [(1, 20), (2, 15), (3, 10)] {
        held.change([2; 32], &key(who), bytes, 0);
    }
    assert!(held.by_log().is_empty());
}

/// Of any member at most one of four logs.
fn few() -> Logs {
    at_most(4)
}

fn at_most(max_logs: usize) -> Logs {
    let limits = LogsLimits {
        log: LogLimits {
            max_message_len: 1_000,
            max_held_bytes: 100_000,
        },
        fetch: FetchLimits {
            hole_timeout: Duration::from_secs(2),
            retention: Duration::from_secs(600),
        },
        max_logs,
        max_held_bytes: 100_000,
    };
    Logs::new(key(9).1, limits, Budget::default(), 1)
}

/// Three numbers of a member on a channel, from this one on.
fn heard(of: usize, on: &ChannelName, first: u64, now: Time) -> ReceivedFrame {
    ReceivedFrame {
        frame: wholes(peer(of), on, first, 3),
        member: Arc::clone(&peer(of).member),
        posted: Posted {
            at: now,
            teller: None,
        },
        since: Some(at(0)),
        may_pass: false,
        arrival: Arrival::local(now),
    }
}

/// Three numbers of 1 on a channel, from this one on.
fn hear(logs: &mut Logs, on: usize, first: u64, now: Time) -> Insert {
    let heard = heard(1, &channel(on), first, now);
    logs.hear(heard, now, &mut Effects::default())
}

/// Three numbers of somebody, by way of a peer.
fn brought(logs: &mut Logs, (by, of): (usize, usize), first: u64, now: u64) -> Insert {
    let mut heard = heard(of, &channel(0), first, at(now));
    heard.arrival.from = Some(key(by).1);
    logs.hear(heard, at(now), &mut Effects::default())
}

/// One that makes up members, each of which posts.
#[test]
fn nobodys_log_is_forgotten_for_those_that_others_bring() {
    let mut logs = at_most(4);
    logs.tombstones.lru = Lru::new(4, Duration::from_secs(840));
    for (by, of) in [(0, 0), (1, 1)] {
        assert_eq!(brought(&mut logs, (by, of), 1, 0), Insert::Fresh);
    }
    for of in (2..15).filter(|of| *of != 9) {
        brought(&mut logs, (15, of), 1, 1 + of as u64);
        logs.audit();
    }
    for of in [0, 1] {
        assert!(logs.is_proven(&key(of)), "{of}");
        assert_eq!(brought(&mut logs, (15, of), 1, 20), Insert::Duplicate);
    }
}

/// All come over one link, which others flood.
#[test]
fn the_position_of_a_log_is_remembered_for_as_long_as_old_posts_may_come_again() {
    let mut logs = at_most(4);
    logs.tombstones.lru = Lru::new(4, Duration::from_secs(840));
    assert_eq!(brought(&mut logs, (15, 0), 1, 0), Insert::Fresh);
    let mut refused = 0;
    for of in (1..14).filter(|of| *of != 9) {
        refused += usize::from(brought(&mut logs, (15, of), 1, of as u64) == Insert::NoRoom);
        logs.audit();
    }
    assert_eq!(refused, 13 - 4 - 4);
    assert_eq!(brought(&mut logs, (15, 0), 1, 20), Insert::Duplicate);
    assert_eq!(brought(&mut logs, (15, 0), 4, 20), Insert::Fresh);
    logs.audit();
    // A log that another brings finds room, and none of the oldest goes for it.
    assert_eq!(brought(&mut logs, (14, 14), 1, 21), Insert::Fresh);
    assert_eq!(brought(&mut logs, (15, 1), 1, 22), Insert::Duplicate);
    logs.audit();
    // Nobody takes in any more what was posted before.
    assert_eq!(brought(&mut logs, (15, 13), 1, 2_000), Insert::Fresh);
    logs.audit();
}

/// The report on somebody's log: all of it is there.
fn holding(of: usize, next: u64) -> Holding {
    Holding {
        sender: key(of).1,
        oldest: Seq::FIRST,
        next: Seq::new(next).expect("not 0"),
        due: Seq::new(next),
        hops: 1,
        lowest: None,
        begin: Seq::FIRST,
    }
}

/// 5 says that there is a log of somebody.
fn tell(logs: &mut Logs, of: usize, next: u64, now: Time) {
    let (teller, holding) = (key(5).1, holding(of, next));
    logs.handle_holding(teller, &channel(0), &holding, now, &mut Effects::default());
}

#[test]
fn the_position_of_a_forgotten_log_stays_whatever_others_report() {
    let mut logs = few();
    logs.peers.add(key(5).1, at(0));
    assert_eq!(hear(&mut logs, 0, 1, at(1)), Insert::Fresh);
    // Its member has its share: the first log makes way.
    assert_eq!(hear(&mut logs, 1, 1, at(2)), Insert::Fresh);
    let tombstone = |logs: &Logs| {
        let entry = logs.tombstones.entries.get(&key(1));
        entry.map(|it| (it.next.get(), it.owner.subject))
    };
    let subject = peer(1).member.credential().subject;
    assert_eq!(tombstone(&logs), Some((4, subject)));

    tell(&mut logs, 1, 1 << 40, at(3));
    assert!(logs.get(&key(1)).is_some());
    tell(&mut logs, 2, 7, at(4));
    assert!(logs.get(&key(1)).is_none(), "it made way");
    assert_eq!(tombstone(&logs), Some((4, subject)));
    let used = |payer| logs.budget.statement(payer).used;
    assert_eq!(
        used(Payer::Member(subject)),
        LOG_BYTES + TOMBSTONE_BYTES,
        "the other log, and where this one was"
    );
    logs.audit();

    // Also if who told of it is gone.
    tell(&mut logs, 1, 1 << 40, at(5));
    logs.handle_peer_down(key(5).1, at(6), &mut Effects::default());
    assert!(logs.get(&key(1)).is_none(), "nobody says so any more");
    assert_eq!(tombstone(&logs), Some((4, subject)));

    // An old copy is one, and what follows is heard.
    assert_eq!(hear(&mut logs, 0, 1, at(7)), Insert::Duplicate);
    assert_eq!(tombstone(&logs), None, "there is a log again");
    assert_eq!(hear(&mut logs, 0, 4, at(8)), Insert::Fresh);
    logs.audit();
}

/// Others told of it, at their own expense.
#[test]
fn a_log_whose_member_may_have_no_more_is_not_followed_either_if_others_told_of_it_first() {
    let mut logs = few();
    logs.peers.add(key(5).1, at(0));
    // Its member has its share: the first log makes way.
    assert_eq!(hear(&mut logs, 0, 1, at(1)), Insert::Fresh);
    assert_eq!(hear(&mut logs, 1, 1, at(2)), Insert::Fresh);
    tell(&mut logs, 1, 7, at(3));
    let subject = Payer::Member(peer(1).member.credential().subject);
    let (used, rest) = (logs.budget.used(), logs.budget.limit() - logs.budget.used());
    logs.budget.charge(subject, rest);
    let mut out = Effects::default();
    let heard = heard(1, &channel(0), 4, at(4));
    assert_eq!(logs.hear(heard, at(4), &mut out), Insert::NoRoom);
    assert_eq!(out.without_room.len(), 1);
    assert!(logs.get(&key(1)).is_none());
    assert_eq!(logs.refused.logs, 1);
    logs.budget.release(subject, rest);
    let teller = logs.budget.statement(Payer::from(key(5).1)).used;
    assert_eq!(teller, 0, "it is given back what it was charged with");
    assert!(logs.budget.used() < used);
    logs.audit();
    // Its position is remembered, and the other log is still followed.
    assert_eq!(hear(&mut logs, 0, 1, at(5)), Insert::Duplicate);
    assert_eq!(hear(&mut logs, 0, 4, at(6)), Insert::Fresh);
    logs.audit();
}

/// It is not its fault that there was none.
#[test]
fn a_frame_without_room_counts_for_the_upstream_that_handed_it_on() {
    let mut logs = few();
    let (upstream, other) = (key(5).1, key(6).1);
    for peer in [upstream, other] {
        logs.peers.add(peer, at(0));
    }
    let hand_on = |logs: &mut Logs, first: u64, seconds: u64| {
        let mut heard = heard(1, &channel(0), first, at(seconds));
        heard.arrival.from = Some(upstream);
        logs.hear(heard, at(seconds), &mut Effects::default())
    };
    assert_eq!(hand_on(&mut logs, 1, 1), Insert::Fresh);
    tell(&mut logs, 1, 4, at(1));
    let counted = |logs: &Logs| {
        let replica = logs.get(&key(1)).expect("it is followed");
        assert_eq!(replica.upstream, Some(upstream));
        replica.upstreams.counted()
    };
    if let Some(entry) = logs.logs.get_mut(&key(1)) {
        let posted = std::iter::once(at(2));
        let is_bad = entry.replica.fetched(key(1).1, other, posted, at(2));
        assert!(!is_bad);
    }
    let rest = logs.budget.limit() - logs.budget.used();
    logs.budget.charge(Payer::Ourselves, rest);
    for (handed_on, first) in [(1, 100), (2, 200)] {
        assert_eq!(hand_on(&mut logs, first, 2), Insert::NoRoom);
        assert_eq!(counted(&logs), (handed_on, 1));
    }
    logs.budget.release(Payer::Ourselves, rest);
    logs.audit();
}

/// Only one peer has what is missing of some logs, and only another what is missing of others.
#[test]
fn who_does_not_answer_holds_up_nothing_that_others_are_asked_for() {
    const LOGS: usize = 60;
    let (mut logs, mut out) = (at_most(400), Effects::default());
    let (silent, quick) = (key(5).1, key(6).1);
    for peer in [silent, quick] {
        logs.peers.add(peer, at(0));
    }
    let room = |n: usize| ChannelName::new(&n.to_string()).expect("short");
    for on in (0..LOGS).map(room) {
        for (of, holder) in [(1, silent), (2, quick)] {
            for first in [1, 7] {
                logs.hear(heard(of, &on, first, at(1)), at(1), &mut out);
            }
            logs.handle_holding(holder, &on, &holding(of, 10), at(1), &mut out);
        }
    }
    let mut answered = 0;
    for now in (0..25).map(|n| at(1) + Duration::from_millis(10 * n)) {
        logs.handle_timeout(now, &mut out);
        for (peer, want) in std::mem::take(&mut out.wants) {
            if peer == quick {
                let answer = Answering {
                    peer,
                    request: want.request,
                    upto: want.seqs.last(),
                    declined: false,
                };
                let frames = vec![heard(2, &want.channel, 4, now)];
                logs.answer(&(want.channel, want.sender), answer, frames, now, &mut out);
                answered += 1;
            }
        }
        logs.audit();
    }
    assert_eq!(answered, LOGS);
}
