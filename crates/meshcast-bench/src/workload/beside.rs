//! What a channel that is busy does to small messages on quiet ones.

use anyhow::Result;

use super::{CPU, MICROS, complete, cpu_for_100k, flat, quantiles, warm_fleet};
use crate::{
    fleet::{Measured, Setup},
    histogram::Histogram,
    protocol::Load,
    results::{Figure, Figures},
};

/// Channels beside the busy one, and the messages on all of them together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet {
    pub(super) channels: usize,
    pub(super) per_second: f64,
}

/// One to one, as fast as it goes. The quiet channels, of systems that are measured with several,
/// first by themselves, then beside it.
pub(super) async fn run(setup: Setup, seconds: f64, quiet: Quiet) -> Result<Figures> {
    let load = Load::Flat { seconds };
    let (mut fleet, _) = warm_fleet(setup).await?;
    let (calm, measured) = if setup.system.is_meshcast() {
        fleet.open_channels(quiet.channels).await?;
        let calm = Load::Silent { seconds };
        let calm = fleet.measure_beside(calm, quiet.per_second).await?;
        (
            Some(calm),
            fleet.measure_beside(load, quiet.per_second).await?,
        )
    } else {
        (None, fleet.measure(load, false).await?)
    };
    let (memory, broker) = (fleet.memory()?, fleet.broker_memory()?);
    fleet.end().await?;
    let mut figures = flat::rates(&measured, setup.payload, flat::RATE);
    if let Some(calm) = calm {
        let (alone, beside) = (latency(&calm), latency(&measured));
        figures.extend(quantiles(&alone, (ALONE_P50, ALONE_P99), MICROS));
        figures.extend(quantiles(&beside, (BESIDE_P50, BESIDE_P99), MICROS));
        figures.push((BESIDE_LOST, measured.lost_beside() as f64));
    }
    figures.push((CPU, cpu_for_100k(&measured, measured.delivered())));
    figures.extend(flat::peaks(&memory, broker));
    Ok(complete(figures, &measured))
}

/// The ways of the messages on the quiet channels.
fn latency(measured: &Measured) -> Histogram {
    let mut all = Histogram::default();
    let beside = measured
        .counted
        .iter()
        .filter_map(|one| one.beside.as_ref());
    beside.for_each(|one| all.merge(&one.latency));
    all
}

const ALONE_P50: Figure = Figure::shown("quiet_alone_p50_us", "quiet alone p50 µs");
const ALONE_P99: Figure = Figure::shown("quiet_alone_p99_us", "p99 µs");
const BESIDE_P50: Figure = Figure::shown("quiet_beside_p50_us", "quiet beside p50 µs");
pub(crate) const BESIDE_P99: Figure = Figure::shown("quiet_beside_p99_us", "p99 µs");
pub(crate) const BESIDE_LOST: Figure = Figure::shown("quiet_lost", "quiet lost");
