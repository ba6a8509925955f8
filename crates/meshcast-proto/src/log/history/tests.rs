use proptest::prelude::*;

use super::*;
use crate::fixture::{channel, frame, peer, wholes};
use crate::wire::Part;

const AGE: Duration = Duration::from_secs(60);

fn at(secs: u64) -> Time {
    Time::from_start(Duration::from_secs(secs))
}

/// What a history takes for it.
fn size(frame: &Frame) -> usize {
    frame.bytes().len() + History::ENTRY_BYTES
}

fn history(bytes: usize) -> History {
    History::new(HistoryLimits { bytes, age: AGE })
}

fn range(first: u64, last: u64) -> SeqRange {
    let seq = |n| Seq::new(n).expect("not 0");
    SeqRange::new(seq(first), seq(last)).expect("in order")
}

fn found(history: &History, who: usize, seqs: SeqRange) -> Vec<SeqRange> {
    let name = channel(0);
    let frames = history.frames(&name, peer(who).member.sender(), seqs);
    frames.map(|kept| kept.seqs).collect()
}

#[test]
fn a_range_finds_the_frames_that_reach_into_it() {
    let mut history = history(usize::MAX);
    for (name, first, count) in [(0, 1, 3), (0, 4, 1), (0, 8, 3), (1, 5, 2)] {
        history.insert(
            wholes(peer(0), &channel(name), first, count),
            Duration::ZERO,
            Arrival::local(at(0)),
        );
    }
    assert_eq!(
        found(&history, 0, range(3, 8)),
        [range(1, 3), range(4, 4), range(8, 10)]
    );
    assert_eq!(found(&history, 0, range(5, 7)), []);
    assert_eq!(found(&history, 0, range(9, u64::MAX)), [range(8, 10)]);
    assert_eq!(found(&history, 1, range(1, 9)), []);
}

#[test]
fn a_flood_pushes_out_only_its_own_frames() {
    let quiet = wholes(peer(0), &channel(0), 1, 1);
    let mut history = history(size(&quiet) * 8);
    history.insert(quiet, Duration::ZERO, Arrival::local(at(0)));
    for first in 1..100 {
        history.insert(
            wholes(peer(1), &channel(0), first, 1),
            Duration::ZERO,
            Arrival::local(at(1)),
        );
    }
    assert_eq!(found(&history, 0, range(1, 1)), [range(1, 1)]);
    assert_eq!(
        found(&history, 1, range(1, 200)).first(),
        Some(&range(93, 93))
    );
}

#[test]
fn a_frame_over_the_whole_limit_is_not_kept() {
    let mut history = history(10);
    history.insert(
        wholes(peer(0), &channel(0), 1, 1),
        Duration::ZERO,
        Arrival::local(at(0)),
    );
    assert_eq!((history.bytes(), history.expire(at(0))), (0, None));
}

#[test]
fn a_frame_is_gone_at_the_moment_that_was_announced() {
    let mut history = history(usize::MAX);
    history.insert(
        wholes(peer(0), &channel(0), 1, 1),
        Duration::ZERO,
        Arrival::local(at(5)),
    );
    history.insert(
        wholes(peer(1), &channel(0), 1, 1),
        Duration::ZERO,
        Arrival::local(at(7)),
    );
    assert_eq!(history.expire(at(6)), Some(at(5) + AGE));
    assert_eq!(history.expire(at(5) + AGE), Some(at(7) + AGE));
    assert_eq!(history.expire(at(7) + AGE), None);
    assert_eq!(history.bytes(), 0);
}

fn first_since(history: &History, since: Time, last: u64) -> Option<u64> {
    let first = history.first_since(&channel(0), peer(0).member.sender(), since, last);
    first.map(Seq::get)
}

/// 1 to 3 at 10 s, 4 to 8 at 20 s, 9 at 30 s.
fn three_frames(bytes: usize) -> History {
    let mut history = history(bytes);
    for (first, count, secs) in [(1, 3, 10), (4, 5, 20), (9, 1, 30)] {
        history.insert(
            wholes(peer(0), &channel(0), first, count),
            Duration::ZERO,
            Arrival::local(at(secs)),
        );
    }
    history
}

#[test]
fn the_first_since_then_is_that_of_the_first_frame_since_then() {
    let history = three_frames(usize::MAX);
    for (since, first) in [(5, 1), (10, 1), (11, 4), (20, 4), (30, 9)] {
        assert_eq!(first_since(&history, at(since), 0), Some(first), "{since}");
    }
    assert_eq!(first_since(&history, at(31), 0), None);
    let other = history.first_since(&channel(1), peer(0).member.sender(), at(0), 9);
    assert_eq!(other, None);
    let other = history.first_since(&channel(0), peer(1).member.sender(), at(0), 9);
    assert_eq!(other, None);
}

