//! A mesh of engines in virtual time.
//!
//! Nodes are real engines with real keys; what is between them is made up. A queue of actions in
//! the order of time drives everything, and a seed decides what chance decides, so a run can be
//! repeated to the last bit.
//!
//! ```text
//! load, script ─▸ Host: Engine ─▸ Publish ─▸ gossip: from peer to peer, lost, twice, out of order
//!                   ▴               │
//!                   │               └▸ Sync ─▸ link: in order, with a bandwidth, held up, broken,
//!                   └──────────────────────────┘     redialled
//! ```

mod faults;
mod gossip;
mod host;
mod latecomers;
mod link;
mod load;
mod plan;
mod trace;
mod vouch;

use std::{collections::BTreeMap, time::Duration};

use meshcast_proto::{ChannelName, Config, Engine, MeshKey, Sender, Time, WallTime};

use self::{
    gossip::Messages,
    host::{Host, Input},
    link::Link,
    load::Load,
    plan::{Action, Plan},
    trace::Trace,
    vouch::Vouch,
};
use crate::{
    at::At,
    log::{Entry, Event, Name},
    rng::Rng,
    scenario::{Scenario, Script, Step},
};

/// A world, on its way through a scenario.
#[derive(Debug)]
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    config: Config,
    key: MeshKey,
    now: At,
    plan: Plan,
    hosts: Vec<Host>,
    links: Vec<Link>,
    /// By sender, the name its process has in the log.
    names: BTreeMap<Sender, Name>,
    channels: Vec<Channel>,
    messages: Messages,
    script: Vec<Option<Step>>,
    load: Load,
    vouch: Vouch,
    /// Decides what happens on the way; the load and the faults have chances of their own.
    rng: Rng,
    trace: Trace,
    pub(crate) log: Vec<Entry>,
    pub(crate) traffic: Traffic,
    /// Possible faults besides those that the log tells.
    pub(crate) defects: Vec<String>,
    /// The watched process, and all that its engine is told and says.
    pub(crate) watched: Option<Watched>,
}

/// What a process does, line by line.
#[derive(Debug)]
pub(crate) struct Watched {
    process: Name,
    pub(crate) lines: Vec<String>,
}

impl Watched {
    pub(crate) fn new(process: &str) -> Self {
        Self {
            process: process.into(),
            lines: Vec::new(),
        }
    }
}

/// A channel, in both its forms.
#[derive(Debug)]
struct Channel {
    name: ChannelName,
    logged: Name,
}

