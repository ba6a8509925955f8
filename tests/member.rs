//! One process of a fleet: a node, a channel object, a poster and a listener, driven by lines of
//! JSON on stdin.
//!
//! It uses the public API alone. Its posts and deliveries go into two logs in the form of
//! [`meshcast_sim::Entry`], with its peer id in place of a name: posts are written before they are
//! made, since the process may be killed in between; the rest is buffered for a tenth of a second.

mod journal;
mod listener;
mod poster;

use std::{
    io::{self, BufRead, Write},
    path::PathBuf,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use meshcast::{
    Bytes, Limits, Multiaddr, Node,
    netem::{Links, Place, Shape},
};
use meshcast_sim::{At, Event, Name};
use serde::{Deserialize, Serialize};
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use self::{journal::Journal, listener::Listener, poster::Poster};
use crate::clock::now;

/// What a member is started with.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// What people call the node.
    #[arg(long)]
    pub name: String,
    /// Where it runs.
    #[arg(long)]
    pub region: String,
    /// Where it listens.
    #[arg(long)]
    pub listen: Multiaddr,
    /// Whom it dials.
    #[arg(long)]
    pub dial: Vec<Multiaddr>,
    /// The channel it has open.
    #[arg(long, default_value = "earth")]
    pub channel: String,
    /// The path of its logs; `.posts` and `.heard` are appended.
    #[arg(long)]
    pub log: PathBuf,
    /// Post one value of so many bytes in the same tick as the constructor of the channel.
    #[arg(long)]
    pub first: Option<usize>,
    /// As in `meshcast::Limits`.
    #[arg(long)]
    pub history_bytes: Option<usize>,
    /// As in `meshcast::Limits`.
    #[arg(long)]
    pub history_secs: Option<u64>,
    /// As in `meshcast::Limits`.
    #[arg(long)]
    pub unread_bytes: Option<usize>,
    /// Milliseconds of a round trip to everybody.
    #[arg(long)]
    pub round_trip: Option<u64>,
    /// Milliseconds for which nothing passes on a connection, about every two seconds.
    #[arg(long, requires = "round_trip")]
    pub stalls: Option<u64>,
}

impl Options {
    /// One of the two logs.
    fn log_named(&self, kind: &str) -> PathBuf {
        let mut path = self.log.clone().into_os_string();
        path.push(".");
        path.push(kind);
        path.into()
    }
}

/// What a member can be told, one line each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Post so many values a second of so many bytes, from now on. None: stop.
    Rate {
        /// Values a second.
        per_second: f64,
        /// Bytes of each.
        size: usize,
    },
    /// Post so many values without a pause.
    Burst {
        /// How many.
        values: u64,
        /// Bytes of each.
        size: usize,
        /// Whether to wait for room where a post is refused; otherwise that value is given up.
        wait: bool,
    },
    /// Stop reading, or begin again.
    Deaf(bool),
    /// Close the channel object and make another at once.
    Reopen,
    /// Say how it is.
    State,
}

/// What a member says, one line each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It listens, and its channel is open.
    Up {
        /// Which process it is.
        peer: String,
    },
    /// It has company, or knows that it is alone.
    Ready,
    /// A burst is over.
    Burst {
        /// What was taken.
        accepted: u64,
        /// What was refused.
        refused: u64,
        /// How long it took.
        micros: u64,
    },
    /// How it is.
    State(State),
}

/// How a member is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Members it is connected to.
    pub peers: usize,
    /// Its own last number.
    pub posted: u64,
    /// When that was posted.
    pub last_post: At,
    /// When its channel object was opened.
    pub opened: At,
    /// The highest number of each sender that its object was given, or told to be missing.
    pub heard: Vec<(String, u64)>,
    /// What its node counted.
    pub counters: serde_json::Value,
}

/// Runs a member until it is told to stop by SIGTERM, or its stdin ends. `RUST_LOG` says what it
/// writes to stderr.
///
/// # Errors
/// Whatever keeps it from going on.
pub fn run(options: &Options) -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(live(options))
}

