//! What a page shows, as one JSON document.
//!
//! It speaks of *members*, which are all that are known, and of *links*, which are who is connected
//! to whom, by pairs of regions: what a page shows at once does not grow with the square of the
//! fleet. Each link by itself is in [`detail`]. Values that are not known are left out.

mod channels;
pub(super) mod detail;
mod links;

use std::collections::{BTreeMap, BTreeSet};

use meshcast_sim::location;
use serde::Serialize;

use self::channels::Loads;
#[cfg(test)]
pub(super) use self::links::{Cut, key};
pub(super) use self::{
    channels::{Channel, find},
    links::Link,
};
use super::picture::{Look, Picture};
use crate::faults;

/// The document.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct View {
    pub(super) schema: &'static str,
    /// Whether links can be cut and nodes killed here.
    pub(super) breakable: bool,
    /// Why not, if a `meshcast up` runs here all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why_not: Option<&'static str>,
    pub(super) totals: Totals,
    pub(super) regions: BTreeMap<String, RegionView>,
    /// By name, and where two have the same by a part of the id too.
    pub(super) members: BTreeMap<String, Member>,
    /// By both regions, in order, with a `|` between.
    pub(super) links: BTreeMap<String, Link>,
    /// By name, and where several meshes have the same by a part of the mesh's id too.
    pub(super) channels: BTreeMap<String, ChannelView>,
    /// In which directions nothing passes, as it was asked for.
    pub(super) cuts: Vec<faults::Cut>,
    /// Through whom messages go around what is cut.
    pub(super) around: Vec<String>,
}

/// All together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Totals {
    pub(super) members: usize,
    /// Of which so many run, as far as anybody can tell.
    pub(super) up: usize,
    /// Pairs of members that are connected, as far as the nodes here tell.
    pub(super) links: usize,
    pub(super) channels: usize,
    pub(super) posted_per_s: f64,
    pub(super) delivered_per_s: f64,
    pub(super) posted: u64,
    pub(super) delivered: u64,
    pub(super) missed: u64,
    pub(super) repaired: u64,
    pub(super) dropped: u64,
    /// Members, channels and pairs of regions there was no room for.
    pub(super) left_out: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct RegionView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) city: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latitude: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) longitude: Option<f32>,
    pub(super) members: usize,
    pub(super) up: usize,
}

/// How a member is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It answers.
    Up,
    /// All its links are cut.
    Paused,
    /// It does not run.
    Down,
    /// It should answer, and does not.
    #[default]
    Silent,
    /// It runs elsewhere: a node here is connected to it.
    Elsewhere,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Member {
    pub(super) region: String,
    pub(super) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// How many are connected to it, as far as the nodes here tell.
    pub(super) links: usize,
    /// Its own counts, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) counts: Option<Counts>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Counts {
    pub(super) channels: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) posted_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivered_per_s: Option<f64>,
    pub(super) posted: u64,
    pub(super) delivered: u64,
    /// Messages it was told it will not get.
    pub(super) missed: u64,
    /// Frames that it asked for and got.
    pub(super) repaired: u64,
    /// Frames dropped or refused for want of room.
    pub(super) dropped: u64,
    /// Links found without gossip, and connected anew.
    pub(super) mute_links: u64,
    /// So many messages of one sender it has not got yet that another node here has, at most.
    pub(super) behind: u64,
    /// Posted and not sent yet, or delivered and not read yet.
    pub(super) waiting_bytes: usize,
    /// In MiB.
    pub(super) history_mib: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct ChannelView {
    /// What it is called, if that is not its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Members that have it open, as far as the nodes here tell.
    pub(super) members: usize,
    /// Who was heard on it.
    pub(super) senders: usize,
    pub(super) posted: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) posted_per_s: Option<f64>,
    /// Messages that the nodes here got of it, all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivered_per_s: Option<f64>,
    /// What became of it at the nodes here, all together, since each has it.
    #[serde(flatten)]
    pub(super) tally: Tally,
    /// The fewest and the most that gossip of a node here sends to at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mesh: Option<(usize, usize)>,
    /// So many messages of one sender some node here has not got yet that another one has.
    pub(super) behind: u64,
    /// Posted and not sent yet, or delivered and not read yet.
    pub(super) waiting_bytes: usize,
}

