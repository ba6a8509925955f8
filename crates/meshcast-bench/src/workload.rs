//! What is measured of each system.

mod allocations;
mod beside;
mod channels;
mod copies;
mod flat;
mod load;
mod memory;
mod nodes;
mod paced;
mod stall;

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    fleet::{Fleet, Measured, Setup, Shape},
    histogram::Histogram,
    protocol::Payload,
    results::{Figure, Figures},
    system::System,
};

/// A kind of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// One to one, 64 bytes every 2 ms: the way of a message when nothing else happens.
    Idle,
    /// One to one as fast as it goes, in each of the sizes.
    Flat,
    /// The same with a struct through serde. meshcast alone.
    Typed,
    /// One to seven over three links a node, 256 bytes as fast as it goes.
    MeshFlat,
    /// One to seven over three links a node, 256 bytes 100 times a second, until the last has it.
    MeshPaced,
    /// As `mesh-flat`, with every node linked to every other.
    FullFlat,
    /// As `mesh-paced`, with every node linked to every other.
    FullPaced,
    /// One to seven, 256 bytes 1,000 times a second, while a subscriber is frozen for 4 s.
    Stall,
    /// What a node holds when it idles: at all, for each peer, for each open channel.
    Memory,
    /// Allocations for each message, one to one as fast as it goes.
    Allocations,
    /// The copies of a byte in memory, one to one as fast as it goes. Builds with `--features
    /// copies` alone.
    Copies,
    /// One to one, 256 bytes at rising rates: latency against offered load.
    Load,
    /// One to one, large values as fast as it goes; meshcast's also with 64 bytes every 5 ms on
    /// another channel.
    Large,
    /// One to one, 256 bytes as fast as it goes beside 100 quiet channels. meshcast alone.
    Busy,
    /// Many channels open on ten nodes. meshcast alone.
    Channels,
    /// Ever more nodes in one process, over links as long as those between regions. meshcast alone.
    Nodes,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How long publishing as fast as it goes lasts, in seconds.
    pub(crate) seconds: f64,
    /// Messages of the workload `idle`.
    pub(crate) idle_messages: u64,
    /// Seconds of the workloads at a pace.
    pub(crate) paced_seconds: u64,
    /// Sizes of the workload `flat`, in bytes.
    pub(crate) sizes: Vec<usize>,
    /// Rates of the workload `load`, rising, messages a second.
    pub(crate) rates: Vec<u64>,
    /// Channels of the workload `channels`.
    pub(crate) channels: usize,
    /// Nodes of the workload `channels`.
    pub(crate) channel_nodes: usize,
    /// Sizes of the workload `large`, in bytes.
    pub(crate) large_sizes: Vec<usize>,
    /// Numbers of nodes of the workload `nodes`.
    pub(crate) meshes: Vec<usize>,
}

/// A workload with its parameters: one table of the report.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) workload: Workload,
    payload: Payload,
    /// Of the workload `nodes`.
    nodes: Option<usize>,
}

impl Workload {
    /// The tables it makes.
    pub(crate) fn cases(self, settings: &Settings) -> Vec<Case> {
        let sizes = |sizes: &[usize]| sizes.iter().copied().map(Payload::Bytes).collect();
        let payloads = match self {
            Self::Nodes => {
                let case = |nodes| Case {
                    workload: self,
                    payload: Payload::Bytes(256),
                    nodes: Some(nodes),
                };
                return settings.meshes.iter().copied().map(case).collect();
            }
            Self::Flat | Self::Copies => sizes(&settings.sizes),
            Self::Large => sizes(&settings.large_sizes),
            Self::Typed => vec![Payload::Typed],
            Self::Allocations => vec![Payload::Bytes(64), Payload::Typed],
            Self::Idle | Self::Memory | Self::Channels => vec![Payload::Bytes(64)],
            _ => vec![Payload::Bytes(256)],
        };
        let case = |payload| Case {
            workload: self,
            payload,
            nodes: None,
        };
        payloads.into_iter().map(case).collect()
    }

    /// The number in the name of a case of this workload, if there is one: the size or the rate.
    pub(crate) fn parameter(self, case: &str) -> Option<f64> {
        let parameter = || case.split(' ').nth(1)?.parse().ok();
        self.owns(case).then(parameter).flatten()
    }

