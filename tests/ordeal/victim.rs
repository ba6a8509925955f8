//! The node that is attacked: a process of its own, so that its memory is its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::{StreamExt, executor::block_on};
use meshcast::{BroadcastChannel, Bytes, Multiaddr, Node, NodeEvent, Value};
use meshcast_sim::At;
use tokio::{io::AsyncBufReadExt, select, time::interval};

use super::ear::{Ear, Heard};
use crate::hostile::{CALM, VALUES};

/// The answer of the victim when it is asked.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Statement {
    /// What it heard, by sender.
    pub(super) heard: BTreeMap<String, Heard>,
    /// What it counted.
    pub(super) counters: BTreeMap<String, u64>,
    /// Who misbehaved, and how.
    pub(super) named: BTreeSet<(String, String)>,
    /// The most that somebody was charged with, and who.
    pub(super) charged: (usize, String),
}

/// The known facts of those who are connected.
#[derive(Debug, Default)]
struct Seen {
    named: BTreeSet<(String, String)>,
    charged: (usize, String),
}

/// Says where it listens, answers each line with a `Statement`, and runs until its input ends.
pub async fn victim(seed: Multiaddr) -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let key = env::var("MESHCAST_KEY").context("a key")?.parse()?;
    let builder = Node::builder().key(key).name("victim").seed(seed);
    let node = builder.listen("127.0.0.1:0").spawn().await?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    tokio::spawn(watch(node.clone(), Arc::clone(&seen)));
    let calm = node.channel::<Bytes>(CALM)?;
    let ear = Ear::of(&calm);
    // A value must not take more memory than it may, whatever it is read as.
    read(node.channel::<serde_json::Value>(VALUES)?, drop);
    read(node.channel::<Vec<Vec<String>>>(VALUES)?, drop);
    read(node.channel::<Value>(VALUES)?, |value| {
        drop(value.to_json())
    });
    let address = node.info().await?.listen_addresses;
    println!("{}", address.first().context("it listens")?);
    let mut input = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while input.next_line().await?.is_some() {
        let counters = serde_json::to_value(node.inspect().await?.counters)?;
        let statement = {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            Statement {
                heard: ear.heard(),
                counters: serde_json::from_value(counters)?,
                named: seen.named.clone(),
                charged: seen.charged.clone(),
            }
        };
        println!("{}", serde_json::to_string(&statement)?);
    }
    node.abort().await;
    Ok(())
}

/// Reads all that comes as a type, on a thread of its own: what a value costs to be read is the
/// reader's business.
fn read<T: meshcast::Payload>(channel: BroadcastChannel<T>, used: impl Fn(T) + Send + 'static) {
    thread::spawn(move || {
        let mut messages = channel.messages();
        while let Some(item) = block_on(messages.recv()) {
            if let Ok(message) = item {
                used(message.data);
            }
        }
    });
}

/// Writes down who is said to misbehave, and who takes most.
async fn watch(node: Node, seen: Arc<Mutex<Seen>>) {
    let mut events = node.events();
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        select! {
            event = events.next() => match event {
                Some(NodeEvent::Misbehaving { name, offence, cut, .. }) => {
                    let name = name.map_or_else(|| "somebody".to_owned(), |name| name.to_string());
                    let standing = if cut { "cut" } else { "throttled" };
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    if seen.named.len() < MOST_NAMED {
                        seen.named.insert((name, format!("{standing} for {offence}")));
                    }
                }
                Some(_) => {}
                None => return,
            },
            _ = ticks.tick() => {
                let Ok(snapshot) = node.inspect().await else { return };
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                for peer in snapshot.peers {
                    let name = peer.name.to_string();
                    if peer.memory_bytes > seen.charged.0 {
                        seen.charged = (peer.memory_bytes, name.clone());
                    }
                    if peer.memory_refused > 0 && seen.named.len() < MOST_NAMED {
                        seen.named.insert((name, "refused memory".to_owned()));
                    }
                }
            }
        }
    }
}

/// When the victim knows of a gap of somebody, counted from a moment.
pub(super) fn gap_told(statement: &Statement, of: &str, since: At) -> Option<Duration> {
    let heard = statement.heard.values().find(|heard| heard.name == of)?;
    let told = heard.gaps.first()?.told;
    Some(Duration::from_micros(told.saturating_sub(since.micros())))
}

/// So many names are enough.
const MOST_NAMED: usize = 64;
