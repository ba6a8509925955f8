//! Questions of honest members while a member between them says anything at all, also in the names
//! of members that it makes up.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use meshcast_proto::{
    AskMessage, AskOutput, AskTargets, Asks, Budget, Format, NewQuestion, Relayed, Reply, Sender,
    SyncMessage, Time, WallTime,
};

use crate::members::{channel, peer, trust};

/// A script: each step is a byte for what happens and one for to whom; what the hostile member says
/// stands behind them, with its length in front.
///
/// The honest ones are the first three. Members 0 and 1 are connected, and 2 only to the hostile
/// one, as are they. Further ones are made up by it.
pub(crate) fn run(data: &[u8]) {
    let mut world = World::new();
    let mut bytes = data.iter().copied();
    while let Some((what, whom)) = bytes.next().zip(bytes.next()) {
        let (which, whom) = (usize::from(whom) / HONEST, usize::from(whom) % HONEST);
        match what % 12 {
            0 => world.ask(whom, None),
            1 => world.ask(whom, Some(which % MEMBERS)),
            2 => world.answer(whom, which),
            3 => world.pass(Duration::from_millis(u64::from(what) * 10)),
            4 => world.pass(Duration::from_secs(4)),
            5 => world.replay(whom, usize::from(what) + which),
            6 => world.relay(whom),
            7 => {
                let len = usize::from(bytes.next().unwrap_or(0));
                let said: Vec<u8> = bytes.by_ref().take(len).collect();
                if let Ok(SyncMessage::Ask(said)) = SyncMessage::decode(&Bytes::from(said)) {
                    world.say(whom, said);
                }
            }
            8 => world.made_up_asks(whom, which, what),
            9 => world.made_up_answers(whom, which),
            10 => world.congest(whom, which),
            _ => world.link(which.is_multiple_of(2)),
        }
        world.check();
    }
    world.wind_down();
}

const HONEST: usize = 3;
const HOSTILE: usize = 3;
const MEMBERS: usize = 7;

struct World {
    /// Those that are made up have questions of their own, and the hostile one speaks for them.
    asks: Vec<Asks>,
    budgets: Vec<Budget>,
    now: Duration,
    /// The first two are linked.
    linked: bool,
    /// Messages that the hostile one was told or made, and may repeat.
    heard: Vec<AskMessage>,
    /// Messages that it was told and has not handed on.
    fresh: VecDeque<AskMessage>,
    on_the_way: VecDeque<(usize, usize, AskMessage)>,
    /// Questions that an honest one was asked and has not answered, and all it ever was.
    waiting: Vec<VecDeque<(Sender, u64)>>,
    asked: BTreeSet<(usize, Sender, u64)>,
    /// The members whose replies an honest one was told, and the questions that are over.
    told: BTreeSet<(usize, u64, Sender)>,
    over: BTreeSet<(usize, u64)>,
}

impl World {
    fn new() -> Self {
        let budgets: Vec<Budget> = (0..MEMBERS).map(|_| Budget::new(BUDGET)).collect();
        let asks = |n: usize| Asks::new(peer(n).identity.clone(), trust(), budgets[n].clone());
        let mut world = Self {
            asks: (0..MEMBERS).map(asks).collect(),
            budgets,
            now: Duration::from_secs(1),
            linked: false,
            heard: Vec::new(),
            fresh: VecDeque::new(),
            on_the_way: VecDeque::new(),
            waiting: vec![VecDeque::new(); HONEST],
            asked: BTreeSet::new(),
            told: BTreeSet::new(),
            over: BTreeSet::new(),
        };
        for n in (0..MEMBERS).filter(|n| *n != HOSTILE) {
            let now = world.time();
            world.asks[n].handle_peer_up(peer(HOSTILE).sender(), now);
        }
        world.link(true);
        world
    }

    fn link(&mut self, up: bool) {
        if std::mem::replace(&mut self.linked, up) == up {
            return;
        }
        let now = self.time();
        self.on_the_way.clear();
        for (n, other) in [(0, 1), (1, 0)] {
            match up {
                true => self.asks[n].handle_peer_up(peer(other).sender(), now),
                false => self.asks[n].handle_peer_down(peer(other).sender(), now),
            }
            self.drain(n);
        }
        self.carry();
    }

    fn ask(&mut self, n: usize, only: Option<usize>) {
        let peers = (0..=HOSTILE).filter(|other| self.are_linked(n, *other));
        let peers = peers.filter(|it| only.is_none_or(|only| only == *it));
        let peers: BTreeSet<Sender> = peers.map(|it| peer(it).sender()).collect();
        let far = (0..HONEST).filter(|it| *it != n && only.is_none_or(|only| only == *it));
        let far: BTreeSet<Sender> = far.map(|it| peer(it).sender()).collect();
        let whom = AskTargets {
            far: far.difference(&peers).copied().collect(),
            peers,
            untold: BTreeSet::new(),
            only: only.filter(|only| *only != n).map(|it| peer(it).sender()),
        };
        self.put(n, whom);
    }

