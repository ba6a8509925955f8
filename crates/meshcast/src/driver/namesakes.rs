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
        let me = (
            &self.local.me.credential().name,
            *self.network.swarm.local_peer_id(),
        );
        // A process that was restarted is there while the connection to the one before is not gone.
        let there = self.peers.iter().filter(|(_, peer)| {
            now.saturating_since(peer.since) >= SETTLED && !peer.is_silent(now)
        });
        let there = there.map(|(id, peer)| (&peer.member.credential().name, *id));
        for (name, peers) in self.namesakes.find(std::iter::once(me).chain(there)) {
            if let Some(suppressed) = self.reports.warnings.namesakes.pass(now) {
                tracing::warn!(target: event::TARGET, %name, a = %peers[0], b = %peers[1],
                    suppressed,
                    "two processes have the same name");
            }
            self.emit(NodeEvent::Namesake { name, peers });
        }
    }
}

impl Namesakes {
    /// Pairs of the same name among those that are there, which were not told yet.
    fn find<'a>(
        &mut self,
        there: impl Iterator<Item = (&'a NodeName, PeerId)>,
    ) -> Vec<(NodeName, [PeerId; 2])> {
        let (mut names, mut pairs) = (BTreeMap::new(), Vec::new());
        for (name, id) in there {
            let Some(other) = names.insert(name, id) else {
                continue;
            };
            let pair = [id.min(other), id.max(other)];
            if self.told.contains(&pair) {
                continue;
            }
            if self.told.len() >= MAX_TOLD {
                self.told.clear();
            }
            self.told.insert(pair);
            pairs.push((name.clone(), pair));
        }
        pairs
    }
}

/// The time for which both are there before it is told: longer than a connection to a process that
/// is gone may stand.
const SETTLED: Duration = Duration::from_secs(10);

/// How many pairs are remembered, at some 200 bytes; after that all are told once more.
const MAX_TOLD: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> NodeName {
        NodeName::new(name).expect("allowed")
    }

    fn ids<const N: usize>() -> [PeerId; N] {
        let mut ids = [(); N].map(|()| PeerId::random());
        ids.sort_unstable();
        ids
    }

    #[test]
    fn two_of_one_name_are_told_once_and_each_further_one_with_the_one_before() {
        let (name, other) = (named("fra-1"), named("iad-1"));
        let [a, b, c, d] = ids();
        let mut namesakes = Namesakes::default();
        let two = [(&name, b), (&other, d), (&name, a)];
        assert_eq!(namesakes.find(two.into_iter()), [(name.clone(), [a, b])]);
        assert_eq!(namesakes.find(two.into_iter()), []);
        let three = two.into_iter().chain([(&name, c)]);
        assert_eq!(namesakes.find(three), [(name.clone(), [a, c])]);
    }

    #[test]
    fn no_more_pairs_than_the_bound_are_remembered_and_then_they_are_told_again() {
        let name = named("fra-1");
        let ids: [PeerId; MAX_TOLD + 2] = ids();
        let mut namesakes = Namesakes::default();
        let told = namesakes.find(ids.iter().map(|id| (&name, *id)));
        assert_eq!(told.len(), MAX_TOLD + 1);
        assert_eq!(namesakes.told.len(), 1);
        let again = namesakes.find(ids[..2].iter().map(|id| (&name, *id)));
        assert_eq!(again, [(name, [ids[0], ids[1]])]);
    }
}
