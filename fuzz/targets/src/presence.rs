//! Presence, as honest members see it while a member between them says anything at all.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use meshcast_proto::{
    Budget, ChannelName, Opens, PresenceMessage, PresenceOutput, PresenceTracker, SyncMessage,
    Time, WallTime,
};

use crate::members::{channel, peer, trust};

/// A script: each step is a byte for what happens and one for to whom; what the hostile member says
/// stands behind them, with its length in front.
///
/// The honest ones are the first three. Members 0 and 1 are connected, and 2 only to the hostile
/// one, as are they.
pub(crate) fn run(data: &[u8]) {
    let mut world = World::new();
    let mut bytes = data.iter().copied();
    while let Some((what, whom)) = bytes.next().zip(bytes.next()) {
        let whom = usize::from(whom) % HONEST;
        match what % 8 {
            0 => world.own(whom, true, &[what]),
            1 => world.own(whom, false, &[]),
            2 => world.pass(Duration::from_millis(u64::from(what) * 10)),
            3 => world.pass(Duration::from_secs(4)),
            4 => world.replay(whom, usize::from(what)),
            5 => world.relay(whom),
            6 => {
                let len = usize::from(bytes.next().unwrap_or(0));
                let said: Vec<u8> = bytes.by_ref().take(len).collect();
                world.hear(whom, HOSTILE, &Bytes::from(said));
            }
            _ => world.leave(whom),
        }
        world.check();
    }
}

const HONEST: usize = 3;
const HOSTILE: usize = 3;

struct World {
    trackers: Vec<PresenceTracker>,
    now: Duration,
    /// What each said of itself, ever.
    said: Vec<Vec<Vec<u8>>>,
    /// What the hostile one was told, and may repeat.
    heard: Vec<Bytes>,
    /// Messages that it was told and has not handed on, by whom.
    fresh: VecDeque<Bytes>,
}

impl World {
    fn new() -> Self {
        let tracker = |n: usize| {
            let (identity, me) = (peer(n).identity.clone(), Arc::clone(&peer(n).member));
            PresenceTracker::new(identity, me, trust(), Budget::new(16 << 20))
        };
        let mut world = Self {
            trackers: (0..HONEST).map(tracker).collect(),
            now: Duration::from_secs(1),
            said: vec![Vec::new(); HONEST],
            heard: Vec::new(),
            fresh: VecDeque::new(),
        };
        for n in 0..HONEST {
            let now = world.time();
            for other in neighbours(n) {
                world.trackers[n].handle_peer_up(peer(other).sender(), now);
            }
            world.drain(n);
        }
        world
    }

    fn own(&mut self, n: usize, watching: bool, state: &[u8]) {
        let now = self.time();
        let said = watching.then(|| Bytes::copy_from_slice(state));
        self.said[n].push(state.to_vec());
        self.trackers[n].handle_own(&channel(0), watching, said, opens(n), now);
        self.drain(n);
    }

    fn leave(&mut self, n: usize) {
        let now = self.time();
        self.trackers[n].handle_gone(&channel(0), now);
        self.drain(n);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let (now, wall) = (self.time(), self.wall());
        for n in 0..HONEST {
            self.trackers[n].handle_timeout(now, wall);
            self.drain(n);
        }
    }

    fn replay(&mut self, to: usize, which: usize) {
        if let Some(said) = self.heard.get(which % self.heard.len().max(1)).cloned() {
            self.hear(to, HOSTILE, &said);
        }
    }

    /// Hands on what is left, as an honest one between would.
    fn relay(&mut self, to: usize) {
        while let Some(said) = self.fresh.pop_front() {
            self.hear(to, HOSTILE, &said);
        }
    }

    fn hear(&mut self, to: usize, from: usize, bytes: &Bytes) {
        let Ok(SyncMessage::Presence(message)) = SyncMessage::decode(bytes) else {
            return;
        };
        self.take_in(to, from, message);
    }

    fn take_in(&mut self, to: usize, from: usize, message: PresenceMessage) {
        let (now, wall) = (self.time(), self.wall());
        let known = |name: &ChannelName| (*name == channel(0)).then(|| opens(to));
        self.trackers[to].handle_message(peer(from).sender(), message, known, now, wall);
        self.drain(to);
    }

    fn drain(&mut self, n: usize) {
        let mut outputs = Vec::new();
        while let Some(output) = self.trackers[n].poll_output() {
            outputs.push(output);
        }
        assert!(outputs.len() <= MOST, "{} outputs at once", outputs.len());
        for output in outputs {
            let PresenceOutput::Send(to, message) = output else {
                continue;
            };
            let bytes = Bytes::from(message.encode());
            let to = (0..=HOSTILE).find(|other| peer(*other).sender() == to);
            match to.expect("to a peer") {
                HOSTILE => {
                    if self.heard.len() < 64 {
                        self.heard.push(bytes.clone());
                    }
                    if self.fresh.len() < 64 {
                        self.fresh.push_back(bytes);
                    }
                }
                // At once; what one says to another is never without an end.
                honest => self.hear(honest, n, &bytes),
            }
        }
    }

    /// Nobody is seen who is no member of this world, or to say what it never said.
    fn check(&self) {
        for tracker in &self.trackers {
            for seen in tracker.present(&channel(0)) {
                let sender = seen.member.sender();
                let who = (0..HONEST).find(|n| peer(*n).sender() == sender);
                let who = who.expect("only those who said so are present");
                if let Some(state) = seen.state {
                    assert!(self.said[who].iter().any(|said| **said == *state));
                }
            }
        }
    }

    fn time(&self) -> Time {
        Time::from_start(self.now)
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_millis(1 << 40) + self.now
    }
}

fn neighbours(n: usize) -> Vec<usize> {
    match n {
        0 => vec![1, HOSTILE],
        1 => vec![0, HOSTILE],
        _ => vec![HOSTILE],
    }
}

fn opens(n: usize) -> Opens {
    Opens {
        is_present: true,
        since: WallTime::MIN,
        peers: neighbours(n)
            .into_iter()
            .map(|it| peer(it).sender())
            .collect(),
    }
}

/// What one message may cause.
const MOST: usize = 256;

/// Scripts to set out from.
pub(crate) fn scripts() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        // Two watch, time passes, all is handed on and repeated, and one leaves.
        vec![
            0, 0, 0, 1, 2, 0, 5, 2, 5, 0, 3, 0, 4, 0, 7, 1, 12, 0, 20, 1, 2, 0,
        ],
        vec![
            0, 2, 0, 0, 5, 0, 5, 2, 3, 0, 5, 0, 5, 2, 3, 0, 3, 0, 4, 1, 4, 2,
        ],
        vec![0, 0, 1, 0, 8, 1, 16, 1, 24, 1, 2, 0, 7, 1, 0, 1, 10, 0],
    ];
    // What is said by nobody of this world.
    for said in crate::seeds::sync_messages() {
        if said.first() == Some(&9) && said.len() < 256 {
            let mut script = vec![0, 0, 6, 0, said.len() as u8];
            script.extend(said);
            seeds.push(script);
        }
    }
    seeds
}
