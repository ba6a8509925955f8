//! Latency at a pace that every system keeps.

use anyhow::Result;

use super::{CPU, MICROS, P50, P99, START, complete, cpu_for_100k, quantiles, warm_fleet};
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
    Ok(figures(&measured.latency(), (P50, P99), &measured, start))
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
    Ok(figures(&last, (LAST_P50, LAST_P99), &measured, start))
}

fn figures(
    latency: &Histogram,
    titles: (Figure, Figure),
    measured: &Measured,
    start: f64,
) -> Figures {
    let mut figures = quantiles(latency, titles, MICROS);
    figures.extend([
        (CPU, cpu_for_100k(measured, measured.delivered())),
        (START, start),
    ]);
    complete(figures, measured)
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

pub(crate) const LAST_P50: Figure = Figure::compared("last_p50_us", "p50 µs until the last");
const LAST_P99: Figure = Figure::compared("last_p99_us", "p99 µs until the last");
