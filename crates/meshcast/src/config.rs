//! Settings of a node that do not stand in the code of a service: from a file, and from the
//! environment.
//!
//! A file is whatever serde reads. As TOML:
//!
//! ```toml
//! region = "fra"
//! key_file = "/run/secrets/mesh.key"
//! listen = ["0.0.0.0:4001"]
//! seeds = ["mesh.default.svc.cluster.local:4001"]
//!
//! [limits]
//! history_bytes = "128MiB"
//! history_age = "5m"
//! ```
//!
//! Each setting has the same name as a method of [`NodeBuilder`](crate::NodeBuilder) or a field of
//! [`Limits`], and the same name in capitals behind `MESHCAST_` in the environment:
//! `MESHCAST_SEEDS`, `MESHCAST_HISTORY_BYTES`. Lists are separated by commas or spaces there. An
//! empty variable is one that is not set.

use std::path::PathBuf;

use libp2p::{Multiaddr, multiaddr::Protocol};
use meshcast_proto::{NodeName, Region};
use serde::{Deserialize, Serialize};

use crate::{address::is_listener, error::SpawnError, limits::Limits, units};
pub use crate::{
    address::{Address, AddressError},
    error::EnvError,
};

/// Settings of a node. Start one with them by [`NodeBuilder::from`](crate::NodeBuilder).
///
/// The secret itself is not among them: a file that everybody may read is no place for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// See [`NodeBuilder::name`](crate::NodeBuilder::name).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`NodeBuilder::region`](crate::NodeBuilder::region).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// See [`NodeBuilder::key_file`](crate::NodeBuilder::key_file).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// See [`NodeBuilder::listen`](crate::NodeBuilder::listen).
    pub listen: Vec<Address>,
    /// See [`NodeBuilder::advertise`](crate::NodeBuilder::advertise).
    pub advertise: Vec<Address>,
    /// See [`NodeBuilder::seed`](crate::NodeBuilder::seed).
    pub seeds: Vec<Address>,
    /// See [`NodeBuilder::local`](crate::NodeBuilder::local). With the feature `admin`.
    #[cfg(feature = "admin")]
    pub local: bool,
    /// See [`NodeBuilder::metrics`](crate::NodeBuilder::metrics). With the feature `metrics`.
    #[cfg(feature = "metrics")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<crate::address::MetricsAddress>,
    /// See [`NodeBuilder::dial_members`](crate::NodeBuilder::dial_members).
    pub dial_members: bool,
    /// See [`NodeBuilder::limits`](crate::NodeBuilder::limits).
    pub limits: Limits,
}

/// A setting that the environment may have.
struct Setting {
    variable: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
}

impl Config {
    /// The settings that the environment of this process has; defaults for the others.
    ///
    /// # Errors
    /// [`EnvError`] for the first variable that cannot be used.
    pub fn from_env() -> Result<Self, EnvError> {
        let mut config = Self::default();
        config.read_env(|name| std::env::var(name).ok())?;
        Ok(config)
    }

    /// Takes over the settings that an environment has, in which `variable` looks up a name. A
    /// secret in `MESHCAST_KEY` takes the place of a key file.
    ///
    /// # Errors
    /// [`EnvError`] for the first variable that cannot be used.
    pub fn read_env(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<(), EnvError> {
        for setting in SETTINGS {
            let name = setting.variable;
            let text = variable(name).filter(|text| !text.is_empty());
            if let Some(text) = text {
                (setting.set)(self, &text).map_err(|reason| EnvError {
                    variable: name,
                    reason,
                })?;
            }
        }
        if variable(KEY).is_some_and(|key| !key.is_empty()) {
            self.key_file = None;
        }
        Ok(())
    }

    /// Whether a node could start with these settings, as far as they say by themselves.
    ///
    /// # Errors
    /// What [`NodeBuilder::spawn`](crate::NodeBuilder::spawn) would return.
    pub fn check(&self) -> Result<(), SpawnError> {
        if let Some(name) = &self.name {
            NodeName::new(name).map_err(SpawnError::Name)?;
        }
        if let Some(region) = &self.region {
            Region::new(region).map_err(SpawnError::Region)?;
        }
        for seed in &self.seeds {
            check_seed(&seed.clone().into())?;
        }
        for address in &self.advertise {
            check_advertised(&address.clone().into())?;
        }
        Ok(self.limits.check()?)
    }

    /// The variables in which hosting platforms say where a process runs, `MESHCAST_REGION` first:
    /// a node without a region takes that of the first that is set.
    pub fn region_variables() -> impl Iterator<Item = &'static str> {
        REGION_VARIABLES.into_iter()
    }

