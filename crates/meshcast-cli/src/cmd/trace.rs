//! `meshcast trace`

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    time::Duration,
};

use clap::Args;
use clap_complete::ArgValueCompleter;
use futures::future::join_all;
use meshcast::{
    ChannelName,
    admin::schema::{NodeReport, TraceReport, TracedMessage},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::{TEMPLATE, numbers::at_least_one},
    client::{Client, channel_query},
    cmd::completions::live,
    exit::{Exit, Failure},
    locate,
    output::Output,
    render::{self, Palette, Table},
};

/// Show when a message came to each node of this machine, and which way
///
/// The way is local, gossip, repair (it was missed, and fetched) or history (it was posted before
/// the node had the channel open). Nodes tell of what they keep; they open no channel and fetch
/// nothing for it. Without a message the newest ones are shown. Status 1 if a node that has the
/// channel open lacks one, or if no node has it open.
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast trace earth
  meshcast trace earth fra-1:42
  meshcast trace earth --last 3 --json | jq '.messages[].at'")]
pub(crate) struct Trace {
    /// The channel
    #[arg(add = ArgValueCompleter::new(live::channels))]
    channel: ChannelName,
    /// The message: who posted it, and its number
    #[arg(value_name = "NAME:SEQ", conflicts_with = "last")]
    message: Option<Wanted>,
    /// How many of the newest messages
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = up_to_a_thousand)]
    last: u64,
}

fn up_to_a_thousand(text: &str) -> Result<u64, String> {
    match at_least_one(text)? {
        last @ ..=1_000 => Ok(last),
        _ => Err("must be at most 1000".to_owned()),
    }
}

/// `fra-1:42`
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    name: String,
    seq: u64,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':');
        let parts = parts.and_then(|(name, seq)| Some((name, seq.parse().ok()?)));
        match parts {
            Some((name, seq)) if seq > 0 && !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                seq,
            }),
            _ => Err("it looks like fra-1:42, with numbers from 1".to_owned()),
        }
    }
}

pub(crate) async fn run(args: Trace, output: &Output) -> Result<Exit, Failure> {
    let clients = locate::live().await?;
    let wanted = match &args.message {
        Some(Wanted { name, seq }) => format!("&name={}&seq={seq}", escaped(name)),
        None => format!("&last={}", args.last),
    };
    let path = format!("/v1/trace?{}{wanted}", channel_query(args.channel.as_str()));
    let asked = join_all(clients.iter().map(|client| ask(client, &path))).await;
    let (mut told, mut silent) = (Vec::new(), Vec::new());
    for (client, answer) in clients.iter().zip(asked) {
        match answer {
            Some(place) => told.push(place),
            None => silent.push(client.name().to_owned()),
        }
    }
    if told.is_empty() {
        return Err(match silent.is_empty() {
            true => locate::none(),
            false => Failure::timeout(format!("{} do not answer", silent.join(", "))),
        });
    }
    let report = Report::new(&args, &told, silent);
    let verdict = report.verdict(&args);
    // To people the failure says all that is to be said.
    if output.json() || verdict.is_ok() {
        output.result(&report, || report.human(output.palette()))?;
    }
    verdict
}

/// A node and what it tells.
struct Place {
    node: NodeReport,
    trace: TraceReport,
}

impl Place {
    fn mesh(&self) -> &str {
        &self.node.node.mesh
    }
}

/// The nodes of those meshes in which anything is known of what is asked, or all of them if that is
/// none: a node of another mesh lacks nothing of this one.
fn of_its_meshes(places: &[Place]) -> Vec<&Place> {
    let knows = places
        .iter()
        .filter(|place| !place.trace.senders.is_empty());
    let meshes: BTreeSet<&str> = knows.map(Place::mesh).collect();
    let is_of_them = |place: &&Place| meshes.is_empty() || meshes.contains(place.mesh());
    places.iter().filter(is_of_them).collect()
}