    /// Whether a case of that name is of this workload.
    pub(crate) fn owns(self, case: &str) -> bool {
        case.split(' ').next() == Some(&self.name())
    }

    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Case {
    /// Its name in the report. Results of one name are compared with each other.
    pub(crate) fn name(&self) -> String {
        let workload = self.workload.name();
        if let Some(nodes) = self.nodes {
            return format!("{workload} {nodes}");
        }
        match (self.workload, self.payload) {
            (
                Workload::Flat | Workload::Large | Workload::Allocations | Workload::Copies,
                Payload::Bytes(size),
            ) => {
                format!("{workload} {size} B")
            }
            (Workload::Allocations, Payload::Typed) => format!("{workload} typed"),
            _ => workload,
        }
    }

    /// Whether it can be measured of a system.
    pub(crate) fn applies(&self, system: System) -> bool {
        if let (Workload::Large, Payload::Bytes(size)) = (self.workload, self.payload) {
            return size <= system.longest_message();
        }
        let own = matches!(
            self.workload,
            Workload::Channels | Workload::Busy | Workload::Nodes
        );
        system.is_meshcast() || !(own || self.payload == Payload::Typed)
    }

    /// Measures it. Figures come with the name they belong to.
    pub(crate) async fn run(
        &self,
        system: System,
        settings: &Settings,
    ) -> Result<Vec<(String, Figures)>> {
        let setup = |shape| Setup {
            system,
            shape,
            payload: self.payload,
            count_allocations: self.workload == Workload::Allocations,
        };
        let pair = setup(Shape::Full(2));
        let figures = match self.workload {
            Workload::Idle => paced::one_to_one(pair, settings.idle_messages).await?,
            Workload::Flat | Workload::Typed => flat::one_to_one(pair, settings.seconds).await?,
            Workload::MeshFlat => flat::one_to_many(setup(Shape::Ring), settings.seconds).await?,
            Workload::FullFlat => {
                flat::one_to_many(setup(Shape::Full(8)), settings.seconds).await?
            }
            Workload::MeshPaced => {
                paced::one_to_many(setup(Shape::Ring), settings.paced_seconds).await?
            }
            Workload::FullPaced => {
                paced::one_to_many(setup(Shape::Full(8)), settings.paced_seconds).await?
            }
            Workload::Stall => stall::run(setup(Shape::Ring)).await?,
            Workload::Memory => memory::run(pair, setup(Shape::Full(8))).await?,
            Workload::Allocations => allocations::run(pair, settings.seconds).await?,
            Workload::Copies => copies::run(pair, settings.seconds).await?,
            Workload::Large => beside::run(pair, settings.seconds, BESIDE_LARGE).await?,
            Workload::Busy => beside::run(pair, settings.seconds, BESIDE_BUSY).await?,
            Workload::Nodes => nodes::run(self.nodes.unwrap_or_default()).await?,
            Workload::Load => return load::run(pair, settings).await,
            Workload::Channels => {
                let many = setup(Shape::Full(settings.channel_nodes));
                channels::run(many, settings.channels).await?
            }
        };
        Ok(vec![(self.name(), figures)])
    }
}

/// A fleet that has heard its first messages, and how many milliseconds they took.
async fn warm_fleet(setup: Setup) -> Result<(Fleet, f64)> {
    let mut fleet = Fleet::start(setup).await?;
    let took = fleet.warm_up().await?;
    Ok((fleet, took.as_secs_f64() * 1e3))
}

/// The figures of a workload, and after them what every measurement tells of its messages.
fn complete(mut figures: Figures, measured: &Measured) -> Figures {
    let sum = |of: fn(&crate::tally::Counts) -> u64| -> f64 {
        measured
            .counted
            .iter()
            .map(|one| of(&one.counts))
            .sum::<u64>() as f64
    };
    figures.extend([
        (PUBLISHED, measured.published.messages as f64),
        (REFUSED, measured.published.refused as f64),
        (LOST, measured.lost() as f64),
        (DUPLICATES, sum(|counts| counts.duplicates)),
        (REORDERED, sum(|counts| counts.reordered)),
        (
            DROPS,
            measured
                .counted
                .iter()
                .map(|one| one.dropped())
                .sum::<u64>() as f64,
        ),
        (OTHERS, measured.others),
    ]);
    figures
}

/// What half and 99 of a hundred took at most, in a unit of so many nanoseconds.
fn quantiles(of: &Histogram, (p50, p99): (Figure, Figure), unit: f64) -> Figures {
    let quantile = |part| of.quantile(part) as f64 / unit;
    vec![(p50, quantile(0.5)), (p99, quantile(0.99))]
}

/// Seconds of CPU of all processes for 100,000 of something.
fn cpu_for_100k(measured: &Measured, of: u64) -> f64 {
    measured.cpu as f64 / 1e9 / (of.max(1) as f64 / 1e5)
}

/// Nanoseconds.
const MICROS: f64 = 1e3;
const MILLIS: f64 = 1e6;

/// One channel, every 5 ms.
const BESIDE_LARGE: beside::Quiet = beside::Quiet {
    channels: 1,
    per_second: 200.0,
};
/// A hundred, five times a second each.
const BESIDE_BUSY: beside::Quiet = beside::Quiet {
    channels: 100,
    per_second: 500.0,
};

pub(crate) use beside::{BESIDE_LOST, BESIDE_P99};
pub(crate) use flat::{DELIVERED, LOADED_P50, PEAK_PUBLISHER, PEAK_SUBSCRIBER, RATE};
pub(crate) use memory::{CHANNEL, PEER, RSS};
pub(crate) use paced::LAST_P50;
pub(crate) use stall::OTHERS_RATIO;

pub(crate) const P50: Figure = Figure::compared("p50_us", "p50 µs");
pub(crate) const P99: Figure = Figure::compared("p99_us", "p99 µs");
pub(crate) const CPU: Figure = Figure::compared("cpu_s_per_100k", "CPU s / 100k");
const START: Figure = Figure::shown("first_message_ms", "first message ms");
const PUBLISHED: Figure = Figure::shown("published", "published");
const REFUSED: Figure = Figure::shown("refused", "refused");
pub(crate) const LOST: Figure = Figure::shown("lost", "lost");
const DUPLICATES: Figure = Figure::shown("duplicates", "dup.");
pub(crate) const REORDERED: Figure = Figure::shown("reordered", "reord.");
const DROPS: Figure = Figure::shown("drops_told", "drops told");
const OTHERS: Figure = Figure::shown("other_cores", "others' cores");
