//! The goals of meshcast beside the results: one table of the ratios and figures that are scattered
//! over the others.

use crate::{
    report::number,
    results::{Figure, Results},
    system::System,
    workload::{self as figures, Workload},
};

/// Something to reach.
struct Goal {
    title: &'static str,
    measure: Measure,
    /// A quantity of which more is better has to be at least this, others at most.
    must: f64,
    /// What would be good.
    aim: Option<f64>,
    more_is_better: bool,
}

/// The figure that counts, of meshcast as a user runs it and tuned.
enum Measure {
    /// The median of the ratios to another system within a repetition.
    Ratio(&'static str, Figure, System),
    /// The highest median of these figures, in all cases of these workloads.
    Highest(&'static [Workload], &'static [Figure]),
    /// The same, of one case.
    Value(&'static str, Figure),
    /// All that was measured of these figures, added.
    Sum(&'static [Figure]),
}

/// The rows of the table: what, how much as a user runs it, how much tuned, how much it has to be,
/// how much would be good, and what is reached of that as a user runs it. Goals of which nothing
/// was measured are left out.
pub(crate) fn rows(results: &Results) -> Vec<[String; 6]> {
    let row = |goal: &Goal| {
        let measured = goal.measure.of(System::Meshcast, results);
        let tuned = goal.measure.of(System::MeshcastTuned, results);
        if measured.is_none() && tuned.is_none() {
            return None;
        }
        let unit = match goal.measure {
            Measure::Ratio(..) => " ×",
            _ => "",
        };
        let sign = if goal.more_is_better { "≥" } else { "≤" };
        let bound = |bound: f64| format!("{sign} {}{unit}", number(bound));
        let reached = |measured: f64| {
            let holds = |bound: f64| match goal.more_is_better {
                true => measured >= bound,
                false => measured <= bound,
            };
            match goal.aim {
                Some(aim) if holds(aim) => "more",
                _ if holds(goal.must) => "yes",
                _ => "**no**",
            }
        };
        let shown =
            |value: Option<f64>| value.map_or_else(String::new, |value| number(value) + unit);
        let reached = measured.map_or("", reached);
        Some([
            goal.title.to_owned(),
            shown(measured),
            shown(tuned),
            bound(goal.must),
            goal.aim.map_or_else(String::new, bound),
            reached.to_owned(),
        ])
    };
    GOALS.iter().filter_map(row).collect()
}

impl Measure {
    fn of(&self, own: System, results: &Results) -> Option<f64> {
        match self {
            Self::Ratio(case, figure, to) => find(results, own, case, *figure, *to)?.1,
            Self::Value(case, figure) => {
                Some(find(results, own, case, *figure, System::Gossipsub)?.0)
            }
            Self::Highest(workloads, figures) => {
                let cases = results.cases().into_iter();
                let cases =
                    cases.filter(|case| workloads.iter().any(|workload| workload.owns(case)));
                let values = cases.flat_map(|case| {
                    let value =
                        |figure: &Figure| find(results, own, case, *figure, System::Gossipsub);
                    figures.iter().filter_map(value).map(|(value, _)| value)
                });
                values.reduce(f64::max)
            }
            Self::Sum(figures) => results.sum(own, figures),
        }
    }
}

/// The median, and the median of the ratios.
fn find(
    results: &Results,
    own: System,
    case: &str,
    figure: Figure,
    to: System,
) -> Option<(f64, Option<f64>)> {
    let summaries = results.summaries(case, to);
    let own = summaries.iter().find(|summary| summary.system == own)?;
    let mut found = own.figures.iter().filter(|(known, ..)| *known == figure);
    found.next().map(|(_, value, ratio)| (*value, *ratio))
}

const fn at_least(title: &'static str, measure: Measure, must: f64, aim: Option<f64>) -> Goal {
    Goal {
        title,
        measure,
        must,
        aim,
        more_is_better: true,
    }
}

const fn at_most(title: &'static str, measure: Measure, must: f64, aim: Option<f64>) -> Goal {
    Goal {
        title,
        measure,
        must,
        aim,
        more_is_better: false,
    }
}

const GOALS: [Goal; 23] = [
    at_most(
        "idle, 64 B, p50 against gossipsub",
        Measure::Ratio("idle", figures::P50, System::Gossipsub),
        0.8,
        Some(0.66),
    ),
    at_most(
        "idle, 64 B, p99 against gossipsub",
        Measure::Ratio("idle", figures::P99, System::Gossipsub),
        0.8,
        Some(0.66),
    ),
    at_least(
        "64 B flat out against zenoh",
        Measure::Ratio("flat 64 B", figures::RATE, System::Zenoh),
        1.8,
        Some(2.5),
    ),
    at_least(
        "1 KiB flat out against NATS",
        Measure::Ratio("flat 1024 B", figures::RATE, System::Nats),
        1.3,
        None,
    ),
    at_least(
        "1 KiB flat out against zenoh",
        Measure::Ratio("flat 1024 B", figures::RATE, System::Zenoh),
        0.6,
        Some(1.0),
    ),
    at_least(
        "64 KiB flat out against NATS",
        Measure::Ratio("flat 65536 B", figures::RATE, System::Nats),
        2.0,
        None,
    ),
    at_least(
        "64 KiB flat out against TCP with ChaCha20",
        Measure::Ratio("flat 65536 B", figures::RATE, System::TcpChacha),
        0.55,
        Some(0.8),
    ),
    at_least(
        "1→7 over relays, 256 B flat out, against zenoh without relays",
        Measure::Ratio("mesh-flat", figures::DELIVERED, System::Zenoh),
        0.6,
        Some(1.0),
    ),
    at_least(
        "1→7, all linked, 256 B flat out, against zenoh",
        Measure::Ratio("full-flat", figures::DELIVERED, System::Zenoh),
        0.8,
        Some(1.0),
    ),
    at_most(
        "1→7 over relays, 100 a second, p50 until the last has it, against gossipsub",
        Measure::Ratio("mesh-paced", figures::LAST_P50, System::Gossipsub),
        0.85,
        Some(0.5),
    ),
    at_most(
        "1→7, all linked, the same",
        Measure::Ratio("full-paced", figures::LAST_P50, System::Gossipsub),
        0.85,
        Some(0.5),
    ),
    at_most(
        "CPU seconds per 100,000 of 1 KiB",
        Measure::Value("flat 1024 B", figures::CPU),
        0.25,
        Some(0.18),
    ),
    at_most(
        "a subscriber frozen for 4 s: lost by all",
        Measure::Value("stall", figures::LOST),
        0.0,
        None,
    ),
    at_most(
        "… the others' p99 against before",
        Measure::Value("stall", figures::OTHERS_RATIO),
        1.2,
        None,
    ),
    at_most(
        "peak RSS flat out, either end, any size, MiB",
        Measure::Highest(
            &[Workload::Flat, Workload::Typed],
            &[figures::PEAK_PUBLISHER, figures::PEAK_SUBSCRIBER],
        ),
        96.0,
        Some(80.0),
    ),
    at_most(
        "idle node, RSS MiB",
        Measure::Value("memory", figures::RSS),
        16.0,
        None,
    ),
    at_most(
        "an open channel, KiB",
        Measure::Value("memory", figures::CHANNEL),
        4.0,
        None,
    ),
    at_most(
        "a peer, KiB",
        Measure::Value("memory", figures::PEER),
        256.0,
        None,
    ),
    at_least(
        "typed through serde, flat out, a second",
        Measure::Value("typed", figures::RATE),
        1e6,
        Some(2e6),
    ),
    at_most(
        "flat out, 64 B: p50 of the way, ms",
        Measure::Value("flat 64 B", figures::LOADED_P50),
        20.0,
        None,
    ),
    at_most(
        "64 B on another channel beside large values, p99 µs",
        Measure::Highest(&[Workload::Large], &[figures::BESIDE_P99]),
        5000.0,
        None,
    ),
    at_most(
        "64 B on quiet channels beside a busy one, p99 µs",
        Measure::Value("busy", figures::BESIDE_P99),
        5000.0,
        None,
    ),
    at_most(
        "lost or out of order, in all that was measured",
        Measure::Sum(&[figures::LOST, figures::REORDERED, figures::BESIDE_LOST]),
        0.0,
        None,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Outcome, Record};

    #[test]
    fn what_was_measured_is_judged_and_what_was_not_is_left_out() {
        let mut results = Results::default();
        for (case, system, figure, value) in [
            ("flat 64 B", System::Zenoh, figures::RATE, 100.0),
            ("flat 64 B", System::Meshcast, figures::RATE, 190.0),
            ("flat 64 B", System::MeshcastTuned, figures::RATE, 210.0),
            (
                "flat 1024 B",
                System::Meshcast,
                figures::PEAK_PUBLISHER,
                130.0,
            ),
            (
                "flat 64 B",
                System::Meshcast,
                figures::PEAK_SUBSCRIBER,
                40.0,
            ),
            ("mesh-flat", System::Zenoh, figures::LOST, 9.0),
            ("mesh-flat", System::Meshcast, figures::LOST, 0.0),
        ] {
            results.records.push(Record {
                repetition: 0,
                case: case.to_owned(),
                system,
                outcome: Outcome::Figures(vec![(figure, value)]),
            });
        }
        let rows = rows(&results);
        let told: Vec<[&str; 4]> = rows
            .iter()
            .map(|row| [&*row[1], &*row[2], &*row[3], &*row[5]])
            .collect();
        assert_eq!(
            told,
            [
                ["1.90 ×", "2.10 ×", "≥ 1.80 ×", "yes"],
                ["130", "", "≤ 96.0", "**no**"],
                ["0", "0", "≤ 0", "yes"]
            ]
        );
    }
}
