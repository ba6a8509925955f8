//! Members and the links between them, as the nodes of this machine know them.
//!
//! *Members* are all that are known, *links* who is connected to whom. A member that was not asked
//! has links that nobody here knows, so what is said of the whole is only said where that does not
//! matter.

mod bridges;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::bridges::Bridge;
use crate::survey::{Reports, Survey};

/// The members of one mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    /// The fingerprint of the mesh.
    pub(crate) mesh: String,
    /// By id.
    pub(crate) members: BTreeMap<String, Member>,
    /// By the ids of both ends, in order.
    pub(crate) links: BTreeMap<(String, String), Link>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) region: String,
    /// It runs here and has told all its links.
    pub(crate) asked: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// The round trip as it was measured last, by whichever end tells one.
    pub(crate) rtt_us: Option<u64>,
}

/// All links between two regions, or inside of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bundle {
    pub(crate) links: usize,
    /// The middle one of all.
    pub(crate) rtt_us: Option<u64>,
}

/// The meshes of the nodes that answered, by fingerprint.
pub(crate) fn graphs(survey: &Survey) -> Vec<Graph> {
    let mut graphs: BTreeMap<&str, Graph> = BTreeMap::new();
    for reports in survey.reports() {
        let mesh = reports.node.node.mesh.as_str();
        let graph = graphs.entry(mesh).or_insert_with(|| Graph {
            mesh: mesh.to_owned(),
            ..Graph::default()
        });
        graph.add(reports);
    }
    graphs.into_values().collect()
}

impl Graph {
    fn add(&mut self, reports: &Reports) {
        let node = &reports.node.node;
        let itself = Member {
            name: node.name.clone(),
            region: node.region.clone(),
            asked: true,
        };
        self.members.insert(node.peer_id.clone(), itself);
        for peer in &reports.peers.peers {
            let other = || Member {
                name: peer.name.clone(),
                region: peer.region.clone(),
                asked: false,
            };
            self.members
                .entry(peer.peer_id.clone())
                .or_insert_with(other);
            let link = self.links.entry(ends(&node.peer_id, &peer.peer_id));
            let link = link.or_default();
            link.rtt_us = link.rtt_us.or(peer.rtt_us);
        }
        for member in &reports.peers.unlinked {
            let other = || Member {
                name: member.name.clone(),
                region: member.region.clone(),
                asked: false,
            };
            self.members
                .entry(member.peer_id.clone())
                .or_insert_with(other);
        }
    }

    /// The names of the regions, and the ids of their members by name.
    pub(crate) fn regions(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut regions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, member) in &self.members {
            regions.entry(&member.region).or_default().push(id);
        }
        for ids in regions.values_mut() {
            ids.sort_by_key(|id| (self.name(id), *id));
        }
        regions
    }

    /// What people call a member.
    pub(crate) fn name(&self, id: &str) -> &str {
        self.members.get(id).map_or("", |member| &member.name)
    }

    pub(crate) fn region(&self, id: &str) -> &str {
        self.members.get(id).map_or("", |member| &member.region)
    }

    /// The number of links of a member, as far as is known.
    pub(crate) fn degree(&self, id: &str) -> usize {
        let links = self.links.keys();
        links.filter(|(a, b)| a == id || b == id).count()
    }

    /// The links by the regions of their ends, in order.
    pub(crate) fn bundles(&self) -> BTreeMap<(&str, &str), Bundle> {
        let mut trips: BTreeMap<(&str, &str), (usize, Vec<u64>)> = BTreeMap::new();
        for ((a, b), link) in &self.links {
            let (a, b) = (self.region(a), self.region(b));
            let key = if a <= b { (a, b) } else { (b, a) };
            let (links, trips) = trips.entry(key).or_default();
            *links += 1;
            trips.extend(link.rtt_us);
        }
        let bundles = trips.into_iter().map(|(key, (links, mut trips))| {
            trips.sort_unstable();
            let rtt_us = trips.get(trips.len() / 2).copied();
            (key, Bundle { links, rtt_us })
        });
        bundles.collect()
    }

    /// Groups of members that no known link connects, each by id; the largest first. A group in
    /// which all were asked is cut off for certain.
    pub(crate) fn parts(&self) -> Vec<BTreeSet<&str>> {
        let mut left: BTreeSet<&str> = self.members.keys().map(String::as_str).collect();
        let mut parts = Vec::new();
        while let Some(first) = left.first().copied() {
            let part = self.reached(first, None);
            left.retain(|id| !part.contains(id));
            parts.push(part);
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts
    }

    /// Whether all links of these members are known.
    pub(crate) fn is_known(&self, ids: &BTreeSet<&str>) -> bool {
        let mut members = ids.iter().filter_map(|id| self.members.get(*id));
        members.all(|member| member.asked)
    }

    /// Who is reached from a member, over any link but this one.
    fn reached<'a>(&'a self, from: &'a str, without: Option<(&str, &str)>) -> BTreeSet<&'a str> {
        let mut neighbours: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (a, b) in self.links.keys() {
            if without != Some((a, b)) {
                neighbours.entry(a).or_default().push(b);
                neighbours.entry(b).or_default().push(a);
            }
        }
        let (mut reached, mut next) = (BTreeSet::from([from]), vec![from]);
        while let Some(id) = next.pop() {
            for other in neighbours.get(id).into_iter().flatten() {
                if reached.insert(*other) {
                    next.push(other);
                }
            }
        }
        reached
    }
}

