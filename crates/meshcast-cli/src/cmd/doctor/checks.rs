//! What nodes tell, cause by cause.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use meshcast::admin::schema::{Direction, Refusal, RefusedLately, Seed};

use super::{Check, State, or_pass};
use crate::{
    cmd::map::{alone, cut_off},
    faults,
    graph::Graph,
    render,
    survey::{Answer, Reports, Survey, Up},
};

/// The causes, in the order they are shown.
pub(super) const NAMES: [&str; 13] = [
    "admin",
    "faults",
    "seeds",
    "key",
    "versions",
    "clock",
    "links",
    "mute",
    "queues",
    "memory",
    "history",
    "descriptors",
    "port",
];

/// Admin sockets that are lost: nobody listens, or nobody answers, or there is none.
pub(super) fn admin(survey: &Survey) -> Vec<Check> {
    let check = "admin";
    let mut found = Vec::new();
    for node in &survey.nodes {
        let (name, socket) = (node.client.name(), node.client.socket().display());
        found.extend(match node.answer {
            Answer::Reports(_) => None,
            Answer::Silent => Some(
                Check::fail(
                    check,
                    "somebody listens at its admin socket and does not answer",
                )
                .at(name)
                .help("it is stopped, stuck, or no node of this version; look at its process"),
            ),
            Answer::Dead => Some(
                Check::warn(
                    check,
                    "it has ended without tidying up: nobody listens at its socket",
                )
                .at(name)
                .help(format!("start it again, or remove {socket}")),
            ),
        });
    }
    let named: BTreeSet<&str> = survey.nodes.iter().map(|node| node.client.name()).collect();
    let running = survey.up.status().into_iter().flat_map(|up| &up.nodes);
    let running = running.filter(|node| node.state != faults::State::Down);
    for node in running.filter(|node| !named.contains(node.name.as_str())) {
        found.push(
            Check::fail(check, "it runs, and its admin socket is gone")
                .at(&node.name)
                .help("a node makes it again within seconds if it may write to the directory"),
        );
    }
    let count = survey.reports().count();
    or_pass(found, check, format!("{count} of {count} nodes answer"))
}

/// The faults that `meshcast fault` made and did not undo.
pub(super) fn faults(up: &Up) -> Vec<Check> {
    let check = "faults";
    let Some(up) = up.status() else {
        let why = up.why_not().unwrap_or_default();
        return vec![Check::skip(check, why)];
    };
    let mut found = Vec::new();
    for node in &up.nodes {
        let (is, deed) = match node.state {
            faults::State::Up => continue,
            faults::State::Down => ("it is down", "restart"),
            faults::State::Paused => ("it is paused", "resume"),
        };
        let help = format!("`meshcast fault {deed} {}`", node.name);
        found.push(Check::warn(check, is).at(&node.name).help(help));
    }
    if !up.cuts.is_empty() {
        let reason = format!("`meshcast fault` has cut {}", cuts(&up.cuts));
        found.push(Check::warn(check, reason).help(HEAL));
    }
    or_pass(
        found,
        check,
        "all nodes of `meshcast up` run, nothing is cut",
    )
}

