//! The engine, its peers, and what is held against it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use meshcast_proto::{
    Answer, ChannelName, Config, Draft, Engine, Format, Frame, Frames, HistoryLimits, Holding,
    Holdings, MAX_FRAGMENT_LEN, Opened, Output, Part, Sender, Seq, SeqRange, Since, SyncMessage,
    Time, Verifier, WallTime, Want,
};

use super::script::Step;
use crate::{
    members::{Peer, channel, peer, trust},
    memory,
};

/// The engine that is fuzzed, and the honest peer; all others do as the script says.
const ME: usize = 0;
const HONEST: usize = 1;
const LIARS: std::ops::Range<usize> = 2..6;
/// Channels that may be opened here.
const CHANNELS: usize = 3;
/// When everything happens, by all wall clocks.
const WALL: WallTime = WallTime::from_unix_millis(1 << 40);
/// For how long frames are kept.
const RETENTION: Duration = Duration::from_secs(60);

/// What one step, or one timeout, may bring out. A `Want` may be answered with 256 KiB, an `Open`
/// with what is had of 512 channels.
const MOST_OUTPUTS: usize = 4096;
const MOST_BYTES: usize = 2 << 20;
/// The memory that the engine and the harness may take: the history and what is held are a quarter
/// of a MiB each, and there are 256 logs and 64 channels.
const MOST_MEMORY: usize = 8 << 20;
/// The number of times that it may want to be called in a second of quiet: paced work is paced by
/// milliseconds.
const MOST_TIMEOUTS: usize = 2_000;

fn config() -> Config {
    let defaults = Config::default();
    Config {
        max_message_len: 64 * 1024,
        max_held_bytes: 128 * 1024,
        max_held_total_bytes: 256 * 1024,
        memory_bytes: 1024 * 1024,
        history: HistoryLimits {
            bytes: 256 * 1024,
            age: RETENTION,
        },
        max_channels: 64,
        max_logs: 256,
        ..defaults
    }
}

/// A node: an engine with what is around it.
struct Node {
    peer: &'static Peer,
    engine: Engine,
    verifier: Verifier,
    /// Outputs of the engine that were not carried on.
    out: Vec<Output>,
    /// The number that has to come next of each sender, on a channel that stays open.
    next: BTreeMap<(ChannelName, Sender), Option<Seq>>,
}

pub(super) struct World {
    now: Time,
    me: Node,
    honest: Node,
    /// By place: whether a liar is connected.
    up: [bool; 8],
    honest_up: bool,
    /// By place: what the engine asked a liar for last.
    asked: [Option<Want>; 8],
    /// As what a liar was told last that a channel was opened.
    openings: BTreeMap<(usize, ChannelName), u64>,
    /// Frames of others that a liar may repeat.
    overheard: VecDeque<Frame>,
    memory_before: usize,
}

impl World {
    pub(super) fn new() -> Self {
        // Made once for all runs, so they do not count.
        let _ = peer(0);
        let memory_before = memory::current();
        let mut world = Self {
            now: Time::from_start(Duration::from_secs(1)),
            me: Node::new(ME),
            honest: Node::new(HONEST),
            up: [false; 8],
            honest_up: false,
            asked: Default::default(),
            openings: BTreeMap::new(),
            overheard: VecDeque::new(),
            memory_before,
        };
        world.honest_up();
        world.up(LIARS.start);
        for n in 0..CHANNELS - 1 {
            world.open(n, Since::Now);
        }
        world
    }

