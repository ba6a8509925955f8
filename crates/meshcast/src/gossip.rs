//! Gossip: how frames reach everybody who listens. All that exists because of gossipsub is here,
//! and nobody else names a type of it.
//!
//! The driver [joins](Gossip::join) and leaves channels, [publishes](Gossip::publish) frames and
//! [hands them on](Gossip::forward), makes a peer that lags [lazy](Gossip::set_lazy), and is told
//! of frames, slow peers and offences by [`GossipEvent`]. What comes was verified. Order, loss and
//! repair are none of this wing's business: it knows no engine, no session and no peer but by its
//! id.
//!
//! # What it does to gossipsub
//!
//! Each of these holds for libp2p 0.57 with libp2p-gossipsub 0.50; a test fails with another
//! version, so that this is read again.
//!
//! * [`tickets`]: a frame is verified before gossipsub has the RPC that brings it, and gossipsub is
//!   given its id in place of it: it would copy a frame three times before it tells of it. It asks
//!   for the id of a message after it was translated, on its way in, and before, on its way out.
//! * Whoever brings what nobody signed is known since a message is judged within the call that
//!   brings it. Peer scores, which are made for this, keep a record of every message for two
//!   minutes (decision 0004).
//! * gossipsub tells of the first copy of a message only, so who brought others is noted here: it
//!   shows that a link works.
//! * It hands nothing on: it waits for a validation that nobody reports. Who gets a frame is
//!   decided by who uses it, and each frame is published to *explicit* peers, which are its
//!   recipients and are explicit only within that call. It has no mesh (decision 0054).
//! * It publishes no id twice, so a frame that is handed on has another one on its way out.
//! * Its types for what a peer says have no public names: [`rpc`] has its own protocol read what
//!   was written for it.
//! * No control message of a peer reaches it: GRAFT would put the peer in a mesh.
//! * [`outflow`]: its queues count frames, not bytes, and it looks at their age only when it
//!   writes. So what waits is counted here, until it is [`written`], and charged to its peer.
//! * [`announced`]: it keeps topics of peers whatever their length and number, so only those that
//!   channels can have are let through, and each is charged to its peer.
//! * [`seen`]: it remembers ids for 20 s without a bound, so they are charged: to whoever posts
//!   what is new, and else to who brings it.
//! * It says its topics on the first connection to a peer only, and the other side may have
//!   forgotten that one: it is told that each is the first.
//! * [`settings`]: no cache, since ours is better; limits far over the longest frame, since a
//!   reader that finds one exceeded stops for ever and says nothing.
//!
//! May use: `ids`, `transport` and `verifier`.
//! Must not: know the driver, sessions, or what a frame is good for.

mod announced;
mod events;
mod outflow;
mod rpc;
mod seen;
mod settings;
mod tickets;
mod topic;
mod written;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    gossipsub::{self, IdentTopic, MessageId, PublishError, TopicHash},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, behaviour::ConnectionEstablished,
    },
};
use meshcast_proto::{Budget, ChannelName, Frame, MeshId, Offence, Payer, Time};

use crate::{reason::in_words, transport::Secured, verifier::SharedVerifier};
use announced::Announced;
use outflow::Outflow;
use rpc::Reader;
use seen::Seen;
use settings::Inner;
use tickets::{Judged, Tickets};
use topic::Topics;

pub(crate) use events::{GossipCounters, GossipEvent, NotPublished};
pub(crate) use settings::MAX_RPC_LEN;

/// Carries frames. A part of the swarm's behaviour.
pub(crate) struct Gossip {
    inner: Inner,
    tickets: Tickets,
    topics: Topics,
    joined: HashMap<ChannelName, TopicHash>,
    reader: Reader,
    /// Peers that are given nothing, though they listen, and that fetch instead. Plumtree calls so
    /// whoever is told what there is and not given it.
    lazy: HashSet<PeerId>,
    announced: Announced,
    outflow: Outflow,
    seen: Mutex<Seen>,
    budget: Budget,
    /// Peers that brought good frames since somebody last asked.
    heard: Mutex<BTreeSet<PeerId>>,
    /// What peers did that was not told yet, and how often.
    offences: BTreeMap<(PeerId, Offence), u64>,
    /// What else was not told yet.
    untold: VecDeque<GossipEvent>,
}

