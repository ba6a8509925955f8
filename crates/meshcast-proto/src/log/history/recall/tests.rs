use std::time::Duration;

use proptest::prelude::*;

use super::{super::HistoryLimits, *};
use crate::fixture::{FULL, channel, frame, peer, wholes};
use crate::log::Arrival;

fn history() -> History {
    History::new(HistoryLimits {
        bytes: usize::MAX,
        age: Duration::from_secs(60),
    })
}

fn seq(n: u64) -> Seq {
    Seq::new(n).expect("not 0")
}

fn range(first: u64, last: u64) -> SeqRange {
    SeqRange::new(seq(first), seq(last)).expect("in order")
}

fn at(secs: u64) -> Time {
    Time::from_start(Duration::from_secs(secs))
}

fn keep(history: &mut History, frames: impl IntoIterator<Item = crate::Frame>) {
    for frame in frames {
        history.insert(frame, Duration::ZERO, Arrival::local(at(0)));
    }
}

/// Numbers, and whether they are there.
fn recalled(history: &History, seqs: SeqRange, room: usize) -> (Vec<(SeqRange, bool)>, Seq) {
    let recall = history.recall(&channel(0), &peer(0).member, seqs, room, usize::MAX);
    let parts = recall.parts.iter().map(|part| match part {
        Recalled::Values(delivery) => (delivery.seqs(), true),
        Recalled::Missing(missing) | Recalled::TooLarge(missing) => (*missing, false),
    });
    (parts.collect(), recall.upto)
}

fn backlog(history: &History, before: u64, since: Time, last: u64) -> Option<SeqRange> {
    history.backlog(
        &channel(0),
        peer(0).member.sender(),
        seq(before),
        since,
        last,
    )
}

#[test]
fn exactly_the_numbers_asked_for_come_out_whatever_frames_they_are_in() {
    let mut history = history();
    let frame = |first, count| wholes(peer(0), &channel(0), first, count);
    keep(&mut history, [frame(1, 4), frame(5, 4), frame(11, 2)]);
    let (parts, upto) = recalled(&history, range(3, 6), usize::MAX);
    assert_eq!(
        (parts, upto),
        (vec![(range(3, 4), true), (range(5, 6), true)], seq(6))
    );
    let (parts, _) = recalled(&history, range(7, 14), usize::MAX);
    let missing = [(range(9, 10), false), (range(13, 14), false)];
    assert_eq!(
        parts,
        [
            (range(7, 8), true),
            missing[0],
            (range(11, 12), true),
            missing[1]
        ]
    );
    assert_eq!(
        recalled(&history, range(20, 30), 1).0,
        [(range(20, 30), false)]
    );
}

#[test]
fn it_stops_when_there_is_no_more_room_but_neither_inside_a_value_nor_a_gap() {
    let mut history = history();
    let whole = |first| wholes(peer(0), &channel(0), first, 1);
    let piece = |n, part| frame(peer(0), &channel(0), n, [(part, FULL.as_slice())]);
    keep(
        &mut history,
        [
            piece(1, Part::First),
            piece(2, Part::Middle),
            piece(3, Part::Last),
            whole(4),
            whole(9),
        ],
    );
    assert_eq!(
        recalled(&history, range(1, 12), 1),
        (vec![(range(1, 3), true)], seq(3))
    );
    assert_eq!(
        recalled(&history, range(4, 12), 1),
        (vec![(range(4, 4), true)], seq(4))
    );
    let gap = |first, last| (range(first, last), false);
    assert_eq!(
        recalled(&history, range(5, 12), 1),
        (vec![gap(5, 8), (range(9, 9), true), gap(10, 12)], seq(12))
    );
}

#[test]
fn a_value_of_which_a_piece_is_not_kept_is_missing_as_a_whole() {
    let piece = |n, part| frame(peer(0), &channel(0), n, [(part, FULL.as_slice())]);
    let all = [
        piece(2, Part::First),
        piece(3, Part::Middle),
        piece(4, Part::Last),
    ];
    for lost in 0..3 {
        let mut history = history();
        let kept = all.iter().enumerate().filter(|(index, _)| *index != lost);
        keep(&mut history, kept.map(|(_, frame)| frame.clone()));
        keep(
            &mut history,
            [
                wholes(peer(0), &channel(0), 1, 1),
                wholes(peer(0), &channel(0), 5, 1),
            ],
        );
        let (parts, _) = recalled(&history, range(1, 5), usize::MAX);
        assert_eq!(
            parts,
            [
                (range(1, 1), true),
                (range(2, 4), false),
                (range(5, 5), true)
            ],
            "without piece {lost}"
        );
    }
}