#[test]
fn of_the_last_numbers_and_those_since_then_the_lower_counts() {
    let history = three_frames(usize::MAX);
    for (last, first) in [
        (1, 9),
        (2, 8),
        (6, 4),
        (7, 3),
        (9, 1),
        (10, 1),
        (u64::MAX, 1),
    ] {
        assert_eq!(first_since(&history, at(31), last), Some(first), "{last}");
    }
    assert_eq!(first_since(&history, at(20), 2), Some(2));
    assert_eq!(first_since(&history, at(30), 2), Some(7));
}

#[test]
fn the_age_a_frame_had_elsewhere_counts() {
    let mut history = history(usize::MAX);
    let age = Duration::from_secs(25);
    history.insert(
        wholes(peer(0), &channel(0), 1, 3),
        age,
        Arrival::local(at(20)),
    );
    history.insert(
        wholes(peer(0), &channel(0), 4, 1),
        Duration::from_secs(2),
        Arrival::local(at(21)),
    );
    assert_eq!(
        first_since(&history, at(0), 0),
        Some(4),
        "before the clock began"
    );
    assert_eq!(
        first_since(&history, at(0) - Duration::from_secs(5), 0),
        Some(1)
    );
    assert_eq!(first_since(&history, at(20), 0), None);
    // But it is kept as long as any other, whatever is said of its age.
    assert_eq!(history.expire(at(21)), Some(at(20) + AGE));
}

/// Members that were parted fetch what they can of each other: in runs, each from somebody else,
/// the newest first.
#[test]
fn frames_fetched_late_go_before_later_posts() {
    let mut history = history(4 * size(&wholes(peer(0), &channel(0), 10, 1)));
    for (first, age) in [
        (15, 5),
        (16, 4),
        (13, 7),
        (14, 6),
        (11, 9),
        (12, 8),
        (17, 3),
    ] {
        let frame = wholes(peer(0), &channel(0), first, 1);
        history.insert(frame, Duration::from_secs(age), Arrival::local(at(20)));
    }
    let kept = found(&history, 0, range(1, 100));
    assert_eq!(kept, [14, 15, 16, 17].map(|n| range(n, n)));
}

/// The large frame had to go although there was room for the small one.
#[test]
fn numbers_below_an_evicted_frame_do_not_come_back() {
    let (name, who) = (channel(0), peer(0).member.sender());
    let large = frame(peer(0), &name, 5, [(Part::Whole, [0; 5_000].as_slice())]);
    let mut history = history(4_000);
    for first in [6, 7] {
        history.insert(
            wholes(peer(0), &name, first, 1),
            Duration::ZERO,
            Arrival::local(at(0)),
        );
    }
    assert!(history.has_room_for(&name, who, Seq::FIRST, 1_000));
    history.insert(large, Duration::ZERO, Arrival::local(at(0)));
    history.insert(
        wholes(peer(0), &name, 4, 1),
        Duration::ZERO,
        Arrival::local(at(0)),
    );
    assert_eq!(
        found(&history, 0, range(1, 100)),
        [range(6, 6), range(7, 7)]
    );
    assert!(!history.has_room_for(&name, who, Seq::FIRST, 1_000));
    assert!(history.has_room_for(&channel(1), who, Seq::FIRST, 1_000));
}

#[test]
fn the_oldest_frame_of_a_sender_goes_whichever_channel_it_is_on() {
    let mut history = history(4 * size(&wholes(peer(0), &channel(0), 1, 1)));
    for (name, first, secs) in [
        (0, 1, 1),
        (1, 1, 2),
        (0, 2, 3),
        (1, 2, 4),
        (1, 3, 5),
        (0, 3, 6),
    ] {
        let frame = wholes(peer(0), &channel(name), first, 1);
        history.insert(frame, Duration::ZERO, Arrival::local(at(secs)));
    }
    let oldest = |name| history.oldest(&channel(name), peer(0).member.sender());
    assert_eq!((oldest(0), oldest(1)), (Seq::new(2), Seq::new(2)));
}

