//! The systems that are compared, behind one trait.

mod gossipsub;
#[cfg(feature = "iroh")]
mod iroh;
mod meshcast;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
mod redis;
mod tcp;
#[cfg(feature = "zenoh")]
mod zenoh;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use futures::{FutureExt as _, Stream, StreamExt as _, future::BoxFuture};
use serde::{Deserialize, Serialize};

use crate::{
    broker::BrokerKind,
    protocol::Spec,
    stamp::Stamp,
    tally::{SharedTally, Tally},
    worker,
};

/// What is compared.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum System {
    /// This project as a user runs it: default limits, a spawned task that reads with
    /// `recv().await`.
    Meshcast,
    /// The same on the runtime of the process, in place of a thread of its own.
    MeshcastShared,
    /// This project with 16 MiB of history, read in batches by the task that also publishes.
    MeshcastTuned,
    /// libp2p gossipsub as it comes: TCP, noise, yamux, each message signed.
    Gossipsub,
    /// The same with nothing signed.
    GossipsubUnsigned,
    /// zenoh in peer mode, read by a callback, which blocks rather than drops. In the clear.
    Zenoh,
    /// iroh-gossip.
    Iroh,
    /// NATS core, through a broker, in the clear.
    Nats,
    /// Redis pub/sub, through a broker, in the clear.
    Redis,
    /// Bytes over TCP, in the clear.
    Tcp,
    /// Bytes over TCP, encrypted by ChaCha20-Poly1305: what is left when all else is free.
    TcpChacha,
}

/// A node of some system, in a process of its own.
pub(crate) trait Node: Sized {
    /// Starts it, subscribed to the one channel of the benchmark. What its own callbacks and tasks
    /// receive they count into `tally`.
    async fn open(spec: &Spec, tally: &SharedTally) -> Result<Self>;

    /// Where nodes that start later reach it; empty if they do not.
    fn address(&self) -> String {
        String::new()
    }

    /// Hands a message to the system. Waits if the system has no room for it.
    async fn publish(&mut self, stamp: Stamp) -> Result<()>;

    /// Sends on what the adapter itself holds back.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// Waits for messages and counts them, at least one and as many as are there; drives the node
    /// meanwhile if it does not run by itself. Of a node that counts by itself it waits until it is
    /// time to look at the tally. Must be cancel-safe.
    async fn receive(&mut self, tally: &SharedTally) -> Result<()>;

    /// How often a message was refused and tried again.
    fn refused(&self) -> u64 {
        0
    }

    /// Opens further channels, all of which [`Self::receive`] counts from then on. Returns when it
    /// takes part in them.
    async fn open_channels(&mut self, _channels: usize) -> Result<()> {
        bail!("not measured with many channels")
    }

    /// Publishes one message on each further channel.
    async fn publish_each(&mut self, _run: u16) -> Result<u64> {
        bail!("not measured with many channels")
    }

    /// What publishes small messages on the further channels in turn while [`Self::publish`] is at
    /// work.
    fn beside(&self) -> Result<PublishBeside> {
        bail!("not measured with many channels")
    }
}

/// Publishes one small message, on the channel whose turn it is by its number.
pub(crate) type PublishBeside = Box<dyn Fn(Stamp) -> BoxFuture<'static, Result<()>> + Send>;

impl System {
    /// What people and `--systems` call it.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Why this binary cannot measure it on this machine.
    pub(crate) fn absent(self) -> Option<String> {
        let (built, feature) = match self {
            Self::Zenoh => (cfg!(feature = "zenoh"), "zenoh"),
            Self::Iroh => (cfg!(feature = "iroh"), "iroh"),
            Self::Nats => (cfg!(feature = "nats"), "nats"),
            Self::Redis => (cfg!(feature = "redis"), "redis"),
            _ => (true, ""),
        };
        if !built {
            return Some(format!("built without --features {feature}"));
        }
        self.broker()?.absent()
    }

    /// The broker it goes through, if any.
    pub(crate) const fn broker(self) -> Option<BrokerKind> {
        match self {
            Self::Nats => Some(BrokerKind::Nats),
            Self::Redis => Some(BrokerKind::Redis),
            _ => None,
        }
    }

    /// The largest message of the workload `large` it is given. NATS takes 1 MiB without a file of
    /// settings; the others hold whatever is published in a second or more, which is gigabytes if
    /// it is larger still.
    pub(crate) const fn longest_message(self) -> usize {
        match self {
            Self::Gossipsub | Self::GossipsubUnsigned | Self::Iroh | Self::Nats => 1024 * 1024,
            Self::Meshcast
            | Self::MeshcastShared
            | Self::MeshcastTuned
            | Self::Zenoh
            | Self::Redis
            | Self::Tcp
            | Self::TcpChacha => usize::MAX,
        }
    }

    /// Whether it is this project.
    pub(crate) const fn is_meshcast(self) -> bool {
        matches!(
            self,
            Self::Meshcast | Self::MeshcastShared | Self::MeshcastTuned
        )
    }

    /// Whether the publisher sends to each subscriber itself, whatever links there are to be.
    pub(crate) const fn is_star(self) -> bool {
        matches!(self, Self::Tcp | Self::TcpChacha)
    }

    /// Runs a node of it until the process is told to end.
    pub(crate) async fn work(self, spec: Spec) -> Result<()> {
        match self {
            Self::Meshcast => worker::work::<meshcast::Meshcast<false, false>>(spec).await,
            Self::MeshcastShared => worker::work::<meshcast::Meshcast<false, true>>(spec).await,
            Self::MeshcastTuned => worker::work::<meshcast::Meshcast<true, false>>(spec).await,
            Self::Gossipsub => worker::work::<gossipsub::Gossipsub<true>>(spec).await,
            Self::GossipsubUnsigned => worker::work::<gossipsub::Gossipsub<false>>(spec).await,
            Self::Tcp => worker::work::<tcp::Tcp<false>>(spec).await,
            Self::TcpChacha => worker::work::<tcp::Tcp<true>>(spec).await,
            #[cfg(feature = "zenoh")]
            Self::Zenoh => worker::work::<zenoh::Zenoh>(spec).await,
            #[cfg(feature = "iroh")]
            Self::Iroh => worker::work::<iroh::Iroh>(spec).await,
            #[cfg(feature = "nats")]
            Self::Nats => worker::work::<nats::Nats>(spec).await,
            #[cfg(feature = "redis")]
            Self::Redis => worker::work::<redis::Redis>(spec).await,
            #[cfg(not(all(
                feature = "zenoh",
                feature = "iroh",
                feature = "nats",
                feature = "redis"
            )))]
            other => bail!("{} is not in this binary", other.name()),
        }
    }
}

/// Waits for an item of a stream, and takes it and what else is there. Cancel-safe.
async fn drain<S: Stream + Unpin>(
    stream: &mut S,
    tally: &SharedTally,
    mut take: impl FnMut(&mut Tally, S::Item) -> Result<()>,
) -> Result<()> {
    let first = stream.next().await.context(ENDED)?;
    let mut tally = tally.lock();
    take(&mut tally, first)?;
    for _ in 1..BATCH {
        match stream.next().now_or_never() {
            Some(item) => take(&mut tally, item.context(ENDED)?)?,
            None => break,
        }
    }
    Ok(())
}

const ENDED: &str = "the system has stopped";

/// The interval at which the tally of a node is read that counts by itself. Times are written down
/// when a message comes, so this only delays the end of a count.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The most messages counted before a node looks up again.
const BATCH: usize = 1024;

/// The name of the one channel all of the benchmark goes through.
const CHANNEL: &str = "bench";
