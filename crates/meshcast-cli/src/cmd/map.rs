//! `meshcast map`

mod dot;
mod svg;

use clap::Args;
use meshcast_sim::location;
use serde::Serialize;

use crate::{
    args::TEMPLATE,
    exit::{Exit, Failure},
    graph::{Bridge, Graph, graphs},
    locate,
    output::Output,
    render::{self, Palette},
    survey::Survey,
};

/// Show the members by region, and the links between them
///
/// It asks all nodes of this machine. Members that run elsewhere are those that a node here is
/// connected to; what is between two of them is not known here. If one link alone holds two regions
/// together although there could be more, it says so.
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast map
  meshcast map --svg > mesh.svg
  meshcast map --dot | dot -Tpng > mesh.png")]
pub(crate) struct Map {
    /// As a graph for graphviz
    #[arg(long, conflicts_with_all = ["svg", "json"])]
    dot: bool,
    /// As a picture
    #[arg(long, conflicts_with = "json")]
    svg: bool,
}

pub(crate) async fn run(args: Map, output: &Output) -> Result<Exit, Failure> {
    let graphs = graphs(&Survey::take().await?);
    if graphs.is_empty() {
        return Err(locate::none());
    }
    if args.dot || args.svg {
        output.raw(&if args.dot {
            dot::draw(&graphs)
        } else {
            svg::draw(&graphs)
        })?;
        for warning in graphs.iter().flat_map(warnings) {
            output.note(&render::text(&format!("! {warning}")));
        }
        return Ok(Exit::Ok);
    }
    let report = Report {
        schema: "map/v1",
        meshes: graphs.iter().map(Mesh::new).collect(),
    };
    output.result(&report, || tree(&graphs, output.palette()))?;
    Ok(Exit::Ok)
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    meshes: Vec<Mesh<'a>>,
}

#[derive(Debug, Serialize)]
struct Mesh<'a> {
    mesh: &'a str,
    members: Vec<MemberRow<'a>>,
    links: Vec<LinkRow<'a>>,
    bridges: Vec<BridgeRow<'a>>,
    /// The ids of those that are connected to each other, as far as is known.
    parts: Vec<Vec<&'a str>>,
}

#[derive(Debug, Serialize)]
struct MemberRow<'a> {
    name: &'a str,
    region: &'a str,
    peer_id: &'a str,
    /// It runs here, and so all its links are known.
    asked: bool,
    links: usize,
}

#[derive(Debug, Serialize)]
struct LinkRow<'a> {
    a: &'a str,
    b: &'a str,
    rtt_us: Option<u64>,
}

#[derive(Debug, Serialize)]
struct BridgeRow<'a> {
    a: &'a str,
    b: &'a str,
    /// The ids of those it alone holds to the others.
    holds: Vec<&'a str>,
}

impl<'a> Mesh<'a> {
    fn new(graph: &'a Graph) -> Self {
        let ids = graph.regions().into_values().flatten();
        let members = ids.filter_map(|id| {
            let (peer_id, member) = graph.members.get_key_value(id)?;
            Some(MemberRow {
                name: &member.name,
                region: &member.region,
                peer_id,
                asked: member.asked,
                links: graph.degree(peer_id),
            })
        });
        let links = graph.links.iter().map(|((a, b), link)| LinkRow {
            a,
            b,
            rtt_us: link.rtt_us,
        });
        let bridges = graph.bridges().into_iter().map(|bridge| BridgeRow {
            a: bridge.ends.0,
            b: bridge.ends.1,
            holds: bridge.side.into_iter().collect(),
        });
        let parts = graph.parts().into_iter();
        Self {
            mesh: &graph.mesh,
            members: members.collect(),
            links: links.collect(),
            bridges: bridges.collect(),
            parts: parts.map(|part| part.into_iter().collect()).collect(),
        }
    }
}

fn tree(graphs: &[Graph], palette: Palette) -> String {
    let mut out = String::new();
    for graph in graphs {
        if !out.is_empty() {
            out.push('\n');
        }
        let regions = graph.regions();
        let of = |count: usize, what: &str| format!("{count} {what}{}", plural(count));
        let mut head = format!(
            "{} in {}, {}",
            of(graph.members.len(), "member"),
            of(regions.len(), "region"),
            of(graph.links.len(), "link")
        );
        if graphs.len() > 1 {
            head = format!("mesh {}: {head}", render::text(&graph.mesh));
        }
        out += &format!("{}\n", palette.quiet(&head));
        for (region, ids) in &regions {
            let city = location(region).map(|it| format!("  {}", it.city));
            let city = palette.quiet(&city.unwrap_or_default());
            out += &format!("{}{city}\n", render::text(region));
            let lines = region_lines(graph, region, ids);
            for (i, line) in lines.iter().enumerate() {
                let branch = if i + 1 == lines.len() {
                    "└─"
                } else {
                    "├─"
                };
                out += &format!("{} {line}\n", palette.quiet(branch));
            }
        }
        for warning in warnings(graph) {
            out += &format!("{}\n", palette.bad(&render::text(&format!("! {warning}"))));
        }
    }
    out
}

