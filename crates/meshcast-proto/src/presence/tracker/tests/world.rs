//! Several trackers in one virtual time: links that carry messages in order, break, or fall silent.
//! What each reports is checked at once against what it shows.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    super::{super::present::*, *},
    fixture,
};
use crate::{
    fixture::{peer, restarted},
    identity::{MeshKey, Trust},
};

/// One way over a link.
const LATENCY: Duration = Duration::from_millis(30);

/// As drivers do it: nothing is heard for so long that the link is closed.
const DEAD: Duration = Duration::from_millis(4_500);

/// What the wall clock shows when the world begins.
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

pub(super) struct Node {
    pub(super) tracker: PresenceTracker,
    pub(super) sender: Sender,
    pub(super) alive: bool,
    /// Its channel is open.
    pub(super) open: bool,
    /// Since when it is.
    pub(super) opened: WallTime,
    pub(super) watching: bool,
    pub(super) state: Option<Bytes>,
    /// What those who watch saw.
    pub(super) seen: BTreeMap<Sender, Presence>,
    pub(super) changes: Vec<(Duration, PresenceChange)>,
    pub(super) offences: Vec<(Sender, Offence)>,
    /// What its clock showed when that of the world showed zero.
    offset: Duration,
    /// Who of its peers has told that the channel is open.
    told: BTreeSet<usize>,
}

enum Said {
    Opened,
    Closed,
    Message(Bytes),
}

struct Travelling {
    from: usize,
    to: usize,
    epoch: u64,
    said: Said,
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
    /// So many nodes, none of them connected, all with the channel open.
    pub(super) fn new(nodes: usize) -> Self {
        let node = |n: usize| Node::new(n, tracker(n), peer(n).member.sender(), BEGAN);
        Self {
            nodes: (0..nodes).map(node).collect(),
            now: Duration::ZERO,
            links: BTreeMap::new(),
            epochs: 0,
            travelling: BTreeMap::new(),
            count: 0,
            restarts: 0,
            tamper: Box::new(|_, _, message| vec![message]),
            said: 0,
            bytes: 0,
        }
    }

    pub(super) fn full(nodes: usize) -> Self {
        let mut world = Self::new(nodes);
        for a in 0..nodes {
            (0..a).for_each(|b| world.connect(a, b));
        }
        world
    }