    pub(super) fn play(&mut self, mut step: Step<'_>) {
        let liar = LIARS.start + step.below(LIARS.len());
        match step.kind % 20 {
            0 => {
                let since = match step.below(3) {
                    0 => Since::Now,
                    1 => Since::Ago(step.duration()),
                    _ => Since::Last(step.number()),
                };
                self.open(step.below(CHANNELS), since);
            }
            1 => self.close(step.below(CHANNELS)),
            2 => self.post(ME, step.below(CHANNELS), step.amount(64)),
            3 => self.post(HONEST, step.below(CHANNELS), step.amount(64)),
            4 | 5 => {
                let frame = if step.below(8) == 7 {
                    self.overheard.get(step.below(OVERHEARD)).cloned()
                } else {
                    signed(liar, &mut step)
                };
                if let Some(frame) = frame {
                    self.me.hears(&frame, self.now);
                }
            }
            6 => {
                let opened = (0..step.amount(SyncMessage::MAX_CHANNELS))
                    .map(|n| Opened {
                        channel: named(&mut step, n),
                        opening: step.number(),
                        since: step.duration(),
                        last: step.number() - 1,
                    })
                    .collect();
                self.says(liar, SyncMessage::Open(opened));
            }
            7 => {
                let closed =
                    (0..step.amount(SyncMessage::MAX_CHANNELS)).map(|n| named(&mut step, n));
                let closed = closed.collect();
                self.says(liar, SyncMessage::Close(closed));
            }
            8..=10 => {
                let message = holdings(&mut step);
                self.says(liar, message);
            }
            11 | 12 => {
                let want = Want {
                    channel: channel(step.below(CHANNELS + 1)),
                    sender: sender(&mut step),
                    seqs: range(&mut step),
                    request: step.number(),
                };
                for _ in 0..=step.amount(64) {
                    self.says(liar, SyncMessage::Want(want.clone()));
                }
            }
            13 => {
                let message = self.answer(&mut step, liar);
                self.says(liar, message);
            }
            14 | 15 => {
                let lasts = step.duration().min(Duration::from_secs(300));
                self.pass(lasts);
            }
            16 => {
                if self.up[liar] {
                    self.down(liar);
                } else {
                    self.up(liar);
                }
            }
            17 => {
                if self.honest_up {
                    self.honest_down();
                } else {
                    self.honest_up();
                }
            }
            18 => match step.below(4) {
                0 => {
                    let congested = step.below(2) == 1;
                    self.me.engine.set_congested(peer(liar).sender(), congested);
                }
                1 => {
                    let since = Since::Last(step.number());
                    let name = channel(step.below(CHANNELS));
                    if self.me.engine.is_open(&name) {
                        let _ = self.me.engine.handle_backfill(&name, since, self.now);
                    }
                }
                2 => {
                    let name = channel(step.below(CHANNELS));
                    let behind = step.below(2) == 1;
                    self.me
                        .engine
                        .handle_readers_behind(&name, behind, self.now);
                }
                _ => {
                    let name = channel(step.below(CHANNELS));
                    let _ = self.me.engine.may_post(&name);
                    self.settle();
                    self.me
                        .engine
                        .handle_expecting(step.below(2) == 1, self.now);
                }
            },
            _ => {
                let bytes = Bytes::copy_from_slice(step.rest());
                if let Ok(message) = SyncMessage::decode(&bytes) {
                    self.says(liar, message);
                }
            }
        }
        self.settle();
        self.check_memory();
    }

    /// All leave, and what they caused goes.
    pub(super) fn wind_down(mut self) {
        for liar in LIARS {
            self.down(liar);
        }
        self.pass(Duration::from_secs(30));
        self.honest_down();
        (0..CHANNELS).for_each(|n| self.close(n));
        self.pass(2 * RETENTION + Duration::from_secs(600));
        self.check_memory();
        assert_eq!(
            self.me.engine.history().bytes(),
            0,
            "nothing is kept for ever"
        );
        assert_eq!(self.me.engine.budget().used(), 0, "nobody pays for ever");
    }

    fn open(&mut self, n: usize, since: Since) {
        for node in [&mut self.me, &mut self.honest] {
            let was_open = node.engine.is_open(&channel(n));
            node.engine
                .handle_open(&channel(n), since, self.now)
                .expect("three of 64");
            if !was_open {
                node.next.retain(|(name, _), _| *name != channel(n));
            }
        }
        self.settle();
    }

    fn close(&mut self, n: usize) {
        // Answers to the last opening have to have come, as the engine demands: they have, there is
        // no delay.
        self.me.engine.handle_close(&channel(n));
        self.me.next.retain(|(name, _), _| *name != channel(n));
        self.settle();
    }