/// What became of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Messages of others that were heard.
    pub(super) delivered: u64,
    /// Of these, messages that were missed at first, and fetched.
    pub(super) repaired: u64,
    /// Messages that will not come.
    pub(super) missed: u64,
    /// Messages that made way before they were read. They are read out of what is kept, or missed.
    pub(super) dropped: u64,
}

/// What is to be seen now. Rates are over the time since `before`.
pub(super) fn view(before: Option<&Picture>, now: &Picture) -> View {
    let pairs = links::pairs(now);
    let degrees = links::degrees(&pairs);
    let (channels, channels_left, loads) = channels::channels(before, now);
    let members = members(before, now, &degrees, &loads);
    let not_asked = now.not_asked.iter();
    let unknown = not_asked
        .filter(|name| !members.contains_key(*name))
        .count();
    let (members, members_left) = bounded(members, MEMBERS);
    let links = links::links(now, &pairs);
    let all_links = links.values().map(|link| link.links).sum();
    let (links, links_left) = links::bounded(links, LINKS);
    let cuts = now.faults.as_ref();
    let cuts = cuts.map_or_else(Vec::new, |it| it.cuts.iter().take(CUTS).cloned().collect());
    let mut view = View {
        schema: "page/v1",
        breakable: now.faults.is_some(),
        why_not: now.why_not,
        totals: totals(&members, channels.len()),
        regions: regions(&members),
        members,
        links,
        channels,
        cuts,
        around: now
            .faults
            .as_ref()
            .map_or_else(Vec::new, |it| it.around.clone()),
    };
    view.totals.links = all_links;
    view.totals.left_out = members_left + unknown + channels_left + links_left;
    view
}

fn members(
    before: Option<&Picture>,
    now: &Picture,
    degrees: &BTreeMap<&str, usize>,
    loads: &Loads<'_>,
) -> BTreeMap<String, Member> {
    let mut members = BTreeMap::new();
    for (name, asked) in &now.nodes {
        let status = now.faults.as_ref();
        let status = status.and_then(|it| it.nodes.iter().find(|node| node.name == *name));
        let look = asked.look.as_ref();
        let state = match (status.map(|status| status.state), look) {
            (Some(faults::State::Down), _) => State::Down,
            (Some(faults::State::Paused), _) => State::Paused,
            (_, Some(_)) => State::Up,
            (_, None) => State::Silent,
        };
        let id = look.map(|look| look.node.node.peer_id.clone());
        let region = look.map(|look| look.node.node.region.clone());
        members.insert(
            name.clone(),
            Member {
                region: region
                    .or_else(|| status.map(|status| status.region.clone()))
                    .unwrap_or_default(),
                state,
                links: id
                    .as_ref()
                    .and_then(|id| degrees.get(id.as_str()))
                    .copied()
                    .unwrap_or(0),
                peer_id: id,
                url: asked.url.clone(),
                counts: look.map(|look| {
                    let earlier = before.and_then(|before| {
                        let passed = now.at.checked_sub(before.at)?.as_secs_f64();
                        Some((before.same(name, look)?, passed))
                    });
                    counts(look, earlier, loads)
                }),
            },
        );
    }
    for (peer_id, (name, region)) in elsewhere(now) {
        let twice = members.contains_key(name);
        let key = if twice {
            format!("{name} …{}", tail(peer_id))
        } else {
            name.to_owned()
        };
        let member = Member {
            region: region.to_owned(),
            state: State::Elsewhere,
            links: degrees.get(peer_id).copied().unwrap_or(0),
            peer_id: Some(peer_id.to_owned()),
            ..Member::default()
        };
        members.insert(key, member);
    }
    members
}

/// Members that were not asked, by id, with name and region: those that a node here is linked to,
/// and those it knows by others. A link to a process that a node of this name was before is one
/// that its other end has not given up yet.
fn elsewhere(now: &Picture) -> BTreeMap<&str, (&str, &str)> {
    let asked: BTreeSet<&str> = now
        .looks()
        .map(|(_, look)| look.node.node.peer_id.as_str())
        .collect();
    let known = now.looks().flat_map(|(_, look)| {
        let linked = look.peers.iter();
        let linked = linked.map(|it| (&*it.peer_id, (&*it.name, &*it.region)));
        let unlinked = look.unlinked.iter();
        linked.chain(unlinked.map(|it| (&*it.peer_id, (&*it.name, &*it.region))))
    });
    let others =
        known.filter(|(id, (name, _))| !asked.contains(id) && !now.nodes.contains_key(*name));
    others.collect()
}

