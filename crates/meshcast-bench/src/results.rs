//! The measurements, and what is made of them: medians, and ratios within the same repetition.

use serde::Serialize;

use crate::system::System;

/// A quantity that workloads measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figure {
    /// Its name in the JSON; the unit is its ending.
    pub(crate) key: &'static str,
    /// Its name in the table.
    pub(crate) title: &'static str,
    /// Whether a ratio to the baseline is shown.
    pub(crate) compared: bool,
}

/// What one workload measured of one system, in the order of the table.
pub(crate) type Figures = Vec<(Figure, f64)>;

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Record {
    pub(crate) repetition: usize,
    pub(crate) case: String,
    pub(crate) system: System,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// What came of a measurement.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    #[serde(serialize_with = "as_map")]
    Figures(Figures),
    /// It did not end, or could not begin.
    Failed(String),
}

/// All measurements of a run of the benchmark.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Results {
    pub(crate) records: Vec<Record>,
}

/// The repetitions of one case and system.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) system: System,
    /// Figure, median, and the median of the ratios to the baseline of the same repetition.
    pub(crate) figures: Vec<(Figure, f64, Option<f64>)>,
    /// Why repetitions are missing.
    pub(crate) failures: Vec<String>,
}

impl Results {
    /// The cases in the order they were first measured.
    pub(crate) fn cases(&self) -> Vec<&str> {
        let mut cases: Vec<&str> = Vec::new();
        for record in &self.records {
            if !cases.contains(&&*record.case) {
                cases.push(&record.case);
            }
        }
        cases
    }

    /// The results of a case, by system in the order in which they were first measured.
    pub(crate) fn summaries(&self, case: &str, baseline: System) -> Vec<Summary> {
        let mut systems: Vec<System> = Vec::new();
        for record in self.records.iter().filter(|record| record.case == case) {
            if !systems.contains(&record.system) {
                systems.push(record.system);
            }
        }
        let summary = |system| self.summary(case, system, baseline);
        systems.into_iter().map(summary).collect()
    }

    /// All that was measured of some figures of a system, added; `None` if there is nothing.
    pub(crate) fn sum(&self, system: System, figures: &[Figure]) -> Option<f64> {
        let records = self.records.iter().filter(|record| record.system == system);
        let measured = records.filter_map(|record| match &record.outcome {
            Outcome::Figures(measured) => Some(measured),
            Outcome::Failed(_) => None,
        });
        let wanted = measured
            .flatten()
            .filter(|(figure, _)| figures.contains(figure));
        wanted
            .map(|(_, value)| *value)
            .reduce(|sum, value| sum + value)
    }

    fn summary(&self, case: &str, system: System, baseline: System) -> Summary {
        let mut figures: Vec<(Figure, Vec<f64>, Vec<f64>)> = Vec::new();
        let mut failures = Vec::new();
        let of_system = |record: &&Record| record.case == case && record.system == system;
        for record in self.records.iter().filter(of_system) {
            let measured = match &record.outcome {
                Outcome::Figures(measured) => measured,
                Outcome::Failed(reason) => {
                    failures.push(reason.clone());
                    continue;
                }
            };
            for &(figure, value) in measured {
                let index = figures.iter().position(|(known, ..)| *known == figure);
                let index = index.unwrap_or_else(|| {
                    figures.push((figure, Vec::new(), Vec::new()));
                    figures.len() - 1
                });
                let (_, values, ratios) = &mut figures[index];
                values.push(value);
                let beside = self.find(record.repetition, case, baseline, figure);
                ratios.extend(
                    beside
                        .filter(|beside| figure.compared && *beside > 0.0)
                        .map(|beside| value / beside),
                );
            }
        }
        let figures = figures.into_iter();
        Summary {
            system,
            figures: figures
                .map(|(figure, values, ratios)| {
                    (figure, median(&values).unwrap_or(0.0), median(&ratios))
                })
                .collect(),
            failures,
        }
    }

    fn find(&self, repetition: usize, case: &str, system: System, figure: Figure) -> Option<f64> {
        self.records
            .iter()
            .filter(|record| record.repetition == repetition && record.case == case)
            .filter(|record| record.system == system)
            .find_map(|record| match &record.outcome {
                Outcome::Figures(figures) => {
                    let mut found = figures.iter().filter(|(known, _)| *known == figure);
                    found.next().map(|(_, value)| *value)
                }
                Outcome::Failed(_) => None,
            })
    }
}

impl Figure {
    /// One of which more or less is a matter of quality.
    pub(crate) const fn compared(key: &'static str, title: &'static str) -> Self {
        Self {
            key,
            title,
            compared: true,
        }
    }

    /// One that is only shown.
    pub(crate) const fn shown(key: &'static str, title: &'static str) -> Self {
        Self {
            key,
            title,
            compared: false,
        }
    }
}

/// The middle one, or the mean of the two in the middle; `None` of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], upper)
    } else {
        upper
    })
}

fn as_map<S: serde::Serializer>(figures: &Figures, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(figures.iter().map(|(figure, value)| (figure.key, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Figure = Figure::compared("rate_per_s", "rate");
    const LOST: Figure = Figure::shown("lost", "lost");

    #[test]
    fn ratios_are_made_within_a_repetition_and_then_their_median_is_taken() {
        let mut results = Results::default();
        // The machine is half as fast in the second repetition: the ratio stays what it is.
        for (repetition, speed) in [(0, 1.0), (1, 0.5), (2, 1.1)] {
            results.add(
                repetition,
                System::Gossipsub,
                vec![(RATE, 100.0 * speed), (LOST, 1.0)],
            );
            results.add(
                repetition,
                System::Meshcast,
                vec![(RATE, 200.0 * speed), (LOST, 0.0)],
            );
        }
        let summaries = results.summaries("case", System::Gossipsub);
        let meshcast = &summaries[1];
        assert_eq!(meshcast.system, System::Meshcast);
        assert_eq!(meshcast.figures[0], (RATE, 200.0, Some(2.0)));
        assert_eq!(meshcast.figures[1], (LOST, 0.0, None));
    }

    #[test]
    fn a_repetition_that_failed_is_told_and_left_out() {
        let mut results = Results::default();
        results.add(0, System::Meshcast, vec![(RATE, 3.0)]);
        results.records.push(Record {
            repetition: 1,
            case: "case".to_owned(),
            system: System::Meshcast,
            outcome: Outcome::Failed("hung".to_owned()),
        });
        let summaries = results.summaries("case", System::Gossipsub);
        assert_eq!(summaries[0].figures, [(RATE, 3.0, None)]);
        assert_eq!(summaries[0].failures, ["hung"]);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }

    impl Results {
        fn add(&mut self, repetition: usize, system: System, figures: Figures) {
            self.records.push(Record {
                repetition,
                case: "case".to_owned(),
                system,
                outcome: Outcome::Figures(figures),
            });
        }
    }
}
