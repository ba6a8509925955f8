//! Who hands on what nobody signed, and who hands on anything at all.
//!
//! gossipsub scores by topic, and only on topics that are open here; its score recovers by the second, and
//! nobody is told when it falls. So what fails verification is counted here as well, against whoever was
//! speaking. And it reports a frame with the first copy only; that the others came too shows that a link works.

use std::{
    collections::{BTreeSet, HashMap},
    ops::{Deref, DerefMut},
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};
use meshcast_proto::Time;

use crate::{clock::Clock, verifier::SharedVerifier};

/// A behaviour whose messages the verifier judges, and which names those whose messages are forged.
pub(crate) struct Watched<B> {
    inner: B,
    verifier: SharedVerifier,
    clock: Clock,
    strikes: Strikes,
    /// Peers that brought good frames since somebody last asked.
    heard: BTreeSet<PeerId>,
}

/// What a [`Watched`] behaviour reports.
#[derive(Debug)]
pub(crate) enum WatchedEvent<E> {
    /// What it does by itself.
    Inner(E),
    /// The peer handed on too much that no member signed.
    Forger(PeerId),
}

impl<B> Watched<B> {
    pub(crate) fn new(inner: B, verifier: SharedVerifier) -> Self {
        Self {
            inner,
            verifier,
            clock: Clock::start(),
            strikes: Strikes::default(),
            heard: BTreeSet::new(),
        }
    }

    /// The peers that brought good frames, new or not, since this was last called.
    pub(crate) fn take_heard(&mut self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.heard)
    }
}

impl<B> Deref for Watched<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.inner
    }
}

impl<B> DerefMut for Watched<B> {
    fn deref_mut(&mut self) -> &mut B {
        &mut self.inner
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Watched<B> {
    type ConnectionHandler = B::ConnectionHandler;
    type ToSwarm = WatchedEvent<B::ToSwarm>;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_inbound_connection(id, peer, local, remote)
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
        self.inner
            .handle_established_outbound_connection(id, peer, address, role, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(closed) = &event
            && closed.remaining_established == 0
        {
            self.strikes.forget(&closed.peer_id);
            self.heard.remove(&closed.peer_id);
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let (valid, before) = (self.verifier.valid(), self.verifier.forged());
        self.inner.on_connection_handler_event(peer, connection, event);
        // All that was judged in between came from this peer: messages are judged in the call that brings them.
        if self.verifier.valid() > valid {
            self.heard.insert(peer);
        }
        let forged = self.verifier.forged() - before;
        if forged > 0 {
            self.strikes.strike(peer, forged, self.clock.now());
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(forger) = self.strikes.out.pop() {
            return Poll::Ready(ToSwarm::GenerateEvent(WatchedEvent::Forger(forger)));
        }
        self.inner
            .poll(cx)
            .map(|event| event.map_out(WatchedEvent::Inner))
    }
}

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

/// An honest member hands on none: it judges before it does. A few are allowed for what a bug or a broken
/// memory may do to one.
const ALLOWED: u64 = 10;

/// Strikes older than this no longer count.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

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
}