#[test]
fn there_is_room_for_who_would_not_be_the_largest() {
    let frame = wholes(peer(0), &channel(0), 1, 1);
    let one = size(&frame);
    let mut history = history(4 * one);
    history.insert(frame, Duration::ZERO, Arrival::local(at(0)));
    assert!(history.has_room_for(&channel(0), peer(0).member.sender(), Seq::FIRST, 3 * one));
    for first in 1..=3 {
        history.insert(
            wholes(peer(1), &channel(0), first, 1),
            Duration::ZERO,
            Arrival::local(at(0)),
        );
    }
    assert!(history.has_room_for(&channel(0), peer(0).member.sender(), Seq::FIRST, one));
    assert!(!history.has_room_for(&channel(0), peer(0).member.sender(), Seq::FIRST, 2 * one));
    assert!(history.has_room_for(&channel(0), peer(2).member.sender(), Seq::FIRST, 2 * one));
    assert!(!history.has_room_for(&channel(0), peer(1).member.sender(), Seq::FIRST, one));
}

#[test]
fn dropped_frames_are_known_by_their_lowest_number() {
    let room =
        size(&wholes(peer(0), &channel(0), 4, 5)) + size(&wholes(peer(0), &channel(0), 9, 1));
    let history = three_frames(room);
    assert_eq!(found(&history, 0, range(1, 9)), [range(4, 8), range(9, 9)]);
    assert_eq!(
        first_since(&history, at(5), 0),
        Some(1),
        "there was something"
    );
    assert_eq!(first_since(&history, at(11), 0), Some(4));
    assert_eq!(
        first_since(&history, at(31), 100),
        Some(4),
        "as far as it is kept"
    );
    let name = channel(0);
    assert_eq!(history.oldest(&name, peer(0).member.sender()), Seq::new(4));
}

/// Frame `n` is posted at second `n`, and only the last has room.
#[test]
fn of_much_that_was_dropped_nothing_is_left_out() {
    let mut history = history(size(&wholes(peer(0), &channel(0), 1_000, 1)));
    for n in 1..=1_000 {
        history.insert(
            wholes(peer(0), &channel(0), n, 1),
            Duration::ZERO,
            Arrival::local(at(n)),
        );
    }
    for since in 1..=1_000 {
        let first = first_since(&history, at(since), 0).expect("there was something");
        assert!(first <= since, "{first} {since}");
        assert!(since - first <= 32, "{first} {since}");
        let sender = peer(0).member.sender();
        let dropped = history.dropped_since(&channel(0), sender, at(since));
        // The last one is kept.
        assert_eq!(dropped.is_some(), since < 1_000);
        if let Some(first) = dropped.map(Seq::get) {
            assert!(first <= since && since - first <= 32, "{first} {since}");
        }
    }
}

#[test]
fn the_oldest_is_the_lowest_of_the_sender_and_channel() {
    let mut history = history(usize::MAX);
    for (who, name, first) in [(0, 1, 5), (0, 0, 9), (0, 0, 7), (1, 0, 2)] {
        history.insert(
            wholes(peer(who), &channel(name), first, 1),
            Duration::ZERO,
            Arrival::local(at(0)),
        );
    }
    let oldest = |who: usize, name| history.oldest(&channel(name), peer(who).member.sender());
    assert_eq!(oldest(0, 0), Seq::new(7));
    assert_eq!(oldest(0, 1), Seq::new(5));
    assert_eq!(oldest(1, 0), Seq::new(2));
    assert_eq!(oldest(1, 1), None);
    assert_eq!(oldest(2, 0), None);
}

/// Only a sender that breaks the rules puts one number into several frames.
#[test]
fn frames_that_overlap_do_no_harm() {
    let mut history = history(usize::MAX);
    history.insert(
        wholes(peer(0), &channel(0), 3, 1),
        Duration::ZERO,
        Arrival::local(at(1)),
    );
    history.insert(
        wholes(peer(0), &channel(0), 2, 9),
        Duration::ZERO,
        Arrival::local(at(2)),
    );
    for last in [0, 1, 2, 3, 100] {
        assert!(first_since(&history, at(1), last).is_some_and(|first| first <= 3));
    }
}

/// The reference: a list, searched from end to end.
#[derive(Default)]
struct Naive {
    frames: Vec<(Time, Frame)>,
    /// The first number of the highest frame that was dropped of a sender on a channel, while the
    /// sender has any.
    dropped: BTreeMap<(Sender, ChannelName), Seq>,
}

impl Naive {
    fn insert(&mut self, frame: Frame, limit: usize, accepted: Time) {
        let log = |frame: &Frame| (frame.sender(), frame.channel().clone());
        let key = |frame: &Frame| (log(frame), frame.seqs().first());
        let dropped = self.dropped.get(&log(&frame));
        if dropped.is_some_and(|dropped| frame.seqs().last() < *dropped) {
            return;
        }
        if self.frames.iter().any(|(_, kept)| key(kept) == key(&frame)) {
            return;
        }
        self.frames.push((accepted, frame));
        while self.bytes() > limit {
            let sizes = (0..SENDERS).map(|n| peer(n).member.sender());
            let (_, largest) = sizes
                .map(|sender| (self.bytes_of(sender), sender))
                .max()
                .expect("some");
            let goes = self.goes_first(|frame| frame.sender() == largest);
            self.drop(goes.expect("the largest has one"));
        }
    }

