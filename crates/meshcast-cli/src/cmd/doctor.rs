//! `meshcast doctor`
//!
//! `checks` judges what nodes tell and `system` what the machine tells, each a named cause after
//! the other. They are functions of what was told, and ask nobody.

mod checks;
mod system;

use std::time::{Duration, SystemTime};

use clap::Args;
use serde::Serialize;

use crate::{
    args::TEMPLATE,
    exit::{Exit, Failure},
    graph::graphs,
    locate,
    output::Output,
    render::{self, Palette},
    survey::{Survey, Up},
};

/// Look for what is wrong with the nodes of this machine
///
/// Each cause is checked by itself: pass, warn, fail, or skip with the reason why it cannot be told
/// here. A warning or a failure says what helps, and is status 1. Events of the last five minutes
/// count.
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast doctor
  meshcast doctor --json | jq '.checks[] | select(.state != \"pass\")'
  meshcast doctor || page-someone")]
pub(crate) struct Doctor {}

pub(crate) async fn run(_: Doctor, output: &Output) -> Result<Exit, Failure> {
    let survey = Survey::take().await?;
    if survey.nodes.is_empty() && matches!(survey.up, Up::None) {
        return Err(locate::none());
    }
    let report = Report::new(&survey, since_epoch());
    output.result(&report, || report.human(output.palette(), output.width()))?;
    Ok(match report.findings {
        0 => Exit::Ok,
        _ => Exit::Failed,
    })
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Report {
    schema: &'static str,
    /// The nodes that answered, by name.
    nodes: Vec<String>,
    /// How many checks warn or fail.
    findings: usize,
    checks: Vec<Check>,
}

/// What was found about one cause, at one node or in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    check: &'static str,
    state: State,
    /// The node it is about; `null` if it is about all.
    node: Option<String>,
    reason: String,
    help: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Pass,
    Warn,
    Fail,
    Skip,
}

impl Report {
    /// `now` is the time since 1970.
    fn new(survey: &Survey, now: Duration) -> Self {
        let graphs = graphs(survey);
        let nodes: Vec<_> = survey.reports().collect();
        let up = survey.up.status();
        let mut checks = vec![checks::admin(survey), checks::faults(&survey.up)];
        if nodes.is_empty() {
            let skip = |check| vec![Check::skip(check, "no node answers")];
            checks.extend(checks::NAMES[2..].iter().map(|check| skip(check)));
        } else {
            checks.extend([
                checks::seeds(&nodes, up),
                checks::key(&nodes, now),
                checks::versions(&nodes, now),
                checks::clock(&nodes, now),
                checks::links(&graphs, up),
                checks::mute(&nodes),
                checks::queues(&nodes),
                checks::memory(&nodes),
                checks::history(&nodes),
                system::descriptors(&nodes),
                system::port(&nodes),
            ]);
        }
        let checks: Vec<Check> = checks.into_iter().flatten().collect();
        let findings = checks.iter().filter(|check| check.state.is_finding());
        Self {
            schema: "doctor/v1",
            nodes: nodes.iter().map(|node| node.name().to_owned()).collect(),
            findings: findings.count(),
            checks,
        }
    }

    /// `width` is that of the terminal, if it is one: what is longer goes on below.
    fn human(&self, palette: Palette, width: Option<usize>) -> String {
        let mut out = String::new();
        let room = width.map_or(usize::MAX, |width| {
            width.saturating_sub(INDENT).max(LEAST_ROOM)
        });
        for check in &self.checks {
            let node = check.node.as_ref().map(|node| format!("{node}: "));
            let what = format!("{}{}", node.unwrap_or_default(), check.reason);
            let (sign, word) = check.state.shown();
            let mut head = format!("{sign} {word:<4}  {:<11}  ", check.check);
            for line in render::wrapped(&render::text(&what), room) {
                let line = format!("{head}{line}");
                let line = match check.state {
                    State::Pass => line,
                    State::Skip => palette.quiet(&line),
                    State::Warn => palette.warn(&line),
                    State::Fail => palette.bad(&line),
                };
                out += &format!("{line}\n");
                head = " ".repeat(INDENT);
            }
            let help = check.help.as_deref().map(render::text).unwrap_or_default();
            for line in render::wrapped(&help, room) {
                out += &format!("{:INDENT$}{}\n", "", palette.quiet(&line));
            }
        }
        out += &match self.findings {
            0 => "nothing found\n".to_owned(),
            1 => "1 finding\n".to_owned(),
            many => format!("{many} findings\n"),
        };
        out
    }
}

impl State {
    const fn is_finding(self) -> bool {
        matches!(self, Self::Warn | Self::Fail)
    }

    const fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Pass => ("✓", "pass"),
            Self::Warn => ("!", "warn"),
            Self::Fail => ("✗", "FAIL"),
            Self::Skip => ("-", "skip"),
        }
    }
}

impl Check {
    fn new(check: &'static str, state: State, reason: impl Into<String>) -> Self {
        Self {
            check,
            state,
            node: None,
            reason: reason.into(),
            help: None,
        }
    }

    fn pass(check: &'static str, reason: impl Into<String>) -> Self {
        Self::new(check, State::Pass, reason)
    }

    fn warn(check: &'static str, reason: impl Into<String>) -> Self {
        Self::new(check, State::Warn, reason)
    }

    fn fail(check: &'static str, reason: impl Into<String>) -> Self {
        Self::new(check, State::Fail, reason)
    }

    fn skip(check: &'static str, reason: impl Into<String>) -> Self {
        Self::new(check, State::Skip, reason)
    }

    fn at(self, node: &str) -> Self {
        Self {
            node: Some(node.to_owned()),
            ..self
        }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

/// The findings, or that there are none.
fn or_pass(found: Vec<Check>, check: &'static str, reason: impl Into<String>) -> Vec<Check> {
    if found.is_empty() {
        vec![Check::pass(check, reason)]
    } else {
        found
    }
}

fn since_epoch() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Where reasons begin: after the sign, the word and the name of the check.
const INDENT: usize = 21;
/// On a terminal that is too narrow for both it breaks lines itself.
const LEAST_ROOM: usize = 20;

#[cfg(test)]
mod tests;
