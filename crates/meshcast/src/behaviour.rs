//! The protocols a connection speaks, in the order that is safe, with the settings that are.

use std::time::Duration;

use libp2p::{
    PeerId,
    allow_block_list::{self, BlockedPeers},
    connection_limits::{self, ConnectionLimits},
    gossipsub::{
        self, ConfigBuilder, MaxCountSubscriptionFilter, MessageAuthenticity, MessageId,
        ValidationMode,
    },
    ping,
    swarm::NetworkBehaviour,
};

use crate::{
    dialer::MAX_DIALS,
    session::{SessionConfig, Sessions},
    strikes::Watched,
    verifier::SharedVerifier,
};

/// What every connection speaks once it has passed the gate.
///
/// Order matters: the derive asks the fields in this order whether a connection may be, and
/// gossipsub takes a peer in while it is asked. Whatever may say no stands before it.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) blocked: allow_block_list::Behaviour<BlockedPeers>,
    ping: ping::Behaviour,
    pub(crate) sessions: Sessions,
    pub(crate) gossip: Watched,
}

pub(crate) type Gossip =
    gossipsub::Behaviour<SharedVerifier, MaxCountSubscriptionFilter<AllTopics>>;

impl Behaviour {
    /// `max_rpc_len` is [`MAX_RPC_LEN`] outside of tests.
    pub(crate) fn new(
        verifier: SharedVerifier,
        max_peers: u32,
        max_rpc_len: usize,
    ) -> Result<Self, String> {
        let limits = ConnectionLimits::default()
            // How many may come in at the same time is the door's business: it knows who is worth a
            // place.
            .with_max_pending_outgoing(Some(MAX_PENDING))
            // Both sides may dial at once, beside a connection that is dead; the surplus is closed
            // later, in peace. How many members there may be is the gate's business.
            .with_max_established_per_peer(Some(4))
            .with_max_established(Some(max_peers.saturating_mul(2)));
        let ping = ping::Config::new()
            .with_interval(PING_INTERVAL)
            .with_timeout(PING_TIMEOUT);
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits),
            blocked: allow_block_list::Behaviour::default(),
            ping: ping::Behaviour::new(ping),
            sessions: Sessions::new(SessionConfig::default()),
            gossip: Watched::new(gossip(verifier.clone(), max_rpc_len)?, verifier),
        })
    }

    /// Whether a peer is left to fetch what it lacks over its session: gossip then gives it nothing
    /// any more, and still takes what it brings. For a peer that does not keep up: frames that are
    /// queued for it only take memory, come late and are dropped.
    ///
    /// * Nothing is queued for it from this call on, neither what this node publishes nor what it
    ///   forwards; if there is nobody else, publishing reports that no peer is subscribed. What was
    ///   queued before, at most [`QUEUE_FRAMES`] frames, stays until the peer takes it, or its
    ///   connections are closed.
    /// * It is told that it is out of the mesh of each topic, so it forwards nothing of others to
    ///   this node either, unless it puts this node into its mesh again. What it publishes itself
    ///   arrives as before. What it says of topics that it joins and leaves counts when this is
    ///   undone.
    ///
    /// Undone, publishing reaches it again at once, and forwarding when the mesh has closed again,
    /// about 3 s later: after [`PRUNE_BACKOFF`], rounded up to heartbeats, and two more. For a peer
    /// that is not connected it does nothing, and a new connection begins anew.
    pub(crate) fn set_pull_only(&mut self, peer: PeerId, yes: bool) {
        self.gossip.set_pull_only(peer, yes);
    }
}

/// gossipsub as a carrier of frames that prove themselves: unsigned, without a cache of its own.
fn gossip(verifier: SharedVerifier, max_rpc_len: usize) -> Result<Gossip, String> {
    let ids = verifier.clone();
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(move |message| MessageId::from(ids.id_of(&message.data).as_bytes().to_vec()))
        .heartbeat_initial_delay(Duration::from_millis(200))
        .heartbeat_interval(HEARTBEAT)
        .mesh_n(6)
        .mesh_n_low(4)
        .mesh_n_high(12)
        // What a node posts goes to every subscriber it is connected to, not only to those of the
        // mesh.
        .flood_publish(true)
        // gossipsub's own cache would hold everything for seconds: at full speed a gigabyte and 40
        // % of the throughput. Our history does it better, and without a cache there is nothing to
        // advertise.
        .history_length(0)
        .history_gossip(0)
        .duplicate_cache_time(DUPLICATES_FOR)
        // It is compared with the whole read buffer, so it must be far over the longest frame.
        .max_transmit_size(max_rpc_len)
        // The first message to a peer names all our topics; over this it would be dropped whole.
        .max_control_message_size(max_rpc_len - max_rpc_len / 8)
        // Nobody advertises, and what is asked for and never comes would never be forgotten.
        .max_ihave_messages_heartbeat(0)
        .connection_handler_queue_len(QUEUE_FRAMES)
        .publish_queue_duration(Duration::from_secs(5))
        .forward_queue_duration(Duration::from_secs(5))
        .idontwant_message_size_threshold(CALLED_OFF_LEN)
        .prune_backoff(PRUNE_BACKOFF)
        .unsubscribe_backoff(Duration::from_secs(1))
        .build()
        .map_err(|error| error.to_string())?;
    let filter = MaxCountSubscriptionFilter {
        filter: AllTopics {},
        max_subscribed_topics: MAX_TOPICS,
        max_subscriptions_per_request: MAX_TOPICS,
    };
    // Without scores: they keep a record of every message for two minutes, 2 KB with ten peers, and
    // there is no bound to them.
    let gossip = gossipsub::Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config,
        filter,
        verifier,
    )?;
    Ok(gossip)
}

/// How often the mesh is looked after.
const HEARTBEAT: Duration = Duration::from_millis(700);

/// How long the id of a message is remembered, about 200 bytes each. A copy that comes later is
/// checked and forwarded once more, and no more than that: whoever has it already drops it by its
/// number. It may have waited for 5 s at each hop, so this covers four hops at their worst.
pub(crate) const DUPLICATES_FOR: Duration = Duration::from_secs(20);

/// For how long neither side of a link that was taken out of the mesh may put it back. Short, since
/// a peer that keeps up again should soon be forwarded to; whole seconds, since that is what is
/// said to the peer.
const PRUNE_BACKOFF: Duration = Duration::from_secs(1);

/// Every topic is let through: names are hashes keyed by the mesh, so a peer cannot guess any, and
/// the number is bounded.
pub(crate) type AllTopics = gossipsub::AllowAllSubscriptionFilter;

/// Over the limit of channels of a node, so that its announcement is never dropped whole.
pub(crate) const MAX_TOPICS: usize = 16_384;

/// 16 frames. gossipsub compares it with its whole read buffer, which may hold part of the next
/// message; the announcement of [`MAX_TOPICS`] topics (about 44 bytes each) has to fit as well.
pub(crate) const MAX_RPC_LEN: usize = 4 * 1024 * 1024;

/// Frames queued for a peer that does not take them; then further ones are dropped and counted.
const QUEUE_FRAMES: usize = 1024;

/// From this length on a message may be called off: who has it tells its neighbours that it wants
/// no more copies.
pub(crate) const CALLED_OFF_LEN: usize = 1024;

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

#[cfg(test)]
mod tests;
