//! Peers come and go: dialling, admission, addresses, signs of life.

use std::net::IpAddr;

use libp2p::{
    Multiaddr, PeerId,
    core::ConnectedPoint,
    multiaddr::Protocol,
    ping,
    swarm::{
        ConnectionId, DialError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use meshcast_proto::{MemberAddresses, Reason, SyncMessage, Time};
use tokio::sync::oneshot;

use super::{Driver, Ping};
use crate::{
    behaviour::BehaviourEvent,
    clock::wall_time,
    dialer::{Dial, MAX_ADDRESSES},
    error::PingError,
    event::{self, NodeEvent},
    gate::{GateError, refusal_reason},
    inspect::Direction,
    peers::is_loopback,
    transport::{peer_id, sender},
};

impl Driver {
    /// When [`Self::dial`] has something to do. The dialer looks through all members for it, so it is asked only after it was
    /// told something.
    pub(super) fn dial_due(&self) -> Option<Time> {
        let dialer = &self.parts.dialer;
        if dialer.is_touched() {
            dialer.poll_timeout()
        } else {
            self.dial_due
        }
    }

    /// Dials whom the dialer says.
    pub(super) fn dial(&mut self, now: Time) {
        let is_due = |due: Option<Time>| due.is_some_and(|due| due <= now);
        if !self.parts.dialer.is_touched() && !is_due(self.dial_due) {
            return;
        }
        if is_due(self.parts.dialer.poll_timeout()) {
            self.parts.dialer.handle_timeout(now);
        }
        while let Some(dial) = self.parts.dialer.poll_output() {
            match dial {
                Dial::Resolve(seed, name) => {
                    self.lookups.spawn(async move { (seed, resolve(&name).await) });
                }
                Dial::Address(seed, address) => {
                    let options = DialOpts::unknown_peer_id().address(address.clone()).build();
                    self.dials.insert(options.connection_id(), (seed, address));
                    self.start_dial(options);
                }
                Dial::Member(peer, addresses) => {
                    // Whoever is connected is dialled only when silent.
                    let condition = PeerCondition::NotDialing;
                    let options = DialOpts::peer_id(peer).addresses(addresses);
                    self.start_dial(options.condition(condition).build());
                }
            }
        }
        self.dial_due = self.parts.dialer.poll_timeout();
        self.parts.dialer.settle();
    }

    fn start_dial(&mut self, options: DialOpts) {
        let (connection, peer) = (options.connection_id(), options.get_peer_id());
        // What is wrong at once is not reported as an event.
        if let Err(error) = self.parts.swarm.dial(options) {
            self.handle_dial_failed(connection, peer, &error);
        }
    }

    /// A dial led to nothing, or to a connection that was gone at once.
    fn dial_failed(&mut self, connection: ConnectionId, peer: Option<PeerId>, outcome: Outcome) {
        let now = self.parts.clock.now();
        let dialer = &mut self.parts.dialer;
        match (self.dials.remove(&connection), outcome) {
            (Some((seed, address)), Outcome::Ourselves) => dialer.handle_seed_is_us(seed, &address, now),
            (Some((seed, address)), _) => dialer.handle_seed_failed(seed, &address, now),
            (None, outcome) => {
                if let Some(peer) = peer {
                    dialer.handle_member_failed(peer, outcome != Outcome::Failed, now);
                }
            }
        }
    }

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
                let now = self.parts.clock.now();
                if let Some(peer) = self.peers.handle_closed(peer_id, connection_id) {
                    let reason = cause.map_or_else(|| "closed".to_owned(), |cause| cause.to_string());
                    let name = &peer.member.credential().name;
                    tracing::info!(target: event::TARGET, peer = %peer_id, %name, reason, "disconnected");
                    self.parts.dialer.handle_disconnected(peer_id, now);
                    if let Some(sender) = sender(&peer_id) {
                        self.watchdog.handle_down(sender);
                    }
                    self.fail_pings(peer_id);
                    self.emit(NodeEvent::Disconnected {
                        peer: peer_id,
                        reason,
                    });
                }
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
                ..
            } => {
                self.handle_dial_failed(connection_id, peer_id, &error);
            }
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                ..
            } => match refusal_reason(&error) {
                Some(reason) if is_own(reason) => {}
                Some(reason) => self.refused(send_back_addr, Direction::Inbound, reason.to_string()),
                None => tracing::debug!(address = %send_back_addr, %error, "an incoming connection failed"),
            },
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(target: event::TARGET, %address, "listening");
                self.emit(NodeEvent::Listening(address));
                self.announce_myself();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                tracing::info!(%address, "no longer listening");
                self.announce_myself();
            }
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                tracing::error!(?addresses, ?reason, "a listener is closed");
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener has trouble"),
            _ => {}
        }
    }

    fn handle_established(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let (now, wall) = (self.parts.clock.now(), wall_time());
        // Without an entry the connection is gone already, and its end is the next event.
        let Some(member) = self.parts.admitted.get(&peer) else {
            if endpoint.is_dialer() {
                self.dial_failed(connection, Some(peer), Outcome::Failed);
            }
            return;
        };
        if let Some((seed, address)) = self.dials.remove(&connection) {
            self.parts.dialer.handle_seed_reached(seed, &address, peer);
        }
        let direction = if endpoint.is_dialer() {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        let remote = endpoint.get_remote_address().clone();
        let credential = member.credential().clone();
        if self
            .peers
            .handle_established(peer, member, (connection, direction, remote), now, wall)
        {
            let (name, region) = (credential.name, credential.region);
            tracing::info!(target: event::TARGET, peer = %peer, %name, %region, ?direction, "connected");
            self.parts.dialer.handle_connected(peer, now);
            if let Some(sender) = sender(&peer) {
                self.watchdog.handle_up(sender, now);
            }
            self.emit(NodeEvent::Connected {
                peer,
                name,
                region,
                direction,
            });
        } else {
            self.parts.dialer.handle_heard(peer);
        }
    }

    /// Tells the dialer who says nothing, and who does again.
    pub(super) fn watch_for_silence(&mut self, now: Time) {
        for (peer, known) in self.peers.iter() {
            if known.is_silent(now) {
                self.parts.dialer.handle_silent(*peer, now);
            } else {
                self.parts.dialer.handle_heard(*peer);
            }
        }
    }

    fn handle_dial_failed(&mut self, connection: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        let reason = refusal_reason(error);
        let outcome = match error {
            // The swarm leaves out the addresses that it listens on itself.
            DialError::LocalPeerId { .. } | DialError::NoAddresses => Outcome::Ourselves,
            DialError::WrongPeerId { .. } => Outcome::SomebodyElse,
            _ if reason.is_some_and(is_own) => Outcome::Ourselves,
            _ => Outcome::Failed,
        };
        match reason {
            // That a seed is this node itself is as it should be: all instances may have the same list.
            Some(reason) if outcome == Outcome::Failed => {
                let address = match error {
                    DialError::Transport(errors) => errors
                        .iter()
                        .find_map(|(address, error)| refusal_reason(error).map(|_| address.clone())),
                    _ => None,
                };
                let address = address.unwrap_or_else(Multiaddr::empty);
                self.refused(address, Direction::Outbound, reason.to_string());
            }
            _ => tracing::debug!(%error, "a dial failed"),
        }
        self.dial_failed(connection, peer, outcome);
    }

    fn refused(&mut self, address: Multiaddr, direction: Direction, reason: String) {
        self.counters.refused += 1;
        if let Some(suppressed) = self.warnings.refused.pass(self.parts.clock.now()) {
            tracing::warn!(target: event::TARGET, %address, ?direction, reason, suppressed, "refused at the gate");
        }
        self.emit(NodeEvent::Refused {
            address,
            direction,
            reason,
        });
    }

    pub(super) fn handle_members(&mut self, from: PeerId, members: &[MemberAddresses]) {
        let now = self.parts.clock.now();
        for member in members {
            let peer = peer_id(member.sender);
            let parsed = member.addresses.iter().take(MAX_ADDRESSES);
            let addresses: Vec<_> = parsed
                .filter_map(|bytes| Multiaddr::try_from(bytes.clone()).ok())
                .collect();
            if peer != from {
                self.parts.dialer.handle_hearsay(peer, addresses, now);
                continue;
            }
            if self.peers.handle_addresses(peer, &addresses) {
                self.spread(peer);
            }
            self.parts.dialer.handle_own_addresses(peer, addresses, now);
        }
    }

    /// Tells a peer of everybody.
    pub(super) fn send_members(&mut self, to: PeerId) {
        let Some(local) = self.peers.get(&to).map(|peer| peer.is_local()) else {
            return;
        };
        let mut members = vec![self.myself(local)];
        let others = self.peers.iter().filter(|(peer, _)| **peer != to);
        members.extend(others.filter_map(|(peer, known)| entry(*peer, &known.addresses, local)));
        self.send_sync(to, &SyncMessage::Members(members));
    }

    /// Tells everybody of a peer that said something new of itself.
    fn spread(&mut self, news: PeerId) {
        let Some(addresses) = self.peers.get(&news).map(|peer| peer.addresses.clone()) else {
            return;
        };
        let others: Vec<_> = self
            .peers
            .iter()
            .filter(|(peer, _)| **peer != news)
            .map(|(peer, known)| (*peer, known.is_local()))
            .collect();
        for (peer, local) in others {
            if let Some(entry) = entry(news, &addresses, local) {
                self.send_sync(peer, &SyncMessage::Members(vec![entry]));
            }
        }
    }

    fn announce_myself(&mut self) {
        let peers: Vec<_> = self
            .peers
            .iter()
            .map(|(peer, known)| (*peer, known.is_local()))
            .collect();
        for (peer, local) in peers {
            let myself = self.myself(local);
            self.send_sync(peer, &SyncMessage::Members(vec![myself]));
        }
    }

    fn myself(&self, local: bool) -> MemberAddresses {
        let listening = self
            .parts
            .swarm
            .listeners()
            .filter(|address| local || !is_loopback(address));
        let addresses = listening.take(MAX_ADDRESSES).map(Multiaddr::to_vec).collect();
        MemberAddresses {
            sender: self.parts.me.sender(),
            addresses,
        }
    }

    pub(super) fn handle_ping(&mut self, event: ping::Event) {
        let ping::Event {
            peer,
            connection,
            result,
        } = event;
        if let Err(error) = &result {
            tracing::debug!(%peer, %error, "no answer to a ping");
        }
        if result.is_ok() {
            self.peers.handle_heard(&peer, self.parts.clock.now());
        }
        if self.peers.handle_ping(peer, connection, result.ok()) {
            if let Some(suppressed) = self.warnings.unanswered.pass(self.parts.clock.now()) {
                tracing::warn!(%peer, suppressed, "closing a connection that does not answer");
            }
            self.counters.unresponsive += 1;
            self.parts.swarm.close_connection(connection);
        }
    }

    pub(super) fn send_ping(
        &mut self,
        peer: PeerId,
        answer: oneshot::Sender<Result<std::time::Duration, PingError>>,
    ) {
        if self.peers.get(&peer).is_none() || self.pings.len() >= MAX_PINGS {
            // Whoever asked may have left.
            let _ = answer.send(Err(PingError::NotConnected(peer)));
            return;
        }
        self.next_ping += 1;
        let (number, sent) = (self.next_ping, self.parts.clock.now());
        self.pings.push(Ping {
            number,
            peer,
            sent,
            answer,
        });
        self.send_sync(peer, &SyncMessage::Ping(number));
    }

    /// Nobody answers any more.
    fn fail_pings(&mut self, peer: PeerId) {
        for ping in self.pings.extract_if(.., |ping| ping.peer == peer) {
            // Whoever asked may have left.
            let _ = ping.answer.send(Err(PingError::NotConnected(peer)));
        }
    }

    pub(super) fn expire_pings(&mut self, now: Time) {
        for ping in self.pings.extract_if(.., |ping| ping.sent + PING_TIMEOUT <= now) {
            // Whoever asked may have left.
            let _ = ping.answer.send(Err(PingError::TimedOut(ping.peer)));
        }
    }

    /// Lets go of a peer that hands on what no member sent.
    pub(super) fn cut_forger(&mut self, peer: PeerId) {
        tracing::error!(%peer, "cutting off a peer that forwards forged or malformed frames");
        // Closes its connections and refuses new ones of this process for as long as we live.
        self.parts.swarm.behaviour_mut().blocked.block_peer(peer);
    }
}

