use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::fixture::{channel, peer, wholes};

const ROOM: usize = usize::MAX;
const MOMENT: Duration = Duration::from_millis(150);

/// The reorder buffer of a log that begins at this number.
fn starting_at(first: u64) -> ReorderBuffer {
    let mut reorder = ReorderBuffer::new();
    reorder.start(seq(first));
    reorder
}

fn frame(first: u64, count: usize) -> Frame {
    wholes(peer(0), &channel(0), first, count)
}

fn range(first: u64, last: u64) -> SeqRange {
    let seq = |n| Seq::new(n).expect("not 0");
    SeqRange::new(seq(first), seq(last)).expect("in order")
}

fn released(reorder: &mut ReorderBuffer) -> Vec<SeqRange> {
    std::iter::from_fn(|| reorder.release())
        .map(|(_, seqs, _)| seqs)
        .collect()
}

#[test]
fn everything_is_held_until_it_is_known_where_the_log_begins() {
    let mut reorder = ReorderBuffer::new();
    for first in [7, 4, 5, 6] {
        assert_eq!(
            reorder.insert(frame(first, 1), ROOM, Arrival::local(Time::ZERO)),
            Insert::Fresh
        );
    }
    assert_eq!((released(&mut reorder), reorder.hole()), (vec![], None));
    reorder.start(seq(5));
    assert_eq!(
        released(&mut reorder),
        [range(5, 5), range(6, 6), range(7, 7)]
    );
    assert_eq!(
        reorder.insert(frame(4, 1), ROOM, Arrival::local(Time::ZERO)),
        Insert::Duplicate
    );
}

#[test]
fn the_next_hole_is_the_one_above_the_lowest() {
    let mut reorder = ReorderBuffer::resume(Seq::FIRST, Time::ZERO);
    reorder.hear_reported(Seq::new(12), Time::ZERO);
    assert_eq!(
        (reorder.hole(), reorder.next_hole()),
        (Some(range(1, 12)), None)
    );
    let came = |secs| Time::from_start(std::time::Duration::from_secs(secs));
    for (first, count, secs) in [(3, 2, 1), (5, 1, 2), (8, 1, 3), (10, 1, 4)] {
        assert_eq!(
            reorder.insert(frame(first, count), ROOM, Arrival::local(came(secs))),
            Insert::Fresh
        );
    }
    assert_eq!(reorder.hole(), Some(range(1, 2)));
    assert_eq!(reorder.next_hole(), Some((range(6, 7), came(3))));
    reorder.insert(frame(6, 2), ROOM, Arrival::local(came(5)));
    assert_eq!(reorder.next_hole(), Some((range(9, 9), came(4))));
    reorder.insert(frame(9, 1), ROOM, Arrival::local(came(6)));
    assert_eq!(reorder.next_hole(), Some((range(11, 12), Time::ZERO)));
    reorder.insert(frame(11, 2), ROOM, Arrival::local(came(7)));
    assert_eq!(reorder.next_hole(), None);
}

#[test]
fn a_number_there_was_no_room_for_is_a_hole_once_the_log_begins_there() {
    let mut reorder = ReorderBuffer::new();
    assert_eq!(
        reorder.insert(frame(5, 1), 0, Arrival::local(Time::ZERO)),
        Insert::NoRoom
    );
    reorder.start(seq(5));
    assert_eq!(reorder.hole(), Some(range(5, 5)));
    assert_eq!(reorder.skip_hole(), Some(range(5, 5)));
    assert_eq!(
        reorder.insert(frame(6, 1), 0, Arrival::local(Time::ZERO)),
        Insert::Fresh,
        "due"
    );
    assert_eq!(released(&mut reorder), [range(6, 6)]);
}

#[test]
fn the_last_number_there_is_comes_once_and_leaves_no_hole() {
    let mut reorder = starting_at(u64::MAX - 1);
    let last = || frame(u64::MAX - 1, 1);
    assert_eq!(
        reorder.insert(last(), ROOM, Arrival::local(Time::ZERO)),
        Insert::Fresh
    );
    assert_eq!(released(&mut reorder), [range(u64::MAX - 1, u64::MAX - 1)]);
    assert_eq!((reorder.hole(), reorder.next()), (None, Some(Seq::MAX)));
    assert_eq!(
        reorder.insert(last(), ROOM, Arrival::local(Time::ZERO)),
        Insert::Duplicate
    );
    assert_eq!(released(&mut reorder), []);
}

#[test]
fn a_hole_is_known_since_the_frame_above_it_came() {
    let mut reorder = starting_at(1);
    let at = |millis| Time::from_start(Duration::from_millis(millis));
    for (first, millis) in [(1, 0), (5, 10), (9, 20), (7, 30)] {
        reorder.insert(frame(first, 1), ROOM, Arrival::local(at(millis)));
    }
    for (since, hole) in [(10, range(2, 4)), (30, range(6, 6)), (20, range(8, 8))] {
        released(&mut reorder);
        assert_eq!(reorder.hole_since(), Some(at(since)));
        assert_eq!(reorder.skip_hole(), Some(hole));
    }
}

fn seq(n: u64) -> Seq {
    Seq::new(n).expect("not 0")
}

