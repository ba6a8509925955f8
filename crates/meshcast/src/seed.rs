//! The states of the addresses that a node was given to find others through.

use std::fmt;

use libp2p::{Multiaddr, PeerId};
use meshcast_proto::{NodeName, WallTime};
use serde::Serialize;

use crate::{reason::RefusalKind, serde_form::shown};

/// A [seed](crate::NodeBuilder::seed) and how it is doing.
///
/// A seed with a DNS name stands for all addresses that the name has. It is connected if one of
/// them is, and otherwise in the state of the one that says most about what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SeedInfo {
    /// The address, as it was given or as its name resolved.
    pub address: Multiaddr,
    /// Its state.
    #[serde(flatten)]
    pub state: SeedState,
    /// Since when that is so.
    pub since: WallTime,
    /// The last error, in words; `None` if there was none since it was last connected.
    pub reason: Option<String>,
    /// The addresses of its DNS name, each on its own; empty for a seed without a name.
    pub addresses: Vec<Self>,
}

/// The state of a seed. In any state it is dialled, or looked up, again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SeedState {
    /// Its DNS name is being looked up for the first time.
    Resolving,
    /// Its DNS name has no address, or cannot be looked up.
    Unresolved,
    /// It is dialled, and the outcome is not known: since the start, or since the connection to it
    /// was lost.
    Dialling,
    /// The machine is there, and nobody listens at the port.
    Refused,
    /// Nobody answers in time, or somebody took the connection and said nothing. Or the resolver
    /// does not answer.
    TimedOut,
    /// There is no way to it, or the connection broke before it was known who answers.
    Unreachable,
    /// Somebody answers and is no member of this mesh, or does not let this node in: another key,
    /// another version, no room.
    NotAdmitted {
        /// Why, by its kind.
        refusal: RefusalKind,
    },
    /// It leads to this node itself, as it may if all nodes are given the same seeds.
    Ourselves,
    /// It leads to this member, which is connected.
    Connected {
        /// Which process.
        #[serde(rename = "peer_id", serialize_with = "shown")]
        peer: PeerId,
        /// Its name.
        name: NodeName,
    },
}

impl SeedState {
    /// Its name in JSON and in logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Resolving => "resolving",
            Self::Unresolved => "unresolved",
            Self::Dialling => "dialling",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::NotAdmitted { .. } => "not_admitted",
            Self::Ourselves => "ourselves",
            Self::Connected { .. } => "connected",
        }
    }

    /// Whether something is wrong that does not go away by waiting for the outcome of a first try.
    pub const fn is_bad(&self) -> bool {
        matches!(
            self,
            Self::Unresolved
                | Self::Refused
                | Self::TimedOut
                | Self::Unreachable
                | Self::NotAdmitted { .. }
        )
    }
}

/// For people.
impl fmt::Display for SeedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolving => "being looked up",
            Self::Unresolved => "does not resolve",
            Self::Dialling => "being dialled",
            Self::Refused => "nobody listens there",
            Self::TimedOut => "does not answer",
            Self::Unreachable => "cannot be reached",
            Self::NotAdmitted { .. } => "not of this mesh, or does not let this node in",
            Self::Ourselves => "is this node itself",
            Self::Connected { name, .. } => return write!(f, "connected to {name}"),
        })
    }
}
