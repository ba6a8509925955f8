//! Gossip: how frames reach everybody who listens, in the protocol of gossipsub.
//!
//! The driver [joins](Gossip::join) and leaves channels, [publishes](Gossip::publish) frames and
//! [hands them on](Gossip::forward), makes a peer that lags [lazy](Gossip::set_lazy), and is told
//! of frames, slow peers and offences by [`GossipEvent`]. Each frame was verified, but for the
//! signature of one that its sender brought itself (decision 0061). Order, loss and repair are none
//! of this wing's business: it knows no engine, no session and no peer but by its id.
//!
//! # What of gossipsub there is
//!
//! Peers speak `/meshsub` (versions 1.0 to 1.3): they announce the topics that they listen on, and
//! publish messages on them ([`rpc`]). A node of libp2p's gossipsub that has the key of the mesh
//! hears and is heard; a test shows it.
//!
//! What gossipsub does beside that is done elsewhere here, and better for this use (decision 0059):
//!
//! * The driver says for each frame which peers are given it. So there is no mesh of a few peers by
//!   chance, and control messages that would change one (GRAFT, PRUNE) are passed
//!   over.
//! * Losses are found by sequence numbers and fetched from histories, so there is no cache of
//!   messages, none is advertised (IHAVE) and none asked for (IWANT).
//! * Frames prove themselves, so messages carry no author, number or signature of their own.
//!
//! # Bounds
//!
//! Frames wait for a peer in a [`queue`], bounded in bytes and charged to the peer; so are its
//! topics ([`peers`]). The ids of frames are remembered for 20 s, at the expense of who makes that
//! necessary ([`seen`]). One RPC of a connection is in memory at a time, of [`rpc::MAX_LEN`], and a
//! long one is charged to the peer ([`stream`]).
//!
//! May use: `ids`, `clock` and `verifier`.
//! Must not: know the driver, sessions, or what a frame is good for.

mod announcements;
mod events;
mod handler;
mod judge;
mod peers;
mod queue;
mod rpc;
mod seen;
mod stream;
mod topic;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
        THandlerInEvent, ToSwarm,
    },
};
use meshcast_proto::{Budget, ChannelName, Frame, MeshId, Offence, Payer, Time};

use self::{
    announcements::Announcements, events::Report, judge::Judge, peers::Peers, seen::Seen,
    topic::Topic,
};
pub(crate) use self::{
    events::{GossipCounters, GossipEvent, NotPublished},
    handler::Handler,
};
use crate::{ids::sender, verifier::SharedVerifier};

/// Carries frames. A part of the swarm's behaviour.
#[derive(Debug)]
pub(crate) struct Gossip {
    judge: Judge,
    /// As in [`Self::new`].
    mute_from: usize,
    joined: HashMap<ChannelName, Topic>,
    announcements: Announcements,
    peers: Peers,
    seen: Mutex<Seen>,
    /// Peers that brought good frames since somebody last asked.
    heard: Mutex<BTreeSet<PeerId>>,
    /// What peers did that was not told yet, and how often.
    offences: BTreeMap<(PeerId, Offence), u64>,
    /// What else was not told yet.
    events: VecDeque<GossipEvent>,
    counters: GossipCounters,
    /// When this was last [settled](Self::settle).
    settled: Time,
}

impl Gossip {
    /// `mute_from` is [`NEVER_MUTE`] outside of tests: from the first RPC on that is longer,
    /// nothing that a connection brings is heard, as by a fault that nobody notices.
    pub(crate) fn new(mesh: MeshId, verifier: SharedVerifier, mute_from: usize) -> Self {
        Self {
            judge: Judge::new(mesh, verifier),
            mute_from,
            joined: HashMap::new(),
            announcements: Announcements::default(),
            peers: Peers::default(),
            seen: Mutex::default(),
            heard: Mutex::default(),
            offences: BTreeMap::new(),
            events: VecDeque::new(),
            counters: GossipCounters::default(),
            settled: Time::ZERO,
        }
    }

    /// From now on what is remembered on account of somebody is charged to this budget.
    pub(crate) fn charge_to(&mut self, budget: Budget) {
        self.peers.charge_to(budget);
    }

    /// From now on frames of this channel come.
    pub(crate) fn join(&mut self, channel: &ChannelName) {
        let topic = self.judge.topics().of(channel);
        tracing::debug!(?channel, %topic, "joined");
        self.joined.insert(channel.clone(), topic);
        self.announce(topic, true);
    }

    /// Frames of this channel come no more.
    pub(crate) fn leave(&mut self, channel: &ChannelName) {
        if let Some(topic) = self.joined.remove(channel) {
            self.announce(topic, false);
        }
    }

    fn announce(&self, topic: Topic, joins: bool) {
        self.announcements.change(topic, joins);
        self.peers.wake();
    }

    /// Gives a frame of this node to all peers that listen on its channel and are not
    /// [lazy](Self::set_lazy).
    pub(crate) fn publish(&mut self, frame: &Frame, now: Time) -> Result<(), NotPublished> {
        let to: Vec<_> = self.listening(frame.channel()).collect();
        // It may come back.
        if self.seen().is_new(frame.id()) {
            self.remember(Payer::Ourselves);
        }
        self.give(frame, &to, now)?;
        tracing::trace!(?frame, "published");
        Ok(())
    }

    /// Hands a frame of another on to these of the peers that [listen](Self::listening). Returns to
    /// how many of them: there may be no room for some.
    pub(crate) fn forward(
        &mut self,
        frame: &Frame,
        to: &[PeerId],
        now: Time,
    ) -> Result<usize, NotPublished> {
        let given = self.give(frame, to, now)?;
        tracing::trace!(?frame, ?to, given, "forwarded");
        Ok(given)
    }

