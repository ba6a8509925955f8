use std::{collections::BTreeMap, sync::Arc};

use meshcast_proto::{Backlog, Format, Sender, Seq, SeqRange, Time};
use proptest::prelude::*;

use super::{
    BackfillStart, Item, Pending, ReaderId, Ring, Unpacked, item::ENTRY_OVERHEAD, lag::MAX_SPANS,
};
use crate::{
    channel::{
        ObjectId,
        fixture::{Source, outbox},
        message::{Gap, GapReason},
    },
    clock::{Clock, moment},
};

mod cursors;

const A: ObjectId = ObjectId::nth(0);
const B: ObjectId = ObjectId::nth(1);

/// What a reader got: the numbers of values and of gaps, by sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Got {
    Value(u64),
    Unread(u64, u64),
    Unfetched(u64, u64),
    Expired(u64, u64),
}

/// What history keeps, as a plain list of single values.
#[derive(Default)]
struct Keeper(BTreeMap<(Sender, u64), Item>);

impl Keeper {
    fn keep(&mut self, item: &Item) {
        if let Item::Values(delivery, _) = item {
            for value in delivery.values() {
                let key = (delivery.member.sender(), value.seqs.first().get());
                self.0.insert(key, item.clone());
            }
        }
    }

    /// Answers all that is asked, with so many values at most to each reader.
    fn answer(&self, ring: &mut Ring, most: usize) {
        for (reader, wanted) in ring.take_wanted(usize::MAX) {
            let sender = wanted.member.sender();
            let (mut items, mut upto, mut values): (Vec<Item>, _, _) = (Vec::new(), None, 0);
            let numbers = wanted.spans.iter().flat_map(|(seqs, reason)| {
                let numbers = seqs.first().get()..=seqs.last().get();
                numbers.map(|n| (Seq::new(n).expect("not zero"), *reason))
            });
            for (seq, reason) in numbers {
                let kept = self.0.get(&(sender, seq.get()));
                if values == most && kept.is_some() {
                    break;
                }
                match (kept, items.last_mut()) {
                    (Some(item), _) => {
                        values += 1;
                        items.push(item.clone());
                    }
                    (None, Some(Item::Missed(gap))) if gap.missed.last().next() == seq => {
                        gap.missed = gap.missed.hull(SeqRange::single(seq));
                    }
                    (None, _) => items.push(Item::Missed(Gap {
                        member: Arc::clone(&wanted.member),
                        missed: SeqRange::single(seq),
                        reason,
                    })),
                }
                upto = Some(seq);
            }
            ring.recall(reader, items, upto.expect("something is asked"));
        }
    }
}

/// Reads all there is while nothing is kept.
fn read_all(ring: &mut Ring, id: ReaderId, object: ObjectId) -> Vec<(Sender, Got)> {
    read_with(&Keeper::default(), ring, id, object)
}

/// Reads all there is, with what a keeper hands over.
fn read_with(
    keeper: &Keeper,
    ring: &mut Ring,
    id: ReaderId,
    object: ObjectId,
) -> Vec<(Sender, Got)> {
    let mut got = Vec::new();
    loop {
        match ring.read(id) {
            None if ring.is_requesting() => keeper.answer(ring, 2),
            None => return got,
            Some(Item::Missed(gap)) => {
                let (first, last) = (gap.missed.first().get(), gap.missed.last().get());
                let told = match gap.reason {
                    GapReason::Unfetched => Got::Unfetched(first, last),
                    GapReason::Expired => Got::Expired(first, last),
                    reason => {
                        assert_eq!(reason, GapReason::Unread);
                        Got::Unread(first, last)
                    }
                };
                got.push((gap.member.sender(), told));
            }
            Some(Item::Values(delivery, posters)) => {
                let sender = delivery.member.sender();
                let mut values = Unpacked::new(delivery, posters, false, Clock::start());
                let values = std::iter::from_fn(|| values.next_for(object));
                got.extend(
                    values.map(|value| (sender, Got::Value(value.posted.seqs.first().get()))),
                );
            }
        }
    }
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
    assert_eq!((ring.bytes(), ring.told().unread.numbers), (0, 0));
}

#[test]
fn evicted_messages_are_told_by_sender_with_exact_numbers_before_anything_later() {
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
    assert_eq!((ring.pending(slow), ring.is_requesting()), (None, true));
    let got = read_all(&mut ring, slow, A);
    assert_eq!(got[..2], gaps);
    assert_eq!(got[2..], [(a, Got::Value(4)), (b, Got::Value(3))]);
    assert_eq!((ring.bytes(), ring.told().unread.numbers), (0, 4));
}