    /// The names of the variables that are read, each with the setting it stands for, such as
    /// `limits.max_peers`.
    pub fn variables() -> impl Iterator<Item = (&'static str, String)> {
        SETTINGS.iter().map(|setting| {
            let name = setting.variable.trim_start_matches(PREFIX).to_lowercase();
            let in_limits = !matches!(
                name.as_str(),
                "name"
                    | "region"
                    | "key_file"
                    | "listen"
                    | "advertise"
                    | "seeds"
                    | "local"
                    | "metrics"
                    | "dial_members"
            );
            let path = if in_limits {
                format!("limits.{name}")
            } else {
                name
            };
            (setting.variable, path)
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            region: None,
            key_file: None,
            listen: Vec::new(),
            advertise: Vec::new(),
            seeds: Vec::new(),
            #[cfg(feature = "admin")]
            local: false,
            #[cfg(feature = "metrics")]
            metrics: None,
            dial_members: true,
            limits: Limits::default(),
        }
    }
}

/// Whether a seed is something this node can dial: TCP at an IP address or a name.
pub(crate) fn check_seed(address: &Multiaddr) -> Result<(), SpawnError> {
    use Protocol::{Dns, Dns4, Dns6, Ip4, Ip6, P2p, Tcp};
    let parts: Vec<_> = address.iter().collect();
    match parts[..] {
        [Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_), Tcp(port)] if port != 0 => Ok(()),
        [.., P2p(_)] => {
            Err("a process has a new peer id at every start, so a seed must not name one")
        }
        _ => Err("a seed looks like /ip4/192.0.2.1/tcp/4001 or /dns/name/tcp/4001"),
    }
    .map_err(|reason| SpawnError::Seed {
        address: address.clone(),
        reason: reason.to_owned(),
    })
}

/// Whether an address can be told to others as one of this node.
pub(crate) fn check_advertised(address: &Multiaddr) -> Result<(), SpawnError> {
    if is_listener(address) {
        return Ok(());
    }
    Err(SpawnError::Advertise {
        address: address.clone(),
    })
}

macro_rules! settings {
    ($($(#[$when:meta])* $variable:literal => |$config:ident, $text:ident| $set:expr;)*) => {
        &[$($(#[$when])* Setting {
            variable: $variable,
            set: |$config, $text| { $set; Ok(()) },
        },)*]
    };
}

/// Where the secret itself may stand.
const KEY: &str = "MESHCAST_KEY";

const PREFIX: &str = "MESHCAST_";

const SETTINGS: &[Setting] = settings! {
    "MESHCAST_NAME" => |config, text| config.name = Some(text.to_owned());
    "MESHCAST_REGION" => |config, text| config.region = Some(text.to_owned());
    "MESHCAST_KEY_FILE" => |config, text| config.key_file = Some(text.into());
    "MESHCAST_LISTEN" => |config, text| config.listen = addresses(text)?;
    "MESHCAST_ADVERTISE" => |config, text| config.advertise = addresses(text)?;
    "MESHCAST_SEEDS" => |config, text| config.seeds = addresses(text)?;
    #[cfg(feature = "admin")]
    "MESHCAST_LOCAL" => |config, text| config.local = truth(text)?;
    #[cfg(feature = "metrics")]
    "MESHCAST_METRICS" => |config, text| config.metrics = Some(metrics_address(text)?);
    "MESHCAST_DIAL_MEMBERS" => |config, text| config.dial_members = truth(text)?;
    "MESHCAST_MAX_MESSAGE_BYTES" => |config, text| config.limits.max_message_bytes = units::bytes(text)?;
    "MESHCAST_OUTBOX_BYTES" => |config, text| config.limits.outbox_bytes = units::bytes(text)?;
    "MESHCAST_UNREAD_BYTES" => |config, text| config.limits.unread_bytes = units::bytes(text)?;
    "MESHCAST_MAX_CHANNELS" => |config, text| config.limits.max_channels = number(text)?;
    "MESHCAST_HISTORY_BYTES" => |config, text| config.limits.history_bytes = units::bytes(text)?;
    "MESHCAST_MEMORY_BYTES" => |config, text| config.limits.memory_bytes = units::bytes(text)?;
    "MESHCAST_HISTORY_AGE" => |config, text| config.limits.history_age = units::time(text)?;
    "MESHCAST_MAX_PEERS" => |config, text| config.limits.max_peers = number(text)?;
};

/// Where hosting platforms name the region, ours first.
pub(crate) const REGION_VARIABLES: [&str; 4] =
    ["MESHCAST_REGION", "DENO_REGION", "FLY_REGION", "AWS_REGION"];

fn addresses(text: &str) -> Result<Vec<Address>, String> {
    let each = text.split(|c: char| c == ',' || c.is_whitespace());
    let each = each.filter(|address| !address.is_empty());
    each.map(|address| {
        address
            .parse()
            .map_err(|error: AddressError| error.to_string())
    })
    .collect()
}

#[cfg(feature = "metrics")]
fn metrics_address(text: &str) -> Result<crate::address::MetricsAddress, String> {
    text.parse()
        .map_err(|error: crate::address::MetricsAddressError| error.to_string())
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is neither true nor false"))
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no such number"))
}

#[cfg(test)]
mod tests;
