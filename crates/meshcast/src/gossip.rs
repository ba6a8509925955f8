//! Gossip: how frames reach everybody who listens. All that exists because of gossipsub is here,
//! and nobody else names a type of it.
//!
//! The driver [joins](Gossip::join) and leaves channels, [publishes](Gossip::publish) frames, makes
//! a peer that lags [lazy](Gossip::set_lazy), and is told of frames, slow peers and offences by
//! [`GossipEvent`]. What comes was verified. Order, loss and repair are none of this wing's
//! business: it knows no engine, no session and no peer but by its id.
//!
//! # What it does to gossipsub
//!
//! Each of these holds for libp2p 0.57 with libp2p-gossipsub 0.50; a test fails with another
//! version, so that this is read again.
//!
//! * [`tickets`]: a frame is verified while gossipsub has it translated, before it remembers or
//!   forwards anything, and gossipsub is given its id in place of it. It asks for the id of a
//!   message after it was translated, on its way in, and before, on its way out, and forwards what
//!   came.
//! * Whoever brings what nobody signed is known since a message is judged within the call that
//!   brings it. Peer scores, which are made for this, keep a record of every message for two
//!   minutes (decision 0004).
//! * gossipsub tells of the first copy of a message only, so who brought others is noted here: it
//!   shows that a link works.
//! * [`lazy`]: gossipsub leaves nobody alone who is subscribed, so it is told in the name of a peer
//!   that the peer has left its topics (decision 0005). Its types for what a peer says have no
//!   public names: [`rpc`] has its own protocol read what was written for it.
//! * [`announced`]: it keeps topics of peers whatever their length and number, so only those that
//!   channels can have are let through, and each is charged to its peer.
//! * [`seen`]: it remembers ids for 20 s without a bound, so they are charged to whoever posts.
//! * It says its topics on the first connection to a peer only, and the other side may have
//!   forgotten that one: it is told that each is the first.
//! * [`settings`]: no cache, since ours is better; limits far over the longest frame, since a reader
//!   that finds one exceeded stops for ever and says nothing.

mod announced;
mod lazy;
mod rpc;
mod seen;
mod settings;
mod tickets;
mod topic;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    gossipsub::{self, IdentTopic, PublishError, TopicHash},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, behaviour::ConnectionEstablished,
    },
};
use meshcast_proto::{Budget, ChannelName, Frame, Member, MeshId, Offence, Payer, Time};

use crate::verifier::SharedVerifier;
use announced::Announced;
use lazy::LazyPeers;
use rpc::Reader;
use seen::Seen;
use settings::Inner;
use tickets::{Judged, Tickets};
use topic::Topics;

pub(crate) use settings::MAX_RPC_LEN;

/// Carries frames. A part of the swarm's behaviour.
pub(crate) struct Gossip {
    inner: Inner,
    tickets: Tickets,
    topics: Topics,
    joined: HashMap<ChannelName, TopicHash>,
    reader: Reader,
    lazy: LazyPeers,
    announced: Announced,
    seen: Seen,
    budget: Budget,
    /// Peers that brought good frames since somebody last asked.
    heard: Mutex<BTreeSet<PeerId>>,
    /// What peers did that was not told yet, and how often.
    offences: BTreeMap<(PeerId, Offence), u64>,
}

/// What gossip reports.
#[derive(Debug)]
pub(crate) enum GossipEvent {
    /// A frame came for the first time.
    Frame {
        /// Who brought it.
        from: PeerId,
        frame: Frame,
        /// Who posted it, verified.
        member: Arc<Member>,
    },
    /// Frames were dropped since a peer does not take them.
    Slow { peer: PeerId, dropped: usize },
    /// A peer said so many times what no honest one says.
    Misbehaved {
        peer: PeerId,
        offence: Offence,
        times: u64,
    },
    /// A peer has no gossip.
    Unsupported(PeerId),
    /// Nothing to act upon: it was logged.
    Logged,
}

/// Why a frame was given to nobody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotPublished {
    /// No peer listens: they fetch it if one comes.
    #[error("no peer has the channel open")]
    NoPeer,
    #[error("the channel was left")]
    NotJoined,
    #[error(transparent)]
    Refused(PublishError),
}

