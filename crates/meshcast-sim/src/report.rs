//! What came out of a run.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{
    checker::{Verdict, Violation},
    scenario::Scenario,
    world::Traffic,
};

/// What came out of one run of a scenario.
#[derive(Debug, Clone)]
pub struct Report {
    /// Of which scenario.
    pub scenario: String,
    /// With which seed.
    pub seed: u64,
    /// What the checker says.
    pub verdict: Verdict,
    /// What travelled.
    pub traffic: Traffic,
    /// Over all that happened: the same for the same scenario and seed.
    pub trace: String,
    /// Expectations of the scenario that were not met.
    pub unmet: Vec<String>,
    /// Faults that no log tells, such as a message that cannot be read.
    pub defects: Vec<String>,
}

/// A report in numbers, for machines.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "as in the report")]
pub struct Summary {
    pub scenario: String,
    pub seed: u64,
    #[serde(flatten)]
    pub outcome: OutcomeSummary,
    #[serde(flatten)]
    pub traffic: TrafficSummary,
    #[serde(flatten)]
    pub times: TimesSummary,
    pub violations: Vec<String>,
    pub trace: String,
}

/// What the application saw.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "as in the report")]
pub struct OutcomeSummary {
    pub posts: u64,
    pub deliveries: u64,
    pub gaps: u64,
    pub missed: u64,
}

/// What travelled for it.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "as in the report")]
pub struct TrafficSummary {
    pub repaired_frames: u64,
    pub requests: u64,
    pub refused_answers: u64,
    pub overflows: u64,
    /// Copies of frames that were not sent because the peer did not keep up.
    pub withheld_copies: u64,
    pub sync_bytes: u64,
    pub waiting_bytes: u64,
    pub copies_per_frame: f64,
}

/// How long it took.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "as in the report")]
pub struct TimesSummary {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub catch_up_ms: f64,
}

/// What a world has to tell of its run, besides the log.
pub(crate) struct Ran {
    pub(crate) traffic: Traffic,
    pub(crate) trace: String,
    pub(crate) defects: Vec<String>,
}

impl Report {
    pub(crate) fn new(scenario: &Scenario, seed: u64, verdict: Verdict, ran: Ran) -> Self {
        let Ran {
            traffic,
            trace,
            defects,
        } = ran;
        let mut unmet = Vec::new();
        let expect = &scenario.expect;
        if let Some(gaps) = expect.gaps.filter(|gaps| *gaps != verdict.gaps) {
            unmet.push(format!("{gaps} gaps are expected, {} came", verdict.gaps));
        }
        let most = verdict.gaps_of_a_stream;
        if let Some(gaps) = expect.gaps_of_a_stream.filter(|gaps| most > *gaps) {
            unmet.push(format!(
                "{gaps} gaps of one sender are expected at most, {most} came"
            ));
        }
        if let Some(deliveries) = expect
            .deliveries
            .filter(|least| verdict.deliveries < *least)
        {
            let came = verdict.deliveries;
            unmet.push(format!(
                "{deliveries} deliveries are expected at least, {came} came"
            ));
        }
        Self {
            scenario: scenario.name.clone(),
            seed,
            verdict,
            traffic,
            trace,
            unmet,
            defects,
        }
    }

    /// Whether all is as it should be.
    pub const fn is_clean(&self) -> bool {
        self.verdict.violations.is_empty() && self.unmet.is_empty() && self.defects.is_empty()
    }

    /// What is wrong, one line each.
    pub fn complaints(&self) -> impl Iterator<Item = String> + '_ {
        let violations = self.verdict.violations.iter();
        violations
            .map(|violation: &Violation| format!("{:?} {violation}", violation.guarantee()))
            .chain(self.unmet.iter().cloned())
            .chain(self.defects.iter().cloned())
    }

    /// The numbers.
    pub fn summary(&self) -> Summary {
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let Self {
            verdict, traffic, ..
        } = self;
        Summary {
            scenario: self.scenario.clone(),
            seed: self.seed,
            outcome: OutcomeSummary {
                posts: verdict.posts,
                deliveries: verdict.deliveries,
                gaps: verdict.gaps,
                missed: verdict.missed,
            },
            traffic: TrafficSummary {
                repaired_frames: traffic.repaired,
                requests: traffic.requests,
                refused_answers: traffic.refused,
                overflows: traffic.overflows,
                withheld_copies: traffic.withheld,
                sync_bytes: traffic.sync_bytes,
                waiting_bytes: traffic.waiting,
                copies_per_frame: traffic.copies as f64 / traffic.frames.max(1) as f64,
            },
            times: TimesSummary {
                p50_ms: ms(verdict.latency(0.5)),
                p99_ms: ms(verdict.latency(0.99)),
                p999_ms: ms(verdict.latency(0.999)),
                catch_up_ms: ms(verdict.catch_up),
            },
            violations: self.complaints().collect(),
            trace: self.trace.clone(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            scenario,
            seed,
            outcome,
            traffic,
            times,
            violations,
            trace,
        } = self.summary();
        let OutcomeSummary {
            posts,
            deliveries,
            gaps,
            missed,
        } = outcome;
        let TrafficSummary {
            repaired_frames,
            requests,
            refused_answers,
            overflows,
            withheld_copies,
            sync_bytes,
            waiting_bytes,
            copies_per_frame,
        } = traffic;
        let TimesSummary {
            p50_ms,
            p99_ms,
            p999_ms,
            catch_up_ms,
        } = times;
        writeln!(
            f,
            "{scenario}, seed {seed}: {posts} posts, {deliveries} deliveries, {gaps} gaps ({missed} missed)"
        )?;
        writeln!(
            f,
            "  latency p50 {p50_ms:.1} p99 {p99_ms:.1} p99.9 {p999_ms:.1} ms; \
             caught up in {catch_up_ms:.0} ms"
        )?;
        writeln!(
            f,
            "  {copies_per_frame:.1} copies a frame; \
             {repaired_frames} frames repaired by {requests} requests, {refused_answers} answers refused; \
             {sync_bytes} bytes of sync, {waiting_bytes} waited at most, {overflows} links overflowed, \
             {withheld_copies} copies withheld"
        )?;
        writeln!(f, "  trace {}", trace.get(..16).unwrap_or(&trace))?;
        let count = violations.len();
        for violation in violations.iter().take(MAX_LINES) {
            writeln!(f, "  {violation}")?;
        }
        if count > MAX_LINES {
            writeln!(f, "  and {} more", count - MAX_LINES)?;
        }
        Ok(())
    }
}

/// The most violations that are shown. The first of it mostly is the cause of the rest.
const MAX_LINES: usize = 12;
