//! Senders that sign whatever they like, and an application that opens and closes channels
//! meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    super::*,
    fixture::{FULL, PEERS, channel, frame, peer},
    listener::{Event, Listener, config},
};
use crate::{
    log::HistoryLimits,
    wire::{MAX_FRAGMENT_LEN, Part},
};

#[derive(Debug, Clone)]
enum Step {
    Hear {
        who: usize,
        channel: usize,
        first: u64,
        records: Vec<(Part, Vec<u8>)>,
    },
    Open(usize),
    Close(usize),
    Pass(u64),
}

const CHANNELS: usize = 2;

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 1..16_u64,
        1 => u64::MAX - 12..=u64::MAX - 8,
        1 => (0..4_u64).prop_map(|n| (1 << 63) + n),
    ]
}

/// A record that goes on fills its frame.
fn records() -> impl Strategy<Value = Vec<(Part, Vec<u8>)>> {
    let ends = prop_oneof![6 => Just(Part::Whole), 1 => Just(Part::Last)];
    let goes_on = prop_oneof![Just(Part::First), Just(Part::Middle)];
    prop_oneof![
        3 => prop::collection::vec((ends, prop::collection::vec(any::<u8>(), 0..12)), 1..9),
        1 => goes_on.prop_map(|part| vec![(part, FULL.to_vec())]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // The last peer is the listener itself.
    let who = prop_oneof![8 => 0..3_usize, 1 => Just(PEERS - 1)];
    let hear = (who, 0..CHANNELS, numbers(), records());
    prop_oneof![
        12 => hear.prop_map(
            |(who, channel, first, records)| Step::Hear { who, channel, first, records }
        ),
        1 => (0..CHANNELS).prop_map(Step::Open),
        1 => (0..CHANNELS).prop_map(Step::Close),
        2 => (0..300_u64).prop_map(Step::Pass),
        1 => (0..40_000_u64).prop_map(Step::Pass),
    ]
}

/// What each of these senders ever signed: which bytes under which number.
type Signed = BTreeSet<(Sender, ChannelName, Seq, Bytes)>;

/// The position of each log, as a channel object sees it that was opened after the last close.
#[derive(Default)]
struct Reader {
    next: BTreeMap<(Sender, ChannelName), Option<Seq>>,
    read: BTreeMap<(Sender, ChannelName), usize>,
}

impl Reader {
    /// Reads what is new. A log that was forgotten for want of room goes on where it was.
    fn read(&mut self, listener: &Listener, signed: &Signed) {
        for (log, seen) in &listener.seen {
            let from = self.read.insert(log.clone(), seen.len()).unwrap_or(0);
            for (_, event) in &seen[from..] {
                let seqs = event.seqs();
                if let Some(next) = self.next.get(log) {
                    assert_eq!(Some(seqs.first()), *next, "{log:?}");
                }
                self.next.insert(log.clone(), seqs.last().checked_add(1));
                if let Event::Values(_, values) = event {
                    let mut value_first = Some(seqs.first());
                    for value in values {
                        assert_eq!(Some(value.seqs.first()), value_first);
                        value_first = value.seqs.last().checked_add(1);
                        if value.seqs.len() == 1 {
                            let (sender, name) = log.clone();
                            assert!(signed.contains(&(
                                sender,
                                name,
                                value.seqs.first(),
                                value.payload.clone()
                            )));
                        }
                    }
                    assert_eq!(value_first, seqs.last().checked_add(1));
                }
            }
        }
    }
}

fn play(steps: &[Step], config: Config) {
    let (mut listener, mut reader, mut signed) = (
        Listener::new(config, CHANNELS),
        Reader::default(),
        Signed::new(),
    );
    for step in steps {
        match step {
            Step::Pass(millis) => listener.run_until(listener.now + Duration::from_millis(*millis)),
            Step::Open(n) => assert_eq!(
                listener
                    .engine
                    .handle_open(&channel(*n), Since::Now, listener.now),
                Ok(())
            ),
            Step::Close(n) => {
                let name = channel(*n);
                listener.engine.handle_close(&name);
                reader.next.retain(|(_, of), _| *of != name);
            }
            Step::Hear {
                who,
                channel: name,
                first,
                records,
            } => {
                let records = records
                    .iter()
                    .map(|(part, payload)| (*part, payload.as_slice()));
                let frame = frame(peer(*who), &channel(*name), *first, records);
                for (seq, record) in frame
                    .records()
                    .filter(|(_, record)| record.part == Part::Whole)
                {
                    signed.insert((frame.sender(), frame.channel().clone(), seq, record.payload));
                }
                listener.hear(*who, frame);
            }
        }
        listener.audit();
        reader.read(&listener, &signed);
    }
    listener.rest();
    listener.audit();
    reader.read(&listener, &signed);

    // Every number up to the newest is accounted for.
    for n in 0..CHANNELS {
        let name = channel(n);
        for (sender, state) in listener.engine.senders(&name) {
            let next = reader.next[&(sender, name.clone())];
            assert_eq!(next, state.newest.checked_add(1));
            assert_eq!(next, state.next);
        }
    }
}

proptest! {
    #[test]
    fn a_sender_that_contradicts_itself_is_still_read_in_order_and_once(
        steps in prop::collection::vec(step(), 1..40),
        max_held_bytes in prop_oneof![
            3 => Just(usize::MAX >> 1),
            1 => 0..2_000_usize,
            1 => 0..300_000_usize,
        ],
        max_held_total_bytes in prop_oneof![Just(usize::MAX), 0..2_000_usize, 0..300_000_usize],
        max_message_len in prop_oneof![Just(1 << 20), 0..30_usize, 0..4 * MAX_FRAGMENT_LEN],
    ) {
        play(&steps, Config { max_held_bytes, max_held_total_bytes, max_message_len, ..config() });
    }

    #[test]
    fn a_node_that_may_follow_few_senders_keeps_its_books(
        steps in prop::collection::vec(step(), 1..40),
        max_logs in 0..8_usize,
        bytes in 0..5_000_usize,
    ) {
        let history = HistoryLimits { bytes, ..config().history };
        play(&steps, Config { max_logs, history, ..config() });
    }
}
