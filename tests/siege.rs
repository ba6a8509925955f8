//! A node with a crowd at its door, and members that come nevertheless.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use meshcast::{MeshKey, Multiaddr, Node, NodeEvent};
use tokio::{
    io::AsyncBufReadExt,
    time::{sleep, timeout},
};

use crate::stranger::{Crowd, Visits};

/// What a siege came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What the crowd did.
    pub visits: Visits,
    /// How long it took.
    pub lasted: Duration,
    /// What the node's process had in memory before, and at most.
    pub resident: (u64, u64),
    /// How long each newcomer took to be connected.
    pub waits: Vec<Duration>,
}

impl Outcome {
    /// By how many bytes the node grew at most.
    pub const fn grew(&self) -> u64 {
        self.resident.1.saturating_sub(self.resident.0)
    }

    /// Faults that strangers must not bring about, however many they are: empty if the node held.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let grew = self.grew() >> 20;
        if grew > MOST_MIB {
            faults.push(format!("it grew by {grew} MiB"));
        }
        let longest = self.waits.iter().max();
        match longest {
            Some(longest) if *longest <= LONGEST => {}
            Some(longest) => faults.push(format!("a newcomer waited {longest:.1?}")),
            None => faults.push("there was no newcomer".to_owned()),
        }
        faults
    }
}

/// The growth of a node for strangers, in MiB, at most: the places at its door are few.
const MOST_MIB: u64 = 16;

/// The time that a newcomer may take until it is in, with any number of strangers at the door.
const LONGEST: Duration = Duration::from_secs(1);

/// Starts a node and a crowd, each by `program`, and lets members come one after the other while
/// the crowd is there.
pub async fn siege(program: &Path, crowd: &Crowd) -> Result<Outcome> {
    let mut entropy = [0; 48];
    getrandom::fill(&mut entropy).context("no random bytes")?;
    let key = MeshKey::from_entropy(entropy);
    let mut besieged = Besieged::start(program, &key)?;
    // The cost of a first member is no stranger's doing.
    expected_newcomer(&key, &besieged.address).await?;
    let before = besieged.resident()?;
    let start = Instant::now();
    let mut strangers = tokio::process::Command::new(program)
        .arg("knock")
        .arg(besieged.socket.to_string())
        .args(["--connections", &crowd.connections.to_string()])
        .args(["--held", &crowd.held.to_string()])
        .args(["--sources", &crowd.sources.to_string()])
        .args(crowd.kinds.iter().flat_map(|kind| {
            let name =
                clap::ValueEnum::to_possible_value(kind).map(|value| value.get_name().to_owned());
            ["--kind".to_owned(), name.unwrap_or_default()]
        }))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = strangers.stdout.take().context("piped")?;
    let (mut most, mut waits) = (before, Vec::new());
    let visits = async {
        let mut line = String::new();
        tokio::io::BufReader::new(output)
            .read_line(&mut line)
            .await?;
        anyhow::Ok(serde_json::from_str::<Visits>(&line)?)
    };
    tokio::pin!(visits);
    let visits = loop {
        tokio::select! {
            visits = &mut visits => break visits?,
            wait = expected_newcomer(&key, &besieged.address) => waits.push(wait?),
        }
        most = most.max(besieged.resident()?);
        sleep(BETWEEN).await;
    };
    strangers.wait().await?;
    ensure!(besieged.child.try_wait()?.is_none(), "the node has ended");
    Ok(Outcome {
        visits,
        lasted: start.elapsed(),
        resident: (before, most.max(besieged.resident()?)),
        waits,
    })
}

/// The node that is besieged: says where it listens, and runs until its input ends.
pub async fn besieged() -> Result<()> {
    let key = env::var("MESHCAST_KEY").context("a key")?.parse()?;
    let node = Node::builder().key(key).name("besieged");
    let node = node.listen("127.0.0.1:0").spawn().await?;
    let snapshot = node.inspect().await?;
    let address = snapshot
        .node
        .listen_addresses
        .first()
        .context("it listens")?;
    println!("{address}");
    let mut input = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while input.next_line().await?.is_some() {}
    let counters = node.inspect().await?.counters;
    eprintln!(
        "inbound {}, silent {}, foreign {}, displaced {}, refused {}",
        counters.connections.inbound,
        counters.connections.inbound_silent,
        counters.connections.inbound_foreign,
        counters.connections.inbound_displaced,
        counters.connections.refused
    );
    node.shutdown().await;
    Ok(())
}

/// A newcomer that is not waited for for ever.
async fn expected_newcomer(key: &MeshKey, seed: &Multiaddr) -> Result<Duration> {
    let came = timeout(GIVEN_UP, newcomer(key, seed)).await;
    came.context("a newcomer is not in")?
}

/// A member that comes for the first time: how long until it is connected.
pub(crate) async fn newcomer(key: &MeshKey, seed: &Multiaddr) -> Result<Duration> {
    let start = Instant::now();
    let builder = Node::builder()
        .key(key.clone())
        .name("newcomer")
        .seed(seed.clone());
    let node = builder.spawn().await?;
    let mut events = node.events();
    let connected = async {
        while let Some(event) = events.next().await {
            if matches!(event, NodeEvent::Connected { .. }) {
                return Ok(());
            }
        }
        bail!("the node has ended")
    };
    // It may have been quicker than we were to listen.
    let connected = async {
        tokio::select! {
            outcome = connected => outcome,
            () = is_connected(&node) => Ok(()),
        }
    };
    connected.await?;
    let took = start.elapsed();
    node.abort().await;
    Ok(took)
}

async fn is_connected(node: &Node) {
    loop {
        if node.inspect().await.is_ok_and(|it| !it.peers.is_empty()) {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

struct Besieged {
    child: Child,
    address: Multiaddr,
    socket: SocketAddr,
}

impl Besieged {
    fn start(program: &Path, key: &MeshKey) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("besieged")
            .env("MESHCAST_KEY", key.to_secret_text())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().context("piped")?;
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().to_owned();
        let port = address.rsplit('/').next().context("a port")?;
        Ok(Self {
            child,
            socket: format!("127.0.0.1:{port}").parse()?,
            address: address.parse()?,
        })
    }

    /// Bytes in memory.
    fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
        let kib: u64 = kib.context("no figure")?.trim().parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Besieged {
    fn drop(&mut self) {
        // It ends with its input, and says what it counted.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// How long after one newcomer the next comes.
const BETWEEN: Duration = Duration::from_millis(100);

/// When nobody expects a newcomer any more.
const GIVEN_UP: Duration = Duration::from_secs(60);
