//! The command line.

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand};
use clap_complete::ArgValueCompleter;
use meshcast::{ChannelName, NodeName, Region, config::Address, metrics::MetricsAddress};

pub(crate) mod numbers;

use self::numbers::at_least_one;
use crate::{
    cmd::{self, completions::live, doctor, map, trace},
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
    Up(Up),
    Dashboard(Dashboard),
    Top(cmd::top::Top),
    Fault(Fault),
    Node(Node),
    Nodes(Nodes),
    Health(Health),
    Peers(cmd::peers::Peers),
    Map(map::Map),
    Doctor(doctor::Doctor),
    Channels(Channels),
    Watch(Watch),
    Trace(trace::Trace),
    Who(Who),
    Post(cmd::post::Post),
    Ping(Ping),
    Bench(cmd::bench::Bench),
    #[command(subcommand)]
    Key(Key),
    #[command(subcommand)]
    Config(Config),
    #[command(subcommand)]
    Sim(Sim),
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

/// Run several regions on this machine, each with a small HTTP service
///
/// Each node is a real one, named like fra-1, that hears the others over TCP on the loopback
/// interface. Its service on 127.0.0.1 has three paths: /send?message=… posts to the channel
/// "earth", /messages lists what it posted and heard (the last 1,000), /metrics is for Prometheus.
/// Without a key in MESHCAST_KEY or --key-file a new one is made.
///
/// A page shows the nodes, live, and breaks them by clicks. Its address is printed first; the key at
/// its end lets you in.
///
/// Messages between regions take as long as between real ones, if that is known: regions named ams,
/// cdg, fra, gru, iad, jnb, lhr, nrt, ord, sin, sjc, syd and yyz. The times are printed. With
/// `meshcast fault` links are cut and nodes killed. With --scenario the faults are those of a file;
/// the run ends when it is over and was judged, with status 1 if a guarantee was broken.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast up
  meshcast up --rtt none
  meshcast up --regions fra,gru,mars --rtt fra:mars=900ms --rtt gru:mars=900ms
  meshcast up --regions fra,gru --nodes-per-region 2 --http-base 9000
  meshcast up --loss 1% --bandwidth fra:iad=1MiB
  meshcast up --scenario partition-10 --report report.html")]
pub(crate) struct Up {
    /// The regions, separated by commas
    #[arg(
        long,
        value_name = "REGIONS",
        value_delimiter = ',',
        default_value = "fra,iad,nrt",
        conflicts_with = "scenario"
    )]
    pub(crate) regions: Vec<Region>,
    /// How many nodes in each
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one::<u16>,
        conflicts_with = "scenario")]
    pub(crate) nodes_per_region: u16,
    /// The port of the first service; the others follow (0: let the system choose them)
    #[arg(long, value_name = "PORT", default_value_t = 8101)]
    pub(crate) http_base: u16,
    /// The round trip between two regions (fra:iad=90ms), or none: no delay anywhere; may be
    /// repeated
    #[arg(long, value_name = "A:B=TIME|none", value_parser = rtt, conflicts_with = "scenario")]
    pub(crate) rtt: Vec<Rtt>,
    /// Packet loss between regions (1%, or fra:iad=1% between two); may be repeated
    #[arg(long, value_name = "[A:B=]PERCENT", value_parser = loss, conflicts_with = "scenario")]
    pub(crate) loss: Vec<OnLinks<Loss>>,
    /// How many bytes a second a connection between regions carries each way (10MiB, or
    /// fra:iad=1MiB between two); may be repeated
    #[arg(long, value_name = "[A:B=]BYTES", value_parser = bandwidth, conflicts_with = "scenario")]
    pub(crate) bandwidth: Vec<OnLinks<NonZeroU64>>,
    /// Run a scenario of `meshcast sim list`, or of a file, in real time, and end with it
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<String>,
    /// Seed of everything that a scenario leaves to chance
    #[arg(long, value_name = "N", default_value_t = 1, requires = "scenario")]
    pub(crate) seed: u64,
    /// Where to write what the run of the scenario was like: a page (.html) or JSON (.json)
    #[arg(long, value_name = "FILE", requires = "scenario")]
    pub(crate) report: Option<PathBuf>,
    /// The port of the page, or none for no page [default: 8100, or any if that is taken]
    #[arg(long, value_name = "PORT|none", value_parser = page, default_value = "", hide_default_value = true)]
    pub(crate) page: Page,
    /// A file with the key; MESHCAST_KEY is not read then
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// What `--page` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    None,
    /// At this port, or wherever there is one.
    At(Option<u16>),
}

