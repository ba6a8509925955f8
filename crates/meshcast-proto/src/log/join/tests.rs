use proptest::prelude::*;

use super::*;
use crate::wire::Sender;

fn seq(n: u64) -> Seq {
    Seq::new(n).expect("not 0")
}

fn range(first: u64, last: u64) -> SeqRange {
    SeqRange::new(seq(first), seq(last)).expect("in order")
}

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

/// The holdings of a peer that began at `begin` and waits for `next`.
fn has(begin: u64, next: u64) -> Holding {
    Holding {
        sender: Sender::new([7; 32]),
        oldest: seq(begin),
        next: seq(next),
        due: None,
        begin: seq(begin),
        hops: 1,
        lowest: None,
    }
}

/// The events of a log before anything of it is released.
#[derive(Debug, Clone, Copy)]
enum Event {
    Heard(u64, u64),
    BySender(u64),
    /// The beginning, where the peer that says so began itself and got; and whether the sender is
    /// not there.
    ByPeer(u64, u64, u64, bool),
    Passed(u64, bool),
    /// The sender is not so far.
    Refuted(u64),
    /// At this moment, with this patience; and whether the sender is there and has not said it.
    Wait(u64, Duration, bool),
    BeginNow,
    Fix,
    /// Readers are shown what was before.
    Shown,
}

use Event::{BeginNow, ByPeer, BySender, Fix, Heard, Passed, Refuted, Shown, Wait};

/// A join, and how far its sender is known to have got by the frames that came.
struct Run {
    join: Join,
    newest: Option<Seq>,
    lowest: Option<Seq>,
    now: Time,
}

impl Run {
    fn new() -> Self {
        Self {
            join: Join::new(at(0) + SETTLE),
            newest: None,
            lowest: None,
            now: at(0),
        }
    }

    fn happens(&mut self, event: Event) -> Option<Seq> {
        let reached = Reached(self.newest);
        match event {
            Heard(first, last) => {
                self.newest = self.newest.max(Some(seq(last)));
                self.lowest = self.lowest.into_iter().chain([seq(first)]).min();
                self.join.heard(range(first, last))
            }
            BySender(due) => {
                // It says how far it got as well, which is no less.
                self.newest = self.newest.max(seq(due).previous());
                self.join.told_by_sender(seq(due), reached)
            }
            ByPeer(due, begin, next, trusted) => {
                let word = Beginning {
                    due: seq(due),
                    holding: &has(begin, next),
                    trusted,
                };
                self.join.told_by_peer(word, self.lowest, self.now)
            }
            Passed(last, reported) => self.join.passed(seq(last), reported),
            Refuted(due) => self.join.refuted(seq(due), reached),
            Wait(millis, patience, withheld) => {
                self.now = self.now.max(at(millis));
                self.join.wait(patience, withheld, self.now)
            }
            BeginNow => self.join.begin_now(),
            Fix => {
                self.join.fix();
                None
            }
            Shown => {
                self.join.fix_for_readers(false);
                None
            }
        }
    }
}

const NO: Duration = Duration::ZERO;

