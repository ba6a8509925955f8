//! Several trackers in one virtual time: links that carry messages in order, break, or fall silent.
//! Each report is checked at once against what its node shows.

mod node;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

pub(super) use self::node::Node;
use self::node::Spot;
use super::super::{super::present::*, *};
use crate::{
    fixture::{peer, restarted},
    identity::{MeshKey, Trust},
};

/// One way over a link.
const LATENCY: Duration = Duration::from_millis(30);

/// As drivers do it: nothing is heard for so long that the link is closed.
const DEAD: Duration = Duration::from_millis(4_500);

/// The wall clock at the beginning of the world.
pub(super) const BEGAN: WallTime = WallTime::from_unix_millis(1_767_225_600_000);

const STEP: Duration = Duration::from_millis(10);

pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    pub(super) now: Duration,
    /// By the lower and the higher end.
    links: BTreeMap<(usize, usize), Link>,
    epochs: u64,
    travelling: BTreeMap<(Duration, u64), Travelling>,
    count: u64,
    restarts: u8,
    shares: Shares,
    /// May change or keep back what one says to another.
    pub(super) tamper: Box<dyn FnMut(usize, usize, SyncMessage) -> Vec<SyncMessage>>,
    /// How many messages about presence were sent.
    pub(super) said: u64,
    pub(super) bytes: u64,
}

struct Link {
    epoch: u64,
    /// Nothing comes over it since then, though both ends take it for connected.
    silent: Option<Duration>,
    /// Something was lost on it.
    lossy: bool,
}

enum Said {
    Opened(usize),
    Closed(usize),
    Message(Bytes),
}

struct Travelling {
    from: usize,
    to: usize,
    epoch: u64,
    said: Said,
}

/// The name of a channel.
pub(super) fn channel(at: usize) -> ChannelName {
    ChannelName::new(&format!("room {at}")).expect("valid")
}

pub(super) fn tracker(n: usize) -> PresenceTracker {
    make(peer(n))
}

fn make(peer: &crate::fixture::Peer) -> PresenceTracker {
    let trust = Trust::from(&MeshKey::from_entropy([7; 48]));
    let (identity, me) = (peer.identity.clone(), Arc::clone(&peer.member));
    PresenceTracker::new(identity, me, trust, Budget::default())
}

impl World {
    /// So many nodes, none of them connected, all with a channel open.
    pub(super) fn new(nodes: usize) -> Self {
        Self::with(1, nodes)
    }

    /// The same, with so many channels.
    pub(super) fn with(channels: usize, nodes: usize) -> Self {
        let make = |n: usize| (tracker(n), peer(n).member.sender());
        let node = |n: usize| Node::new(n, make(n), channels, BEGAN);
        Self {
            nodes: (0..nodes).map(node).collect(),
            now: Duration::ZERO,
            links: BTreeMap::new(),
            epochs: 0,
            travelling: BTreeMap::new(),
            count: 0,
            restarts: 0,
            shares: Shares::default(),
            tamper: Box::new(|_, _, message| vec![message]),
            said: 0,
            bytes: 0,
        }
    }

    pub(super) fn full(nodes: usize) -> Self {
        Self::new(nodes).linked_all()
    }

    pub(super) fn chain(nodes: usize) -> Self {
        Self::new(nodes).linked_in_a_chain()
    }

    pub(super) fn linked_all(mut self) -> Self {
        for a in 0..self.nodes.len() {
            (0..a).for_each(|b| self.connect(a, b));
        }
        self
    }

    pub(super) fn linked_in_a_chain(mut self) -> Self {
        (1..self.nodes.len()).for_each(|n| self.connect(n - 1, n));
        self
    }

    /// With these in place of the shares of peers.
    pub(super) fn sharing(mut self, shares: Shares) -> Self {
        self.shares = shares;
        for node in &mut self.nodes {
            node.tracker.shares = shares;
        }
        self
    }

