//! What the parts of the API that stand beside channels cost while nobody uses them.
//!
//! ```text
//! cargo run --release -p meshcast-tests --bin unused -- plain
//! cargo run --release -p meshcast-tests --bin unused -- open
//! ```
//!
//! Two nodes in one thread pass messages in bursts, and then are idle. `plain` is that and nothing
//! else. With `open` each node also has all that there is: an admin socket, and on another channel
//! a state that it tells, somebody who watches who is present, somebody who answers questions, and
//! an object that only looks. Nobody uses any of it. So what is not used costs no more than the
//! difference, but for what every node does in any case. `valgrind --tool=callgrind` counts the
//! instructions of a run, whatever else the machine does.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use meshcast::{
    AdminSocket, BroadcastChannel, Bytes, ChannelOptions, MeshKey, Messages, Node, Presence,
    PresenceChanges,
    ask::{Answering, FromMember},
    config::Address,
};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

#[derive(Debug, Parser)]
#[command(about = "Measures what parts of the API cost that nobody uses")]
struct Cli {
    mode: Mode,
    /// How many messages pass.
    #[arg(long, default_value_t = 500_000)]
    messages: u64,
    /// How long the nodes are idle then, in seconds.
    #[arg(long, default_value_t = 0)]
    idle: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Plain,
    Open,
}

/// What is open beside the channel that is measured.
struct Beside {
    _channel: BroadcastChannel<u64>,
    _presence: Presence<u64>,
    _changes: PresenceChanges<u64>,
    _answering: Answering<u64>,
    _looks: BroadcastChannel<u64>,
}

impl Beside {
    fn open(node: &Node) -> Result<Self> {
        let channel = node.channel::<u64>("beside")?;
        let presence = channel.presence::<u64>();
        presence.set(&7)?;
        let looks = ChannelOptions::new().observer(true);
        Ok(Self {
            _changes: presence.changes(),
            _presence: presence,
            _answering: channel.on_ask(async |asked: FromMember<u64>| asked.data),
            _looks: node.channel_with("beside", looks)?,
            _channel: channel,
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Cli {
        mode,
        messages,
        idle,
    } = Cli::parse();
    let directory = tempfile::tempdir()?;
    let key = MeshKey::random()?;
    let one = start(mode, "one", &key, Vec::new(), directory.path()).await?;
    let seeds = one.listen_addresses();
    let two = start(mode, "two", &key, seeds, directory.path()).await?;
    let _beside = match mode {
        Mode::Plain => Vec::new(),
        Mode::Open => vec![Beside::open(&one)?, Beside::open(&two)?],
    };
    let mut inbox = one.channel::<Bytes>("measured")?.messages();
    let channel = two.channel::<Bytes>("measured")?;
    two.ready().await?;
    one.ready().await?;
    // The words of the beginning are no part of the measurement.
    pass(&channel, &mut inbox, BURST).await?;
    sleep(SETTLE).await;

    let before = processor()?;
    for _ in 0..messages / BURST {
        pass(&channel, &mut inbox, BURST).await?;
    }
    let took = processor()? - before;
    let micros = took.as_secs_f64() * 1e6 / messages.max(1) as f64;
    println!(
        "{mode:?}: {micros:.3} µs of processor a message, {:.1} MiB",
        memory()?
    );
    if idle > 0 {
        sleep(SETTLE).await;
        let before = processor()?;
        sleep(Duration::from_secs(idle)).await;
        let part = (processor()? - before).as_secs_f64() / idle as f64;
        println!(
            "{mode:?}: {:.2} thousandths of a core while idle",
            1e3 * part
        );
    }
    Ok(())
}

async fn start(
    mode: Mode,
    name: &str,
    key: &MeshKey,
    seeds: Vec<Address>,
    directory: &Path,
) -> Result<Node> {
    let admin = match mode {
        Mode::Plain => AdminSocket::Off,
        Mode::Open => AdminSocket::At(directory.join(format!("{name}.sock"))),
    };
    let builder = Node::builder().name(name).key(key.clone()).seeds(seeds);
    let builder = builder.listen("127.0.0.1:0").admin(admin);
    Ok(builder.runtime(Handle::current()).spawn().await?)
}

/// Posts so many messages, and takes them at the other end.
async fn pass(
    channel: &BroadcastChannel<Bytes>,
    inbox: &mut Messages<Bytes>,
    count: u64,
) -> Result<()> {
    let value = Bytes::from_static(&[7; SIZE]);
    for _ in 0..count {
        channel.post_message_wait(&value).await?;
    }
    for _ in 0..count {
        let message = timeout(PATIENCE, inbox.recv()).await?;
        let message = message.context("the node stopped")??;
        ensure!(message.data.len() == SIZE);
    }
    Ok(())
}

/// The time that the processor spent on this thread, which does all.
fn processor() -> Result<Duration> {
    let told = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = told.split(' ').next().context("a first field")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// What this process has in memory, in MiB.
fn memory() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mut lines = status.lines();
    let resident = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.context("a line")?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<f64>()? / 1024.0)
}

const SIZE: usize = 64;
/// Few enough to be one section, so that each run does the same.
const BURST: u64 = 100;
/// Longer than the pauses after which members tell each other what is new.
const SETTLE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
