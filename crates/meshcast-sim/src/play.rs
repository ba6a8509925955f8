//! A scenario as deeds, for real nodes in real time. It decides what is to be done and when, and
//! does nothing itself.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    num::NonZeroU64,
    time::Duration,
};

use meshcast::{
    Bytes,
    netem::{Place, Shape},
};

use crate::{
    checker::Rules,
    cluster::{Cluster, ClusterBuilder, ClusterError, Death, PostFailed},
    log::Since,
    rng::Rng,
    scenario::{Fault, Kind, Mark, Scenario, Script, Step, fault_chance},
};

/// What is to be done to a [`Cluster`], and when. An iterator, in the order of time.
///
/// Real nodes do what their code does, so some of a scenario is of virtual time alone:
///
/// * Faults of the kinds `mute` and `clock` are [refused](NotPlayable): nodes of one process have
///   one clock, and links lose what is on them whatever it is. Chance draws among the
///   [others](Self::KINDS).
/// * All nodes are linked, and have the memory that nodes have. [`Self::left_out`] names what of a
///   scenario that leaves out.
/// * All is posted on the first channel of the load, by one object a node. A value that is larger
///   than 60,000 bytes is cut there.
/// * `loss` is that of [packets](meshcast::netem), not of messages.
#[derive(Debug)]
pub struct Play {
    scenario: Scenario,
    marks: Vec<Mark>,
    left_out: Vec<&'static str>,
    seed: u64,
    steps: VecDeque<(Duration, Step)>,
    /// When each node posts next.
    posts: BinaryHeap<Reverse<(Duration, usize)>>,
    /// The rest of each burst: when the next of it is posted, who, how many, how large.
    bursts: BinaryHeap<Reverse<(Duration, usize, u64, usize)>>,
    /// How often each way is cut.
    cuts: BTreeMap<(usize, usize), u32>,
    calm: Option<Duration>,
    rng: Rng,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    /// When, after the start.
    pub at: Duration,
    /// What.
    pub kind: DeedKind,
}

/// What is to be done. Nodes are named.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DeedKind {
    /// Links are cut silently, each in one direction.
    Cut(Vec<(String, String)>),
    /// They are mended.
    Mend(Vec<(String, String)>),
    /// A node starts, for the first time or again, and hears from then on.
    Start(String, Since),
    /// A node ends without being asked.
    Kill(String, Death),
    /// A node stands still.
    Pause(String),
    /// It goes on.
    Resume(String),
    /// Readers at these nodes stop, or go on (`true`).
    Read(Vec<String>, bool),
    /// A node closes the channel.
    Close(String),
    /// It opens it again, and hears from then on.
    Open(String, Since),
    /// A node makes one more object on the channel, for what was before.
    LookBack(String, Since),
    /// A node posts, if it runs.
    Post(String, Bytes),
    /// The faults are over.
    Calm,
}

/// Why a scenario is not for real nodes.
#[derive(Debug, thiserror::Error)]
#[error(
    "a fault of the kind {kind} is of virtual time alone (`meshcast sim run`); on real nodes there \
     are partition, flap, one_way, crash, pause, slow, reopen, look_back, join and burst"
)]
pub struct NotPlayable {
    /// The kind of the fault.
    pub kind: &'static str,
}

impl Play {
    /// Faults that chance may choose for real nodes.
    pub const KINDS: [Kind; 8] = [
        Kind::Partition,
        Kind::Flap,
        Kind::OneWay,
        Kind::Crash,
        Kind::Pause,
        Kind::Slow,
        Kind::Reopen,
        Kind::Burst,
    ];