#[test]
fn numbers_that_others_report_are_a_hole() {
    let mut reorder = starting_at(1);
    reorder.insert(frame(1, 1), ROOM, Arrival::local(Time::ZERO));
    released(&mut reorder);
    let later = Time::ZERO + MOMENT;
    reorder.hear_reported(Some(seq(5)), later);
    let hole = |reorder: &ReorderBuffer| (reorder.hole(), reorder.hole_since());
    assert_eq!(hole(&reorder), (Some(range(2, 5)), Some(later)));
    reorder.hear_reported(Some(seq(5)), later + MOMENT);
    assert_eq!(hole(&reorder), (Some(range(2, 5)), Some(later)));
    reorder.skip(seq(3));
    assert_eq!(reorder.skip_hole(), None);
    assert_eq!(
        reorder.hole(),
        Some(range(2, 5)),
        "nobody knows that it exists"
    );
    reorder.heard_from_sender(Some(seq(3)), later + MOMENT);
    reorder.skip(seq(9));
    assert_eq!(reorder.hole(), Some(range(2, 3)), "9 is not of the hole");
    reorder.skip(seq(3));
    assert_eq!((reorder.hole(), reorder.newest()), (None, Some(seq(3))));
}

#[test]
fn the_sender_knows_best_what_it_posted() {
    let mut reorder = starting_at(1);
    reorder.insert(frame(1, 1), ROOM, Arrival::local(Time::ZERO));
    released(&mut reorder);
    reorder.insert(frame(5, 1), ROOM, Arrival::local(Time::ZERO));
    reorder.hear_reported(Some(seq(99)), Time::ZERO);
    reorder.heard_from_sender(Some(seq(7)), Time::ZERO);
    assert_eq!(reorder.newest(), Some(seq(7)));
    // A frame proves that there is more.
    reorder.heard_from_sender(Some(seq(3)), Time::ZERO);
    assert_eq!(reorder.newest(), Some(seq(5)));
    reorder.insert(frame(2, 3), ROOM, Arrival::local(Time::ZERO));
    assert_eq!(released(&mut reorder), [range(2, 4), range(5, 5)]);
    reorder.heard_from_sender(None, Time::ZERO);
    assert_eq!((reorder.newest(), reorder.hole()), (Some(seq(5)), None));
}

#[test]
fn a_window_resumed_knows_what_came_before() {
    let mut reorder = ReorderBuffer::resume(seq(5), Time::ZERO);
    assert_eq!(
        (reorder.next(), reorder.newest(), reorder.hole()),
        (Some(seq(5)), Some(seq(4)), None)
    );
    assert_eq!(
        reorder.insert(frame(4, 1), ROOM, Arrival::local(Time::ZERO)),
        Insert::Duplicate
    );
    assert_eq!(
        reorder.insert(frame(6, 1), ROOM, Arrival::local(Time::ZERO)),
        Insert::Fresh
    );
    assert_eq!(reorder.hole(), Some(range(5, 5)));
}

#[derive(Debug, Clone)]
enum Step {
    Insert {
        first: u64,
        count: usize,
        room: bool,
    },
    Skip,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let insert = (1..24_u64, 1..5_usize, prop::bool::weighted(0.9))
        .prop_map(|(first, count, room)| Step::Insert { first, count, room });
    prop::collection::vec(prop_oneof![6 => insert, 1 => Just(Step::Skip)], 1..40)
}

proptest! {
    /// The reference is a set of numbers that are there and the number that is next. Frames overlap
    /// in any way, as those of a sender that equivocates.
    #[test]
    fn releases_what_a_set_of_numbers_would(steps in steps()) {
        let mut reorder = starting_at(1);
        reorder.insert(frame(1, 1), ROOM, Arrival::local(Time::ZERO));
        released(&mut reorder);
        let (mut next, mut newest, mut there) = (2_u64, 1_u64, BTreeSet::new());
        for step in steps {
            match step {
                Step::Insert { first, count, room } => {
                    let last = first + count as u64 - 1;
                    newest = newest.max(last);
                    let was_there = last < next || (first..=last).all(
                        |seq| seq < next || there.contains(&seq)
                    );
                    let due = (first..=last).contains(&next);
                    match reorder.insert(
                        frame(first, count),
                        if room { ROOM } else { 0 },
                        Arrival::local(Time::ZERO),
                    ) {
                        Insert::Fresh => {
                            prop_assert!(due || room);
                            there.extend(first..=last);
                        }
                        Insert::Duplicate => prop_assert!(was_there),
                        Insert::NoRoom => prop_assert!(!room && !due),
                    }
                }
                Step::Skip => {
                    let hole = reorder.hole();
                    prop_assert_eq!(reorder.skip_hole(), hole);
                    if let Some(hole) = hole {
                        next = hole.last().get() + 1;
                    }
                }
            }
            for seqs in released(&mut reorder) {
                prop_assert_eq!(seqs.first().get(), next);
                for seq in seqs.first().get()..=seqs.last().get() {
                    prop_assert!(there.contains(&seq));
                }
                next = seqs.last().get() + 1;
            }
            prop_assert!(!there.contains(&next), "{} is held back", next);
            let above = there.range(next..).next().map(|above| above - 1);
            let hole = above.or(Some(newest)).filter(|last| *last >= next);
            prop_assert_eq!(reorder.hole(), hole.map(|last| range(next, last)));
            prop_assert_eq!(reorder.held_bytes() == 0, reorder.held.is_empty());
        }
    }
}