impl Gossip {
    /// `max_rpc_len` is [`MAX_RPC_LEN`] outside of tests.
    pub(crate) fn new(
        mesh: MeshId,
        verifier: SharedVerifier,
        max_rpc_len: usize,
    ) -> Result<Self, String> {
        let tickets = Tickets::new(Topics::new(mesh), verifier);
        Ok(Self {
            inner: settings::gossipsub(tickets.clone(), max_rpc_len)?,
            tickets,
            topics: Topics::new(mesh),
            joined: HashMap::new(),
            reader: Reader::default(),
            lazy: HashSet::new(),
            announced: Announced::default(),
            outflow: Outflow::default(),
            seen: Mutex::default(),
            budget: Budget::default(),
            heard: Mutex::default(),
            offences: BTreeMap::new(),
            untold: VecDeque::new(),
        })
    }

    /// A transport on whose connections it is seen what is written. Without that there is no bound
    /// to the bytes that wait.
    pub(crate) fn watch(&self, transport: Secured) -> Secured {
        self.outflow.written().over(transport)
    }

    /// From now on what is remembered on account of somebody is charged to this budget.
    pub(crate) fn charge_to(&mut self, budget: Budget) {
        self.announced.charge_to(budget.clone());
        self.outflow.charge_to(budget.clone());
        self.budget = budget;
    }

    /// From now on frames of this channel come. Not to be done soon after leaving it: others keep
    /// who leaves out of their mesh for a while.
    pub(crate) fn join(&mut self, channel: &ChannelName) {
        let topic = self.topics.of(channel);
        // The number of channels is limited elsewhere, and every topic is let through.
        if let Err(error) = self.inner.subscribe(&IdentTopic::new(topic.as_str())) {
            tracing::error!(
                error = in_words(&error),
                ?channel,
                "gossip does not subscribe"
            );
        }
        tracing::debug!(?channel, %topic, "joined");
        self.joined.insert(channel.clone(), topic);
    }

    /// Frames of this channel come no more.
    pub(crate) fn leave(&mut self, channel: &ChannelName) {
        if let Some(topic) = self.joined.remove(channel) {
            self.inner
                .unsubscribe(&IdentTopic::new(topic.into_string()));
        }
    }

    /// Gives a frame of this node to all peers that listen on its channel and are not
    /// [lazy](Self::set_lazy).
    pub(crate) fn publish(&mut self, frame: &Frame) -> Result<(), NotPublished> {
        let to: Vec<_> = self.listening(frame.channel()).collect();
        let ticket = frame.id().as_bytes().to_vec();
        self.give(frame, ticket, &to, Payer::Ourselves)?;
        tracing::trace!(?frame, "published");
        Ok(())
    }

    /// Hands a frame of another on to these of the peers that [listen](Self::listening). Returns to
    /// how many of them: there may be no room for some.
    pub(crate) fn forward(&mut self, frame: &Frame, to: &[PeerId]) -> Result<usize, NotPublished> {
        // gossipsub knows its id already, and publishes nothing twice.
        let ticket = [frame.id().as_bytes().as_slice(), &[FORWARDED]].concat();
        let given = self.give(frame, ticket, to, Payer::from(frame.sender()))?;
        tracing::trace!(?frame, ?to, given, "forwarded");
        Ok(given)
    }