    fn post(&mut self, who: usize, n: usize, records: usize) {
        let node = if who == ME {
            &mut self.me
        } else {
            &mut self.honest
        };
        let name = channel(n);
        let mut draft = Draft::new(&name);
        for _ in 0..=records {
            draft.push(Format::Raw, Part::Whole, b"post");
        }
        // Refused only if it was never opened.
        let _ = node.engine.handle_post(&name, draft, self.now, WALL);
        self.settle();
    }

    /// A liar that is connected says something, as it travels.
    fn says(&mut self, liar: usize, mut message: SyncMessage) {
        if !self.up[liar] {
            return;
        }
        if let SyncMessage::Have(told) = &mut message {
            for of in told {
                let opening = self.openings.get(&(liar, of.channel.clone()));
                if let (Some(answer), Some(opening)) = (&mut of.answer, opening)
                    && answer.opening == ANSWERS
                {
                    answer.opening = *opening;
                }
            }
        }
        let Ok(message) = SyncMessage::decode(&Bytes::from(message.encode())) else {
            return;
        };
        self.me.is_told(peer(liar).sender(), message, self.now);
        self.settle();
    }

    fn up(&mut self, liar: usize) {
        self.up[liar] = true;
        self.me.engine.handle_peer_up(peer(liar).sender(), self.now);
        self.settle();
    }

    fn down(&mut self, liar: usize) {
        if mem::take(&mut self.up[liar]) {
            self.me
                .engine
                .handle_peer_down(peer(liar).sender(), self.now);
            self.settle();
        }
    }

    fn honest_up(&mut self) {
        self.honest_up = true;
        self.me
            .engine
            .handle_peer_up(peer(HONEST).sender(), self.now);
        self.honest
            .engine
            .handle_peer_up(peer(ME).sender(), self.now);
        self.settle();
    }

    fn honest_down(&mut self) {
        if mem::take(&mut self.honest_up) {
            self.me
                .engine
                .handle_peer_down(peer(HONEST).sender(), self.now);
            self.honest
                .engine
                .handle_peer_down(peer(ME).sender(), self.now);
            self.settle();
        }
    }

    /// Lets time pass, and both do what is due at the very moment.
    fn pass(&mut self, lasts: Duration) {
        let end = self.now + lasts;
        let mut timeouts = 0;
        loop {
            let due = [&self.me, &self.honest].map(|node| node.engine.poll_timeout());
            let Some(due) = due.into_iter().flatten().min().filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            for node in [&mut self.me, &mut self.honest] {
                if node
                    .engine
                    .poll_timeout()
                    .is_some_and(|due| due <= self.now)
                {
                    node.engine.handle_timeout(self.now);
                    node.drain();
                    let next = node.engine.poll_timeout();
                    assert!(
                        next.is_none_or(|next| next > self.now),
                        "the clock stands still"
                    );
                }
            }
            // Messages at this moment may make more due at the same, but not for ever.
            self.settle();
            timeouts += 1;
            let allowed = MOST_TIMEOUTS * (2 + lasts.as_secs() as usize);
            assert!(timeouts <= allowed, "{timeouts} timeouts in {lasts:?}");
        }
        self.now = self.now.max(end);
    }

    /// Carries what comes out of both to the other until nothing does.
    fn settle(&mut self) {
        let now = self.now;
        for _ in 0..MOST_ROUNDS {
            self.me.drain();
            self.honest.drain();
            let (mine, theirs) = (mem::take(&mut self.me.out), mem::take(&mut self.honest.out));
            if mine.is_empty() && theirs.is_empty() {
                return;
            }
            for output in mine {
                match output {
                    Output::Publish(frame) if self.honest_up => self.honest.hears(&frame, now),
                    Output::Sync(to, message) => {
                        let message = travelled(&message);
                        if to == peer(HONEST).sender() {
                            if self.honest_up {
                                self.honest.is_told(peer(ME).sender(), message, now);
                            }
                        } else if let Some(liar) =
                            LIARS.into_iter().find(|n| peer(*n).sender() == to)
                        {
                            match message {
                                SyncMessage::Want(want) => self.asked[liar] = Some(want),
                                SyncMessage::Open(opened) => {
                                    let opened = opened.into_iter();
                                    let opened = opened.map(|it| ((liar, it.channel), it.opening));
                                    self.openings.extend(opened);
                                }
                                _ => {}
                            }
                        }
                    }
                    _ => {}
                }
            }
            for output in theirs {
                match output {
                    Output::Publish(frame) => {
                        self.overheard.push_front(frame.clone());
                        self.overheard.truncate(OVERHEARD);
                        if self.honest_up {
                            self.me.hears(&frame, now);
                        }
                    }
                    Output::Sync(_, message) if self.honest_up => {
                        self.me
                            .is_told(peer(HONEST).sender(), travelled(&message), now);
                    }
                    _ => {}
                }
            }
        }
        panic!("two that are honest talk for ever");
    }

