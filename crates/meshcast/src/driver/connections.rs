//! Peers come and go: admission, addresses, signs of life.

use libp2p::{
    Multiaddr, PeerId,
    core::ConnectedPoint,
    ping,
    swarm::{ConnectionId, SwarmEvent},
};
use meshcast_proto::{MemberAddresses, SyncMessage, Time};

use super::{
    Driver,
    dialling::{Outcome, is_own},
};
use crate::{
    address::{Reach, is_listener, reach, told},
    behaviour::BehaviourEvent,
    clock::wall_time,
    dialer::{MAX_ADDRESSES, SeedStatus},
    event::{self, DisconnectReason, NodeEvent},
    gate::GateError,
    ids::{peer_id, sender},
    inspect::Direction,
    peers::{DEAD, Peer},
    reason::{causes, in_words},
    transport::{Turned, multiaddr, refusal_reason},
};

impl Driver {
    pub(super) fn handle_connection_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.handle_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => {
                if let Some(peer) = self.peers.handle_closed(peer_id, connection_id) {
                    let reason =
                        cause.map_or_else(|| "closed".to_owned(), |cause| in_words(&cause));
                    let why = peer.leaving().unwrap_or(DisconnectReason::Lost);
                    self.handle_lost(peer_id, &peer, (why, reason));
                }
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => {
                self.handle_dial_failed(connection_id, &error);
            }
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                ..
            } => match refusal_reason(&error) {
                // A connection that makes way is counted at the door.
                Some(reason) if is_own(reason) || reason == GateError::Displaced => {}
                Some(reason) => self.refused(send_back_addr, Direction::Inbound, reason),
                None => {
                    let reason = in_words(&error);
                    tracing::debug!(address = %send_back_addr, reason, "an incoming connection failed");
                }
            },
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(target: event::TARGET, %address, "listening");
                self.note_listeners();
                self.emit(NodeEvent::Listening(address));
                self.announce_myself();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                tracing::info!(%address, "no longer listening");
                self.note_listeners();
                self.announce_myself();
            }
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                let reason = reason
                    .err()
                    .map_or_else(|| "closed".to_owned(), |error| in_words(&error));
                self.note_listeners();
                tracing::error!(?addresses, reason, "a listener is closed");
            }
            SwarmEvent::ListenerError { error, .. } => {
                let turned = causes(&error).find_map(|error| error.downcast_ref::<Turned>());
                if let Some(Turned { from }) = turned {
                    self.refused(multiaddr(*from), Direction::Inbound, GateError::Foreign);
                    return;
                }
                if let Some(suppressed) = self.reports.warnings.listener.pass(self.clock.now()) {
                    tracing::warn!(
                        reason = in_words(&error),
                        suppressed,
                        "a listener has trouble"
                    );
                }
            }
            _ => {}
        }
    }

    fn handle_established(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        let (now, wall) = (self.clock.now(), wall_time());
        // Without an entry the connection is gone already, and its end is the next event.
        let Some(member) = self.network.admitted.get(&peer) else {
            if endpoint.is_dialer() {
                let why = (
                    SeedStatus::Unreachable,
                    "the connection was gone at once".to_owned(),
                );
                self.dial_failed(connection, Outcome::Failed, why);
            }
            return;
        };
        self.dial_succeeded(connection, peer);
        self.make_way();
        let direction = if endpoint.is_dialer() {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        let remote = endpoint.get_remote_address().clone();
        let credential = member.credential().clone();
        if self
            .peers
            .handle_established(member, (connection, direction, remote), now, wall)
        {
            let (name, region) = (credential.name, credential.region);
            if let Some(suppressed) = self.reports.warnings.connected.pass(now) {
                tracing::info!(target: event::TARGET, peer = %peer, %name, %region, ?direction,
                    suppressed,
                    "connected");
            }
            self.dialling.dialer.modify().handle_connected(peer, now);
            self.count_members();
            self.remember_conduct(peer);
            self.emit(NodeEvent::Connected {
                peer,
                name,
                region,
                direction,
            });
        } else {
            self.dialling.dialer.modify().handle_heard(peer);
        }
    }

    /// Closes the connections of those who make way for members that were connected longer before.
    pub(super) fn make_way(&mut self) {
        for peer in self.network.admitted.leaving() {
            // An error means that it is gone already, or not there yet: then it is its turn when it
            // is.
            self.peers.excuse(&peer, DisconnectReason::Displaced);
            if self.network.swarm.modify().disconnect_peer_id(peer).is_ok()
                && let Some(suppressed) = self.reports.warnings.displaced.pass(self.clock.now())
            {
                tracing::warn!(%peer, suppressed,
                    "no room for more members: closed in favour of one that was connected longer");
            }
        }
    }

    /// A member is connected no more.
    fn handle_lost(&mut self, id: PeerId, peer: &Peer, why: (DisconnectReason, String)) {
        let (reason, detail) = why;
        let credential = peer.member.credential();
        let (name, now) = (&credential.name, self.clock.now());
        if let Some(suppressed) = self.reports.warnings.disconnected.pass(now) {
            tracing::info!(target: event::TARGET, peer = %id, %name, %reason, detail, suppressed,
                "disconnected");
        }
        self.dialling.dialer.modify().handle_disconnected(id, now);
        self.waiters.pings.handle_lost(id);
        self.sessions.handle_lost(&id);
        self.forget_farewell(&id);
        self.count_members();
        self.emit(NodeEvent::Disconnected {
            peer: id,
            name: credential.name.clone(),
            region: credential.region.clone(),
            reason,
            detail,
        });
    }

    /// Looks at what passed: who says nothing is dialled beside its connection and then given up,
    /// and who was told nothing is sent a sign of life.
    pub(super) fn watch_for_silence(&mut self, now: Time) {
        let (mut dead, mut quiet) = (Vec::new(), Vec::new());
        for (id, peer) in self.peers.iter_mut() {
            let passed = self.network.traffic.take(id);
            if peer.look(passed.received, passed.sent, now) {
                quiet.push(*id);
            }
            if peer.is_dead(now) {
                dead.push(*id);
            } else if peer.is_silent(now) != self.dialling.dialer.is_silent(id) {
                match peer.is_silent(now) {
                    true => self.dialling.dialer.modify().handle_silent(*id, now),
                    false => self.dialling.dialer.modify().handle_heard(*id),
                }
            }
        }
        for id in dead {
            self.give_up_dead(id);
        }
        for id in quiet {
            // A message that waits for room on the session is a sign of life itself once there is
            // room.
            if self.sessions.is_idle(&id) {
                self.send_sync(id, &SyncMessage::KEEP_ALIVE);
            }
        }
    }

    /// Nothing has come from a peer for so long that its connections count as dead. Closing them
    /// may take its time over a path that is; for all others here the peer is gone at once.
    fn give_up_dead(&mut self, id: PeerId) {
        let Some(peer) = self.peers.remove(&id) else {
            return;
        };
        let reason = format!("nothing was heard for {} s", DEAD.as_secs());
        if let Some(suppressed) = self.reports.warnings.unanswered.pass(self.clock.now()) {
            tracing::warn!(peer = %id, reason, suppressed, "closing connections that count as dead");
        }
        self.reports.counters.peers.unresponsive += 1;
        for connection in peer.connections() {
            self.close(id, connection);
        }
        self.handle_lost(id, &peer, (DisconnectReason::Silent, reason));
    }

    /// Closes a connection, and uses it no more meanwhile.
    pub(super) fn close(&mut self, peer: PeerId, connection: ConnectionId) {
        self.network.sessions().leave(&peer, connection);
        self.network.swarm.modify().close_connection(connection);
    }

    pub(super) fn refused(&mut self, address: Multiaddr, direction: Direction, why: GateError) {
        self.reports.counters.connections.refused += 1;
        self.reports
            .refusals
            .note(why, address.clone(), direction, wall_time());
        let (kind, reason) = (why.kind(), why.to_string());
        if let Some(suppressed) = self.reports.warnings.refused.pass(self.clock.now()) {
            // Whoever dialled knows why it hung up, mostly since both dialled each other.
            if direction == Direction::Inbound && why.is_hung_up() {
                tracing::info!(target: event::TARGET, %address, ?direction, reason, suppressed,
                    "not admitted");
            } else {
                tracing::warn!(target: event::TARGET, %address, ?direction, reason, suppressed,
                    "not admitted");
            }
        }
        self.emit(NodeEvent::Refused {
            address,
            direction,
            reason: kind,
            detail: reason,
        });
    }

    pub(super) fn handle_members(&mut self, from: PeerId, members: &[MemberAddresses]) {
        let now = self.clock.now();
        let Some(near) = self.peers.get(&from).map(|peer| peer.reach()) else {
            return;
        };
        for member in members {
            let peer = peer_id(member.sender);
            let parsed = member.addresses.iter().take(MAX_ADDRESSES);
            // From elsewhere nobody knows what is at an address of this machine, or of its segment.
            let addresses: Vec<_> = parsed
                .filter_map(|bytes| Multiaddr::try_from(bytes.clone()).ok())
                .filter(|address| is_listener(address) && reach(address) >= near)
                .collect();
            if peer != from {
                self.dialling
                    .dialer
                    .modify()
                    .handle_reported(from, peer, addresses, now);
                continue;
            }
            self.peers.handle_addresses(peer, &addresses);
            self.spread(peer, now);
            self.dialling
                .dialer
                .modify()
                .handle_own_addresses(peer, addresses, now);
        }
    }

    /// Tells a peer of everybody.
    pub(super) fn send_members(&mut self, to: PeerId) {
        let Some(near) = self.peers.get(&to).map(|peer| peer.reach()) else {
            return;
        };
        let mut members = vec![self.myself(near)];
        let others = self.peers.iter().filter(|(peer, _)| **peer != to);
        members.extend(others.filter_map(|(peer, known)| entry(*peer, &known.addresses, near)));
        self.send_sync(to, &SyncMessage::Members(members));
    }

    /// Tells everybody of those that said something new of themselves and could not be told of at
    /// once.
    pub(super) fn spread_late(&mut self, now: Time) {
        let peers: Vec<_> = self.peers.iter().map(|(peer, _)| *peer).collect();
        peers.into_iter().for_each(|peer| self.spread(peer, now));
    }

    /// Tells everybody of a peer, if it said something new of itself and that may be told now.
    fn spread(&mut self, news: PeerId, now: Time) {
        if !self.peers.take_news(&news, now) {
            return;
        }
        let Some(addresses) = self.peers.get(&news).map(|peer| peer.addresses.clone()) else {
            return;
        };
        let others: Vec<_> = self
            .peers
            .iter()
            .filter(|(peer, _)| **peer != news)
            .map(|(peer, known)| (*peer, known.reach()))
            .collect();
        for (peer, near) in others {
            if let Some(entry) = entry(news, &addresses, near) {
                self.send_sync(peer, &SyncMessage::Members(vec![entry]));
            }
        }
    }

    fn announce_myself(&mut self) {
        let peers: Vec<_> = self
            .peers
            .iter()
            .map(|(peer, known)| (*peer, known.reach()))
            .collect();
        for (peer, near) in peers {
            let myself = self.myself(near);
            self.send_sync(peer, &SyncMessage::Members(vec![myself]));
        }
    }

    /// For those who ask the handle. To be called when that has changed.
    pub(super) fn note_listeners(&self) {
        let mut addresses: Vec<_> = self.network.swarm.listeners().cloned().collect();
        addresses.sort();
        self.handles.listen_addresses.send_replace(addresses);
    }

    fn myself(&self, near: Reach) -> MemberAddresses {
        let told = told(&self.local.advertised, self.network.swarm.listeners(), near);
        let addresses = told.take(MAX_ADDRESSES).map(Multiaddr::to_vec).collect();
        MemberAddresses {
            sender: self.local.me.sender(),
            addresses,
        }
    }

    pub(super) fn handle_ping(&mut self, event: ping::Event) {
        let ping::Event { peer, result, .. } = event;
        match result {
            Ok(rtt) => self.peers.handle_ping(&peer, rtt),
            // Behind much else it may take long. Whether the peer is there is seen by what it sends
            // itself.
            Err(error) => tracing::debug!(%peer, error = in_words(&error), "no answer to a ping"),
        }
    }
}

/// The report of a member; `None` if it has no address that the listener could use.
fn entry(peer: PeerId, addresses: &[Multiaddr], near: Reach) -> Option<MemberAddresses> {
    let usable = addresses.iter().filter(|address| reach(address) >= near);
    let addresses: Vec<_> = usable.map(Multiaddr::to_vec).collect();
    let sender = sender(&peer).filter(|_| !addresses.is_empty())?;
    Some(MemberAddresses { sender, addresses })
}