    fn give(
        &mut self,
        frame: &Frame,
        ticket: Vec<u8>,
        to: &[PeerId],
        payer: Payer,
    ) -> Result<usize, NotPublished> {
        let Some(topic) = self.joined.get(frame.channel()) else {
            return Err(NotPublished::NotJoined);
        };
        let (len, outflow) = (frame.bytes().len(), &mut self.outflow);
        // Before it can be written.
        let to: Vec<_> = to
            .iter()
            .copied()
            .filter(|peer| outflow.give(peer, len))
            .collect();
        let inner = &mut self.inner;
        let publish = |ticket| give(inner, topic.clone(), ticket, &to);
        let given = self.tickets.publish(ticket, frame.bytes().clone(), publish);
        // It remembers the id also if nobody has room for the frame.
        if matches!(given, Ok(_) | Err(PublishError::AllQueuesFull(_))) {
            self.remember(payer);
        }
        if given.is_err() {
            to.iter().for_each(|peer| self.outflow.take_back(peer));
        }
        match given {
            Ok(_) => Ok(to.len()),
            Err(PublishError::NoPeersSubscribedToTopic) => Err(NotPublished::NoPeer),
            Err(error) => Err(NotPublished::Refused(error)),
        }
    }

    /// The peers that listen on a channel, are not [lazy](Self::set_lazy) and have room.
    pub(crate) fn listening(&self, channel: &ChannelName) -> impl Iterator<Item = PeerId> {
        let topic = self.joined.get(channel);
        let all = topic.map(|topic| self.announced.listening(topic));
        let all = all.into_iter().flatten();
        all.filter(|peer| !self.lazy.contains(peer) && !self.outflow.holds(peer))
    }

    /// Whether a peer is left to fetch what it lacks over its session: gossip then gives it nothing
    /// any more, and still takes what it brings. For a peer that does not keep up: frames that are
    /// queued for it only take memory, come late and are dropped.
    ///
    /// Nothing is queued for it from this call on; if there is nobody else, publishing reports that
    /// there is no peer. What was queued before, at most [`QUEUE_BYTES`](settings::QUEUE_BYTES),
    /// stays until the peer takes it, or its connections are closed. For a peer that is not
    /// connected it does nothing, and a new connection begins anew.
    pub(crate) fn set_lazy(&mut self, peer: PeerId, yes: bool) {
        if !yes {
            self.lazy.remove(&peer);
        } else if self.inner.all_peers().any(|(it, _)| *it == peer) {
            self.lazy.insert(peer);
        }
    }