#[test]
fn of_its_own_posts_an_object_misses_nothing() {
    let mut source = Source::new(1);
    let mut outbox = outbox(usize::MAX);
    for poster in [A, B, A, B, A] {
        outbox.push(poster, ObjectId::nth(2), Format::Raw, b"x");
    }
    let (items, _) = source.post(outbox.pop().expect("five records"), true);
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
    assert_eq!(ring.told().unread.numbers, 5);
}

#[test]
fn nothing_is_kept_for_an_object_that_only_hears_itself() {
    let mut source = Source::new(1);
    let mut ring = Ring::new(usize::MAX);
    let reader = ring.add_reader(A);
    let mut outbox = outbox(usize::MAX);
    outbox.push(A, B, Format::Raw, b"x");
    let (items, _) = source.post(outbox.pop().expect("a record"), true);
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
    ring.claim(idle);
    assert_eq!(ring.told().unread.numbers, 0, "nobody misses them yet");
    let me = source.member.sender();
    let got = read_all(&mut ring, idle, A);
    assert_eq!(ring.told().unread.numbers, 8);
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
    let mut source = Source::new(1);
    let gap = |reason| Gap {
        member: Arc::clone(&source.member),
        missed: SeqRange::new(Seq::FIRST, Seq::MAX).expect("in order"),
        reason,
    };
    let (lost, unread) = (gap(GapReason::Lost), gap(GapReason::Unread));
    let mut ring = Ring::new(0);
    let reader = ring.add_reader(A);
    ring.push(Item::Missed(lost));
    ring.push(one(&mut source, b"x"));
    (0..2).for_each(|_| drop(ring.push(Item::Missed(unread.clone()))));
    ring.push(one(&mut source, b"x"));
    let told = |ring: &mut Ring| match ring.read(reader) {
        Some(Item::Missed(gap)) => Some(gap.reason),
        _ => None,
    };
    assert_eq!(told(&mut ring), Some(GapReason::Lost));
    assert_eq!(
        ring.told().unread.numbers,
        0,
        "what the network lost was not there to be read"
    );
    assert!(
        (ring.read(reader).is_none(), ring.is_requesting()) == (true, true),
        "the value before the others"
    );
    Keeper::default().answer(&mut ring, 1);
    (0..3).for_each(|_| assert_eq!(told(&mut ring), Some(GapReason::Unread)));
    assert_eq!(ring.told().unread.numbers, u64::MAX);
}

#[test]
fn ranges_of_different_reasons_are_told_apart_until_there_are_too_many() {
    let source = Source::new(1);
    let gap = |n: u64, reason| {
        let seq = Seq::new(n).expect("not zero");
        Item::Missed(Gap {
            member: Arc::clone(&source.member),
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
            told.push((
                gap.missed.first().get(),
                gap.missed.last().get(),
                gap.reason,
            ));
        }
        told
    };
    use GapReason::{Lost, TooLarge};
    assert_eq!(
        told(6),
        [
            (1, 1, Lost),
            (2, 3, TooLarge),
            (4, 5, Lost),
            (6, 6, TooLarge)
        ],
        "the last is not pushed out yet"
    );
    let many = told(4 * MAX_SPANS as u64);
    assert_eq!(many.len(), MAX_SPANS + 1);
    assert!(
        many.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0),
        "no number is left out"
    );
}

#[test]
fn evicted_messages_are_read_from_the_history_and_only_the_rest_is_a_gap() {
    let (mut source, mut keeper) = (Source::new(1), Keeper::default());
    let items: Vec<_> = (0..10).map(|n| one(&mut source, &[n])).collect();
    let mut ring = Ring::new(3 * items[0].len_bytes());
    let slow = ring.add_reader(A);
    for item in items {
        keeper.keep(&item);
        ring.push(item);
    }
    let me = source.member.sender();
    keeper.0.retain(|(_, n), _| ![1, 2, 5].contains(n));
    let mut expected = vec![
        (me, Got::Unread(1, 2)),
        (me, Got::Value(3)),
        (me, Got::Value(4)),
    ];
    expected.push((me, Got::Unread(5, 5)));
    expected.extend((6..=10).map(|n| (me, Got::Value(n))));
    assert_eq!(read_with(&keeper, &mut ring, slow, A), expected);
    assert_eq!((ring.bytes(), ring.told().unread.numbers), (0, 3));
}

