//! How often a message allocates.

use anyhow::Result;

use super::{PUBLISHED, warm_fleet};
use crate::{
    fleet::Setup,
    protocol::{Load, Usage},
    results::{Figure, Figures},
};

/// One to one, as fast as it goes. All of the process counts, the adapter's own included: it has
/// none for meshcast, one each message for gossipsub, which takes a vector.
pub(super) async fn run(setup: Setup, seconds: f64) -> Result<Figures> {
    let (mut fleet, _) = warm_fleet(setup).await?;
    let measured = fleet.measure(Load::Flat { seconds }, false).await?;
    fleet.end().await?;
    let each = |value: u64, messages: u64| value as f64 / messages.max(1) as f64;
    let of = |usage: Usage, messages: u64| {
        (
            each(usage.allocations, messages),
            each(usage.allocated_bytes, messages),
        )
    };
    let (publisher, publisher_bytes) = of(measured.publisher, measured.published.messages);
    let (subscriber, subscriber_bytes) = of(measured.subscribers, measured.delivered());
    Ok(vec![
        (PUBLISHER, publisher),
        (PUBLISHER_BYTES, publisher_bytes),
        (SUBSCRIBER, subscriber),
        (SUBSCRIBER_BYTES, subscriber_bytes),
        (PUBLISHED, measured.published.messages as f64),
    ])
}

const PUBLISHER: Figure =
    Figure::shown("publisher_allocations", "publisher: allocations a message");
const PUBLISHER_BYTES: Figure = Figure::shown("publisher_allocated_bytes", "bytes");
const SUBSCRIBER: Figure = Figure::shown(
    "subscriber_allocations",
    "subscriber: allocations a message",
);
const SUBSCRIBER_BYTES: Figure = Figure::shown("subscriber_allocated_bytes", "bytes");
