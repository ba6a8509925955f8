//! The peers, with the topics that each of them announced. Each topic is charged to its peer.

use std::collections::{HashMap, HashSet};

use libp2p::PeerId;
use meshcast_proto::{Budget, Time};

use super::{
    announcements::{Announcements, Told},
    queue::Queue,
    topic::Topic,
};
use crate::ids::payer;

/// What there is of each peer that is connected.
#[derive(Debug, Default)]
pub(super) struct Peers {
    budget: Budget,
    peers: HashMap<PeerId, Peer>,
}

/// A peer.
#[derive(Debug)]
pub(super) struct Peer {
    topics: HashSet<Topic>,
    queue: Queue,
    /// The announcements that it was told when it came: none.
    came: Told,
    /// It is given nothing, though it listens, and fetches instead. Plumtree calls so whoever is
    /// told what there is and not given it.
    is_lazy: bool,
    /// How many frames it was not given, that was not told yet.
    skipped: usize,
}

impl Peers {
    /// From now on topics, and what waits for peers to come, are charged to this budget.
    pub(super) fn charge_to(&mut self, budget: Budget) {
        self.budget = budget;
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The queue to a peer, which has a connection, and what it was told when it came.
    pub(super) fn queue(&mut self, peer: PeerId, log: &Announcements) -> (Queue, Told) {
        let budget = &self.budget;
        let peer = self.peers.entry(peer).or_insert_with(|| Peer {
            topics: HashSet::new(),
            queue: Queue::new(budget.account(payer(&peer))),
            came: log.begin(),
            is_lazy: false,
            skipped: 0,
        });
        (peer.queue.clone(), peer.came)
    }

    /// A peer is connected no more.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        if let Some(gone) = self.peers.remove(peer) {
            self.budget.release(payer(peer), gone.topics.len() * TOPIC);
        }
    }

    /// A peer listens on a topic from now on, or does so no more. A topic for which there is no
    /// room is not kept: the peer is given nothing of it by gossip, and fetches what it is told of.
    pub(super) fn handle_listens(&mut self, id: &PeerId, topic: Topic, joins: bool) {
        let (budget, payer) = (&self.budget, payer(id));
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if !joins {
            if peer.topics.remove(&topic) {
                budget.release(payer, TOPIC);
            }
        } else if !peer.topics.contains(&topic)
            && peer.topics.len() < MAX_TOPICS
            && budget.try_charge(payer, TOPIC)
        {
            peer.topics.insert(topic);
        }
        tracing::debug!(peer = %id, %topic, joins, "listens");
    }

    /// As [`Gossip::set_lazy`](super::Gossip::set_lazy).
    pub(super) fn set_lazy(&mut self, peer: &PeerId, yes: bool) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.is_lazy = yes;
        }
    }

    /// The peers that have announced a topic, are not lazy and have room.
    pub(super) fn listening(&self, topic: Topic) -> impl Iterator<Item = PeerId> {
        let peers = self.peers.iter();
        let wants = move |peer: &Peer| peer.topics.contains(&topic) && !peer.is_lazy;
        peers.filter_map(move |(id, peer)| (wants(peer) && !peer.queue.holds()).then_some(*id))
    }

    /// The peers that listen on any topic.
    pub(super) fn listeners(&self) -> HashSet<PeerId> {
        let peers = self.peers.iter();
        let listening = peers.filter(|(_, peer)| !peer.topics.is_empty());
        listening.map(|(id, _)| *id).collect()
    }

    /// Gives a peer a frame. `false` if it has no room, or is connected no more.
    pub(super) fn give(
        &mut self,
        peer: &PeerId,
        topic: Topic,
        frame: &bytes::Bytes,
        now: Time,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(peer) else {
            return false;
        };
        let given = peer.queue.give(topic, frame.clone(), now);
        peer.skipped += usize::from(!given);
        given
    }

    /// There is something to announce to all.
    pub(super) fn wake(&self) {
        self.peers.values().for_each(|peer| peer.queue.wake());
    }

    /// The peers that do not take their frames: how many each was not given since the last call,
    /// and whether it is deaf. To be called every second or so.
    pub(super) fn settle(&mut self, now: Time, drop_old: bool) -> Vec<(PeerId, usize, bool)> {
        let peers = self.peers.iter_mut();
        let told = peers.map(|(id, peer)| {
            let old = if drop_old {
                peer.queue.drop_old(now)
            } else {
                0
            };
            let dropped = old + std::mem::take(&mut peer.skipped);
            (*id, dropped, peer.queue.is_deaf(now))
        });
        told.filter(|(_, dropped, is_deaf)| *dropped > 0 || *is_deaf)
            .collect()
    }

    #[cfg(test)]
    pub(super) fn topics_of(&self, peer: &PeerId) -> Vec<String> {
        let peer = self.peers.get(peer).into_iter();
        let topics = peer.flat_map(|peer| &peer.topics);
        topics.map(ToString::to_string).collect()
    }
}

/// How many topics of a peer are kept: over the limit of channels of a node.
const MAX_TOPICS: usize = 16_384;

/// What a topic of a peer takes, in a table that is half full.
const TOPIC: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{channel::fixture::Source, ids::peer_id};

    fn topic(n: u128) -> Topic {
        Topic::named(format!("{n:032x}").as_bytes()).expect("one")
    }

    #[test]
    fn topics_are_charged_to_whoever_announces_them_and_those_without_room_are_not_kept() {
        let (budget, mut peers) = (Budget::new(1024 * 1024), Peers::default());
        peers.charge_to(budget.clone());
        let [peer, other] = [1, 2].map(|n| peer_id(Source::new(n).member.sender()));
        for peer in [peer, other] {
            peers.queue(peer, &Announcements::default());
        }
        let mut say = |peer: &PeerId, numbers: std::ops::Range<u128>, joins: bool| {
            numbers.for_each(|n| peers.handle_listens(peer, topic(n), joins));
            peers.topics_of(peer).len()
        };
        assert_eq!(say(&peer, 0..10, true), 10);
        assert_eq!(say(&peer, 5..15, true), 15);
        assert_eq!(budget.used(), 15 * TOPIC);
        assert_eq!(say(&peer, 0..20, false), 0);
        assert_eq!(budget.used(), 0);
        let kept = say(&peer, 0..30_000, true);
        assert!(
            kept * TOPIC <= budget.limit() / 2 && budget.used() == kept * TOPIC,
            "{kept}"
        );
        assert_eq!(say(&other, 0..100, true), 100, "there is room for others");
        peers.forget(&peer);
        peers.forget(&other);
        assert_eq!(budget.used(), 0);
    }
}
