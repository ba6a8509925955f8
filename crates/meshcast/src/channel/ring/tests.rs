use std::collections::BTreeMap;

use meshcast_proto::{Format, Sender};
use proptest::prelude::*;

use super::{ENTRY_OVERHEAD, Item, MAX_RANGES, Pending, ReaderId, Ring, Unpacked};
use crate::{
    channel::{ObjectId, fixture::Source, outbox::Outbox},
    message::GapReason,
};

const A: ObjectId = ObjectId(0);
const B: ObjectId = ObjectId(1);

/// What a reader got: the numbers of values and of gaps, by sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Got {
    Value(u64),
    Unread(u64, u64),
}

fn read_all(ring: &mut Ring, id: ReaderId, object: ObjectId) -> Vec<(Sender, Got)> {
    let mut got = Vec::new();
    while let Some(item) = ring.read(id) {
        match item {
            Item::Missed(gap) => {
                assert_eq!(gap.reason, GapReason::Unread);
                got.push((
                    gap.member.sender(),
                    Got::Unread(gap.missed.first().get(), gap.missed.last().get()),
                ));
            }
            Item::Values(delivery, posters) => {
                let sender = delivery.member.sender();
                let values = Unpacked::new(delivery, posters).filter(|value| value.is_for(object));
                got.extend(values.map(|value| (sender, Got::Value(value.posted.seqs.first().get()))));
            }
        }
    }
    got
}

fn one(source: &mut Source, value: &[u8]) -> Item {
    source.heard(&[value]).remove(0)
}

#[test]
fn each_reader_reads_everything_from_where_it_began() {
    let (mut ring, mut source) = (Ring::new(usize::MAX), Source::new(1));
    let early = ring.add_reader(A);
    ring.push(one(&mut source, b"1"));
    let late = ring.add_reader(B);
    ring.push(one(&mut source, b"2"));
    let me = source.member.sender();
    assert_eq!(
        read_all(&mut ring, early, A),
        [(me, Got::Value(1)), (me, Got::Value(2))]
    );
    assert_eq!(ring.pending(late), Some(Pending::At(1)));
    assert_eq!(read_all(&mut ring, late, B), [(me, Got::Value(2))]);
    assert_eq!((ring.bytes(), ring.unread()), (0, 0));
}

#[test]
fn what_makes_way_is_told_by_sender_with_exact_numbers_before_anything_later() {
    let (mut one_, mut two) = (Source::new(1), Source::new(2));
    let len = one(&mut one_, b"x").len_bytes();
    let mut ring = Ring::new(2 * len);
    let (slow, quick) = (ring.add_reader(A), ring.add_reader(B));
    let mut quick_got = Vec::new();
    for round in 0..3 {
        ring.push(one(&mut one_, &[round]));
        ring.push(one(&mut two, &[round]));
        quick_got.extend(read_all(&mut ring, quick, B));
    }
    assert_eq!(quick_got.len(), 6, "others are undisturbed");
    let (a, b) = (one_.member.sender(), two.member.sender());
    let mut gaps = [(a, Got::Unread(2, 3)), (b, Got::Unread(1, 2))];
    gaps.sort_by_key(|(sender, _)| *sender);
    assert_eq!(ring.pending(slow), Some(Pending::Lost));
    let got = read_all(&mut ring, slow, A);
    assert_eq!(got[..2], gaps);
    assert_eq!(got[2..], [(a, Got::Value(4)), (b, Got::Value(3))]);
    assert_eq!((ring.bytes(), ring.unread()), (0, 4));
}