/// What `--rtt` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rtt {
    /// Nothing is added, but what is said otherwise.
    None,
    Between(Region, Region, Duration),
}

/// What is said of the links between two regions, or of those between any two.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OnLinks<T> {
    pub(crate) between: Option<(Region, Region)>,
    pub(crate) is: T,
}

/// A part of all packets: 0.01 for 1 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loss(pub(crate) f64);

/// Break what `meshcast up` runs, and mend it
///
/// Links are cut silently: connections stay up, nothing passes. A place is a node or a region, by
/// name.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast fault partition fra iad,nrt
  meshcast fault heal
  meshcast fault kill iad-1
  meshcast fault restart iad-1")]
pub(crate) struct Fault {
    #[command(subcommand)]
    pub(crate) fault: FaultCommand,
    /// The running `up`, by its socket, if there are several
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FaultCommand {
    /// Cut all links between groups, both ways; a single group is cut off from all others
    ///
    /// A node in no group still reaches all of them, and hands on messages from one to the other.
    Partition {
        /// Places, separated by commas: fra or fra,iad-1
        #[arg(required = true, value_name = "GROUP", add = ArgValueCompleter::new(live::places))]
        groups: Vec<String>,
    },
    /// Cut the way from one place to another, and leave the way back
    OneWay {
        /// Where nothing gets away from
        #[arg(add = ArgValueCompleter::new(live::places))]
        from: String,
        /// Where it does not get to
        #[arg(add = ArgValueCompleter::new(live::places))]
        to: String,
    },
    /// Mend all links; nodes that are paused or killed stay so
    Heal,
    /// Kill a node: what it has not sent is lost
    Kill {
        /// Its name
        #[arg(add = ArgValueCompleter::new(live::broken))]
        node: String,
        /// As if its machine were gone: nobody is told
        #[arg(long)]
        silent: bool,
    },
    /// Start a killed node again; one that runs is stopped first
    Restart {
        /// Its name
        #[arg(add = ArgValueCompleter::new(live::broken))]
        node: String,
    },
    /// Cut all links of a node: nothing gets to it or from it, while it goes on by itself
    Pause {
        /// Its name
        #[arg(add = ArgValueCompleter::new(live::broken))]
        node: String,
    },
    /// Restore the links of a paused node
    Resume {
        /// Its name
        #[arg(add = ArgValueCompleter::new(live::broken))]
        node: String,
    },
    /// Show how the nodes are and what is cut
    Status,
}

/// Show the nodes of this machine on a page in the browser, live
///
/// Members on a map, links, channels, what is posted and how it arrives. It asks the nodes through
/// their admin sockets while a page is open. The page is served on 127.0.0.1 alone: to programs of
/// this machine, and to no web page of anybody else. `meshcast up` serves it by itself.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast dashboard
  meshcast dashboard --port 9000")]
pub(crate) struct Dashboard {
    /// Its port [default: 8100, or any if that is taken]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
}

/// Run one node until Ctrl-C
///
/// It keeps the history of the channels it has open for others, and has an admin socket for the
/// other commands. Its events are printed on stderr, with --json on stdout; it goes on when nobody
/// reads that any more. Ctrl-C, SIGTERM and a closed terminal (not under nohup) have it hand over
/// what it has and leave; Ctrl-C again ends it at once.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast node --name fra-1 --region fra --channel earth
  meshcast node --local --channel earth
  meshcast node --listen 0.0.0.0:4001 --seed a.example:4001")]
pub(crate) struct Node {
    /// What people call it
    #[arg(long)]
    pub(crate) name: Option<NodeName>,
    /// Where it runs
    #[arg(long)]
    pub(crate) region: Option<Region>,
    /// Address to listen on, as host:port or /ip4/…/tcp/…; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<Address>,
    /// Address for other machines, if it is not a listen address (NAT, containers): IP:port; may be
    /// repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) advertise: Vec<Address>,
    /// A member to connect to first; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) seed: Vec<Address>,
    /// Find your other nodes on this machine that have this set; it takes no key and no address
    #[arg(long)]
    pub(crate) local: bool,
    /// A file with settings, as `meshcast config check` shows them
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A file with the key; MESHCAST_KEY is not read then
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// A channel to have open; may be repeated
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Vec<ChannelName>,
    /// Serve metrics for Prometheus here: a port of loopback, or IP:port
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<MetricsAddress>,
    /// Where its admin socket is, instead of the usual place
    #[arg(long, value_name = "PATH", conflicts_with = "no_admin")]
    pub(crate) socket: Option<PathBuf>,
    /// Have no admin socket
    #[arg(long)]
    pub(crate) no_admin: bool,
}

/// Look at the settings of a node
#[derive(Debug, Subcommand)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast config check
  meshcast config check mesh.toml --json")]
pub(crate) enum Config {
    /// Show each setting and where it comes from, and whether a node could start with them
    ///
    /// A setting is a line of a TOML file (`seeds = ["a.example:4001"]`, limits in a table
    /// `[limits]`) or a variable of the environment (MESHCAST_SEEDS), which comes first. Settings
    /// of a command or a program come before both.
    Check {
        /// The file; without one only the environment is looked at
        file: Option<PathBuf>,
    },
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

/// List the nodes of this machine
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast nodes
  meshcast nodes --json")]
pub(crate) struct Nodes {
    /// Show ids and addresses in full
    #[arg(long)]
    pub(crate) full: bool,
}

/// Tell whether a node is well
///
/// Status 0 if it answers and is ready, 1 if not: for a probe. It shows how many members are
/// connected, since when none is, how many messages are known to be missing, and the state of each
/// seed. Being alone is no fault.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast health
  meshcast health --node nrt-1 --json")]
pub(crate) struct Health {
    #[command(flatten)]
    pub(crate) target: Target,
}

/// List the channels of a node
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast channels
  meshcast channels --json | jq '.channels[].senders'")]
pub(crate) struct Channels {
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Follow a channel
///
/// Prints what is posted from the moment it says that it listens, and with --last or --since first
/// what was posted before and is still kept. A gap is printed where messages are missing.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast watch earth
  meshcast watch earth --last 20
  meshcast watch earth --since 30s --json | jq .data
  meshcast watch earth --count 1 --timeout 5s")]
pub(crate) struct Watch {
    /// The channel
    #[arg(add = ArgValueCompleter::new(live::channels))]
    pub(crate) channel: ChannelName,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Begin with the last so many messages, by when they were posted (10,000 at most)
    #[arg(long, value_name = "N", conflicts_with = "since", value_parser = at_least_one::<u64>)]
    pub(crate) last: Option<u64>,
    /// Begin with what was posted within this time, such as 30s, 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = at_least_one::<u64>)]
    pub(crate) count: Option<u64>,
    /// End after this time, such as 5, 1.5s, 2m; with status 4 if fewer messages came than --count,
    /// or none
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

/// List who has a channel open
///
/// In the whole mesh, each with what it says of itself. With --watch it goes on: who joins, is
/// silent, leaves and is lost. The node that is asked opens the channel for the question, so it is
/// listed too.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast who earth
  meshcast who earth --watch
  meshcast who earth --json | jq '.members[].name'")]
pub(crate) struct Who {
    /// The channel
    #[arg(add = ArgValueCompleter::new(live::channels))]
    pub(crate) channel: ChannelName,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Go on with what changes
    #[arg(long)]
    pub(crate) watch: bool,
    /// Show ids in full
    #[arg(long)]
    pub(crate) full: bool,
}

/// Measure the way to peers and back
///
/// Through the peer's own loop: it answers only if it works. Status 6 if some peers are silent, 4
/// if all are.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast ping iad-1
  meshcast ping --all --count 10")]
pub(crate) struct Ping {
    /// The peer, by name or by id
    #[arg(
        required_unless_present = "all",
        conflicts_with = "all",
        add = ArgValueCompleter::new(live::nodes)
    )]
    pub(crate) peer: Option<String>,
    /// All peers
    #[arg(long)]
    pub(crate) all: bool,
    /// How many times each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one::<u16>)]
    pub(crate) count: u16,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Make the secret that members of a mesh share
#[derive(Debug, Subcommand)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  (umask 077; meshcast key new > mesh.key)
  export MESHCAST_KEY=$(meshcast key new)")]
pub(crate) enum Key {
    /// Make a new one: whoever has it is a member
    New,
}

/// Run meshes in virtual time and judge what they did
///
/// Minutes of a fleet with faults go by in seconds, and the same scenario and seed give the same
/// run again.
#[derive(Debug, Subcommand)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast sim list
  meshcast sim run all-faults --seeds 20
  meshcast sim run mine.toml --seed 17 --log log.jsonl")]
pub(crate) enum Sim {
    List(SimList),
    Run(SimRun),
}

/// List the scenarios that come with the command
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast sim list
  meshcast sim list --json | jq -r '.scenarios[].name'")]
pub(crate) struct SimList {}

/// Run a scenario
///
/// Status 1 if a run breaks a guarantee or does not come out as the scenario expects; what repeats
/// such a run is then printed.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast sim run partition-60
  meshcast sim run partition-60 --report report.html
  meshcast sim run mine.toml --seeds 200 --json | jq .p99_ms
  meshcast sim run all-faults --seed 17 --watch fra0.1")]
pub(crate) struct SimRun {
    /// A scenario of `meshcast sim list`, or a file with one
    pub(crate) scenario: String,
    /// The seed, or the first of several
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Number of seeds, one after the other; two runs go at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one::<u64>)]
    pub(crate) seeds: u64,
    /// File for what was posted, delivered and missed, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Where to write what the run was like: a page to look at (.html), or JSON (.json)
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    pub(crate) report: Option<PathBuf>,
    /// Print all that the engine of one process is told and says; fra0.1 is the first process of the
    /// node fra0
    #[arg(long, value_name = "PROCESS", conflicts_with = "log")]
    pub(crate) watch: Option<String>,
}

/// `5`, `1.5s`, `200ms`, `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit:?} is no unit of time (use ms, s, m or h)")),
    };
    let number: f64 = text[..text.len() - unit.len()]
        .parse()
        .map_err(|_| "no number".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

/// The same, of things that take some time.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than no time".to_owned()),
        time => Ok(time),
    }
}