fn counts(look: &Look, earlier: Option<(&Look, f64)>, loads: &Loads<'_>) -> Counts {
    let rate = |name: &str| {
        let (earlier, passed) = earlier?;
        per_second(look.count(name).saturating_sub(earlier.count(name)), passed)
    };
    let sum = |names: &[&str]| sum(names.iter().map(|name| look.count(name)));
    let load = loads.get(look.node.node.peer_id.as_str());
    let load = load.copied().unwrap_or_default();
    Counts {
        channels: look.node.node.channels,
        posted_per_s: rate("posted"),
        delivered_per_s: rate("delivered"),
        posted: look.count("posted"),
        delivered: look.count("delivered"),
        missed: sum(&["missed", "unread"]),
        repaired: look.count("frames_repaired"),
        dropped: sum(&DROPS),
        mute_links: look.count("mute_links"),
        behind: load.behind,
        waiting_bytes: load.waiting_bytes,
        history_mib: mib(look.count("history_bytes")),
    }
}

fn regions(members: &BTreeMap<String, Member>) -> BTreeMap<String, RegionView> {
    let mut regions: BTreeMap<String, RegionView> = BTreeMap::new();
    for member in members.values() {
        let region = regions.entry(member.region.clone()).or_insert_with(|| {
            let place = location(&member.region);
            RegionView {
                city: place.map(|it| it.city),
                latitude: place.map(|it| it.latitude),
                longitude: place.map(|it| it.longitude),
                ..RegionView::default()
            }
        });
        region.members += 1;
        region.up += usize::from(member.runs());
    }
    regions
}

impl Member {
    fn runs(&self) -> bool {
        matches!(self.state, State::Up | State::Elsewhere | State::Paused)
    }
}

fn totals(members: &BTreeMap<String, Member>, channels: usize) -> Totals {
    let mut totals = Totals {
        members: members.len(),
        up: members.values().filter(|member| member.runs()).count(),
        channels,
        ..Totals::default()
    };
    let all = || members.values().filter_map(|member| member.counts.as_ref());
    for counts in all() {
        totals.posted_per_s += counts.posted_per_s.unwrap_or(0.0);
        totals.delivered_per_s += counts.delivered_per_s.unwrap_or(0.0);
    }
    totals.posted = sum(all().map(|it| it.posted));
    totals.delivered = sum(all().map(|it| it.delivered));
    totals.missed = sum(all().map(|it| it.missed));
    totals.repaired = sum(all().map(|it| it.repaired));
    totals.dropped = sum(all().map(|it| it.dropped));
    totals.posted_per_s = round(totals.posted_per_s);
    totals.delivered_per_s = round(totals.delivered_per_s);
    totals
}

/// Numbers are the members' own: one that lies, or a gap that is very long, is not to end this.
fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// So much of an id that people can tell it from others.
fn tail(id: &str) -> &str {
    id.get(id.len().saturating_sub(6)..).unwrap_or_default()
}

/// The first of them, and how many others there are.
fn bounded<T>(mut all: BTreeMap<String, T>, limit: usize) -> (BTreeMap<String, T>, usize) {
    let left_out = all.len().saturating_sub(limit);
    if let Some(first_out) = all.keys().nth(limit).cloned() {
        all.split_off(&first_out);
    }
    (all, left_out)
}

fn per_second(count: u64, seconds: f64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let rate = count as f64 / seconds;
    rate.is_finite().then(|| round(rate))
}

fn mib(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let mib = bytes as f64 / f64::from(1 << 20);
    round(mib)
}

/// To tenths: what is smaller changes all the time, and nobody can see it.
fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// Frames that were there and were not kept or sent on.
const DROPS: [&str; 4] = [
    "frames_without_room",
    "frames_dropped",
    "frames_refused",
    "logs_refused",
];
/// More than a person can tell apart on a map; their totals are left out as well.
const MEMBERS: usize = 500;
/// Pairs of regions: all of 31 regions, more than any cloud has.
const LINKS: usize = 500;
/// All pairs of regions, both ways.
const CUTS: usize = 2 * LINKS;

#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
mod tests;
