//! Who hands on what nobody signed or what makes no sense, and who hands on anything at all.
//!
//! gossipsub's own scores cost a record for every message, recover by the second, and nobody is
//! told when one falls. So what fails verification is counted here, against whoever was speaking.
//! And gossipsub reports a frame with the first copy only; that the others came too shows that a
//! link works.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::{Hash, Hasher},
    ops::{Deref, DerefMut},
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    gossipsub,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, behaviour::ConnectionEstablished,
    },
};
use meshcast_proto::{Budget, Time};

use crate::{
    behaviour::{Gossip, MAX_TOPICS},
    clock::Clock,
    spared::{Said, Spared},
    transport::payer,
    verifier::{SharedVerifier, is_topic},
};

/// Gossip that names those whose messages are forged, and leaves alone whom it is told to.
pub(crate) struct Watched {
    inner: Gossip,
    verifier: SharedVerifier,
    clock: Clock,
    strikes: Strikes,
    spared: Spared,
    /// Peers that brought good frames since somebody last asked.
    heard: BTreeSet<PeerId>,
    topics: Topics,
}

/// What [`Watched`] gossip reports.
#[derive(Debug)]
pub(crate) enum WatchedEvent {
    /// What it does by itself.
    Inner(gossipsub::Event),
    /// The peer handed on too much that no member signed.
    Forger(PeerId),
}

impl Watched {
    pub(crate) fn new(inner: Gossip, verifier: SharedVerifier) -> Self {
        Self {
            inner,
            verifier,
            clock: Clock::start(),
            strikes: Strikes::default(),
            spared: Spared::default(),
            heard: BTreeSet::new(),
            topics: Topics::default(),
        }
    }

    /// From now on the topics of peers are charged to this budget.
    pub(crate) fn charge_to(&mut self, budget: Budget) {
        self.topics.budget = budget;
    }

    /// The peers that brought good frames, new or not, since this was last called.
    pub(crate) fn take_heard(&mut self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.heard)
    }

    /// See [`Behaviour::set_pull_only`](crate::behaviour::Behaviour::set_pull_only).
    pub(crate) fn set_pull_only(&mut self, peer: PeerId, yes: bool) {
        let told = if !yes {
            self.spared.end(&peer)
        } else if let Some((_, topics)) = self.inner.all_peers().find(|(it, _)| **it == peer)
            && !self.spared.contains(&peer)
        {
            let topics = topics.into_iter().cloned().collect();
            self.spared.begin(peer, topics)
        } else {
            Vec::new()
        };
        for said in told {
            // gossipsub does not look at the connection.
            let any = ConnectionId::new_unchecked(0);
            self.inner.on_connection_handler_event(peer, any, said);
        }
    }
}

impl Deref for Watched {
    type Target = Gossip;

    fn deref(&self) -> &Gossip {
        &self.inner
    }
}

impl DerefMut for Watched {
    fn deref_mut(&mut self) -> &mut Gossip {
        &mut self.inner
    }
}

