//! The map as a picture: regions on a circle, their members around them.

use std::{collections::BTreeMap, f64::consts::TAU, fmt::Write};

use crate::{graph::Graph, render};

/// One picture below the other if there are several meshes.
pub(super) fn draw(graphs: &[Graph]) -> String {
    let height = HEIGHT * scalar(graphs.len());
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"system-ui, sans-serif\">\n\
         <style>{STYLE}</style>\n<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n"
    );
    for (number, graph) in graphs.iter().enumerate() {
        let down = HEIGHT * scalar(number);
        put(&mut out, &format!("<g transform=\"translate(0 {down})\">"));
        mesh(&mut out, graph);
        put(&mut out, "</g>");
    }
    out += "</svg>\n";
    out
}

fn mesh(out: &mut String, graph: &Graph) {
    let regions = graph.regions();
    let centres = centres(&regions);
    let places = places(&regions, &centres);
    let bridges: Vec<_> = graph.bridges().iter().map(|bridge| bridge.ends).collect();
    let few = graph.links.len() <= FEW;
    for (a, b) in graph.links.keys() {
        let is_bridge = bridges.contains(&(a, b));
        if let (Some(from), Some(to)) = (places.get(a.as_str()), places.get(b.as_str()))
            && (few || is_bridge)
        {
            let class = if is_bridge { "link weak" } else { "link" };
            put(out, &line(class, 1.5, *from, *to));
        }
    }
    for ((a, b), bundle) in graph.bundles() {
        let (Some(from), Some(to)) = (centres.get(a), centres.get(b)) else {
            continue;
        };
        if a == b {
            continue;
        }
        if !few {
            let width = 1.0 + scalar(bundle.links).sqrt();
            put(out, &line("link", width, *from, *to));
        }
        let count = format!("{} × ", bundle.links);
        let count = if bundle.links == 1 { "" } else { &count };
        let label = format!("{count}{}", render::rtt(bundle.rtt_us));
        // Off the middle, where the lines of many regions cross.
        let at = (
            from.0 + (to.0 - from.0) * 0.4,
            from.1 + (to.1 - from.1) * 0.4,
        );
        put(out, &text("trip", at, &label));
    }
    for (region, centre) in &centres {
        let (x, y) = *centre;
        let radius = orbit(regions.get(region).map_or(0, Vec::len)) + 26.0;
        put(
            out,
            &format!("<circle class=\"region\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"/>"),
        );
        put(out, &text("name", (x, y - radius - 8.0), region));
    }
    for (id, (x, y)) in &places {
        let asked = graph.members.get(*id).is_some_and(|member| member.asked);
        let class = if asked { "here" } else { "elsewhere" };
        let (links, name) = (graph.degree(id), escaped(graph.name(id)));
        put(
            out,
            &format!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\">\
                 <title>{name}: {links} links</title></circle>"
            ),
        );
        if graph.members.len() <= NAMED {
            put(out, &text("member", (*x, y + 20.0), graph.name(id)));
        }
    }
    let note = super::warnings(graph).join("; ");
    if !note.is_empty() {
        put(
            out,
            &text("note", (WIDTH / 2.0, HEIGHT - 16.0), &format!("! {note}")),
        );
    }
}

/// Where regions are: on a circle, the first at the top.
fn centres<'a>(regions: &BTreeMap<&'a str, Vec<&str>>) -> BTreeMap<&'a str, (f64, f64)> {
    let count = regions.len();
    let radius = if count < 2 { 0.0 } else { HEIGHT / 2.0 - 130.0 };
    let names = regions.keys().enumerate();
    let centres = names.map(|(number, region)| {
        let angle = TAU * scalar(number) / scalar(count) - TAU / 4.0;
        let (x, y) = (WIDTH / 2.0, HEIGHT / 2.0);
        (
            *region,
            (x + 1.25 * radius * angle.cos(), y + radius * angle.sin()),
        )
    });
    centres.collect()
}