    /// Frames that were asked for, or not: what the liar signed, what others did, and what is none.
    fn answer(&self, step: &mut Step<'_>, liar: usize) -> SyncMessage {
        let asked = self.asked[liar].clone().filter(|_| step.below(4) != 0);
        let want = asked.unwrap_or_else(|| Want {
            channel: channel(step.below(CHANNELS + 1)),
            sender: sender(step),
            seqs: range(step),
            request: step.number(),
        });
        let frames = (0..step.amount(8)).filter_map(|_| {
            let bytes = match step.below(4) {
                0 => Bytes::copy_from_slice(b"no frame"),
                1 => self.overheard.get(step.below(OVERHEARD))?.bytes().clone(),
                _ => signed(liar, step)?.bytes().clone(),
            };
            Some((step.duration(), bytes))
        });
        SyncMessage::Frames(Frames {
            channel: want.channel,
            sender: want.sender,
            request: want.request,
            frames: frames.collect(),
            upto: Seq::new(step.number())
                .map_or_else(|| want.seqs.last(), |upto| upto.min(want.seqs.last())),
        })
    }

    fn check_memory(&self) {
        let taken = memory::current().saturating_sub(self.memory_before);
        assert!(taken <= MOST_MEMORY, "{taken} bytes are kept");
    }
}

impl Node {
    fn new(n: usize) -> Self {
        let peer = peer(n);
        let engine = Engine::new(
            config(),
            peer.identity.clone(),
            Arc::clone(&peer.member),
            n as u64,
        );
        Self {
            peer,
            engine,
            verifier: Verifier::new(trust(), RETENTION),
            out: Vec::new(),
            next: BTreeMap::new(),
        }
    }

    fn hears(&mut self, frame: &Frame, now: Time) {
        // Gossip hands nothing on that is not verified.
        if let Ok(member) = self.verifier.verify(frame, WALL) {
            self.engine
                .handle_frame(frame.sender(), frame.clone(), &member, now, WALL);
            self.drain();
        }
    }

    fn is_told(&mut self, by: Sender, message: SyncMessage, now: Time) {
        let verifier = &mut self.verifier;
        let verify = |frames: &[Frame]| verifier.verify_all(frames, WALL);
        self.engine.handle_sync(by, message, now, WALL, verify);
        self.drain();
    }

    /// Takes what one input brought out, and holds it against what may be.
    fn drain(&mut self) {
        let (mut outputs, mut bytes) = (0, 0);
        while let Some(output) = self.engine.poll_output() {
            outputs += 1;
            match &output {
                Output::Sync(_, message) => bytes += message.encode().len(),
                Output::Deliver(name, delivery) => {
                    self.follows(name, delivery.member.sender(), delivery.seqs());
                    let values = delivery.values();
                    assert!(
                        values.map(|posted| posted.seqs.len()).sum::<u64>()
                            == delivery.seqs().len()
                    );
                }
                Output::Missed(name, gap) => self.follows(name, gap.member.sender(), gap.missed),
                _ => {}
            }
            self.out.push(output);
        }
        assert!(outputs <= MOST_OUTPUTS, "{outputs} outputs at once");
        assert!(bytes <= MOST_BYTES, "{bytes} bytes are said at once");
    }

    /// A channel gets all of a sender without a hole that is not named.
    fn follows(&mut self, name: &ChannelName, sender: Sender, seqs: SeqRange) {
        if sender == self.peer.sender() {
            return;
        }
        let next = seqs.last().checked_add(1);
        if let Some(expected) = self.next.insert((name.clone(), sender), next) {
            assert_eq!(
                Some(seqs.first()),
                expected,
                "{sender} on {name:?} is in order and complete"
            );
        }
    }
}

