//! A process that is a whole mesh: real nodes over links that are as long as those between regions.

use std::{
    fs,
    io::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, future::try_join_all};
use meshcast::{
    BroadcastChannel, Bytes, MeshKey, Multiaddr, Node,
    netem::{Links, Place, Shape},
};
use meshcast_sim::round_trip;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getrlimit, set_parent_process_death_signal, setrlimit,
};
use serde::{Deserialize, Serialize};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, sleep_until},
};

use crate::{clock, histogram::Histogram, process, stamp::Stamp, tally::Tally};

/// What mesh a process is, in its argument.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// How many nodes; they share out the regions.
    pub(crate) nodes: usize,
}

/// What the nodes cost, all together.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Costs {
    /// Until all had found each other and had the channel open.
    pub(crate) join_s: f64,
    /// Connections that were not there when that was no longer waited for, seen from both ends.
    pub(crate) links_lacking: usize,
    /// Memory that is backed by no file, without what the process held before there was a node.
    pub(crate) anonymous_mib: f64,
    /// While nothing was posted.
    pub(crate) idle: Spent,
    /// While the nodes posted in turn, and until all had everything.
    pub(crate) busy: Spent,
    pub(crate) posted: u64,
    pub(crate) deliveries: u64,
    /// Deliveries there should have been.
    pub(crate) expected: u64,
    /// Nanoseconds on the way, half and 99 of a hundred deliveries.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// Counted by the nodes since they started.
    pub(crate) requests: u64,
    pub(crate) repaired: u64,
}

/// What was used in a while.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    /// Nanoseconds of CPU.
    pub(crate) cpu: u64,
    /// Bytes over the loopback interface, headers included, of whatever program: there is no nearer
    /// count.
    pub(crate) wire: u64,
    /// Frames that gossip brought, each as often as it came.
    pub(crate) copies: u64,
    /// Bytes beside gossip: what the nodes tell each other of what they have.
    pub(crate) sync: u64,
}

/// Runs the mesh that `spec` describes, and prints what it cost.
pub(crate) fn run(spec: &str) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    raise_open_files()?;
    let spec: Spec = serde_json::from_str(spec)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let costs = runtime.block_on(measure(spec))?;
    runtime.shutdown_background();
    writeln!(io::stdout(), "{}", serde_json::to_string(&costs)?)?;
    Ok(())
}

async fn measure(spec: Spec) -> Result<Costs> {
    let before = anonymous(getpid())?;
    let since = Instant::now();
    let nodes = start(spec.nodes).await?;
    say(since, "started");
    let links_lacking = link(&nodes).await?;
    say(since, "linked");
    let channels: Vec<BroadcastChannel<Bytes>> = nodes
        .iter()
        .map(|node| node.channel(CHANNEL))
        .collect::<Result<_, _>>()?;
    let tallies: Vec<_> = channels.iter().map(count).collect();
    try_join_all(nodes.iter().map(Node::ready)).await?;
    let join_s = since.elapsed().as_secs_f64();
    say(since, "on the channel");
    sleep(SETTLE).await;

    let idle = spend(&nodes, async {
        sleep(WATCHED).await;
        Ok(())
    });
    let ((), idle) = idle.await?;
    say(since, "at rest");
    let busy = spend(&nodes, async {
        let posted = post(&channels).await?;
        let expected = posted * (nodes.len() as u64 - 1);
        let (deliveries, latency) = settled(&tallies, expected).await;
        Ok((posted, expected, deliveries, latency))
    });
    let ((posted, expected, deliveries, latency), busy) = busy.await?;
    say(since, "done posting");
    let anonymous_mib = anonymous(getpid())? - before;
    let mut costs = Costs {
        join_s,
        links_lacking,
        anonymous_mib,
        idle,
        busy,
        posted,
        deliveries,
        expected,
        p50: latency.quantile(0.5),
        p99: latency.quantile(0.99),
        requests: 0,
        repaired: 0,
    };
    for node in &nodes {
        let counters = node.inspect().await?.counters;
        costs.requests += counters.requests;
        costs.repaired += counters.frames_repaired;
    }
    Ok(costs)
}

/// Meshes of many nodes take long; this tells how far they are.
fn say(since: Instant, what: &str) {
    eprintln!(
        "        after {:.1} s: {what}",
        since.elapsed().as_secs_f64()
    );
}

/// Starts the nodes. They know the first one and find the others by themselves.
async fn start(nodes: usize) -> Result<Vec<Node>> {
    let links = Links::new(SEED);
    for (index, a) in REGIONS.iter().enumerate() {
        for b in &REGIONS[index + 1..] {
            let takes = round_trip(a, b).context("a region that is not on the map")?;
            links.shape_both(
                &Place::region(a)?,
                &Place::region(b)?,
                Shape::round_trip(takes),
            );
        }
    }
    let mut started: Vec<Node> = Vec::new();
    let mut seeds: Vec<Multiaddr> = Vec::new();
    for index in 0..nodes {
        let region = REGIONS[index % REGIONS.len()];
        let node = Node::builder()
            .name(format!("{region}-{}", index / REGIONS.len() + 1))
            .region(region)
            // Only on loopback and only for measuring, so the key may stand here.
            .key(MeshKey::from_entropy([9; 48]))
            .listen("127.0.0.1:0")
            .seeds(seeds.iter().cloned())
            .links(&links)
            .runtime(Handle::current())
            .spawn()
            .await?;
        if seeds.is_empty() {
            seeds = node.inspect().await?.node.listen_addresses;
        }
        started.push(node);
    }
    Ok(started)
}

