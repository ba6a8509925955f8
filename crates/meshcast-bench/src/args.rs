//! The command line.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use crate::{
    stamp::Stamp,
    suite::Plan,
    system::System,
    workload::{Settings, Workload},
};

/// Measures meshcast and what one could take instead, every node a process of its own.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// One short repetition of the main workloads with the systems of the default build: two
    /// minutes
    #[arg(long)]
    quick: bool,
    /// The systems [default: all but gossipsub-unsigned; with --quick those that are always built]
    #[arg(long, value_enum, value_delimiter = ',')]
    systems: Vec<System>,
    /// The workloads [default: all but full-flat and full-paced, and those that compare little in
    /// the first repetition alone; with --quick the main ones]
    #[arg(long, value_enum, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// How often all is measured [default: 3; with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    repetitions: Option<u16>,
    /// How long publishing as fast as it goes lasts, in seconds [default: 2; with --quick 1]
    #[arg(long)]
    seconds: Option<f64>,
    /// Sizes of the workload flat, in bytes [default: 64,1024,8192,65536; with --quick
    /// 64,1024,65536]
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,
    /// Channels of the workload channels
    #[arg(long, default_value_t = 5000)]
    channels: usize,
    /// Nodes of the workload channels
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..=50))]
    channel_nodes: u16,
    /// The system that ratios are made against
    #[arg(long, value_enum, default_value_t = System::Gossipsub)]
    baseline: System,
    /// Where report.md, results.json and the plots go
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

/// What this program does as a child of itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Be a node
    #[command(hide = true)]
    Node {
        /// What node, as JSON
        spec: String,
    },
    /// Be a mesh
    #[command(hide = true)]
    Mesh {
        /// What mesh, as JSON
        spec: String,
    },
    /// Become a broker that ends with the benchmark
    #[command(hide = true)]
    Guard {
        /// The broker
        program: PathBuf,
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

impl RunArgs {
    /// # Errors
    /// If some value cannot work.
    pub(crate) fn plan(self) -> Result<Plan> {
        let quick = self.quick;
        let seconds = self.seconds.unwrap_or(if quick { 1.0 } else { 2.0 });
        if !(0.1..=60.0).contains(&seconds) {
            bail!("--seconds has to be from 0.1 to 60");
        }
        let sizes = given(self.sizes, if quick { &QUICK_SIZES } else { &SIZES });
        if let Some(size) = sizes
            .iter()
            .find(|size| !(Stamp::LEN..=MAX_SIZE).contains(*size))
        {
            bail!("--sizes {size} is not from {} to {MAX_SIZE}", Stamp::LEN);
        }
        let workloads: &[Workload] = if quick { &QUICK_WORKLOADS } else { &WORKLOADS };
        let systems: &[System] = if quick { &LIGHT } else { &SYSTEMS };
        let once: &[Workload] = if self.workloads.is_empty() {
            &ONCE
        } else {
            &[]
        };
        Ok(Plan {
            settings: Settings {
                seconds,
                idle_messages: if quick { 500 } else { 2000 },
                paced_seconds: if quick { 2 } else { 5 },
                sizes,
                rates: RATES.to_vec(),
                channels: self.channels,
                channel_nodes: self.channel_nodes.into(),
                large_sizes: LARGE_SIZES.to_vec(),
                meshes: MESHES.to_vec(),
            },
            systems: given(self.systems, systems),
            workloads: given(self.workloads, workloads),
            once: once.to_vec(),
            repetitions: self.repetitions.unwrap_or(if quick { 1 } else { 3 }).into(),
            baseline: self.baseline,
            output: self.output,
        })
    }
}

fn given<T: Clone>(given: Vec<T>, default: &[T]) -> Vec<T> {
    if given.is_empty() {
        default.to_vec()
    } else {
        given
    }
}

const SIZES: [usize; 4] = [64, 1024, 8192, 65_536];
const QUICK_SIZES: [usize; 3] = [64, 1024, 65_536];
const LARGE_SIZES: [usize; 3] = [64 * 1024, 1024 * 1024, 16 * 1024 * 1024];
const MESHES: [usize; 4] = [10, 25, 50, 100];
/// meshcast's default for the longest message.
const MAX_SIZE: usize = 1024 * 1024;

const RATES: [u64; 8] = [
    1000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000, 4_000_000,
];

const LIGHT: [System; 6] = [
    System::Meshcast,
    System::MeshcastTuned,
    System::Gossipsub,
    System::GossipsubUnsigned,
    System::Tcp,
    System::TcpChacha,
];

const SYSTEMS: [System; 9] = [
    System::Meshcast,
    System::MeshcastTuned,
    System::Gossipsub,
    System::Zenoh,
    System::Iroh,
    System::Nats,
    System::Redis,
    System::Tcp,
    System::TcpChacha,
];

/// All that is compared three times in less than half an hour.
const WORKLOADS: [Workload; 13] = [
    Workload::Idle,
    Workload::Flat,
    Workload::Typed,
    Workload::MeshFlat,
    Workload::MeshPaced,
    Workload::Stall,
    Workload::Load,
    Workload::Large,
    Workload::Busy,
    Workload::Memory,
    Workload::Allocations,
    Workload::Channels,
    Workload::Nodes,
];

/// Of those, the ones that differ little from time to time or take long.
const ONCE: [Workload; 6] = [
    Workload::Load,
    Workload::Large,
    Workload::Memory,
    Workload::Allocations,
    Workload::Channels,
    Workload::Nodes,
];

const QUICK_WORKLOADS: [Workload; 6] = [
    Workload::Idle,
    Workload::Flat,
    Workload::Typed,
    Workload::MeshFlat,
    Workload::MeshPaced,
    Workload::Allocations,
];