/// The members of a region, each with how many links it has, and what leads to other regions.
fn region_lines(graph: &Graph, region: &str, ids: &[&str]) -> Vec<String> {
    let links = |count: usize| format!("{count} link{}", plural(count));
    let mut rows: Vec<(String, String, String)> = Vec::new();
    for id in ids.iter().take(MEMBERS) {
        let asked = graph.members.get(*id).is_some_and(|member| member.asked);
        let (sign, rest) = if asked {
            ("●", links(graph.degree(id)))
        } else {
            (
                "○",
                format!("elsewhere, {} from here", links(graph.degree(id))),
            )
        };
        let name = format!("{sign} {}", render::text(graph.name(id)));
        rows.push((name, rest, String::new()));
    }
    if ids.len() > MEMBERS {
        let more = format!("… {} more", ids.len() - MEMBERS);
        rows.push((more, String::new(), String::new()));
    }
    for ((a, b), bundle) in graph.bundles() {
        let other = match (a == region, b == region) {
            (true, false) => b,
            (false, true) => a,
            _ => continue,
        };
        let name = format!("→ {}", render::text(other));
        rows.push((name, links(bundle.links), render::rtt(bundle.rtt_us)));
    }
    let width = |cell: fn(&(String, String, String)) -> &String| {
        let widths = rows.iter().map(|row| cell(row).chars().count());
        widths.max().unwrap_or(0)
    };
    let (first, second) = (width(|row| &row.0), width(|row| &row.1));
    let lines = rows.iter().map(|(name, links, rtt)| {
        let line = format!("{name:<first$}  {links:<second$}  {rtt}");
        line.trim_end().to_owned()
    });
    lines.collect()
}

/// What is broken or weak about a mesh.
pub(super) fn warnings(graph: &Graph) -> Vec<String> {
    let bridges = graph.bridges();
    let alone = bridges.iter().map(|bridge| alone(graph, bridge));
    cut_off(graph).into_iter().chain(alone).collect()
}

/// Who has no way to most of the others, each part by itself.
pub(super) fn cut_off(graph: &Graph) -> Vec<String> {
    let parts = graph.parts();
    // The first is the largest: the others are cut off from it.
    let others = parts.iter().skip(1).filter(|part| graph.is_known(part));
    let told = others.map(|part| {
        let mut names: Vec<_> = part.iter().map(|id| graph.name(id)).collect();
        names.sort_unstable();
        format!("cut off from the rest: {}", names.join(", "))
    });
    told.collect()
}

/// What a bridge alone holds together.
pub(super) fn alone(graph: &Graph, bridge: &Bridge<'_>) -> String {
    let (a, b) = bridge.ends;
    let mut ends = [graph.name(a), graph.name(b)];
    ends.sort_unstable();
    let mut regions: Vec<&str> = bridge.side.iter().map(|id| graph.region(id)).collect();
    regions.sort_unstable();
    regions.dedup();
    format!(
        "one link alone, {} – {}, holds {} to the rest",
        ends[0],
        ends[1],
        regions.join(", ")
    )
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// More of one region are counted: nobody reads on.
const MEMBERS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fixture::graph;

    fn example() -> Graph {
        let links = [
            ("fra-1", "fra-2"),
            ("fra-1", "iad-1"),
            ("fra-2", "iad-1"),
            ("iad-1", "moon-1"),
        ];
        graph(&["fra-1", "fra-2", "iad-1", "moon-1"], &links, &["moon-1"])
    }

    #[test]
    fn members_stand_under_their_regions_with_what_leads_elsewhere() {
        assert_eq!(
            tree(&[example()], Palette::PLAIN),
            "4 members in 3 regions, 4 links\n\
             fra  Frankfurt\n\
             ├─ ● fra-1  2 links\n\
             ├─ ● fra-2  2 links\n\
             └─ → iad    2 links  88.0 ms\n\
             iad  Virginia\n\
             ├─ ● iad-1  3 links\n\
             ├─ → fra    2 links  88.0 ms\n\
             └─ → moon   1 link   88.0 ms\n\
             moon\n\
             ├─ ○ moon-1  elsewhere, 1 link from here\n\
             └─ → iad     1 link                       88.0 ms\n\
             ! one link alone, iad-1 – moon-1, holds moon to the rest\n"
        );
    }

    #[test]
    fn who_is_cut_off_is_told() {
        let graph = graph(&["fra-1", "iad-1", "nrt-1"], &[("fra-1", "iad-1")], &[]);
        let last = tree(&[graph], Palette::PLAIN);
        assert!(
            last.contains("\n! cut off from the rest: nrt-1\n"),
            "{last}"
        );
    }

    #[test]
    fn the_json_is_the_documented_one() {
        let graph = graph(&["fra-1", "iad-1"], &[("fra-1", "iad-1")], &["iad-1"]);
        let report = Report {
            schema: "map/v1",
            meshes: vec![Mesh::new(&graph)],
        };
        let (fra, iad) = ("id of fra-1", "id of iad-1");
        assert_eq!(
            serde_json::to_value(report).expect("plain"),
            serde_json::json!({"schema": "map/v1", "meshes": [{
                "mesh": "00ff00ff00ff00ff",
                "members": [
                    {"name": "fra-1", "region": "fra", "peer_id": fra, "asked": true, "links": 1},
                    {"name": "iad-1", "region": "iad", "peer_id": iad, "asked": false, "links": 1},
                ],
                "links": [{"a": fra, "b": iad, "rtt_us": 88_000}],
                "bridges": [],
                "parts": [[fra, iad]],
            }]})
        );
    }
}
