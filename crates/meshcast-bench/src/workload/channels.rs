//! Many channels open on every node.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::{CPU, MILLIS, REORDERED, complete, cpu_for_100k, memory, quantiles, warm_fleet};
use crate::{
    fleet::Setup,
    results::{Figure, Figures},
};

/// Opens them everywhere at the same time, posts once on each, and watches what they cost when
/// idle.
pub(super) async fn run(setup: Setup, channels: usize) -> Result<Figures> {
    let (mut fleet, _) = warm_fleet(setup).await?;
    let before = fleet.memory()?[0].anonymous;
    let joined = fleet.open_channels(channels).await?;
    sleep(CALM).await;
    let after = fleet.memory()?[0].anonymous;
    let cpu = memory::idle_cpu(&mut fleet).await? / setup.shape.nodes() as f64;
    let measured = fleet.measure_each().await?;
    fleet.end().await?;
    let mut figures = vec![
        (JOIN, joined.as_secs_f64()),
        (memory::CHANNEL, (after - before) * 1024.0 / channels as f64),
        (memory::IDLE_CPU, cpu),
        (RATE, measured.rate()),
    ];
    figures.extend(quantiles(&measured.latency(), (P50_MS, P99_MS), MILLIS));
    figures.push((CPU, cpu_for_100k(&measured, measured.delivered())));
    let mut figures = complete(figures, &measured);
    // Between channels there is no order.
    figures.retain(|(figure, _)| *figure != REORDERED);
    Ok(figures)
}

const CALM: Duration = Duration::from_secs(5);

const JOIN: Figure = Figure::shown("join_s", "join s");
const RATE: Figure = Figure::shown("delivered_per_s", "posts on all: delivered/s");
const P50_MS: Figure = Figure::shown("p50_ms", "p50 ms");
const P99_MS: Figure = Figure::shown("p99_ms", "p99 ms");