/// How much travelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames published.
    pub frames: u64,
    /// Copies of them that arrived somewhere.
    pub copies: u64,
    /// Their bytes.
    pub copy_bytes: u64,
    /// Sync messages sent.
    pub sync_messages: u64,
    /// Their bytes.
    pub sync_bytes: u64,
    /// The most that waited on one link to be sent, in bytes.
    pub waiting: u64,
    /// Frames that came as an answer and were news.
    pub repaired: u64,
    /// Times anybody asked for frames.
    pub requests: u64,
    /// Answers that came too late, so that they were not taken.
    pub refused: u64,
    /// Connections closed because too much waited on them.
    pub overflows: u64,
    /// Copies that were not sent because the peer did not keep up, or had not for a moment.
    pub withheld: u64,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let faults = scenario.all_faults(&mut rng.fork(1));
        let Script { steps, calm } = Script::of(scenario, &faults);
        let mut entropy = [0; 48];
        entropy.copy_from_slice(&rng.bytes(48));
        let key = MeshKey::from_entropy(entropy);
        let channel = |name: &String| {
            Some(Channel {
                name: ChannelName::new(name).ok()?,
                logged: name.as_str().into(),
            })
        };
        let mut world = Self {
            scenario,
            config: scenario.memory.config(),
            vouch: Vouch::new(&key, scenario.memory.age),
            key,
            now: At::ZERO,
            plan: Plan::default(),
            hosts: (0..scenario.nodes)
                .map(|index| Host::new(scenario, index))
                .collect(),
            links: Vec::new(),
            names: BTreeMap::new(),
            channels: scenario.load.channels.iter().filter_map(channel).collect(),
            messages: Messages::default(),
            script: Vec::new(),
            load: Load::new(scenario, rng.fork(2)),
            rng: rng.fork(3),
            trace: Trace::default(),
            log: Vec::new(),
            traffic: Traffic::default(),
            defects: Vec::new(),
            watched: None,
        };
        world.lay_links();
        for (at, step) in steps {
            world.plan(at, Action::Step(world.script.len()));
            world.script.push(Some(step));
        }
        let posted = At::ZERO + scenario.duration;
        world.plan(calm, Action::Calm);
        world.plan(calm.max(posted) + scenario.settle, Action::Finish);
        world.plan(At::from_secs(1), Action::Sample);
        for host in 0..scenario.nodes {
            world.plan_post(host);
        }
        world
    }

    /// Runs to the end. Returns the hash of all that happened.
    pub(crate) fn run(&mut self) -> String {
        while let Some((at, action)) = self.plan.next() {
            self.now = at;
            if action == Action::Finish {
                self.note("world", Event::Finish);
                break;
            }
            self.act(action);
        }
        for index in 0..self.hosts.len() {
            self.retire(index);
        }
        self.trace.finish()
    }

    fn act(&mut self, action: Action) {
        self.trace.action(self.now, &action);
        match action {
            Action::Step(index) => {
                if let Some(step) = self.script.get_mut(index).and_then(Option::take) {
                    self.step(step);
                }
            }
            Action::Wake { host, start } => self.wake(host, start),
            Action::Post(host) => {
                self.post_next(host);
                self.plan_post(host);
            }
            Action::Burst {
                host,
                start,
                values,
                size,
            } => self.burst(host, start, values, size),
            Action::Gossip { conn, copy } => self.gossip_arrives(conn, copy),
            Action::Sync { link, end, conn } => self.sync_arrives(link, end, conn),
            Action::Up { link, end, conn } => self.link_up(link, end, conn),
            Action::Down { link, end, peer } => self.link_down(link, end, peer),
            Action::Detect { link, conn, since } => self.detect(link, conn, since),
            Action::Dial(link) => self.dial(link),
            Action::Sample => self.sample(),
            Action::Calm => self.calm(),
            Action::Finish => {}
        }
    }

    fn plan(&mut self, at: At, action: Action) {
        self.plan.add(at, action);
    }

    fn plan_in(&mut self, delay: Duration, action: Action) {
        self.plan(self.now + delay, action);
    }

    /// Hands something to the process of a host: now, or when it goes on.
    fn give(&mut self, index: usize, input: Input) {
        let host = &mut self.hosts[index];
        if host.paused {
            host.backlog.push(input);
        } else {
            self.take(index, input);
        }
    }

    /// Lets an engine do something, and does what it wants in return.
    fn with_engine(&mut self, index: usize, act: impl FnOnce(&mut Engine, Time, &mut Vouch)) {
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        let now = process.time(self.now);
        act(&mut process.engine, now, &mut self.vouch);
        self.drain(index);
        if self.follow_expecting(index) {
            self.drain(index);
        }
        self.plan_wake(index);
    }

    /// Does what an engine wants.
    fn drain(&mut self, index: usize) {
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        let outputs: Vec<_> = std::iter::from_fn(|| process.engine.poll_output()).collect();
        for output in outputs {
            self.put_out(index, output);
        }
    }

    /// Calls an engine when it wants to be called, but not before it can go on.
    fn plan_wake(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let Some(process) = host.process.as_mut().filter(|_| !host.paused) else {
            return;
        };
        let Some(due) = process.engine.poll_timeout() else {
            process.wake = At::NEVER;
            return;
        };
        let due = process.at(due).max(self.now);
        if due != process.wake || due == self.now {
            process.wake = due;
            let start = host.start;
            self.plan(due, Action::Wake { host: index, start });
        }
    }

    fn wake(&mut self, index: usize, start: u32) {
        let host = &mut self.hosts[index];
        let Some(process) = host.process.as_mut().filter(|_| !host.paused) else {
            return;
        };
        if host.start != start || process.wake != self.now {
            return;
        }
        self.time_out(index);
    }

    fn time_out(&mut self, index: usize) {
        self.with_engine(index, |engine, now, _| engine.handle_timeout(now));
        let now = self.now;
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        let due = process.engine.poll_timeout().map(|due| process.at(due));
        if due.is_some_and(|due| due <= now) {
            process.idle_wakes += 1;
            if process.idle_wakes == MAX_IDLE_WAKES {
                let name = process.name.clone();
                self.defects.push(format!(
                    "{now}: {name} wants to be called again and again, now"
                ));
            }
            // Slower than it wants, so that the run comes to an end.
            if process.idle_wakes >= MAX_IDLE_WAKES {
                let later = now + Duration::from_millis(100);
                process.wake = later;
                let start = self.hosts[index].start;
                self.plan(later, Action::Wake { host: index, start });
            }
        } else {
            process.idle_wakes = 0;
        }
    }

    fn note(&mut self, process: impl Into<Name>, event: Event) {
        let entry = Entry {
            t: self.now,
            process: process.into(),
            event,
        };
        self.trace.entry(&entry);
        self.log.push(entry);
    }

    /// Writes down what a process does, if it is watched.
    fn watch_process(
        &mut self,
        index: usize,
        what: impl FnOnce(&dyn Fn(Sender) -> Name) -> String,
    ) {
        let (Some(watched), Some(process)) = (&mut self.watched, &self.hosts[index].process) else {
            return;
        };
        if process.name == watched.process {
            let names = &self.names;
            let name = |sender: Sender| names.get(&sender).cloned().unwrap_or_else(|| "?".into());
            watched.lines.push(format!("{} {}", self.now, what(&name)));
        }
    }

    fn sample(&mut self) {
        for index in 0..self.hosts.len() {
            if let Some(process) = &self.hosts[index].process {
                let held = process.engine.budget().used() as u64;
                let history = process.engine.history().bytes() as u64;
                let name = process.name.clone();
                self.note(name, Event::Sample { held, history });
            }
        }
        self.plan_in(Duration::from_secs(1), Action::Sample);
    }

    /// The wall clock of a host.
    fn wall(&self, index: usize) -> WallTime {
        let skew = self.hosts[index].skew_ms;
        let millis = (WALL_START + self.now.micros() / 1000).saturating_add_signed(skew);
        WallTime::from_unix_millis(millis)
    }
}

/// The wall clock at the beginning: some day of 2026.
const WALL_START: u64 = 1_767_225_600_000;

/// How often an engine may want to be called at one moment without anything coming in.
const MAX_IDLE_WAKES: u32 = 100;

#[cfg(test)]
mod tests;
