//! From a scenario and a seed to a report.

use std::convert::Infallible;

use crate::{
    checker::Checker,
    log::Entry,
    report::{Ran, Report},
    scenario::Scenario,
    seeds::each_seed,
    world::{Watched, World},
};

/// Runs a scenario in virtual time and judges what happened. The same seed gives the same report.
pub fn run(scenario: &Scenario, seed: u64) -> Report {
    run_logged(scenario, seed).0
}

/// Like [`run`], with all that was written down.
pub fn run_logged(scenario: &Scenario, seed: u64) -> (Report, Vec<Entry>) {
    let (report, world) = go(scenario, seed, None);
    (report, world.log)
}

/// Like [`run`], with all that the engine of one process (`fra0.1`) is told and says, line by line.
pub fn run_watched(scenario: &Scenario, seed: u64, process: &str) -> (Report, Vec<String>) {
    let (report, world) = go(scenario, seed, Some(Watched::new(process)));
    let lines = world.watched.map_or_else(Vec::new, |watched| watched.lines);
    (report, lines)
}

/// Runs a scenario with these seeds, on several cores, and returns the reports of those that are
/// not clean, in the order of the seeds. Runs share nothing, so how many there are at a time
/// changes none of them.
pub fn run_seeds(
    scenario: &Scenario,
    seeds: impl IntoIterator<Item = u64, IntoIter: Send>,
) -> Vec<Report> {
    let mut failed = Vec::new();
    let work = |seed| Some(run(scenario, seed)).filter(|report| !report.is_clean());
    let Ok(()) = each_seed(seeds, work, |report| {
        failed.extend(report);
        Ok::<_, Infallible>(())
    });
    failed
}

fn go(scenario: &Scenario, seed: u64, watched: Option<Watched>) -> (Report, World<'_>) {
    let mut world = World::new(scenario, seed);
    world.watched = watched;
    let trace = world.run();
    let verdict = Checker::new(scenario.rules()).check(&world.log);
    let ran = Ran {
        traffic: world.traffic,
        trace,
        defects: std::mem::take(&mut world.defects),
    };
    let report = Report::new(scenario, seed, verdict, ran);
    (report, world)
}
