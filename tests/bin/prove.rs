//! Runs fleets of real processes under faults, judges what they wrote down, and prints figures.
//!
//! ```text
//! cargo run --release -p meshcast-tests --bin prove -- steady --minutes 10 --rate 300
//! cargo run --release -p meshcast-tests --bin prove -- all --quick
//! ```
//!
//! Exit status 1: a guarantee was broken, or a figure is over its limit.

use std::{env, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use meshcast_tests::{
    member,
    prove::{Bench, Common, HEADER, Scenario},
};

#[derive(Debug, Parser)]
#[command(about = "Proves the guarantees of meshcast with real processes under faults")]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Prove(Scenario),
    /// Runs one process of a fleet.
    #[command(hide = true)]
    Member(Box<member::Options>),
}

fn main() -> Result<ExitCode> {
    let Cli { common, command } = Cli::parse();
    match command {
        Command::Member(options) => member::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Prove(scenario) => prove(common, &scenario),
    }
}

fn prove(common: Common, scenario: &Scenario) -> Result<ExitCode> {
    let untimed = common.untimed;
    let mut bench = Bench::new(common, env::current_exe()?)?;
    scenario.run(&mut bench);
    let reports = bench.close();
    println!("{HEADER}");
    for report in &reports {
        println!("{}", report.row(untimed));
    }
    let is_good = reports.iter().all(|report| report.is_good(untimed));
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
