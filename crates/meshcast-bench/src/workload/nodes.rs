//! The cost of a node as there are more of them.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::{MICROS, MILLIS};
use crate::{
    mesh::{Costs, Spec},
    results::{Figure, Figures},
};

/// All in one process, over links as long as those between regions.
pub(super) async fn run(nodes: usize) -> Result<Figures> {
    let costs = costs(&Spec { nodes }).await?;
    let each = nodes as f64;
    let a_second = |idle: u64| idle as f64 / costs.idle.seconds / each;
    let deliveries = costs.deliveries.max(1) as f64;
    Ok(vec![
        (JOIN, costs.join_s),
        (LACKING, costs.links_lacking as f64),
        (RSS, costs.anonymous_mib * 1024.0 / each),
        (IDLE_CPU, a_second(costs.idle.cpu) / 1e6),
        (IDLE_WIRE, a_second(costs.idle.wire) / 1024.0),
        (IDLE_SYNC, a_second(costs.idle.sync) / 1024.0),
        (CPU, costs.busy.cpu as f64 / MICROS / deliveries),
        (WIRE, costs.busy.wire as f64 / deliveries),
        (SYNC, costs.busy.sync as f64 / deliveries),
        (COPIES, costs.busy.copies as f64 / deliveries),
        (P50, costs.p50 as f64 / MILLIS),
        (P99, costs.p99 as f64 / MILLIS),
        (POSTED, costs.posted as f64),
        (LOST, costs.expected.saturating_sub(costs.deliveries) as f64),
        (REQUESTS, costs.requests as f64),
        (REPAIRED, costs.repaired as f64),
    ])
}

async fn costs(spec: &Spec) -> Result<Costs> {
    let child = Command::new(std::env::current_exe()?)
        .arg("mesh")
        .arg(serde_json::to_string(spec)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.wait_with_output().await?;
    ensure!(
        output.status.success(),
        "the mesh failed: {}",
        output.status
    );
    serde_json::from_slice(&output.stdout).context("the mesh said something odd")
}

const JOIN: Figure = Figure::shown("join_s", "join s");
const LACKING: Figure = Figure::shown("links_lacking", "links lacking");
const RSS: Figure = Figure::shown("node_kib", "KiB a node");
const IDLE_CPU: Figure = Figure::shown("idle_cpu_ms_per_s", "idle CPU ms/s a node");
const IDLE_WIRE: Figure = Figure::shown("idle_wire_kib_per_s", "idle wire KiB/s a node");
const IDLE_SYNC: Figure = Figure::shown("idle_sync_kib_per_s", "of it digests");
const CPU: Figure = Figure::shown("cpu_us_per_delivery", "CPU µs a delivery");
const WIRE: Figure = Figure::shown("wire_bytes_per_delivery", "wire bytes a delivery");
const SYNC: Figure = Figure::shown("sync_bytes_per_delivery", "of it digests");
const COPIES: Figure = Figure::shown("copies_per_delivery", "copies a delivery");
const P50: Figure = Figure::shown("p50_ms", "p50 ms");
const P99: Figure = Figure::shown("p99_ms", "p99 ms");
const POSTED: Figure = Figure::shown("posted", "posted");
const LOST: Figure = Figure::shown("lost", "lost");
const REQUESTS: Figure = Figure::shown("requests", "requests");
const REPAIRED: Figure = Figure::shown("frames_repaired", "repaired");