    fn put(&mut self, n: usize, whom: AskTargets) {
        let new = NewQuestion {
            channel: channel(0),
            within: Duration::from_secs(5),
            format: Format::Raw,
            payload: Bytes::from_static(b"?"),
        };
        let (now, wall) = (self.time(), self.wall());
        // An error means that as many wait as may.
        let _ = self.asks[n].ask(new, whom, now, wall);
        self.drain(n);
        self.carry();
    }

    fn answer(&mut self, n: usize, which: usize) {
        let len = self.waiting[n].len().max(1);
        if let Some((asker, question)) = self.waiting[n].remove(which % len) {
            let now = self.time();
            self.asks[n].reply(asker, question, own_answer(n), now);
            self.drain(n);
            self.carry();
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut timeouts = 0;
        loop {
            let due = self.asks.iter().filter_map(Asks::poll_timeout).min();
            let due = due.map(Time::since_start).filter(|due| *due <= until);
            self.now = due.unwrap_or(until).max(self.now);
            let now = self.time();
            for n in 0..MEMBERS {
                self.asks[n].handle_timeout(now);
                assert!(self.asks[n].poll_timeout().is_none_or(|due| due > now));
                self.drain(n);
            }
            self.carry();
            timeouts += 1;
            assert!(timeouts < MOST, "timers go on and on");
            if due.is_none() {
                return;
            }
        }
    }

    fn replay(&mut self, to: usize, which: usize) {
        if let Some(said) = self.heard.get(which % self.heard.len().max(1)).cloned() {
            self.say(to, said);
        }
    }

    /// Hands on what is left, as an honest one between would.
    fn relay(&mut self, to: usize) {
        while let Some(said) = self.fresh.pop_front() {
            self.say(to, said);
        }
    }

    /// A member that is made up asks all, by the hostile one.
    fn made_up_asks(&mut self, to: usize, which: usize, hops: u8) {
        let made_up = HOSTILE + 1 + which % (MEMBERS - HOSTILE - 1);
        let far = BTreeSet::from([peer(to).sender()]);
        let whom = AskTargets {
            far,
            ..AskTargets::default()
        };
        self.put(made_up, whom);
        while let Some(said) = self.fresh.pop_front() {
            let said = match said {
                AskMessage::Relay(relayed) => AskMessage::Relay(Relayed { hops, ..relayed }),
                said => said,
            };
            self.say(to, said);
        }
    }

    /// And one answers, as soon as it is asked, what the hostile one was asked last.
    fn made_up_answers(&mut self, to: usize, which: usize) {
        let made_up = HOSTILE + 1 + which % (MEMBERS - HOSTILE - 1);
        let asked = self.heard.iter().rev();
        let mut asked = asked.filter(|it| matches!(it, AskMessage::Relay(_)));
        if let Some(asked) = asked.next().cloned() {
            let (now, wall) = (self.time(), self.wall());
            self.asks[made_up].handle_message(peer(HOSTILE).sender(), asked, now, wall);
            self.drain(made_up);
            self.relay(to);
        }
    }

    fn congest(&mut self, n: usize, which: usize) {
        let of = if which.is_multiple_of(4) {
            HOSTILE
        } else {
            (n + 1) % HONEST
        };
        self.asks[n].set_congested(peer(of).sender(), which.is_multiple_of(2));
    }

    fn say(&mut self, to: usize, said: AskMessage) {
        self.on_the_way.push_back((HOSTILE, to, said));
        self.carry();
    }

    /// All that is on its way arrives, which is not without an end.
    fn carry(&mut self) {
        for _ in 0..MOST {
            let Some((from, to, said)) = self.on_the_way.pop_front() else {
                return;
            };
            let (now, wall) = (self.time(), self.wall());
            self.asks[to].handle_message(peer(from).sender(), said, now, wall);
            self.drain(to);
        }
        panic!("what is said goes round and round");
    }

    fn drain(&mut self, n: usize) {
        let mut outputs = Vec::new();
        while let Some(output) = self.asks[n].poll_output() {
            outputs.push(output);
        }
        assert!(outputs.len() <= MOST, "{} outputs at once", outputs.len());
        for output in outputs {
            match output {
                AskOutput::Send(to, message) => self.send(n, to, message),
                AskOutput::Asked(asked) if n < HONEST => {
                    let question = (asked.asker, asked.question.number);
                    // By its own session it may ask the same again.
                    let again = !self.asked.insert((n, question.0, question.1));
                    assert!(!again || asked.asker == peer(HOSTILE).sender(), "twice");
                    self.waiting[n].push_back(question);
                }
                AskOutput::Asked(asked) => {
                    let (now, asker) = (self.time(), asked.asker);
                    self.asks[n].reply(asker, asked.question.number, own_answer(n), now);
                    self.drain(n);
                }
                AskOutput::Replied {
                    question,
                    of,
                    reply,
                    ..
                } if n < HONEST => {
                    assert!(!self.over.contains(&(n, question)), "it is over");
                    assert!(self.told.insert((n, question, of)), "it is told once");
                    let honest = (0..HONEST).find(|it| peer(*it).sender() == of);
                    if let (Some(of), Ok(reply @ Reply::Answer(..))) = (honest, reply) {
                        assert_eq!(reply, own_answer(of), "in its name");
                    }
                }
                AskOutput::Over { question, .. } if n < HONEST => {
                    assert!(self.over.insert((n, question)), "it is over once");
                }
                AskOutput::Misbehaved { peer: of, .. } => {
                    assert_eq!(of, peer(HOSTILE).sender(), "all others are honest");
                }
                AskOutput::Replied { .. } | AskOutput::Over { .. } | AskOutput::Withdrawn(..) => {}
            }
        }
    }

    fn send(&mut self, n: usize, to: Sender, message: AskMessage) {
        let to = (0..=HOSTILE).find(|other| peer(*other).sender() == to);
        match to.expect("to a peer") {
            HOSTILE => {
                if self.heard.len() < 256 {
                    self.heard.push(message.clone());
                }
                if self.fresh.len() < 256 {
                    self.fresh.push_back(message);
                }
            }
            honest => self.on_the_way.push_back((n, honest, message)),
        }
    }

    fn are_linked(&self, a: usize, b: usize) -> bool {
        a != b && (a == HOSTILE || b == HOSTILE || (self.linked && a + b == 1))
    }

    fn check(&self) {
        for (asks, budget) in self.asks.iter().zip(&self.budgets) {
            assert!(budget.used() <= budget.limit());
            assert!(asks.relayed() <= 256);
        }
    }

    /// Once time has passed nothing is left of all that.
    fn wind_down(&mut self) {
        for n in 0..HONEST {
            for of in 0..=HOSTILE {
                self.asks[n].set_congested(peer(of).sender(), false);
            }
        }
        for _ in 0..8 {
            // Handlers end at last, whether or not anybody waits for them.
            for n in 0..HONEST {
                while !self.waiting[n].is_empty() {
                    self.answer(n, 0);
                }
            }
            self.pass(Duration::from_secs(60));
        }
        for (asks, budget) in self.asks.iter().zip(&self.budgets) {
            assert_eq!((asks.relayed(), budget.used()), (0, 0));
            assert_eq!(asks.poll_timeout(), None);
        }
        for (n, question, _) in &self.told {
            assert!(self.over.contains(&(*n, *question)), "it comes to an end");
        }
    }

    fn time(&self) -> Time {
        Time::from_start(self.now)
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_millis(1 << 40) + self.now
    }
}

fn own_answer(n: usize) -> Reply {
    Reply::Answer(Format::Raw, vec![n as u8].into())
}

/// So little that scripts come to its end.
const BUDGET: usize = 256 << 10;

/// What one message may cause, and one step.
const MOST: usize = 4_096;

/// Scripts to set out from.
pub(crate) fn scripts() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        // One asks, all is handed on, answered and repeated, and the time passes.
        vec![
            0, 0, 6, 2, 6, 1, 2, 1, 2, 2, 6, 0, 6, 0, 4, 0, 5, 1, 17, 2, 29, 0, 4, 0, 4, 0,
        ],
        vec![1, 6, 6, 2, 2, 2, 6, 0, 1, 9, 6, 0, 6, 1, 3, 0, 15, 1, 27, 2],
        // Made-up members ask and answer, a peer reads slowly, a link breaks.
        vec![
            8, 0, 8, 1, 20, 4, 32, 5, 0, 0, 9, 0, 9, 3, 9, 7, 2, 0, 2, 1, 10, 0, 9, 0, 10, 3, 15, 0,
        ],
        vec![
            0, 0, 11, 3, 0, 1, 6, 2, 11, 0, 0, 2, 6, 0, 6, 1, 2, 0, 2, 1, 11, 3, 4, 0,
        ],
    ];
    // What is said by nobody of this world.
    for said in crate::seeds::sync_messages() {
        if said.first() == Some(&ASK) && said.len() < 256 {
            let mut script = vec![0, 0, 7, 0, said.len() as u8];
            script.extend(said);
            seeds.push(script);
        }
    }
    seeds
}

/// With what a message about questions begins.
const ASK: u8 = 8;
