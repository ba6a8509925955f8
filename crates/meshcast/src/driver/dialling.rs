//! Dials: begun as the dialer says, and what came of each.

use std::{
    collections::HashMap,
    net::IpAddr,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    multiaddr::Protocol,
    swarm::{
        ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use meshcast_proto::{Reason, Time};
use tokio::task::JoinSet;

#[cfg(feature = "admin")]
use super::LocalNodes;
use super::{Dirty, Driver, seeds::why_failed};
#[cfg(feature = "admin")]
use crate::address::is_local_seed;
use crate::{
    clock::Clock,
    dialer::{Dial, Dialer, SeedId, SeedStatus},
    gate::GateError,
    inspect::Direction,
    reason::in_words,
    transport::refusal_reason,
};

/// The dialer, and what it has begun.
pub(super) struct Dialling {
    pub(super) dialer: Dirty<Dialer>,
    /// When the dialer has something to do, unless it was changed since.
    due: Option<Time>,
    /// Dials that are under way, and of what.
    dials: HashMap<ConnectionId, Dialled>,
    /// DNS look-ups under way, at most one a seed.
    lookups: JoinSet<(SeedId, Result<Vec<Multiaddr>, String>)>,
    #[cfg(feature = "admin")]
    local_nodes: LocalNodes,
}

impl Dialling {
    pub(super) fn new(dialer: Dialer, #[cfg(feature = "admin")] local_nodes: LocalNodes) -> Self {
        Self {
            dialer: Dirty::new(dialer),
            due: None,
            dials: HashMap::new(),
            lookups: JoinSet::new(),
            #[cfg(feature = "admin")]
            local_nodes,
        }
    }

    /// When [`Driver::dial`] has something to do. The dialer looks through all members for it, so
    /// it is asked only after it was told something.
    pub(super) fn due(&self) -> Option<Time> {
        if self.dialer.is_dirty() {
            self.dialer.poll_timeout()
        } else {
            self.due
        }
    }

    /// Takes in what was looked up.
    pub(super) fn poll_lookups(&mut self, cx: &mut Context<'_>, clock: &Clock) {
        while let Poll::Ready(Some(resolved)) = self.lookups.poll_join_next(cx) {
            if let Ok((seed, addresses)) = resolved {
                let dialer = self.dialer.modify();
                dialer.handle_resolved(seed, addresses, clock.now());
            }
        }
    }
}

impl Driver {
    /// Dials whom the dialer says.
    pub(super) fn dial(&mut self, now: Time) {
        let is_due = |due: Option<Time>| due.is_some_and(|due| due <= now);
        if !self.dialling.dialer.is_dirty() && !is_due(self.dialling.due) {
            return;
        }
        if is_due(self.dialling.dialer.poll_timeout()) {
            self.dialling.dialer.modify().handle_timeout(now);
        }
        while let Some(dial) = self.dialling.dialer.modify().poll_output() {
            match dial {
                #[cfg(feature = "admin")]
                Dial::Resolve(seed, name) if is_local_seed(&name) => {
                    let own = self.network.swarm.listeners().cloned().collect();
                    let found = (self.dialling.local_nodes)(own, self.local.mesh.clone());
                    let found = async move { (seed, Ok(found.await)) };
                    self.dialling.lookups.spawn(found);
                }
                Dial::Resolve(seed, name) => {
                    self.dialling
                        .lookups
                        .spawn(async move { (seed, resolve(&name).await) });
                }
                Dial::Address(seed, address) if self.local.advertised.contains(&address) => {
                    let dialer = self.dialling.dialer.modify();
                    dialer.handle_seed_is_us(seed, &address, now);
                }
                Dial::Address(seed, address) => {
                    let options = DialOpts::unknown_peer_id().address(address.clone()).build();
                    let dialled = Dialled::Seed(seed, address);
                    self.start_dial(options, dialled);
                }
                Dial::Member(peer, addresses) => {
                    // A connected member is dialled only when silent.
                    let condition = PeerCondition::NotDialing;
                    let options = DialOpts::peer_id(peer).addresses(addresses);
                    self.start_dial(options.condition(condition).build(), Dialled::Member(peer));
                }
            }
        }
        self.tell_of_seeds();
        self.dialling.due = self.dialling.dialer.poll_timeout();
        self.dialling.dialer.set_clean();
    }

    fn start_dial(&mut self, options: DialOpts, dialled: Dialled) {
        let connection = options.connection_id();
        if let Dialled::Seed(_, address) = &dialled {
            self.network.admitted.begin_seed_dial(address);
        }
        self.dialling.dials.insert(connection, dialled);
        // An immediate failure is not reported as an event.
        if let Err(error) = self.network.swarm.modify().dial(options) {
            self.handle_dial_failed(connection, &error);
        }
    }

    /// A dial has ended.
    fn end_dial(&mut self, connection: ConnectionId) -> Option<Dialled> {
        let dialled = self.dialling.dials.remove(&connection);
        if let Some(Dialled::Seed(_, address)) = &dialled {
            self.network.admitted.end_seed_dial(address);
        }
        dialled
    }

    /// A dial led to nothing, or to a connection that was gone at once.
    pub(super) fn dial_failed(
        &mut self,
        connection: ConnectionId,
        outcome: Outcome,
        why: (SeedStatus, String),
    ) {
        let (dialled, now) = (self.end_dial(connection), self.clock.now());
        let dialer = self.dialling.dialer.modify();
        match (dialled, outcome) {
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
        let (dialled, now) = (self.end_dial(connection), self.clock.now());
        let dialer = self.dialling.dialer.modify();
        match dialled {
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
                self.refused(address, Direction::Outbound, reason);
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

/// Whether a connection was refused because it leads from this node to itself.
pub(super) fn is_own(reason: GateError) -> bool {
    matches!(
        reason,
        GateError::Reject(Reason::OwnKey) | GateError::Refused(Reason::OwnKey)
    )
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