    /// The deeds of a scenario; the seed decides what chance decides.
    ///
    /// # Errors
    /// [`NotPlayable`] names a fault that cannot be had.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Self, NotPlayable> {
        let mut scenario = scenario.clone();
        let mut left_out = scenario.virtual_settings();
        if let Some(random) = &mut scenario.random {
            let before = random.kinds.len();
            random.kinds.retain(|kind| Self::KINDS.contains(kind));
            if random.kinds.len() < before {
                left_out.push("mute and clock among random.kinds");
            }
        }
        let faults = scenario.all_faults(&mut fault_chance(seed));
        if let Some(kind) = faults.iter().find_map(virtual_kind) {
            return Err(NotPlayable { kind });
        }
        let Script { mut steps, calm } = Script::of(&scenario, &faults);
        let all = steps.len();
        steps.retain(|(_, step)| match step {
            Step::Close(_, channel) | Step::Open(_, channel, _) | Step::LookBack(_, channel, _) => {
                scenario.load.channels.first() == Some(channel)
            }
            _ => true,
        });
        if steps.len() < all {
            left_out.push("faults on channels after the first");
        }
        let mut rng = Rng::new(seed).fork(2);
        let rate = scenario.load.rate / scenario.nodes as f64;
        let mut posts = BinaryHeap::new();
        if rate > 0.0 {
            let pause = pause(&scenario);
            posts.extend((0..scenario.nodes).map(|node| Reverse((rng.about(pause), node))));
        }
        let steps = steps.into_iter();
        Ok(Self {
            marks: scenario.marks(seed),
            left_out,
            seed,
            steps: steps.map(|(at, step)| (at.since_start(), step)).collect(),
            posts,
            bursts: BinaryHeap::new(),
            cuts: BTreeMap::new(),
            calm: Some(calm.since_start()),
            rng,
            scenario,
        })
    }

    /// The scenario as it is played.
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The seed of random choices.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// What goes wrong, for people.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Settings of the scenario that real nodes do not have, by their names in the file.
    pub fn left_out(&self) -> &[&'static str] {
        &self.left_out
    }

    /// What its log is held against.
    pub fn rules(&self) -> Rules {
        let Rules { early, bound, .. } = self.scenario.rules();
        Rules {
            early,
            bound,
            ..Rules::default()
        }
    }

    /// The nodes that are there from the beginning. They are no deeds any more then.
    pub fn take_first(&mut self) -> Vec<(String, Since)> {
        let mut first = Vec::new();
        while let Some((Duration::ZERO, Step::Start(node, since))) = self.steps.front() {
            first.push((self.scenario.node_name(*node), *since));
            self.steps.pop_front();
        }
        first
    }

    /// Names and regions of the nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (String, &str)> {
        (0..self.scenario.nodes)
            .map(|node| (self.scenario.node_name(node), self.scenario.region(node)))
    }

    /// What the links are like between each two regions, and within each.
    pub fn links(&self) -> Vec<(&str, &str, Shape)> {
        let network = &self.scenario.network;
        let regions = &self.scenario.regions;
        let bandwidth = NonZeroU64::new(network.bandwidth);
        let mut links = Vec::new();
        for (i, a) in regions.iter().enumerate() {
            for b in &regions[i..] {
                let delay = network.one_way(a, b);
                let jitter = delay.mul_f64(network.jitter.clamp(0.0, 1.0));
                let mut shape = Shape::delay(delay).jitter(jitter).loss(network.loss);
                shape.bandwidth = bandwidth;
                links.push((a.as_str(), b.as_str(), shape));
            }
        }
        links
    }

    /// A cluster of these nodes and links, that writes down what is posted and heard. Of its nodes
    /// only those are to be started that a [`DeedKind::Start`] names.
    ///
    /// # Errors
    /// [`ClusterError::Label`] if a region cannot be called so.
    pub fn cluster(&self) -> Result<ClusterBuilder, ClusterError> {
        let mut builder = Cluster::builder(self.seed);
        for (name, region) in self.nodes() {
            builder = builder.node(&name, region)?;
        }
        for (a, b, shape) in self.links() {
            let (a, b) = (Place::region(a)?, Place::region(b)?);
            builder.links().shape_both(&a, &b, shape);
        }
        let channel = self.scenario.load.channels.first();
        Ok(builder.record(channel.map_or("earth", String::as_str)))
    }

    fn name(&self, node: usize) -> String {
        self.scenario.node_name(node)
    }

    fn due(&self) -> Option<(Duration, Next)> {
        let step = self.steps.front().map(|(at, _)| (*at, Next::Step));
        let burst = self.bursts.peek();
        let burst = burst.map(|Reverse((at, ..))| (*at, Next::Burst));
        let post = self.posts.peek().map(|Reverse((at, _))| (*at, Next::Post));
        let post = post.filter(|(at, _)| *at < self.scenario.duration);
        let calm = self.calm.map(|at| (at, Next::Calm));
        [step, burst, post, calm].into_iter().flatten().min()
    }

    fn step(&mut self, at: Duration, step: Step) -> Option<DeedKind> {
        Some(match step {
            Step::Block(pairs) => {
                let new = |pair: &(usize, usize)| {
                    let times = self.cuts.entry(*pair).or_default();
                    *times += 1;
                    *times == 1
                };
                let pairs: Vec<_> = pairs.into_iter().filter(new).collect();
                DeedKind::Cut(self.names(pairs))
            }
            Step::Unblock(pairs) => {
                let over = |pair: &(usize, usize)| {
                    let times = self.cuts.entry(*pair).or_default();
                    *times = times.saturating_sub(1);
                    *times == 0
                };
                let pairs: Vec<_> = pairs.into_iter().filter(over).collect();
                DeedKind::Mend(self.names(pairs))
            }
            Step::Start(node, since) => DeedKind::Start(self.name(node), since),
            Step::Crash { node, silent } => {
                let death = if silent { Death::Vanish } else { Death::Crash };
                DeedKind::Kill(self.name(node), death)
            }
            Step::Pause(node) => DeedKind::Pause(self.name(node)),
            Step::Resume(node) => DeedKind::Resume(self.name(node)),
            Step::Burst { node, values, size } => {
                self.bursts.push(Reverse((at, node, values, size)));
                return None;
            }
            Step::Slow(nodes, behind) => {
                let names = nodes.into_iter().map(|node| self.name(node));
                DeedKind::Read(names.collect(), !behind)
            }
            Step::Close(node, _) => DeedKind::Close(self.name(node)),
            Step::Open(node, _, since) => DeedKind::Open(self.name(node), since),
            Step::LookBack(node, _, since) => DeedKind::LookBack(self.name(node), since),
            // Refused when it was made.
            Step::Mute(..) | Step::Unmute(..) | Step::Clock(..) => return None,
        })
    }

    fn names(&self, pairs: Vec<(usize, usize)>) -> Vec<(String, String)> {
        let pairs = pairs.into_iter();
        pairs.map(|(a, b)| (self.name(a), self.name(b))).collect()
    }

    fn value(&mut self) -> Bytes {
        let sizes = &self.scenario.load.sizes;
        let mut pick = self.rng.below(sizes.iter().map(|size| size.weight).sum());
        let size = sizes.iter().find(|size| {
            let here = pick < size.weight;
            pick = pick.saturating_sub(size.weight);
            here
        });
        let range = size.map_or(0..1, |size| size.min as u64..size.max as u64 + 1);
        let len = self.rng.within(range).min(MAX_VALUE as u64);
        self.rng.bytes(len as usize).into()
    }
}