/// `none`, `8100`.
fn page(text: &str) -> Result<Page, String> {
    match text {
        "none" => Ok(Page::None),
        "" => Ok(Page::At(None)),
        port => port
            .parse()
            .map(|port| Page::At(Some(port)))
            .map_err(|_| "it is a port, or none".to_owned()),
    }
}

/// `none`, `fra:iad=90ms`.
fn rtt(text: &str) -> Result<Rtt, String> {
    if text == "none" {
        return Ok(Rtt::None);
    }
    let parts = || {
        let (regions, time) = text.split_once('=')?;
        let (a, b) = regions.split_once(':')?;
        Some((a, b, time))
    };
    let (a, b, time) = parts().ok_or("it looks like fra:iad=90ms, or is none")?;
    let region = |name: &str| Region::new(name).map_err(|error| error.to_string());
    let time = duration(time)?;
    if time > LONGEST_RTT {
        return Err(format!(
            "{LONGEST_RTT:?} is the most: over longer links nodes give up before they know each other"
        ));
    }
    Ok(Rtt::Between(region(a)?, region(b)?, time))
}

/// `1%`, `fra:iad=0.5%`.
fn loss(text: &str) -> Result<OnLinks<Loss>, String> {
    on_links(text, |percent| {
        let number = percent
            .strip_suffix('%')
            .and_then(|it| it.trim().parse().ok());
        let number = number.filter(|it| (0.0..=MOST_LOST).contains(it));
        let wrong = || format!("{percent:?} is no part of 0% to {MOST_LOST}%");
        number
            .map(|percent: f64| Loss(percent / 100.0))
            .ok_or_else(wrong)
    })
}