    /// The peers that brought good frames, new or not, since this was last called. It gives gossip
    /// nothing to do, so it can be asked of one that is only borrowed.
    pub(crate) fn take_heard(&self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.heard())
    }

    /// The id of a frame is remembered for a while, on this account. To be called for each that
    /// [came](GossipEvent::Frame), once it is known whether it is new. It gives gossip nothing to
    /// do.
    pub(crate) fn remember(&self, payer: Payer) {
        self.seen().count(payer);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics in between.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, BTreeSet<PeerId>> {
        // Nothing panics in between.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peers that listen on any channel, as far as they said.
    pub(crate) fn listeners(&self) -> HashSet<PeerId> {
        let peers = self.inner.all_peers();
        let listening = peers.filter(|(_, topics)| !topics.is_empty());
        listening.map(|(peer, _)| *peer).collect()
    }

    /// Charges what was remembered since, and gives back what is forgotten by now. To be called
    /// every second or so.
    pub(crate) fn settle(&mut self, now: Time) {
        self.seen().settle(&self.budget, now);
        let deaf = self.outflow.settle(now).into_iter();
        let skipped = self.outflow.take_skipped().into_iter();
        let slow = skipped.map(|(peer, dropped)| GossipEvent::Slow { peer, dropped });
        self.untold.extend(deaf.map(GossipEvent::Deaf).chain(slow));
    }

    pub(crate) fn counters(&self) -> GossipCounters {
        let Judged { valid, invalid, .. } = self.tickets.judged();
        GossipCounters {
            frames: valid,
            invalid,
        }
    }

    /// What an event of gossipsub is to the driver.
    fn translate(&mut self, event: gossipsub::Event) -> GossipEvent {
        match event {
            gossipsub::Event::Message {
                propagation_source: from,
                message,
                ..
            } => {
                let redeemed = self.tickets.redeem(&message.data);
                debug_assert!(redeemed.is_some(), "frames wait until they are told of");
                let Some((frame, member)) = redeemed else {
                    return GossipEvent::Logged;
                };
                GossipEvent::Frame {
                    from,
                    frame,
                    member,
                }
            }
            gossipsub::Event::SlowPeer {
                peer_id: peer,
                failed_messages: failed,
            } => GossipEvent::Slow {
                peer,
                dropped: failed.priority + failed.non_priority,
            },
            gossipsub::Event::GossipsubNotSupported { peer_id } => {
                GossipEvent::Unsupported(peer_id)
            }
            gossipsub::Event::Subscribed { peer_id, topic } => {
                tracing::debug!(peer = %peer_id, %topic, "subscribed");
                GossipEvent::Logged
            }
            gossipsub::Event::Unsubscribed { peer_id, topic } => {
                tracing::debug!(peer = %peer_id, %topic, "unsubscribed");
                GossipEvent::Logged
            }
        }
    }

    fn note(&mut self, peer: PeerId, offence: Offence, times: u64) {
        if times > 0 {
            *self.offences.entry((peer, offence)).or_default() += times;
        }
    }
}

/// Has gossipsub publish something to these peers and nobody else.
fn give(
    inner: &mut Inner,
    topic: TopicHash,
    ticket: Vec<u8>,
    to: &[PeerId],
) -> Result<MessageId, PublishError> {
    to.iter().for_each(|peer| inner.add_explicit_peer(peer));
    let given = inner.publish(topic, ticket);
    to.iter().for_each(|peer| inner.remove_explicit_peer(peer));
    given
}

/// What follows the id of a frame that is handed on.
const FORWARDED: u8 = 1;

impl NetworkBehaviour for Gossip {
    type ConnectionHandler = THandler<Inner>;
    type ToSwarm = GossipEvent;

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
        self.reader.learn(&handler);
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
        self.reader.learn(&handler);
        Ok(handler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(closed) = &event
            && closed.remaining_established == 0
        {
            self.heard().remove(&closed.peer_id);
            self.announced.forget(&closed.peer_id);
            self.outflow.forget(&closed.peer_id);
            self.lazy.remove(&closed.peer_id);
        }
        // gossipsub says its topics on the first connection only, as it sees it. The other side may
        // see it otherwise: it has given up one that it took for dead, and with it all that it was
        // told.
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
        mut said: THandlerOutEvent<Self>,
    ) {
        let malformed = rpc::take_malformed(&mut said);
        rpc::drop_control(&mut said);
        if rpc::is_dropped(&said) {
            self.outflow.drop_next(&peer);
        }
        self.announced.charge(&peer, &mut said, &self.reader);
        let before = self.tickets.judged();
        rpc::exchange(&mut said, |topic, data| self.tickets.take_in(topic, data));
        self.inner
            .on_connection_handler_event(peer, connection, said);
        // All that was judged in between came from this peer.
        let after = self.tickets.judged();
        if after.valid > before.valid {
            self.heard().insert(peer);
        }
        self.note(peer, Offence::Forged, after.forged - before.forged);
        self.note(peer, Offence::Unreadable, malformed);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(((peer, offence), times)) = self.offences.pop_first() {
            return Poll::Ready(ToSwarm::GenerateEvent(GossipEvent::Misbehaved {
                peer,
                offence,
                times,
            }));
        }
        if let Some(event) = self.untold.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(event));
        }
        self.outflow.look();
        match self.inner.poll(cx) {
            Poll::Ready(event) => Poll::Ready(event.map_out(|event| self.translate(event))),
            Poll::Pending => {
                self.tickets.forget_copies();
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
