//! The protocols a connection speaks, in the order that is safe, with the settings that are.

use std::time::Duration;

use libp2p::{
    PeerId,
    allow_block_list::{self, BlockedPeers},
    connection_limits::{self, ConnectionLimits},
    gossipsub::{
        self, ConfigBuilder, IdentTopic, MaxCountSubscriptionFilter, MessageAuthenticity, MessageId,
        PeerScoreParams, PeerScoreThresholds, TopicScoreParams, ValidationMode,
    },
    ping,
    swarm::NetworkBehaviour,
};

use crate::{
    link::{Link, LinkConfig},
    strikes::Watched,
    verifier::SharedVerifier,
};

/// What every connection speaks once it has passed the gate.
///
/// Order matters: the derive asks the fields in this order whether a connection may be, and gossipsub takes a
/// peer in while it is asked. Whatever may say no stands before it.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) blocked: allow_block_list::Behaviour<BlockedPeers>,
    ping: ping::Behaviour,
    pub(crate) link: Link,
    pub(crate) gossip: Watched<Gossip>,
}

pub(crate) type Gossip = gossipsub::Behaviour<SharedVerifier, MaxCountSubscriptionFilter<AllTopics>>;

impl Behaviour {
    /// `max_rpc_len` is [`MAX_RPC_LEN`] outside of tests.
    pub(crate) fn new(verifier: SharedVerifier, max_peers: u32, max_rpc_len: usize) -> Result<Self, String> {
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(MAX_PENDING))
            .with_max_pending_outgoing(Some(MAX_PENDING))
            // Both sides may dial at once; the surplus connection is closed later, in peace. How many members
            // there may be is the gate's business.
            .with_max_established_per_peer(Some(2))
            .with_max_established(Some(max_peers.saturating_mul(2)));
        let ping = ping::Config::new()
            .with_interval(PING_INTERVAL)
            .with_timeout(PING_TIMEOUT);
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits),
            blocked: allow_block_list::Behaviour::default(),
            ping: ping::Behaviour::new(ping),
            link: Link::new(LinkConfig::default()),
            gossip: Watched::new(gossip(verifier.clone(), max_rpc_len)?, verifier),
        })
    }

    /// Makes gossip itself deaf to whoever forwards forged or malformed frames on this topic, until the driver
    /// has closed its connections.
    pub(crate) fn score_topic(&mut self, topic: IdentTopic) {
        let scored = self.gossip.set_topic_params(topic, invalid_only());
        debug_assert!(scored.is_ok(), "scoring is on");
    }

    /// Whether a peer is left to fetch what it lacks over its link: gossip then gives it nothing any more, and
    /// still takes what it brings. For a peer that does not keep up: frames that are queued for it only take
    /// memory, come late and are dropped.
    ///
    /// * What this node publishes is not queued for it from this call on; if there is nobody else, publishing
    ///   reports that no peer is subscribed.
    /// * What others published is forwarded to it until the next heartbeat (every [`HEARTBEAT`]), which takes
    ///   it out of the mesh of each topic; asked to join again, it is refused. Until then, and counting what
    ///   was queued before, there are at most [`QUEUE_FRAMES`] frames for it. They stay until it takes them, or
    ///   its connections are closed.
    /// * Out of the mesh, it forwards nothing of others to this node either. What it publishes itself, and the
    ///   topics it joins and leaves, arrive as before.
    ///
    /// Undone, publishing reaches it again at once, and forwarding when the mesh has closed again, about 3 s
    /// later: after [`PRUNE_BACKOFF`], rounded up to heartbeats, and two more. For a peer that was never
    /// connected it does nothing; for one that was it outlives the connection, so undo it when the last is
    /// closed.
    pub(crate) fn set_pull_only(&mut self, peer: &PeerId, yes: bool) {
        let score = if yes { PULL_ONLY } else { 0.0 };
        // Without an entry the peer was never connected.
        let _ = self.gossip.set_application_score(peer, score);
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
        // What a node posts goes to every subscriber it is connected to, not only to those of the mesh.
        .flood_publish(true)
        // gossipsub's own cache would hold everything for seconds: at full speed a gigabyte and 40 % of the
        // throughput. Our history does it better, and without a cache there is nothing to advertise.
        .history_length(0)
        .history_gossip(0)
        .duplicate_cache_time(Duration::from_secs(120))
        // It is compared with the whole read buffer, so it must be far over the longest frame.
        .max_transmit_size(max_rpc_len)
        // The first message to a peer names all our topics; over this it would be dropped whole.
        .max_control_message_size(max_rpc_len - max_rpc_len / 8)
        .max_ihave_messages_heartbeat(4096)
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
    let mut gossip = gossipsub::Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config,
        filter,
        verifier,
    )?;
    // Nothing counts but invalid messages and what the driver says: on a private mesh the usual weights punish
    // quiet channels, slow links and nodes behind one address. Without any scoring, requests that nobody
    // answers leak.
    let params = PeerScoreParams {
        topic_score_cap: 0.0,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_weight: 0.0,
        slow_peer_weight: 0.0,
        ..PeerScoreParams::default()
    };
    let thresholds = PeerScoreThresholds {
        gossip_threshold: NO_GOSSIP,
        publish_threshold: NO_GOSSIP,
        graylist_threshold: GRAYLIST,
        ..PeerScoreThresholds::default()
    };
    gossip.with_peer_score(params, thresholds)?;
    Ok(gossip)
}

fn invalid_only() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        // The count is squared: ten invalid messages make -100.
        invalid_message_deliveries_weight: -1.0,
        invalid_message_deliveries_decay: 0.9,
        ..TopicScoreParams::default()
    }
}

/// A peer whose score is below this is not listened to.
const GRAYLIST: f64 = -99.0;

/// A peer whose score is below this gets nothing published. Half-way, so that neither a few invalid messages nor
/// [`Behaviour::set_pull_only`] alone do what the other is for.
const NO_GOSSIP: f64 = GRAYLIST / 2.0;

/// The score of a peer that is to fetch what it lacks, if it does nothing else wrong.
const PULL_ONLY: f64 = NO_GOSSIP - 0.5;

/// How often the mesh is looked after.
const HEARTBEAT: Duration = Duration::from_millis(700);

/// For how long neither side of a link that was taken out of the mesh may put it back. Short, since a peer that
/// keeps up again should soon be forwarded to; whole seconds, since that is what is said to the peer.
const PRUNE_BACKOFF: Duration = Duration::from_secs(1);

/// Every topic is let through: names are hashes keyed by the mesh, so a peer cannot guess any, and the
/// number is bounded.
pub(crate) type AllTopics = gossipsub::AllowAllSubscriptionFilter;

/// Over the limit of channels of a node, so that its announcement is never dropped whole.
const MAX_TOPICS: usize = 16_384;

/// 16 frames. gossipsub compares it with its whole read buffer, which may hold part of the next message;
/// the announcement of [`MAX_TOPICS`] topics (about 44 bytes each) has to fit as well.
pub(crate) const MAX_RPC_LEN: usize = 1024 * 1024;

/// Frames queued for a peer that does not take them; then further ones are dropped and counted.
const QUEUE_FRAMES: usize = 1024;

/// From this length on a message may be called off: who has it tells its neighbours that it wants no more copies.
pub(crate) const CALLED_OFF_LEN: usize = 1024;

/// Connections that are being set up at the same time, in each direction.
const MAX_PENDING: u32 = 64;

/// How often a peer is asked for a sign of life, and how long it has for it.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
