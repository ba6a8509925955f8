//! The tables of a scenario.

use std::{collections::BTreeMap, time::Duration};

use meshcast_proto::{Config, HistoryLimits};
use serde::Deserialize;

use super::Scenario;

/// Which nodes are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// Each with each.
    #[default]
    Full,
    /// Each with each of its region, and three links between two regions.
    Regions,
    /// Each with the next.
    Chain,
}

/// What the links are like.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// The round trip within a region.
    pub local_ms: u64,
    /// The round trip between regions that `rtt` does not name.
    pub remote_ms: u64,
    /// Round trips between regions, by `"fra-iad"`, in milliseconds.
    pub rtt: BTreeMap<String, u64>,
    /// By what part of itself the time of a message varies.
    pub jitter: f64,
    /// How probably a hop loses a gossip message.
    pub loss: f64,
    /// How probably a hop brings it twice.
    pub duplicate: f64,
    /// The time that gossip takes to use a new link or a newly opened channel, at most.
    pub warmup_ms: u64,
    /// How many bytes a second a link carries in each direction beside gossip.
    pub bandwidth: u64,
    /// The bytes that may wait on a link; with more it is closed.
    pub queue: u64,
    /// The time that a link may be silent before it counts as broken.
    pub detect_ms: u64,
    /// How long it takes to try again, at most.
    pub redial_ms: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            local_ms: 1,
            remote_ms: 150,
            rtt: BTreeMap::new(),
            jitter: 0.2,
            loss: 0.0,
            duplicate: 0.01,
            warmup_ms: 1000,
            bandwidth: 12_500_000,
            queue: 5 * 1024 * 1024,
            detect_ms: 5000,
            redial_ms: 2000,
        }
    }
}

impl Network {
    /// The time of one way between regions.
    pub(crate) fn one_way(&self, from: &str, to: &str) -> Duration {
        let rtt = if from == to {
            self.local_ms
        } else {
            let there = self.rtt.get(&format!("{from}-{to}"));
            *there
                .or_else(|| self.rtt.get(&format!("{to}-{from}")))
                .unwrap_or(&self.remote_ms)
        };
        Duration::from_micros(rtt * 500)
    }
}

/// What is posted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// Posts a second, all nodes together.
    pub rate: f64,
    /// How large values are.
    pub sizes: Vec<Size>,
    /// The probability that a post is many values at once, which go into one frame.
    pub burst: f64,
    /// How probably a value is the same as the one before.
    pub repeat: f64,
    /// On which channels; every node has all of them open.
    pub channels: Vec<String>,
    /// How many objects a node has on each channel.
    pub objects: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            rate: 20.0,
            sizes: vec![Size {
                weight: 1,
                min: 0,
                max: 512,
            }],
            burst: 0.05,
            repeat: 0.05,
            channels: vec!["earth".to_owned()],
            objects: 1,
        }
    }
}

/// Values of these sizes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// How many there are for each of the others.
    pub weight: u64,
    /// The smallest, in bytes.
    pub min: usize,
    /// The largest, in bytes.
    pub max: usize,
}

/// What an engine may keep.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// Bytes kept for others.
    pub history: usize,
    /// How long.
    #[serde(with = "secs")]
    pub age: Duration,
    /// Bytes that wait in one window.
    pub held: usize,
    /// Bytes that wait in all.
    pub held_total: usize,
    /// Bytes of all that waits or is remembered.
    pub budget: usize,
    /// Whether `history` may be full before `age` is over.
    pub evicting: bool,
}

impl Default for Memory {
    fn default() -> Self {
        let config = Config::default();
        Self {
            history: config.history.bytes,
            age: config.history.age,
            held: config.max_held_bytes,
            held_total: config.max_held_total_bytes,
            budget: config.memory_bytes,
            evicting: false,
        }
    }
}

impl Memory {
    /// The settings of an engine.
    pub(crate) fn config(&self) -> Config {
        Config {
            max_held_bytes: self.held,
            max_held_total_bytes: self.held_total,
            memory_bytes: self.budget,
            history: HistoryLimits {
                bytes: self.history,
                age: self.age,
            },
            ..Config::default()
        }
    }
}

/// What has to come out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// So many gaps. 0 unless it says otherwise or something may be lost.
    pub gaps: Option<u64>,
    /// At most so many gaps of one sender at one object.
    pub gaps_of_a_stream: Option<u64>,
    /// At least so many deliveries.
    pub deliveries: Option<u64>,
}

impl Scenario {
    /// Its settings that only virtual worlds have, by their names in the file.
    pub(crate) fn virtual_settings(&self) -> Vec<&'static str> {
        let (network, load) = (Network::default(), Load::default());
        let set = [
            ("topology", self.topology != Topology::default()),
            ("memory", self.memory != Memory::default()),
            ("expect", self.expect != Expect::default()),
            (
                "network.duplicate",
                self.network.duplicate != network.duplicate,
            ),
            (
                "network.warmup_ms",
                self.network.warmup_ms != network.warmup_ms,
            ),
            ("network.queue", self.network.queue != network.queue),
            (
                "network.detect_ms",
                self.network.detect_ms != network.detect_ms,
            ),
            (
                "network.redial_ms",
                self.network.redial_ms != network.redial_ms,
            ),
            ("load.burst", self.load.burst != load.burst),
            ("load.repeat", self.load.repeat != load.repeat),
            ("load.objects", self.load.objects != load.objects),
            (
                "load.channels after the first",
                self.load.channels.len() > 1,
            ),
        ];
        let set = set.into_iter().filter(|(_, set)| *set);
        set.map(|(name, _)| name).collect()
    }
}

pub(super) fn one_region() -> Vec<String> {
    vec!["here".to_owned()]
}

pub(super) const fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

/// Durations in seconds, with or without a fraction.
pub(super) mod secs {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Whole(u64),
        Fraction(f64),
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let secs = match Number::deserialize(deserializer)? {
            Number::Whole(secs) if secs <= MAX => return Ok(Duration::from_secs(secs)),
            Number::Whole(_) => f64::NAN,
            Number::Fraction(secs) => secs,
        };
        Some(secs)
            .filter(|secs| (0.0..=MAX as f64).contains(secs))
            .map(Duration::from_secs_f64)
            .ok_or_else(|| de::Error::custom("a duration is 0 to 1,000,000 seconds"))
    }

    const MAX: u64 = 1_000_000;
}
