use proptest::prelude::*;

use super::*;
use crate::{
    fixture::{FULL, channel, frame, peer},
    wire::{MAX_FRAGMENT_LEN, Time},
};

/// All numbers of a frame, or some.
fn due(frame: Frame, seqs: Option<SeqRange>) -> Due {
    Due {
        seqs: seqs.unwrap_or_else(|| frame.seqs()),
        frame,
        arrival: Arrival::local(Time::ZERO),
    }
}

/// Two fragments that go on and a few bytes.
const LIMIT: usize = 2 * MAX_FRAGMENT_LEN + 5;

/// What became of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Value(SeqRange, Vec<u8>),
    Missed(GapReason),
    /// It waits for the rest of its value.
    Waits,
}

fn range(first: u64, last: u64) -> SeqRange {
    let seq = |n| Seq::new(n).expect("not 0");
    SeqRange::new(seq(first), seq(last)).expect("in order")
}

/// The reference: looks ahead in the list of all records.
fn expected(records: &[(Part, Vec<u8>)]) -> Vec<Fate> {
    let mut fates = Vec::new();
    while let Some((part, payload)) = records.get(fates.len()) {
        let from = fates.len();
        if *part == Part::Whole {
            let number = from as u64 + 1;
            fates.push(Fate::Value(range(number, number), payload.clone()));
            continue;
        }
        if *part != Part::First {
            fates.push(Fate::Missed(GapReason::Incomplete));
            continue;
        }
        let after = &records[from + 1..];
        let middles = after
            .iter()
            .take_while(|(part, _)| *part == Part::Middle)
            .count();
        let end = after.get(middles).map(|(part, _)| *part);
        let count = 1 + middles + usize::from(end == Some(Part::Last));
        let payloads: Vec<&[u8]> = records[from..from + count]
            .iter()
            .map(|(_, payload)| payload.as_slice())
            .collect();
        let value = payloads.concat();
        let fate = if value.len() > LIMIT {
            Fate::Missed(GapReason::TooLarge)
        } else if end == Some(Part::Last) {
            Fate::Value(range(from as u64 + 1, (from + count) as u64), value)
        } else if end.is_some() {
            Fate::Missed(GapReason::Incomplete)
        } else {
            Fate::Waits
        };
        fates.extend(std::iter::repeat_n(fate, count));
    }
    fates
}

/// What the assembler does with the same records in frames of at most `cuts` records.
fn actual(records: &[(Part, Vec<u8>)], cuts: &[usize]) -> Vec<Fate> {
    let (mut reassembly, mut out) = (Reassembly::default(), Vec::new());
    let (mut rest, mut first, mut cuts) = (records, 1, cuts.iter().cycle());
    while !rest.is_empty() {
        // A record that goes on fills its frame.
        let short = rest
            .iter()
            .take_while(|(_, payload)| payload.len() < MAX_FRAGMENT_LEN);
        let most = short.count().max(1);
        let (now, later) = rest.split_at(most.min(*cuts.next().expect("endless")));
        let records = now
            .iter()
            .map(|(part, payload)| (*part, payload.as_slice()));
        let frame = frame(peer(0), &channel(0), first, records);
        reassembly.push(&peer(0).member, due(frame, None), LIMIT, &mut out);
        (rest, first) = (later, first + now.len() as u64);
    }
    let mut fates: Vec<Fate> = Vec::new();
    for assembled in out {
        match assembled {
            Assembled::Values(delivery) => {
                assert_eq!(
                    delivery.seqs().first().get(),
                    fates.len() as u64 + 1,
                    "in order"
                );
                for value in delivery.values() {
                    let fate = Fate::Value(value.seqs, value.payload.to_vec());
                    fates.extend(std::iter::repeat_n(fate, value.seqs.len() as usize));
                }
                assert_eq!(delivery.seqs().last().get(), fates.len() as u64, "complete");
            }
            Assembled::Missed(missed, reason) => {
                assert_eq!(missed.first().get(), fates.len() as u64 + 1, "in order");
                fates.extend(std::iter::repeat_n(
                    Fate::Missed(reason),
                    missed.len() as usize,
                ));
            }
        }
    }
    let waits = reassembly.partial.is_some();
    if let Some((seqs, reason)) = reassembly.give_up() {
        assert_eq!(seqs.first().get(), fates.len() as u64 + 1, "in order");
        let fate = if waits {
            Fate::Waits
        } else {
            Fate::Missed(reason)
        };
        fates.extend(std::iter::repeat_n(fate, seqs.len() as usize));
    }
    fates
}

fn record() -> impl Strategy<Value = (Part, Vec<u8>)> {
    let part = prop_oneof![
        3 => Just(Part::Whole),
        2 => Just(Part::First),
        2 => Just(Part::Middle),
        2 => Just(Part::Last),
    ];
    (part, prop::collection::vec(any::<u8>(), 0..10)).prop_map(|(part, payload)| match part {
        Part::First | Part::Middle => (part, FULL.to_vec()),
        Part::Whole | Part::Last => (part, payload),
    })
}

proptest! {
    /// Fragments come in any order of parts: of a hostile sender, or after the window skipped some.
    #[test]
    fn every_number_has_the_fate_that_looking_ahead_finds(
        records in prop::collection::vec(record(), 1..25),
        cuts in prop::collection::vec(1..6_usize, 1..8),
    ) {
        prop_assert_eq!(actual(&records, &cuts), expected(&records));
    }
}