    /// How many channels there are.
    fn channels(&self) -> usize {
        self.nodes[0].spots.len()
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let key = (a.min(b), a.max(b));
        if a == b || self.links.contains_key(&key) || !self.nodes[a].alive || !self.nodes[b].alive {
            return;
        }
        self.epochs += 1;
        let link = Link {
            epoch: self.epochs,
            silent: None,
            lossy: false,
        };
        self.links.insert(key, link);
        for (n, other) in [(a, b), (b, a)] {
            let (peer, now) = (self.nodes[other].sender, self.time(n));
            self.nodes[n].tracker.handle_peer_up(peer, now);
            for at in 0..self.channels() {
                if self.nodes[n].spots[at].open {
                    self.send(n, other, Said::Opened(at));
                }
            }
            self.drain(n);
        }
    }

    pub(super) fn disconnect(&mut self, a: usize, b: usize) {
        let key = (a.min(b), a.max(b));
        if self.links.remove(&key).is_none() {
            return;
        }
        for (n, other) in [(a, b), (b, a)] {
            let (peer, now) = (self.nodes[other].sender, self.time(n));
            for spot in &mut self.nodes[n].spots {
                spot.told.remove(&other);
            }
            if self.nodes[n].alive {
                self.nodes[n].tracker.handle_peer_down(peer, now);
                self.drain(n);
            }
        }
    }

    /// Nothing comes over the link any more.
    pub(super) fn mute(&mut self, a: usize, b: usize) {
        let now = self.now;
        if let Some(link) = self.links.get_mut(&(a.min(b), a.max(b))) {
            link.silent.get_or_insert(now);
        }
    }

    /// It comes again, if the link was not closed meanwhile and there is somebody at both ends.
    pub(super) fn unmute(&mut self, a: usize, b: usize) {
        if !(self.nodes[a].alive && self.nodes[b].alive) {
            return;
        }
        if let Some(link) = self.links.get_mut(&(a.min(b), a.max(b))) {
            link.silent = None;
        }
    }

    /// A link that was silent for a while is made anew, as transports do when a message is lost.
    pub(super) fn settle_link(&mut self, a: usize, b: usize) {
        let link = self.links.get(&(a.min(b), a.max(b)));
        if link.is_some_and(|link| link.lossy && link.silent.is_none()) {
            self.disconnect(a, b);
            self.connect(a, b);
        }
    }

    pub(super) fn linked(&self, a: usize, b: usize) -> bool {
        self.links.contains_key(&(a.min(b), a.max(b)))
    }