    fn expire(&mut self, now: Time) -> Option<Time> {
        while let Some(place) = self.goes_first(|_| true) {
            let expires = self.frames[place].0 + AGE;
            if now < expires {
                return Some(expires);
            }
            self.drop(place);
        }
        None
    }

    fn drop(&mut self, place: usize) {
        let frame = &self.frames[place].1;
        let first = frame.seqs().first();
        let dropped = self
            .dropped
            .entry((frame.sender(), frame.channel().clone()))
            .or_insert(first);
        *dropped = first.max(*dropped);
        self.remove(place);
    }

    fn remove(&mut self, place: usize) {
        let (_, frame) = self.frames.remove(place);
        if self.bytes_of(frame.sender()) == 0 {
            self.dropped
                .retain(|(sender, _), _| *sender != frame.sender());
        }
    }

    /// Of the lowest frames of all these senders and channels the one that was accepted first.
    fn goes_first(&self, mut of: impl FnMut(&Frame) -> bool) -> Option<usize> {
        let is_lowest = |frame: &Frame| {
            let its = |other: &Frame| {
                other.sender() == frame.sender() && other.channel() == frame.channel()
            };
            let mut others = self.frames.iter().filter(|(_, other)| its(other));
            others.all(|(_, other)| frame.seqs().first() <= other.seqs().first())
        };
        let all = self.frames.iter().enumerate();
        let lowest = all.filter(|(_, (_, frame))| of(frame) && is_lowest(frame));
        let goes = lowest.min_by_key(|(_, (accepted, frame))| (*accepted, frame.channel().clone()));
        goes.map(|(place, _)| place)
    }

    fn frames(&self, name: &ChannelName, sender: Sender, seqs: SeqRange) -> Vec<&Frame> {
        let overlaps = |frame: &&Frame| {
            let its = frame.seqs();
            its.first() <= seqs.last() && its.last() >= seqs.first()
        };
        let mut found: Vec<&Frame> = self.frames.iter().map(|(_, frame)| frame).collect();
        found
            .retain(|frame| frame.sender() == sender && frame.channel() == name && overlaps(frame));
        found.sort_by_key(|frame| frame.seqs().first());
        found
    }

    fn bytes(&self) -> usize {
        self.frames.iter().map(|(_, frame)| size(frame)).sum()
    }

    fn bytes_of(&self, sender: Sender) -> usize {
        let its = self
            .frames
            .iter()
            .filter(|(_, frame)| frame.sender() == sender);
        its.map(|(_, frame)| size(frame)).sum()
    }
}

const SENDERS: usize = 3;
const CHANNELS: usize = 2;
/// The frames of a sender: frame `n` begins at `n * 4 + 1` and holds up to four.
const SLOTS: u64 = 12;

