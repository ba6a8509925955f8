//! What nodes said at one moment.

use std::{collections::BTreeMap, time::Duration};

use meshcast::admin::schema::{Channel, Member, NodeReport, Peer};

use super::view;
use crate::faults::Status;

/// All that was asked at about the same time.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    /// When, since the first.
    pub(super) at: Duration,
    /// The nodes that were asked, by name.
    pub(super) nodes: BTreeMap<String, Asked>,
    /// The faults made on purpose, and the state of the nodes; `None` if nobody here can break
    /// anything.
    pub(super) faults: Option<Status>,
    /// Why nobody here can, if that is not plain.
    pub(super) why_not: Option<&'static str>,
    /// The names of nodes there was no time to ask.
    pub(super) not_asked: Vec<String>,
}

/// A node that was asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// Its answer; `None` if it gives none, or does not run.
    pub(super) look: Option<Look>,
    /// Where its own service is.
    pub(super) url: Option<String>,
}

/// What a node said.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) node: NodeReport,
    pub(super) peers: Vec<Peer>,
    /// Members that it knows and has no link to.
    pub(super) unlinked: Vec<Member>,
    pub(super) channels: Vec<Channel>,
}

impl Look {
    /// What it counted so far under this name.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.node.counters.get(name).copied().unwrap_or_default()
    }
}

impl Picture {
    /// Those that answered.
    pub(super) fn looks(&self) -> impl Iterator<Item = (&str, &Look)> {
        let asked = self.nodes.iter();
        asked.filter_map(|(name, asked)| Some((name.as_str(), asked.look.as_ref()?)))
    }

    /// The nodes of a mesh that have a channel of this name open, for anybody but a page.
    pub(super) fn open<'a>(
        &'a self,
        channel: view::Channel<'a>,
    ) -> impl Iterator<Item = (&'a str, &'a Look)> {
        self.looks().filter(move |(_, look)| {
            let mut channels = look.channels.iter();
            look.node.node.mesh == channel.mesh
                && channels.any(|it| it.name == channel.name && is_open(it))
        })
    }

    /// The answer of a node, if it is the same process as in `later`.
    pub(super) fn same(&self, name: &str, later: &Look) -> Option<&Look> {
        let look = self.nodes.get(name)?.look.as_ref()?;
        (look.node.node.peer_id == later.node.node.peer_id).then_some(look)
    }
}

/// Whether a node has a channel open, for anybody but those who only look.
pub(super) const fn is_open(channel: &Channel) -> bool {
    channel.objects > channel.observers
}
