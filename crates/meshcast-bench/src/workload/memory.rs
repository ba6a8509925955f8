//! The memory of a node while nothing happens.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::warm_fleet;
use crate::{
    fleet::{Fleet, Setup},
    results::{Figure, Figures},
};

/// Of a node with one peer, and how much more with seven; for meshcast also how much more with a
/// thousand channels.
pub(super) async fn run(pair: Setup, eight: Setup) -> Result<Figures> {
    let (mut fleet, _) = warm_fleet(pair).await?;
    sleep(CALM).await;
    let alone = fleet.memory()?[0];
    let broker = fleet.broker_memory()?;
    let cpu = idle_cpu(&mut fleet).await?;
    let mut figures = vec![
        (RSS, alone.rss),
        (ANONYMOUS, alone.anonymous),
        (IDLE_CPU, cpu / fleet.memory()?.len() as f64),
    ];
    figures.extend(broker.map(|broker| (BROKER, broker.rss)));
    if pair.system.is_meshcast() {
        fleet.open_channels(CHANNELS).await?;
        sleep(CALM).await;
        let more = fleet.memory()?[0].anonymous - alone.anonymous;
        figures.push((CHANNEL, more * 1024.0 / CHANNELS as f64));
    }
    fleet.end().await?;

    let (fleet, _) = warm_fleet(eight).await?;
    sleep(CALM).await;
    let more = fleet.memory()?[0].anonymous - alone.anonymous;
    fleet.end().await?;
    figures.push((
        PEER,
        more * 1024.0 / (eight.shape.nodes() - pair.shape.nodes()) as f64,
    ));
    Ok(figures)
}

/// Milliseconds of CPU a second, of all processes.
pub(super) async fn idle_cpu(fleet: &mut Fleet) -> Result<f64> {
    let before = fleet.cpu().await?;
    sleep(WATCHED).await;
    let used = fleet.cpu().await? - before;
    Ok(used as f64 / 1e6 / WATCHED.as_secs_f64())
}

const CHANNELS: usize = 1000;
const CALM: Duration = Duration::from_secs(1);
const WATCHED: Duration = Duration::from_secs(2);

pub(crate) const RSS: Figure = Figure::shown("rss_mib", "RSS MiB");
const ANONYMOUS: Figure = Figure::shown("rss_anonymous_mib", "of it anonymous");
const BROKER: Figure = Figure::shown("rss_broker_mib", "broker RSS MiB");
pub(crate) const PEER: Figure = Figure::shown("peer_kib", "KiB a peer");
pub(crate) const CHANNEL: Figure = Figure::shown("channel_kib", "KiB a channel");
pub(super) const IDLE_CPU: Figure = Figure::shown("idle_cpu_ms_per_s", "idle CPU ms/s a node");