/// Both ends of a link, in order.
fn ends(a: &str, b: &str) -> (String, String) {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    (a.to_owned(), b.to_owned())
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    /// A mesh of members named like `fra-1`, of which those in `elsewhere` were not asked.
    pub(crate) fn graph(names: &[&str], links: &[(&str, &str)], elsewhere: &[&str]) -> Graph {
        let member = |name: &str| Member {
            name: name.to_owned(),
            region: name.split('-').next().unwrap_or_default().to_owned(),
            asked: !elsewhere.contains(&name),
        };
        let id = |name: &str| format!("id of {name}");
        let members = names.iter().map(|name| (id(name), member(name)));
        let link = Link {
            rtt_us: Some(88_000),
        };
        let links = links
            .iter()
            .map(|(a, b)| (ends(&id(a), &id(b)), link.clone()));
        Graph {
            mesh: "00ff00ff00ff00ff".into(),
            members: members.collect(),
            links: links.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{fixture::graph, *};

    #[test]
    fn links_are_told_by_pairs_of_regions() {
        let links = [("fra-1", "iad-1"), ("fra-2", "iad-1"), ("fra-1", "fra-2")];
        let graph = graph(&["fra-1", "fra-2", "iad-1"], &links, &[]);
        let bundles = graph.bundles();
        let counts: Vec<_> = bundles.iter().map(|(key, it)| (*key, it.links)).collect();
        assert_eq!(counts, [(("fra", "fra"), 1), (("fra", "iad"), 2)]);
        assert_eq!(graph.degree("id of iad-1"), 2);
        let fra = &graph.regions()["fra"];
        assert_eq!(fra[..], ["id of fra-1", "id of fra-2"]);
    }

    #[test]
    fn members_without_a_known_link_are_there() {
        let report = serde_json::json!({
            "node": {"schema": "node/v1", "node": {"name": "fra-1", "region": "fra",
                "peer_id": "id of fra-1", "mesh": "00ff", "pid": 1, "started_at": "?",
                "listen_addresses": [], "version": "0.1.0", "peers": 0, "channels": 0}},
            "peers": {"schema": "peers/v1", "peers": [], "unlinked": [{"name": "gru-1",
                "region": "gru", "peer_id": "id of gru-1", "last_heard": "?", "silent": false}]},
            "channels": {"schema": "channels/v1", "channels": []},
        });
        let part = |name: &str| serde_json::from_value(report[name].clone());
        let reports = Reports {
            node: serde_json::from_value(report["node"].clone()).expect("a report"),
            peers: part("peers").expect("a report"),
            channels: serde_json::from_value(report["channels"].clone()).expect("a report"),
        };
        let mut graph = Graph::default();
        graph.add(&reports);
        assert_eq!(graph.members.len(), 2);
        assert!(!graph.members["id of gru-1"].asked);
        assert_eq!(graph.degree("id of gru-1"), 0);
    }

    #[test]
    fn members_without_a_way_to_each_other_are_parts() {
        let graph = graph(
            &["fra-1", "fra-2", "iad-1", "moon-1"],
            &[("fra-1", "fra-2"), ("iad-1", "moon-1")],
            &["moon-1"],
        );
        let parts = graph.parts();
        assert_eq!(parts.len(), 2);
        let known: Vec<_> = parts.iter().map(|part| graph.is_known(part)).collect();
        assert_eq!(
            known,
            [true, false],
            "moon-1 may have links that nobody here knows"
        );
    }
}
