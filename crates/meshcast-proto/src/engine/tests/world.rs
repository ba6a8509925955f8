//! Several engines in one virtual time: links that carry messages in order or break, and gossip
//! that loses as much as it is told to. Every output is checked at once: in order, once, and as it
//! was posted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    super::*,
    fixture::{Peer, channel, peer},
    section,
};
use crate::{
    conduct::Offence,
    identity::ChainError,
    log::GapReason,
    replication::Jitter,
    wire::{FrameId, Part},
};

/// In what a test makes one say: it answers, in time, whatever opening is not answered yet.
pub(super) const ANSWERS: Answer = Answer {
    opening: u64::MAX,
    held: Duration::from_secs(1 << 40),
    more: false,
};

/// One way over a link.
pub(super) const LATENCY: Duration = Duration::from_millis(30);

pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    pub(super) now: Duration,
    /// How many copies of a hundred gossip loses.
    pub(super) loss: usize,
    /// Whether nodes pass on what gossip brings them.
    pub(super) forwards: bool,
    /// Those who pass on nothing.
    pub(super) withhold: BTreeSet<usize>,
    /// Links over which nothing comes any more, though both ends take them for connected.
    pub(super) silent: BTreeSet<(usize, usize)>,
    /// Links over which gossip does not come, from whom to whom, though all else does.
    pub(super) mute: BTreeSet<(usize, usize)>,
    /// By whose clock the credential of which sender has expired.
    pub(super) expired: BTreeSet<(usize, usize)>,
    /// Whether the books are compared with the logs: not while a test has charged something itself.
    pub(super) audits: bool,
    /// May change what one says to another, or keep it back.
    pub(super) tamper: Box<dyn FnMut(usize, usize, SyncMessage) -> Vec<SyncMessage>>,
    /// By the lower and the higher end; the number tells one connection from the next.
    links: BTreeMap<(usize, usize), u64>,
    travelling: BTreeMap<(Duration, u64), Travelling>,
    count: u64,
    chance: Jitter,
    /// By sender, and when.
    pub(super) posted: BTreeMap<usize, Vec<(Duration, Bytes)>>,
    /// What is genuine.
    signed: BTreeSet<Bytes>,
    /// How many sync messages were sent.
    pub(super) said: u64,
    /// How many copies of frames came by gossip.
    pub(super) copies: u64,
}

pub(super) struct Node {
    pub(super) engine: Engine,
    /// The reading of its clock when that of the world showed zero.
    offset: Duration,
    alive: bool,
    gossip: BTreeSet<FrameId>,
    /// By sender, without a break.
    pub(super) seen: BTreeMap<usize, Vec<Event>>,
    /// How each delivery came: of whom, which way, from whom.
    pub(super) arrivals: Vec<(usize, SeqRange, Via, Option<usize>)>,
    /// The number of times that it was told that there is room again.
    pub(super) writable: u32,
    /// How often a look back ended.
    pub(super) backfilled: usize,
    /// What it brought, by its id.
    pub(super) past: BTreeMap<u64, Vec<Backlog>>,
    /// The number of peers that had told nothing when it ended, by its id.
    pub(super) untold: BTreeMap<u64, usize>,
    /// Its peers that lag.
    pub(super) lagging: BTreeSet<usize>,
    /// The offences that it reports of its peers.
    pub(super) offences: Vec<(usize, Offence)>,
    /// The peers whose gossip it reports as mute, and when.
    pub(super) muted: Vec<(usize, Duration)>,
    /// The senders of logs that found no room.
    pub(super) without_room: Vec<usize>,
}

/// What a channel object sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Values(SeqRange),
    Missed(SeqRange, GapReason),
}

enum Travelling {
    Gossip {
        from: usize,
        to: usize,
        frame: Frame,
    },
    Sync {
        from: usize,
        to: usize,
        link: u64,
        bytes: Bytes,
    },
}

