//! Holds presence against its bounds, with real processes that are killed and stopped at random.
//!
//! ```text
//! cargo run --release -p meshcast-tests --bin presence -- kills --minutes 5
//! cargo run --release -p meshcast-tests --bin presence -- idle
//! ```
//!
//! Exit status 1: somebody was told to be gone who was there, or not in time, or was a ghost.

use std::{env, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Parser, Subcommand};
use meshcast::Multiaddr;
use meshcast_tests::presence::{self, LEFT_BOUND, LOST_BOUND, Plan};

#[derive(Debug, Parser)]
#[command(about = "Holds presence against its bounds")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kills and stops processes at random, and starts them again.
    Kills {
        #[arg(long, default_value_t = 10)]
        processes: usize,
        #[arg(long, default_value_t = 5.0)]
        minutes: f64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Measures what nodes that do nothing take, without and with presence.
    Idle {
        #[arg(long, default_value_t = 10)]
        nodes: usize,
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// Runs one of the processes.
    #[command(hide = true)]
    Member { name: String, seeds: Vec<Multiaddr> },
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Member { name, seeds } => {
            presence::member(&name, seeds).await?;
            // A thread still waits for input.
            std::process::exit(0);
        }
        Command::Idle { nodes, seconds } => {
            let [without, with] = presence::idle(nodes, Duration::from_secs(seconds)).await?;
            println!(
                "{nodes} nodes, thousandths of a core: {without:.1} without, {with:.1} with presence"
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Kills {
            processes,
            minutes,
            seed,
        } => {
            let plan = Plan {
                processes,
                time: Duration::from_secs_f64(minutes * 60.0),
                seed,
                program: env::current_exe()?,
            };
            let outcome = tokio::task::spawn_blocking(move || plan.run()).await??;
            println!(
                "{} killed, {} stopped in peace",
                outcome.killed, outcome.stopped
            );
            let times = [
                ("lost", &outcome.lost_after, LOST_BOUND),
                ("left", &outcome.left_after, LEFT_BOUND),
            ];
            for (what, after, bound) in times {
                let middle = after.get(after.len() / 2).copied().unwrap_or_default();
                let last = after.last().copied().unwrap_or_default();
                let told = after.len();
                println!(
                    "{what}: told {told} times, p50 {middle:.2?}, max {last:.2?}, bound {bound:?}"
                );
            }
            let shown = outcome.violations.iter().take(20);
            shown.for_each(|it| println!("{it}"));
            println!("{} violations", outcome.violations.len());
            Ok(match outcome.violations.is_empty() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            })
        }
    }
}
