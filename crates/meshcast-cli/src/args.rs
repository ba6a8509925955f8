//! The command line.

use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand};
use clap_complete::ArgValueCompleter;

pub(crate) mod numbers;

use crate::{
    cmd::{self, completions::live},
    render::Colour,
};

/// Messages between the regions of a service, with no server in between.
#[derive(Debug, Parser)]
#[command(name = "meshcast", version, help_template = TEMPLATE, before_help = EXAMPLES, after_help = AFTER)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Global {
    /// Write JSON, errors on stderr included
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// Log more to stderr; twice and three times for still more (RUST_LOG has the last word)
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 901)]
    pub(crate) verbose: u8,
    /// Colours: auto has them on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_name = "auto|always|never",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true,
        display_order = 902
    )]
    pub(crate) color: Colour,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(cmd::up::Up),
    Dashboard(cmd::dashboard::Dashboard),
    Top(cmd::top::Top),
    Fault(cmd::fault::Fault),
    Node(cmd::node::NodeArgs),
    Nodes(cmd::nodes::Nodes),
    Health(cmd::health::Health),
    Peers(cmd::peers::Peers),
    Map(cmd::map::Map),
    Doctor(cmd::doctor::Doctor),
    Channels(cmd::channels::Channels),
    Watch(cmd::watch::Watch),
    Trace(cmd::trace::Trace),
    Who(cmd::who::Who),
    Post(cmd::post::Post),
    Ping(cmd::ping::Ping),
    Bench(cmd::bench::Bench),
    #[command(subcommand)]
    Key(cmd::key::Key),
    #[command(subcommand)]
    Config(cmd::config::ConfigCommand),
    #[command(subcommand)]
    Sim(cmd::sim::Sim),
    Completions(cmd::completions::Completions),
    #[command(hide = true)]
    Man(cmd::man::Man),
}

impl Command {
    /// Whether nodes run inside the command, which then has something to tidy up.
    pub(crate) const fn runs_nodes(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Node(_))
    }

    /// Whether it has to hear signals itself, since it has something to tidy up.
    pub(crate) const fn hears_signals(&self) -> bool {
        self.runs_nodes() || matches!(self, Self::Top(_))
    }
}

/// Which node to talk to.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct Target {
    /// The node to ask, by name [default: the first by name of those that run here]
    #[arg(
        long,
        value_name = "NAME",
        env = "MESHCAST_NODE",
        hide_env_values = true,
        conflicts_with = "socket",
        add = ArgValueCompleter::new(live::nodes)
    )]
    pub(crate) node: Option<String>,
    /// The node to ask, by its admin socket
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

/// Examples come first: they are what most people look for.
pub(crate) const TEMPLATE: &str =
    "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

const EXAMPLES: &str = "Examples:
  meshcast up                      three regions on this machine
  meshcast watch earth             follow a channel of a running node
  meshcast post earth hello        post to it
  meshcast top                     nodes, links and channels, live
  meshcast fault partition fra     cut a region off; `fault heal` undoes it
  meshcast peers --json            whom a node is connected to, for scripts";

const AFTER: &str = "\
Exit status:
  0  done                          4  took too long
  1  not done, or a finding        5  not permitted
  2  wrong usage                   6  some nodes are silent
  3  no node to talk to          130  interrupted

Results go to stdout, all else to stderr.
Environment: MESHCAST_KEY (the secret of the mesh), MESHCAST_NODE (as --node),
NO_COLOR, RUST_LOG.";

#[cfg(test)]
mod tests;
