//! An engine that only listens, with a clock, and what came out of it.

use std::collections::BTreeMap;

use super::{
    super::*,
    fixture::{PEERS, Peer, channel, peer},
};
use crate::{
    log::UNFINISHED_TIMEOUT,
    log::{GapReason, HistoryLimits, Posted, SETTLE},
};

/// What a channel object would see.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Values(SeqRange, Vec<Posted>),
    Missed(SeqRange, GapReason),
}

impl Event {
    pub(super) fn seqs(&self) -> SeqRange {
        match self {
            Self::Values(seqs, _) | Self::Missed(seqs, _) => *seqs,
        }
    }
}

/// For how long a listener without peers waits for what is missing. Long enough that values
/// given up halfway come later, and short enough that looking for peers all the while costs
/// little.
pub(super) const RETENTION: Duration = Duration::from_secs(20);

/// As by default, but for [`RETENTION`].
pub(super) fn config() -> Config {
    let defaults = Config::default();
    Config {
        history: HistoryLimits {
            age: RETENTION,
            ..defaults.history
        },
        ..defaults
    }
}

/// An engine that has no peers, so that nobody can be asked for what is missing.
pub(super) struct Listener {
    pub(super) engine: Engine,
    pub(super) now: Time,
    /// How often a frame was handed in.
    pub(super) frames: u64,
    /// Everything that came out, and when.
    pub(super) seen: BTreeMap<(Sender, ChannelName), Vec<(Time, Event)>>,
    expected: BTreeMap<Sender, usize>,
    config: Config,
}

impl Listener {
    /// The last of all peers, with so many channels open.
    pub(super) fn new(config: Config, channels: usize) -> Self {
        let me = peer(PEERS - 1);
        let mut engine = Engine::new(
            config.clone(),
            me.identity.clone(),
            Arc::clone(&me.member),
            0,
        );
        for n in 0..channels {
            engine
                .handle_open(&channel(n), Since::Now, Time::ZERO)
                .expect("few");
        }
        Self {
            engine,
            now: Time::ZERO,
            frames: 0,
            seen: BTreeMap::new(),
            expected: BTreeMap::new(),
            config,
        }
    }

    pub(super) fn hear(&mut self, who: usize, frame: Frame) {
        self.hear_from(peer(who), frame);
    }

    pub(super) fn hear_from(&mut self, peer: &Peer, frame: Frame) {
        self.frames += 1;
        self.engine
            .handle_frame(frame.sender(), frame, &peer.member, self.now, WallTime::MIN);
        self.drain();
    }

    /// Lets time pass, and the engine do what is due at the very moment.
    pub(super) fn run_until(&mut self, end: Time) {
        let mut rounds = 0;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            rounds = if due > self.now { 0 } else { rounds + 1 };
            assert!(rounds < 100, "the clock stands still");
            self.now = due.max(self.now);
            self.engine.handle_timeout(self.now);
            self.drain();
        }
        self.now = self.now.max(end);
    }

    /// Lets so much time pass that nothing is waited for any longer.
    pub(super) fn rest(&mut self) {
        self.run_until(self.now + SETTLE + self.config.history.age + UNFINISHED_TIMEOUT);
        assert!(self.at_rest());
    }

    /// Nothing is held and nothing waited for.
    pub(super) fn at_rest(&self) -> bool {
        self.engine.logs.at_rest()
    }

    /// The arrivals from a sender on channel 0 since the last call: numbers, and why if they were
    /// missed.
    #[track_caller]
    pub(super) fn expect(&mut self, who: usize, expected: &[(SeqRange, Option<GapReason>)]) {
        let sender = peer(who).member.sender();
        let seen = self
            .seen
            .get(&(sender, channel(0)))
            .map_or(&[][..], Vec::as_slice);
        let from = self.expected.insert(sender, seen.len()).unwrap_or(0);
        let new = seen[from..].iter().map(|(_, event)| match event {
            Event::Values(seqs, _) => (*seqs, None),
            Event::Missed(seqs, reason) => (*seqs, Some(*reason)),
        });
        assert_eq!(new.collect::<Vec<_>>(), expected);
    }

    /// That the books of the engine agree with each other and with what was seen.
    pub(super) fn audit(&self) {
        let engine = &self.engine;
        let count = engine.counters();
        assert_eq!(
            count.frames_accepted
                + count.frames_duplicate
                + count.frames_unwanted
                + count.frames_without_room,
            self.frames
        );
        let events = || self.seen.values().flatten().map(|(_, event)| event);
        let delivered = events().filter(|event| matches!(event, Event::Values(..)));
        let gaps = || events().filter(|event| matches!(event, Event::Missed(..)));
        let numbers = |sum: u64, event: &Event| sum.saturating_add(event.seqs().len());
        assert_eq!(delivered.fold(0, numbers), count.delivered);
        assert_eq!(gaps().count() as u64, count.gaps);
        assert_eq!(gaps().fold(0, numbers), count.missed);

        engine.logs.audit();
        for (name, channel) in engine.channels.iter() {
            assert!(channel.is_open || !engine.logs.has(name));
        }
        assert!(engine.history.bytes() <= self.config.history.bytes);
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            let (sender, name, event) = match output {
                Output::Publish(frame) => panic!("a listener publishes {frame:?}"),
                Output::Forward(_) => continue,
                Output::Sync(peer, message) => panic!("{message:?} to {peer}, who is not there"),
                Output::Writable(_)
                | Output::Mute(_)
                | Output::Lagging { .. }
                | Output::Backfilled(..)
                | Output::Stale { .. }
                | Output::NoRoom { .. }
                | Output::Misbehaved { .. } => {
                    panic!("nobody listens to a listener")
                }
                Output::Deliver(name, delivery) => {
                    let values = delivery.values().collect();
                    let event = Event::Values(delivery.seqs(), values);
                    (delivery.member.sender(), name, event)
                }
                Output::Missed(name, gap) => (
                    gap.member.sender(),
                    name,
                    Event::Missed(gap.missed, gap.reason),
                ),
            };
            self.seen
                .entry((sender, name))
                .or_default()
                .push((self.now, event));
        }
    }
}
