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
//! empty variable is one that is not set. One that is no Unicode is an error, as is a setting of a
//! feature that is not built, in a file and in the environment.

use std::{ffi::OsString, path::PathBuf};

use libp2p::{Multiaddr, multiaddr::Protocol};
use meshcast_proto::{NodeName, Region};
use serde::{Deserialize, Serialize};

use crate::{address::is_listener, error::SpawnError, limits::Limits, units};
pub use crate::{
    address::{Address, AddressError},
    error::{EnvError, InvalidValue, SeedError},
    units::QuantityError,
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
    set: fn(&mut Config, &str) -> Result<(), InvalidValue>,
}

impl Config {
    /// The settings that the environment of this process has; defaults for the others.
    ///
    /// # Errors
    /// [`EnvError`] for the first variable that cannot be used.
    pub fn from_env() -> Result<Self, EnvError> {
        let mut config = Self::default();
        config.read_env(|name| std::env::var_os(name))?;
        Ok(config)
    }

    /// Takes over the settings that an environment has, in which `variable` looks up a name, as
    /// [`std::env::var_os`] does. A secret in `MESHCAST_KEY` takes the place of a key file.
    ///
    /// # Errors
    /// [`EnvError`] for the first variable that cannot be used.
    pub fn read_env(
        &mut self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), EnvError> {
        for setting in SETTINGS {
            let name = setting.variable;
            if let Some(text) = text(name, &variable)? {
                (setting.set)(self, &text).map_err(|reason| EnvError {
                    variable: name,
                    reason,
                })?;
            }
        }
        if text(KEY, &variable)?.is_some() {
            self.key_file = None;
        }
        Ok(())
    }

    /// Whether a node could start with these settings, as far as they say by themselves.
    ///
    /// # Errors
    /// The error that [`NodeBuilder::spawn`](crate::NodeBuilder::spawn) would return.
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

    /// The names of the variables of features that are built, each with the setting it stands for,
    /// such as `limits.max_peers`.
    pub fn variables() -> impl Iterator<Item = (&'static str, String)> {
        let built = SETTINGS.iter().filter(|it| is_built(it.variable));
        built.map(|setting| {
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

/// The value of a variable; `None` if it is not set, or empty.
pub(crate) fn text(
    name: &'static str,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<String>, EnvError> {
    let text = variable(name).map(OsString::into_string).transpose();
    let text = text.map_err(|_| EnvError {
        variable: name,
        reason: InvalidValue::NotUnicode,
    })?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// Whether a seed is something this node can dial: TCP at an IP address or a name.
pub(crate) fn check_seed(address: &Multiaddr) -> Result<(), SpawnError> {
    use Protocol::{Dns, Dns4, Dns6, Ip4, Ip6, P2p, Tcp};
    let parts: Vec<_> = address.iter().collect();
    match parts[..] {
        [Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_), Tcp(port)] if port != 0 => Ok(()),
        [.., P2p(_)] => Err(SeedError::NamesPeer),
        _ => Err(SeedError::Unsupported),
    }
    .map_err(|reason| SpawnError::Seed {
        address: address.clone(),
        reason,
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
    ($($variable:literal => |$config:ident, $text:ident| $set:expr;)*) => {
        &[$(Setting {
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
    "MESHCAST_LOCAL" => |config, text| set_local(config, truth(text)?)?;
    "MESHCAST_METRICS" => |config, text| set_metrics(config, text)?;
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

fn addresses(text: &str) -> Result<Vec<Address>, InvalidValue> {
    let each = text.split(|c: char| c == ',' || c.is_whitespace());
    let each = each.filter(|address| !address.is_empty());
    each.map(|address| Ok(address.parse()?)).collect()
}

#[cfg(feature = "admin")]
#[expect(clippy::unnecessary_wraps, reason = "it fails without the feature")]
const fn set_local(config: &mut Config, local: bool) -> Result<(), InvalidValue> {
    config.local = local;
    Ok(())
}

/// A user who asks for the feature must not think that the node has it; not to ask for it is no
/// error.
#[cfg(not(feature = "admin"))]
fn set_local(_: &mut Config, local: bool) -> Result<(), InvalidValue> {
    let feature = "admin";
    if local {
        return Err(InvalidValue::NotBuilt { feature });
    }
    Ok(())
}

#[cfg(feature = "metrics")]
fn set_metrics(config: &mut Config, text: &str) -> Result<(), InvalidValue> {
    config.metrics = Some(text.parse()?);
    Ok(())
}

#[cfg(not(feature = "metrics"))]
fn set_metrics(_: &mut Config, _: &str) -> Result<(), InvalidValue> {
    let feature = "metrics";
    Err(InvalidValue::NotBuilt { feature })
}

fn is_built(variable: &str) -> bool {
    let of_features = [
        ("MESHCAST_LOCAL", cfg!(feature = "admin")),
        ("MESHCAST_METRICS", cfg!(feature = "metrics")),
    ];
    of_features
        .iter()
        .all(|(of, built)| *of != variable || *built)
}

fn truth(text: &str) -> Result<bool, InvalidValue> {
    text.parse().map_err(|_| InvalidValue::Boolean(text.into()))
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, InvalidValue> {
    text.parse().map_err(|_| InvalidValue::Number(text.into()))
}

#[cfg(test)]
mod tests;