    pub(super) fn neighbours(&self, n: usize) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|other| self.linked(n, *other))
            .collect()
    }

    /// The process ends as it stands; the system closes its connections.
    pub(super) fn crash(&mut self, n: usize) {
        self.nodes[n].alive = false;
        for other in self.neighbours(n) {
            self.disconnect(n, other);
        }
    }

    /// The machine is gone: nobody closes anything.
    pub(super) fn vanish(&mut self, n: usize) {
        self.nodes[n].alive = false;
        for other in self.neighbours(n) {
            self.mute(n, other);
        }
    }

    /// The process stops in peace.
    pub(super) fn stop(&mut self, n: usize) {
        let now = self.time(n);
        for spot in &mut self.nodes[n].spots {
            spot.watching = false;
        }
        self.nodes[n].tracker.handle_leaving(now);
        self.drain(n);
        self.run(LATENCY + STEP);
        self.crash(n);
    }

    /// Another process in the place of one that ended.
    pub(super) fn restart(&mut self, n: usize) {
        for other in self.neighbours(n) {
            self.disconnect(n, other);
        }
        self.restarts += 1;
        let peer = restarted(self.restarts);
        let (made, channels) = ((make(&peer), peer.member.sender()), self.channels());
        self.nodes[n] = Node::new(n, made, channels, self.wall());
        self.nodes[n].tracker.shares = self.shares;
    }

    pub(super) fn open(&mut self, n: usize, open: bool) {
        self.open_at(0, n, open);
    }

    pub(super) fn open_at(&mut self, at: usize, n: usize, open: bool) {
        if !self.nodes[n].alive || self.nodes[n].spots[at].open == open {
            return;
        }
        let (now, wall) = (self.time(n), self.wall());
        let spot = &mut self.nodes[n].spots[at];
        spot.open = open;
        if open {
            spot.opened = wall;
            self.say_to_all(n, || Said::Opened(at));
            self.own(at, n);
        } else {
            spot.watching = false;
            spot.state = None;
            self.nodes[n].tracker.handle_gone(&channel(at), now);
            self.drain(n);
            self.say_to_all(n, || Said::Closed(at));
            self.nodes[n].spots[at].seen.clear();
        }
    }

    pub(super) fn watch(&mut self, n: usize, watching: bool) {
        self.watch_at(0, n, watching);
    }

    pub(super) fn watch_at(&mut self, at: usize, n: usize, watching: bool) {
        let Node {
            alive,
            spots,
            tracker,
            ..
        } = &mut self.nodes[n];
        let spot = &mut spots[at];
        if !*alive || !spot.open {
            return;
        }
        spot.watching = watching;
        if watching {
            spot.seen = by_sender(tracker.present(&channel(at)));
        }
        self.own(at, n);
    }

    /// On all channels.
    pub(super) fn watch_all(&mut self, n: usize) {
        (0..self.channels()).for_each(|at| self.watch_at(at, n, true));
    }

    pub(super) fn set(&mut self, n: usize, state: &'static [u8]) {
        self.set_at(0, n, state);
    }

    pub(super) fn set_at(&mut self, at: usize, n: usize, state: &'static [u8]) {
        let spot = &mut self.nodes[n].spots[at];
        if spot.open && spot.watching && self.nodes[n].alive {
            self.nodes[n].spots[at].state = Some(Bytes::from_static(state));
            self.own(at, n);
        }
    }

    fn own(&mut self, at: usize, n: usize) {
        let (now, opens) = (self.time(n), self.opens(at, n));
        let opens = opens.unwrap_or_default();
        let Node { spots, tracker, .. } = &mut self.nodes[n];
        let (watching, state) = (spots[at].watching, spots[at].state.clone());
        tracker.handle_own(&channel(at), watching, state, opens, now);
        self.drain(n);
    }

    fn opens(&self, at: usize, n: usize) -> Option<Opens> {
        let spot = &self.nodes[n].spots[at];
        let peers = spot.told.iter().map(|other| self.nodes[*other].sender);
        spot.open.then(|| Opens {
            is_present: true,
            since: spot.opened,
            peers: peers.collect(),
        })
    }

    /// What a node has open, by name.
    fn all_opens(&self, n: usize) -> BTreeMap<ChannelName, Option<Opens>> {
        let all = (0..self.channels()).map(|at| (channel(at), self.opens(at, n)));
        all.collect()
    }

    /// A peer says this to a node.
    pub(super) fn hear(&mut self, n: usize, peer: Sender, message: PresenceMessage) {
        let (now, wall, opens) = (self.time(n), self.wall(), self.all_opens(n));
        let opens = |channel: &ChannelName| opens[channel].clone();
        let tracker = &mut self.nodes[n].tracker;
        tracker.handle_message(peer, message, opens, now, wall);
        self.drain(n);
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            self.deliver();
            self.keep_alive();
            for n in 0..self.nodes.len() {
                let now = self.time(n);
                let due = self.nodes[n].tracker.poll_timeout();
                if self.nodes[n].alive && due.is_some_and(|due| due <= now) {
                    let wall = self.wall();
                    self.nodes[n].tracker.handle_timeout(now, wall);
                    self.drain(n);
                }
            }
        }
    }

    /// Runs until that is so, and says when it was.
    #[track_caller]
    pub(super) fn run_until(&mut self, most: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let begin = self.now;
        while !done(self) {
            assert!(self.now - begin < most, "it did not happen within {most:?}");
            self.run(STEP);
        }
        self.now - begin
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.travelling.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            let Travelling {
                from,
                to,
                epoch,
                said,
            } = entry.remove();
            let link = self.links.get_mut(&(from.min(to), from.max(to)));
            let arrives = link.is_some_and(|link| {
                let is_this = link.epoch == epoch;
                link.lossy |= is_this && link.silent.is_some();
                is_this && link.silent.is_none()
            });
            if !arrives || !self.nodes[to].alive {
                continue;
            }
            let (peer, now, wall) = (self.nodes[from].sender, self.time(to), self.wall());
            match said {
                Said::Opened(at) => {
                    let Node { spots, tracker, .. } = &mut self.nodes[to];
                    spots[at].told.insert(from);
                    tracker.handle_opened(peer, [&channel(at)], now);
                }
                Said::Closed(at) => {
                    let Node { spots, tracker, .. } = &mut self.nodes[to];
                    spots[at].told.remove(&from);
                    tracker.handle_closed(peer, [&channel(at)], now);
                }
                Said::Message(bytes) => {
                    let Ok(SyncMessage::Presence(message)) = SyncMessage::decode(&bytes) else {
                        panic!("what is sent can be read");
                    };
                    let opens = self.all_opens(to);
                    let opens = |channel: &ChannelName| opens[channel].clone();
                    let tracker = &mut self.nodes[to].tracker;
                    tracker.handle_message(peer, message, opens, now, wall);
                }
            }
            self.drain(to);
        }
    }

    /// The work of drivers: they hear something of each peer that is there, and close dead links.
    fn keep_alive(&mut self) {
        if !self.now.as_millis().is_multiple_of(500) {
            return;
        }
        let dead = |link: &Link| link.silent.is_some_and(|since| since + DEAD <= self.now);
        let dead: Vec<_> = self.links.iter().filter(|(_, link)| dead(link)).collect();
        let dead: Vec<_> = dead.into_iter().map(|(key, _)| *key).collect();
        for (a, b) in dead {
            self.disconnect(a, b);
        }
        let lively = self.links.iter().filter(|(_, link)| link.silent.is_none());
        let lively: Vec<_> = lively.map(|(key, _)| *key).collect();
        for (a, b) in lively {
            for (n, other) in [(a, b), (b, a)] {
                let (peer, now) = (self.nodes[other].sender, self.time(n));
                self.nodes[n].tracker.handle_heard(peer, now);
            }
        }
    }

    fn drain(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].tracker.poll_output() {
            match output {
                PresenceOutput::Send(to, message) => {
                    let to = self.nodes.iter().position(|node| node.sender == to);
                    let to = to.expect("to a peer");
                    for message in (self.tamper)(n, to, message) {
                        let bytes = Bytes::from(message.encode());
                        self.said += 1;
                        self.bytes += bytes.len() as u64;
                        self.send(n, to, Said::Message(bytes));
                    }
                }
                PresenceOutput::Changed(name, change) => {
                    let at = (0..self.channels()).find(|at| channel(*at) == name);
                    let at = at.expect("one of them");
                    let now = self.now;
                    self.nodes[n].spots[at].see(now, change);
                }
                PresenceOutput::Misbehaved { peer, offence } => {
                    self.nodes[n].offences.push((peer, offence));
                }
            }
        }
        let Node { tracker, spots, .. } = &self.nodes[n];
        assert_eq!(by_peer(tracker), by_room(tracker), "node {n}");
        for (at, spot) in spots.iter().enumerate().filter(|(_, spot)| spot.watching) {
            let present = by_sender(tracker.present(&channel(at)));
            assert_eq!(spot.seen, present, "node {n}, channel {at}");
        }
    }

    fn say_to_all(&mut self, n: usize, said: impl Fn() -> Said) {
        for other in self.neighbours(n) {
            self.send(n, other, said());
        }
    }

    fn send(&mut self, from: usize, to: usize, said: Said) {
        let Some(link) = self.links.get(&(from.min(to), from.max(to))) else {
            return;
        };
        self.count += 1;
        let travelling = Travelling {
            from,
            to,
            epoch: link.epoch,
            said,
        };
        self.travelling
            .insert((self.now + LATENCY, self.count), travelling);
    }

    pub(super) fn time(&self, n: usize) -> Time {
        Time::from_start(self.now + self.nodes[n].offset)
    }

    pub(super) fn wall(&self) -> WallTime {
        BEGAN + self.now
    }

    /// The members that a node is to see in the end: those that have the channel open and are
    /// connected to it by others that do.
    pub(super) fn expected(&self, at: usize, n: usize) -> BTreeMap<Sender, Option<Bytes>> {
        let (mut found, mut next) = (BTreeSet::from([n]), vec![n]);
        while let Some(on) = next.pop() {
            for other in self.neighbours(on) {
                let node = &self.nodes[other];
                if node.spots[at].open && node.alive && found.insert(other) {
                    next.push(other);
                }
            }
        }
        let seen = found.into_iter().map(|n| &self.nodes[n]);
        seen.map(|node| (node.sender, node.spots[at].state.clone()))
            .collect()
    }

    /// Those that watch, and which channel.
    fn watching(&self) -> impl Iterator<Item = (usize, usize, &Spot)> {
        let alive = self.nodes.iter().enumerate().filter(|(_, node)| node.alive);
        alive.flat_map(|(n, node)| {
            let spots = node.spots.iter().enumerate();
            let watching = spots.filter(|(_, spot)| spot.open && spot.watching);
            watching.map(move |(at, spot)| (n, at, spot))
        })
    }

    /// Everybody who watches sees who is there, as it says it is, and none of them silent. Nobody
    /// is seen who is not there.
    #[track_caller]
    pub(super) fn assert_equal(&self) {
        for (n, at, spot) in self.watching() {
            assert_eq!(self.ghosts(at, spot), [], "node {n}, channel {at}");
            let expected = self.expected(at, n);
            let states = spot.heard(&expected);
            assert_eq!(states, expected, "node {n}, channel {at}");
        }
    }

    /// The members that are seen on a channel and do not have it open.
    pub(super) fn ghosts(&self, at: usize, spot: &Spot) -> Vec<Sender> {
        let there = self
            .nodes
            .iter()
            .filter(|node| node.alive && node.spots[at].open);
        let there: BTreeSet<_> = there.map(|node| node.sender).collect();
        let seen = spot.seen.keys().copied();
        seen.filter(|sender| !there.contains(sender)).collect()
    }

    /// How many changes each was told of. A member that is there and has no way to a node on the
    /// channel may be heard of by another channel; that this ends is not counted.
    pub(super) fn changes(&self) -> Vec<usize> {
        let told = |n: usize, at: usize| {
            let expected = self.expected(at, n);
            let counts = |(_, change): &&(Duration, PresenceChange)| {
                expected.contains_key(&change.presence().member.sender())
            };
            let changes = self.nodes[n].spots[at].changes.iter();
            changes.filter(counts).count()
        };
        let told = |n| (0..self.channels()).map(|at| told(n, at)).sum();
        (0..self.nodes.len()).map(told).collect()
    }

    pub(super) fn is_equal(&self) -> bool {
        self.watching().all(|(n, at, spot)| {
            let expected = self.expected(at, n);
            self.ghosts(at, spot).is_empty() && spot.heard(&expected) == expected
        })
    }
}

/// The channels that peers have open: it stands with both.
fn by_peer(tracker: &PresenceTracker) -> BTreeSet<(Sender, ChannelName)> {
    let links = tracker.links.iter();
    let each = links.flat_map(|(peer, link)| link.rooms.iter().map(|name| (*peer, name.clone())));
    each.collect()
}

fn by_room(tracker: &PresenceTracker) -> BTreeSet<(Sender, ChannelName)> {
    let rooms = tracker.rooms.iter();
    let each = rooms.flat_map(|(name, room)| room.peers.iter().map(|peer| (*peer, name.clone())));
    each.collect()
}

fn by_sender(present: Vec<Presence>) -> BTreeMap<Sender, Presence> {
    let present = present.into_iter();
    present.map(|it| (it.member.sender(), it)).collect()
}
