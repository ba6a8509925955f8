//! The topics that peers announced, each charged to the peer. gossipsub remembers them too.

use std::collections::{HashMap, HashSet};

use libp2p::{PeerId, gossipsub::TopicHash};
use meshcast_proto::Budget;

use super::{
    rpc::{Reader, Said, Subscribes},
    settings::MAX_TOPICS,
    topic,
};
use crate::ids::payer;

#[derive(Debug, Default)]
pub(super) struct Announced {
    budget: Budget,
    peers: HashMap<PeerId, HashSet<u128>>,
}

impl Announced {
    /// From now on they are charged to this budget.
    pub(super) fn charge_to(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Takes out of what a peer says the topics for which there is no room: it is given nothing of
    /// them by gossip, and fetches what it is told of.
    pub(super) fn charge(&mut self, peer: &PeerId, said: &mut Said, reader: &Reader) {
        let payer = payer(peer);
        reader.retain_topics(said, |it, subscribes| {
            let Some(topic) = topic::number(it) else {
                return false;
            };
            let known = self.peers.entry(*peer).or_default();
            if subscribes == Subscribes(false) {
                if known.remove(&topic) {
                    self.budget.release(payer, TOPIC);
                }
                return true;
            }
            let is_known = known.contains(&topic);
            let has_room = || known.len() < MAX_TOPICS && self.budget.try_charge(payer, TOPIC);
            is_known || (has_room() && known.insert(topic))
        });
    }

    /// The peers that have announced a topic.
    pub(super) fn listening(&self, topic: &TopicHash) -> impl Iterator<Item = PeerId> {
        let topic = topic::number(topic);
        let listens = move |known: &HashSet<u128>| topic.is_some_and(|it| known.contains(&it));
        let peers = self.peers.iter();
        peers.filter_map(move |(peer, known)| listens(known).then_some(*peer))
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.remove(peer) {
            self.budget.release(payer(peer), known.len() * TOPIC);
        }
    }
}

/// What a topic of a peer takes, here and in gossipsub, which keeps it as a string in a tree.
const TOPIC: usize = 160;

#[cfg(test)]
mod tests {
    use super::{
        super::{fixture::reader, rpc::subscriptions},
        *,
    };
    use crate::{channel::fixture::Source, ids::peer_id};

    #[tokio::test]
    async fn topics_are_charged_to_whoever_announces_them_and_those_without_room_are_not_kept() {
        let (budget, mut announced) = (Budget::new(1024 * 1024), Announced::default());
        announced.charge_to(budget.clone());
        let reader = reader();
        let [peer, other] = [1, 2].map(|n| peer_id(Source::new(n).member.sender()));
        let mut say = |peer: &PeerId, numbers: std::ops::Range<u128>, joins: bool| {
            let topic = |n: u128| TopicHash::from_raw(format!("{n:032x}"));
            let all: Vec<_> = numbers.map(topic).collect();
            let mut said = reader.read(&subscriptions(&all, joins)).expect("it is one");
            announced.charge(peer, &mut said, &reader);
            let Said::Message { rpc, .. } = said else {
                panic!("it is a message");
            };
            rpc.subscriptions.len()
        };
        assert_eq!(say(&peer, 0..10, true), 10);
        assert_eq!(say(&peer, 5..15, true), 10);
        assert_eq!(budget.used(), 15 * TOPIC);
        assert_eq!(say(&peer, 0..20, false), 20);
        assert_eq!(budget.used(), 0);
        let kept = say(&peer, 0..10_000, true);
        assert!(
            kept * TOPIC <= budget.limit() / 2 && budget.used() == kept * TOPIC,
            "{kept}"
        );
        assert_eq!(say(&other, 0..100, true), 100, "there is room for others");
        announced.forget(&peer);
        announced.forget(&other);
        assert_eq!(budget.used(), 0);
    }
}
