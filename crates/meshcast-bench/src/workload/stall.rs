//! A subscriber whose machine freezes for a while.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::{complete, warm_fleet};
use crate::{
    fleet::Setup,
    histogram::Histogram,
    process::NodeProcess,
    protocol::Load,
    results::{Figure, Figures},
    tally::Counted,
};

/// First without the freeze, for what to compare the others' latency with, then with it.
pub(super) async fn run(setup: Setup) -> Result<Figures> {
    let (mut fleet, _) = warm_fleet(setup).await?;
    let calm = fleet.measure(paced(CALM_SECONDS), false).await?;
    let freeze = async |subscribers: &[NodeProcess]| {
        sleep(BEFORE).await;
        subscribers[FROZEN].freeze(true)?;
        sleep(FREEZE).await;
        subscribers[FROZEN].freeze(false)
    };
    let measured = fleet.measure_while(paced(SECONDS), false, freeze).await?;
    let memory = fleet.memory()?;
    fleet.end().await?;

    let published = measured.published.messages;
    let lost = |one: &Counted| published.saturating_sub(one.counts.received) as f64;
    let others = measured.counted.iter().enumerate();
    let others: Vec<&Counted> = others
        .filter(|(index, _)| *index != FROZEN)
        .map(|(_, one)| one)
        .collect();
    let p99 = |of: &[&Counted]| {
        let mut all = Histogram::default();
        of.iter().for_each(|one| all.merge(&one.latency));
        all.quantile(0.99) as f64 / 1e3
    };
    let calm: Vec<&Counted> = calm.counted.iter().collect();
    let figures = vec![
        (LOST_FROZEN, lost(&measured.counted[FROZEN])),
        (LOST_OTHERS, others.iter().map(|one| lost(one)).sum()),
        (CALM_P99, p99(&calm)),
        (OTHERS_P99, p99(&others)),
        (OTHERS_RATIO, p99(&others) / p99(&calm).max(1.0)),
        (PEAK, memory[0].peak),
    ];
    Ok(complete(figures, &measured))
}

fn paced(seconds: u64) -> Load {
    Load::Paced {
        per_second: 1000.0,
        messages: 1000 * seconds,
    }
}

const CALM_SECONDS: u64 = 3;
const SECONDS: u64 = 8;
const BEFORE: Duration = Duration::from_secs(2);
const FREEZE: Duration = Duration::from_secs(4);

/// Among the subscribers: node 2, which in the ring has no link to the publisher.
const FROZEN: usize = 1;

const LOST_FROZEN: Figure = Figure::shown("lost_by_frozen", "lost by the frozen");
const LOST_OTHERS: Figure = Figure::shown("lost_by_others", "lost by the others");
const CALM_P99: Figure = Figure::shown("calm_p99_us", "p99 µs before");
const OTHERS_P99: Figure = Figure::shown("others_p99_us", "others' p99 µs");
pub(crate) const OTHERS_RATIO: Figure = Figure::shown("others_p99_ratio", "others' p99 ×");
const PEAK: Figure = Figure::shown("peak_rss_publisher_mib", "peak MiB pub");
