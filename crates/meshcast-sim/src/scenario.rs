//! A scenario of a world: who is there, how they are linked, what they post, and what goes wrong.

mod fault;
mod mark;
mod script;
mod settings;
mod shipped;

use std::time::Duration;

use serde::Deserialize;

use crate::{checker::Rules, log::Since, rng::Rng};

pub use self::{
    fault::{Fault, Kind, Random},
    mark::Mark,
    settings::{Expect, Load, Memory, Network, Size, Topology},
    shipped::{SHIPPED, Shipped},
};
pub(crate) use self::{
    mark::fault_chance,
    script::{Script, Step},
};

/// A scenario, as it stands in a file. Durations are in seconds unless their name says otherwise.
///
/// ```
/// let scenario = meshcast_sim::Scenario::from_toml(r#"
///     name = "halves"
///     about = "Two regions lose sight of each other for a while."
///     nodes = 4
///     regions = ["fra", "syd"]
///     duration = 30
///
///     [[fault]]
///     kind = "partition"
///     at = 5
///     for = 10
///     groups = [["fra"], ["syd"]]
/// "#)?;
/// let report = meshcast_sim::run(&scenario, 1);
/// assert!(report.is_clean(), "{report}");
/// # Ok::<(), meshcast_sim::ScenarioError>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it is about.
    #[serde(default)]
    pub about: String,
    /// How many nodes there are. They take turns in the regions, and are called by region and
    /// number: `fra0`.
    pub nodes: usize,
    /// Where they are.
    #[serde(default = "settings::one_region")]
    pub regions: Vec<String>,
    /// Which are linked.
    #[serde(default)]
    pub topology: Topology,
    /// How long they post.
    #[serde(with = "settings::secs")]
    pub duration: Duration,
    /// How long the run goes on after the last post and fault.
    #[serde(with = "settings::secs", default = "settings::half_a_minute")]
    pub settle: Duration,
    /// In what time all have to agree after the faults (G8). Not more than `settle`.
    #[serde(with = "settings::secs", default = "settings::half_a_minute")]
    pub bound: Duration,
    /// From when on channels hear.
    #[serde(default)]
    pub since: Since,
    /// What the links are like.
    #[serde(default)]
    pub network: Network,
    /// What is posted.
    #[serde(default)]
    pub load: Load,
    /// What the engines may keep.
    #[serde(default)]
    pub memory: Memory,
    /// What goes wrong, and when.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault>,
    /// Random faults besides.
    #[serde(default)]
    pub random: Option<Random>,
    /// What has to come out, besides no violation.
    #[serde(default)]
    pub expect: Expect,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] says what is wrong with it.
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The name of a node, by its place.
    pub fn node_name(&self, node: usize) -> String {
        format!("{}{}", self.region(node), node / self.regions.len())
    }

    /// The region of a node, by its place.
    pub fn region(&self, node: usize) -> &str {
        &self.regions[self.region_index(node)]
    }

    /// What the log of a run is held against.
    pub fn rules(&self) -> Rules {
        Rules {
            retention: self.memory.age,
            // An opening and its answer may each wait for a process that does nothing. Nobody knows
            // where the time went, and all of it is heard as well.
            early: EARLY + 2 * self.longest_pause(),
            bound: Some(self.bound),
            held_cap: Some(self.memory.budget as u64),
            history_cap: Some(self.memory.history as u64),
            evicting: self.memory.evicting,
        }
    }

    pub(crate) fn region_index(&self, node: usize) -> usize {
        node % self.regions.len()
    }

    /// The nodes a selector means: one by name, or all of a region.
    pub(crate) fn select(&self, selector: &str) -> Result<Vec<usize>, ScenarioError> {
        let selected: Vec<_> = (0..self.nodes)
            .filter(|node| {
                selector == "*"
                    || self.region(*node) == selector
                    || self.node_name(*node) == selector
            })
            .collect();
        if selected.is_empty() {
            return Err(ScenarioError::NoSuchNode(selector.to_owned()));
        }
        Ok(selected)
    }

    /// All faults, those of chance included.
    pub(crate) fn all_faults(&self, rng: &mut Rng) -> Vec<Fault> {
        let mut faults = self.faults.clone();
        if let Some(random) = &self.random {
            random.faults(self, rng, &mut faults);
        }
        faults
    }

    fn longest_pause(&self) -> Duration {
        let pauses = self.faults.iter().filter_map(|fault| match fault {
            Fault::Pause { lasts, .. } => Some(*lasts),
            _ => None,
        });
        let random = self.random.as_ref().map(Random::longest_pause);
        pauses.chain(random).max().unwrap_or_default()
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let wrong = |what: &'static str| Err(ScenarioError::Wrong(what));
        if self.nodes == 0 || self.nodes > MAX_NODES {
            return wrong("there must be 1 to 1000 nodes");
        }
        if self.regions.is_empty() {
            return wrong("there must be a region");
        }
        if self.bound > self.settle {
            return wrong("the bound must not be longer than it takes to settle");
        }
        if self.load.sizes.is_empty() || self.load.channels.is_empty() || self.load.objects == 0 {
            return wrong("the load must have sizes, channels and objects");
        }
        self.faults.iter().try_for_each(|fault| fault.check(self))
    }
}

/// The time by which a forwarded frame may seem younger than it is, for the time it travels.
const EARLY: Duration = Duration::from_secs(5);

/// More would take days.
const MAX_NODES: usize = 1000;

/// Why a text is no scenario.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// It is no TOML, or has other keys than a scenario.
    #[error("the scenario cannot be read: {0}")]
    Unreadable(#[from] toml::de::Error),
    /// A fault names somebody who is not there.
    #[error("there is no node or region {0:?}")]
    NoSuchNode(String),
    /// A fault names a channel nobody has.
    #[error("there is no channel {0:?}")]
    NoSuchChannel(String),
    /// Something makes no sense.
    #[error("{0}")]
    Wrong(&'static str),
}

#[cfg(test)]
mod tests;
