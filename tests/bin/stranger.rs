//! Knocks at the door of a node without its key, or besieges one and says how it went.
//!
//! ```text
//! cargo run --release -p meshcast-tests --bin stranger -- siege --connections 1000000
//! cargo run --release -p meshcast-tests --bin stranger -- \
//!     knock 127.0.0.1:4001 --kind idle --held 66
//! ```

use std::{env, net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use meshcast_tests::{
    siege::{besieged, siege},
    stranger::Crowd,
};

#[derive(Debug, Parser)]
#[command(about = "Those who do not belong to a mesh")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Knocks at an address.
    Knock {
        at: SocketAddr,
        #[command(flatten)]
        crowd: Crowd,
    },
    /// Starts a node, a crowd and newcomers, and prints what the node's memory did and how long
    /// newcomers waited.
    Siege {
        #[command(flatten)]
        crowd: Crowd,
    },
    /// The node of a siege.
    #[command(hide = true)]
    Besieged,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Knock { at, crowd } => {
            println!("{}", serde_json::to_string(&crowd.knock(at).await)?);
        }
        Command::Besieged => besieged().await?,
        Command::Siege { crowd } => {
            let mut outcome = siege(&env::current_exe()?, &crowd).await?;
            outcome.waits.sort();
            let at = |share: f64| {
                let last = outcome.waits.len().saturating_sub(1);
                let index = (last as f64 * share) as usize;
                outcome.waits.get(index).copied().unwrap_or(Duration::ZERO)
            };
            let before = outcome.resident.0;
            println!(
                "{} connections in {:.1} s, {} not made; RSS {:.1} MiB, at most +{:.1} MiB",
                outcome.visits.done,
                outcome.lasted.as_secs_f64(),
                outcome.visits.failed,
                before as f64 / 1048576.0,
                outcome.grew() as f64 / 1048576.0
            );
            println!(
                "{} newcomers: median {:.0?}, p99 {:.0?}, longest {:.0?}",
                outcome.waits.len(),
                at(0.5),
                at(0.99),
                at(1.0)
            );
            let faults = outcome.faults();
            ensure!(faults.is_empty(), "it did not hold: {}", faults.join("; "));
        }
    }
    Ok(())
}