#[derive(Debug, Clone)]
enum Step {
    Insert {
        who: usize,
        name: usize,
        slot: u64,
        len: usize,
        age: u64,
    },
    /// A signature was checked.
    Check {
        who: usize,
        name: usize,
        slot: u64,
        is_signed: bool,
    },
    Expire,
    Pass(u64),
    Find {
        who: usize,
        name: usize,
        seqs: (u64, u64),
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (who, name) = (|| 0..SENDERS, || 0..CHANNELS);
    prop_oneof![
        6 => (who(), name(), 0..SLOTS, prop_oneof![3 => 0..50_usize, 1 => 0..3000_usize], 0..30_u64)
            .prop_map(|(who, name, slot, len, age)| Step::Insert { who, name, slot, len, age }),
        2 => (who(), name(), 0..SLOTS, any::<bool>())
            .prop_map(|(who, name, slot, is_signed)| Step::Check { who, name, slot, is_signed }),
        1 => Just(Step::Expire),
        1 => (0..40_u64).prop_map(Step::Pass),
        3 => (who(), name(), (1..SLOTS * 4, 0..20_u64))
            .prop_map(
                |(who, name, (first, len))| Step::Find { who, name, seqs: (first, first + len) }
            ),
    ]
}

proptest! {
    #[test]
    fn keeps_and_finds_what_a_plain_list_would(
        limit in 0..13_000_usize,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (mut history, mut naive, mut now) = (history(limit), Naive::default(), at(0));
        for step in steps {
            match step {
                Step::Insert { who, name, slot, len, age } => {
                    let age = Duration::from_secs(age);
                    let payload = vec![0; len];
                    let rest = std::iter::repeat_n(
                        (Part::Whole, [].as_slice()),
                        (slot % 4) as usize,
                    );
                    let records = std::iter::once((Part::Whole, payload.as_slice())).chain(rest);
                    let frame = frame(peer(who), &channel(name), slot * 4 + 1, records);
                    history.insert(frame.clone(), age, Arrival::local(now));
                    naive.insert(frame, limit, now);
                }
                Step::Check { who, name, slot, is_signed } => {
                    let (name, sender) = (channel(name), peer(who).member.sender());
                    let first = Seq::new(slot * 4 + 1).expect("not 0");
                    if is_signed {
                        history.set_signed(&name, sender, first);
                    } else {
                        history.remove(&name, sender, first);
                    }
                    let is_it = |frame: &Frame| {
                        frame.sender() == sender
                            && *frame.channel() == name
                            && frame.seqs().first() == first
                    };
                    let place = naive.frames.iter().position(|(_, frame)| is_it(frame));
                    if let Some(place) = place.filter(|_| !is_signed) {
                        naive.remove(place);
                    }
                }
                Step::Expire => prop_assert_eq!(history.expire(now), naive.expire(now)),
                Step::Pass(secs) => now = now + Duration::from_secs(secs),
                Step::Find { who, name, seqs: (first, last) } => {
                    let (name, sender) = (channel(name), peer(who).member.sender());
                    let found = history.frames(&name, sender, range(first, last));
                    let found = found.map(|kept| kept.bytes);
                    let expected = naive.frames(&name, sender, range(first, last));
                    prop_assert_eq!(
                        found.collect::<Vec<_>>(),
                        expected.into_iter().map(Frame::bytes).collect::<Vec<_>>()
                    );
                }
            }
            prop_assert_eq!(history.bytes(), naive.bytes());
            prop_assert!(history.bytes() <= limit);
        }
    }
}

/// One frame on each of many channels, of which one after another is dropped.
#[test]
fn memory_of_dropped_frames_is_bounded_and_the_sender_with_most_loses_it() {
    let one = wholes(peer(1), &channel(0), 1, 1);
    let mut history = history(size(&one) * 8);
    for first in [1, 2, 3, 4, 5, 6] {
        history.insert(
            wholes(peer(0), &channel(0), first, 1),
            Duration::ZERO,
            Arrival::local(at(0)),
        );
    }
    let dropped = |history: &History| {
        let track = history.track(&channel(0), peer(0).member.sender());
        track.map_or(0, |track| track.dropped.marks.len())
    };
    let name = |n: usize| ChannelName::new(&format!("channel {n}")).expect("short");
    let mut most = 0;
    for n in 0..6_000 {
        history.insert(
            wholes(peer(1), &name(n), 1, 1),
            Duration::ZERO,
            Arrival::local(at(1)),
        );
        assert!(history.remembered <= MIN_REMEMBERED);
        most = most.max(history.remembered);
    }
    assert!(most > MIN_REMEMBERED - TRACK_BYTES - MARK_BYTES);
    assert!(history.remembered < most, "it was forgotten");
    assert!(dropped(&history) > 0, "the other has less");
    let places = |history: &History| {
        let senders = history.by_size.iter().map(|(_, sender)| *sender);
        let of = |sender: Sender| {
            let channels = history.senders[&sender].channels.keys().cloned();
            channels.map(move |channel| (channel, sender))
        };
        senders.flat_map(of).collect::<BTreeSet<_>>()
    };
    assert_eq!(history.tracks, places(&history));
    let logs = history
        .by_size
        .iter()
        .map(|(_, sender)| &history.senders[sender]);
    for of_sender in logs.clone() {
        let tracks = of_sender.channels.values().map(ChannelHistory::remembered);
        assert_eq!(tracks.sum::<usize>(), of_sender.remembered);
    }
    assert_eq!(
        logs.map(|of_sender| of_sender.remembered).sum::<usize>(),
        history.remembered
    );
    // Of a channel that nobody here wants to know of there is nothing to remember.
    let before = history.remembered;
    assert!(history.forget(&name(5_900)));
    assert!(history.remembered < before);
    assert_eq!(history.tracks, places(&history));
    assert_eq!(history.expire(at(62)), None);
    assert!(history.tracks.is_empty());
    assert_eq!((history.remembered, history.by_remembered.len()), (0, 0));
}
