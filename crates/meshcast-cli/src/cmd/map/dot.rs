//! The map as a graph in the language of graphviz.

use std::fmt::Write;

use crate::{graph::Graph, render};

pub(super) fn draw(graphs: &[Graph]) -> String {
    let mut out = String::from("graph meshcast {\n  node [shape=circle fontsize=10];\n");
    for graph in graphs {
        for (number, (region, ids)) in graph.regions().into_iter().enumerate() {
            let cluster = format!("cluster {} {number}", graph.mesh);
            line(&mut out, &format!("  subgraph {} {{", quoted(&cluster)));
            line(&mut out, &format!("    label={};", quoted(region)));
            for id in ids {
                let asked = graph.members.get(id).is_some_and(|member| member.asked);
                let style = if asked { "solid" } else { "dashed" };
                let label = quoted(graph.name(id));
                line(
                    &mut out,
                    &format!("    {} [label={label} style={style}];", quoted(id)),
                );
            }
            line(&mut out, "  }");
        }
        let bridges: Vec<_> = graph.bridges().iter().map(|bridge| bridge.ends).collect();
        for ((a, b), link) in &graph.links {
            let label = quoted(
                &link
                    .rtt_us
                    .map_or_else(String::new, |it| render::rtt(Some(it))),
            );
            let weak = if bridges.contains(&(a, b)) {
                " color=red style=dashed"
            } else {
                ""
            };
            let (a, b) = (quoted(a), quoted(b));
            line(&mut out, &format!("  {a} -- {b} [label={label}{weak}];"));
        }
    }
    out += "}\n";
    out
}

fn line(out: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{line}");
}

/// A string of the language, whatever is in it.
fn quoted(text: &str) -> String {
    let text = render::text(text)
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fixture::graph;

    #[test]
    fn regions_are_clusters_and_a_link_that_holds_alone_is_marked() {
        let links = [("fra-1", "fra-2"), ("fra-1", "iad-1")];
        let drawn = draw(&[graph(&["fra-1", "fra-2", "iad-1"], &links, &[])]);
        assert!(drawn.contains("label=\"fra\";"), "{drawn}");
        let marked =
            "\"id of fra-1\" -- \"id of iad-1\" [label=\"88.0 ms\" color=red style=dashed];";
        assert!(drawn.contains(marked), "{drawn}");
        assert_eq!(drawn.matches("color=red").count(), 1);
    }

    #[test]
    fn names_do_not_end_their_quotes() {
        assert_eq!(quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
    }
}