    pub(super) fn chain(nodes: usize) -> Self {
        let mut world = Self::new(nodes);
        (1..nodes).for_each(|n| world.connect(n - 1, n));
        world
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
            if self.nodes[n].open {
                self.send(n, other, Said::Opened);
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
            self.nodes[n].told.remove(&other);
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
        self.nodes[n].watching = false;
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
        self.nodes[n] = Node::new(n, make(&peer), peer.member.sender(), self.wall());
    }

    pub(super) fn open(&mut self, n: usize, open: bool) {
        if !self.nodes[n].alive || self.nodes[n].open == open {
            return;
        }
        self.nodes[n].open = open;
        if open {
            self.nodes[n].opened = self.wall();
            self.say_to_all(n, || Said::Opened);
            self.own(n);
        } else {
            self.nodes[n].watching = false;
            self.nodes[n].state = None;
            let now = self.time(n);
            self.nodes[n].tracker.handle_gone(&fixture(), now);
            self.drain(n);
            self.say_to_all(n, || Said::Closed);
            self.nodes[n].seen.clear();
        }
    }

    pub(super) fn watch(&mut self, n: usize, watching: bool) {
        if !self.nodes[n].alive || !self.nodes[n].open {
            return;
        }
        self.nodes[n].watching = watching;
        if watching {
            let present = self.nodes[n].tracker.present(&fixture());
            self.nodes[n].seen = present
                .into_iter()
                .map(|it| (it.member.sender(), it))
                .collect();
        }
        self.own(n);
    }

    pub(super) fn set(&mut self, n: usize, state: &'static [u8]) {
        if self.nodes[n].alive && self.nodes[n].open && self.nodes[n].watching {
            self.nodes[n].state = Some(Bytes::from_static(state));
            self.own(n);
        }
    }

    fn own(&mut self, n: usize) {
        let (now, opens) = (self.time(n), self.opens(n));
        let node = &mut self.nodes[n];
        let opens = opens.unwrap_or_default();
        let state = node.state.clone();
        node.tracker
            .handle_own(&fixture(), node.watching, state, opens, now);
        self.drain(n);
    }

    fn opens(&self, n: usize) -> Option<Opens> {
        let node = &self.nodes[n];
        let peers = node.told.iter().map(|other| self.nodes[*other].sender);
        node.open.then(|| Opens {
            is_present: true,
            since: node.opened,
            peers: peers.collect(),
        })
    }

    /// A peer says this to a node.
    pub(super) fn hear(&mut self, n: usize, peer: Sender, message: PresenceMessage) {
        let (now, wall, opens) = (self.time(n), self.wall(), self.opens(n));
        let opens = |_: &ChannelName| opens.clone();
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
                Said::Opened => {
                    self.nodes[to].told.insert(from);
                    self.nodes[to]
                        .tracker
                        .handle_opened(peer, [&fixture()], now);
                }
                Said::Closed => {
                    self.nodes[to].told.remove(&from);
                    self.nodes[to]
                        .tracker
                        .handle_closed(peer, [&fixture()], now);
                }
                Said::Message(bytes) => {
                    let Ok(SyncMessage::Presence(message)) = SyncMessage::decode(&bytes) else {
                        panic!("what is sent can be read");
                    };
                    let opens = self.opens(to);
                    let opens = |channel: &ChannelName| {
                        assert_eq!(*channel, fixture());
                        opens.clone()
                    };
                    let tracker = &mut self.nodes[to].tracker;
                    tracker.handle_message(peer, message, opens, now, wall);
                }
            }
            self.drain(to);
        }
    }

    /// What drivers do: they hear something of each peer that is there, and close dead links.
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
                PresenceOutput::Changed(channel, change) => {
                    assert_eq!(channel, fixture());
                    let now = self.now;
                    self.nodes[n].see(now, change);
                }
                PresenceOutput::Misbehaved { peer, offence } => {
                    self.nodes[n].offences.push((peer, offence));
                }
            }
        }
        if self.nodes[n].watching {
            let present = self.nodes[n].tracker.present(&fixture());
            let present: BTreeMap<_, _> = present
                .into_iter()
                .map(|it| (it.member.sender(), it))
                .collect();
            assert_eq!(self.nodes[n].seen, present, "node {n}");
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

    /// Who is to be seen from a node in the end: whoever has the channel open and is connected to
    /// it by others that do.
    pub(super) fn expected(&self, n: usize) -> BTreeMap<Sender, Option<Bytes>> {
        let (mut found, mut next) = (BTreeSet::from([n]), vec![n]);
        while let Some(at) = next.pop() {
            for other in self.neighbours(at) {
                if self.nodes[other].open && self.nodes[other].alive && found.insert(other) {
                    next.push(other);
                }
            }
        }
        let seen = found.into_iter().map(|n| &self.nodes[n]);
        seen.map(|node| (node.sender, node.state.clone())).collect()
    }

    /// Everybody who watches sees who is there, as it says it is, and none of them silent.
    #[track_caller]
    pub(super) fn assert_equal(&self) {
        for (n, node) in self.nodes.iter().enumerate() {
            if node.alive && node.open && node.watching {
                assert!(node.seen.values().all(|it| !it.is_silent), "node {n}");
                assert_eq!(node.states(), self.expected(n), "node {n}");
            }
        }
    }

    pub(super) fn is_equal(&self) -> bool {
        let mut watching = self.nodes.iter().enumerate();
        watching.all(|(n, node)| {
            let watches = node.alive && node.open && node.watching;
            !watches
                || node.states() == self.expected(n) && node.seen.values().all(|it| !it.is_silent)
        })
    }
}

impl Node {
    fn new(n: usize, tracker: PresenceTracker, sender: Sender, opened: WallTime) -> Self {
        Self {
            tracker,
            sender,
            alive: true,
            open: true,
            opened,
            watching: false,
            state: None,
            seen: BTreeMap::new(),
            changes: Vec::new(),
            offences: Vec::new(),
            offset: Duration::from_secs(n as u64 * 1_000),
            told: BTreeSet::new(),
        }
    }

    pub(super) fn states(&self) -> BTreeMap<Sender, Option<Bytes>> {
        let seen = self.seen.iter();
        seen.map(|(sender, it)| (*sender, it.state.clone()))
            .collect()
    }

    /// A change has to fit what was seen before.
    fn see(&mut self, now: Duration, change: PresenceChange) {
        let presence = change.presence().clone();
        let sender = presence.member.sender();
        let before = match change.is_gone() {
            true => self.seen.remove(&sender),
            false => self.seen.insert(sender, presence),
        };
        let is_new = matches!(change, PresenceChange::Joined(_));
        assert_eq!(before.is_none(), is_new, "{change:?} after {before:?}");
        self.changes.push((now, change));
    }

    /// How often others were told to be gone.
    pub(super) fn losses(&self) -> usize {
        let lost = |(_, change): &&(Duration, PresenceChange)| change.is_gone();
        self.changes.iter().filter(lost).count()
    }
}
