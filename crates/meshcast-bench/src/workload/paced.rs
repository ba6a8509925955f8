//! Latency at a pace that every system keeps.

use anyhow::Result;

use super::{CPU, P50, P99, START, accounts, cpu_for_100k, micros, warm_fleet};
use crate::{
    fleet::{Measured, Setup},
    histogram::Histogram,
    protocol::Load,
    results::{Figure, Figures},
};

/// One to one, every 2 ms.
pub(super) async fn one_to_one(setup: Setup, messages: u64) -> Result<Figures> {
    let load = Load::Paced {
        per_second: 500.0,
        messages,
    };
    let (mut fleet, start) = warm_fleet(setup).await?;
    let measured = fleet.measure(load, false).await?;
    fleet.end().await?;
    let latency = measured.latency();
    let mut figures = vec![
        (P50, micros(latency.quantile(0.5))),
        (P99, micros(latency.quantile(0.99))),
        (CPU, cpu_for_100k(&measured, measured.delivered())),
        (START, start),
    ];
    figures.extend(accounts(&measured));
    Ok(figures)
}

/// One to all others, 100 times a second: until the last has it.
pub(super) async fn one_to_many(setup: Setup, seconds: u64) -> Result<Figures> {
    let load = Load::Paced {
        per_second: 100.0,
        messages: 100 * seconds,
    };
    let (mut fleet, start) = warm_fleet(setup).await?;
    let measured = fleet.measure(load, true).await?;
    fleet.end().await?;
    let last = until_the_last(&measured);
    let mut figures = vec![
        (LAST_P50, micros(last.quantile(0.5))),
        (LAST_P99, micros(last.quantile(0.99))),
        (CPU, cpu_for_100k(&measured, measured.delivered())),
        (START, start),
    ];
    figures.extend(accounts(&measured));
    Ok(figures)
}

/// The longest way of each message, of those that all have.
fn until_the_last(measured: &Measured) -> Histogram {
    let subscribers = measured.counted.len();
    let mut ways = vec![(0, 0); measured.published.messages as usize];
    for (number, way) in measured.counted.iter().flat_map(|one| &one.ways) {
        if let Some((copies, longest)) = ways.get_mut(*number as usize) {
            *copies += 1;
            *longest = (*way).max(*longest);
        }
    }
    let mut last = Histogram::default();
    let everywhere = ways.iter().filter(|(copies, _)| *copies == subscribers);
    everywhere.for_each(|(_, longest)| last.record(*longest));
    last
}

const LAST_P50: Figure = Figure::compared("last_p50_us", "p50 µs until the last");
const LAST_P99: Figure = Figure::compared("last_p99_us", "p99 µs until the last");