/// What came by gossip so far, copies included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GossipCounters {
    /// Frames of members.
    pub(crate) frames: u64,
    /// What was none.
    pub(crate) invalid: u64,
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
            lazy: LazyPeers::default(),
            announced: Announced::default(),
            seen: Seen::default(),
            budget: Budget::default(),
            heard: Mutex::default(),
            offences: BTreeMap::new(),
        })
    }

    /// From now on what is remembered on account of somebody is charged to this budget.
    pub(crate) fn charge_to(&mut self, budget: Budget) {
        self.announced.charge_to(budget.clone());
        self.budget = budget;
    }

    /// From now on frames of this channel come. Not to be done soon after leaving it: others keep
    /// who leaves out of their mesh for a while.
    pub(crate) fn join(&mut self, channel: &ChannelName) {
        let topic = self.topics.of(channel);
        // The number of channels is limited elsewhere, and every topic is let through.
        if let Err(error) = self.inner.subscribe(&IdentTopic::new(topic.as_str())) {
            tracing::error!(%error, ?channel, "gossip does not subscribe");
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
        let Some(topic) = self.joined.get(frame.channel()) else {
            return Err(NotPublished::NotJoined);
        };
        let inner = &mut self.inner;
        let publish = |ticket| inner.publish(topic.clone(), ticket);
        let published = self
            .tickets
            .publish(frame.id(), frame.bytes().clone(), publish);
        match published {
            Ok(_) => {
                self.seen.count(Payer::Ourselves);
                tracing::trace!(?frame, "published");
                Ok(())
            }
            Err(PublishError::NoPeersSubscribedToTopic) => Err(NotPublished::NoPeer),
            Err(error) => Err(NotPublished::Refused(error)),
        }
    }

    /// Whether a peer is left to fetch what it lacks over its session: gossip then gives it nothing
    /// any more, and still takes what it brings. For a peer that does not keep up: frames that are
    /// queued for it only take memory, come late and are dropped.
    ///
    /// * Nothing is queued for it from this call on, neither what this node publishes nor what it
    ///   forwards; if there is nobody else, publishing reports that there is no peer. What was
    ///   queued before, at most [`QUEUE_FRAMES`](settings::QUEUE_FRAMES) frames, stays until the
    ///   peer takes it, or its connections are closed.
    /// * It is told that it is out of the mesh of each topic, so it forwards nothing of others to
    ///   this node either, unless it puts this node into its mesh again. What it publishes itself
    ///   arrives as before. What it says of topics that it joins and leaves counts when this is
    ///   undone.
    ///
    /// Undone, publishing reaches it again at once, and forwarding when the mesh has closed again,
    /// about 3 s later: after the backoff of 1 s, rounded up to heartbeats, and two more. For a
    /// peer that is not connected it does nothing, and a new connection begins anew.
    pub(crate) fn set_lazy(&mut self, peer: PeerId, yes: bool) {
        let told = if !yes {
            self.lazy.end(&peer, &self.reader)
        } else if let Some((_, topics)) = self.inner.all_peers().find(|(it, _)| **it == peer)
            && !self.lazy.contains(&peer)
        {
            let topics = topics.into_iter().cloned().collect();
            self.lazy.begin(peer, topics, &self.reader)
        } else {
            Vec::new()
        };
        for said in told {
            // gossipsub does not look at the connection.
            let any = ConnectionId::new_unchecked(0);
            self.inner.on_connection_handler_event(peer, any, said);
        }
    }

    /// The peers that brought good frames, new or not, since this was last called. It gives gossip
    /// nothing to do, so it can be asked of one that is only borrowed.
    pub(crate) fn take_heard(&self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.heard())
    }

    fn heard(&self) -> MutexGuard<'_, BTreeSet<PeerId>> {
        // Nothing panics in between.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With whom it is agreed that each passes on to the other what it hears on a channel.
    pub(crate) fn mesh(&self, channel: &ChannelName) -> impl Iterator<Item = PeerId> {
        let topic = self.joined.get(channel);
        let mesh = topic.map(|topic| self.inner.mesh_peers(topic));
        mesh.into_iter().flatten().copied()
    }

    /// The peers that listen on any channel, as far as they said.
    pub(crate) fn listeners(&self) -> HashSet<PeerId> {
        let peers = self.inner.all_peers();
        let listening = peers.filter(|(_, topics)| !topics.is_empty());
        listening.map(|(peer, _)| *peer).collect()
    }

    /// Whether somebody is in the mesh of each channel that a peer listens on too.
    pub(crate) fn is_meshed(&self) -> bool {
        let topics = self.inner.all_peers().flat_map(|(_, topics)| topics);
        let shared: HashSet<_> = topics.collect();
        let mut joined = self.joined.values();
        joined.all(|topic| !shared.contains(topic) || self.inner.mesh_peers(topic).next().is_some())
    }

    /// Charges what was remembered since, and gives back what is forgotten by now. To be called
    /// every second or so.
    pub(crate) fn settle(&mut self, now: Time) {
        self.seen.settle(&self.budget, now);
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
                self.seen.count(Payer::Member(member.credential().subject));
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
            self.lazy.forget(&closed.peer_id);
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
        self.announced.charge(&peer, &mut said, &self.reader);
        self.lazy.hold_back(&peer, &mut said);
        let before = self.tickets.judged();
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