#[test]
fn of_its_own_posts_an_object_misses_nothing() {
    let mut source = Source::new(1);
    let mut outbox = Outbox::new(usize::MAX);
    for poster in [A, B, A, B, A] {
        outbox.push(poster, ObjectId(2), Format::Raw, b"x");
    }
    let (items, _) = source.post(&outbox.pop().expect("five records"), true);
    let mut ring = Ring::new(ENTRY_OVERHEAD);
    let (a, b) = (ring.add_reader(A), ring.add_reader(B));
    items.into_iter().for_each(|item| drop(ring.push(item)));
    // One more of another node pushes it out.
    let mut other = Source::new(2);
    ring.push(one(&mut other, b"y"));
    let me = source.member.sender();
    assert_eq!(
        read_all(&mut ring, a, A)[..2],
        [(me, Got::Unread(2, 2)), (me, Got::Unread(4, 4))],
        "not 1, 3 and 5, which are its own"
    );
    let odd = [1, 3, 5].map(|n| (me, Got::Unread(n, n)));
    assert_eq!(read_all(&mut ring, b, B)[..3], odd);
    assert_eq!(ring.unread(), 5);
}

#[test]
fn nothing_is_kept_for_an_object_that_only_hears_itself() {
    let mut source = Source::new(1);
    let mut ring = Ring::new(usize::MAX);
    let reader = ring.add_reader(A);
    let mut outbox = Outbox::new(usize::MAX);
    outbox.push(A, B, Format::Raw, b"x");
    let (items, _) = source.post(&outbox.pop().expect("a record"), true);
    items.into_iter().for_each(|item| drop(ring.push(item)));
    assert_eq!((ring.bytes(), ring.pending(reader)), (0, None));
}

#[test]
fn a_reader_that_nobody_claims_holds_a_part_and_does_not_count() {
    let mut source = Source::new(1);
    let len = one(&mut source, b"x").len_bytes();
    let mut ring = Ring::new(8 * len);
    let idle = ring.add_unclaimed(A);
    for _ in 0..10 {
        ring.push(one(&mut source, b"x"));
        assert!(ring.bytes() <= 2 * len);
    }
    assert_eq!(ring.unread(), 0);
    ring.claim(idle);
    assert_eq!(ring.unread(), 8, "now somebody misses them");
    let me = source.member.sender();
    let got = read_all(&mut ring, idle, A);
    assert_eq!(
        got,
        [
            (me, Got::Unread(2, 9)),
            (me, Got::Value(10)),
            (me, Got::Value(11))
        ]
    );
    (0..8).for_each(|_| drop(ring.push(one(&mut source, b"x"))));
    assert_eq!(ring.bytes(), 8 * len, "a claimed reader has all of it");
}

#[test]
fn a_reader_that_leaves_holds_nothing_back() {
    let (mut ring, mut source) = (Ring::new(usize::MAX), Source::new(1));
    let (a, b) = (ring.add_reader(A), ring.add_reader(B));
    ring.push(one(&mut source, b"1"));
    assert_eq!(read_all(&mut ring, a, A).len(), 1);
    assert!(ring.bytes() > 0);
    ring.remove_reader(b);
    assert_eq!(ring.bytes(), 0);
    ring.push(one(&mut source, b"2"));
    ring.remove_object(A);
    assert_eq!(ring.bytes(), 0);
    assert!(ring.read(a).is_none() && ring.pending(a).is_none());
}

#[test]
fn a_gap_as_long_as_the_counter_does_not_overflow_what_is_counted() {
    use meshcast_proto::{Seq, SeqRange};
    let mut source = Source::new(1);
    let gap = |reason| crate::message::Gap {
        member: std::sync::Arc::clone(&source.member),
        missed: SeqRange::new(Seq::FIRST, Seq::MAX).expect("in order"),
        reason,
    };
    let (lost, unread) = (gap(GapReason::Lost), gap(GapReason::Unread));
    let mut ring = Ring::new(0);
    let reader = ring.add_reader(A);
    ring.push(Item::Missed(lost));
    ring.push(one(&mut source, b"x"));
    assert_eq!(ring.unread(), 0, "what the network lost was not there to be read");
    (0..2).for_each(|_| drop(ring.push(Item::Missed(unread.clone()))));
    ring.push(one(&mut source, b"x"));
    assert_eq!(ring.unread(), u64::MAX);
    let mut told = std::iter::from_fn(|| ring.read(reader));
    for reason in [GapReason::Lost, GapReason::Unread] {
        assert!(matches!(told.next(), Some(Item::Missed(gap)) if gap.reason == reason));
    }
}

