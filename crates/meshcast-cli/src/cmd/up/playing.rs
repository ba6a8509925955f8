//! A scenario that `up` runs in real time: what comes next, and what is said of it in the end.

use std::{collections::VecDeque, time::Duration};

use meshcast_sim::{
    Analysis, Checker, Cost, Deed, DeedKind, Entry, Mark, NotPlayable, Play, Ran, Since, Verdict,
};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::args::Up;
use crate::{
    cmd::sim,
    dashboard::Kind,
    exit::{Exit, Failure},
    output::Output,
    report::Report,
};

/// A scenario under way.
#[derive(Debug)]
pub(super) struct Playing {
    play: Play,
    report: Option<Report>,
    /// What people are told of faults, in the order of time.
    told: VecDeque<(Duration, Kind, String)>,
    next: Option<Deed>,
    /// When the run began, and how long after the log did.
    began: Instant,
    after_log: Duration,
}

/// What it is time for.
#[derive(Debug)]
pub(super) enum Due {
    /// Something is to be done.
    Deed(DeedKind),
    /// People are to be told of a fault, or that it is over.
    Told(Kind, String),
    /// Nothing more: the run is over.
    Over,
}

impl Playing {
    /// The scenario that the command line names, if it does.
    pub(super) fn of(args: &Up) -> Result<Option<Self>, Failure> {
        let Some(name) = &args.scenario else {
            return Ok(None);
        };
        let refused = |error: NotPlayable| Failure::usage(format!("{name}: {error}"));
        let scenario = sim::find(name)?;
        let play = Play::new(&scenario, args.seed).map_err(refused)?;
        let report = args.report.as_deref().map(Report::create).transpose()?;
        Ok(Some(Self {
            told: told(play.marks()),
            play,
            report,
            next: None,
            began: Instant::now(),
            after_log: Duration::ZERO,
        }))
    }

    /// Says what of the scenario real nodes do not have.
    pub(super) fn tell_left_out(&self, output: &Output) {
        let left_out = self.play.left_out();
        if !left_out.is_empty() {
            let left_out = left_out.join(", ");
            output.note(&format!("scenario: not on real nodes: {left_out}"));
        }
    }

    pub(super) const fn play(&self) -> &Play {
        &self.play
    }

    /// The nodes that are there when it begins.
    pub(super) fn take_first(&mut self) -> Vec<(String, Since)> {
        self.play.take_first()
    }

    /// It begins now. The log began at this moment.
    pub(super) fn begin(&mut self, log_began: Instant) {
        self.began = Instant::now();
        self.after_log = self.began - log_began;
        self.next = self.play.next();
    }

    /// Waits for what comes next. Cancel-safe.
    pub(super) async fn due(&mut self) -> Due {
        let length = self.play.scenario().duration;
        let told = self.told.front().map(|(at, ..)| *at);
        let deed = self.next.as_ref().map(|deed| deed.at);
        let first = told.into_iter().chain(deed).min();
        sleep_until(self.began + first.unwrap_or(length)).await;
        if told.is_some()
            && told == first
            && let Some((_, kind, text)) = self.told.pop_front()
        {
            return Due::Told(kind, text);
        }
        match std::mem::replace(&mut self.next, self.play.next()) {
            Some(deed) => Due::Deed(deed.kind),
            None => Due::Over,
        }
    }

    /// How long all may take until they have the same.
    pub(super) const fn bound(&self) -> Duration {
        self.play.scenario().bound
    }

    /// Judges what was written down, and says what came out.
    pub(super) fn conclude(
        self,
        log: &[Entry],
        cost: Cost,
        output: &Output,
    ) -> Result<Exit, Failure> {
        let scenario = self.play.scenario();
        let verdict = Checker::new(self.play.rules()).check(log);
        let complaints = verdict.violations.iter();
        let complaints: Vec<_> = complaints
            .map(|it| format!("{:?} {it}", it.guarantee()))
            .collect();
        let played = Played::new(&scenario.name, &verdict, complaints.clone());
        output.result(&played, || played.to_text())?;
        if let Some(report) = self.report {
            let after = u64::try_from(self.after_log.as_micros()).unwrap_or(u64::MAX);
            let faults = self.play.marks().iter().cloned();
            let faults: Vec<_> = faults.map(|mark| mark.later(after)).collect();
            let written = report.write(&Analysis::of(Ran {
                scenario,
                seed: self.play.seed(),
                is_real: true,
                faults: &faults,
                log,
                cost,
                complaints: &complaints,
            }))?;
            output.note(&format!("report: {}", written.display()));
        }
        Ok(if complaints.is_empty() {
            Exit::Ok
        } else {
            Exit::Failed
        })
    }
}