#[test]
fn a_reader_waits_for_what_it_asked_for_and_asks_once() {
    let (mut source, mut keeper) = (Source::new(1), Keeper::default());
    let item = one(&mut source, b"x");
    let mut ring = Ring::new(item.len_bytes());
    let slow = ring.add_reader(A);
    keeper.keep(&item);
    ring.push(item);
    ring.push(one(&mut source, b"y"));
    assert!(ring.read(slow).is_none() && ring.is_requesting());
    let wanted = ring.take_wanted(usize::MAX);
    assert_eq!(wanted.len(), 1);
    assert!(
        ring.read(slow).is_none() && !ring.is_requesting(),
        "not what came after it"
    );
    ring.remove_reader(slow);
    let upto = wanted[0].1.spans[0].0.last();
    assert!(
        ring.recall(slow, Vec::new(), upto).is_none(),
        "whoever asked may have left"
    );
}

#[test]
fn senders_take_turns_so_that_a_flood_by_one_keeps_nobody_waiting() {
    let (mut flood, mut quiet, mut keeper) = (Source::new(1), Source::new(2), Keeper::default());
    let mut ring = Ring::new(one(&mut flood, b"x").len_bytes());
    let slow = ring.add_reader(A);
    let mut push = |ring: &mut Ring, source: &mut Source| {
        let item = one(source, b"x");
        keeper.keep(&item);
        ring.push(item);
        keeper.answer(ring, 1);
    };
    let mut heard = 0;
    push(&mut ring, &mut quiet);
    for _ in 0..8 {
        (0..4).for_each(|_| push(&mut ring, &mut flood));
        if let Some(Item::Values(delivery, _)) = ring.read(slow) {
            heard += usize::from(delivery.member.sender() == quiet.member.sender());
        }
    }
    assert_eq!(heard, 1, "whichever of them is the first by name");
}

#[test]
fn when_there_is_nobody_left_to_ask_the_rest_is_missing() {
    let mut source = Source::new(1);
    let mut ring = Ring::new(one(&mut source, b"x").len_bytes());
    let slow = ring.add_reader(A);
    (0..4).for_each(|_| drop(ring.push(one(&mut source, b"x"))));
    assert!(ring.read(slow).is_none() && ring.is_requesting());
    ring.give_up();
    let me = source.member.sender();
    assert_eq!(
        read_all(&mut ring, slow, A),
        [(me, Got::Unread(2, 4)), (me, Got::Value(5))]
    );
}

#[test]
fn one_that_came_late_reads_what_was_before_it_then_what_made_way_and_then_the_rest() {
    let (mut source, mut keeper) = (Source::new(1), Keeper::default());
    let mut items = (0..9)
        .map(|_| one(&mut source, b"x"))
        .collect::<Vec<_>>()
        .into_iter();
    let mut ring = Ring::new(2 * items.as_slice()[0].len_bytes());
    let mut push = |ring: &mut Ring, count| {
        for item in items.by_ref().take(count) {
            keeper.keep(&item);
            ring.push(item);
        }
    };
    let (first, late) = (ring.add_reader(B), ring.add_late(A, None));
    ring.claim(late);
    push(&mut ring, 4);
    ring.skip_to_end(late);
    push(&mut ring, 5);
    assert!(
        ring.read(late).is_none() && !ring.is_requesting(),
        "it is still looked for"
    );
    let past = SeqRange::new(Seq::new(2).expect("2"), Seq::new(4).expect("4")).expect("in order");
    begin(&mut ring, late, &[past_of(&source, Some(past), None, None)]);
    let me = source.member.sender();
    let got = read_with(&keeper, &mut ring, late, A);
    assert_eq!(
        got,
        (2..=9).map(|n| (me, Got::Value(n))).collect::<Vec<_>>()
    );
    let got = read_with(&keeper, &mut ring, first, B);
    assert_eq!(
        got,
        (1..=9).map(|n| (me, Got::Value(n))).collect::<Vec<_>>()
    );
}

fn past_of(
    source: &Source,
    kept: Option<SeqRange>,
    unfetched: Option<SeqRange>,
    from: Option<u64>,
) -> Backlog {
    Backlog {
        sender: source.member.sender(),
        member: Some(Arc::clone(&source.member)),
        kept,
        unfetched,
        gone: None,
        from: from.and_then(Seq::new),
        resumption: None,
    }
}

/// Tells a late reader what was before it.
fn begin(ring: &mut Ring, late: ReaderId, logs: &[Backlog]) {
    let (came, now) = (Time::ZERO, moment());
    let past = BackfillStart {
        logs,
        untold: 0,
        came,
        now,
    };
    ring.begin(late, past);
}

