//! The plots: throughput against size, and latency against offered load. Both axes are logarithmic.

use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use anyhow::Result;
use plotters::prelude::*;

use crate::{
    report::number,
    results::{Figure, Results},
    system::System,
    workload::{self, Workload},
};

/// Writes those for which there are results.
pub(crate) fn all(results: &Results, directory: &Path) -> Result<()> {
    let plots = [
        Plot {
            file: "throughput.svg",
            title: "Throughput, one to one",
            x: "bytes a message",
            // A tick for 64 bytes, 256 and so on.
            base: 4.0,
            y: "messages a second",
            lines: lines(results, Workload::Flat, workload::RATE),
        },
        Plot {
            file: "latency.svg",
            title: "Latency under load, one to one, 256 bytes, median",
            x: "messages offered a second, until it does not keep up",
            base: 10.0,
            y: "microseconds",
            lines: lines(results, Workload::Load, workload::P50),
        },
        Plot {
            file: "latency-p99.svg",
            title: "Latency under load, one to one, 256 bytes, 99th percentile",
            x: "messages offered a second, until it does not keep up",
            base: 10.0,
            y: "microseconds",
            lines: lines(results, Workload::Load, workload::P99),
        },
    ];
    for plot in plots.iter().filter(|plot| !plot.lines.is_empty()) {
        let mut svg = String::new();
        plot.draw(&mut svg)?;
        fs::write(directory.join(plot.file), svg)?;
    }
    Ok(())
}

struct Plot {
    file: &'static str,
    title: &'static str,
    x: &'static str,
    /// Of the logarithm along x.
    base: f64,
    y: &'static str,
    lines: Lines,
}

/// Points of each system, from left to right.
type Lines = BTreeMap<System, Vec<(f64, f64)>>;

fn lines(results: &Results, workload: Workload, figure: Figure) -> Lines {
    let mut lines = Lines::new();
    for case in results.cases() {
        let Some(x) = workload.parameter(case) else {
            continue;
        };
        // Only the medians are taken, so it does not matter against what ratios are made.
        for summary in results.summaries(case, System::Gossipsub) {
            let found = summary.figures.iter().find(|(known, ..)| *known == figure);
            if let Some((_, y, _)) = found.filter(|(_, y, _)| *y > 0.0) {
                lines.entry(summary.system).or_default().push((x, *y));
            }
        }
    }
    for points in lines.values_mut() {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines
}

impl Plot {
    fn draw(&self, svg: &mut String) -> Result<()> {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (plot, legend) = area.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        let points = || self.lines.values().flatten();
        let mut chart = ChartBuilder::on(&plot)
            .caption(self.title, (FONT, 18))
            .margin(12)
            .x_label_area_size(48)
            .y_label_area_size(88)
            .build_cartesian_2d(
                around(points().map(|point| point.0))
                    .log_scale()
                    .base(self.base),
                around(points().map(|point| point.1)).log_scale(),
            )?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .label_style((FONT, 13))
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|value| tick(*value))
            .y_label_formatter(&|value| tick(*value))
            .draw()?;
        for (row, (system, points)) in (0..).zip(&self.lines) {
            let style = color(*system).stroke_width(if system.is_meshcast() { 3 } else { 2 });
            let series = LineSeries::new(points.iter().copied(), style).point_size(3);
            chart.draw_series(series)?;
            let y = 56 + 22 * row;
            legend.draw(&PathElement::new([(0, y), (22, y)], style))?;
            legend.draw(&Text::new(system.name(), (28, y - 5), (FONT, 14)))?;
        }
        area.present()?;
        Ok(())
    }
}

/// The text at a mark of an axis: a whole number without the digits that tables have behind the
/// point.
fn tick(value: f64) -> String {
    let text = number(value);
    let whole = text.split('.').next().filter(|_| value.fract() == 0.0);
    whole.map_or_else(|| text.clone(), str::to_owned)
}

/// From a little under the least to a little over the most.
fn around(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    least / 1.3..most * 1.3
}

/// One for each system in all plots, told apart also by those who do not see red and green (Okabe
/// and Ito).
const fn color(system: System) -> RGBColor {
    match system {
        System::Meshcast => RGBColor(213, 94, 0),
        System::MeshcastShared => RGBColor(150, 60, 0),
        System::MeshcastTuned => RGBColor(240, 160, 100),
        System::Gossipsub => RGBColor(0, 114, 178),
        System::GossipsubUnsigned => RGBColor(86, 180, 233),
        System::Zenoh => RGBColor(0, 158, 115),
        System::Iroh => RGBColor(204, 121, 167),
        System::Nats => RGBColor(230, 159, 0),
        System::Redis => RGBColor(150, 110, 60),
        System::Tcp => RGBColor(0, 0, 0),
        System::TcpChacha => RGBColor(130, 130, 130),
    }
}

const SIZE: (u32, u32) = (860, 480);
const LEGEND_WIDTH: u32 = 170;
const FONT: &str = "sans-serif";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Outcome, Record};

    #[test]
    fn a_plot_names_its_systems_and_skips_what_was_not_measured() {
        let mut results = Results::default();
        for (size, rate) in [(64, 2e6), (1024, 1e6), (65_536, 1e4)] {
            results.records.push(Record {
                repetition: 0,
                case: format!("flat {size} B"),
                system: System::Meshcast,
                outcome: Outcome::Figures(vec![(workload::RATE, rate)]),
            });
        }
        let directory = std::env::temp_dir().join(format!("meshcast-bench-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a temporary directory");
        all(&results, &directory).expect("a plot");
        let svg = fs::read_to_string(directory.join("throughput.svg")).expect("it was written");
        let others = directory.join("latency.svg").exists();
        fs::remove_dir_all(&directory).expect("it is there");
        assert!(svg.contains("meshcast") && svg.contains("Throughput"));
        assert!(!svg.contains("zenoh"));
        assert!(!others);
    }
}