async fn ask(client: &Client, path: &str) -> Option<Place> {
    let both = async {
        tokio::join!(
            client.get::<NodeReport>("/v1/node"),
            client.get::<TraceReport>(path)
        )
    };
    let (node, trace) = tokio::time::timeout(ANSWER, both).await.ok()?;
    Some(Place {
        node: node.ok()?,
        trace: trace.ok()?,
    })
}

#[derive(Debug, PartialEq, Serialize)]
struct Report {
    schema: &'static str,
    channel: String,
    /// The nodes that have it open, by name.
    nodes: Vec<String>,
    /// Those that have not, and those that do not answer.
    not_open: Vec<String>,
    silent: Vec<String>,
    messages: Vec<Message>,
    #[serde(skip)]
    heard: Heard,
}

/// The messages on the channel that nodes know of, whether they keep them or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Of none.
    Nothing,
    /// That there are some, and none has come yet.
    Known,
    /// Some have come.
    Came,
}

#[derive(Debug, PartialEq, Serialize)]
struct Message {
    sender: String,
    name: String,
    region: String,
    seq: u64,
    last_seq: u64,
    posted_at: String,
    bytes: usize,
    data: Option<Value>,
    at: Vec<At>,
}

/// A message at a node.
#[derive(Debug, PartialEq, Serialize)]
struct At {
    node: String,
    region: String,
    /// `delivered`, `waiting` (it came, and waits for an earlier one), `fetching` (it is known to
    /// exist), `not_heard` (nobody has told of it), `missed` or `not_kept`.
    state: &'static str,
    /// By the clock of the node.
    received_at: Option<String>,
    /// From the sender's clock to that of the node.
    took_us: Option<i64>,
    via: Option<String>,
    /// Who gave it, by id and by name.
    peer: Option<String>,
    peer_name: Option<String>,
}