#[test]
fn a_reader_knows_how_many_members_had_not_told_what_they_keep_when_it_began() {
    let mut ring = Ring::new(usize::MAX);
    let late = ring.add_late(A, None);
    assert_eq!(ring.untold(late), 0);
    let past = BackfillStart {
        logs: &[],
        untold: 2,
        came: Time::ZERO,
        now: moment(),
    };
    ring.begin(late, past);
    assert_eq!(ring.untold(late), 2);
}

fn seqs(first: u64, last: u64) -> SeqRange {
    let seq = |n| Seq::new(n).expect("not zero");
    SeqRange::new(seq(first), seq(last)).expect("in order")
}

/// A log brings after all numbers below its apparent beginning, and numbers owed of a sender that
/// nobody knew.
#[test]
fn a_late_reader_reads_nothing_twice_and_owed_messages_first() {
    for small in [false, true] {
        let mut source = Source::new(1);
        let items: Vec<_> = (0..6).map(|_| one(&mut source, b"x")).collect();
        let room = if small { 1 } else { 100 };
        let mut keeper = Keeper::default();
        let mut ring = Ring::new(room * items[0].len_bytes());
        items.iter().for_each(|item| keeper.keep(item));
        let late = ring.add_late(A, None);
        ring.claim(late);
        ring.skip_to_end(late);
        // It is given 2 and 3, wants nothing of 1, and all of them come.
        begin(
            &mut ring,
            late,
            &[past_of(&source, Some(seqs(2, 3)), None, Some(4))],
        );
        items.into_iter().for_each(|item| drop(ring.push(item)));
        let me = source.member.sender();
        let got = read_with(&keeper, &mut ring, late, A);
        assert_eq!(
            got,
            (2..=6).map(|n| (me, Got::Value(n))).collect::<Vec<_>>()
        );

        let mut source = Source::new(1);
        let me = source.member.sender();
        let mut ring = Ring::new(room * one(&mut source, b"x").len_bytes());
        let late = ring.add_late(A, None);
        ring.claim(late);
        let nobody = Backlog {
            member: None,
            ..past_of(&source, None, Some(seqs(1, 1)), None)
        };
        begin(&mut ring, late, &[nobody]);
        assert!(ring.read(late).is_none());
        let mut keeper = Keeper::default();
        for _ in 0..2 {
            let item = one(&mut source, b"x");
            keeper.keep(&item);
            ring.push(item);
        }
        let got = read_with(&keeper, &mut ring, late, A);
        let owed = (me, Got::Unfetched(1, 1));
        assert_eq!(got, [owed, (me, Got::Value(2)), (me, Got::Value(3))]);
    }
}

#[test]
fn the_gap_of_an_unfetched_range_comes_before_fetched_messages() {
    let mut source = Source::new(1);
    let mut keeper = Keeper::default();
    (0..5).for_each(|_| keeper.keep(&one(&mut source, b"x")));
    let mut ring = Ring::new(10_000);
    let late = ring.add_late(A, None);
    ring.claim(late);
    begin(
        &mut ring,
        late,
        &[past_of(&source, Some(seqs(4, 5)), Some(seqs(1, 3)), None)],
    );
    let me = source.member.sender();
    let got = read_with(&keeper, &mut ring, late, A);
    let told = (me, Got::Unfetched(1, 3));
    assert_eq!(got, [told, (me, Got::Value(4)), (me, Got::Value(5))]);
}

#[test]
fn expired_gaps_come_before_unfetched_ones() {
    let mut source = Source::new(1);
    let mut keeper = Keeper::default();
    (0..5).for_each(|_| keeper.keep(&one(&mut source, b"x")));
    let mut ring = Ring::new(10_000);
    let late = ring.add_late(A, None);
    ring.claim(late);
    let past = Backlog {
        gone: Some(seqs(1, 2)),
        ..past_of(&source, Some(seqs(5, 5)), Some(seqs(3, 4)), None)
    };
    begin(&mut ring, late, &[past]);
    let me = source.member.sender();
    let told = [Got::Expired(1, 2), Got::Unfetched(3, 4), Got::Value(5)];
    assert_eq!(
        read_with(&keeper, &mut ring, late, A),
        told.map(|it| (me, it))
    );
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8),
    Read(usize, usize),
    Answer(usize),
    Forget(usize),
    Add,
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..2).prop_map(Step::Push),
        6 => (0_usize..4, 1_usize..6).prop_map(|(reader, count)| Step::Read(reader, count)),
        3 => (1_usize..4).prop_map(Step::Answer),
        1 => (1_usize..8).prop_map(Step::Forget),
        1 => Just(Step::Add),
        1 => (0_usize..4).prop_map(Step::Remove),
    ]
}

