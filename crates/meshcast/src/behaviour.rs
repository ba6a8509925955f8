//! The protocols a connection speaks, in the order that is safe.

use std::time::Duration;

use libp2p::{
    allow_block_list::{self, BlockedPeers},
    connection_limits::{self, ConnectionLimits},
    ping,
    swarm::NetworkBehaviour,
};

use crate::{
    dialer::MAX_DIALS,
    gossip::Gossip,
    session::{SessionConfig, Sessions},
};

/// The protocols that every connection speaks once it has passed the gate.
///
/// Order matters: the derive asks the fields in this order whether a connection may be, and
/// gossip takes a peer in while it is asked. Whatever may say no stands before it.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) blocked: allow_block_list::Behaviour<BlockedPeers>,
    ping: ping::Behaviour,
    pub(crate) sessions: Sessions,
    pub(crate) gossip: Gossip,
}

impl Behaviour {
    pub(crate) fn new(gossip: Gossip) -> Self {
        let limits = ConnectionLimits::default()
            // The number of simultaneous newcomers is bounded by the door: it knows who is worth a
            // place.
            .with_max_pending_outgoing(Some(MAX_PENDING))
            // Both sides may dial at once, beside a connection that is dead; the surplus is closed
            // later, in peace. The number of members is bounded by the gate, which knows who makes
            // way: one more limit of all connections would let those who fill it keep out a seed.
            .with_max_established_per_peer(Some(4));
        let ping = ping::Config::new()
            .with_interval(PING_INTERVAL)
            .with_timeout(PING_TIMEOUT);
        Self {
            limits: connection_limits::Behaviour::new(limits),
            blocked: allow_block_list::Behaviour::default(),
            ping: ping::Behaviour::new(ping),
            sessions: Sessions::new(SessionConfig::default()),
            gossip,
        }
    }
}

/// Dials at the same time.
const MAX_PENDING: u32 = 64;
const _: () = assert!(
    MAX_DIALS <= MAX_PENDING as usize,
    "a dial that is due is let through"
);

/// How often the round trip to a peer is measured, and how long that may take. Nothing else hangs
/// on it.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
