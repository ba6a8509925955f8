//! How gossipsub is set: a carrier of frames that prove themselves, unsigned, without a cache of
//! its own.

use std::time::Duration;

use libp2p::gossipsub::{
    self, AllowAllSubscriptionFilter, ConfigBuilder, MaxCountSubscriptionFilter,
    MessageAuthenticity, MessageId, ValidationMode,
};

use super::tickets::Tickets;

/// gossipsub as it is used here. Every topic is let through: names are hashes keyed by the mesh, so
/// a peer cannot guess any, and the number is bounded.
pub(super) type Inner =
    gossipsub::Behaviour<Tickets, MaxCountSubscriptionFilter<AllowAllSubscriptionFilter>>;

/// `max_rpc_len` is [`MAX_RPC_LEN`] outside of tests.
pub(super) fn gossipsub(tickets: Tickets, max_rpc_len: usize) -> Result<Inner, String> {
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        // What gossipsub has of a message is its id.
        .message_id_fn(|message| MessageId::from(message.data.clone()))
        .heartbeat_initial_delay(Duration::from_millis(200))
        .heartbeat_interval(HEARTBEAT)
        // No mesh: who gets a frame is decided elsewhere, and who is in no mesh is neither sent
        // anything by gossipsub itself nor told what not to send.
        .mesh_n(0)
        .mesh_n_low(0)
        .mesh_n_high(0)
        .mesh_outbound_min(0)
        .flood_publish(false)
        // Nobody reports the validation that it waits for before it forwards.
        .validate_messages()
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
        .unsubscribe_backoff(Duration::from_secs(1))
        .build()
        .map_err(|error| error.to_string())?;
    let filter = MaxCountSubscriptionFilter {
        filter: AllowAllSubscriptionFilter {},
        max_subscribed_topics: MAX_TOPICS,
        max_subscriptions_per_request: MAX_TOPICS,
    };
    // Without scores: they keep a record of every message for two minutes, 2 KB with ten peers, and
    // there is no bound to them.
    let gossip = gossipsub::Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config,
        filter,
        tickets,
    )?;
    Ok(gossip)
}

/// How often gossipsub looks after what it remembers, and tells of slow peers.
const HEARTBEAT: Duration = Duration::from_millis(700);

/// How long the id of a message is remembered, about 200 bytes each. A copy that comes later is
/// checked and forwarded once more, and no more than that: whoever has it already drops it by its
/// number. It may have waited for 5 s at each hop, so this covers four hops at their worst.
pub(super) const DUPLICATES_FOR: Duration = Duration::from_secs(20);

/// Over the limit of channels of a node, so that its announcement is never dropped whole.
pub(super) const MAX_TOPICS: usize = 16_384;

/// 16 frames. gossipsub compares it with its whole read buffer, which may hold part of the next
/// message; the announcement of [`MAX_TOPICS`] topics (about 44 bytes each) has to fit as well.
pub(crate) const MAX_RPC_LEN: usize = 4 * 1024 * 1024;

/// How many frames, and bytes of them, wait at most for a peer that does not take them; it is given
/// no further ones then. That is as much as four senders, or channels of one, may have in flight by
/// their send windows of 16 MiB: a burst within these is no sign of a peer that does not read.
pub(super) const QUEUE_FRAMES: usize = 1024;
pub(super) const QUEUE_BYTES: usize = 64 * 1024 * 1024;
