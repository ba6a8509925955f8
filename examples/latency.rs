//! How long a message takes from one process to another, and a process from its start to its first message.
//!
//! ```text
//! cargo run --release -p meshcast-examples --example latency
//! cargo run --release -p meshcast-examples --example latency -- 5000     # messages
//! ```
//!
//! This process posts 64 bytes every 2 ms; a child of it, which it starts, receives and reports. The clock is
//! the system's monotonic one, which both share.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result};
use meshcast::{Bytes, MeshKey, Multiaddr, Node};
use rustix::time::{ClockId, clock_gettime};
use tokio::process::Command;

const MESSAGES: u64 = 2000;

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next(), args.next(), args.next()) {
        (Some("receive"), Some(seed), Some(messages), Some(started)) => {
            receive(seed.parse()?, messages.parse()?, started.parse()?).await
        }
        (messages, ..) => post(messages.map_or(Ok(MESSAGES), str::parse)?).await,
    }
}

async fn post(messages: u64) -> Result<()> {
    let node = start("here", None).await?;
    let seed = node.info().await?.listen_addresses.remove(0);
    let channel = node.channel::<Bytes>("latency")?;
    let receiver = [
        "receive".to_owned(),
        seed.to_string(),
        messages.to_string(),
        now().to_string(),
    ];
    let mut receiver = Command::new(std::env::current_exe()?)
        .args(receiver)
        .stdout(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()?;
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    // Goes on until the receiver has enough, so that the first messages may be from before it was there.
    loop {
        tokio::select! {
            ended = receiver.wait() => break anyhow::ensure!(ended?.success(), "the receiver failed"),
            _ = pace.tick() => {
                let mut payload = [0; 64];
                payload[..8].copy_from_slice(&now().to_le_bytes());
                channel.post_message(&Bytes::copy_from_slice(&payload))?;
            }
        }
    }
    node.shutdown().await;
    Ok(())
}

async fn receive(seed: Multiaddr, messages: u64, started: u64) -> Result<()> {
    let node = start("there", Some(seed)).await?;
    let mut inbox = node.channel::<Bytes>("latency")?.messages();
    inbox.recv().await.context("the node stopped")??;
    println!(
        "start of the process to its first message: {:.1} ms",
        (now() - started) as f64 / 1e6
    );
    let mut took = Vec::new();
    // The first tenth warms up and is not counted.
    for n in 0..messages + messages / 10 {
        let message = inbox.recv().await.context("the node stopped")??;
        let posted = u64::from_le_bytes(message.data[..8].try_into()?);
        if n >= messages / 10 {
            took.push(now() - posted);
        }
    }
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize] as f64 / 1e3;
    println!(
        "{messages} messages: p50 {:.0} us, p99 {:.0} us, max {:.0} us",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    node.shutdown().await;
    Ok(())
}

async fn start(name: &str, seed: Option<Multiaddr>) -> Result<Node> {
    // Both are on loopback and for measuring only, so the key may stand here.
    let builder = Node::builder().name(name).key(MeshKey::from_entropy([9; 48]));
    Ok(builder
        .listen("/ip4/127.0.0.1/tcp/0".parse()?)
        .seeds(seed)
        .spawn()
        .await?)
}

/// Nanoseconds on the clock that all processes of the machine share.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