impl Report {
    fn new(args: &Trace, places: &[Place], silent: Vec<String>) -> Self {
        let names = names(places);
        let places = of_its_meshes(places);
        let (open, closed): (Vec<&Place>, _) = places.iter().partition(|place| place.trace.open);
        let own = |places: &[&Place]| -> Vec<String> {
            let names = places.iter().map(|place| place.node.node.name.clone());
            names.collect()
        };
        // A node that has the channel closed may still keep what it had.
        let kept = places.iter().flat_map(|place| {
            let messages = place.trace.messages.iter();
            messages.map(|message| (message, place.mesh()))
        });
        let mut all: BTreeMap<(&str, u64), (&TracedMessage, &str)> = BTreeMap::new();
        for (message, mesh) in kept {
            all.insert((&message.sender, message.seq), (message, mesh));
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by(|(a, _), (b, _)| {
            (&a.posted_at, &a.name, a.seq).cmp(&(&b.posted_at, &b.name, b.seq))
        });
        if args.message.is_none() {
            let last = usize::try_from(args.last).unwrap_or(usize::MAX);
            all.drain(..all.len().saturating_sub(last));
        }
        let messages = all.into_iter().map(|(message, mesh)| Message {
            sender: message.sender.clone(),
            name: message.name.clone(),
            region: message.region.clone(),
            seq: message.seq,
            last_seq: message.last_seq,
            posted_at: message.posted_at.clone(),
            bytes: message.bytes,
            data: message.data.clone(),
            at: open
                .iter()
                .filter(|place| place.mesh() == mesh)
                .map(|place| at(place, message, &names))
                .collect(),
        });
        Self {
            schema: "trace/v1",
            channel: args.channel.to_string(),
            messages: messages.collect(),
            nodes: own(&open),
            not_open: own(&closed),
            silent,
            heard: Heard::by(&places),
        }
    }

    fn verdict(&self, args: &Trace) -> Result<Exit, Failure> {
        if self.messages.is_empty() && self.nodes.is_empty() {
            let channel = render::quoted(args.channel.as_str());
            return Err(Failure::failed(format!("no node here has {channel} open"))
                .hint("which channels are open is shown by `meshcast channels`"));
        }
        if let (Some(Wanted { name, seq }), true) = (&args.message, self.messages.is_empty()) {
            let channel = render::channel(args.channel.as_str());
            if self.heard == Heard::Nothing {
                let name = render::quoted(name);
                let nobody = format!("no sender named {name} is known here on {channel}");
                return Err(Failure::failed(nobody).hint(format!(
                    "who posts there is shown by `meshcast trace {channel}`"
                )));
            }
            return Err(Failure::failed(format!(
                "no node here keeps message {seq} of {name} on {channel}"
            ))
            .hint("it was never posted, or is older than what is kept (see `meshcast channels`)"));
        }
        if !self.silent.is_empty() {
            return Ok(Exit::Partial);
        }
        let lacks = |at: &At| ["fetching", "not_heard", "missed"].contains(&at.state);
        let mut lacking = self.messages.iter().flat_map(|message| &message.at);
        Ok(match lacking.any(lacks) || self.nodes.is_empty() {
            true => Exit::Failed,
            false => Exit::Ok,
        })
    }

    fn human(&self, palette: Palette) -> String {
        let mut out = String::new();
        // One table of all, so that its columns are the same for each message.
        let mut table = Table::new(&["  AT", "REGION", "WAY", ">AFTER", "FROM"]);
        for (message, at) in self
            .messages
            .iter()
            .flat_map(|message| message.at.iter().map(move |at| (message, at)))
        {
            table.row([
                format!("  {}", render::text(&at.node)),
                render::text(&at.region),
                format!("{:<WAY$}", at.way()),
                format!("{:>AFTER$}", at.after()),
                at.from(&message.sender),
            ]);
        }
        let rows = table.render(palette);
        // The first line of each message says enough.
        let mut rows = rows.lines().skip(1);
        for message in &self.messages {
            let name = render::text(&message.name);
            let data = match &message.data {
                Some(data) => render::value(data),
                None => format!("({})", render::bytes(message.bytes)),
            };
            let data: String = data.chars().take(PREVIEW).collect();
            out += &format!(
                "{name}:{}  {}  {data}\n",
                message.seq,
                palette.quiet(render::clock(&message.posted_at))
            );
            for row in rows.by_ref().take(message.at.len()) {
                out += &format!("{row}\n");
            }
        }
        if self.messages.is_empty() {
            let channel = render::channel(&self.channel);
            out += &match self.heard {
                Heard::Nothing => format!("no node here has heard of a message on {channel} yet\n"),
                Heard::Known => format!("there are messages on {channel}, and none has come yet\n"),
                Heard::Came => format!("nothing is kept any more of what came on {channel}\n"),
            };
        } else if self.nodes.is_empty() {
            let channel = render::channel(&self.channel);
            out += &format!("no node here has {channel} open: this is what is still kept of it\n");
        }
        let others = [
            ("not open at", &self.not_open),
            ("no answer from", &self.silent),
        ];
        for (what, nodes) in others.iter().filter(|(_, nodes)| !nodes.is_empty()) {
            let line = format!("{what} {}", render::text(&nodes.join(", ")));
            out += &format!("{}\n", palette.quiet(&line));
        }
        out
    }
}

impl Heard {
    fn by(places: &[&Place]) -> Self {
        let senders = || places.iter().flat_map(|place| &place.trace.senders);
        if senders().any(|it| it.sender.delivered_seq > Some(0)) {
            Self::Came
        } else if senders().any(|it| it.sender.highest_seq > 0) {
            Self::Known
        } else {
            Self::Nothing
        }
    }
}

impl At {
    fn way(&self) -> String {
        match (self.state, &self.via) {
            ("delivered" | "waiting", Some(via)) => render::text(via),
            ("fetching" | "not_heard", _) => "! lacks it".into(),
            ("missed", _) => "! missed".into(),
            _ => "not kept".into(),
        }
    }

