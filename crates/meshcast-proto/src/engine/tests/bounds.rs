//! The cost of one member to the others when places or memory run out.

use super::{
    super::*,
    at,
    fixture::{FULL, channel, frame, peer, restarted, wholes},
    listener::{Listener, RETENTION, config},
    range,
    world::World,
};
use crate::{
    bounds::{ENTRY_BYTES, Payer},
    log::GapReason,
    log::UNFINISHED_TIMEOUT,
    wire::Part,
};

const LOST: Option<GapReason> = Some(GapReason::Lost);

#[test]
fn the_member_that_holds_the_most_gives_up_its_highest_frames() {
    let one = wholes(peer(0), &channel(0), 3, 1).bytes().len() + ENTRY_BYTES;
    let config = Config {
        max_held_total_bytes: 4 * one,
        ..config()
    };
    let mut listener = Listener::new(config, 1);
    for who in [0, 1] {
        listener.hear(who, wholes(peer(who), &channel(0), 1, 1));
        listener.expect(who, &[(range(1, 1), None)]);
    }
    for (who, first) in [(0, 3), (0, 4), (0, 5), (1, 3), (1, 4), (0, 6)] {
        listener.hear(who, wholes(peer(who), &channel(0), first, 1));
        listener.audit();
    }
    assert_eq!(listener.engine.counters().frames_dropped, 2);
    listener.run_until(Time::ZERO + RETENTION);
    listener.expect(
        0,
        &[
            (range(2, 2), LOST),
            (range(3, 3), None),
            (range(4, 4), None),
            (range(5, 6), LOST),
        ],
    );
    listener.expect(
        1,
        &[
            (range(2, 2), LOST),
            (range(3, 3), None),
            (range(4, 4), None),
        ],
    );
}

#[test]
fn a_member_of_many_senders_gives_up_before_one_with_a_larger_window() {
    let one = wholes(peer(0), &channel(0), 3, 1).bytes().len() + ENTRY_BYTES;
    let config = Config {
        max_held_total_bytes: 7 * one,
        ..config()
    };
    let mut listener = Listener::new(config, 1);
    for first in [1, 3, 4] {
        listener.hear(0, wholes(peer(0), &channel(0), first, 1));
    }
    for n in 0..10 {
        let boot = restarted(n);
        for first in [1, 3] {
            listener.hear_from(&boot, wholes(&boot, &channel(0), first, 1));
            listener.audit();
        }
    }
    assert!(listener.engine.counters().frames_dropped > 0);
    listener.run_until(Time::ZERO + RETENTION);
    listener.expect(
        0,
        &[
            (range(1, 1), None),
            (range(2, 2), LOST),
            (range(3, 3), None),
            (range(4, 4), None),
        ],
    );
}

/// Memory that cannot be refused, as a queue or a mark, may be over the budget.
#[test]
fn when_memory_runs_out_frames_go_of_whoever_takes_the_most_of_all() {
    let mut listener = Listener::new(config(), 1);
    for (who, first) in [(0, 1), (1, 1), (0, 3), (1, 3), (1, 4)] {
        listener.hear(who, wholes(peer(who), &channel(0), first, 1));
    }
    let budget = listener.engine.budget().clone();
    let payer = Payer::Member(peer(0).member.credential().subject);
    let rest = budget.limit() - budget.used() + 1;
    budget.charge(payer, rest);
    listener.hear(1, wholes(peer(1), &channel(0), 1, 1));
    assert_eq!(listener.engine.counters().frames_dropped, 1);
    budget.release(payer, rest);
    listener.audit();
    for who in [0, 1] {
        listener.hear(who, wholes(peer(who), &channel(0), 2, 1));
    }
    let upto = |last: u64| (1..=last).map(|n| (range(n, n), None)).collect::<Vec<_>>();
    listener.expect(0, &upto(2));
    listener.expect(1, &upto(4));
}

#[test]
fn a_half_finished_value_counts_and_is_given_up_when_nothing_else_is_left() {
    let config = Config {
        max_held_total_bytes: 2 * FULL.len(),
        ..config()
    };
    let mut listener = Listener::new(config, 1);
    let part = |part| [(part, &FULL[..])];
    listener.hear(0, frame(peer(0), &channel(0), 1, part(Part::First)));
    listener.hear(0, frame(peer(0), &channel(0), 2, part(Part::Middle)));
    listener.expect(0, &[]);
    // One too many: the member that holds the most is the first.
    listener.hear(1, frame(peer(1), &channel(0), 1, part(Part::First)));
    listener.audit();
    listener.expect(0, &[(range(1, 2), Some(GapReason::Incomplete))]);
    listener.hear(0, wholes(peer(0), &channel(0), 3, 1));
    listener.expect(0, &[(range(3, 3), None)]);
    listener.run_until(Time::ZERO + UNFINISHED_TIMEOUT);
    listener.expect(1, &[(range(1, 1), Some(GapReason::Incomplete))]);
    assert!(listener.at_rest());
}

#[test]
fn a_member_that_restarts_all_the_time_pushes_nobody_out() {
    let config = Config {
        max_logs: 8,
        ..config()
    };
    let mut listener = Listener::new(config, 1);
    for who in 0..6 {
        listener.hear(who, wholes(peer(who), &channel(0), 1, 1));
    }
    for n in 0..50 {
        listener.run_until(at(u64::from(n) + 1));
        let boot = restarted(n);
        listener.hear_from(&boot, wholes(&boot, &channel(0), 1, 1));
        listener.audit();
    }
    let name = channel(0);
    let known: Vec<Sender> = listener
        .engine
        .senders(&name)
        .map(|(sender, _)| sender)
        .collect();
    for who in 0..6 {
        assert!(known.contains(&peer(who).member.sender()), "{who}");
    }
    for n in [48, 49] {
        assert!(known.contains(&restarted(n).member.sender()), "{n}");
    }
    assert_eq!(known.len(), 8);
}