async fn live(options: &Options) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut builder = Node::builder()
        .name(&options.name)
        .region(&options.region)
        .listen(options.listen.clone())
        .seeds(options.dial.iter().cloned())
        .limits(limits(options));
    if let Some(links) = links(options) {
        builder = builder.links(&links);
    }
    let node = builder.spawn().await?;
    let peer = node.peer_id().to_string();
    let process = Name::from(peer.as_str());
    let journal = Journal::create(&options.log_named("heard"), process.clone())?;
    journal.write(now(), Event::Start)?;
    let (deaf, ears) = watch::channel(false);
    let listener = Listener::new(journal.clone(), ears);
    let mut poster = Poster::open(&node, options, process, listener)?;
    if let Some(size) = options.first {
        poster.post(size)?;
    }
    say(&Said::Up { peer })?;

    let (orders, queue) = mpsc::channel(64);
    let posting = tokio::spawn(poster.obey(queue));
    let mut lines = orders_of_stdin();
    let mut ready = std::pin::pin!(node.ready());
    let mut is_ready = false;
    let mut flush = interval(FLUSH);
    flush.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sample = interval(SAMPLE);
    sample.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        select! {
            _ = terminate.recv() => break,
            line = lines.recv() => match line {
                Some(Order::Deaf(is)) => { deaf.send_replace(is); }
                Some(order) => orders.send(order).await.context("the poster has stopped")?,
                // The process that ran the fleet is gone.
                None => return Ok(()),
            },
            done = &mut ready, if !is_ready => {
                done?;
                is_ready = true;
                say(&Said::Ready)?;
            }
            _ = flush.tick() => journal.flush()?,
            _ = sample.tick() => {
                let snapshot = node.inspect().await?;
                let held = snapshot.channels.iter().map(
                    |channel| channel.outbox_bytes + channel.unread_bytes
                );
                let (held, history) = (
                    held.sum::<usize>() as u64,
                    snapshot.counters.memory.history_bytes as u64,
                );
                journal.write(now(), Event::Sample { held, history })?;
            }
        }
    }
    // No post is half made when this is over: the poster writes down what it does before it does
    // it.
    drop(orders);
    let mut poster = posting.await??;
    node.shutdown().await;
    poster.close().await?;
    journal.write(now(), Event::End)?;
    journal.flush()
}

/// Of the connections that this process dials, in both directions; each has its own stalls.
fn links(options: &Options) -> Option<Links> {
    let mut shape = Shape::round_trip(Duration::from_millis(options.round_trip?));
    if let Some(stalls) = options.stalls {
        shape = shape.stalls(STALL_EVERY, Duration::from_millis(stalls));
    }
    let links = Links::new(u64::from(std::process::id()));
    links.shape_both(&Place::Everywhere, &Place::Everywhere, shape);
    Some(links)
}

fn limits(options: &Options) -> Limits {
    let mut limits = Limits::default();
    if let Some(bytes) = options.history_bytes {
        limits.history_bytes = bytes;
    }
    if let Some(secs) = options.history_secs {
        limits.history_age = Duration::from_secs(secs);
    }
    if let Some(bytes) = options.unread_bytes {
        limits.unread_bytes = bytes;
    }
    limits
}

/// A value: when and as which it was posted, and bytes that depend on both.
fn value(t: At, number: u64, size: usize) -> Bytes {
    let mut state = t.micros() ^ number.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15;
    let head = [t.micros().to_le_bytes(), number.to_le_bytes()].concat();
    let filling = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    head.into_iter()
        .chain(filling.flatten())
        .take(size)
        .collect()
}

fn say(said: &Said) -> Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, said)?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

/// In a thread, since reading stdin blocks. A line that is no order ends it, and with it the
/// process.
fn orders_of_stdin() -> mpsc::Receiver<Order> {
    let (sender, receiver) = mpsc::channel(64);
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let order = line
                .map_err(anyhow::Error::from)
                .and_then(|line| Ok(serde_json::from_str(&line)?));
            match order {
                Ok(order) => {
                    if sender.blocking_send(order).is_err() {
                        return;
                    }
                }
                Err(error) => return eprintln!("no order: {error:#}"),
            }
        }
    });
    receiver
}

/// For how long what was heard may be in this process alone: what a kill can take from the log.
const FLUSH: Duration = Duration::from_millis(100);

/// The interval at which it writes down what memory it holds.
const SAMPLE: Duration = Duration::from_secs(1);

/// About how often a connection stalls.
const STALL_EVERY: Duration = Duration::from_secs(2);

/// The largest value that takes one number, so that the count of posts is their number.
pub const MAX_SIZE: usize = 60_000;
