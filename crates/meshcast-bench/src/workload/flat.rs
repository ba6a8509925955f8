//! Throughput: as fast as the system lets the publisher.

use anyhow::Result;

use super::{CPU, MILLIS, complete, cpu_for_100k, quantiles, warm_fleet};
use crate::{
    fleet::{Measured, Setup},
    process::Memory,
    protocol::{Load, Payload},
    results::{Figure, Figures},
};

/// To one subscriber.
pub(super) async fn one_to_one(setup: Setup, seconds: f64) -> Result<Figures> {
    run(setup, seconds, RATE).await
}

/// To seven.
pub(super) async fn one_to_many(setup: Setup, seconds: f64) -> Result<Figures> {
    run(setup, seconds, DELIVERED).await
}

async fn run(setup: Setup, seconds: f64, rate: Figure) -> Result<Figures> {
    let (mut fleet, _) = warm_fleet(setup).await?;
    let measured = fleet.measure(Load::Flat { seconds }, false).await?;
    let (memory, broker) = (fleet.memory()?, fleet.broker_memory()?);
    fleet.end().await?;
    let mut figures = rates(&measured, setup.payload, rate);
    figures.push((CPU, cpu_for_100k(&measured, measured.delivered())));
    figures.extend(peaks(&memory, broker));
    figures.push((BEHIND, behind(&measured)));
    Ok(complete(figures, &measured))
}

/// The rate at which messages came, and how long they were on the way.
pub(super) fn rates(measured: &Measured, payload: Payload, rate: Figure) -> Figures {
    let mut figures = vec![(rate, measured.rate())];
    if let Payload::Bytes(size) = payload {
        figures.push((MB, measured.rate() * size as f64 / 1e6));
    }
    figures.extend(quantiles(
        &measured.latency(),
        (LOADED_P50, LOADED_P99),
        MILLIS,
    ));
    figures
}

/// Peak memory of the publisher, of the subscriber that took most, and of the broker.
pub(super) fn peaks(memory: &[Memory], broker: Option<Memory>) -> Figures {
    let subscriber = memory[1..].iter().map(|it| it.peak).fold(0.0, f64::max);
    let mut figures = vec![
        (PEAK_PUBLISHER, memory[0].peak),
        (PEAK_SUBSCRIBER, subscriber),
    ];
    figures.extend(broker.map(|broker| (PEAK_BROKER, broker.peak)));
    figures
}

/// How much longer than the publishing the arriving lasted, in milliseconds.
fn behind(measured: &Measured) -> f64 {
    let last = measured.counted.iter().map(|one| one.counts.last_at).max();
    last.unwrap_or(0).saturating_sub(measured.published.ended) as f64 / MILLIS
}

pub(crate) const RATE: Figure = Figure::compared("messages_per_s", "msg/s");
pub(crate) const DELIVERED: Figure = Figure::compared("delivered_per_s", "delivered/s");
const MB: Figure = Figure::shown("mb_per_s", "MB/s");
pub(crate) const LOADED_P50: Figure = Figure::shown("loaded_p50_ms", "p50 ms");
const LOADED_P99: Figure = Figure::shown("loaded_p99_ms", "p99 ms");
pub(crate) const PEAK_PUBLISHER: Figure = Figure::shown("peak_rss_publisher_mib", "peak MiB pub");
pub(crate) const PEAK_SUBSCRIBER: Figure = Figure::shown("peak_rss_subscriber_mib", "peak MiB sub");
const PEAK_BROKER: Figure = Figure::shown("peak_rss_broker_mib", "peak MiB broker");
const BEHIND: Figure = Figure::shown("behind_ms", "behind ms");
