//! Dials: begun as the dialer says, and what came of each.

use std::net::IpAddr;

use libp2p::{
    Multiaddr, PeerId,
    multiaddr::Protocol,
    swarm::{
        ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use meshcast_proto::Time;

use super::{Driver, connections::is_own, seeds::why_failed};
use crate::{
    dialer::{Dial, Is, SeedId},
    gate::refusal_reason,
    inspect::Direction,
    reason::in_words,
};

impl Driver {
    /// When [`Self::dial`] has something to do. The dialer looks through all members for it, so it
    /// is asked only after it was told something.
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
                    self.lookups
                        .spawn(async move { (seed, resolve(&name).await) });
                }
                Dial::Address(seed, address) => {
                    let options = DialOpts::unknown_peer_id().address(address.clone()).build();
                    let dialled = Dialled::Seed(seed, address);
                    self.start_dial(options, dialled);
                }
                Dial::Member(peer, addresses) => {
                    // Whoever is connected is dialled only when silent.
                    let condition = PeerCondition::NotDialing;
                    let options = DialOpts::peer_id(peer).addresses(addresses);
                    self.start_dial(options.condition(condition).build(), Dialled::Member(peer));
                }
            }
        }
        self.tell_of_seeds();
        self.dial_due = self.parts.dialer.poll_timeout();
        self.parts.dialer.settle();
    }

    fn start_dial(&mut self, options: DialOpts, dialled: Dialled) {
        let connection = options.connection_id();
        self.dials.insert(connection, dialled);
        // What is wrong at once is not reported as an event.
        if let Err(error) = self.parts.swarm.dial(options) {
            self.handle_dial_failed(connection, &error);
        }
    }

    /// A dial led to nothing, or to a connection that was gone at once.
    pub(super) fn dial_failed(
        &mut self,
        connection: ConnectionId,
        outcome: Outcome,
        why: (Is, String),
    ) {
        let now = self.parts.clock.now();
        let dialer = &mut self.parts.dialer;
        match (self.dials.remove(&connection), outcome) {
            (Some(Dialled::Seed(seed, address)), Outcome::Ourselves) => {
                dialer.handle_seed_is_us(seed, &address, now);
            }
            (Some(Dialled::Seed(seed, address)), _) => {
                dialer.handle_seed_failed(seed, &address, why, now);
            }
            (Some(Dialled::Member(peer)), outcome) => {
                dialer.handle_member_failed(peer, outcome != Outcome::Failed, now);
            }
            (None, _) => {}
        }
    }

    /// A dial led to a member.
    pub(super) fn dial_succeeded(&mut self, connection: ConnectionId, peer: PeerId) {
        let now = self.parts.clock.now();
        let dialer = &mut self.parts.dialer;
        match self.dials.remove(&connection) {
            Some(Dialled::Seed(seed, address)) => {
                dialer.handle_seed_reached(seed, &address, peer, now)
            }
            Some(Dialled::Member(peer)) => dialer.handle_member_reached(peer),
            None => {}
        }
    }

    pub(super) fn handle_dial_failed(&mut self, connection: ConnectionId, error: &DialError) {
        let reason = refusal_reason(error);
        let outcome = match error {
            // The swarm leaves out the addresses that it listens on itself.
            DialError::LocalPeerId { .. } | DialError::NoAddresses => Outcome::Ourselves,
            DialError::WrongPeerId { .. } => Outcome::SomebodyElse,
            _ if reason.is_some_and(is_own) => Outcome::Ourselves,
            _ => Outcome::Failed,
        };
        match reason {
            // That a seed is this node itself is as it should be: all instances may have the same
            // list.
            Some(reason) if outcome == Outcome::Failed => {
                let address = match error {
                    DialError::Transport(errors) => errors.iter().find_map(|(address, error)| {
                        refusal_reason(error).map(|_| address.clone())
                    }),
                    _ => None,
                };
                let address = address.unwrap_or_else(Multiaddr::empty);
                self.refused(address, Direction::Outbound, reason.to_string());
            }
            _ => tracing::debug!(reason = in_words(error), "a dial failed"),
        }
        self.dial_failed(connection, outcome, why_failed(error));
    }
}

/// What a dial under way is of.
#[derive(Debug)]
pub(super) enum Dialled {
    Seed(SeedId, Multiaddr),
    Member(PeerId),
}

/// What came of a dial that brought no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Failed,
    /// The address leads to this node.
    Ourselves,
    /// Another process answers there now.
    SomebodyElse,
}

/// All addresses of a DNS name, in place of the name. As long as the resolver of the system takes:
/// it cannot be interrupted, and a further question would only wait behind it.
async fn resolve(address: &Multiaddr) -> Result<Vec<Multiaddr>, String> {
    let mut parts = address.iter();
    let (name, v4, v6) = match parts.next() {
        Some(Protocol::Dns(name)) => (name, true, true),
        Some(Protocol::Dns4(name)) => (name, true, false),
        Some(Protocol::Dns6(name)) => (name, false, true),
        _ => return Err("not a name that can be looked up".to_owned()),
    };
    let rest: Vec<Protocol<'_>> = parts.collect();
    let found = tokio::net::lookup_host((name.as_ref(), 0)).await;
    let found = found.map_err(|error| error.to_string())?;
    let found = found
        .map(|socket| socket.ip())
        .filter(|ip| if ip.is_ipv4() { v4 } else { v6 });
    let whole = |ip: IpAddr| {
        rest.iter().fold(Multiaddr::from(ip), |address, part| {
            address.with(part.clone())
        })
    };
    let found: Vec<_> = found.map(whole).collect();
    if found.is_empty() {
        return Err("the name has no address of this kind".to_owned());
    }
    Ok(found)
}
