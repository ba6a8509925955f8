//! The plots, as SVG whose colours are those of the page.

use std::f64::consts::TAU;

use meshcast_sim::{Analysis, Slice};
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
};

/// Why a plot is none. A text takes all that is written to it, so this does not happen.
pub(super) type Trouble = Box<dyn std::error::Error + Send + Sync>;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Posts and deliveries a second, faults, and what was missed.
pub(super) fn rates(analysis: &Analysis) -> Result<String, Trouble> {
    let width = analysis.slice_us as f64 / 1e6;
    let rate = |count: u64| count as f64 / width;
    let line = |of: &dyn Fn(&Slice) -> u64| -> Vec<(f64, f64)> {
        let slices = times(analysis).zip(&analysis.slices);
        slices.map(|(at, slice)| (at, rate(of(slice)))).collect()
    };
    let (posts, deliveries) = (line(&|it| it.posts), line(&|it| it.deliveries));
    let all = posts.iter().chain(&deliveries);
    let most = all.map(|(_, rate)| *rate).fold(1.0, f64::max) * 1.1;
    drawn((WIDE, 260), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(16)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..end(analysis), 0.0..most)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(EDGE)
            .axis_style(MUTED)
            .label_style((FONT, 13).into_font().color(&MUTED))
            .x_desc("seconds")
            .y_desc("a second")
            .x_label_formatter(&|at| format!("{at:.0}"))
            .y_label_formatter(&|rate| short(*rate))
            .draw()?;
        chart.draw_series(bands(analysis).map(|(from, until)| {
            Rectangle::new([(from, 0.0), (until, most)], FAULT.mix(0.16).filled())
        }))?;
        chart.draw_series(LineSeries::new(deliveries, ACCENT.stroke_width(2)))?;
        chart.draw_series(LineSeries::new(posts, GOOD.stroke_width(2)))?;
        let missed = times(analysis).zip(&analysis.slices);
        let missed = missed.filter(|(_, slice)| slice.missed > 0);
        chart.draw_series(
            missed.map(|(at, _)| TriangleMarker::new((at, most * 0.04), 6, FAULT.filled())),
        )?;
        Ok(())
    })
}

/// What deliveries took at each moment.
pub(super) fn latency(analysis: &Analysis) -> Result<String, Trouble> {
    let line = |of: &dyn Fn(&Slice) -> Option<u64>| -> Vec<(f64, f64)> {
        let slices = times(analysis).zip(&analysis.slices);
        let known = slices.filter_map(|(at, slice)| Some((at, of(slice)?)));
        known
            .map(|(at, micros)| (at, millis(micros).max(LEAST)))
            .collect()
    };
    let (p50, p99) = (line(&|it| it.p50_us), line(&|it| it.p99_us));
    let all = || p50.iter().chain(&p99).map(|(_, ms)| *ms);
    let least = all().fold(f64::MAX, f64::min).min(1.0);
    let most = all().fold(10.0, f64::max) * 1.6;
    drawn((WIDE, 240), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(16)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..end(analysis), (least..most).log_scale())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(EDGE)
            .axis_style(MUTED)
            .label_style((FONT, 13).into_font().color(&MUTED))
            .x_desc("seconds, by when they arrived")
            .y_desc("milliseconds")
            .x_label_formatter(&|at| format!("{at:.0}"))
            .y_label_formatter(&|ms| short(*ms))
            .draw()?;
        chart.draw_series(bands(analysis).map(|(from, until)| {
            Rectangle::new([(from, least), (until, most)], FAULT.mix(0.16).filled())
        }))?;
        chart.draw_series(LineSeries::new(p99, WARN.stroke_width(2)))?;
        chart.draw_series(LineSeries::new(p50, ACCENT.stroke_width(2)))?;
        Ok(())
    })
}

/// Regions on a circle, and what passed between them.
pub(super) fn regions(analysis: &Analysis) -> Result<String, Trouble> {
    let count = analysis.regions.len();
    let place = |index: usize| {
        let turn = TAU / 4.0 - TAU * index as f64 / count.max(1) as f64;
        let far = if count > 1 { 1.0 } else { 0.0 };
        (far * turn.cos() * 1.5, far * turn.sin())
    };
    let index = |name: &str| analysis.regions.iter().position(|it| it.name == name);
    let most = analysis.pairs.iter().map(|it| it.deliveries).max();
    let most = most.unwrap_or(1).max(1) as f64;
    drawn((520, 400), |area| {
        let plane = Cartesian2d::<RangedCoordf64, RangedCoordf64>::new(
            -2.1..2.1,
            1.45..-1.45,
            (0..520, 0..400),
        );
        let area = area.apply_coord_spec(plane);
        for (a, b, there, back) in both_ways(analysis) {
            let (Some(from), Some(to)) = (index(a), index(b)) else {
                continue;
            };
            let apart = from.abs_diff(to);
            let is_rim = apart == 1 || apart + 1 == count;
            let (from, to) = (place(from), place(to));
            let share = there.deliveries.max(back.deliveries) as f64 / most;
            let style = ACCENT
                .mix(0.55)
                .stroke_width(1 + (share * 5.0).round() as u32);
            area.draw(&PathElement::new([from, to], style))?;
            if count <= LABELLED {
                // On the line, but off where the lines of four or five regions cross.
                let part = if is_rim { 0.5 } else { 0.27 };
                let at = |x: f64, y: f64| x + (y - x) * part;
                let middle = (at(from.0, to.0), at(from.1, to.1));
                let text = ms(there.p50_us.max(back.p50_us));
                area.draw(&Text::new(text, middle, centred(15, &INK)))?;
            }
        }
        for (index, region) in analysis.regions.iter().enumerate() {
            let at = place(index);
            let size = 12 + region.nodes.len().min(12) as i32;
            area.draw(&Circle::new(at, size, CARD.filled()))?;
            area.draw(&Circle::new(at, size, ACCENT.stroke_width(3)))?;
            let nodes = region.nodes.len().to_string();
            area.draw(&Text::new(nodes, (at.0, at.1 - 0.04), centred(14, &INK)))?;
            let above = if at.1 < 0.0 { -0.3 } else { 0.26 };
            let named = (at.0, at.1 + above);
            area.draw(&Text::new(region.name.clone(), named, centred(16, &INK)))?;
        }
        Ok(())
    })
}