    fn give(&mut self, frame: &Frame, to: &[PeerId], now: Time) -> Result<usize, NotPublished> {
        let Some(topic) = self.joined.get(frame.channel()).copied() else {
            return Err(NotPublished::NotJoined);
        };
        if to.is_empty() {
            return Err(NotPublished::NoPeer);
        }
        let give = |peer: &&PeerId| self.peers.give(peer, topic, frame.bytes(), now);
        match to.iter().filter(give).count() {
            0 => Err(NotPublished::NoRoom),
            given => Ok(given),
        }
    }

    /// The peers that listen on a channel, are not [lazy](Self::set_lazy) and have room.
    pub(crate) fn listening(&self, channel: &ChannelName) -> impl Iterator<Item = PeerId> {
        let topic = self.joined.get(channel).into_iter();
        topic.flat_map(|topic| self.peers.listening(*topic))
    }

    /// Whether a peer is left to fetch what it lacks over its session: gossip then gives it nothing
    /// any more, and still takes what it brings. For a peer that does not keep up: frames that are
    /// queued for it only take memory, come late and are dropped.
    ///
    /// Nothing is queued for it from this call on; if there is nobody else, publishing reports that
    /// there is no peer. A frame that was queued before stays until the peer takes it, is dropped
    /// after 5 s, or goes with its connections. For a peer that is not connected it does nothing,
    /// and a new connection begins anew.
    pub(crate) fn set_lazy(&mut self, peer: PeerId, yes: bool) {
        self.peers.set_lazy(&peer, yes);
    }

    /// The peers that brought good frames, new or not, since this was last called. It gives gossip
    /// nothing to do, so it can be asked of one that is only borrowed.
    pub(crate) fn take_heard(&self) -> BTreeSet<PeerId> {
        mem::take(&mut lock(&self.heard))
    }

    /// The id of a frame is remembered for a while, on this account. To be called for each that
    /// [came](GossipEvent::Frame), once it is known whether it is new. It gives gossip nothing to
    /// do.
    pub(crate) fn remember(&self, payer: Payer) {
        self.seen().charge(payer);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// The peers that listen on any channel, as far as they said.
    pub(crate) fn listeners(&self) -> HashSet<PeerId> {
        self.peers.listeners()
    }

    /// Forgets what is too old, and looks which peers do not take what they are given. To be called
    /// every second or so.
    pub(crate) fn settle(&mut self, now: Time) {
        // After this node stood still nobody had a turn to write what waited meanwhile.
        let stood_still = self.settled + STOOD_STILL <= now;
        self.settled = now;
        lock(&self.seen).settle(self.peers.budget(), now);
        for (peer, dropped, is_deaf) in self.peers.settle(now, !stood_still) {
            if is_deaf {
                self.events.push_back(GossipEvent::Deaf(peer));
            }
            if dropped > 0 {
                self.events.push_back(GossipEvent::Slow { peer, dropped });
            }
        }
    }

    pub(crate) const fn counters(&self) -> GossipCounters {
        self.counters
    }

    fn handler(&mut self, connection: ConnectionId, peer: PeerId) -> Handler {
        Handler::new(
            connection,
            self.judge.of(sender(&peer)),
            self.announcements.clone(),
            self.peers.queue(peer, &self.announcements),
            self.mute_from,
        )
    }

    fn note(&mut self, peer: PeerId, offence: Offence) {
        *self.offences.entry((peer, offence)).or_default() += 1;
    }
}

/// Nothing panics while it holds a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl NetworkBehaviour for Gossip {
    type ConnectionHandler = Handler;
    type ToSwarm = GossipEvent;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(connection, peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(connection, peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id,
            remaining_established: 0,
            ..
        }) = event
        {
            lock(&self.heard).remove(&peer_id);
            self.peers.forget(&peer_id);
        }
    }

    fn on_connection_handler_event(&mut self, from: PeerId, _: ConnectionId, report: Report) {
        match report {
            Report::Frame(frame, member) => {
                self.counters.frames += 1;
                lock(&self.heard).insert(from);
                if self.seen().is_new(frame.id()) {
                    self.events.push_back(GossipEvent::Frame {
                        from,
                        frame,
                        member,
                    });
                }
            }
            Report::NoFrame { is_forgery } => {
                self.counters.invalid += 1;
                if is_forgery {
                    self.note(from, Offence::Forged);
                }
            }
            Report::Listens(changes) => {
                for (topic, joins) in changes {
                    self.peers.handle_listens(&from, topic, joins);
                }
                self.events.push_back(GossipEvent::Listens);
            }
            Report::Unreadable => self.note(from, Offence::Unreadable),
            Report::Broken => self.events.push_back(GossipEvent::Deaf(from)),
            Report::Unsupported => self.events.push_back(GossipEvent::Unsupported(from)),
        }
    }

    /// No waker is kept: after everything that makes an event the swarm polls again by itself.
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<GossipEvent, THandlerInEvent<Self>>> {
        if let Some(((peer, offence), times)) = self.offences.pop_first() {
            return Poll::Ready(ToSwarm::GenerateEvent(GossipEvent::Misbehaved {
                peer,
                offence,
                times,
            }));
        }
        self.events.pop_front().map_or(Poll::Pending, |event| {
            Poll::Ready(ToSwarm::GenerateEvent(event))
        })
    }
}

/// A longer time without a look is one in which this node stood still: it looks every half second.
const STOOD_STILL: Duration = Duration::from_secs(3);

/// No RPC is longer.
pub(crate) const NEVER_MUTE: usize = rpc::MAX_LEN;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
