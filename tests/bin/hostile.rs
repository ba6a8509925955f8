//! Joins a mesh and does what no honest member does, or puts a node through that and says how it
//! went.
//!
//! ```text
//! cargo build --release -p meshcast-tests --bin hostile
//! target/release/hostile all
//! target/release/hostile run --attack bombs --seconds 60
//! MESHCAST_KEY=… target/release/hostile join /ip4/127.0.0.1/tcp/4001 --attack opens
//! ```

use std::{env, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use meshcast::Multiaddr;
use meshcast_tests::{
    hostile::{Assault, Attack},
    ordeal::{Ordeal, Outcome, victim},
};

#[derive(Debug, Parser)]
#[command(about = "Members of a mesh that lie or flood")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Joins the mesh of the key in `MESHCAST_KEY` and attacks the node at an address.
    Join {
        at: Multiaddr,
        #[command(flatten)]
        assault: Assault,
    },
    /// Starts a node, honest members and a hostile one, and prints how it went.
    Run {
        #[command(flatten)]
        assault: Assault,
    },
    /// The same for each attack.
    All {
        /// For how many seconds each.
        #[arg(long, default_value_t = 20.0)]
        seconds: f64,
        /// How many logs each member invents.
        #[arg(long, default_value_t = 16_384)]
        logs: usize,
    },
    /// The node that is attacked.
    #[command(hide = true)]
    Victim { seed: Multiaddr },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Join { at, assault } => {
            let key = env::var("MESHCAST_KEY").context("MESHCAST_KEY is the key of the mesh")?;
            let report = assault.run(&at, &key.parse()?).await;
            println!("{}", serde_json::to_string(&report)?);
        }
        Command::Victim { seed } => victim(seed).await?,
        Command::Run { assault } => {
            println!("{}", Outcome::HEAD);
            let outcome = ordeal(assault).await?;
            println!("{outcome}");
            for (name, count) in outcome.counters.iter().filter(|(_, count)| **count > 0) {
                println!("  {name}: {count}");
            }
            let faults = outcome.faults();
            ensure!(faults.is_empty(), "it did not hold: {}", faults.join("; "));
        }
        Command::All { seconds, logs } => {
            println!("{}", Outcome::HEAD);
            let mut faults = Vec::new();
            for &attack in Attack::ALL {
                // A member that is asked for what it claims to keep has a minute and a half.
                let seconds = if attack == Attack::Holder {
                    seconds.max(HOLDER_SECONDS)
                } else {
                    seconds
                };
                let assault = Assault {
                    attack,
                    seconds,
                    logs,
                };
                let outcome = ordeal(assault).await?;
                println!("{outcome}");
                let told = outcome.faults();
                faults.extend(
                    told.iter()
                        .map(|fault| format!("{}: {fault}", attack.name())),
                );
            }
            ensure!(faults.is_empty(), "it did not hold: {}", faults.join("; "));
        }
    }
    Ok(())
}

async fn ordeal(assault: Assault) -> Result<Outcome> {
    let before = Duration::from_secs(5);
    Ordeal { assault, before }.run(&env::current_exe()?).await
}

/// The time for which a lost number is claimed: until its gap is due, and some more.
const HOLDER_SECONDS: f64 = 130.0;
