//! Processes of one name.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use libp2p::PeerId;
use meshcast_proto::{NodeName, Time};

use super::Driver;
use crate::event::{self, NodeEvent};

/// Pairs of the same name that were told.
#[derive(Debug, Default)]
pub(super) struct Namesakes {
    told: BTreeSet<[PeerId; 2]>,
}

impl Driver {
    /// Tells of members that have the same name as another, or as this node, and are both there.
    pub(super) fn watch_for_namesakes(&mut self, now: Time) {
        let me = *self.network.swarm.local_peer_id();
        let mut names: BTreeMap<&NodeName, PeerId> = BTreeMap::new();
        names.insert(&self.me.credential().name, me);
        let mut pairs = Vec::new();
        // A process that was restarted is there while the connection to the one before is not gone.
        let there = self.peers.iter().filter(|(_, peer)| {
            now.saturating_since(peer.since) >= SETTLED && !peer.is_silent(now)
        });
        for (id, peer) in there {
            let name = &peer.member.credential().name;
            if let Some(other) = names.insert(name, *id) {
                let pair = [other.min(*id), other.max(*id)];
                if !self.namesakes.told.contains(&pair) {
                    pairs.push((name.clone(), pair));
                }
            }
        }
        for (name, peers) in pairs {
            if self.namesakes.told.len() >= MAX_TOLD {
                self.namesakes.told.clear();
            }
            self.namesakes.told.insert(peers);
            if let Some(suppressed) = self.warnings.namesakes.pass(now) {
                tracing::warn!(target: event::TARGET, %name, a = %peers[0], b = %peers[1],
                    suppressed,
                    "two processes have the same name");
            }
            self.emit(NodeEvent::Namesake { name, peers });
        }
    }
}

/// How long both are there before it is told: longer than a connection to a process that is gone
/// may stand.
const SETTLED: Duration = Duration::from_secs(10);

/// How many pairs are remembered, at some 200 bytes; after that all are told once more.
const MAX_TOLD: usize = 1_024;
