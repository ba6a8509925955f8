//! How long a message takes from one process to another, and a process from its start to its first
//! message.
//!
//! ```text
//! cargo run --release -p meshcast-examples --example latency
//! cargo run --release -p meshcast-examples --example latency -- 5000          # messages
//! # And 1,000 `inspect()` a second:
//! cargo run --release -p meshcast-examples --example latency -- 5000 1000
//! ```
//!
//! This process posts 64 bytes every 2 ms; a child of it, which it starts, receives and reports.
//! The clock is the system's monotonic one, which both share. Both have 100 other channels open; if
//! they are to be inspected, both are, as a dashboard does that never gets enough, and both have an
//! admin socket, `here` and `there`.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result};
use meshcast::{AdminSocket, BroadcastChannel, Bytes, MeshKey, Multiaddr, Node};
use rustix::time::{ClockId, clock_gettime};
use tokio::process::Command;

const MESSAGES: u64 = 2000;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["receive", seed, messages, looks, started] => {
            let (messages, looks) = (messages.parse()?, looks.parse()?);
            receive(seed.parse()?, messages, looks, started.parse()?).await
        }
        [] => post(MESSAGES, 0).await,
        [messages] => post(messages.parse()?, 0).await,
        [messages, looks] => post(messages.parse()?, looks.parse()?).await,
        _ => anyhow::bail!("usage: latency [MESSAGES [INSPECTIONS A SECOND]]"),
    }
}

async fn post(messages: u64, looks: u64) -> Result<()> {
    let (node, _channels) = start("here", None, looks).await?;
    let seed = node.info().await?.listen_addresses.remove(0);
    let channel = node.channel::<Bytes>("latency")?;
    let receiver = [
        "receive".to_owned(),
        seed.to_string(),
        messages.to_string(),
        looks.to_string(),
        now().to_string(),
    ];
    let mut receiver = Command::new(std::env::current_exe()?)
        .args(receiver)
        .stdout(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()?;
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    // Goes on until the receiver has enough, so that the first messages may be from before it was
    // there.
    loop {
        tokio::select! {
            ended = receiver.wait() => break anyhow::ensure!(
                ended?.success(),
                "the receiver failed",
            ),
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

async fn receive(seed: Multiaddr, messages: u64, looks: u64, started: u64) -> Result<()> {
    let (node, _channels) = start("there", Some(seed), looks).await?;
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
        "{messages} messages, {looks} inspections a second: p50 {:.0} us, p99 {:.0} us, max {:.0} us",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    node.shutdown().await;
    Ok(())
}

/// A node with some channels, which is inspected so many times a second.
async fn start(
    name: &str,
    seed: Option<Multiaddr>,
    looks: u64,
) -> Result<(Node, Vec<BroadcastChannel<Bytes>>)> {
    // Both are on loopback and for measuring only, so the key may stand here.
    let mut builder = Node::builder()
        .name(name)
        .key(MeshKey::from_entropy([9; 48]));
    if looks > 0 {
        builder = builder.admin(AdminSocket::Default);
    }
    let builder = builder.listen("127.0.0.1:0").seeds(seed);
    let node = builder.spawn().await?;
    let rooms = (0..100).map(|room| node.channel(&format!("room-{room}")));
    let rooms = rooms.collect::<Result<_, _>>()?;
    if looks > 0 {
        let (node, mut pace) = (
            node.clone(),
            tokio::time::interval(Duration::from_secs(1) / looks.try_into()?),
        );
        // Many at the same time, if one takes longer than it is to the next.
        tokio::spawn(async move {
            loop {
                pace.tick().await;
                let node = node.clone();
                tokio::spawn(async move { node.inspect().await });
            }
        });
    }
    Ok((node, rooms))
}

/// Nanoseconds on the clock that all processes of the machine share.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