impl World {
    /// So many nodes with channel 0 open, none of them connected.
    pub(super) fn new(nodes: usize, config: &Config, seed: u64) -> Self {
        let node = |n: usize| {
            let Peer { identity, member } = peer(n);
            let engine = Engine::new(
                config.clone(),
                identity.clone(),
                Arc::clone(member),
                seed + n as u64,
            );
            Node {
                engine,
                offset: Duration::from_secs(n as u64 * 1_000),
                alive: true,
                gossip: BTreeSet::new(),
                seen: BTreeMap::new(),
                arrivals: Vec::new(),
                backfilled: 0,
                past: BTreeMap::new(),
                untold: BTreeMap::new(),
                writable: 0,
                lagging: BTreeSet::new(),
                offences: Vec::new(),
                muted: Vec::new(),
                without_room: Vec::new(),
            }
        };
        let mut world = Self {
            nodes: (0..nodes).map(node).collect(),
            now: Duration::ZERO,
            loss: 100,
            forwards: true,
            withhold: BTreeSet::new(),
            silent: BTreeSet::new(),
            mute: BTreeSet::new(),
            expired: BTreeSet::new(),
            audits: true,
            tamper: Box::new(|_, _, message| vec![message]),
            links: BTreeMap::new(),
            travelling: BTreeMap::new(),
            count: 0,
            chance: Jitter::new(seed),
            posted: BTreeMap::new(),
            signed: BTreeSet::new(),
            said: 0,
            copies: 0,
        };
        (0..nodes).for_each(|n| world.open(n, Since::Now));
        world
    }

    pub(super) fn open(&mut self, who: usize, since: Since) {
        let now = self.clock(who);
        let opened = self.nodes[who].engine.handle_open(&channel(0), since, now);
        assert_eq!(opened, Ok(()));
        self.drain(who);
    }

    /// Earlier arrivals are forgotten as well: the next to open is another channel object.
    pub(super) fn close(&mut self, who: usize) {
        self.nodes[who].engine.handle_close(&channel(0));
        self.drain(who);
        self.nodes[who].seen.clear();
    }

    /// Posts so many values as one frame.
    pub(super) fn post(&mut self, who: usize, count: usize) {
        let posted = self.posted.entry(who).or_default();
        let payloads: Vec<Bytes> = (posted.len()..posted.len() + count)
            .map(|n| Bytes::from(format!("{who}:{n}")))
            .collect();
        posted.extend(payloads.iter().map(|payload| (self.now, payload.clone())));
        let records = section(payloads.iter().map(|payload| (Part::Whole, &payload[..])));
        let now = self.clock(who);
        let engine = &mut self.nodes[who].engine;
        let seqs = engine.handle_post(&channel(0), &records, now, WallTime::MIN);
        assert_eq!(seqs.map(|seqs| seqs.len()), Ok(count as u64));
        self.drain(who);
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let key = (a.min(b), a.max(b));
        if self.links.contains_key(&key) || !self.nodes[a].alive || !self.nodes[b].alive {
            return;
        }
        self.count += 1;
        self.links.insert(key, self.count);
        for (one, other) in [(a, b), (b, a)] {
            let now = self.clock(one);
            self.nodes[one].engine.handle_peer_up(sender(other), now);
            self.drain(one);
        }
    }

    pub(super) fn connect_all(&mut self) {
        for b in 0..self.nodes.len() {
            (0..b).for_each(|a| self.connect(a, b));
        }
    }

    pub(super) fn is_connected(&self, a: usize, b: usize) -> bool {
        self.links.contains_key(&(a.min(b), a.max(b)))
    }

