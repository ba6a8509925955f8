//! What can go wrong.

use std::time::Duration;

use serde::Deserialize;

use super::{Scenario, ScenarioError, settings::secs};
use crate::{log::Since, rng::Rng};

/// Something that goes wrong, or just happens. Nodes are named, or all of a region at once, or `*`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are the same everywhere")]
pub enum Fault {
    /// Nothing passes between these groups.
    Partition {
        #[serde(with = "secs")]
        at: Duration,
        #[serde(with = "secs", rename = "for")]
        lasts: Duration,
        groups: Vec<Vec<String>>,
    },
    /// A partition that comes and goes.
    Flap {
        #[serde(with = "secs")]
        at: Duration,
        #[serde(with = "secs", rename = "for")]
        lasts: Duration,
        #[serde(with = "secs")]
        down: Duration,
        #[serde(with = "secs")]
        up: Duration,
        groups: Vec<Vec<String>>,
    },
    /// Nothing gets from here to there. Gossip still passes the other way while the link seems
    /// whole; what needs an answer does not.
    OneWay {
        #[serde(with = "secs")]
        at: Duration,
        #[serde(with = "secs", rename = "for")]
        lasts: Duration,
        from: Vec<String>,
        to: Vec<String>,
    },
    /// A process is gone from one moment to the next. `silent`: nobody is told, as when the machine
    /// is gone.
    Crash {
        #[serde(with = "secs")]
        at: Duration,
        node: String,
        /// After how long a new process starts there; never if not given.
        #[serde(default)]
        restart: Option<f64>,
        #[serde(default)]
        silent: bool,
    },
    /// A process does nothing, then everything at once.
    Pause {
        #[serde(with = "secs")]
        at: Duration,
        #[serde(with = "secs", rename = "for")]
        lasts: Duration,
        node: String,
    },
    /// Readers on these nodes fall behind, so that they hold up posters as long as they may.
    Slow {
        #[serde(with = "secs")]
        at: Duration,
        #[serde(with = "secs", rename = "for")]
        lasts: Duration,
        nodes: Vec<String>,
    },
    /// Gossip from and to these nodes is lost with this probability; the links seem whole.
    Mute {
        #[serde(with = "secs")]
        at: Duration,
        #[serde(with = "secs", rename = "for")]
        lasts: Duration,
        nodes: Vec<String>,
        loss: f64,
    },
    /// The wall clock of these nodes jumps: from then on it is off by so many seconds.
    Clock {
        #[serde(with = "secs")]
        at: Duration,
        nodes: Vec<String>,
        by: i64,
    },
    /// A node closes a channel and opens it again later.
    Reopen {
        #[serde(with = "secs")]
        at: Duration,
        #[serde(with = "secs", rename = "for")]
        lasts: Duration,
        node: String,
        channel: String,
        #[serde(default)]
        since: Since,
    },
    /// One more object is made on a channel that a node has open, and wants what was before.
    LookBack {
        #[serde(with = "secs")]
        at: Duration,
        node: String,
        channel: String,
        since: Since,
    },
    /// A node starts only then.
    Join {
        #[serde(with = "secs")]
        at: Duration,
        node: String,
        #[serde(default)]
        since: Since,
    },
    /// A node posts so many values as fast as it can.
    Burst {
        #[serde(with = "secs")]
        at: Duration,
        node: String,
        values: u64,
        size: usize,
    },
}

impl Fault {
    /// Whether the scenario has all that it names.
    pub(super) fn check(&self, scenario: &Scenario) -> Result<(), ScenarioError> {
        let all = |selectors: &[String]| {
            selectors
                .iter()
                .try_for_each(|selector| scenario.select(selector).map(drop))
        };
        let one = |node: &str| match scenario.select(node)?[..] {
            [_] => Ok(()),
            _ => Err(ScenarioError::NoSuchNode(node.to_owned())),
        };
        match self {
            Self::Partition { groups, .. } => groups.iter().try_for_each(|group| all(group)),
            Self::Flap {
                groups, down, up, ..
            } => {
                if (*down + *up).is_zero() {
                    return Err(ScenarioError::Wrong(
                        "flapping must be up or down for some time",
                    ));
                }
                groups.iter().try_for_each(|group| all(group))
            }
            Self::OneWay { from, to, .. } => all(from).and_then(|()| all(to)),
            Self::Mute { nodes, .. } | Self::Slow { nodes, .. } | Self::Clock { nodes, .. } => {
                all(nodes)
            }
            Self::Reopen { node, channel, .. } | Self::LookBack { node, channel, .. } => {
                if !scenario.load.channels.contains(channel) {
                    return Err(ScenarioError::NoSuchChannel(channel.clone()));
                }
                one(node)
            }
            Self::Crash { node, .. }
            | Self::Pause { node, .. }
            | Self::Join { node, .. }
            | Self::Burst { node, .. } => one(node),
        }
    }
}

/// A kind of fault that chance may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are those of `Fault`")]
pub enum Kind {
    Partition,
    Flap,
    OneWay,
    Crash,
    Pause,
    Slow,
    Mute,
    Clock,
    Reopen,
    Burst,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Partition,
        Self::Flap,
        Self::OneWay,
        Self::Crash,
        Self::Pause,
        Self::Slow,
        Self::Mute,
        Self::Clock,
        Self::Reopen,
        Self::Burst,
    ];
}

