//! `meshcast top`

use clap::Args as ClapArgs;

use crate::{
    args::TEMPLATE,
    dashboard::{Scene, top},
    exit::{Exit, Failure},
    output::Output,
    signals,
};

/// Show the nodes, links and channels of this machine, live
///
/// Rates, queues, what is behind, lost and dropped, round trips. Nodes are all members that are
/// known, also those that run elsewhere; links are who is connected. The nodes of this machine are
/// asked once a second through their admin sockets, many nodes less often. Counters are shown only
/// for nodes on this machine. `?` tells the keys.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast top
  meshcast top --once
  meshcast top --json | jq .totals.delivered_per_s")]
pub(crate) struct Top {
    /// Print the tables once, and end; with --json the first numbers that have rates
    #[arg(long)]
    pub(crate) once: bool,
}

pub(crate) async fn run(args: Top, output: &Output) -> Result<Exit, Failure> {
    let is_for_scripts = args.once || output.json();
    if is_for_scripts {
        signals::exit_when_interrupted()?;
    }
    match (args.once, output.json()) {
        (true, _) => top::once(Scene::Machine, output).await,
        (false, true) => top::stream(Scene::Machine, output).await,
        (false, false) => top::run(Scene::Machine, output).await,
    }
}