/// The table in the header of the module, a row for each thing that it says: what happens, where
/// the log begins then, and whether that stands.
#[test]
fn events_move_the_beginning_as_the_table_says() {
    let rows: &[(&str, &[Event], Option<u64>, bool)] = &[
        ("nothing was heard", &[Wait(9_999, NO, false)], None, false),
        ("number 1 is the first", &[Heard(1, 3)], Some(1), false),
        (
            "others may be on slower paths",
            &[Heard(9, 9), Wait(149, NO, false)],
            None,
            false,
        ),
        (
            "the lowest that was heard while it settled",
            &[Heard(9, 9), Heard(5, 5), Heard(7, 7), Wait(150, NO, false)],
            Some(5),
            false,
        ),
        (
            "somebody has not told yet",
            &[Heard(9, 9), Wait(3_149, UNTOLD, false)],
            None,
            false,
        ),
        (
            "whoever has not told is waited for no longer",
            &[Heard(9, 9), Wait(3_150, UNTOLD, false)],
            Some(9),
            false,
        ),
        (
            "somebody is silent",
            &[Heard(9, 9), Wait(60_149, SILENT, false)],
            None,
            false,
        ),
        (
            "whoever is silent is waited for no longer",
            &[Heard(9, 9), Wait(60_150, SILENT, false)],
            Some(9),
            false,
        ),
        ("the sender says it", &[BySender(5)], Some(5), false),
        (
            "what was heard is due",
            &[Heard(3, 3), BySender(5)],
            Some(3),
            false,
        ),
        (
            "the sender corrects others",
            &[Heard(9, 9), BeginNow, BySender(5)],
            Some(5),
            false,
        ),
        (
            "the sender knows less than was heard",
            &[Heard(3, 3), BeginNow, BySender(5)],
            Some(3),
            false,
        ),
        (
            "the sender is not as far as others said",
            &[ByPeer(40, 30, 50, true), BeginNow, BySender(5)],
            Some(5),
            false,
        ),
        (
            "an exact word settles like a frame",
            &[ByPeer(5, 1, 9, true), Wait(149, NO, false)],
            None,
            false,
        ),
        (
            "an exact word outranks hints",
            &[
                ByPeer(9, 1, 9, true),
                ByPeer(5, 1, 9, true),
                Wait(150, NO, false),
            ],
            Some(5),
            false,
        ),
        (
            "all is due: nothing is lower",
            &[ByPeer(1, 1, 1, true)],
            Some(1),
            false,
        ),
        (
            "while the sender is there its word is waited for",
            &[ByPeer(5, 1, 9, false), Wait(99_999, NO, true)],
            None,
            false,
        ),
        (
            "once it is gone others decide",
            &[ByPeer(5, 1, 9, false), Wait(3_000, NO, false)],
            Some(5),
            false,
        ),
        (
            "a bound waits for an exact word",
            &[ByPeer(9, 1, 9, true), Wait(2_999, NO, false)],
            None,
            false,
        ),
        (
            "of bounds the highest, of guesses the lowest, and a bound before a guess",
            &[
                ByPeer(9, 1, 9, true),
                ByPeer(7, 1, 7, true),
                ByPeer(3, 3, 9, true),
                Wait(3_000, NO, false),
            ],
            Some(9),
            false,
        ),
        (
            "a frame that is just there proves a bound",
            &[ByPeer(9, 1, 9, true), Heard(8, 9)],
            Some(9),
            false,
        ),
        (
            "from a bound it goes up to a higher one",
            &[ByPeer(9, 1, 9, true), BeginNow, ByPeer(20, 1, 20, true)],
            Some(20),
            false,
        ),
        (
            "but not above what came",
            &[
                ByPeer(9, 1, 9, true),
                BeginNow,
                Heard(15, 15),
                ByPeer(20, 1, 20, true),
            ],
            Some(15),
            false,
        ),
        (
            "nor from what was heard",
            &[Heard(9, 9), BeginNow, ByPeer(20, 1, 30, true)],
            Some(9),
            false,
        ),
        (
            "nor from an exact word",
            &[ByPeer(9, 1, 12, true), BeginNow, ByPeer(20, 1, 30, true)],
            Some(9),
            false,
        ),
        (
            "it goes down to what somebody has that is due",
            &[Heard(9, 9), BeginNow, ByPeer(5, 5, 9, true)],
            Some(5),
            false,
        ),
        (
            "not to what nobody has",
            &[Heard(9, 9), BeginNow, ByPeer(5, 5, 5, true)],
            Some(9),
            false,
        ),
        (
            "not by others while the sender is there",
            &[Heard(9, 9), BeginNow, ByPeer(5, 1, 9, false)],
            Some(9),
            false,
        ),
        (
            "what is from before is passed",
            &[Heard(9, 12), BeginNow, Passed(10, true)],
            Some(11),
            false,
        ),
        (
            "a report does not pass an exact word",
            &[Heard(9, 12), BySender(9), Passed(10, true)],
            Some(9),
            false,
        ),
        (
            "the age of what came from the sender does",
            &[Heard(9, 12), BySender(9), Passed(10, false)],
            Some(11),
            false,
        ),
        (
            "what others said is refuted",
            &[ByPeer(40, 40, 50, true), BeginNow, Refuted(5)],
            Some(5),
            false,
        ),
        (
            "what came is proof",
            &[Heard(9, 9), BeginNow, Refuted(5)],
            Some(9),
            false,
        ),
        (
            "what came of it fixes it",
            &[Heard(9, 9), BeginNow, Fix, BySender(5)],
            Some(9),
            true,
        ),
        (
            "nothing fixes what did not begin",
            &[Heard(9, 9), Fix],
            None,
            false,
        ),
        (
            "of what was just heard readers are shown nothing from before",
            &[Heard(9, 9), BeginNow, Shown],
            Some(9),
            false,
        ),
        (
            "of an exact word they are",
            &[BySender(9), Shown, BySender(5)],
            Some(9),
            true,
        ),
        (
            "what readers were shown does not come again",
            &[ByPeer(40, 1, 50, true), BeginNow, Fix, Refuted(5)],
            Some(5),
            true,
        ),
        (
            "not below what is known to be there",
            &[
                ByPeer(40, 1, 50, true),
                Heard(41, 41),
                BeginNow,
                Fix,
                Refuted(5),
            ],
            Some(40),
            true,
        ),
    ];
    for (why, events, first, fixed) in rows {
        let mut run = Run::new();
        let mut cursor = None;
        for event in *events {
            cursor = run.happens(*event).or(cursor);
        }
        assert_eq!(
            run.join.first().map(Seq::get),
            *first,
            "{why}: {:?}",
            run.join
        );
        assert_eq!(run.join.is_fixed(), *fixed, "{why}: {:?}", run.join);
        assert_eq!(cursor, run.join.first(), "{why}: the cursor was not told");
    }
}

