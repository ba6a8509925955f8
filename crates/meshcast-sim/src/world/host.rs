//! A machine and the process that runs on it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use meshcast_proto::{
    ChannelName, Conduct, Engine, Identity, Member, NodeName, Output, Region, Sender,
    Since as From, SyncMessage, Time, Trust, Verdict,
};

use super::{
    World,
    gossip::Copied,
    latecomers::{Item, Late, Place, Seam},
    load::Section,
};
use crate::{
    at::At,
    log::{Digest, Event, Name, Since, Span},
    scenario::{Scenario, Step},
};

/// A machine.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    /// How many processes there were.
    pub(super) start: u32,
    pub(super) process: Option<Process>,
    /// It does nothing; what comes waits.
    pub(super) paused: bool,
    pub(super) backlog: Vec<Input>,
    /// The calls that it gets when it goes on.
    pub(super) deferred: Vec<Step>,
    /// How far its wall clock is off.
    pub(super) skew_ms: i64,
    /// How probably it loses gossip, fault by fault.
    pub(super) mute: Vec<f64>,
    /// Its links, and which end of each it is.
    pub(super) links: Vec<(usize, usize)>,
}

/// A process: one start of a node.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) name: Name,
    pub(super) engine: Engine,
    /// How its peers behave, in its eyes.
    pub(super) conduct: Conduct,
    pub(super) member: Arc<Member>,
    started: At,
    /// The reading of its clock when it started: another number for each.
    clock: Time,
    /// When it will be called.
    pub(super) wake: At,
    /// The number of times in a row that it was called and wanted to be called again at once.
    pub(super) idle_wakes: u32,
    /// Its objects, by the place of their channel.
    pub(super) objects: BTreeMap<usize, Vec<u64>>,
    /// Posts that wait until they may be posted, by the place of their channel.
    pub(super) outbox: BTreeMap<usize, VecDeque<Section>>,
    pub(super) next_object: u64,
    /// Those who came late, each by its look back.
    pub(super) late: BTreeMap<u64, Late>,
    /// The numbers left out of what is delivered to those, or owed to them.
    pub(super) seams: BTreeMap<(u64, Sender), Seam>,
    /// When gossip uses a channel that was opened.
    pub(super) announced: BTreeMap<usize, At>,
    /// Peers to which it gossips nothing since they do not keep up.
    pub(super) lazy_peers: BTreeSet<Sender>,
    /// Which gossip messages it has seen, by their place.
    pub(super) seen: Vec<u64>,
}

/// What comes to a process from outside.
#[derive(Debug)]
pub(super) enum Input {
    Gossip(Copied),
    Sync {
        peer: Sender,
        bytes: Bytes,
    },
    Up {
        link: usize,
        end: usize,
        conn: u64,
    },
    Down {
        link: usize,
        end: usize,
        peer: Sender,
    },
}

impl Host {
    pub(super) fn new(scenario: &Scenario, index: usize) -> Self {
        Self {
            name: scenario.node_name(index),
            start: 0,
            process: None,
            paused: false,
            backlog: Vec::new(),
            deferred: Vec::new(),
            skew_ms: 0,
            mute: Vec::new(),
            links: Vec::new(),
        }
    }

    pub(super) fn sender(&self) -> Option<Sender> {
        self.process.as_ref().map(|process| process.member.sender())
    }

    /// How probably a hop from or to here loses gossip.
    pub(super) fn loss(&self) -> f64 {
        self.mute.iter().copied().fold(0.0, f64::max)
    }
}

impl Process {
    /// The time by its own clock.
    pub(super) fn time(&self, at: At) -> Time {
        self.clock + at.since(self.started)
    }

    /// The time in the world that its clock shows as that.
    pub(super) fn at(&self, time: Time) -> At {
        // Rounded up, so that it is not called too early.
        self.started + (time.saturating_since(self.clock) + Duration::from_nanos(999))
    }