/// Where members are: around the middle of their region.
fn places<'a>(
    regions: &BTreeMap<&str, Vec<&'a str>>,
    centres: &BTreeMap<&str, (f64, f64)>,
) -> BTreeMap<&'a str, (f64, f64)> {
    let mut places = BTreeMap::new();
    for (region, ids) in regions {
        let (x, y) = centres.get(region).copied().unwrap_or_default();
        let radius = orbit(ids.len());
        for (number, id) in ids.iter().enumerate() {
            let angle = TAU * scalar(number) / scalar(ids.len()) - TAU / 4.0;
            places.insert(*id, (x + radius * angle.cos(), y + radius * angle.sin()));
        }
    }
    places
}

/// How far members are from the middle of their region.
fn orbit(members: usize) -> f64 {
    if members < 2 {
        return 0.0;
    }
    (scalar(members) * 44.0 / TAU).clamp(24.0, 80.0)
}

fn line(class: &str, width: f64, from: (f64, f64), to: (f64, f64)) -> String {
    let [(x1, y1), (x2, y2)] = [from, to];
    format!(
        "<line class=\"{class}\" stroke-width=\"{width:.1}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" \
         x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    )
}

fn text(class: &str, at: (f64, f64), text: &str) -> String {
    let (x, y) = at;
    format!(
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
        escaped(text)
    )
}

/// Text between tags, whatever is in it.
fn escaped(text: &str) -> String {
    let text = render::text(text).replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

fn put(out: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{line}");
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are not that many members"
)]
const fn scalar(count: usize) -> f64 {
    count as f64
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 720.0;
/// More links are drawn as one line between their regions.
const FEW: usize = 150;
/// More names would lie over each other.
const NAMED: usize = 60;

const STYLE: &str = "\
.ground{fill:#fff}.region{fill:#eef2f7;stroke:#c3cedb}\
.link{stroke:#6b87a8;stroke-opacity:.55}.weak{stroke:#c62828;stroke-opacity:1;stroke-dasharray:6 4}\
.here{fill:#1668b8}.elsewhere{fill:#fff;stroke:#1668b8;stroke-width:2}\
text{text-anchor:middle;fill:#1c2733;font-size:12px;paint-order:stroke;stroke:#fff;\
stroke-width:3px}\
.name{font-size:16px;font-weight:600}.trip{fill:#4a5a6b;font-size:11px}.member{stroke:#eef2f7}\
.note{fill:#c62828;font-size:13px}\
@media (prefers-color-scheme:dark){.ground{fill:#10161d}.region{fill:#1b2530;stroke:#33475c}\
.link{stroke:#7fa3cc}.weak{stroke:#ff8a80}.here{fill:#6db3ff}\
.elsewhere{fill:#10161d;stroke:#6db3ff}\
text{fill:#e4ecf5;stroke:#10161d}.trip{fill:#a9b9ca}.member{stroke:#1b2530}.note{fill:#ff8a80}}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fixture::graph;

    #[test]
    fn each_member_is_drawn_and_a_link_that_holds_alone_is_marked() {
        let links = [("fra-1", "fra-2"), ("fra-1", "iad-1")];
        let drawn = draw(&[graph(&["fra-1", "fra-2", "iad-1"], &links, &["iad-1"])]);
        assert_eq!(drawn.matches("class=\"here\"").count(), 2);
        assert_eq!(drawn.matches("class=\"elsewhere\"").count(), 1);
        assert_eq!(drawn.matches("class=\"link weak\"").count(), 1);
        assert!(drawn.contains("! one link alone, fra-1 – iad-1"), "{drawn}");
    }

    #[test]
    fn many_links_are_one_line_between_their_regions() {
        let names: Vec<String> = (0..20).map(|n| format!("fra-{n}")).collect();
        let others: Vec<String> = (0..20).map(|n| format!("iad-{n}")).collect();
        let links: Vec<_> = names
            .iter()
            .flat_map(|a| others.iter().map(move |b| (a.as_str(), b.as_str())))
            .collect();
        let all: Vec<&str> = names.iter().chain(&others).map(String::as_str).collect();
        let drawn = draw(&[graph(&all, &links, &[])]);
        assert_eq!(drawn.matches("<line").count(), 1);
        assert!(drawn.contains("400 × 88.0 ms"), "{drawn}");
    }

    #[test]
    fn names_are_no_markup() {
        assert_eq!(escaped("<a & b>"), "&lt;a &amp; b&gt;");
    }
}