/// What came of a dial that brought no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Failed,
    /// The address leads to this node.
    Ourselves,
    /// Another process answers there now.
    SomebodyElse,
}

/// Whether a connection was refused because it leads from this node to itself.
fn is_own(reason: GateError) -> bool {
    matches!(
        reason,
        GateError::Reject(Reason::OwnKey) | GateError::Refused(Reason::OwnKey)
    )
}

/// What is said of a member; nothing if it has no address that the listener could use.
fn entry(peer: PeerId, addresses: &[Multiaddr], local: bool) -> Option<MemberAddresses> {
    let usable = addresses.iter().filter(|address| local || !is_loopback(address));
    let addresses: Vec<_> = usable.map(Multiaddr::to_vec).collect();
    let sender = sender(&peer).filter(|_| !addresses.is_empty())?;
    Some(MemberAddresses { sender, addresses })
}

/// All addresses of a DNS name, in place of the name. As long as the resolver of the system takes: it cannot
/// be interrupted, and a further question would only wait behind it.
async fn resolve(address: &Multiaddr) -> Vec<Multiaddr> {
    let mut parts = address.iter();
    let wanted = match parts.next() {
        Some(Protocol::Dns(name)) => Some((name, true, true)),
        Some(Protocol::Dns4(name)) => Some((name, true, false)),
        Some(Protocol::Dns6(name)) => Some((name, false, true)),
        _ => None,
    };
    let Some((name, v4, v6)) = wanted else {
        return Vec::new();
    };
    let rest: Vec<Protocol<'_>> = parts.collect();
    let found = match tokio::net::lookup_host((name.as_ref(), 0)).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%name, %error, "a seed does not resolve");
            return Vec::new();
        }
    };
    let found = found
        .map(|socket| socket.ip())
        .filter(|ip| if ip.is_ipv4() { v4 } else { v6 });
    let whole = |ip: IpAddr| {
        rest.iter()
            .fold(Multiaddr::from(ip), |address, part| address.with(part.clone()))
    };
    found.map(whole).collect()
}

/// How long a [`Node::ping`](crate::Node::ping) waits for its answer.
const PING_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Pings under way at the same time.
const MAX_PINGS: usize = 1024;