/// What came out.
#[derive(Debug, Serialize)]
struct Played {
    schema: &'static str,
    scenario: String,
    posts: u64,
    deliveries: u64,
    gaps: u64,
    missed: u64,
    p50_us: u64,
    p99_us: u64,
    violations: Vec<String>,
}

impl Played {
    fn new(scenario: &str, verdict: &Verdict, violations: Vec<String>) -> Self {
        let micros = |part| u64::try_from(verdict.latency(part).as_micros()).unwrap_or(u64::MAX);
        Self {
            schema: "up_scenario/v1",
            scenario: scenario.to_owned(),
            posts: verdict.posts,
            deliveries: verdict.deliveries,
            gaps: verdict.gaps,
            missed: verdict.missed,
            p50_us: micros(0.5),
            p99_us: micros(0.99),
            violations,
        }
    }

    fn to_text(&self) -> String {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let mut text = format!(
            "{}: {} posts, {} deliveries, {} gaps ({} missed), latency p50 {:.1} p99 {:.1} ms\n",
            self.scenario,
            self.posts,
            self.deliveries,
            self.gaps,
            self.missed,
            ms(self.p50_us),
            ms(self.p99_us),
        );
        if self.violations.is_empty() {
            text += "all guarantees hold\n";
        }
        for violation in self.violations.iter().take(MOST_LINES) {
            text += &format!("  {violation}\n");
        }
        if let Some(more) = self.violations.len().checked_sub(MOST_LINES + 1) {
            text += &format!("  and {} more\n", more + 1);
        }
        text
    }
}

fn told(marks: &[Mark]) -> VecDeque<(Duration, Kind, String)> {
    let mut told = Vec::new();
    for mark in marks {
        let what = &mark.what;
        told.push((mark.at_us, Kind::Fault, what.clone()));
        if let Some(until) = mark.until_us {
            told.push((until, Kind::Mend, format!("over: {what}")));
        }
    }
    told.sort_by_key(|(at, ..)| *at);
    let told = told.into_iter();
    told.map(|(at, kind, text)| (Duration::from_micros(at), kind, text))
        .collect()
}

/// The first of what is wrong mostly is the cause of the rest.
const MOST_LINES: usize = 12;

#[cfg(test)]
mod tests {
    use meshcast_sim::Scenario;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deeds_come_in_their_time_and_then_it_is_over() {
        let scenario = Scenario::from_toml(
            "name = 'mine'\nnodes = 2\nduration = 10\n[load]\nrate = 0\n\
             [[fault]]\nkind = 'pause'\nat = 2\nfor = 3\nnode = 'here1'",
        )
        .expect("a scenario");
        let play = Play::new(&scenario, 1).expect("playable");
        let mut playing = Playing {
            told: told(play.marks()),
            play,
            report: None,
            next: None,
            began: Instant::now(),
            after_log: Duration::ZERO,
        };
        let first = ["here0", "here1"].map(|name| (name.to_owned(), Since::Now));
        assert_eq!(playing.take_first(), first);
        let began = Instant::now();
        playing.begin(began);
        let mut seen = Vec::new();
        loop {
            let due = playing.due().await;
            let text = match &due {
                Due::Deed(kind) => format!("{kind:?}"),
                Due::Told(_, text) => text.clone(),
                Due::Over => "over".to_owned(),
            };
            seen.push((began.elapsed().as_secs(), text));
            if matches!(due, Due::Over) {
                break;
            }
        }
        let expected = [
            (2, "here1 stands still"),
            (2, "Pause(\"here1\")"),
            (5, "over: here1 stands still"),
            (5, "Resume(\"here1\")"),
            (5, "Calm"),
            (10, "over"),
        ];
        assert_eq!(seen, expected.map(|(at, text)| (at, text.to_owned())));
    }
}
