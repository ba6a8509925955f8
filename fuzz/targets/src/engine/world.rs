//! The engine, its peers, and what is held against it.

mod lies;
mod node;

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    time::Duration,
};

use bytes::Bytes;
use meshcast_proto::{
    ChannelName, Draft, Format, Frame, Frames, Opened, Output, Part, Seq, Since, SyncMessage, Time,
    WallTime, Want,
};

use self::{
    lies::{holdings, named, range, sender, signed},
    node::{Node, RETENTION},
};
use super::script::Step;
use crate::{
    members::{channel, peer},
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

/// The calls that handle all time-outs of one moment, at most: each does a part of what is due.
const MOST_CALLS: usize = 1_000;

/// The memory that the engine and the harness may take: the history and what is held are a quarter
/// of a MiB each, and there are 256 logs and 64 channels.
const MOST_MEMORY: usize = 8 << 20;
/// The number of times that it may want to be called in a second of quiet: paced work is paced by
/// milliseconds.
const MOST_TIMEOUTS: usize = 2_000;

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
                // More than some hundreds of logs are looked at in as many calls as it takes.
                let mut calls = 0;
                while node
                    .engine
                    .poll_timeout()
                    .is_some_and(|due| due <= self.now)
                {
                    node.engine.handle_timeout(self.now);
                    node.drain();
                    calls += 1;
                    assert!(calls < MOST_CALLS, "the clock stands still");
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

/// A message as whoever gets it reads it: what is written must be readable.
fn travelled(message: &SyncMessage) -> SyncMessage {
    SyncMessage::decode(&Bytes::from(message.encode())).expect("what an engine says is a message")
}

/// Stands for the last opening of the channel that a liar was told.
const ANSWERS: u64 = u64::MAX - 1_000;
/// How many frames of others a liar remembers.
const OVERHEARD: usize = 16;
/// After so many turns two honest engines have nothing left to say to each other at the same
/// moment.
const MOST_ROUNDS: usize = 10_000;