fn event() -> impl Strategy<Value = Event> {
    let n = 1..24_u64;
    prop_oneof![
        4 => (n.clone(), 0..4_u64).prop_map(|(first, more)| Heard(first, first + more)),
        1 => n.clone().prop_map(BySender),
        4 => (n.clone(), n.clone(), n.clone(), any::<bool>()).prop_map(
            |(due, begin, next, trusted)| ByPeer(due.min(next), begin.min(next), next, trusted)
        ),
        1 => (n.clone(), any::<bool>()).prop_map(|(last, reported)| Passed(last, reported)),
        1 => n.prop_map(Refuted),
        2 => (0..70_000_u64, any::<bool>())
            .prop_map(|(millis, withheld)| Wait(millis, UNTOLD, withheld)),
        1 => Just(BeginNow),
        1 => Just(Fix),
        1 => Just(Shown),
    ]
}

proptest! {
    /// Whatever happens, in whatever order.
    #[test]
    fn a_beginning_is_told_once_never_comes_back_and_stands_once_it_is_fixed(
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut run = Run::new();
        // The cursor's knowledge, and what must not be passed over: the lowest number that came or
        // that its sender said, before it began.
        let (mut cursor, mut due) = (None, None::<Seq>);
        for event in events {
            let (before, newest) = (run.join, run.newest);
            let moved = run.happens(event);
            prop_assert!(moved.is_none() || moved != before.first(), "it did not move");
            cursor = moved.or(cursor);
            prop_assert_eq!(cursor, run.join.first(), "{:?} {:?}", before, event);
            prop_assert!(before.first().is_none() || cursor.is_some(), "it does not unbegin");
            if before.first().is_none() {
                match event {
                    Heard(first, _) | BySender(first) => {
                        due = due.into_iter().chain([seq(first)]).min();
                    }
                    _ => {}
                }
                // As a bound says, what is below it is not due although it came.
                let by_bound = matches!(event, Heard(..)) && before.has_hints();
                if let (Some(first), Some(due), false) = (cursor, due, by_bound) {
                    prop_assert!(first <= due, "{due:?} is lost");
                }
            }
            if let Join::Fixed { first } = before {
                prop_assert!(run.join.is_fixed());
                let refuted = matches!(event, Refuted(_) | BySender(_));
                let proven = Reached(newest).proves(first);
                prop_assert!(moved.is_none() || (refuted && !proven), "{:?} {:?}", before, event);
            }
            let evidence = run.join.is_settling() || run.join.has_hints();
            prop_assert!(cursor.is_none() || !evidence);
        }
        // A log that waits long enough begins, if there is anything to begin with; and says when.
        let may = run.join.is_settling() || run.join.has_hints();
        let mut looked = 0;
        while let Some(due) = run.join.due(SILENT, false, run.now) {
            looked += 1;
            prop_assert!(looked < 30, "it waits for ever");
            run.now = run.now.max(due);
            cursor = run.join.wait(SILENT, false, run.now).or(cursor);
        }
        prop_assert_eq!(cursor.is_some(), may || run.join.first().is_some());
    }
}