/// A message as whoever gets it reads it: what is written must be readable.
fn travelled(message: &SyncMessage) -> SyncMessage {
    SyncMessage::decode(&Bytes::from(message.encode())).expect("what an engine says is a message")
}

/// A frame that the liar signed, whatever it says.
fn signed(liar: usize, step: &mut Step<'_>) -> Option<Frame> {
    let name = channel(step.below(CHANNELS + 1));
    let first = Seq::new(step.number())?;
    let since_first = step.duration();
    let wall = match step.byte() {
        0..=250 => WALL,
        251..=252 => WallTime::MIN,
        253 => WallTime::MAX,
        _ => WALL + Duration::from_secs(3600),
    };
    let mut draft = Draft::new(&name);
    if step.below(6) == 0 {
        let part = [Part::First, Part::Middle, Part::Last][step.below(3)];
        draft.push(Format::Raw, part, &[7; MAX_FRAGMENT_LEN]);
    } else {
        for _ in 0..=step.amount(256) {
            let part = if step.below(16) == 15 {
                Part::Last
            } else {
                Part::Whole
            };
            draft.push(Format::Value, part, b"lie");
        }
    }
    Frame::build(&peer(liar).identity, &name, first, wall, since_first, draft).ok()
}

/// A channel that is open here, or an invented one.
fn named(step: &mut Step<'_>, n: usize) -> ChannelName {
    channel(if step.below(4) == 0 {
        step.below(CHANNELS)
    } else {
        n
    })
}

/// A member, or somebody invented.
fn sender(step: &mut Step<'_>) -> Sender {
    match step.byte() {
        n @ 0..=127 => peer(usize::from(n)).sender(),
        n => Sender::new([n; 32]),
    }
}

fn range(step: &mut Step<'_>) -> SeqRange {
    let numbers =
        [step.number(), step.number()].map(|number| Seq::new(number).unwrap_or(Seq::FIRST));
    let [first, last] = numbers;
    SeqRange::new(first.min(last), first.max(last)).unwrap_or_else(|| SeqRange::single(first))
}

/// What somebody claims to keep.
fn holdings(step: &mut Step<'_>) -> SyncMessage {
    let mut told = Vec::new();
    let mut channels = [false; CHANNELS + 1];
    for _ in 0..=step.amount(CHANNELS) {
        let n = step.below(CHANNELS + 1);
        if mem::replace(&mut channels[n], true) {
            continue;
        }
        let logs = step.amount(SyncMessage::MAX_LOGS / 4);
        let answer = (step.byte() < 224).then(|| Answer {
            opening: if step.byte() < 224 {
                ANSWERS
            } else {
                step.number()
            },
            held: step.duration(),
            more: step.byte() % 8 == 1,
        });
        let mut seen = BTreeSet::new();
        let logs = (0..logs).map(|n| {
            let seqs = range(step);
            let invented = u32::try_from(n).unwrap_or(0).to_le_bytes();
            let sender = match n {
                0..4 => sender(step),
                _ => Sender::new(std::array::from_fn(|i| invented[i % 4] ^ 0x55)),
            };
            Holding {
                sender,
                oldest: seqs.first(),
                next: seqs.last(),
                due: Seq::new(step.number() - 1),
                begin: Seq::new(step.number())
                    .unwrap_or(Seq::FIRST)
                    .min(seqs.last()),
                hops: step.byte() / 64,
                lowest: Seq::new(step.number() - 1),
            }
        });
        told.push(Holdings {
            channel: channel(n),
            answer,
            logs: logs.filter(|log| seen.insert(log.sender)).collect(),
        });
    }
    SyncMessage::Have(told)
}

/// Stands for the last opening of the channel that a liar was told.
const ANSWERS: u64 = u64::MAX - 1_000;
/// How many frames of others a liar remembers.
const OVERHEARD: usize = 16;
/// After so many turns two honest engines have nothing left to say to each other at the same
/// moment.
const MOST_ROUNDS: usize = 10_000;