/// `fra from iad`, where both ways are one.
fn cuts(cuts: &[faults::Cut]) -> String {
    let place = |from: &str, to: &str| cuts.iter().position(|cut| cut.from == from && cut.to == to);
    let each = cuts.iter().enumerate().filter_map(|(i, cut)| {
        let (from, to) = (&cut.from, &cut.to);
        match place(to, from) {
            Some(back) if back < i => None,
            Some(_) => Some(format!("{from} from {to}")),
            None => Some(format!("the way from {from} to {to}")),
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

/// What to do about what looks like a broken network, where somebody broke it: undo that.
fn undo(up: Option<&faults::Status>) -> Option<String> {
    let up = up?;
    if !up.cuts.is_empty() {
        let cuts = cuts(&up.cuts);
        return Some(format!("`meshcast fault` has cut {cuts}: {HEAL}"));
    }
    let mut nodes = up.nodes.iter();
    nodes.find_map(|node| match node.state {
        faults::State::Up => None,
        faults::State::Down => Some(format!(
            "{0} is down: `meshcast fault restart {0}`",
            node.name
        )),
        faults::State::Paused => Some(format!(
            "{0} is paused: `meshcast fault resume {0}`",
            node.name
        )),
    })
}

/// Seeds that do not answer, and why.
pub(super) fn seeds(nodes: &[&Reports], up: Option<&faults::Status>) -> Vec<Check> {
    let check = "seeds";
    let undo = undo(up);
    let (mut found, mut all, mut connected) = (Vec::new(), 0, 0);
    for node in nodes {
        let seeds = &node.peers.seeds;
        let is_connected = |seed: &Seed| ["connected", "ourselves"].contains(&seed.state.as_str());
        all += seeds.len();
        connected += seeds.iter().filter(|seed| is_connected(seed)).count();
        let any = seeds.iter().any(is_connected);
        for seed in seeds.iter().filter(|seed| !is_connected(seed)) {
            let Some((why, help)) = trouble(&seed.state, seed.refusal.as_deref()) else {
                continue;
            };
            let detail = seed.reason.as_ref().map(|reason| format!(" ({reason})"));
            let reason = format!("seed {}: {why}{}", seed.address, detail.unwrap_or_default());
            let state = if any { State::Warn } else { State::Fail };
            // A node that is not admitted was reached.
            let help = match &undo {
                Some(undo) if seed.state != "not_admitted" => undo,
                _ => help,
            };
            found.push(Check::new(check, state, reason).at(node.name()).help(help));
        }
    }
    if all == 0 {
        return vec![Check::skip(check, "no node here was given a seed")];
    }
    let rest = match all - connected {
        0 => String::new(),
        1 => ", 1 is being dialled".to_owned(),
        many => format!(", {many} are being dialled"),
    };
    or_pass(
        found,
        check,
        format!("{connected} of {all} connected{rest}"),
    )
}

/// What a state of a seed means and what helps; `None` if nothing is wrong so far.
fn trouble(state: &str, refusal: Option<&str>) -> Option<(&'static str, &'static str)> {
    Some(match (state, refusal) {
        ("refused", _) => (
            "refused: the machine is there, and nobody listens at that port",
            "start the node there, or correct the address",
        ),
        ("unresolved", _) => (
            "no such name: its DNS name has no address",
            "correct the name, or wait until it is known; it is looked up every 5 s",
        ),
        ("timed_out", _) => (
            "timeout: nobody answers",
            "look for a firewall between, and whether the machine is up",
        ),
        ("not_admitted", Some("other_mesh")) => (
            "wrong key: who answers has another one, or is no node",
            "give both the same MESHCAST_KEY",
        ),
        ("not_admitted", Some("version")) => (
            "versions apart: it speaks another version of the protocol",
            "give both the same version of meshcast",
        ),
        ("not_admitted", Some("clock")) => (
            "not admitted: a certificate is not valid at this time",
            "set the clocks of both machines, or renew the certificate",
        ),
        ("not_admitted", Some("full")) => (
            "not admitted: it has no room for another member",
            "raise its limit of members, or dial another seed",
        ),
        ("not_admitted", _) => (
            "not admitted",
            "what it says of why is in brackets; look at both nodes' logs",
        ),
        ("unreachable", _) => (
            "there is no way to it",
            "look at the network and the address",
        ),
        _ => return None,
    })
}

/// Connections that were refused lately, of these kinds.
fn refusals<'a>(
    nodes: &[&'a Reports],
    kinds: &'a [&'a str],
    now: Duration,
) -> impl Iterator<Item = (&'a Reports, &'a Refusal)> {
    let nodes = nodes.to_vec();
    nodes.into_iter().flat_map(move |node| {
        let refusals = node.node.refusals.iter();
        let recent = refusals.filter(move |refusal| {
            let at = render::unix_time(&refusal.at);
            at.is_some_and(|at| now.saturating_sub(at) < LATELY)
        });
        let of_kind = recent.filter(move |it| kinds.contains(&it.kind.as_str()));
        of_kind.map(move |refusal| (node, refusal))
    })
}

fn told(refusal: &Refusal) -> String {
    let Refusal {
        reason,
        address,
        times,
        ..
    } = refusal;
    let how = match refusal.direction {
        Direction::Inbound => "from",
        Direction::Outbound => "to",
    };
    format!("{reason}; {times} times since it started, last {how} {address}")
}

/// Somebody has another key.
pub(super) fn key(nodes: &[&Reports], now: Duration) -> Vec<Check> {
    let check = "key";
    let mut found = Vec::new();
    for (node, refusal) in refusals(nodes, &["other_mesh", "credential"], now) {
        let other = "give both ends the same MESHCAST_KEY, or take the address off the seeds";
        found.push(
            Check::fail(check, format!("wrong key met: {}", told(refusal)))
                .at(node.name())
                .help(other),
        );
    }
    for (node, refusal) in refusals(nodes, &["hung_up"], now) {
        // A listener cannot tell: who has another key cannot read its answer, and goes.
        let lately = refusal.lately.iter();
        for RefusedLately { address, times } in lately.filter(|it| it.times >= HANG_UPS) {
            let reason = format!(
                "somebody with another key, perhaps: {} {times} times in {} min, last from {address}",
                refusal.reason,
                LATELY.as_secs() / 60
            );
            let help = "look at the node at that address: it says whether the key is another";
            found.push(Check::warn(check, reason).at(node.name()).help(help));
        }
    }
    let reason = format!("no other key was met in {} min", LATELY.as_secs() / 60);
    or_pass(found, check, reason)
}

/// Members with another version of the program, and others with another one of the protocol.
pub(super) fn versions(nodes: &[&Reports], now: Duration) -> Vec<Check> {
    let check = "versions";
    let help = "bring all nodes to the same version of meshcast";
    let mut found = Vec::new();
    for (node, refusal) in refusals(nodes, &["version"], now) {
        let refused = Check::fail(check, format!("versions apart: {}", told(refusal)));
        found.push(refused.at(node.name()).help(help));
    }
    let mut versions: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for node in nodes {
        let of_mesh = versions.entry(&node.node.node.mesh).or_default();
        let same = of_mesh.entry(&node.node.node.version).or_default();
        same.push(node.name());
    }
    for of_mesh in versions.values().filter(|of_mesh| of_mesh.len() > 1) {
        let each = of_mesh
            .iter()
            .map(|(version, nodes)| format!("{version} at {}", nodes.join(", ")));
        let reason = format!("versions apart: {}", each.collect::<Vec<_>>().join("; "));
        found.push(Check::warn(check, reason).help(help));
    }
    let version = nodes.first().map_or("", |node| &node.node.node.version);
    // Members elsewhere do not tell their program's version, only that of the protocol.
    or_pass(found, check, format!("all nodes here are {version}"))
}

/// Wall clocks that are apart: nothing depends on them but what people read, until they are
/// minutes apart.
pub(super) fn clock(nodes: &[&Reports], now: Duration) -> Vec<Check> {
    let check = "clock";
    let help = "set the clock of its machine, by NTP for example";
    let (mut found, mut compared) = (Vec::new(), 0);
    for (node, refusal) in refusals(nodes, &["clock"], now) {
        let reason = format!(
            "a credential is not valid by the clock here: {}",
            told(refusal)
        );
        found.push(Check::fail(check, reason).at(node.name()).help(help));
    }
    for node in nodes {
        for peer in &node.peers.peers {
            let Some(ahead) = peer.clock_ahead_us else {
                continue;
            };
            compared += 1;
            let apart = Duration::from_micros(ahead.unsigned_abs());
            if apart < APART {
                continue;
            }
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            let reason = format!(
                "the clock of {} is {:.1} s {side} the one here",
                peer.name,
                apart.as_secs_f64()
            );
            let state = if apart < FAR_APART {
                State::Warn
            } else {
                State::Fail
            };
            found.push(Check::new(check, state, reason).at(node.name()).help(help));
        }
    }
    if found.is_empty() && compared == 0 {
        let reason = "no peer posted anything lately by which its clock could be told";
        return vec![Check::skip(check, reason)];
    }
    or_pass(
        found,
        check,
        format!("{compared} compared, less than 5 s apart"),
    )
}

/// Parts that are cut off, and regions that one link alone holds to the rest.
pub(super) fn links(graphs: &[Graph], up: Option<&faults::Status>) -> Vec<Check> {
    let check = "links";
    let undo = undo(up);
    let (mut found, mut links) = (Vec::new(), 0);
    for graph in graphs {
        links += graph.links.len();
        for reason in cut_off(graph) {
            let help = "look at its seeds and at the network; `meshcast map` shows who is linked";
            let help = undo.as_deref().unwrap_or(help);
            found.push(Check::fail(check, reason).help(help));
        }
        for bridge in graph.bridges() {
            let help =
                "the next fault there cuts the mesh in two: let more members reach each other";
            found.push(Check::warn(check, alone(graph, &bridge)).help(help));
        }
    }
    if links == 0 && found.is_empty() {
        return vec![Check::skip(check, "no node here is connected to anybody")];
    }
    let shown = match links {
        1 => "1 link".to_owned(),
        many => format!("{many} links"),
    };
    or_pass(
        found,
        check,
        format!("{shown}; no region depends on a single one"),
    )
}

/// Links that carry no gossip, and were made anew for it.
pub(super) fn mute(nodes: &[&Reports]) -> Vec<Check> {
    let check = "mute";
    let mut found = Vec::new();
    for node in nodes {
        for peer in node.peers.peers.iter().filter(|peer| peer.mute > 0) {
            let reason = format!(
                "the gossip of {} did not arrive, and the link was made anew {} times without a \
                 steady minute since",
                peer.name, peer.mute
            );
            let help = "nothing is lost, it is fetched; look at that node's load and its logs";
            found.push(Check::warn(check, reason).at(node.name()).help(help));
        }
    }
    or_pass(found, check, "gossip arrives on all links")
}

/// Channels on which much waits to be sent or read.
pub(super) fn queues(nodes: &[&Reports]) -> Vec<Check> {
    let check = "queues";
    let mut found = Vec::new();
    let mut limits_told = false;
    for node in nodes {
        let limit = |name: &str| {
            node.node
                .limits
                .get(name)
                .copied()
                .filter(|limit| *limit > 0)
        };
        let (outbox, unread) = (limit("outbox_bytes"), limit("unread_bytes"));
        limits_told |= outbox.is_some() && unread.is_some();
        for channel in &node.channels.channels {
            let name = render::channel(&channel.name);
            let waits = [
                (
                    channel.outbox_bytes,
                    outbox,
                    "to be sent",
                    "the mesh takes less than is posted: \
                  post slower (post_message_wait), or find who is slow with `meshcast peers`",
                ),
                (
                    channel.unread_bytes,
                    unread,
                    "to be read",
                    "a reader of this process is slow: \
                  what it does not read in time is a gap for it",
                ),
            ];
            for (bytes, limit, what, help) in waits {
                let Some(limit) = limit else { continue };
                let share = percent(bytes as u64, limit);
                if share >= PRESSURE {
                    let bytes = render::bytes(bytes);
                    let reason = format!("{bytes} wait {what} on {name}, {share} % of what may");
                    let state = if share >= 100 {
                        State::Fail
                    } else {
                        State::Warn
                    };
                    found.push(Check::new(check, state, reason).at(node.name()).help(help));
                }
            }
        }
    }
    if found.is_empty() && !limits_told {
        return vec![Check::skip(check, "the nodes do not tell their limits")];
    }
    or_pass(found, check, "no queue is half full")
}

/// The memory for what waits and for what is known of others.
pub(super) fn memory(nodes: &[&Reports]) -> Vec<Check> {
    let check = "memory";
    let help = "raise Limits::memory_bytes; `meshcast peers --json` says who takes how much";
    share_of(nodes, check, "memory_bytes", help, |share, limit| {
        (share >= FULL).then(|| {
            let limit = render::bytes(usize::try_from(limit).unwrap_or(usize::MAX));
            format!("{share} % of {limit} for queues and what is known of others is taken")
        })
    })
}

/// A history that is full before what is in it is old.
pub(super) fn history(nodes: &[&Reports]) -> Vec<Check> {
    let check = "history";
    let help = "raise Limits::history_bytes: who was cut off gets less back than the time set";
    share_of(nodes, check, "history_bytes", help, |share, limit| {
        (share >= FULL).then(|| {
            let limit = render::bytes(usize::try_from(limit).unwrap_or(usize::MAX));
            format!("it is full ({limit}): messages leave it before their time")
        })
    })
}

/// A gauge of that name beside the limit of that name.
fn share_of(
    nodes: &[&Reports],
    check: &'static str,
    name: &str,
    help: &str,
    judge: impl Fn(u64, u64) -> Option<String>,
) -> Vec<Check> {
    let (mut found, mut most) = (Vec::new(), None);
    for node in nodes {
        let limit = node.node.limits.get(name).filter(|limit| **limit > 0);
        let Some(limit) = limit else { continue };
        let share = percent(node.count(name), *limit);
        most = most.max(Some(share));
        if let Some(reason) = judge(share, *limit) {
            found.push(Check::warn(check, reason).at(node.name()).help(help));
        }
    }
    match most {
        None => vec![Check::skip(check, "the nodes do not tell their limits")],
        Some(most) => or_pass(found, check, format!("at most {most} % full")),
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100) / whole.max(1)
}

const HEAL: &str = "`meshcast fault heal`";
/// The time for which an event counts: a node whose fault goes on says so several times a minute.
const LATELY: Duration = Duration::from_secs(300);
/// So often in that time hangs up who has another key, and no scanner does so from one place.
const HANG_UPS: u64 = 5;
/// A queue on the way makes a clock look off by less.
const APART: Duration = Duration::from_secs(5);
/// From there on frames may be taken for old ones, and credentials for invalid.
const FAR_APART: Duration = Duration::from_secs(60);
/// In percent of what may wait: beyond half, a short burst does not fit any more.
const PRESSURE: u64 = 50;
/// In percent: a full history has room for less than a frame, and one of the largest takes 0.4 of
/// the default.
const FULL: u64 = 95;
