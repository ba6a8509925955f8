//! The way in which a delivered frame came to this node.

use crate::wire::{Sender, Time};

/// Which way a message came to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Via {
    /// It was posted in this process.
    Local,
    /// Gossip brought it.
    Gossip,
    /// The node had missed it, and a peer gave it when it was asked.
    Repair,
    /// It was posted before the node had the channel open, by the ages that peers tell, and a peer
    /// gave it out of what it keeps.
    History,
}

impl Via {
    /// A word for logs and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Gossip => "gossip",
            Self::Repair => "repair",
            Self::History => "history",
        }
    }
}

/// How a frame came to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Which way.
    pub via: Via,
    /// The peer that gave it; `None` if it was posted here. For a frame that is read from the
    /// [history](crate::History) it is only known if that was its sender.
    pub from: Option<Sender>,
    /// When.
    pub at: Time,
}

impl Arrival {
    /// It was posted here.
    pub const fn local(at: Time) -> Self {
        let via = Via::Local;
        Self {
            via,
            from: None,
            at,
        }
    }

    /// That of a value of which a later part came like that.
    pub(crate) fn with(self, later: Self) -> Self {
        Self {
            via: self.via.max(later.via),
            ..later
        }
    }
}
