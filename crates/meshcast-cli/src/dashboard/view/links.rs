//! Links by pairs of regions.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::picture::Picture;
use crate::faults::{self, Status};

/// What is between two regions, or inside of one.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(in super::super) struct Link {
    pub(in super::super) a: String,
    pub(in super::super) b: String,
    /// Pairs of members that are connected.
    pub(in super::super) links: usize,
    /// Of which so many are known by one end alone, though both were asked.
    pub(in super::super) half: usize,
    /// The round trip, as measured last: the middle one of all, and the longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) rtt_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) rtt_max_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) cut: Option<Cut>,
}

/// Where nothing passes between two regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Cut {
    Both,
    /// Nothing gets from `a` to `b`.
    AToB,
    BToA,
    /// Between some of their nodes.
    Part,
}

impl Cut {
    /// Which way nothing passes, where that is one of two.
    pub(in super::super) fn words(self, a: &str, b: &str) -> String {
        match self {
            Self::Both => String::new(),
            Self::AToB => format!("{a} → {b}"),
            Self::BToA => format!("{b} → {a}"),
            Self::Part => "in part".to_owned(),
        }
    }
}

/// A link, as its ends see it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pair<'a> {
    pub(super) regions: (&'a str, &'a str),
    pub(super) names: (&'a str, &'a str),
    /// By the first and by the second end.
    pub(super) ends: (Option<End>, Option<End>),
    /// Whether both were asked.
    pub(super) both_asked: bool,
}

/// What an end of a link says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End {
    pub(super) rtt_us: Option<u64>,
    pub(super) mute: u32,
}

impl Pair<'_> {
    pub(super) fn rtt_us(&self) -> Option<u64> {
        let of = |end: Option<End>| end?.rtt_us;
        of(self.ends.0).or_else(|| of(self.ends.1))
    }

    pub(super) fn is_half(&self) -> bool {
        self.both_asked && (self.ends.0.is_none() || self.ends.1.is_none())
    }
}

/// Links, by the ids of their ends, in order.
pub(super) type Pairs<'a> = BTreeMap<(&'a str, &'a str), Pair<'a>>;

/// All links.
pub(super) fn pairs(picture: &Picture) -> Pairs<'_> {
    let asked: BTreeMap<&str, &str> = picture
        .looks()
        .map(|(name, look)| (look.node.node.peer_id.as_str(), name))
        .collect();
    let mut pairs = BTreeMap::new();
    for (name, look) in picture.looks() {
        let node = &look.node.node;
        for peer in &look.peers {
            let is_asked = asked.contains_key(peer.peer_id.as_str());
            if !is_asked && picture.nodes.contains_key(&peer.name) {
                // The link is of the peer as it was before it ended.
                continue;
            }
            let end = Some(End {
                rtt_us: peer.rtt_us,
                mute: peer.mute,
            });
            let (here, there) = (node.peer_id.as_str(), peer.peer_id.as_str());
            let is_first = here < there;
            let key = if is_first {
                (here, there)
            } else {
                (there, here)
            };
            let pair: &mut Pair<'_> = pairs.entry(key).or_default();
            pair.both_asked = is_asked;
            if is_first {
                pair.names = (name, &peer.name);
                pair.regions = (&node.region, &peer.region);
                pair.ends.0 = end;
            } else {
                pair.names = (&peer.name, name);
                pair.regions = (&peer.region, &node.region);
                pair.ends.1 = end;
            }
        }
    }
    pairs
}

/// How many each process is connected to, by id.
pub(super) fn degrees<'a>(pairs: &Pairs<'a>) -> BTreeMap<&'a str, usize> {
    let mut degrees = BTreeMap::new();
    for (a, b) in pairs.keys() {
        *degrees.entry(*a).or_default() += 1;
        *degrees.entry(*b).or_default() += 1;
    }
    degrees
}