/// Faults as chance has them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// From when on.
    #[serde(with = "secs", default)]
    pub from: Duration,
    /// The last one is over by then, but for a channel that is opened again: up to 10 s later.
    #[serde(with = "secs")]
    pub until: Duration,
    /// How far they are apart on average.
    #[serde(with = "secs")]
    pub every: Duration,
    /// The longest.
    #[serde(with = "secs", default = "super::settings::half_a_minute")]
    pub longest: Duration,
    /// Which; all if none is given.
    #[serde(default = "all_kinds")]
    pub kinds: Vec<Kind>,
}

impl Random {
    pub(super) fn longest_pause(&self) -> Duration {
        if self.kinds.contains(&Kind::Pause) {
            self.longest
        } else {
            Duration::ZERO
        }
    }

    pub(super) fn faults(&self, scenario: &Scenario, rng: &mut Rng, out: &mut Vec<Fault>) {
        let mut at = self.from + rng.about(self.every);
        while at < self.until && !self.kinds.is_empty() {
            let longest = self.longest.min(self.until - at);
            let kind = self.kinds[rng.index(self.kinds.len())];
            let mut one = Draw {
                scenario,
                rng,
                at,
                longest,
            };
            out.push(one.fault(kind));
            at += rng.about(self.every) + Duration::from_micros(1);
        }
    }
}

/// One fault that chance draws.
struct Draw<'a> {
    scenario: &'a Scenario,
    rng: &'a mut Rng,
    at: Duration,
    longest: Duration,
}

impl Draw<'_> {
    fn fault(&mut self, kind: Kind) -> Fault {
        let at = self.at;
        let lasts = self.lasts(self.longest);
        match kind {
            Kind::Partition => {
                let count = 2 + self.rng.index(2);
                Fault::Partition {
                    at,
                    lasts,
                    groups: self.groups(count),
                }
            }
            Kind::Flap => {
                let (down, up) = (
                    self.lasts(Duration::from_secs(8)),
                    self.lasts(Duration::from_secs(8)),
                );
                let up = up.max(Duration::from_millis(1));
                Fault::Flap {
                    at,
                    lasts,
                    down,
                    up,
                    groups: self.groups(2),
                }
            }
            Kind::OneWay => {
                let mut groups = self.groups(2).into_iter();
                let (from, to) = (
                    groups.next().unwrap_or_default(),
                    groups.next().unwrap_or_default(),
                );
                Fault::OneWay {
                    at,
                    lasts,
                    from,
                    to,
                }
            }
            Kind::Crash => Fault::Crash {
                at,
                node: self.node(),
                restart: self.rng.chance(0.9).then_some(lasts.as_secs_f64()),
                silent: self.rng.chance(0.5),
            },
            Kind::Pause => Fault::Pause {
                at,
                lasts,
                node: self.node(),
            },
            Kind::Slow => Fault::Slow {
                at,
                lasts,
                nodes: self.some(),
            },
            Kind::Mute => {
                let loss = if self.rng.chance(0.5) {
                    1.0
                } else {
                    self.rng.unit()
                };
                Fault::Mute {
                    at,
                    lasts,
                    nodes: self.some(),
                    loss,
                }
            }
            Kind::Clock => {
                let by = self.rng.below(2 * CLOCK_APART) as i64 - CLOCK_APART as i64;
                Fault::Clock {
                    at,
                    nodes: self.some(),
                    by,
                }
            }
            Kind::Reopen => {
                let channels = &self.scenario.load.channels;
                let channel = channels[self.rng.index(channels.len())].clone();
                let since = match self.rng.index(3) {
                    0 => Since::For(self.rng.below(60_000_000)),
                    _ => Since::Now,
                };
                Fault::Reopen {
                    at,
                    lasts: lasts.max(LINGER),
                    node: self.node(),
                    channel,
                    since,
                }
            }
            Kind::Burst => Fault::Burst {
                at,
                node: self.node(),
                values: self.rng.within(10..1000),
                size: self.rng.index(1000),
            },
        }
    }

    /// Mostly short, sometimes as long as it may be.
    fn lasts(&mut self, longest: Duration) -> Duration {
        let scale = match self.rng.index(4) {
            0 => longest / 30,
            1 | 2 => longest / 5,
            _ => longest,
        };
        self.rng.duration(Duration::ZERO, scale)
    }

    fn node(&mut self) -> String {
        let node = self.rng.index(self.scenario.nodes);
        self.scenario.node_name(node)
    }

    fn some(&mut self) -> Vec<String> {
        self.groups(2).swap_remove(0)
    }

    /// All nodes in groups, none of them empty if there are enough.
    fn groups(&mut self, count: usize) -> Vec<Vec<String>> {
        let mut nodes: Vec<_> = (0..self.scenario.nodes).collect();
        self.rng.shuffle(&mut nodes);
        let mut groups = vec![Vec::new(); count];
        for (index, node) in nodes.into_iter().enumerate() {
            let group = if index < count {
                index
            } else {
                self.rng.index(count)
            };
            groups[group].push(self.scenario.node_name(node));
        }
        groups
    }
}

/// The least random time for which a channel is closed. A driver tells the engine two minutes after
/// the last object is gone, when whatever peers said of the time before has come, or its link is
/// broken.
const LINGER: Duration = Duration::from_secs(10);

fn all_kinds() -> Vec<Kind> {
    Kind::ALL.to_vec()
}

/// The most by which a clock is set off at random, in seconds: two of them are as far apart then as
/// they may be.
const CLOCK_APART: u64 = 60;
