//! The page: one file, that loads and runs nothing.

use std::fmt::{self, Display, Write as _};

use meshcast_sim::{Analysis, Pair};

use super::charts::{self, Trouble, ms};

pub(super) fn page(analysis: &Analysis) -> Result<String, Trouble> {
    let mut page = String::new();
    let name = Escaped(&analysis.scenario);
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name} · meshcast</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )?;
    head(&mut page, analysis)?;
    tiles(&mut page, analysis)?;
    complaints(&mut page, analysis)?;
    let rates = charts::rates(analysis)?;
    figure(
        &mut page,
        "Deliveries",
        "Posts and deliveries a second over the run, with faults",
        "<span class=\"key accent\">deliveries</span> <span class=\"key good\">posts</span> \
         <span class=\"key fault\">faults</span> \
         <span class=\"key gap\">▲ something was missed</span>",
        &rates,
    )?;
    let latency = charts::latency(analysis)?;
    figure(
        &mut page,
        "Latency",
        "From the post to the delivery over the run",
        "<span class=\"key accent\">half are faster (p50)</span> \
         <span class=\"key warn\">99 of 100 are faster (p99)</span>",
        &latency,
    )?;
    page += "<div class=\"two\">\n";
    let regions = charts::regions(analysis)?;
    figure(
        &mut page,
        "Regions",
        "Regions with their nodes, and what passed between them",
        "how many nodes, and the median of the slower direction",
        &regions,
    )?;
    heat(&mut page, analysis)?;
    page += "</div>\n";
    faults(&mut page, analysis)?;
    gaps(&mut page, analysis)?;
    page += "</main>\n</body>\n</html>\n";
    Ok(page)
}

fn head(page: &mut String, analysis: &Analysis) -> fmt::Result {
    let how = match analysis.is_real {
        true => "real nodes on one machine, over simulated links",
        false => "in virtual time",
    };
    let nodes: usize = analysis.regions.iter().map(|it| it.nodes.len()).sum();
    let regions = analysis.regions.len();
    writeln!(
        page,
        "<header>\n<h1>{}</h1>\n<p class=\"about\">{}</p>\n\
         <p class=\"muted\">{nodes} nodes in {regions} {}, {:.0} s, seed {}, {how}</p>\n</header>",
        Escaped(&analysis.scenario),
        Escaped(&analysis.about),
        if regions == 1 { "region" } else { "regions" },
        analysis.duration_us as f64 / 1e6,
        analysis.seed,
    )
}

fn tiles(page: &mut String, analysis: &Analysis) -> fmt::Result {
    let (p50, p99) = (
        overall(analysis, |it| it.p50_us),
        overall(analysis, |it| it.p99_us),
    );
    let ratio = |number: Option<f64>| number.map_or_else(unknown, |it| format!("{it:.1}"));
    let bytes = |number: Option<f64>| number.map_or_else(unknown, size);
    let verdict = match analysis.complaints.len() {
        0 => ("good", "all guarantees hold".to_owned()),
        1 => ("bad", "1 finding".to_owned()),
        count => ("bad", format!("{count} findings")),
    };
    let cost = &analysis.cost;
    let tiles = [
        ("", "Verdict", verdict.1),
        ("", "Posts", grouped(analysis.posts)),
        ("", "Deliveries", grouped(analysis.deliveries)),
        ("", "Missed", grouped(analysis.missed)),
        ("the slowest pair of regions", "p50", ms(p50)),
        ("the slowest pair of regions", "p99", ms(p99)),
        (
            "by gossip",
            "Copies a frame",
            ratio(analysis.copies_per_frame()),
        ),
        (
            "sent, to all",
            "Bytes a message",
            bytes(analysis.bytes_per_message()),
        ),
        (
            "sent, all nodes",
            "Bytes a delivery",
            bytes(analysis.bytes_per_delivery()),
        ),
        (
            "asked for by repair",
            "Frames fetched",
            grouped(cost.repaired),
        ),
    ];
    page.push_str("<dl class=\"tiles\">\n");
    for (index, (note, name, value)) in tiles.iter().enumerate() {
        let class = match index {
            0 => verdict.0,
            3 if analysis.missed > 0 => "bad",
            _ => "",
        };
        writeln!(
            page,
            "<div class=\"{class}\"><dt>{name}</dt><dd>{value}</dd>\
             <dd class=\"muted\">{note}</dd></div>"
        )?;
    }
    page.push_str("</dl>\n");
    Ok(())
}

fn overall(analysis: &Analysis, of: impl Fn(&Pair) -> u64) -> u64 {
    analysis.pairs.iter().map(of).max().unwrap_or_default()
}

fn complaints(page: &mut String, analysis: &Analysis) -> fmt::Result {
    if analysis.complaints.is_empty() {
        return Ok(());
    }
    page.push_str("<section class=\"card\"><h2>What is not as it should be</h2>\n<ul>\n");
    for complaint in analysis.complaints.iter().take(MOST_ROWS) {
        writeln!(page, "<li>{}</li>", Escaped(complaint))?;
    }
    more(page, analysis.complaints.len(), "li")?;
    page.push_str("</ul></section>\n");
    Ok(())
}

fn figure(page: &mut String, title: &str, told: &str, key: &str, svg: &str) -> fmt::Result {
    writeln!(
        page,
        "<section class=\"card\"><h2>{title}</h2><p class=\"muted\">{key}</p>\n\
         <div class=\"plot\" role=\"img\" aria-label=\"{told}\" tabindex=\"0\">{svg}</div>\
         </section>"
    )
}

