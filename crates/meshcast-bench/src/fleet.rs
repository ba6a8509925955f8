//! Some nodes of one system, how they are linked, and one measurement with them.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use crate::{
    broker::Broker,
    clock,
    histogram::Histogram,
    process::{self, Memory, NodeProcess},
    protocol::{Beside, Load, Order, Payload, Published, Reply, Spec, Usage},
    system::System,
    tally::Counted,
};

/// The number of nodes, and which of them are linked. Node 0 publishes, the others subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// So many, each linked to every other.
    Full(usize),
    /// Eight in a ring, each also linked to the one opposite: three links a node, and four of seven
    /// subscribers that hear the publisher through others.
    Ring,
}

/// What a fleet is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) system: System,
    pub(crate) shape: Shape,
    pub(crate) payload: Payload,
    pub(crate) count_allocations: bool,
}

/// Nodes that run, each a process. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    nodes: Vec<NodeProcess>,
    broker: Option<Broker>,
    runs: u16,
}

/// What one measurement brought.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) published: Published,
    /// Of each subscriber.
    pub(crate) counted: Vec<Counted>,
    /// Nanoseconds of CPU of all processes together.
    pub(crate) cpu: u64,
    /// Used in the measurement by the publisher and by all subscribers together.
    pub(crate) publisher: Usage,
    pub(crate) subscribers: Usage,
    /// Cores that other processes of the machine took meanwhile. More than a tenth spoils the
    /// figures.
    pub(crate) others: f64,
}

/// The wait for messages that were published.
struct Arrival {
    patience: Duration,
    /// A subscriber to whom nothing came for so long has all it will get.
    quiet: Duration,
}

impl Shape {
    pub(crate) const fn nodes(self) -> usize {
        match self {
            Self::Full(nodes) => nodes,
            Self::Ring => 8,
        }
    }

    /// The nodes that `node` dials: those it is linked to that were started before it.
    fn dials(self, node: usize) -> Vec<usize> {
        (0..node)
            .filter(|&other| self.linked(node, other))
            .collect()
    }

    fn linked(self, a: usize, b: usize) -> bool {
        match self {
            Self::Full(_) => a != b,
            Self::Ring => matches!(a.abs_diff(b), 1 | 4 | 7),
        }
    }
}

impl Fleet {
    /// Starts all nodes.
    pub(crate) async fn start(setup: Setup) -> Result<Self> {
        let Setup { system, shape, .. } = setup;
        let broker = match system.broker() {
            Some(kind) => Some(Broker::start(kind).await?),
            None => None,
        };
        let mut nodes: Vec<NodeProcess> = Vec::new();
        for index in 0..shape.nodes() {
            let dialled = match (&broker, system.is_star()) {
                (Some(_), _) => Vec::new(),
                (None, true) => (0..index.min(1)).collect(),
                (None, false) => shape.dials(index),
            };
            let peers = dialled.iter().map(|&other| nodes[other].address.clone());
            let broker = broker.iter().map(|broker| broker.address.clone());
            let spec = Spec {
                system,
                index,
                peers: peers.chain(broker).collect(),
                links_only: shape == Shape::Ring,
                payload: setup.payload,
                count_allocations: setup.count_allocations,
            };
            nodes.push(NodeProcess::start(&spec).await?);
        }
        Ok(Self {
            nodes,
            broker,
            runs: 0,
        })
    }

    /// Lets the publisher publish until every subscriber heard it, and the nodes come to rest.
    /// Returns how long the last one took.
    pub(crate) async fn warm_up(&mut self) -> Result<Duration> {
        let since = Instant::now();
        self.nodes[0].order(&Order::Probe).await?;
        for node in &mut self.nodes[1..] {
            match node.reply(WARM_UP_PATIENCE).await? {
                Reply::Heard => {}
                other => bail!("{other:?} in the warm-up"),
            }
        }
        let took = since.elapsed();
        self.nodes[0].order(&Order::Rest).await?;
        sleep(SETTLE).await;
        Ok(took)
    }

    /// Publishes and counts. `keep` keeps the way of each single message.
    pub(crate) async fn measure(&mut self, load: Load, keep: bool) -> Result<Measured> {
        self.measure_while(load, keep, async |_| Ok(())).await
    }

    /// As [`Self::measure`], and does something to the subscribers meanwhile.
    pub(crate) async fn measure_while(
        &mut self,
        load: Load,
        keep: bool,
        meanwhile: impl AsyncFnOnce(&[NodeProcess]) -> Result<()>,
    ) -> Result<Measured> {
        let run = self.count(keep, None).await?;
        let before = self.usage().await?;
        let (publisher, subscribers) = self.nodes.split_at_mut(1);
        let beside = None;
        publisher[0]
            .order(&Order::Publish { run, load, beside })
            .await?;
        meanwhile(subscribers).await?;
        self.conclude(before, load.lasts() + PATIENCE, ARRIVAL)
            .await
    }