#[test]
fn a_forgotten_sender_goes_on_where_it_was() {
    let config = Config {
        max_logs: 1,
        ..config()
    };
    let mut listener = Listener::new(config, 1);
    let hear = |listener: &mut Listener, who, first| {
        listener.hear(who, wholes(peer(who), &channel(0), first, 1));
        listener.audit();
    };
    for first in [5, 6] {
        hear(&mut listener, 0, first);
    }
    listener.run_until(at(1_000));
    hear(&mut listener, 1, 1);
    listener.expect(0, &[(range(5, 5), None), (range(6, 6), None)]);

    // A late copy, then the next but one.
    for first in [6, 8] {
        hear(&mut listener, 0, first);
    }
    assert_eq!(listener.engine.counters().frames_duplicate, 1);
    listener.run_until(at(1_000) + RETENTION);
    listener.expect(0, &[(range(7, 7), LOST), (range(8, 8), None)]);
}

#[test]
fn a_channel_that_was_closed_remembers_no_sender() {
    let config = Config {
        max_logs: 1,
        ..config()
    };
    let mut listener = Listener::new(config, 1);
    for who in [0, 1] {
        listener.hear(who, wholes(peer(who), &channel(0), 1, 1));
    }
    listener.engine.handle_close(&channel(0));
    assert_eq!(
        listener
            .engine
            .handle_open(&channel(0), Since::Now, listener.now),
        Ok(())
    );
    listener.expect(0, &[(range(1, 1), None)]);
    listener.hear(0, wholes(peer(0), &channel(0), 1, 1));
    listener.expect(0, &[(range(1, 1), None)]);
    listener.audit();
}

#[test]
fn a_log_that_finds_no_room_is_reported_with_its_sender_once_a_minute() {
    let me = peer(1);
    let mut engine = Engine::new(config(), me.identity.clone(), Arc::clone(&me.member), 1);
    let opened = engine.handle_open(&channel(0), Since::Now, at(0));
    opened.expect("it is the first");
    let budget = engine.budget().clone();
    let payer = Payer::Member(peer(0).member.credential().subject);
    let rest = budget.limit() - budget.used();
    budget.charge(payer, rest);
    let mut hear = |secs: u64, first: u64| {
        let frame = wholes(peer(0), &channel(0), first, 1);
        let (from, member) = (frame.sender(), &peer(0).member);
        let now = Time::from_start(Duration::from_secs(secs));
        let taken = engine.handle_frame(from, frame, member, now, WallTime::MIN);
        let outputs = std::iter::from_fn(|| engine.poll_output());
        let reports = outputs.filter_map(|output| match output {
            Output::NoRoom { channel, member } => Some((channel, member.sender())),
            _ => None,
        });
        (taken, reports.collect::<Vec<_>>())
    };
    for (secs, told) in [(1, 1), (2, 0), (60, 0), (61, 1)] {
        let reports = vec![(channel(0), peer(0).member.sender()); told];
        assert_eq!(hear(secs, secs), (Taken::NoRoom, reports), "after {secs} s");
    }
    budget.release(payer, rest);
    assert_eq!(hear(200, 7), (Taken::New, vec![]));
    assert_eq!(engine.counters().logs_refused, 4);
}

/// It is told of by one that keeps it, and asked for.
#[test]
fn a_log_that_finds_no_room_is_reported_also_if_it_was_fetched() {
    let mut world = World::new(3, &Config::default(), 1);
    world.connect(0, 1);
    world.run_secs(1);
    world.post(0, 2);
    world.run_secs(1);
    let budget = world.nodes[2].engine.budget().clone();
    let payer = Payer::Member(peer(0).member.credential().subject);
    // There is room for all that the other says, and none for who posted.
    let rest = (budget.limit() - budget.used()) / 2;
    budget.charge(payer, rest);
    world.audits = false;
    // Posts meanwhile come by no gossip, and each digest tells of them.
    world.forwards = false;
    world.connect(1, 2);
    for _ in 0..100 {
        world.post(0, 1);
        world.run(Duration::from_millis(300));
    }
    assert_eq!(world.nodes[2].without_room, [0]);
    assert_eq!(world.seen(2, 0), []);
    let counters = world.counters(2);
    assert!(counters.requests < 10, "{}", counters.requests);
    assert!(counters.logs_refused < 10, "{}", counters.logs_refused);
    world.forwards = true;
    budget.release(payer, rest);
    world.nodes[2].engine.logs.audit();
    world.post(0, 1);
    world.run_secs(5);
    let last = world.story(2, 0).last().map(|event| event.seqs().last());
    assert_eq!(last, Seq::new(103));
}

#[test]
fn a_history_may_be_kept_for_as_long_as_a_time_can_say() {
    let mut config = Config::default();
    config.history.age = Duration::MAX;
    let mut world = World::new(2, &config, 1);
    world.connect_all();
    world.post(0, 1);
    world.run_secs(5);
    assert_eq!(world.story(1, 0).len(), 1);
}
