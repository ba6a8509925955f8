//! Measures everything: repetitions outermost, systems innermost, so that whatever changes on the
//! machine changes for all of them.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::{
    conditions::Conditions,
    plot, report,
    results::{Figures, Outcome, Record, Results},
    system::System,
    workload::{Case, Settings, Workload},
};

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) systems: Vec<System>,
    pub(crate) workloads: Vec<Workload>,
    /// Of them, those that are measured in the first repetition alone.
    pub(crate) once: Vec<Workload>,
    pub(crate) repetitions: usize,
    pub(crate) baseline: System,
    pub(crate) output: PathBuf,
}

/// Measures, prints the report and writes it, with the single results and the plots.
///
/// # Errors
/// If something was not measured that should have been, after the report of the rest.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    fs::create_dir_all(&plan.output).with_context(|| format!("{}", plan.output.display()))?;
    let mut conditions = Conditions::now()?;
    let mut systems = Vec::new();
    for &system in &plan.systems {
        match system.absent() {
            None => systems.push(system),
            Some(reason) => {
                eprintln!("{}: skipped: {reason}", system.name());
                conditions.skipped.push((system, reason));
            }
        }
    }
    let mut results = Results::default();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = measure(plan, &systems, &mut results) => {}
        // The measurements until then are told; the nodes end with the one that is dropped.
        _ = interrupt.recv() => conditions.interrupted = true,
        _ = terminate.recv() => conditions.interrupted = true,
    }
    let report = report::markdown(&conditions, &results, plan.baseline);
    println!("{report}");
    fs::write(plan.output.join("report.md"), report)?;
    fs::write(
        plan.output.join("results.json"),
        report::json(&conditions, &results)?,
    )?;
    plot::all(&results, &plan.output)?;
    let failed = |record: &&Record| matches!(record.outcome, Outcome::Failed(_));
    match results.records.iter().filter(failed).count() {
        _ if conditions.interrupted => bail!("interrupted: the report is not complete"),
        0 => Ok(()),
        failures => bail!("{failures} measurements failed, see the report"),
    }
}

async fn measure(plan: &Plan, systems: &[System], results: &mut Results) {
    let cases = plan
        .workloads
        .iter()
        .flat_map(|workload| workload.cases(&plan.settings));
    let cases: Vec<Case> = cases.collect();
    for repetition in 0..plan.repetitions {
        let due = |case: &&Case| repetition == 0 || !plan.once.contains(&case.workload);
        for case in cases.iter().filter(due) {
            for &system in systems.iter().filter(|system| case.applies(**system)) {
                let outcomes = one(case, system, &plan.settings).await;
                for (case, outcome) in outcomes {
                    say(repetition, plan.repetitions, &case, system, &outcome);
                    results.records.push(Record {
                        repetition,
                        case,
                        system,
                        outcome,
                    });
                }
            }
        }
    }
}

async fn one(case: &Case, system: System, settings: &Settings) -> Vec<(String, Outcome)> {
    let figures = |(case, figures): (String, Figures)| (case, Outcome::Figures(figures));
    let failed = |reason: String| vec![(case.name(), Outcome::Failed(reason))];
    match timeout(PATIENCE, case.run(system, settings)).await {
        Ok(Ok(measured)) => measured.into_iter().map(figures).collect(),
        Ok(Err(error)) => failed(format!("{error:#}")),
        Err(_) => failed(format!("not done after {} s", PATIENCE.as_secs())),
    }
}

fn say(repetition: usize, repetitions: usize, case: &str, system: System, outcome: &Outcome) {
    let said = match outcome {
        Outcome::Figures(figures) => {
            let first = figures.iter().take(2);
            let first: Vec<_> = first
                .map(|(figure, value)| format!("{} {}", report::number(*value), figure.title))
                .collect();
            first.join(", ")
        }
        Outcome::Failed(reason) => format!("FAILED: {reason}"),
    };
    let system = system.name();
    eprintln!(
        "[{}/{repetitions}] {case:16} {system:18} {said}",
        repetition + 1
    );
}

/// For one measurement of one system; each step of it has less.
const PATIENCE: Duration = Duration::from_secs(240);
