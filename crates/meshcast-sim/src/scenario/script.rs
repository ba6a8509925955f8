//! Faults as single steps in the order of time.

use std::time::Duration;

use super::{Fault, Scenario};
use crate::{at::At, log::Since};

/// One thing that is done to the world.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Nothing gets from the one to the other, until as many unblocks.
    Block(Vec<(usize, usize)>),
    Unblock(Vec<(usize, usize)>),
    Start(usize, Since),
    Crash {
        node: usize,
        silent: bool,
    },
    Pause(usize),
    Resume(usize),
    /// Readers are behind (`true`) or have caught up.
    Slow(Vec<usize>, bool),
    Mute(Vec<usize>, f64),
    Unmute(Vec<usize>, f64),
    Clock(Vec<usize>, i64),
    Close(usize, String),
    Open(usize, String, Since),
    LookBack(usize, String, Since),
    Burst {
        node: usize,
        values: u64,
        size: usize,
    },
}

/// The steps, and when everything is in order again.
#[derive(Debug)]
pub(crate) struct Script {
    /// In the order of time.
    pub(crate) steps: Vec<(At, Step)>,
    /// After the last step that does any harm.
    pub(crate) calm: At,
}

impl Script {
    /// The script of these faults, which were checked. Nodes that are not said to join are there
    /// from the beginning.
    pub(crate) fn of(scenario: &Scenario, faults: &[Fault]) -> Self {
        let mut script = Self {
            steps: Vec::new(),
            calm: At::ZERO,
        };
        let joining = |node: usize| {
            faults.iter().any(|fault| match fault {
                Fault::Join { node: name, .. } => *name == scenario.node_name(node),
                _ => false,
            })
        };
        for node in (0..scenario.nodes).filter(|node| !joining(*node)) {
            script.add(Duration::ZERO, Step::Start(node, scenario.since));
        }
        for fault in faults {
            script.add_fault(scenario, fault);
        }
        script.steps.sort_by_key(|(at, _)| *at);
        script
    }

    fn add(&mut self, at: Duration, step: Step) {
        let at = At::ZERO + at;
        if !matches!(step, Step::Burst { .. } | Step::Clock(..)) {
            self.calm = self.calm.max(at);
        }
        self.steps.push((at, step));
    }

    fn add_fault(&mut self, scenario: &Scenario, fault: &Fault) {
        let all = |selectors: &[String]| -> Vec<usize> {
            selectors
                .iter()
                .flat_map(|one| scenario.select(one).unwrap_or_default())
                .collect()
        };
        let one = |node: &str| {
            scenario
                .select(node)
                .ok()
                .and_then(|nodes| nodes.first().copied())
        };
        match fault {
            Fault::Partition { at, lasts, groups } => {
                let pairs = between(&groups.iter().map(|group| all(group)).collect::<Vec<_>>());
                self.add(*at, Step::Block(pairs.clone()));
                self.add(*at + *lasts, Step::Unblock(pairs));
            }
            Fault::Flap {
                at,
                lasts,
                down,
                up,
                groups,
            } => {
                let pairs = between(&groups.iter().map(|group| all(group)).collect::<Vec<_>>());
                let (mut from, end) = (*at, *at + *lasts);
                while from < end {
                    self.add(from, Step::Block(pairs.clone()));
                    self.add((from + *down).min(end), Step::Unblock(pairs.clone()));
                    from += *down + *up;
                }
            }
            Fault::OneWay {
                at,
                lasts,
                from,
                to,
            } => {
                let (from, to) = (all(from), all(to));
                let pairs: Vec<_> = from
                    .iter()
                    .flat_map(|a| to.iter().map(|b| (*a, *b)))
                    .collect();
                self.add(*at, Step::Block(pairs.clone()));
                self.add(*at + *lasts, Step::Unblock(pairs));
            }
            Fault::Mute {
                at,
                lasts,
                nodes,
                loss,
            } => {
                let nodes = all(nodes);
                self.add(*at, Step::Mute(nodes.clone(), *loss));
                self.add(*at + *lasts, Step::Unmute(nodes, *loss));
            }
            Fault::Clock { at, nodes, by } => self.add(*at, Step::Clock(all(nodes), *by)),
            Fault::Crash {
                at,
                node,
                restart,
                silent,
            } => {
                let Some(node) = one(node) else { return };
                self.add(
                    *at,
                    Step::Crash {
                        node,
                        silent: *silent,
                    },
                );
                if let Some(restart) = restart.filter(|secs| (0.0..1e6).contains(secs)) {
                    let restart = Duration::from_secs_f64(restart);
                    self.add(*at + restart, Step::Start(node, scenario.since));
                }
            }
            Fault::Pause { at, lasts, node } => {
                let Some(node) = one(node) else { return };
                self.add(*at, Step::Pause(node));
                self.add(*at + *lasts, Step::Resume(node));
            }
            Fault::Slow { at, lasts, nodes } => {
                let nodes = all(nodes);
                self.add(*at, Step::Slow(nodes.clone(), true));
                self.add(*at + *lasts, Step::Slow(nodes, false));
            }
            Fault::Reopen {
                at,
                lasts,
                node,
                channel,
                since,
            } => {
                let Some(node) = one(node) else { return };
                self.add(*at, Step::Close(node, channel.clone()));
                self.add(*at + *lasts, Step::Open(node, channel.clone(), *since));
            }
            Fault::LookBack {
                at,
                node,
                channel,
                since,
            } => {
                let Some(node) = one(node) else { return };
                self.add(*at, Step::LookBack(node, channel.clone(), *since));
            }
            Fault::Join { at, node, since } => {
                let Some(node) = one(node) else { return };
                self.add(*at, Step::Start(node, *since));
            }
            Fault::Burst {
                at,
                node,
                values,
                size,
            } => {
                let Some(node) = one(node) else { return };
                let (values, size) = (*values, *size);
                self.add(*at, Step::Burst { node, values, size });
            }
        }
    }
}

/// All pairs, both ways, whose ends are in different groups.
fn between(groups: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        for other in groups.iter().skip(index + 1) {
            for (a, b) in group
                .iter()
                .flat_map(|a| other.iter().map(move |b| (*a, *b)))
            {
                pairs.extend([(a, b), (b, a)]);
            }
        }
    }
    pairs
}
