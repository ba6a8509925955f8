//! Lazy peers: those that gossip gives nothing, though they are subscribed, and that fetch instead.
//! Plumtree calls so whoever is told what there is and not given it.
//!
//! gossipsub leaves nobody alone but by its scores, and these keep a record of every message for
//! two minutes. So it is told instead, in the name of the peer, that the peer has left its topics;
//! what the peer itself says of topics meanwhile is held back until it is to be gossiped to again.

use std::collections::{BTreeSet, HashMap};

use libp2p::{PeerId, gossipsub::TopicHash};

use super::{
    rpc::{Reader, Said, grafts, prunes, subscriptions},
    settings::MAX_TOPICS,
};

/// Who is lazy, and what gossipsub is not to know of them yet.
#[derive(Default)]
pub(super) struct LazyPeers(HashMap<PeerId, Held>);

/// What gossipsub will be told of a connected peer again.
struct Held {
    /// All it said of topics, the last word on each last.
    said: Said,
    /// How many words on topics are kept before those that do not count any more are dropped.
    most: usize,
}

impl LazyPeers {
    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.0.contains_key(peer)
    }

    /// Begins with a peer that is subscribed to these topics, and returns what to tell gossipsub in
    /// its name.
    pub(super) fn begin(
        &mut self,
        peer: PeerId,
        topics: Vec<TopicHash>,
        reader: &Reader,
    ) -> Vec<Said> {
        let Some(said) = reader.read(&subscriptions(&topics, true)) else {
            return Vec::new();
        };
        let most = MAX_TOPICS;
        self.0.insert(peer, Held { said, most });
        let told = [
            subscriptions(&topics, false),
            // It has left the mesh of each just now, so this is too soon: the peer is told to go.
            grafts(&topics),
        ];
        told.iter().filter_map(|rpc| reader.read(rpc)).collect()
    }

    /// Ends what [`Self::begin`] began, and returns what to tell gossipsub in the name of the peer.
    pub(super) fn end(&mut self, peer: &PeerId, reader: &Reader) -> Vec<Said> {
        let Some(mut held) = self.0.remove(peer) else {
            return Vec::new();
        };
        held.forget_overridden();
        let Said::Message { rpc: last, .. } = &held.said else {
            return Vec::new();
        };
        let topics = last.subscriptions.iter().map(|it| it.topic_hash.clone());
        let topics: Vec<_> = topics.collect();
        // It may have put this node into its mesh meanwhile. Refused once more, both sides know
        // that they are to begin anew.
        let refused = [prunes(&topics), grafts(&topics)];
        let refused = refused.iter().filter_map(|rpc| reader.read(rpc));
        refused.chain([held.said]).collect()
    }

    /// The peer is gone.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.0.remove(peer);
    }

    /// Takes out of what a peer says what gossipsub is not to know yet.
    pub(super) fn hold_back(&mut self, peer: &PeerId, said: &mut Said) {
        if let Some(held) = self.0.get_mut(peer)
            && let Said::Message { rpc: all, .. } = &mut held.said
            && let Said::Message { rpc, .. } = said
            && !rpc.subscriptions.is_empty()
        {
            all.subscriptions.append(&mut rpc.subscriptions);
            // Not each time: a peer may say a word at a time.
            if all.subscriptions.len() > held.most {
                held.most = held.forget_overridden() + MAX_TOPICS;
            }
        }
    }
}

impl Held {
    /// Leaves the last word on each topic, and no more than gossipsub takes of a peer. Returns how
    /// many there are.
    fn forget_overridden(&mut self) -> usize {
        let Said::Message { rpc, .. } = &mut self.said else {
            return 0;
        };
        let (all, mut seen) = (&mut rpc.subscriptions, BTreeSet::new());
        all.reverse();
        all.retain(|it| seen.insert(it.topic_hash.clone()));
        all.reverse();
        all.truncate(MAX_TOPICS);
        all.len()
    }
}