/// The number that a reader must see next of each sender.
type Expected = BTreeMap<Sender, u64>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// In any case a reader sees every number of a sender once and in order: as a value if it is
    /// still in the ring or kept when it is asked for, else in a gap, of which no two follow on
    /// each other.
    #[test]
    fn every_number_is_read_or_told_as_missing(steps in prop::collection::vec(step(), 1..160)) {
        let mut sources = [Source::new(1), Source::new(2)];
        let mut ring = Ring::new(4 * one(&mut sources[0], b"x").len_bytes());
        let mut keeper = Keeper::default();
        let mut posted: BTreeMap<Sender, u64> = BTreeMap::from([(sources[0].member.sender(), 1)]);
        let mut forgotten: BTreeMap<Sender, u64> = BTreeMap::new();
        let mut readers: Vec<(ReaderId, Expected)> = Vec::new();
        let check = |item: Item, next: &mut Expected, forgotten: &BTreeMap<Sender, u64>| {
            let sender = match &item {
                Item::Missed(gap) => gap.member.sender(),
                Item::Values(delivery, _) => delivery.member.sender(),
            };
            let (next, seqs) = (next.entry(sender).or_insert(1), item.seqs());
            assert_eq!(seqs.first().get(), *next);
            if matches!(item, Item::Missed(_)) {
                assert!(seqs.last().get() <= forgotten[&sender], "it was kept");
            }
            *next = seqs.last().get() + 1;
        };
        for step in steps {
            match step {
                Step::Push(i) => {
                    let source = &mut sources[usize::from(i)];
                    let item = one(source, b"x");
                    keeper.keep(&item);
                    ring.push(item);
                    *posted.entry(source.member.sender()).or_default() += 1;
                }
                Step::Read(i, count) => if let Some((id, next)) = readers.get_mut(i) {
                    for item in std::iter::from_fn(|| ring.read(*id)).take(count) {
                        check(item, next, &forgotten);
                    }
                }
                Step::Answer(most) => keeper.answer(&mut ring, most),
                Step::Forget(count) => for _ in 0..count {
                    if let Some(((sender, n), _)) = keeper.0.pop_first() {
                        forgotten.insert(sender, n);
                    }
                }
                Step::Add if readers.len() < 4 => {
                    let next = posted.iter().map(|(sender, n)| (*sender, n + 1)).collect();
                    readers.push((ring.add_reader(B), next));
                }
                Step::Remove(i) if i < readers.len() => drop(
                    ring.remove_reader(readers.remove(i).0)
                ),
                Step::Add | Step::Remove(_) => {}
            }
        }
        for (id, next) in &mut readers {
            loop {
                match ring.read(*id) {
                    Some(item) => check(item, next, &forgotten),
                    None if ring.is_requesting() => keeper.answer(&mut ring, 3),
                    None => break,
                }
            }
            for (sender, n) in &posted {
                prop_assert_eq!(next.get(sender).copied().unwrap_or(1), n + 1);
            }
        }
        prop_assert_eq!(ring.bytes(), 0);
    }
}

#[test]
fn what_a_reader_is_behind_with_is_charged_until_it_has_read_it_or_is_gone() {
    for reads in [true, false] {
        let budget = meshcast_proto::Budget::new(usize::MAX);
        let account = budget.account(meshcast_proto::Payer::Ourselves);
        let (mut source, mut keeper) = (Source::new(1), Keeper::default());
        let item = one(&mut source, b"x");
        let len = item.len_bytes();
        let mut ring = Ring::charged(len, account);
        let slow = ring.add_reader(A);
        keeper.keep(&item);
        ring.push(item);
        // It is remembered how far its sender is.
        let mark = budget.used() - len;
        for _ in 0..3 {
            let item = one(&mut source, b"x");
            keeper.keep(&item);
            ring.push(item);
        }
        let behind = budget.used() - len - mark;
        assert!(
            (1..=MAX_SPAN_BYTES).contains(&behind),
            "one range: {behind}"
        );
        assert!(ring.read(slow).is_none());
        keeper.answer(&mut ring, 2);
        assert_eq!(
            budget.used(),
            mark + behind + 3 * len,
            "and two that were handed over"
        );
        if reads {
            assert_eq!(read_with(&keeper, &mut ring, slow, A).len(), 4);
        } else {
            ring.remove_reader(slow);
        }
        assert_eq!(budget.used(), mark);
        drop(ring);
        assert_eq!(budget.used(), 0);
    }
}

/// What a range of numbers may take.
const MAX_SPAN_BYTES: usize = 128;