    /// Publishes, and meanwhile small messages on the further channels in turn, which are counted
    /// apart.
    pub(crate) async fn measure_beside(&mut self, load: Load, per_second: f64) -> Result<Measured> {
        self.runs += 1;
        let beside = Beside {
            run: self.runs,
            per_second,
        };
        let run = self.count(false, Some(beside.run)).await?;
        let before = self.usage().await?;
        let beside = Some(beside);
        self.nodes[0]
            .order(&Order::Publish { run, load, beside })
            .await?;
        self.conclude(before, load.lasts() + PATIENCE, ARRIVAL)
            .await
    }

    /// Publishes one message on each of the further channels, and counts.
    pub(crate) async fn measure_each(&mut self) -> Result<Measured> {
        let run = self.count(false, None).await?;
        let before = self.usage().await?;
        self.nodes[0].order(&Order::PublishEach { run }).await?;
        // On thousands of channels, each message leaves by itself.
        self.conclude(before, PATIENCE, ARRIVAL_ON_MANY).await
    }

    /// Opens further channels everywhere; returns how long it took until all nodes took part in
    /// them.
    pub(crate) async fn open_channels(&mut self, channels: usize) -> Result<Duration> {
        let since = Instant::now();
        for node in &mut self.nodes {
            node.order(&Order::Open { channels }).await?;
        }
        for node in &mut self.nodes {
            match node.reply(OPEN_PATIENCE).await? {
                Reply::Opened => {}
                other => bail!("{other:?} to opening channels"),
            }
        }
        Ok(since.elapsed())
    }

    /// What each node holds of memory.
    pub(crate) fn memory(&self) -> Result<Vec<Memory>> {
        self.nodes.iter().map(NodeProcess::memory).collect()
    }

    /// The memory of the broker, if there is one.
    pub(crate) fn broker_memory(&self) -> Result<Option<Memory>> {
        self.broker.as_ref().map(Broker::memory).transpose()
    }

    /// Nanoseconds of CPU of all processes since they started.
    pub(crate) async fn cpu(&mut self) -> Result<u64> {
        Ok(self.usage().await?.cpu())
    }

    /// Ends all processes and waits until they are gone.
    pub(crate) async fn end(self) -> Result<()> {
        // The publisher last: some subscribers take its end for a failure.
        for node in self.nodes.into_iter().rev() {
            node.end().await?;
        }
        match self.broker {
            Some(broker) => broker.end().await,
            None => Ok(()),
        }
    }

    async fn count(&mut self, keep: bool, beside: Option<u16>) -> Result<u16> {
        self.runs += 1;
        let run = self.runs;
        for node in &mut self.nodes[1..] {
            node.order(&Order::Count { run, keep, beside }).await?;
            match node.reply(PATIENCE).await? {
                Reply::Counting => {}
                other => bail!("{other:?} before the run"),
            }
        }
        Ok(run)
    }

    async fn conclude(
        &mut self,
        before: AllUsage,
        publishing: Duration,
        arrival: Arrival,
    ) -> Result<Measured> {
        let published = match self.nodes[0].reply(publishing).await? {
            Reply::Published(published) => published,
            other => bail!("{other:?} to publishing"),
        };
        let finish = Order::Finish {
            expected: published.messages,
            expected_beside: published.beside,
            quiet_ms: arrival.quiet.as_millis() as u64,
        };
        let mut counted = Vec::new();
        for node in &mut self.nodes[1..] {
            node.order(&finish).await?;
        }
        for node in &mut self.nodes[1..] {
            match node.reply(arrival.patience).await? {
                Reply::Counted(one) => counted.push(one),
                other => bail!("{other:?} to counting"),
            }
        }
        for (node, one) in (1..).zip(&counted) {
            tell_losses(node, one);
        }
        let used = self.usage().await?.since(&before);
        Ok(Measured {
            published,
            counted,
            cpu: used.cpu(),
            publisher: used.nodes[0],
            subscribers: used.nodes[1..]
                .iter()
                .copied()
                .fold(Usage::default(), Usage::plus),
            others: used.others(),
        })
    }

    async fn usage(&mut self) -> Result<AllUsage> {
        let mut nodes = Vec::new();
        for node in &mut self.nodes {
            node.order(&Order::Usage).await?;
            match node.reply(PATIENCE).await? {
                Reply::Usage(usage) => nodes.push(usage),
                other => bail!("{other:?} to a question for usage"),
            }
        }
        let broker = self.broker.as_ref().map_or(Ok(0), Broker::cpu)?;
        Ok(AllUsage {
            nodes,
            broker,
            machine: process::machine_cpu()?,
            at: clock::now(),
        })
    }
}

