//! meshcast beside what one could take instead, in the same run.
//!
//! Every node is a process of its own: this program, started again with the argument `node`. The
//! process that compares starts them, tells them what to do over pipes, and reads what they
//! counted.

mod allocations;
mod args;
mod broker;
mod clock;
mod conditions;
mod copies;
mod fleet;
mod goals;
mod histogram;
mod mesh;
mod plot;
mod process;
mod protocol;
mod report;
mod results;
mod stamp;
mod suite;
mod system;
mod tally;
mod worker;
mod workload;

use anyhow::Result;
use clap::Parser as _;

use args::{Args, Command};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

fn main() -> Result<()> {
    let args = Args::parse();
    match args.command {
        Some(Command::Node { spec }) => worker::run(&spec),
        Some(Command::Mesh { spec }) => mesh::run(&spec),
        Some(Command::Guard { program, arguments }) => broker::guard(&program, &arguments),
        None => {
            // On this one thread: children end when the thread that started them does.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(suite::run(&args.run.plan()?))
        }
    }
}
