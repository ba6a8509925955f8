//! Honest senders, real engines all of them, and a network that loses, doubles, delays and
//! reorders.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    super::*,
    fixture::{channel, peer},
    listener::{Event, Listener, config},
};
use crate::{
    log::UNFINISHED_TIMEOUT,
    log::{GapReason, Posted, SETTLE},
    wire::{Format, Part, fragments, write_record},
};

/// What happens at the senders, one after the other.
#[derive(Debug, Clone)]
enum Step {
    Post {
        sender: usize,
        channel: usize,
        values: Vec<Value>,
        /// How many records go into each frame at most.
        pack: usize,
    },
    Restart(usize),
    Pass(u64),
}

#[derive(Debug, Clone)]
struct Value {
    len: usize,
    byte: u8,
    format: Format,
}

/// After how many milliseconds the copies of a frame arrive; none if it is lost.
type Copies = Vec<u64>;

const SENDERS: usize = 3;
const LIVES: usize = 4;
const CHANNELS: usize = 2;
/// Less than all of the large values below.
const SMALL_LIMIT: usize = 50_000;

fn value() -> impl Strategy<Value = Value> {
    let len = prop_oneof![4 => Just(0), 40 => 1..40_usize, 6 => 60_000..200_000_usize];
    let format = prop_oneof![Just(Format::Raw), Just(Format::Value)];
    (len, 0..3_u8, format).prop_map(|(len, byte, format)| Value { len, byte, format })
}

fn step() -> impl Strategy<Value = Step> {
    let post = (
        0..SENDERS,
        0..CHANNELS,
        prop::collection::vec(value(), 1..5),
        1..5_usize,
    );
    prop_oneof![
        8 => post.prop_map(
            |(sender, channel, values, pack)| Step::Post { sender, channel, values, pack }
        ),
        1 => (0..SENDERS).prop_map(Step::Restart),
        3 => (0..120_u64).prop_map(Step::Pass),
        1 => (0..4_000_u64).prop_map(Step::Pass),
    ]
}

/// A network at its worst. The copies of frame `n` stand at `n` modulo the length.
fn bad_network() -> impl Strategy<Value = Vec<Copies>> {
    let delay = prop_oneof![6 => 0..200_u64, 1 => 0..5_000_u64];
    let copies = prop_oneof![
        2 => Just(Vec::new()),
        8 => prop::collection::vec(delay, 1..4),
    ];
    prop::collection::vec(copies, 1..24)
}

/// A network that only reorders and doubles, within the time that a window waits for its beginning.
fn good_network() -> impl Strategy<Value = Vec<Copies>> {
    let copies = prop::collection::vec(0..SETTLE.as_millis() as u64, 1..4);
    prop::collection::vec(copies, 1..24)
}

/// Posts and arrivals, as plain lists.
#[derive(Default)]
struct Model {
    /// By the first number of each value.
    posted: BTreeMap<(Sender, ChannelName), BTreeMap<Seq, Posted>>,
    arrived: BTreeMap<(Sender, ChannelName), Vec<(Time, SeqRange)>>,
    /// What the network still has: when, in which order, whose.
    travelling: BTreeMap<(Time, usize), (usize, Frame)>,
}

/// All senders post, the network does its worst, the listener hears it; then everything comes to
/// rest.
fn play(steps: &[Step], network: &[Copies], config: Config, lazy: bool) -> (Listener, Model) {
    let (mut model, mut now, mut frames) = (Model::default(), Time::ZERO, 0);
    let mut lives = [0; SENDERS];
    let start = |who: usize| {
        let peer = peer(who);
        let mut engine = Engine::new(
            Config::default(),
            peer.identity.clone(),
            Arc::clone(&peer.member),
            0,
        );
        (0..CHANNELS).for_each(|n| {
            engine
                .handle_open(&channel(n), Since::Now, Time::ZERO)
                .expect("few")
        });
        engine
    };
    let mut senders: Vec<Engine> = (0..SENDERS).map(start).collect();
    for step in steps {
        match step {
            Step::Pass(millis) => now = now + Duration::from_millis(*millis),
            Step::Restart(sender) => {
                if lives[*sender] + 1 < LIVES {
                    lives[*sender] += 1;
                    senders[*sender] = start(lives[*sender] * SENDERS + sender);
                }
            }
            Step::Post {
                sender,
                channel: name,
                values,
                pack,
            } => {
                let who = lives[*sender] * SENDERS + sender;
                for frame in post(
                    &mut senders[*sender],
                    &channel(*name),
                    values,
                    *pack,
                    now,
                    &mut model,
                ) {
                    for millis in &network[frames % network.len()] {
                        let arrives = now + Duration::from_millis(*millis);
                        let order = model.travelling.len();
                        model
                            .travelling
                            .insert((arrives, order), (who, frame.clone()));
                    }
                    frames += 1;
                }
            }
        }
    }
    let mut listener = Listener::new(config, CHANNELS);
    for ((arrives, _), (who, frame)) in std::mem::take(&mut model.travelling) {
        if lazy {
            listener.now = arrives;
        } else {
            listener.run_until(arrives);
        }
        let log = (frame.sender(), frame.channel().clone());
        model
            .arrived
            .entry(log)
            .or_default()
            .push((arrives, frame.seqs()));
        listener.hear(who, frame);
        listener.audit();
    }
    listener.rest();
    listener.audit();
    (listener, model)
}