#[test]
fn ranges_of_different_reasons_are_told_apart_until_there_are_too_many() {
    use meshcast_proto::{Seq, SeqRange};
    let source = Source::new(1);
    let gap = |n: u64, reason| {
        let seq = Seq::new(n).expect("not zero");
        Item::Missed(crate::message::Gap {
            member: std::sync::Arc::clone(&source.member),
            missed: SeqRange::new(seq, seq).expect("in order"),
            reason,
        })
    };
    let told = |count: u64| {
        let mut ring = Ring::new(0);
        let reader = ring.add_reader(A);
        for n in 1..=count {
            // Two of each.
            let reasons = [GapReason::Lost, GapReason::TooLarge];
            ring.push(gap(n, reasons[usize::try_from(n / 2 % 2).expect("a bit")]));
        }
        let mut told = Vec::new();
        while let Some(Item::Missed(gap)) = ring.read(reader) {
            told.push((gap.missed.first().get(), gap.missed.last().get(), gap.reason));
        }
        told
    };
    use GapReason::{Lost, TooLarge};
    assert_eq!(
        told(6),
        [(1, 1, Lost), (2, 3, TooLarge), (4, 5, Lost), (6, 6, TooLarge)],
        "the last is not pushed out yet"
    );
    let many = told(4 * MAX_RANGES as u64);
    assert_eq!(many.len(), MAX_RANGES + 1);
    assert!(
        many.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0),
        "no number is left out"
    );
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8),
    Read(usize),
    Add,
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..2).prop_map(Step::Push),
        4 => (0_usize..4).prop_map(Step::Read),
        1 => Just(Step::Add),
        1 => (0_usize..4).prop_map(Step::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens, a reader sees every number of a sender once, as a value or in a gap, in order.
    #[test]
    fn every_number_is_read_or_told_as_missing(steps in prop::collection::vec(step(), 1..120)) {
        let mut sources = [Source::new(1), Source::new(2)];
        let mut ring = Ring::new(4 * one(&mut sources[0], b"x").len_bytes());
        let mut posted: BTreeMap<Sender, u64> = BTreeMap::from([(sources[0].member.sender(), 1)]);
        // Each reader with the next number that it expects of each sender.
        let mut readers: Vec<(ReaderId, BTreeMap<Sender, u64>)> = Vec::new();
        let check = |ring: &mut Ring, (id, next): &mut (ReaderId, BTreeMap<Sender, u64>)| {
            for (sender, got) in read_all(ring, *id, B) {
                let (first, last) = match got {
                    Got::Value(n) => (n, n),
                    Got::Unread(first, last) => (first, last),
                };
                let next = next.entry(sender).or_insert(1);
                assert_eq!(first, *next);
                *next = last + 1;
            }
        };
        for step in steps {
            match step {
                Step::Push(i) => {
                    let source = &mut sources[usize::from(i)];
                    ring.push(one(source, b"x"));
                    *posted.entry(source.member.sender()).or_default() += 1;
                }
                Step::Read(i) => if let Some(reader) = readers.get_mut(i) {
                    check(&mut ring, reader);
                }
                Step::Add if readers.len() < 4 => {
                    let next = posted.iter().map(|(sender, n)| (*sender, n + 1)).collect();
                    readers.push((ring.add_reader(B), next));
                }
                Step::Remove(i) if i < readers.len() => drop(ring.remove_reader(readers.remove(i).0)),
                Step::Add | Step::Remove(_) => {}
            }
        }
        for reader in &mut readers {
            check(&mut ring, reader);
            for (sender, n) in &posted {
                prop_assert_eq!(reader.1.get(sender).copied().unwrap_or(1), n + 1);
            }
        }
        prop_assert_eq!(ring.bytes(), 0);
    }
}