    fn after(&self) -> String {
        let Some(took) = self
            .took_us
            .filter(|_| self.via.as_deref() != Some("local"))
        else {
            return String::new();
        };
        match u64::try_from(took) {
            Ok(took) => format!("+{}", render::rtt(Some(took))),
            Err(_) => "clock behind".into(),
        }
    }

    /// The peer that gave it, or why it is not there.
    fn from(&self, sender: &str) -> String {
        let giver = match (&self.peer, &self.peer_name) {
            (None, _) if self.via.as_deref() == Some("local") || self.via.is_none() => {
                String::new()
            }
            (None, _) => "another member".into(),
            (Some(peer), _) if peer == sender => "its sender".into(),
            (Some(_), Some(name)) => render::text(name),
            (Some(peer), None) => render::short(peer),
        };
        match self.state {
            "waiting" => format!("{giver}; waits for an earlier one"),
            "fetching" => "fetches it".into(),
            "not_heard" => "has not heard of it".into(),
            "missed" => "it was given up".into(),
            _ => giver,
        }
    }
}

/// The names of processes, by id, as far as anybody here tells.
fn names(places: &[Place]) -> BTreeMap<&str, &str> {
    let nodes = places.iter().map(|place| {
        let node = &place.node.node;
        (node.peer_id.as_str(), node.name.as_str())
    });
    let senders = places.iter().flat_map(|place| &place.trace.senders);
    let senders = senders.map(|it| (it.sender.peer_id.as_str(), it.sender.name.as_str()));
    senders.chain(nodes).collect()
}

fn at(place: &Place, message: &TracedMessage, names: &BTreeMap<&str, &str>) -> At {
    let (sender, seq) = (message.sender.as_str(), message.seq);
    let its = |it: &&TracedMessage| it.sender == sender && it.seq == seq;
    let here = place.trace.messages.iter().find(its);
    let mut senders = place.trace.senders.iter();
    let known = senders.find(|it| it.sender.peer_id == sender);
    let delivered = known.and_then(|it| it.sender.delivered_seq);
    let is_delivered = delivered.is_some_and(|delivered| seq <= delivered);
    let is_below = known.is_some_and(|it| it.oldest_seq.is_none_or(|oldest| seq < oldest));
    let is_heard = known.is_some_and(|it| seq <= it.sender.highest_seq);
    let state = match here {
        Some(_) if is_delivered => "delivered",
        Some(_) => "waiting",
        // Dropped for want of room, or from before it listened.
        None if is_delivered && is_below => "not_kept",
        None if is_delivered => "missed",
        None if is_heard => "fetching",
        None => "not_heard",
    };
    let took = here.and_then(|it| {
        let millis = |time| {
            let since: Duration = render::unix_time(time)?;
            i64::try_from(since.as_micros()).ok()
        };
        Some(millis(&it.received_at)? - millis(&it.posted_at)?)
    });
    At {
        node: place.node.node.name.clone(),
        region: place.node.node.region.clone(),
        state,
        received_at: here.map(|it| it.received_at.clone()),
        took_us: took,
        via: here.map(|it| it.via.clone()),
        peer: here.and_then(|it| it.peer.clone()),
        peer_name: here
            .and_then(|it| names.get(it.peer.as_deref()?))
            .map(|name| (*name).to_owned()),
    }
}

/// A name in a query.
fn escaped(name: &str) -> String {
    channel_query(name).split_off("channel=".len())
}

/// A node that is well answers in a millisecond.
const ANSWER: Duration = Duration::from_secs(5);
/// So much of a value tells messages apart, in characters.
const PREVIEW: usize = 60;
/// As wide as the longest of each: columns do not move when a message comes.
const WAY: usize = "! lacks it".len();
const AFTER: usize = "+1000 ms".len();

#[cfg(test)]
mod tests;