/// Posts values as a driver does: in frames of `pack` records at most, and checks what comes back.
fn post(
    engine: &mut Engine,
    name: &ChannelName,
    values: &[Value],
    pack: usize,
    now: Time,
    model: &mut Model,
) -> Vec<Frame> {
    let sender = engine.me.sender();
    let posted = model.posted.entry((sender, name.clone())).or_default();
    let mut records: Vec<(Format, Part, Bytes)> = Vec::new();
    let first = posted
        .last_key_value()
        .map_or(Seq::FIRST, |(_, last)| last.seqs.last().next());
    for value in values {
        let payload = Bytes::from(vec![value.byte; value.len]);
        let number = |n: usize| first.checked_add(n as u64).expect("few");
        let from = records.len();
        records.extend(
            fragments(&payload, crate::MAX_FRAGMENT_LEN)
                .map(|(part, bytes)| (value.format, part, payload.slice_ref(bytes))),
        );
        let seqs = SeqRange::new(number(from), number(records.len() - 1)).expect("not empty");
        let format = value.format;
        posted.insert(
            seqs.first(),
            Posted {
                seqs,
                format,
                payload,
            },
        );
    }
    let (mut frames, mut delivered) = (Vec::new(), Vec::new());
    let mut rest = records.as_slice();
    while !rest.is_empty() {
        let (mut section, mut count) = (Vec::new(), 0);
        for (format, part, payload) in rest.iter().take(pack) {
            let mut longer = section.clone();
            write_record(&mut longer, *format, *part, payload);
            if longer.len() > Frame::MAX_RECORDS_LEN {
                break;
            }
            (section, count) = (longer, count + 1);
        }
        rest = &rest[count..];
        let seqs = engine
            .handle_post(name, &section, now, WallTime::MIN)
            .expect("open and fits");
        match engine.poll_output() {
            Some(Output::Publish(frame)) => {
                assert_eq!((frame.seqs(), frame.channel()), (seqs, name));
                frames.push(frame);
            }
            other => panic!("{other:?} before the frame"),
        }
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Deliver(_, delivery) => delivered.extend(delivery.values()),
                other => panic!("{other:?} for the own objects"),
            }
        }
    }
    let expected: Vec<&Posted> = posted.range(first..).map(|(_, posted)| posted).collect();
    assert_eq!(
        delivered.iter().collect::<Vec<_>>(),
        expected,
        "for the own objects"
    );
    frames
}

impl Model {
    /// G1 to G4, for each sender and channel by itself.
    fn check(&self, listener: &Listener, config: &Config, lazy: bool) {
        for log in listener.seen.keys() {
            assert!(self.arrived.contains_key(log), "{log:?} from nowhere");
        }
        for (log, arrived) in &self.arrived {
            let seen = listener.seen.get(log).map_or(&[][..], Vec::as_slice);
            self.check_contiguous(arrived, seen);
            let mut missed = BTreeSet::new();
            for (when, event) in seen {
                match event {
                    Event::Values(seqs, values) => self.check_values(log, *seqs, values),
                    Event::Missed(range, reason) => {
                        let gap = ObservedGap {
                            range: *range,
                            reason: *reason,
                            when: *when,
                            begin: seen[0].1.seqs().first(),
                            missed: &missed,
                        };
                        self.check_gap(log, &gap, config, lazy);
                        missed.extend(numbers(*range));
                    }
                }
            }
        }
    }

