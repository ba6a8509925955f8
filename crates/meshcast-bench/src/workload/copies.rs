//! How often a byte is copied on its way.

use anyhow::{Result, bail, ensure};

use super::{PUBLISHED, warm_fleet};
use crate::{
    copies,
    fleet::Setup,
    protocol::{Load, Payload},
    results::{Figure, Figures},
};

/// One to one, as fast as it goes. All of the process counts, the adapter's own included: one for
/// gossipsub and NATS, which take what they are given.
pub(super) async fn run(setup: Setup, seconds: f64) -> Result<Figures> {
    ensure!(
        copies::COUNTED,
        "copies are counted in builds with `--features copies` alone"
    );
    let Payload::Bytes(size) = setup.payload else {
        bail!("what serde writes has no size of its own");
    };
    let (mut fleet, _) = warm_fleet(setup).await?;
    let measured = fleet.measure(Load::Flat { seconds }, false).await?;
    fleet.end().await?;
    let each = |copied: u64, messages: u64| copied as f64 / (messages.max(1) * size as u64) as f64;
    let (published, delivered) = (measured.published.messages, measured.delivered());
    Ok(vec![
        (PUBLISHER, each(measured.publisher.copied_bytes, published)),
        (
            SUBSCRIBER,
            each(measured.subscribers.copied_bytes, delivered),
        ),
        (PUBLISHED, published as f64),
    ])
}

const PUBLISHER: Figure = Figure::shown("publisher_copies", "publisher: bytes copied a byte");
const SUBSCRIBER: Figure = Figure::shown("subscriber_copies", "subscriber: bytes copied a byte");
