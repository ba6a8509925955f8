//! `meshcast node`

use std::{
    collections::{HashMap, HashSet},
    mem::{self, Discriminant},
    path::PathBuf,
    pin::pin,
    time::{Duration, Instant},
};

use clap::Args as ClapArgs;
use futures::StreamExt;
use meshcast::{
    BroadcastChannel, ChannelName, Direction, ListenError, Multiaddr, Node, NodeBuilder, NodeEvent,
    NodeName, Region, SeedInfo, Shutdown, SpawnError, Value,
    admin::{AdminSocket, schema},
    config::Address,
    metrics::MetricsAddress,
};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use crate::{
    args::TEMPLATE,
    cmd::config,
    descriptors::{self, Need},
    exit::{Exit, Failure},
    faults::CONFLICT,
    logging::Throttle,
    output::Output,
    render,
    signals::Signals,
};

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
pub(crate) struct NodeArgs {
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

pub(crate) async fn run(args: NodeArgs, output: &Output) -> Result<Exit, Failure> {
    descriptors::make_room(Need::of_one_node())?;
    let mut signals = Signals::new()?;
    let node = tokio::select! {
        node = start(&args) => node?,
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    let result = tokio::select! {
        result = tell(&node, &args.channel, output) => result,
        () = signals.next() => Ok(Exit::Ok),
    };
    signals.exit_at_next();
    let shutdown = shutdown(&node, output).await;
    result.and_then(|exit| stopped(&shutdown, output).map(|()| exit))
}

/// Says what is waited for if it takes longer than a moment: people would think that Ctrl-C was not
/// heard.
async fn shutdown(node: &Node, output: &Output) -> Shutdown {
    let mut shutdown = pin!(node.shutdown());
    match timeout(MOMENT, &mut shutdown).await {
        Ok(shutdown) => shutdown,
        Err(_) => {
            output.note(
                "stopping: waiting up to 5 s until a member has what was posted; Ctrl-C again ends at once",
            );
            shutdown.await
        }
    }
}

async fn start(args: &NodeArgs) -> Result<Node, Failure> {
    let mut settings = config::settings(args.config.as_deref())?;
    // The command line takes the place of the others.
    if !args.seed.is_empty() {
        settings.seeds.clone_from(&args.seed);
    }
    if !args.listen.is_empty() {
        settings.listen.clone_from(&args.listen);
    }
    if !args.advertise.is_empty() {
        settings.advertise.clone_from(&args.advertise);
    }
    settings.local |= args.local;
    settings.metrics = args.metrics.or(settings.metrics);
    let mut builder = NodeBuilder::from(settings);
    if let Some(name) = &args.name {
        builder = builder.name(name.as_str());
    }
    if let Some(region) = &args.region {
        builder = builder.region(region.as_str());
    }
    if let Some(path) = &args.key_file {
        builder = builder.key_file(path);
    }
    let admin = match &args.socket {
        _ if args.no_admin => AdminSocket::Off,
        Some(path) => AdminSocket::At(path.clone()),
        None => AdminSocket::Default,
    };
    builder.admin(admin).spawn().await.map_err(spawn_failure)
}

/// What to do when a node does not start.
pub(crate) fn spawn_failure(error: SpawnError) -> Failure {
    let failure = Failure::failed(&error);
    match error {
        SpawnError::Name(_)
        | SpawnError::Region(_)
        | SpawnError::Key { .. }
        | SpawnError::NoKey(_)
        | SpawnError::Seed { .. }
        | SpawnError::Advertise { .. }
        | SpawnError::MetricsAddress(_)
        | SpawnError::Listen {
            reason: ListenError::Unsupported,
            ..
        } => Failure::usage(&error),
        SpawnError::Admin(meshcast::admin::AdminError::AlreadyRunning { .. }) => Failure {
            code: CONFLICT.into(),
            ..failure.hint("give it another name, or see those that run with `meshcast nodes`")
        },
        SpawnError::Admin(_) => failure.hint("set XDG_RUNTIME_DIR to a directory of your own"),
        _ => failure,
    }
}

/// Says what happens until the node stops, with its channels open.
async fn tell(node: &Node, channels: &[ChannelName], output: &Output) -> Result<Exit, Failure> {
    let mut events = node.events();
    let open = |name: &ChannelName| node.channel(name.as_str()).map_err(Failure::failed);
    let _open: Vec<BroadcastChannel<Value>> =
        channels.iter().map(open).collect::<Result<_, _>>()?;
    started(node, output)?;
    // It may listen and be connected before anybody can hear its events.
    let (mut told, mut early) = (HashSet::new(), HashSet::new());
    if let Ok(snapshot) = node.inspect().await {
        for address in snapshot.node.listen_addresses {
            listens(&mut told, address, output)?;
        }
        for peer in snapshot.peers {
            early.insert(peer.peer_id);
            let connected = NodeEvent::Connected {
                peer: peer.peer_id,
                name: peer.name,
                region: peer.region,
                direction: peer.direction,
            };
            happened(&connected, 0, output)?;
        }
    }
    let mut flood = Flood::new(output.json());
    while let Some(event) = events.next().await {
        match event {
            NodeEvent::Listening(address) => listens(&mut told, address, output)?,
            NodeEvent::Connected { peer, .. } if early.remove(&peer) => {}
            event => {
                if let NodeEvent::Disconnected { peer, .. } = &event {
                    early.remove(peer);
                }
                if let Some(left_out) = flood.pass(&event, Instant::now()) {
                    happened(&event, left_out, output)?;
                }
            }
        }
    }
    Err(Failure::failed("the node has stopped by itself"))
}

fn started(node: &Node, output: &Output) -> Result<(), Failure> {
    let (name, region, peer_id) = (node.name(), node.region(), node.peer_id());
    let json = json!({ "event": "started", "name": name.as_str(), "region": region.as_str(),
        "peer_id": peer_id.to_string() });
    say(
        output,
        json,
        &format!("node {name} in {region} is {peer_id}"),
    )?;
    let Some(address) = node.metrics_address() else {
        return Ok(());
    };
    let url = format!("http://{address}/metrics");
    let json = json!({ "event": "metrics", "url": url });
    say(output, json, &format!("metrics at {url}"))
}

fn listens(
    told: &mut HashSet<Multiaddr>,
    address: Multiaddr,
    output: &Output,
) -> Result<(), Failure> {
    if told.contains(&address) {
        return Ok(());
    }
    let json = json!({ "event": "listening", "address": address.to_string() });
    say(output, json, &format!("listening on {address}"))?;
    told.insert(address);
    Ok(())
}

fn happened(event: &NodeEvent, left_out: u64, output: &Output) -> Result<(), Failure> {
    let (mut json, mut line) = match event {
        NodeEvent::Connected {
            peer,
            name,
            region,
            direction,
        } => {
            let how = match direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
            };
            (
                json!({ "event": "connected", "peer_id": peer.to_string(), "name": name.as_str(),
                    "region": region.as_str(), "direction": how }),
                format!(
                    "connected: {name} in {region}, {how} ({})",
                    render::short(&peer.to_string())
                ),
            )
        }
        NodeEvent::Disconnected {
            peer,
            name,
            region,
            reason,
            detail,
        } => (
            json!({ "event": "disconnected", "peer_id": peer.to_string(), "name": name.as_str(),
                "region": region.as_str(), "reason": reason.as_str(), "detail": detail }),
            format!(
                "disconnected: {name} in {region}, {reason}: {detail} ({})",
                render::short(&peer.to_string())
            ),
        ),
        NodeEvent::Namesake { name, peers } => {
            let [a, b] = peers.map(|peer| peer.to_string());
            (
                json!({ "event": "namesake", "name": name.as_str(), "peer_ids": [a, b] }),
                format!(
                    "two processes are called {name}: {} and {}",
                    render::short(&a),
                    render::short(&b)
                ),
            )
        }
        NodeEvent::Refused {
            address,
            direction,
            reason,
            detail,
        } => {
            let (way, how) = match direction {
                Direction::Inbound => ("from", "inbound"),
                Direction::Outbound => ("by", "outbound"),
            };
            (
                json!({ "event": "refused", "address": address.to_string(), "direction": how,
                    "kind": reason.as_str(), "reason": detail }),
                format!("refused: {detail} ({way} {address})"),
            )
        }
        NodeEvent::Seed(seed) => (
            seed_json(seed),
            match (&seed.state, &seed.reason) {
                (state, Some(reason)) => format!("seed {}: {state} ({reason})", seed.address),
                (state, None) => format!("seed {}: {state}", seed.address),
            },
        ),
        NodeEvent::Slow { peer, dropped } => (
            json!({ "event": "slow", "peer_id": peer.to_string(), "dropped": dropped }),
            format!(
                "slow: {} frames to {} did not leave",
                dropped,
                render::short(&peer.to_string())
            ),
        ),
        NodeEvent::Mute { peer, name } => (
            json!({ "event": "mute", "peer_id": peer.to_string(), "name": name.as_str() }),
            format!(
                "mute: gossip from {name} does not arrive, reconnecting ({})",
                render::short(&peer.to_string())
            ),
        ),
        NodeEvent::Stale {
            channel,
            peer,
            name,
            behind,
        } => (
            json!({ "event": "stale", "channel": channel.as_str(), "peer_id": peer.to_string(),
                "name": name.as_str(), "behind_us": u64::try_from(behind.as_micros()).unwrap_or(u64::MAX) }),
            format!(
                "stale: what {name} posts on {} is not taken: by its clock that was {} s ago ({})",
                channel.as_str(),
                behind.as_secs(),
                render::short(&peer.to_string())
            ),
        ),
        NodeEvent::NoRoom {
            channel,
            peer,
            name,
        } => (
            json!({ "event": "no_room", "channel": channel.as_str(), "peer_id": peer.to_string(),
                "name": name.as_str() }),
            format!(
                "no room: what {name} posts on {} is not taken ({})",
                channel.as_str(),
                render::short(&peer.to_string())
            ),
        ),
        NodeEvent::Misbehaving {
            peer,
            name,
            offence,
            cut,
        } => {
            let shown = name.as_ref().map_or("a member", |name| name.as_str());
            let what = if *cut { "cut off" } else { "throttled" };
            (
                json!({ "event": "misbehaving", "peer_id": peer.to_string(),
                    "name": name.as_ref().map(|name| name.as_str()), "offence": offence.as_str(),
                    "cut": cut }),
                format!(
                    "{what}: {shown} misbehaves, {offence} ({})",
                    render::short(&peer.to_string())
                ),
            )
        }
        NodeEvent::Lagged(missed) => (
            json!({ "event": "lagged", "missed": missed }),
            format!("{missed} events came too fast to be told"),
        ),
        other => (
            json!({ "event": "other", "text": format!("{other:?}") }),
            format!("{other:?}"),
        ),
    };
    if left_out > 0 {
        json["left_out"] = left_out.into();
        line += &format!("; {left_out} like it were left out");
    }
    say(output, json, &line)
}

/// The last line: whether anything was left behind.
fn stopped(shutdown: &Shutdown, output: &Output) -> Result<(), Failure> {
    let undelivered = shutdown.undelivered.iter().map(
        |left| json!({ "channel": left.channel.as_str(), "messages": left.messages, "bytes": left.bytes }),
    );
    let json = json!({ "event": "stopped", "orderly": shutdown.orderly, "members": shutdown.members,
        "undelivered": undelivered.collect::<Vec<_>>() });
    if shutdown.is_complete() {
        say(output, json, "stopped")
    } else {
        say(output, json, &format!("stopped: {shutdown}"))
    }
}

/// The seed as in the answer of the admin socket, with what happened.
fn seed_json(seed: &SeedInfo) -> Json {
    let mut json = json!(schema::Seed::from(seed));
    json["event"] = "seed".into();
    json
}

/// Keeps lines about events of one kind within bounds: others bring them about as often as they
/// like.
struct Flood {
    kinds: HashMap<Discriminant<NodeEvent>, Throttle>,
    /// Whether programs read it: they count on hearing of each member that comes and goes.
    json: bool,
}

impl Flood {
    fn new(json: bool) -> Self {
        Self {
            kinds: HashMap::new(),
            json,
        }
    }