/// Each two regions once, with what is known of both directions.
pub(super) fn both_ways(
    analysis: &Analysis,
) -> impl Iterator<Item = (&str, &str, &meshcast_sim::Pair, &meshcast_sim::Pair)> {
    let pairs = analysis.pairs.iter();
    let across = pairs.filter(|it| it.from < it.to);
    across.map(|there| {
        let mut all = analysis.pairs.iter();
        let back = all.find(|it| it.from == there.to && it.to == there.from);
        (
            there.from.as_str(),
            there.to.as_str(),
            there,
            back.unwrap_or(there),
        )
    })
}

fn drawn(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
) -> Result<String, Trouble> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    // The colours of the plots are names for those of the page.
    for (color, name) in COLORS {
        let RGBColor(r, g, b) = color;
        svg = svg.replace(&format!("\"#{r:02X}{g:02X}{b:02X}\""), name);
    }
    Ok(svg)
}

fn centred<'a>(size: i32, color: &'a RGBColor) -> TextStyle<'a> {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    let style = (FONT, size).into_font().color(color);
    style.pos(Pos::new(HPos::Center, VPos::Center))
}

/// From when to when something was broken, in seconds. What only happens is a line.
fn bands(analysis: &Analysis) -> impl Iterator<Item = (f64, f64)> {
    let end = end(analysis);
    analysis.faults.iter().map(move |fault| {
        let from = fault.at_us as f64 / 1e6;
        let until = fault.until_us.map(|until| until as f64 / 1e6);
        let until = until.unwrap_or(from).max(from + end / 500.0);
        (from.min(end), until.min(end))
    })
}

/// The middle of each slice.
fn times(analysis: &Analysis) -> impl Iterator<Item = f64> {
    let width = analysis.slice_us as f64 / 1e6;
    (0..analysis.slices.len()).map(move |index| (index as f64 + 0.5) * width)
}

fn end(analysis: &Analysis) -> f64 {
    let slices = analysis.slices.len() as u64 * analysis.slice_us;
    slices.max(1) as f64 / 1e6
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// As short as a person would write it.
pub(super) fn ms(micros: u64) -> String {
    match millis(micros) {
        ms if ms >= 10_000.0 => format!("{:.0} s", ms / 1000.0),
        ms if ms >= 1_000.0 => format!("{:.1} s", ms / 1000.0),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms => format!("{ms:.1} ms"),
    }
}

fn short(number: f64) -> String {
    match number {
        it if it >= 1e6 => format!("{:.1}M", it / 1e6),
        it if it >= 1e4 => format!("{:.0}k", it / 1e3),
        it if it >= 1.0 || it == 0.0 => format!("{it:.0}"),
        it => format!("{it}"),
    }
}

const FONT: &str = "sans-serif";
const WIDE: u32 = 960;
/// A logarithm needs more than nothing.
const LEAST: f64 = 0.05;
/// With more regions the numbers at the lines are in each other's way; the table has them.
const LABELLED: usize = 6;

const INK: RGBColor = RGBColor(1, 1, 1);
const MUTED: RGBColor = RGBColor(2, 2, 2);
const EDGE: RGBColor = RGBColor(3, 3, 3);
const CARD: RGBColor = RGBColor(4, 4, 4);
const ACCENT: RGBColor = RGBColor(5, 5, 5);
const GOOD: RGBColor = RGBColor(6, 6, 6);
const WARN: RGBColor = RGBColor(7, 7, 7);
const FAULT: RGBColor = RGBColor(8, 8, 8);
const COLORS: [(RGBColor, &str); 9] = [
    (INK, "\"var(--text)\""),
    (MUTED, "\"var(--muted)\""),
    (EDGE, "\"var(--edge)\""),
    (CARD, "\"var(--card)\""),
    (ACCENT, "\"var(--accent)\""),
    (GOOD, "\"var(--good)\""),
    (WARN, "\"var(--warn)\""),
    (FAULT, "\"var(--bad)\""),
    (BLACK, "\"var(--text)\""),
];
