use std::{collections::VecDeque, time::Duration};

use proptest::{collection::vec, prelude::*};

use super::FairQueue;
use crate::{bounds::Rate, wire::Time};

/// A queue of so many of whom much waits, with a unit of work a millisecond.
fn queue(flows: usize, all: Option<Rate>) -> FairQueue<usize, VecDeque<()>> {
    let mut queue = FairQueue::new(RATE, all);
    for key in 0..flows {
        wait(&mut queue, key, 1_000);
    }
    queue
}

fn wait(queue: &mut FairQueue<usize, VecDeque<()>>, key: usize, many: usize) {
    queue.ensure(key, VecDeque::new);
    queue.change(key, |waiting| waiting.extend(vec![(); many]));
}

fn next(queue: &mut FairQueue<usize, VecDeque<()>>, now: Time) -> Option<usize> {
    Some(queue.next(now, VecDeque::pop_front)?.0)
}

const RATE: Rate = Rate::per_second(1_000, Duration::from_secs(1));
const NO_RATE: Rate = Rate::per_second(u32::MAX, Duration::MAX);

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

proptest! {
    /// The work of a turn is known only afterwards, so one may be ahead of another by its last turn
    /// and this one.
    #[test]
    fn all_who_wait_have_equal_shares_whatever_their_turns_take(
        flows in 1_usize..6, turns in vec(1_usize..=1_000, 1..200)
    ) {
        let mut queue = queue(flows, None);
        queue.each = NO_RATE;
        let mut done = vec![0; flows];
        for work in turns {
            let key = next(&mut queue, Time::ZERO).expect("all wait");
            queue.charge(key, work, Time::ZERO);
            done[key] += work;
            let (least, most) = (done.iter().min(), done.iter().max());
            prop_assert!(most.copied() <= least.map(|least| least + 2 * 1_000), "{done:?}");
        }
    }

    #[test]
    fn whoever_waits_is_counted(steps in vec((0_usize..3, 0_usize..4), 0..50)) {
        let mut queue = queue(0, None);
        for (key, step) in steps {
            match step {
                0 => wait(&mut queue, key, 1),
                1 => _ = queue.change(key, VecDeque::clear),
                2 => queue.remove(key),
                _ => _ = next(&mut queue, Time::ZERO),
            }
            let waiting = queue.flows.values().filter(|it| !it.what.is_empty()).count();
            prop_assert_eq!(queue.waiting.count, waiting);
            prop_assert_eq!(queue.poll_timeout().is_some(), waiting > 0);
        }
    }
}

#[test]
fn turns_are_not_saved_up_while_there_is_nothing_to_do() {
    let mut queue = queue(1, None);
    for _ in 0..100 {
        assert_eq!(next(&mut queue, Time::ZERO), Some(0));
        queue.charge(0, 1, Time::ZERO);
    }
    wait(&mut queue, 1, 1_000);
    let turns = std::iter::from_fn(|| {
        let key = next(&mut queue, Time::ZERO)?;
        queue.charge(key, 1, Time::ZERO);
        Some(key)
    });
    let of_the_new = turns.take(100).sum::<usize>();
    assert!((50..=51).contains(&of_the_new), "{of_the_new} of 100");
}

#[test]
fn a_peer_over_its_rate_gets_no_turn_until_it_is_paid_back() {
    let mut queue = queue(2, None);
    queue.charge(0, 1_500, at(0));
    assert!(!queue.is_due(0, at(499)) && queue.is_due(1, at(0)));
    assert_eq!(queue.poll_timeout(), Some(Time::ZERO), "of the other");
    queue.remove(1);
    assert_eq!(queue.poll_timeout(), Some(at(500)));
    assert_eq!(next(&mut queue, at(499)), None);
    assert_eq!(next(&mut queue, at(500)), Some(0));
}

#[test]
fn work_beside_its_turn_is_its_rate_alone() {
    let mut queue = queue(2, None);
    queue.charge_beside(0, 900, at(0));
    assert_eq!(next(&mut queue, at(0)), Some(0), "it is still the first");
    queue.charge_beside(0, 200, at(0));
    assert_eq!(next(&mut queue, at(0)), Some(1));
}

#[test]
fn all_together_have_a_rate() {
    let mut queue = queue(2, Some(Rate::per_second(1_000, Duration::ZERO)));
    assert_eq!(next(&mut queue, at(0)), Some(0));
    queue.charge(0, 100, at(0));
    assert_eq!(next(&mut queue, at(99)), None);
    assert_eq!(queue.poll_timeout(), Some(at(100)));
    assert_eq!(next(&mut queue, at(100)), Some(1));
}

#[test]
fn a_debt_is_kept_until_it_is_paid_back() {
    let mut queue = queue(1, None);
    queue.charge(0, 100, at(0));
    queue.change(0, VecDeque::clear);
    queue.forget_idle(at(99));
    assert!(queue.get(0).is_some());
    queue.forget_idle(at(100));
    assert!(queue.get(0).is_none());
}