    /// Whether an event is to be told; if so, how many of its kind were not since the last.
    fn pass(&mut self, event: &NodeEvent, now: Instant) -> Option<u64> {
        let by_strangers = matches!(event, NodeEvent::Refused { .. } | NodeEvent::Slow { .. });
        if self.json && !by_strangers {
            return Some(0);
        }
        let kind = self.kinds.entry(mem::discriminant(event)).or_default();
        kind.pass(now)
    }
}

/// Longer than it takes to end with nothing to hand over, and no time for a person.
const MOMENT: Duration = Duration::from_millis(300);

/// As the result of the command for programs, on the side for people.
fn say(output: &Output, mut json: Json, line: &str) -> Result<(), Failure> {
    if output.json() {
        json["schema"] = "event/v1".into();
        return output.line(&json.to_string());
    }
    output.stderr(render::text(line));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(flood: &mut Flood, event: &NodeEvent) -> usize {
        let now = Instant::now();
        (0..1_000)
            .filter(|_| flood.pass(event, now).is_some())
            .count()
    }

    #[test]
    fn lines_for_people_are_bounded_for_each_kind_of_event_apart() {
        let gone = NodeEvent::Disconnected {
            peer: meshcast::PeerId::random(),
            name: "amber".parse().expect("a name"),
            region: "fra".parse().expect("a region"),
            reason: meshcast::DisconnectReason::Lost,
            detail: "the connection was closed".into(),
        };
        let mut flood = Flood::new(false);
        assert_eq!(told(&mut flood, &gone), 50);
        assert_eq!(told(&mut flood, &NodeEvent::Lagged(1)), 50);
    }

    #[test]
    fn programs_hear_of_each_member_that_goes() {
        let gone = NodeEvent::Disconnected {
            peer: meshcast::PeerId::random(),
            name: "amber".parse().expect("a name"),
            region: "fra".parse().expect("a region"),
            reason: meshcast::DisconnectReason::Lost,
            detail: "the connection was closed".into(),
        };
        assert_eq!(told(&mut Flood::new(true), &gone), 1_000);
    }
}