/// The first of those between which something is cut, then of those with the most links, and how
/// many others there are.
pub(super) fn bounded(
    links: BTreeMap<String, Link>,
    limit: usize,
) -> (BTreeMap<String, Link>, usize) {
    let left_out = links.len().saturating_sub(limit);
    if left_out == 0 {
        return (links, 0);
    }
    let mut links: Vec<_> = links.into_iter().collect();
    links.sort_by_key(|(_, link)| (link.cut.is_none(), std::cmp::Reverse(link.links)));
    links.truncate(limit);
    (links.into_iter().collect(), left_out)
}

pub(super) fn links(picture: &Picture, pairs: &Pairs<'_>) -> BTreeMap<String, Link> {
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    let mut trips: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for pair in pairs.values() {
        let (a, b) = ordered(pair.regions.0, pair.regions.1);
        let link = links.entry(key(a, b)).or_insert_with(|| between(a, b));
        link.links += 1;
        link.half += usize::from(pair.is_half());
        trips.entry(key(a, b)).or_default().extend(pair.rtt_us());
    }
    for (key, trips) in &mut trips {
        trips.sort_unstable();
        if let Some(link) = links.get_mut(key) {
            link.rtt_us = trips.get(trips.len() / 2).copied().map(coarse);
            link.rtt_max_us = trips.last().copied().map(coarse);
        }
    }
    if let Some(status) = &picture.faults {
        for (a, b, cut) in cuts(status) {
            let link = links.entry(key(a, b)).or_insert_with(|| between(a, b));
            link.cut = Some(cut);
        }
    }
    links
}

/// What a link is called.
pub(in super::super) fn key(a: &str, b: &str) -> String {
    let (a, b) = ordered(a, b);
    format!("{a}|{b}")
}

fn ordered<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    if a <= b { (a, b) } else { (b, a) }
}

fn between(a: &str, b: &str) -> Link {
    Link {
        a: a.to_owned(),
        b: b.to_owned(),
        ..Link::default()
    }
}

/// A tenth of a millisecond is less than they vary by.
fn coarse(micros: u64) -> u64 {
    micros.next_multiple_of(100)
}

/// The pairs of regions between which something is cut.
fn cuts(status: &Status) -> Vec<(&str, &str, Cut)> {
    if status.cuts.is_empty() {
        return Vec::new();
    }
    let regions: BTreeSet<&str> = status.nodes.iter().map(|it| it.region.as_str()).collect();
    let all = || regions.iter().copied();
    let pairs = all().flat_map(|a| all().filter(move |b| a <= *b).map(move |b| (a, b)));
    let cuts = pairs.filter_map(|(a, b)| Some((a, b, cut(status, a, b)?)));
    cuts.collect()
}

fn cut(status: &Status, a: &str, b: &str) -> Option<Cut> {
    let of = |region: &'_ str| {
        let nodes = status.nodes.iter();
        nodes
            .filter(|node| node.region == region)
            .collect::<Vec<_>>()
    };
    let (here, there) = (of(a), of(b));
    let (mut forth, mut back, mut all) = (0, 0, 0);
    for x in &here {
        for y in there.iter().filter(|y| y.name != x.name) {
            all += 1;
            forth += usize::from(is_cut(status, x, y));
            back += usize::from(is_cut(status, y, x));
        }
    }
    match (forth, back) {
        (0, 0) => None,
        (x, y) if x == all && y == all => Some(Cut::Both),
        (x, 0) if x == all => Some(Cut::AToB),
        (0, y) if y == all => Some(Cut::BToA),
        _ => Some(Cut::Part),
    }
}

fn is_cut(status: &Status, from: &faults::NodeStatus, to: &faults::NodeStatus) -> bool {
    // A name of a node means that node, also where a region has the same.
    let names = |place: &str| status.nodes.iter().any(|node| node.name == place);
    let is = |node: &faults::NodeStatus, place: &str| {
        node.name == place || (node.region == place && !names(place))
    };
    let mut cuts = status.cuts.iter();
    cuts.any(|cut| is(from, &cut.from) && is(to, &cut.to))
}
