//! Links that alone hold a mesh together.

use std::collections::BTreeSet;

use super::Graph;

/// A link between two regions without which there is no way from one of its ends to the other,
/// although there could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bridge<'a> {
    /// The ids of its ends.
    pub(crate) ends: (&'a str, &'a str),
    /// The ids of those that it alone holds to the others: the smaller side.
    pub(crate) side: BTreeSet<&'a str>,
}

impl Graph {
    /// All of them that are so for certain: the links of all on one of their sides are known. Two
    /// members that are alone on their sides can have no other link, so that is none.
    pub(crate) fn bridges(&self) -> Vec<Bridge<'_>> {
        let mut bridges = Vec::new();
        for (a, b) in self.cut_links() {
            if self.region(a) == self.region(b) {
                continue;
            }
            let [left, right] = [a, b].map(|end| self.reached(end, Some((a, b))));
            let is_certain = self.is_known(&left) || self.is_known(&right);
            if is_certain && left.len() * right.len() > 1 {
                let is_left = left.len() <= right.len();
                bridges.push(Bridge {
                    ends: (a, b),
                    side: if is_left { left } else { right },
                });
            }
        }
        bridges
    }

    /// Links that lie on no circle (Tarjan's bridges): in a walk that goes as deep as it can, those
    /// that nothing below leads back over.
    fn cut_links(&self) -> Vec<(&str, &str)> {
        let ids: Vec<&str> = self.members.keys().map(String::as_str).collect();
        let index = |id: &str| ids.binary_search(&id).ok();
        let mut neighbours: Vec<Vec<(usize, usize)>> = vec![Vec::new(); ids.len()];
        let links: Vec<(&str, &str)> = self
            .links
            .keys()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        for (link, (a, b)) in links.iter().enumerate() {
            if let (Some(a), Some(b)) = (index(a), index(b)) {
                neighbours[a].push((b, link));
                neighbours[b].push((a, link));
            }
        }
        let mut found = Vec::new();
        let mut walk = Walk::new(ids.len());
        for start in 0..ids.len() {
            if walk.depth[start].is_none() {
                walk.from(start, &neighbours, &mut found);
            }
        }
        found.sort_unstable();
        found.into_iter().map(|link| links[link]).collect()
    }
}

struct Walk {
    /// When each was come to first.
    depth: Vec<Option<usize>>,
    /// The first that is come back to from there or below.
    lowest: Vec<usize>,
    steps: usize,
}

/// The position of the walk: at a member, come by a link, with so many neighbours looked at.
struct Stand {
    at: usize,
    by: Option<usize>,
    looked: usize,
}

impl Walk {
    fn new(members: usize) -> Self {
        Self {
            depth: vec![None; members],
            lowest: vec![0; members],
            steps: 0,
        }
    }

    /// Not by recursion: a chain of thousands is as deep as it is long.
    fn from(&mut self, start: usize, neighbours: &[Vec<(usize, usize)>], found: &mut Vec<usize>) {
        let mut stands = vec![self.come(start, None)];
        while let Some(stand) = stands.last_mut() {
            let at = stand.at;
            if let Some(&(next, link)) = neighbours[at].get(stand.looked) {
                stand.looked += 1;
                match self.depth[next] {
                    _ if stand.by == Some(link) => {}
                    Some(depth) => self.lowest[at] = self.lowest[at].min(depth),
                    None => stands.push(self.come(next, Some(link))),
                }
                continue;
            }
            let by = stand.by;
            stands.pop();
            if let (Some(above), Some(link)) = (stands.last(), by) {
                let above = above.at;
                self.lowest[above] = self.lowest[above].min(self.lowest[at]);
                if self.depth[above].is_some_and(|depth| self.lowest[at] > depth) {
                    found.push(link);
                }
            }
        }
    }

    fn come(&mut self, at: usize, by: Option<usize>) -> Stand {
        self.depth[at] = Some(self.steps);
        self.lowest[at] = self.steps;
        self.steps += 1;
        Stand { at, by, looked: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::graph, *};

    fn told(graph: &Graph) -> Vec<(&str, &str, usize)> {
        let bridges = graph.bridges();
        let told = bridges.iter().map(|bridge| {
            let (a, b) = bridge.ends;
            (graph.name(a), graph.name(b), bridge.side.len())
        });
        told.collect()
    }

    #[test]
    fn the_only_link_of_a_region_is_told_and_a_second_one_makes_it_none() {
        let names = ["fra-1", "fra-2", "iad-1", "iad-2"];
        let mut links = vec![("fra-1", "fra-2"), ("iad-1", "iad-2"), ("fra-1", "iad-1")];
        assert_eq!(told(&graph(&names, &links, &[])), [("fra-1", "iad-1", 2)]);
        links.push(("fra-2", "iad-1"));
        assert_eq!(told(&graph(&names, &links, &[])), []);
    }

    #[test]
    fn a_way_over_a_third_region_counts() {
        let names = ["fra-1", "iad-1", "nrt-1"];
        let circle = [("fra-1", "iad-1"), ("iad-1", "nrt-1"), ("fra-1", "nrt-1")];
        assert_eq!(told(&graph(&names, &circle, &[])), []);
        let chain = &circle[..2];
        let both = [("fra-1", "iad-1", 1), ("iad-1", "nrt-1", 1)];
        assert_eq!(told(&graph(&names, chain, &[])), both);
    }

    #[test]
    fn two_regions_of_one_node_can_have_no_more_than_one_link() {
        assert_eq!(
            told(&graph(&["fra-1", "iad-1"], &[("fra-1", "iad-1")], &[])),
            []
        );
    }

    #[test]
    fn nothing_is_said_where_links_may_be_unknown_on_both_sides() {
        let names = ["fra-1", "fra-2", "iad-1", "iad-2"];
        let links = [("fra-1", "fra-2"), ("iad-1", "iad-2"), ("fra-1", "iad-1")];
        let one = graph(&names, &links, &["iad-1", "iad-2"]);
        assert_eq!(told(&one).len(), 1, "all links of fra are known");
        assert_eq!(told(&graph(&names, &links, &["iad-2", "fra-2"])), []);
    }

    #[test]
    fn links_inside_of_a_region_are_not_meant() {
        let links = [("fra-1", "fra-2"), ("fra-2", "fra-3")];
        assert_eq!(told(&graph(&["fra-1", "fra-2", "fra-3"], &links, &[])), []);
    }

    #[test]
    fn a_long_chain_is_walked() {
        let names: Vec<String> = (0..5_000).map(|n| format!("r{n}-1")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let links: Vec<_> = names.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let graph = graph(&names, &links, &[]);
        assert_eq!(graph.cut_links().len(), 4_999);
    }
}