/// `10MiB`, `fra:iad=65536`.
fn bandwidth(text: &str) -> Result<OnLinks<NonZeroU64>, String> {
    on_links(text, |bytes| {
        let number = Some(numbers::bytes(bytes)?).filter(|it| *it >= LEAST_BANDWIDTH);
        let number = number.and_then(NonZeroU64::new);
        number.ok_or_else(|| format!("{bytes:?} is no number of bytes from {LEAST_BANDWIDTH} on"))
    })
}

fn on_links<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<OnLinks<T>, String> {
    let Some((regions, is)) = text.split_once('=') else {
        let between = None;
        return parse(text).map(|is| OnLinks { between, is });
    };
    let (a, b) = regions
        .split_once(':')
        .ok_or_else(|| format!("{regions:?} are no two regions, as in fra:iad"))?;
    let region = |name: &str| Region::new(name).map_err(|error| error.to_string());
    let between = Some((region(a)?, region(b)?));
    parse(is).map(|is| OnLinks { between, is })
}

/// With more, connections do not live long enough for nodes to know each other.
const MOST_LOST: f64 = 30.0;

/// With less, a connection takes longer to admit a member than there is time for it.
const LEAST_BANDWIDTH: u64 = 4096;

/// Several go by before two nodes know each other, for which there are 10 seconds.
const LONGEST_RTT: Duration = Duration::from_secs(1);

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