impl NetworkBehaviour for Watched {
    type ConnectionHandler = THandler<Gossip>;
    type ToSwarm = WatchedEvent;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner
            .handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let handler = self
            .inner
            .handle_established_inbound_connection(id, peer, local, remote)?;
        self.spared.learn(&handler);
        Ok(handler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner
            .handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let handler = self
            .inner
            .handle_established_outbound_connection(id, peer, address, role, port_use)?;
        self.spared.learn(&handler);
        Ok(handler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(closed) = &event
            && closed.remaining_established == 0
        {
            self.strikes.forget(&closed.peer_id);
            self.heard.remove(&closed.peer_id);
            self.topics.forget(&closed.peer_id);
            self.spared.forget(&closed.peer_id);
        }
        // gossipsub tells its topics on the first connection only, as it sees it. The other side
        // may see it otherwise: it has given up one that it took for dead, and with it all that it
        // was told.
        self.inner.on_swarm_event(match event {
            FromSwarm::ConnectionEstablished(established) => {
                FromSwarm::ConnectionEstablished(ConnectionEstablished {
                    other_established: 0,
                    ..established
                })
            }
            event => event,
        });
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        mut event: THandlerOutEvent<Self>,
    ) {
        let malformed = take_malformed(&mut event);
        self.topics.charge(&peer, &mut event);
        self.spared.hold_back(&peer, &mut event);
        let (valid, before) = (self.verifier.valid(), self.verifier.forged());
        self.inner
            .on_connection_handler_event(peer, connection, event);
        // All that was judged in between came from this peer: messages are judged in the call that
        // brings them.
        if self.verifier.valid() > valid {
            self.heard.insert(peer);
        }
        let forged = self.verifier.forged() - before + malformed;
        if forged > 0 {
            self.strikes.strike(peer, forged, self.clock.now());
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(forger) = self.strikes.out.pop() {
            return Poll::Ready(ToSwarm::GenerateEvent(WatchedEvent::Forger(forger)));
        }
        self.inner
            .poll(cx)
            .map(|event| event.map_out(WatchedEvent::Inner))
    }
}

/// Takes out of what a peer says what no honest member does: gossipsub would keep some of it,
/// whatever its length, and log the rest. Returns how much that was.
fn take_malformed(said: &mut Said) -> u64 {
    let Said::Message {
        rpc,
        invalid_messages,
    } = said
    else {
        return 0;
    };
    // These do not even have the form of a message.
    let mut malformed = std::mem::take(invalid_messages).len();
    let before = rpc.subscriptions.len();
    rpc.subscriptions.retain(|it| is_topic(&it.topic_hash));
    malformed += before - rpc.subscriptions.len();
    let before = rpc.control_msgs.len();
    rpc.control_msgs.retain(|it| longest(it) <= LONGEST);
    (malformed + before - rpc.control_msgs.len()) as u64
}

/// The topics that peers announced, each charged to the peer. gossipsub remembers them too.
#[derive(Debug, Default)]
struct Topics {
    budget: Budget,
    peers: HashMap<PeerId, HashSet<u128>>,
}

impl Topics {
    /// Takes out of what a peer says the topics for which there is no room: it is given nothing of
    /// them by gossip, and fetches what it is told of.
    fn charge(&mut self, peer: &PeerId, said: &mut Said) {
        let Said::Message { rpc, .. } = said else {
            return;
        };
        if rpc.subscriptions.is_empty() {
            return;
        }
        let known = self.peers.entry(*peer).or_default();
        let payer = payer(peer);
        rpc.subscriptions.retain(|it| {
            // They were found to be topics.
            let Ok(topic) = u128::from_str_radix(it.topic_hash.as_str(), 16) else {
                return false;
            };
            // Its type cannot be named outside of gossipsub.
            if format!("{:?}", it.action) == "Unsubscribe" {
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

    fn forget(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.remove(peer) {
            self.budget.release(payer(peer), known.len() * TOPIC);
        }
    }
}

/// What a topic of a peer takes, here and in gossipsub, which keeps it as a string in a tree.
const TOPIC: usize = 160;

/// The longest string in something. gossipsub's control messages can only be looked into by what
/// they derive.
fn longest(it: &impl Hash) -> usize {
    #[derive(Default)]
    struct Longest(usize);

    impl Hasher for Longest {
        fn write(&mut self, bytes: &[u8]) {
            self.0 = self.0.max(bytes.len());
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    let mut longest = Longest::default();
    it.hash(&mut longest);
    longest.0
}

/// The longest string that a control message may hold: ids of messages have 16 bytes, topics 32,
/// peers about 40.
const LONGEST: usize = 64;

/// Counts against each peer what nobody signed.
#[derive(Debug, Default)]
struct Strikes {
    /// Connected peers that were struck: how often, and since when.
    peers: HashMap<PeerId, (u64, Time)>,
    /// Those to be named.
    out: Vec<PeerId>,
}

impl Strikes {
    fn strike(&mut self, peer: PeerId, count: u64, now: Time) {
        let (strikes, since) = self.peers.entry(peer).or_insert((0, now));
        if now.saturating_since(*since) > FORGIVEN_AFTER {
            (*strikes, *since) = (0, now);
        }
        let before = *strikes;
        *strikes = strikes.saturating_add(count);
        if before < ALLOWED && *strikes >= ALLOWED {
            self.out.push(peer);
        }
    }

    fn forget(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }
}

/// An honest member hands on none: it judges before it does. A few are allowed for what a bug or a
/// broken memory may do to one.
const ALLOWED: u64 = 10;

/// Strikes older than this no longer count.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use libp2p::gossipsub::TopicHash;

    use super::*;
    use crate::{
        channel::fixture::Source,
        spared::{CONTROL, SUBSCRIPTIONS, field, rpc, subscriptions},
        transport::peer_id,
    };

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn the_tenth_within_a_minute_names_a_forger_once() {
        let (mut strikes, peer) = (Strikes::default(), PeerId::random());
        for n in 1..ALLOWED {
            strikes.strike(peer, 1, at(n));
            assert!(strikes.out.is_empty());
        }
        strikes.strike(peer, 5, at(ALLOWED));
        strikes.strike(peer, 5, at(ALLOWED));
        assert_eq!(strikes.out, [peer]);
    }

    #[test]
    fn strikes_of_others_or_of_long_ago_do_not_count() {
        let (mut strikes, peer) = (Strikes::default(), PeerId::random());
        strikes.strike(peer, ALLOWED - 1, at(0));
        strikes.strike(PeerId::random(), 1, at(0));
        strikes.strike(peer, 1, at(61));
        strikes.strike(peer, ALLOWED - 2, at(62));
        assert!(strikes.out.is_empty());
        strikes.forget(&peer);
        strikes.strike(peer, ALLOWED - 1, at(63));
        assert!(strikes.out.is_empty());
    }

    #[test]
    fn topics_are_charged_to_whoever_announces_them_and_those_without_room_are_not_kept() {
        let (budget, mut topics) = (Budget::new(1024 * 1024), Topics::default());
        topics.budget = budget.clone();
        let mut spared = Spared::default();
        learn(&mut spared);
        let [peer, other] = [1, 2].map(|n| peer_id(Source::new(n).member.sender()));
        let mut say = |peer: &PeerId, numbers: std::ops::Range<u128>, subscribes: bool| {
            let topic = |n: u128| TopicHash::from_raw(format!("{n:032x}"));
            let all: Vec<_> = numbers.map(topic).collect();
            let said = rpc(SUBSCRIPTIONS, &subscriptions(&all, subscribes));
            let mut said = spared.read(&said).expect("it is one");
            topics.charge(peer, &mut said);
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
        topics.forget(&peer);
        topics.forget(&other);
        assert_eq!(budget.used(), 0);
    }

    /// gossipsub's messages are read by a handler of its.
    fn learn(spared: &mut Spared) {
        use meshcast_proto::{MeshKey, Trust, Verifier};

        use crate::behaviour::{Behaviour, MAX_RPC_LEN};

        let trust = Trust::from(&MeshKey::from_entropy([1; 48]));
        let verifier =
            SharedVerifier::new(trust.mesh(), Verifier::new(trust, Duration::from_secs(600)));
        let mut behaviour = Behaviour::new(verifier, 16, MAX_RPC_LEN).expect("allowed");
        let (any, at) = (ConnectionId::new_unchecked(0), Multiaddr::empty());
        let handler = behaviour
            .gossip
            .inner
            .handle_established_inbound_connection(any, PeerId::random(), &at, &at);
        spared.learn(&handler.expect("nobody is refused"));
    }

    #[tokio::test]
    async fn ids_of_messages_that_are_too_long_to_be_any_are_not_kept() {
        let mut spared = Spared::default();
        learn(&mut spared);
        // "Do not send me these."
        let control = |id: &[u8]| {
            let (mut ids, mut control) = (Vec::new(), Vec::new());
            field(1, id, &mut ids);
            field(5, &ids, &mut control);
            spared.read(&rpc(CONTROL, &[control])).expect("it is one")
        };
        for (len, malformed) in [(16, 0), (64, 0), (65, 1), (100_000, 1)] {
            let mut said = control(&vec![7; len]);
            assert_eq!(take_malformed(&mut said), malformed, "{len}");
            let Said::Message { rpc, .. } = said else {
                panic!("it is a message");
            };
            // One more says what else the peer can.
            assert_eq!(rpc.control_msgs.len() as u64, 2 - malformed, "{len}");
        }
    }
}