    /// Messages under way are lost.
    pub(super) fn cut(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a.min(b), a.max(b))).is_none() {
            return;
        }
        for (one, other) in [(a, b), (b, a)] {
            if self.nodes[one].alive {
                let now = self.clock(one);
                self.nodes[one].engine.handle_peer_down(sender(other), now);
                self.drain(one);
                assert!(
                    !self.nodes[one].lagging.contains(&other),
                    "whoever is gone does not lag"
                );
            }
        }
    }

    pub(super) fn kill(&mut self, who: usize) {
        self.nodes[who].alive = false;
        (0..self.nodes.len()).for_each(|other| self.cut(who, other));
    }

    /// Gives one all that another keeps of a sender, as late gossip.
    pub(super) fn hand(&mut self, from: usize, to: usize, of: usize) {
        let now = self.clock(to);
        let (name, all) = (channel(0), super::range(1, u64::MAX));
        let kept = self.nodes[from]
            .engine
            .history()
            .frames(&name, sender(of), all);
        for frame in kept.filter_map(|kept| kept.frame()).collect::<Vec<_>>() {
            let engine = &mut self.nodes[to].engine;
            engine.handle_frame(frame.sender(), frame, &peer(of).member, now, WallTime::MIN);
            engine.logs.audit();
            self.drain(to);
        }
    }

    /// Has one give another all that it keeps of a sender as the answer to a request, and say how
    /// old it is.
    pub(super) fn give(&mut self, from: usize, to: usize, of: usize, request: u64, age: Duration) {
        let (name, all) = (channel(0), super::range(1, u64::MAX));
        let kept = self.nodes[from]
            .engine
            .history()
            .frames(&name, sender(of), all);
        let frames: Vec<_> = kept.map(|kept| (age, kept.bytes.clone())).collect();
        let answer = Frames {
            channel: name,
            sender: sender(of),
            request,
            upto: Seq::MAX,
            frames,
        };
        self.say(from, to, &SyncMessage::Frames(answer));
    }

    /// Says something in the name of a node.
    pub(super) fn say(&mut self, from: usize, to: usize, message: &SyncMessage) {
        let Some(link) = self.links.get(&(from.min(to), from.max(to))).copied() else {
            return;
        };
        if self.silent.contains(&(from.min(to), from.max(to))) {
            return;
        }
        let mut message = message.clone();
        answer_openings(&self.nodes[to].engine, sender(from), &mut message);
        let bytes = Bytes::from(message.encode());
        self.said += 1;
        self.send(Travelling::Sync {
            from,
            to,
            link,
            bytes,
        });
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut at_once = 0;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            at_once = if next > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 10_000, "the clock stands still");
            self.now = self.now.max(next);
            if let Some(travelling) = self.travelling.first_entry()
                && travelling.key().0 <= self.now
            {
                let arrived = travelling.remove();
                self.arrive(arrived);
                continue;
            }
            for who in 0..self.nodes.len() {
                let (now, mut rounds) = (self.clock(who), 0);
                let is_due = |node: &Node| node.engine.poll_timeout().is_some_and(|due| due <= now);
                while self.nodes[who].alive && is_due(&self.nodes[who]) {
                    let node = &mut self.nodes[who];
                    node.engine.handle_timeout(now);
                    if self.audits {
                        node.engine.logs.audit();
                    }
                    let more = is_due(node);
                    self.drain(who);
                    rounds += 1;
                    // As many as it takes for all logs there may be here.
                    assert!(!more || rounds < 100, "it is due again at once");
                }
            }
        }
        self.now = end;
    }

    pub(super) fn run_secs(&mut self, secs: u64) {
        self.run(Duration::from_secs(secs));
    }

    /// What one saw of another on channel 0.
    pub(super) fn seen(&self, who: usize, of: usize) -> &[Event] {
        self.nodes[who].seen.get(&of).map_or(&[], Vec::as_slice)
    }

    /// What one saw of another, neighbouring values taken together.
    pub(super) fn story(&self, who: usize, of: usize) -> Vec<Event> {
        let mut story: Vec<Event> = Vec::new();
        for event in self.seen(who, of) {
            match (story.last_mut(), *event) {
                (Some(Event::Values(last)), Event::Values(seqs)) => *last = last.hull(seqs),
                (_, event) => story.push(event),
            }
        }
        story
    }

    pub(super) fn counters(&self, who: usize) -> Counters {
        self.nodes[who].engine.counters()
    }

    /// The numbers of a sender that were posted in this time.
    pub(super) fn posted_between(&self, who: usize, from: Duration, to: Duration) -> Vec<u64> {
        let posted = self.posted.get(&who).map_or(&[][..], Vec::as_slice);
        let numbered = (1..).zip(posted);
        numbered
            .filter(|(_, (at, _))| from <= *at && *at < to)
            .map(|(seq, _)| seq)
            .collect()
    }

    /// Everything that anybody posted was delivered to everybody who lives, without a gap.
    #[track_caller]
    pub(super) fn expect_everything(&self) {
        for (&of, posted) in &self.posted {
            let all = super::range(1, posted.len() as u64);
            for (who, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.alive) {
                assert_eq!(self.story(who, of), [Event::Values(all)], "{of} at {who}");
                assert_eq!(node.engine.counters().gaps, 0);
            }
        }
    }

    /// The same of some of them.
    #[track_caller]
    pub(super) fn expect_everything_at(&self, who: &[usize]) {
        for (&of, posted) in &self.posted {
            let all = super::range(1, posted.len() as u64);
            for &who in who.iter().filter(|who| **who != of) {
                assert_eq!(self.story(who, of), [Event::Values(all)], "{of} at {who}");
            }
        }
    }

    /// Nothing is under way, and nobody wants to be woken but to forget what is old.
    #[track_caller]
    pub(super) fn expect_rest(&self) {
        assert!(self.travelling.is_empty());
        for node in self.nodes.iter().filter(|node| node.alive) {
            assert_eq!(node.engine.poll_timeout(), node.engine.history_expires);
            assert!(node.engine.logs.at_rest());
        }
    }

    pub(super) fn clock(&self, who: usize) -> Time {
        Time::from_start(self.nodes[who].offset + self.now)
    }

    fn next(&self) -> Option<Duration> {
        let alive = self.nodes.iter().filter(|node| node.alive);
        let due = alive.filter_map(|node| {
            let due = node.engine.poll_timeout()?;
            Some(due.since_start().saturating_sub(node.offset).max(self.now))
        });
        let travelling = self.travelling.first_key_value().map(|((at, _), _)| *at);
        due.chain(travelling).min()
    }

    fn send(&mut self, travelling: Travelling) {
        self.count += 1;
        self.travelling
            .insert((self.now + LATENCY, self.count), travelling);
    }

    fn arrive(&mut self, arrived: Travelling) {
        match arrived {
            Travelling::Gossip { from, to, frame } => {
                self.copies += u64::from(self.nodes[to].alive);
                if !self.nodes[to].alive || !self.nodes[to].gossip.insert(id(&frame)) {
                    return;
                }
                let now = self.clock(to);
                let member = &peer(number(frame.sender())).member;
                self.nodes[to]
                    .engine
                    .handle_frame(sender(from), frame, member, now, WallTime::MIN);
                if self.audits {
                    self.nodes[to].engine.logs.audit();
                }
                self.drain(to);
            }
            Travelling::Sync {
                from,
                to,
                link,
                bytes,
            } => {
                if self.links.get(&(from.min(to), from.max(to))) != Some(&link) {
                    return;
                }
                assert!(
                    bytes.len() <= 512 * 1024,
                    "{} bytes break a link",
                    bytes.len()
                );
                let message = SyncMessage::decode(&bytes).expect("an engine said it");
                let now = self.clock(to);
                let (signed, expired) = (&self.signed, &self.expired);
                let signer = |frame: &Frame| {
                    let of = number(frame.sender());
                    if !signed.contains(frame.bytes()) {
                        Err(VerifyError::BadSignature)
                    } else if expired.contains(&(to, of)) {
                        let not_after = WallTime::MIN;
                        Err(VerifyError::Chain(ChainError::Expired { not_after }))
                    } else {
                        Ok(Arc::clone(&peer(of).member))
                    }
                };
                let verify = |frames: &[Frame]| frames.iter().map(signer).collect();
                let engine = &mut self.nodes[to].engine;
                engine.handle_sync(sender(from), message, now, WallTime::MIN, verify);
                assert!(
                    bytes.is_unique(),
                    "what is kept of an answer keeps all of it"
                );
                if self.audits {
                    engine.logs.audit();
                }
                self.drain(to);
            }
        }
    }

    fn gossip(&mut self, from: usize, frame: &Frame) {
        for to in 0..self.nodes.len() {
            let link = (from.min(to), from.max(to));
            if self.links.contains_key(&link)
                && !self.silent.contains(&link)
                && !self.mute.contains(&(from, to))
                && self.chance.index(100) >= self.loss
            {
                let frame = frame.clone();
                self.send(Travelling::Gossip { from, to, frame });
            }
        }
    }

    fn forward(&mut self, from: usize, forward: &Forward) {
        let linked = (0..self.nodes.len()).filter(|to| {
            let link = (from.min(*to), from.max(*to));
            self.links.contains_key(&link)
        });
        let engine = &self.nodes[from].engine;
        for to in engine.recipients(forward, linked.map(sender)) {
            let (to, frame) = (number(to), forward.frame.clone());
            if !self.silent.contains(&(from.min(to), from.max(to)))
                && !self.mute.contains(&(from, to))
                && self.chance.index(100) >= self.loss
            {
                self.send(Travelling::Gossip { from, to, frame });
            }
        }
    }

    pub(super) fn drain(&mut self, who: usize) {
        while let Some(output) = self.nodes[who].engine.poll_output() {
            match output {
                Output::Publish(frame) => {
                    self.signed.insert(frame.bytes().clone());
                    self.nodes[who].gossip.insert(id(&frame));
                    self.gossip(who, &frame);
                }
                Output::Forward(forward) if self.forwards && !self.withhold.contains(&who) => {
                    self.forward(who, &forward);
                }
                Output::Forward(_) => {}
                Output::Sync(to, message) => {
                    let to = number(to);
                    for message in (self.tamper)(who, to, message) {
                        self.say(who, to, &message);
                    }
                }
                Output::Deliver(name, delivery) => {
                    assert_eq!(name, channel(0));
                    let of = number(delivery.member.sender());
                    let posted = &self.posted[&of];
                    for value in delivery.values() {
                        let place = usize::try_from(value.seqs.first().get()).expect("few") - 1;
                        assert_eq!(value.payload, posted[place].1);
                    }
                    let Arrival { via, from, at } = delivery.arrival;
                    assert!(at <= self.clock(who), "it came before it is delivered");
                    let came = (of, delivery.seqs(), via, from.map(number));
                    self.nodes[who].arrivals.push(came);
                    self.see(who, of, Event::Values(delivery.seqs()));
                }
                Output::Stale { .. } => {}
                Output::NoRoom { member, .. } => {
                    self.nodes[who].without_room.push(number(member.sender()));
                }
                Output::Mute(peer) => self.nodes[who].muted.push((number(peer), self.now)),
                Output::Misbehaved { peer, offence } => {
                    self.nodes[who].offences.push((number(peer), offence));
                }
                Output::Backfilled(
                    _,
                    Backfilled {
                        id,
                        logs: past,
                        untold,
                        ..
                    },
                ) => {
                    self.nodes[who].backfilled += 1;
                    self.nodes[who].untold.insert(id, untold);
                    assert!(
                        self.nodes[who].past.insert(id, past).is_none(),
                        "{id} ended twice"
                    );
                }
                Output::Writable(_) => self.nodes[who].writable += 1,
                Output::Lagging { peer, lags } => {
                    let peer = number(peer);
                    let changed = if lags {
                        self.nodes[who].lagging.insert(peer)
                    } else {
                        self.nodes[who].lagging.remove(&peer)
                    };
                    assert!(changed, "{who} says twice that {peer} lags: {lags}");
                }
                Output::Missed(_, gap) => {
                    self.see(
                        who,
                        number(gap.member.sender()),
                        Event::Missed(gap.missed, gap.reason),
                    );
                }
            }
        }
    }

    fn see(&mut self, who: usize, of: usize, event: Event) {
        let seen = self.nodes[who].seen.entry(of).or_default();
        if let Some(last) = seen.last() {
            assert_eq!(
                event.seqs().first(),
                last.seqs().last().next(),
                "{of} at {who}"
            );
        }
        seen.push(event);
    }
}

