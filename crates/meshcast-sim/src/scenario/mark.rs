//! Faults as people are told of them: when, for how long, and what.

use std::time::Duration;

use serde::Serialize;

use super::{Fault, Scenario};
use crate::rng::Rng;

/// A fault on the timeline of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Mark {
    /// When it begins, in microseconds after the start.
    pub at_us: u64,
    /// When it is over; `None` if it only happens, or is never mended.
    pub until_us: Option<u64>,
    /// What, in words: `fra | syd are cut apart`.
    pub what: String,
}

impl Mark {
    /// The same, so many microseconds later: for a log that began earlier than the run.
    #[must_use]
    pub fn later(self, micros: u64) -> Self {
        Self {
            at_us: self.at_us + micros,
            until_us: self.until_us.map(|until| until + micros),
            ..self
        }
    }
}

impl Scenario {
    /// What goes wrong in the run with this seed, in the order of time, chance included.
    pub fn marks(&self, seed: u64) -> Vec<Mark> {
        let faults = self.all_faults(&mut fault_chance(seed));
        let mut marks: Vec<_> = faults.iter().map(Fault::mark).collect();
        marks.sort_by_key(|mark| mark.at_us);
        marks
    }
}

/// What decides the faults of the run with this seed.
pub(crate) fn fault_chance(seed: u64) -> Rng {
    Rng::new(seed).fork(1)
}

impl Fault {
    fn mark(&self) -> Mark {
        let list = |names: &[String]| names.join(",");
        let sides = |groups: &[Vec<String>]| {
            let groups: Vec<_> = groups.iter().map(|group| list(group)).collect();
            groups.join(" | ")
        };
        let after = |restart: &Option<f64>| {
            let restart = restart.filter(|secs| (0.0..1e6).contains(secs));
            restart.map(Duration::from_secs_f64)
        };
        let (at, lasts, what) = match self {
            Self::Partition { at, lasts, groups } => {
                (at, Some(*lasts), format!("{} are cut apart", sides(groups)))
            }
            Self::Flap {
                at, lasts, groups, ..
            } => {
                let what = format!("links between {} come and go", sides(groups));
                (at, Some(*lasts), what)
            }
            Self::OneWay {
                at,
                lasts,
                from,
                to,
            } => {
                let what = format!("nothing gets from {} to {}", list(from), list(to));
                (at, Some(*lasts), what)
            }
            Self::Crash {
                at,
                node,
                restart,
                silent,
            } => {
                let how = if *silent {
                    "is gone, silently"
                } else {
                    "is killed"
                };
                (at, after(restart), format!("{node} {how}"))
            }
            Self::Pause { at, lasts, node } => (at, Some(*lasts), format!("{node} stands still")),
            Self::Slow { at, lasts, nodes } => (
                at,
                Some(*lasts),
                format!("readers at {} are behind", list(nodes)),
            ),
            Self::Mute {
                at,
                lasts,
                nodes,
                loss,
            } => {
                let percent = loss * 100.0;
                let what = format!("{percent:.0} % of gossip at {} is lost", list(nodes));
                (at, Some(*lasts), what)
            }
            Self::Clock { at, nodes, by } => (
                at,
                None,
                format!("the clock of {} is off by {by} s", list(nodes)),
            ),
            Self::Reopen {
                at,
                lasts,
                node,
                channel,
                ..
            } => (
                at,
                Some(*lasts),
                format!("{node} closes {channel} for a while"),
            ),
            Self::LookBack {
                at, node, channel, ..
            } => (at, None, format!("{node} looks back on {channel}")),
            Self::Join { at, node, .. } => (at, None, format!("{node} joins")),
            Self::Burst {
                at, node, values, ..
            } => (at, None, format!("{node} posts {values} at once")),
        };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Mark {
            at_us: micros(*at),
            until_us: lasts.map(|lasts| micros(*at + lasts)),
            what,
        }
    }
}