/// A cell for each two regions, one half for each number: the darker, the longer.
fn heat(page: &mut String, analysis: &Analysis) -> fmt::Result {
    let (p50, p99) = (
        Heat::of(analysis, |it| it.p50_us),
        Heat::of(analysis, |it| it.p99_us),
    );
    page.push_str(
        "<section class=\"card\"><h2>Latency by region</h2>\n\
         <p class=\"muted\">p50, and p99 below it; from the rows to the columns</p>\n\
         <div class=\"plot\" tabindex=\"0\"><table class=\"heat\">\n<thead><tr><td></td>",
    );
    for region in &analysis.regions {
        write!(page, "<th scope=\"col\">{}</th>", Escaped(&region.name))?;
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for from in &analysis.regions {
        write!(page, "<tr><th scope=\"row\">{}</th>", Escaped(&from.name))?;
        for to in &analysis.regions {
            let mut pairs = analysis.pairs.iter();
            let Some(pair) = pairs.find(|it| it.from == from.name && it.to == to.name) else {
                page.push_str("<td class=\"none\">–</td>");
                continue;
            };
            write!(
                page,
                "<td style=\"--p50: {:.0}%; --p99: {:.0}%\" title=\"{} deliveries, {} at most\">\
                 <b>{}</b><span>{}</span></td>",
                p50.at(pair.p50_us),
                p99.at(pair.p99_us),
                grouped(pair.deliveries),
                ms(pair.max_us),
                ms(pair.p50_us),
                ms(pair.p99_us),
            )?;
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div></section>\n");
    Ok(())
}

/// From the shortest of a kind to the longest.
struct Heat {
    least: f64,
    most: f64,
}

impl Heat {
    fn of(analysis: &Analysis, of: impl Fn(&Pair) -> u64) -> Self {
        let all = || analysis.pairs.iter().map(|it| log(of(it)));
        Self {
            least: all().fold(f64::INFINITY, f64::min),
            most: all().fold(0.0, f64::max),
        }
    }

    /// In percent.
    fn at(&self, micros: u64) -> f64 {
        let part = (log(micros) - self.least) / (self.most - self.least).max(f64::EPSILON);
        part.clamp(0.0, 1.0) * 100.0
    }
}

/// So that a second does not make all else look alike; but nobody minds what is below 10 ms.
fn log(micros: u64) -> f64 {
    (micros.max(10_000) as f64).ln()
}

fn faults(page: &mut String, analysis: &Analysis) -> fmt::Result {
    if analysis.faults.is_empty() {
        return Ok(());
    }
    page.push_str(
        "<section class=\"card\"><h2>Faults</h2>\n\
         <div class=\"plot\" tabindex=\"0\"><table class=\"list\">\n\
         <thead><tr><th>From</th><th>Until</th><th>What</th></tr></thead>\n<tbody>\n",
    );
    for fault in analysis.faults.iter().take(MOST_ROWS) {
        let until = fault.until_us.map_or_else(unknown, seconds);
        let (at, what) = (seconds(fault.at_us), Escaped(&fault.what));
        writeln!(
            page,
            "<tr><td>{at}</td><td>{until}</td><td>{what}</td></tr>"
        )?;
    }
    more(page, analysis.faults.len(), "tr")?;
    page.push_str("</tbody></table></div></section>\n");
    Ok(())
}

fn gaps(page: &mut String, analysis: &Analysis) -> fmt::Result {
    page.push_str("<section class=\"card\"><h2>Gaps</h2>\n");
    if analysis.gaps == 0 {
        page.push_str("<p>None: every message reached everybody who was there.</p></section>\n");
        return Ok(());
    }
    page.push_str(
        "<div class=\"plot\" tabindex=\"0\"><table class=\"list\">\n\
         <thead><tr><th>When</th><th>Told to</th><th>Sender</th>\
         <th>Numbers</th></tr></thead>\n<tbody>\n",
    );
    for gap in analysis.gaps_told.iter().take(MOST_ROWS) {
        let numbers = match gap.first == gap.last {
            true => gap.first.to_string(),
            false => format!("{}–{}", gap.first, gap.last),
        };
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{numbers}</td></tr>",
            seconds(gap.at_us),
            Escaped(&gap.process),
            Escaped(&gap.sender),
        )?;
    }
    more(
        page,
        usize::try_from(analysis.gaps).unwrap_or(usize::MAX),
        "tr",
    )?;
    page.push_str("</tbody></table></div></section>\n");
    Ok(())
}

fn more(page: &mut String, all: usize, row: &str) -> fmt::Result {
    match all.checked_sub(MOST_ROWS).filter(|more| *more > 0) {
        None => Ok(()),
        Some(more) if row == "tr" => {
            writeln!(page, "<tr><td colspan=\"4\">and {more} more</td></tr>")
        }
        Some(more) => writeln!(page, "<li>and {more} more</li>"),
    }
}

fn unknown() -> String {
    "–".to_owned()
}

fn seconds(micros: u64) -> String {
    format!("{:.1} s", micros as f64 / 1e6)
}

fn size(bytes: f64) -> String {
    match bytes {
        it if it >= 1024.0 * 1024.0 => format!("{:.1} MiB", it / 1024.0 / 1024.0),
        it if it >= 10.0 * 1024.0 => format!("{:.0} KiB", it / 1024.0),
        it => format!("{it:.0} B"),
    }
}

/// With a space between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Text that is nothing else, whatever is in it.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            c => f.write_char(c),
        })
    }
}

const STYLE: &str = include_str!("style.css");

/// As many as a person reads; JSON has more.
const MOST_ROWS: usize = 50;
