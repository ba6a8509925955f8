//! Peers that gossip is to leave alone, though they are subscribed.
//!
//! gossipsub leaves nobody alone but by its scores, and these keep a record of every message for
//! two minutes. So it is told instead, in the name of the peer, that the peer has left its topics;
//! what the peer itself says of topics meanwhile is held back until it is to be gossiped to again.

use std::collections::{BTreeSet, HashMap};

use futures::{FutureExt, StreamExt, io::Cursor};
use libp2p::{
    PeerId,
    core::upgrade::{InboundUpgrade, UpgradeInfo},
    gossipsub::TopicHash,
    swarm::{ConnectionHandler, THandler, THandlerOutEvent},
};

use crate::behaviour::{Gossip, MAX_TOPICS};

/// What a connection brings to gossipsub. Its own types have no public names.
pub(crate) type Said = THandlerOutEvent<Gossip>;

/// How gossipsub reads what a peer says.
type Protocol = <THandler<Gossip> as ConnectionHandler>::OutboundProtocol;

/// Who is left alone, and what gossipsub is not to know of them yet.
#[derive(Default)]
pub(crate) struct Spared {
    /// As on every connection.
    protocol: Option<Protocol>,
    held: HashMap<PeerId, Held>,
}

/// What gossipsub will be told of a connected peer again.
struct Held {
    /// All it said of topics, the last word on each last.
    said: Said,
    /// How many words on topics are kept before those that do not count any more are dropped.
    most: usize,
}

impl Spared {
    /// To be called with every handler, so that what is said in the name of its peer can be made.
    pub(crate) fn learn(&mut self, handler: &THandler<Gossip>) {
        if self.protocol.is_none() {
            self.protocol = handler.listen_protocol().into_upgrade().0.left();
        }
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.held.contains_key(peer)
    }

    /// Begins to spare a peer that is subscribed to these topics, and returns what to tell
    /// gossipsub in its name.
    pub(crate) fn begin(&mut self, peer: PeerId, topics: Vec<TopicHash>) -> Vec<Said> {
        let Some(said) = self.read(&rpc(SUBSCRIPTIONS, &subscriptions(&topics, true))) else {
            return Vec::new();
        };
        let told = [
            rpc(SUBSCRIPTIONS, &subscriptions(&topics, false)),
            // It has left the mesh of each just now, so this is too soon: the peer is told to go.
            rpc(CONTROL, &[grafts(&topics)]),
        ];
        self.held.insert(
            peer,
            Held {
                most: MAX_TOPICS,
                said,
            },
        );
        told.iter().filter_map(|bytes| self.read(bytes)).collect()
    }

    /// Ends what [`Self::begin`] began, and returns what to tell gossipsub in the name of the peer.
    pub(crate) fn end(&mut self, peer: &PeerId) -> Vec<Said> {
        let Some(mut held) = self.held.remove(peer) else {
            return Vec::new();
        };
        held.forget_overridden();
        let said = held.said;
        let Said::Message { rpc: last, .. } = &said else {
            return Vec::new();
        };
        let topics: Vec<_> = last
            .subscriptions
            .iter()
            .map(|it| it.topic_hash.clone())
            .collect();
        // It may have put this node into its mesh meanwhile. Refused once more, both sides know
        // that they are to begin anew.
        let refused = [
            rpc(CONTROL, &[prunes(&topics)]),
            rpc(CONTROL, &[grafts(&topics)]),
        ];
        let mut told: Vec<_> = refused
            .iter()
            .filter_map(|bytes| self.read(bytes))
            .collect();
        told.push(said);
        told
    }

    /// The peer is gone.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.held.remove(peer);
    }

    /// Takes out of what a peer says what gossipsub is not to know yet.
    pub(crate) fn hold_back(&mut self, peer: &PeerId, said: &mut Said) {
        if let Some(held) = self.held.get_mut(peer)
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

    /// What gossipsub makes of an RPC.
    pub(crate) fn read(&self, bytes: &[u8]) -> Option<Said> {
        let protocol = self.protocol.clone()?;
        let name = protocol.protocol_info().into_iter().next()?;
        let upgraded = protocol.upgrade_inbound(Cursor::new(bytes.to_vec()), name);
        let (mut rpcs, _) = upgraded.now_or_never()?.ok()?;
        rpcs.next().now_or_never()??.ok()
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

/// An RPC of gossipsub, as on a stream: its length and then the field as often as there are values.
pub(crate) fn rpc(number: u8, values: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for value in values {
        field(number, value, &mut body);
    }
    let mut rpc = Vec::with_capacity(body.len() + 5);
    varint(body.len(), &mut rpc);
    rpc.extend_from_slice(&body);
    rpc
}

pub(crate) fn subscriptions(topics: &[TopicHash], yes: bool) -> Vec<Vec<u8>> {
    let subscription = |topic: &TopicHash| {
        let mut it = vec![1 << 3, u8::from(yes)];
        field(2, topic.as_str().as_bytes(), &mut it);
        it
    };
    topics.iter().map(subscription).collect()
}

fn grafts(topics: &[TopicHash]) -> Vec<u8> {
    let mut control = Vec::new();
    for topic in topics {
        let mut graft = Vec::new();
        field(1, topic.as_str().as_bytes(), &mut graft);
        field(3, &graft, &mut control);
    }
    control
}

fn prunes(topics: &[TopicHash]) -> Vec<u8> {
    let mut control = Vec::new();
    for topic in topics {
        let mut prune = Vec::new();
        field(1, topic.as_str().as_bytes(), &mut prune);
        prune.extend([3 << 3, BACKOFF_SECONDS]);
        field(4, &prune, &mut control);
    }
    control
}

/// A field of protobuf with a length.
pub(crate) fn field(number: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(value.len(), out);
    out.extend_from_slice(value);
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Fields of an RPC.
pub(crate) const SUBSCRIPTIONS: u8 = 1;
pub(crate) const CONTROL: u8 = 3;

/// Long enough that asking at once is too soon.
const BACKOFF_SECONDS: u8 = 1;
