//! The scenarios that come with the crate.

use super::{Scenario, ScenarioError};

/// A scenario that comes with the crate.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// What it is called.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

impl Shipped {
    /// The scenario of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        SHIPPED.iter().find(|shipped| shipped.name == name)
    }

    /// Reads it.
    ///
    /// # Errors
    /// None: a test reads them all.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        Scenario::from_toml(self.text)
    }
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(Shipped {
            name: $name,
            text: include_str!(concat!("../../scenarios/", $name, ".toml")),
        }),*]
    };
}

/// All of them.
pub const SHIPPED: &[Shipped] = shipped![
    "steady",
    "burst",
    "kill-restart",
    "partition-10",
    "partition-60",
    "partition-150",
    "past-retention",
    "evicted",
    "one-way",
    "three-way",
    "flapping",
    "relayed",
    "late-joiner",
    "look-back",
    "small-memory",
    "rolling-restart",
    "stalls",
    "slow-readers",
    "catch-up-storm",
    "clock-jump",
    "all-faults",
];