impl Measured {
    /// The ways of all messages to all subscribers.
    pub(crate) fn latency(&self) -> Histogram {
        let mut all = Histogram::default();
        self.counted.iter().for_each(|one| all.merge(&one.latency));
        all
    }

    /// Messages delivered to all subscribers together.
    pub(crate) fn delivered(&self) -> u64 {
        self.counted.iter().map(|one| one.counts.received).sum()
    }

    /// Deliveries that should have been and were not.
    pub(crate) fn lost(&self) -> u64 {
        (self.published.messages * self.counted.len() as u64).saturating_sub(self.delivered())
    }

    /// The same of those beside, on the further channels.
    pub(crate) fn lost_beside(&self) -> u64 {
        let came = |one: &Counted| {
            one.beside
                .as_ref()
                .map_or(0, |beside| beside.counts.received)
        };
        let came: u64 = self.counted.iter().map(came).sum();
        (self.published.beside * self.counted.len() as u64).saturating_sub(came)
    }

    /// Deliveries a second, of all subscribers together, each until the last that came to it.
    pub(crate) fn rate(&self) -> f64 {
        let rates = self.counted.iter().map(|one| {
            let took = one.counts.last_at.saturating_sub(self.published.started);
            one.counts.received as f64 / (took.max(1) as f64 / 1e9)
        });
        rates.sum()
    }
}

/// Says which messages did not come and what the system said of it, to look into it.
fn tell_losses(node: usize, counted: &Counted) {
    if !counted.holes.is_empty() {
        let holes = counted
            .holes
            .iter()
            .map(|(first, last)| format!("{first}–{last}"));
        let holes: Vec<_> = holes.collect();
        eprintln!("        node {node} lacks {} …", holes.join(", "));
    }
    for (reason, dropped) in &counted.drops {
        eprintln!("        node {node} was told of {dropped} dropped: {reason}");
    }
}

/// The usage of all processes, and of the whole machine.
struct AllUsage {
    nodes: Vec<Usage>,
    broker: u64,
    machine: u64,
    at: u64,
}

impl AllUsage {
    fn cpu(&self) -> u64 {
        self.nodes.iter().map(|node| node.cpu).sum::<u64>() + self.broker
    }

    fn since(&self, before: &Self) -> Self {
        let nodes = self.nodes.iter().zip(&before.nodes);
        Self {
            nodes: nodes.map(|(now, before)| now.since(before)).collect(),
            broker: self.broker - before.broker,
            machine: self.machine.saturating_sub(before.machine),
            at: self.at - before.at,
        }
    }

    fn others(&self) -> f64 {
        self.machine.saturating_sub(self.cpu()) as f64 / self.at.max(1) as f64
    }
}

impl Usage {
    fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            allocations: self.allocations - before.allocations,
            allocated_bytes: self.allocated_bytes - before.allocated_bytes,
            copied_bytes: self.copied_bytes - before.copied_bytes,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            allocations: self.allocations + other.allocations,
            allocated_bytes: self.allocated_bytes + other.allocated_bytes,
            copied_bytes: self.copied_bytes + other.copied_bytes,
        }
    }
}

/// For what takes no time unless something hangs.
const PATIENCE: Duration = Duration::from_secs(15);
/// For the first message to come to all.
const WARM_UP_PATIENCE: Duration = Duration::from_secs(15);
/// Some seconds of backlog, some of repair; meshcast waits 2 s before it gives a message up for
/// lost.
const ARRIVAL: Arrival = Arrival {
    patience: Duration::from_secs(45),
    quiet: Duration::from_secs(3),
};
/// On some thousand channels each message leaves by itself, and repair goes around all of them.
const ARRIVAL_ON_MANY: Arrival = Arrival {
    patience: Duration::from_secs(120),
    quiet: Duration::from_secs(10),
};
/// For some thousand channels to be opened by ten nodes on two cores.
const OPEN_PATIENCE: Duration = Duration::from_secs(120);
/// A moment for links, grafts and announcements that are still on the way after the first message.
const SETTLE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_ring_each_node_has_three_links_and_four_do_not_hear_the_publisher() {
        for node in 0..8 {
            let links = (0..8).filter(|&other| Shape::Ring.linked(node, other));
            assert_eq!(links.count(), 3);
        }
        assert_eq!(
            (1..8).filter(|&node| !Shape::Ring.linked(0, node)).count(),
            4
        );
        let dialled: usize = (0..8).map(|node| Shape::Ring.dials(node).len()).sum();
        assert_eq!(dialled, 12, "each link is dialled once");
    }

    #[test]
    fn a_full_shape_dials_every_earlier_node() {
        assert_eq!(Shape::Full(3).dials(2), [0, 1]);
        assert_eq!(Shape::Full(2).dials(0), [0; 0]);
    }
}