impl Iterator for Play {
    type Item = Deed;

    fn next(&mut self) -> Option<Deed> {
        loop {
            let (at, next) = self.due()?;
            let kind = match next {
                Next::Step => {
                    let (at, step) = self.steps.pop_front()?;
                    self.step(at, step)
                }
                Next::Burst => {
                    let Reverse((at, node, values, size)) = self.bursts.pop()?;
                    if values > 1 {
                        let later = at + BURST_PAUSE;
                        self.bursts.push(Reverse((later, node, values - 1, size)));
                    }
                    let value = self.rng.bytes(size.min(MAX_VALUE));
                    (values > 0).then(|| DeedKind::Post(self.name(node), value.into()))
                }
                Next::Post => {
                    let Reverse((at, node)) = self.posts.pop()?;
                    let later = at + self.rng.about(pause(&self.scenario));
                    self.posts.push(Reverse((later, node)));
                    Some(DeedKind::Post(self.name(node), self.value()))
                }
                Next::Calm => {
                    self.calm = None;
                    Some(DeedKind::Calm)
                }
            };
            if let Some(kind) = kind {
                return Some(Deed { at, kind });
            }
        }
    }
}

/// What comes next. Of what is due at the same time in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Step,
    Calm,
    Burst,
    Post,
}

impl Cluster {
    /// Does what a [`Play`] says; waits for nodes that start or end, not for the time to come. A
    /// post is skipped if its node does not run.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn perform(&mut self, deed: DeedKind) -> Result<(), ClusterError> {
        match deed {
            DeedKind::Cut(ways) => ways.iter().try_for_each(|(a, b)| self.one_way(a, b)),
            DeedKind::Mend(ways) => ways.iter().try_for_each(|(a, b)| {
                let (a, b) = (self.place(a)?, self.place(b)?);
                self.links().mend(&a, &b);
                Ok(())
            }),
            DeedKind::Start(node, since) => {
                self.hear_since(&node, since)?;
                self.restart(&node).await
            }
            DeedKind::Read(nodes, reads) => nodes.iter().try_for_each(|it| self.read(it, reads)),
            DeedKind::Close(node) => self.close(&node),
            DeedKind::Open(node, since) => self.open(&node, since),
            DeedKind::LookBack(node, since) => self.look_back(&node, since),
            DeedKind::Kill(node, death) => self.kill(&node, death).await,
            DeedKind::Pause(node) => self.pause(&node),
            DeedKind::Resume(node) => self.resume(&node),
            DeedKind::Post(node, data) => match self.post(&node, data) {
                Ok(()) | Err(PostFailed::Post(_)) => Ok(()),
                Err(PostFailed::Node(error)) => Err(error),
            },
            DeedKind::Calm => {
                self.calm();
                Ok(())
            }
        }
    }
}

fn pause(scenario: &Scenario) -> Duration {
    let seconds = scenario.nodes as f64 / scenario.load.rate;
    Duration::from_secs_f64(seconds.clamp(1e-6, 1e6))
}

/// Its name in a scenario, if it is a kind that real nodes cannot be made to suffer.
const fn virtual_kind(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::Mute { .. } => Some("mute"),
        Fault::Clock { .. } => Some("clock"),
        _ => None,
    }
}

/// What a cluster writes down as one number.
const MAX_VALUE: usize = 60_000;

/// Between the values of a burst: as fast as one process hands them over, and no faster than the
/// loop that does it gets to anything else.
const BURST_PAUSE: Duration = Duration::from_micros(100);

#[cfg(test)]
mod tests;