/// Waits until each node is connected to all others, or the time is over. Returns how many
/// connections lack then, seen from both ends.
async fn link(nodes: &[Node]) -> Result<usize> {
    let end = Instant::now() + LINKING;
    let mut lacking = 0;
    for node in nodes {
        loop {
            let peers = node.inspect().await?.peers.len();
            let lacks = (nodes.len() - 1).saturating_sub(peers);
            if lacks == 0 || Instant::now() >= end {
                lacking += lacks;
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
    }
    Ok(lacking)
}

/// Counts what a node hears, from now on.
fn count(channel: &BroadcastChannel<Bytes>) -> Arc<Mutex<Tally>> {
    let mut tally = Tally::default();
    tally.begin(RUN, false, None);
    let tally = Arc::new(Mutex::new(tally));
    let mut inbox = channel.messages();
    let counted = Arc::clone(&tally);
    tokio::spawn(async move {
        // Gaps show as deliveries that are missing.
        while let Some(item) = inbox.next().await {
            if let Ok(message) = item {
                lock(&counted).payload(&message.data);
            }
        }
    });
    tally
}

/// Posts at each node in turn; returns how many messages. The more nodes there are the fewer: all
/// share one machine, and one that is over its limit shows nothing but that.
async fn post(channels: &[BroadcastChannel<Bytes>]) -> Result<u64> {
    let receivers = channels.len().saturating_sub(1).max(1);
    let per_second = (DELIVERIES_PER_SECOND / receivers as f64).min(MAX_PER_SECOND);
    let messages = (per_second * WATCHED.as_secs_f64()) as u64;
    let start = Instant::now();
    for (number, channel) in (0..messages).zip(channels.iter().cycle()) {
        sleep_until(start + Duration::from_secs_f64(number as f64 / per_second)).await;
        let mut payload = [0; SIZE];
        let at = clock::now();
        Stamp {
            run: RUN,
            number,
            at,
        }
        .write(&mut payload);
        channel
            .post_message_wait(&Bytes::copy_from_slice(&payload))
            .await?;
    }
    Ok(messages)
}

/// The messages that came, once all have or the time is over.
async fn settled(tallies: &[Arc<Mutex<Tally>>], expected: u64) -> (u64, Histogram) {
    let end = Instant::now() + DRAIN;
    loop {
        let deliveries = tallies.iter().map(|tally| lock(tally).received()).sum();
        if deliveries >= expected || Instant::now() >= end {
            let mut latency = Histogram::default();
            for tally in tallies {
                latency.merge(&lock(tally).counted(0, 0).latency);
            }
            return (deliveries, latency);
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Does something, and says what the nodes used meanwhile.
async fn spend<T>(nodes: &[Node], work: impl Future<Output = Result<T>>) -> Result<(T, Spent)> {
    let (copies, sync) = counted(nodes).await?;
    let (at, cpu, wire) = (Instant::now(), clock::cpu(), loopback_bytes()?);
    let done = work.await?;
    let (seconds, cpu, wire) = (
        at.elapsed().as_secs_f64(),
        clock::cpu() - cpu,
        loopback_bytes()? - wire,
    );
    let (copies_after, sync_after) = counted(nodes).await?;
    let spent = Spent {
        seconds,
        cpu,
        wire,
        copies: copies_after - copies,
        sync: sync_after - sync,
    };
    Ok((done, spent))
}

/// The copies that gossip brought to all nodes so far, and the bytes they said beside it.
async fn counted(nodes: &[Node]) -> Result<(u64, u64)> {
    let (mut copies, mut sync) = (0, 0);
    for node in nodes {
        let counters = node.inspect().await?.counters;
        copies += counters.traffic.frames_gossiped;
        sync += counters.traffic.sync_bytes;
    }
    Ok((copies, sync))
}

fn anonymous(pid: Pid) -> Result<f64> {
    Ok(process::memory(pid)?.anonymous)
}

/// Received on the loopback interface since the machine started, which is as much as was sent.
fn loopback_bytes() -> Result<u64> {
    let devices = fs::read_to_string("/proc/net/dev")?;
    let mut lines = devices.lines();
    let lo = lines.find_map(|line| line.trim_start().strip_prefix("lo:"));
    let received = lo.and_then(|fields| fields.split_whitespace().next());
    Ok(received
        .context("no loopback interface in /proc/net/dev")?
        .parse()?)
}

/// Lets the process have as many open files as it may: each link takes two.
fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).context("the limit on open files")
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

const CHANNEL: &str = "bench";
const REGIONS: [&str; 5] = ["fra", "iad", "sin", "gru", "syd"];
const SEED: u64 = 1;
const RUN: u16 = 1;

/// At all nodes together.
const DELIVERIES_PER_SECOND: f64 = 1_000.0;
const MAX_PER_SECOND: f64 = 100.0;
const SIZE: usize = 256;
/// Gossip's meshes take some heartbeats of a second to settle.
const SETTLE: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LINKING: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(15);