    /// From number 1 up to the newest, each is accounted for once and in order: all was posted
    /// after the opening.
    fn check_contiguous(&self, arrived: &[(Time, SeqRange)], seen: &[(Time, Event)]) {
        let newest = arrived
            .iter()
            .map(|(_, seqs)| seqs.last())
            .max()
            .expect("it began");
        let mut next = Seq::FIRST;
        for (_, event) in seen {
            assert_eq!(event.seqs().first(), next);
            next = event.seqs().last().next();
        }
        assert_eq!(next, newest.next(), "the end");
    }

    fn check_values(&self, log: &(Sender, ChannelName), seqs: SeqRange, values: &[Posted]) {
        let mut next = seqs.first();
        for value in values {
            assert_eq!(value.seqs.first(), next);
            assert!(
                self.posted[log].get(&next) == Some(value),
                "{next} of {log:?} is not what was posted"
            );
            next = value.seqs.last().next();
        }
        assert_eq!(next, seqs.last().next());
    }

    /// A gap has a cause that fits its reason, and comes neither too early nor too late.
    fn check_gap(
        &self,
        log: &(Sender, ChannelName),
        gap: &ObservedGap<'_>,
        config: &Config,
        lazy: bool,
    ) {
        let (posted, arrived) = (&self.posted[log], &self.arrived[log]);
        let there = |seq: Seq| {
            let mut before = arrived.iter().filter(|(at, _)| *at < gap.when);
            before.any(|(_, seqs)| seqs.contains(seq))
        };
        for seq in numbers(gap.range) {
            let value = posted.range(..=seq).next_back().expect("posted").1;
            let too_large = value.payload.len() > config.max_message_len;
            let spoilt = numbers(value.seqs)
                .any(|part| part < gap.begin || gap.missed.contains(&part) || !there(part));
            match gap.reason {
                GapReason::TooLarge => assert!(too_large || spoilt, "{seq} is not too large"),
                GapReason::Lost | GapReason::Incomplete => {
                    assert!(spoilt, "{seq} was there: {gap:?}")
                }
            }
        }
        if gap.reason == GapReason::Lost {
            let lost = numbers(gap.range)
                .find(|seq| !there(*seq))
                .expect("one is lost");
            let above = arrived.iter().filter(|(_, seqs)| seqs.last() > lost);
            let known = above.map(|(at, _)| *at).min().expect("one is above");
            assert!(gap.when >= known + config.history.age, "{gap:?} is early");
        }
        if !lazy {
            let last = arrived.iter().map(|(at, _)| *at).max().expect("it began");
            let mut patience = SETTLE + config.history.age;
            if gap.reason == GapReason::Incomplete {
                patience += UNFINISHED_TIMEOUT;
            }
            assert!(gap.when <= last + patience, "{gap:?} is late");
        }
    }
}

#[derive(Debug)]
struct ObservedGap<'a> {
    range: SeqRange,
    reason: GapReason,
    when: Time,
    /// Where the channel began with this sender.
    begin: Seq,
    /// What was in earlier gaps.
    missed: &'a BTreeSet<Seq>,
}

fn numbers(seqs: SeqRange) -> impl Iterator<Item = Seq> {
    (seqs.first().get()..=seqs.last().get()).filter_map(Seq::new)
}

proptest! {
    #[test]
    fn what_a_bad_network_brings_is_in_order_once_or_a_gap(
        steps in prop::collection::vec(step(), 1..24),
        network in bad_network(),
        small in prop::bool::weighted(0.2),
        lazy in prop::bool::weighted(0.2),
    ) {
        let mut config = config();
        if small {
            config.max_message_len = SMALL_LIMIT;
        }
        let (listener, model) = play(&steps, &network, config.clone(), lazy);
        model.check(&listener, &config, lazy);
    }

    #[test]
    fn a_network_that_loses_nothing_leaves_no_gap(
        steps in prop::collection::vec(step(), 1..24),
        network in good_network(),
    ) {
        let config = config();
        let (mut listener, model) = play(&steps, &network, config.clone(), false);
        model.check(&listener, &config, false);
        prop_assert_eq!(listener.engine.counters().gaps, 0);
        let posted: usize = model.posted.values().map(BTreeMap::len).sum();
        let values = listener.seen.values().flatten().map(|(_, event)| match event {
            Event::Values(_, values) => values.len(),
            Event::Missed(..) => 0,
        });
        prop_assert_eq!(values.sum::<usize>(), posted);

        // In the end the history goes as well, and nothing is left to do.
        listener.run_until(listener.now + config.history.age);
        prop_assert_eq!(listener.engine.poll_timeout(), None);
        prop_assert_eq!(listener.engine.history().bytes(), 0);
    }
}