fn parts(parts: impl IntoIterator<Item = Part>) -> Vec<(Part, Vec<u8>)> {
    let payload = |part| match part {
        Part::First | Part::Middle => FULL.to_vec(),
        Part::Whole | Part::Last => Vec::new(),
    };
    parts
        .into_iter()
        .map(|part| (part, payload(part)))
        .collect()
}

#[test]
fn a_value_without_end_is_too_large() {
    let middles = std::iter::repeat_n(Part::Middle, 10);
    let records = parts(std::iter::once(Part::First).chain(middles));
    let fates = actual(&records, &[1]);
    assert!(
        fates
            .iter()
            .all(|fate| *fate == Fate::Missed(GapReason::TooLarge))
    );
}

#[test]
fn a_value_of_the_longest_fragments_is_put_together() {
    let value: Vec<u8> = (0..MAX_FRAGMENT_LEN + 1000).map(|i| i as u8).collect();
    let (mut reassembly, mut out) = (Reassembly::default(), Vec::new());
    for (first, record) in (1..).zip(crate::fragments(&value, crate::MAX_FRAGMENT_LEN)) {
        let frame = frame(peer(0), &channel(0), first, [record]);
        reassembly.push(&peer(0).member, due(frame, None), value.len(), &mut out);
    }
    let [Assembled::Values(delivery)] = out.as_slice() else {
        panic!("{out:?}");
    };
    assert_eq!(delivery.len_bytes(), value.len());
    let values: Vec<Posted> = delivery.values().collect();
    assert_eq!((values.len(), values[0].seqs), (1, range(1, 2)));
    assert!(values[0].payload == value);
}

#[test]
fn fragments_after_a_lost_beginning_are_incomplete() {
    let records = parts([Part::Middle, Part::Last, Part::Whole, Part::Last]);
    let missed = Fate::Missed(GapReason::Incomplete);
    let whole = Fate::Value(range(3, 3), Vec::new());
    assert_eq!(
        actual(&records, &[4]),
        [missed.clone(), missed.clone(), whole, missed]
    );
}

#[test]
fn a_part_of_a_frame_delivers_only_its_numbers() {
    let (mut reassembly, mut out) = (Reassembly::default(), Vec::new());
    let records = [b"a", b"b", b"c", b"d"].map(|payload| (Part::Whole, payload.as_slice()));
    let frame = frame(peer(0), &channel(0), 5, records);
    reassembly.push(
        &peer(0).member,
        due(frame, Some(range(6, 7))),
        LIMIT,
        &mut out,
    );
    let [Assembled::Values(delivery)] = out.as_slice() else {
        panic!("{out:?}");
    };
    let values: Vec<(u64, Bytes)> = delivery
        .values()
        .map(|value| (value.seqs.first().get(), value.payload))
        .collect();
    assert_eq!(
        values,
        [(6, Bytes::from_static(b"b")), (7, Bytes::from_static(b"c"))]
    );
}

/// What comes out of records, each in a frame of its own.
fn gaps(records: &[(Part, &[u8])], limit: usize) -> Vec<(SeqRange, Option<GapReason>)> {
    let (mut reassembly, mut out) = (Reassembly::default(), Vec::new());
    for (number, record) in (1..).zip(records) {
        let frame = frame(peer(0), &channel(0), number, [*record]);
        reassembly.push(&peer(0).member, due(frame, None), limit, &mut out);
    }
    let came = out.into_iter().map(|assembled| match assembled {
        Assembled::Values(delivery) => (delivery.seqs(), None),
        Assembled::Missed(missed, reason) => (missed, Some(reason)),
    });
    came.collect()
}

#[test]
fn a_value_over_the_limit_is_one_gap_however_many_fragments_it_has() {
    let value = |part| (part, &FULL[..]);
    let mut records = vec![value(Part::First)];
    records.extend([value(Part::Middle); 63]);
    records.push(value(Part::Last));
    let (whole, too_large) = ((Part::Whole, &b"x"[..]), Some(GapReason::TooLarge));
    records.push(whole);
    let all = [(range(1, 65), too_large), (range(66, 66), None)];
    assert_eq!(gaps(&records, LIMIT), all);
    // Its end never comes.
    records.remove(64);
    let all = [(range(1, 64), too_large), (range(65, 65), None)];
    assert_eq!(gaps(&records, LIMIT), all);
    // Its beginning was missed.
    let all = [
        (range(1, 63), Some(GapReason::Incomplete)),
        (range(64, 64), None),
    ];
    assert_eq!(gaps(&records[1..], LIMIT), all);
}

#[test]
fn a_value_in_one_record_over_the_limit_is_a_gap_and_its_neighbours_come() {
    let (short, long) = ((Part::Whole, &b"xx"[..]), (Part::Whole, &b"xxx"[..]));
    let too_large = Some(GapReason::TooLarge);
    let all = [
        (range(1, 1), None),
        (range(2, 2), too_large),
        (range(3, 3), None),
    ];
    assert_eq!(gaps(&[short, long, short], 2), all);
    // In one frame, also after half a value.
    let frame = frame(peer(0), &channel(0), 1, [short, short, long, long, short]);
    let (mut reassembly, mut out) = (Reassembly::default(), Vec::new());
    reassembly.push(&peer(0).member, due(frame, None), 2, &mut out);
    let came = out.iter().map(|assembled| match assembled {
        Assembled::Values(delivery) => (delivery.seqs(), None),
        Assembled::Missed(missed, reason) => (*missed, Some(*reason)),
    });
    let single = |n| (range(n, n), too_large);
    let all = [
        (range(1, 2), None),
        single(3),
        single(4),
        (range(5, 5), None),
    ];
    assert_eq!(came.collect::<Vec<_>>(), all);
}