#[test]
fn the_past_goes_back_by_number_or_by_time_to_where_a_value_begins() {
    let mut history = history();
    assert_eq!(backlog(&history, 5, at(0), 3), None);
    let piece = |n, part| frame(peer(0), &channel(0), n, [(part, FULL.as_slice())]);
    let frames = [
        wholes(peer(0), &channel(0), 3, 2),
        piece(5, Part::First),
        piece(6, Part::Last),
        wholes(peer(0), &channel(0), 7, 4),
    ];
    for (secs, frame) in (10..).zip(frames) {
        history.insert(frame, Duration::ZERO, Arrival::local(at(secs)));
    }
    let by_number = [
        (1, range(10, 10)),
        (3, range(8, 10)),
        (5, range(5, 10)),
        (7, range(4, 10)),
    ];
    for (last, expected) in by_number {
        assert_eq!(
            backlog(&history, 11, at(100), last),
            Some(expected),
            "the last {last}"
        );
    }
    assert_eq!(
        backlog(&history, 11, at(100), 50),
        Some(range(3, 10)),
        "no more are kept"
    );
    let by_time = [
        (11, range(5, 10)),
        (12, range(5, 10)),
        (13, range(7, 10)),
        (0, range(3, 10)),
    ];
    for (secs, expected) in by_time {
        assert_eq!(
            backlog(&history, 11, at(secs), 0),
            Some(expected),
            "since {secs} s"
        );
    }
    assert_eq!(backlog(&history, 11, at(100), 0), None);
    assert_eq!(
        backlog(&history, 9, at(13), 0),
        Some(range(7, 8)),
        "of one half delivered the half"
    );
    assert_eq!(backlog(&history, 1, at(0), 9), None);
}

#[test]
fn a_past_that_is_kept_from_within_a_value_begins_with_the_next() {
    let mut history = history();
    let piece = |n, part| frame(peer(0), &channel(0), n, [(part, FULL.as_slice())]);
    keep(
        &mut history,
        [
            piece(6, Part::Middle),
            piece(7, Part::Last),
            wholes(peer(0), &channel(0), 8, 1),
        ],
    );
    assert_eq!(backlog(&history, 9, at(0), 0), Some(range(8, 8)));
    assert_eq!(backlog(&history, 8, at(0), 9), None, "nothing is whole");
}

proptest! {
    /// Against a plain list of values, of which frames are dropped: whatever is whole comes out
    /// once and in order, all else is named once, and it makes no difference in how many steps.
    #[test]
    fn what_is_kept_comes_out_and_what_is_not_is_named(
        values in prop::collection::vec((1_usize..4, any::<bool>()), 1..24),
        drops in prop::collection::vec(prop::bool::weighted(0.2), 80),
        room in 1_usize..300_000,
    ) {
        let mut history = history();
        let (mut model, mut first) = (Vec::new(), 1);
        let mut drops = drops.into_iter();
        for (pieces, dropped) in values {
            let part = |n: usize| match (n, pieces) {
                (_, 1) => Part::Whole,
                (0, _) => Part::First,
                (n, _) if n + 1 == pieces => Part::Last,
                _ => Part::Middle,
            };
            let mut kept = true;
            for n in 0..pieces {
                let frame = frame(
                    peer(0),
                    &channel(0),
                    first + n as u64,
                    [(part(n), FULL.as_slice())],
                );
                if dropped && drops.next() == Some(true) {
                    kept = false;
                } else {
                    keep(&mut history, [frame]);
                }
            }
            let last = first + pieces as u64 - 1;
            model.push((range(first, last), kept));
            first = last + 1;
        }
        model.dedup_by(|next, last| {
            let joins = !next.1 && !last.1;
            if joins {
                last.0 = last.0.hull(next.0);
            }
            joins
        });
        let (mut got, mut next) = (Vec::new(), 1);
        while next < first {
            let (parts, upto) = recalled(&history, range(next, first - 1), room);
            prop_assert_eq!(parts.first().map(|(seqs, _)| seqs.first()), Some(seq(next)));
            prop_assert_eq!(parts.last().map(|(seqs, _)| seqs.last()), Some(upto));
            next = upto.get() + 1;
            got.extend(parts);
        }
        prop_assert_eq!(got, model);
    }
}

#[test]
fn what_is_kept_and_over_the_limit_is_told_apart_from_what_is_not_kept() {
    let mut history = history();
    let one = |first, payload: &[u8]| frame(peer(0), &channel(0), first, [(Part::Whole, payload)]);
    keep(
        &mut history,
        [
            one(1, b"x"),
            one(2, b"long"),
            one(3, b"longer"),
            one(5, b"x"),
        ],
    );
    let recall = history.recall(&channel(0), &peer(0).member, range(1, 5), usize::MAX, 3);
    let told = recall.parts.iter().map(|part| match part {
        Recalled::Values(delivery) => (delivery.seqs(), "value"),
        Recalled::Missing(seqs) => (*seqs, "missing"),
        Recalled::TooLarge(seqs) => (*seqs, "too large"),
    });
    let expected = [
        (range(1, 1), "value"),
        (range(2, 3), "too large"),
        (range(4, 4), "missing"),
        (range(5, 5), "value"),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}
