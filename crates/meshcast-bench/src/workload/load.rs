//! Latency against offered load.

use anyhow::Result;

use super::{MICROS, P50, P99, Settings, Workload, complete, quantiles, warm_fleet};
use crate::{
    fleet::Setup,
    protocol::Load,
    results::{Figure, Figures},
};

/// One fleet through rising rates, until it no longer keeps up.
pub(super) async fn run(setup: Setup, settings: &Settings) -> Result<Vec<(String, Figures)>> {
    let (mut fleet, _) = warm_fleet(setup).await?;
    let mut points = Vec::new();
    for &rate in &settings.rates {
        let load = Load::Paced {
            per_second: rate as f64,
            messages: rate,
        };
        let measured = fleet.measure(load, false).await?;
        let achieved = measured.rate();
        let mut figures = vec![(OFFERED, rate as f64), (ACHIEVED, achieved)];
        figures.extend(quantiles(&measured.latency(), (P50, P99), MICROS));
        points.push((case_name(rate), complete(figures, &measured)));
        if achieved < KEPT_UP * rate as f64 {
            break;
        }
    }
    fleet.end().await?;
    Ok(points)
}

fn case_name(rate: u64) -> String {
    format!("{} {rate} a second", Workload::Load.name())
}

/// A system that delivers less than this part of what is offered is past its limit.
const KEPT_UP: f64 = 0.9;

const OFFERED: Figure = Figure::shown("offered_per_s", "offered/s");
const ACHIEVED: Figure = Figure::compared("achieved_per_s", "delivered/s");