impl Event {
    pub(super) fn seqs(&self) -> SeqRange {
        match self {
            Self::Values(seqs) | Self::Missed(seqs, _) => *seqs,
        }
    }
}

/// So many nodes that have told each other of themselves, and hear nothing by gossip.
pub(super) fn connected(nodes: usize) -> World {
    let mut world = World::new(nodes, &Config::default(), 1);
    world.connect_all();
    world.run_secs(1);
    world
}

/// Has a message that [answers](ANSWERS) name the opening that it answers.
pub(super) fn answer_openings(engine: &Engine, from: Sender, message: &mut SyncMessage) {
    let SyncMessage::Have(holdings) = message else {
        return;
    };
    for Holdings {
        channel, answer, ..
    } in holdings
    {
        if let Some(answer) = answer.as_mut().filter(|answer| **answer == ANSWERS) {
            answer.opening = engine.logs.peers.unanswered(from, channel);
        }
    }
}

pub(super) fn sender(who: usize) -> Sender {
    peer(who).member.sender()
}

fn number(sender: Sender) -> usize {
    (0..crate::fixture::PEERS)
        .find(|n| peer(*n).member.sender() == sender)
        .expect("one of the peers")
}

fn id(frame: &Frame) -> FrameId {
    FrameId::of(frame.bytes())
}