    /// Whether a gossip message is new here.
    pub(super) fn see(&mut self, message: usize) -> bool {
        let (word, bit) = (message / 64, 1 << (message % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }

    pub(super) fn is_open(&self, channel: usize) -> bool {
        self.objects
            .get(&channel)
            .is_some_and(|objects| !objects.is_empty())
    }
}

impl World<'_> {
    /// Starts a process, unless one runs.
    pub(super) fn start(&mut self, index: usize, since: Since) {
        if self.hosts[index].process.is_some() {
            return;
        }
        let mut entropy = [0; 64];
        entropy.copy_from_slice(&self.rng.bytes(64));
        let (host, region) = (&self.hosts[index], self.scenario.region(index));
        let (Ok(name), Ok(region)) = (NodeName::new(&host.name), Region::new(region)) else {
            self.defects.push(format!("{} is no name", host.name));
            return;
        };
        let identity = Identity::from_mesh_key(&self.key, name, region, entropy, self.wall(index));
        let Ok(member) = Trust::from(&self.key).verify(identity.chain().as_bytes()) else {
            self.defects
                .push(format!("{} is no member", self.hosts[index].name));
            return;
        };
        let member = Arc::new(member);
        let host = &mut self.hosts[index];
        host.start += 1;
        host.paused = false;
        host.backlog.clear();
        host.deferred.clear();
        let name = Name::from(format!("{}.{}", host.name, host.start).as_str());
        self.names.insert(member.sender(), name.clone());
        let seed = self.rng.word();
        host.process = Some(Process {
            name: name.clone(),
            engine: Engine::new(self.config.clone(), identity, Arc::clone(&member), seed),
            conduct: Conduct::default(),
            member,
            started: self.now,
            clock: Time::from_start(Duration::from_micros(self.rng.below(1_000_000_000))),
            wake: At::NEVER,
            idle_wakes: 0,
            objects: BTreeMap::new(),
            outbox: BTreeMap::new(),
            next_object: 1,
            late: BTreeMap::new(),
            seams: BTreeMap::new(),
            announced: BTreeMap::new(),
            lazy_peers: BTreeSet::new(),
            seen: Vec::new(),
        });
        self.note(name, Event::Start);
        for channel in 0..self.channels.len() {
            for _ in 0..self.scenario.load.objects {
                self.open(index, channel, since);
            }
        }
        self.dial_all(index);
    }

    /// Opens one more object.
    pub(super) fn open(&mut self, index: usize, channel: usize, since: Since) {
        let warmup = self.rng.below(self.scenario.network.warmup_ms * 1000 + 1);
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        let object = process.next_object;
        process.next_object += 1;
        let objects = process.objects.entry(channel).or_default();
        objects.push(object);
        let first = objects.len() == 1;
        let name = process.name.clone();
        let (opened, logged) = (&self.channels[channel].name, &self.channels[channel].logged);
        let event = Event::Open {
            object,
            channel: logged.clone(),
            since,
        };
        if first {
            process
                .announced
                .insert(channel, self.now + Duration::from_micros(warmup));
            let opened = opened.clone();
            self.watch_process(index, |_| format!("opens {opened:?} {since:?}"));
            self.note(name, event);
            let mut refused = None;
            self.with_engine(index, |engine, now, _| {
                refused = engine.handle_open(&opened, from(since), now).err();
            });
            if let Some(error) = refused {
                self.defects
                    .push(format!("{}: opening failed: {error}", self.now));
            }
        } else {
            // It hears what the first one hears.
            self.note(name, event);
        }
    }

    /// Closes all objects on a channel.
    pub(super) fn close(&mut self, index: usize, channel: usize) {
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        let Some(objects) = process.objects.remove(&channel) else {
            return;
        };
        let name = process.name.clone();
        process.late.retain(|_, late| late.channel() != channel);
        for object in objects {
            let channel = self.channels[channel].logged.clone();
            self.note(name.clone(), Event::Close { object, channel });
        }
        let closed = self.channels[channel].name.clone();
        self.watch_process(index, |_| format!("closes {closed:?}"));
        self.with_engine(index, |engine, _, _| engine.handle_close(&closed));
    }

    /// Readers fall behind on all channels, or have caught up. A process that stands still finds
    /// that out later, by what it reads then: it is as if they never were.
    pub(super) fn readers(&mut self, index: usize, behind: bool) {
        if self.hosts[index].paused {
            return;
        }
        for channel in 0..self.channels.len() {
            let name = self.channels[channel].name.clone();
            self.with_engine(index, |engine, now, _| {
                engine.handle_readers_behind(&name, behind, now);
            });
        }
    }

    /// Lets a process take in what came for it.
    pub(super) fn take(&mut self, index: usize, input: Input) {
        match input {
            Input::Gossip(copy) => self.hear(index, copy),
            Input::Sync { peer, bytes } => {
                let message = match SyncMessage::decode(&bytes) {
                    Ok(message) => message,
                    Err(error) => {
                        self.defects
                            .push(format!("{}: sync message: {error}", self.now));
                        return;
                    }
                };
                self.watch_process(index, |name| format!("◀ {}: {message:?}", name(peer)));
                let wall = self.wall(index);
                self.with_engine(index, |engine, now, vouch| {
                    engine.handle_sync(peer, message, now, wall, |frames| {
                        vouch.members(frames, wall)
                    });
                });
            }
            Input::Up { link, end, conn } => self.see_up(link, end, conn),
            Input::Down { link, end, peer } => self.see_down(link, end, peer),
        }
    }

    /// Does what an engine wants.
    pub(super) fn put_out(&mut self, index: usize, output: Output) {
        self.watch_process(index, |name| match &output {
            Output::Sync(peer, message) => format!("▶ {}: {message:?}", name(*peer)),
            other => format!("{other:?}"),
        });
        match output {
            Output::Publish(frame) => self.publish(index, frame),
            Output::Forward(forward) => self.forward(index, &forward),
            // Gossip that is lost here is lost by chance: a new link would lose as much.
            Output::Mute(_) => {}
            Output::Sync(peer, message) => self.send(index, peer, &message),
            Output::Writable(channel) => self.post_held_up(index, &channel),
            Output::Lagging { peer, lags } => {
                if let Some(process) = &mut self.hosts[index].process {
                    if lags {
                        process.lazy_peers.insert(peer);
                    } else {
                        process.lazy_peers.remove(&peer);
                    }
                }
            }
            // Clocks differ, so that this may be told of an honest sender.
            Output::Stale { .. } | Output::NoRoom { .. } => {}
            Output::Backfilled(_, backfilled) => self.begin_late(index, &backfilled),
            // Nobody here does. Bad luck may look like it once, but must not slow anybody down.
            Output::Misbehaved { peer, offence } => {
                let now = self.now;
                let Some(process) = self.hosts[index].process.as_mut() else {
                    return;
                };
                let time = process.time(now);
                let conduct = &mut process.conduct;
                conduct.handle_timeout(time);
                conduct.handle_offence(peer, offence, 1, time);
                let verdicts = std::iter::from_fn(|| conduct.poll_verdict());
                let slows = |it| matches!(it, Verdict::Throttle { .. } | Verdict::Cut { .. });
                // To the last: one that is left would be taken for the next.
                if verdicts.filter(|it| slows(*it)).count() == 0 {
                    return;
                }
                let name = &self.hosts[index].name;
                let peer = self.names.get(&peer).map_or("somebody", Name::as_str);
                self.defects.push(format!(
                    "{now}: {name} throttles {peer}, which is honest: {}",
                    offence.as_str()
                ));
            }
            Output::Deliver(channel, delivery) => {
                let Some((process, objects, logged)) = self.objects(index, &channel) else {
                    return;
                };
                if objects.is_empty() {
                    self.defects.push(format!(
                        "{}: {process} delivers on {logged}, which is closed",
                        self.now
                    ));
                }
                let sender = delivery.member.sender();
                for value in delivery.into_values() {
                    let (seqs, hash) = (value.seqs, Digest::of(&value.payload));
                    // Nothing comes back to the object that posted it.
                    let own = self
                        .load
                        .posting
                        .filter(|_| self.names.get(&sender) == Some(&process));
                    for object in objects.iter().filter(|object| own != Some(**object)) {
                        let place = Place {
                            index,
                            object: *object,
                            channel: &channel,
                        };
                        self.hand(place, sender, Item::Value(seqs, hash));
                    }
                }
            }
            Output::Missed(channel, gap) => {
                let Some((_, objects, _)) = self.objects(index, &channel) else {
                    return;
                };
                for object in objects {
                    let place = Place {
                        index,
                        object,
                        channel: &channel,
                    };
                    self.hand(place, gap.member.sender(), Item::Missed(gap.missed));
                }
            }
        }
    }

    /// Counts what the engine of a process did, which is about to end.
    pub(super) fn retire(&mut self, index: usize) {
        if let Some(process) = &self.hosts[index].process {
            let counters = process.engine.counters();
            self.traffic.repaired += counters.frames_repaired;
            self.traffic.requests += counters.requests;
            self.traffic.refused += counters.answers_refused;
        }
    }

    /// The process of a host, its objects on a channel, and the name of that in the log.
    pub(super) fn objects(
        &self,
        index: usize,
        channel: &ChannelName,
    ) -> Option<(Name, Vec<u64>, Name)> {
        let process = self.hosts[index].process.as_ref()?;
        let place = self
            .channels
            .iter()
            .position(|known| known.name == *channel)?;
        let objects = process.objects.get(&place).cloned().unwrap_or_default();
        Some((
            process.name.clone(),
            objects,
            self.channels[place].logged.clone(),
        ))
    }

    /// Who keeps what of these numbers.
    pub(super) fn kept(
        &self,
        channel: &ChannelName,
        sender: Sender,
        seqs: meshcast_proto::SeqRange,
    ) -> Vec<(Name, Span)> {
        let processes = self.hosts.iter().filter_map(|host| host.process.as_ref());
        let spans = processes.flat_map(|process| {
            let frames = process.engine.history().frames(channel, sender, seqs);
            frames.map(|kept| (process.name.clone(), span(kept.seqs)))
        });
        let mut kept: Vec<(Name, Span)> = Vec::new();
        for (name, span) in spans {
            match kept.last_mut() {
                Some((last, run)) if *last == name && run.last + 1 == span.first => {
                    run.last = span.last
                }
                _ => kept.push((name, span)),
            }
        }
        kept
    }
}

pub(super) fn span(seqs: meshcast_proto::SeqRange) -> Span {
    Span::new(seqs.first().get(), seqs.last().get())
}

pub(super) const fn from(since: Since) -> From {
    match since {
        Since::Now => From::Now,
        Since::For(micros) => From::Ago(Duration::from_micros(micros)),
        Since::Last(count) => From::Last(count),
    }
}
