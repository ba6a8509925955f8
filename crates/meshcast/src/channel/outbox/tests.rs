use meshcast_proto::{Format, Frame, MAX_FRAGMENT_LEN, RECORD_OVERHEAD, Seq, SeqRange};
use proptest::prelude::*;

use super::{Outbox, Poster, Section, WAITING_LIMIT};
use crate::channel::{ObjectId, fixture::outbox};

const A: ObjectId = ObjectId::nth(0);
const B: ObjectId = ObjectId::nth(1);
const LATER: ObjectId = ObjectId::nth(2);

fn drain(outbox: &mut Outbox) -> Vec<Section> {
    std::iter::from_fn(|| outbox.pop()).collect()
}

fn numbers(first: u64, last: u64) -> SeqRange {
    SeqRange::new(seq(first), seq(last)).expect("not empty")
}

fn seq(n: u64) -> Seq {
    Seq::new(n).expect("not zero")
}

#[test]
fn posts_that_gather_leave_together() {
    let mut outbox = outbox(1000);
    for _ in 0..10 {
        outbox.push(A, LATER, Format::Raw, b"hello");
    }
    let sections = drain(&mut outbox);
    assert_eq!(sections.len(), 1);
    assert_eq!(sections[0].draft.len(), 10 * (5 + RECORD_OVERHEAD));
    assert_eq!((outbox.bytes(), outbox.is_empty()), (0, true));
}

#[test]
fn a_section_that_is_full_is_followed_by_another() {
    let mut outbox = outbox(usize::MAX);
    let half = vec![0; Frame::MAX_RECORDS_LEN / 2 - RECORD_OVERHEAD];
    (0..3).for_each(|_| outbox.push(A, LATER, Format::Raw, &half));
    let lens: Vec<_> = drain(&mut outbox)
        .iter()
        .map(|section| section.draft.len())
        .collect();
    assert_eq!(
        lens,
        [
            2 * (half.len() + RECORD_OVERHEAD),
            half.len() + RECORD_OVERHEAD
        ]
    );
}

#[test]
fn a_large_value_is_cut_over_sections() {
    let mut outbox = outbox(usize::MAX);
    outbox.push(A, LATER, Format::Raw, b"before");
    outbox.push(A, LATER, Format::Raw, &vec![7; 2 * MAX_FRAGMENT_LEN + 1]);
    outbox.push(B, LATER, Format::Raw, b"after");
    let sections = drain(&mut outbox);
    assert_eq!(sections.len(), 3, "the first fragment fills what is begun");
    let runs: Vec<u64> = sections
        .iter()
        .map(|it| it.posters.iter().map(|run| run.records).sum())
        .collect();
    assert_eq!(
        runs,
        [2, 1, 2],
        "the last fragment shares its section with what follows"
    );
    let last = sections[2].posters(numbers(4, 5));
    assert!(last.heard_by(B, seq(4)) && !last.heard_by(A, seq(4)));
    assert!(last.heard_by(A, seq(5)) && !last.heard_by(B, seq(5)));
}

#[test]
fn room_is_refused_to_the_byte() {
    let mut outbox = outbox(20);
    assert!(
        outbox.has_room(1000, Poster::NonBlocking),
        "an empty outbox takes any value"
    );
    outbox.push(A, LATER, Format::Raw, b"12345");
    assert!(outbox.has_room(20 - 9 - RECORD_OVERHEAD, Poster::NonBlocking));
    assert!(!outbox.has_room(20 - 9 - RECORD_OVERHEAD + 1, Poster::NonBlocking));
    outbox.push(A, LATER, Format::Raw, b"1234567");
    assert!(
        !outbox.has_room(0, Poster::NonBlocking),
        "an empty value takes room as well"
    );
    drain(&mut outbox);
    assert!(outbox.has_room(1000, Poster::NonBlocking));
}

#[test]
fn a_poster_that_waits_for_room_is_not_far_ahead_of_what_leaves() {
    let mut outbox = outbox(10 * WAITING_LIMIT);
    outbox.push(
        A,
        LATER,
        Format::Raw,
        &vec![0; WAITING_LIMIT - RECORD_OVERHEAD],
    );
    assert!(outbox.has_room(0, Poster::NonBlocking) && !outbox.has_room(0, Poster::Waiting));
    outbox.pop();
    assert!(outbox.has_room(0, Poster::Waiting));
}

#[test]
fn an_object_hears_neither_itself_nor_what_was_posted_before_it() {
    let mut outbox = outbox(usize::MAX);
    outbox.push(A, B, Format::Raw, b"before B was made");
    outbox.push(A, LATER, Format::Raw, b"after");
    let posters = drain(&mut outbox)[0].posters(numbers(10, 11));
    assert!(!posters.heard_by(B, seq(10)) && posters.heard_by(B, seq(11)));
    assert!(!posters.concern(A) && posters.concern(B));
    assert!(!posters.heard_by(B, seq(12)), "beyond the frame");
}

proptest! {
    /// Against a plain list: every record keeps its poster, whatever sections it falls into.
    #[test]
    fn every_record_keeps_its_poster(
        posts in prop::collection::vec((0_u64..3, 0_usize..40_000), 1..40),
        pops in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut outbox = outbox(usize::MAX);
        let (mut expected, mut sections) = (Vec::new(), Vec::new());
        for ((poster, len), pop) in posts.iter().zip(pops) {
            outbox.push(ObjectId::nth(*poster), ObjectId::nth(3), Format::Raw, &vec![0; *len]);
            expected.extend(vec![ObjectId::nth(*poster); meshcast_proto::fragment_count(*len)]);
            if pop {
                sections.extend(outbox.pop());
            }
        }
        sections.extend(drain(&mut outbox));
        prop_assert_eq!(outbox.bytes(), 0);
        let mut next = 1;
        for section in &sections {
            prop_assert!(section.draft.len() <= Frame::MAX_RECORDS_LEN);
            let count: u64 = section.posters.iter().map(|run| run.records).sum();
            let posters = section.posters(numbers(next, next + count - 1));
            for n in next..next + count {
                let poster = expected[usize::try_from(n - 1).expect("small")];
                for object in (0..4).map(ObjectId::nth) {
                    prop_assert_eq!(
                        posters.heard_by(object, seq(n)),
                        object != poster && object != ObjectId::nth(3),
                    );
                }
            }
            next += count;
        }
        prop_assert_eq!(next - 1, expected.len() as u64);
    }
}
