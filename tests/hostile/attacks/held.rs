//! Attacks that make a node hold what it does not read.

use std::time::Duration;

use anyhow::Result;
use meshcast_proto::{Holding, Holdings, SyncMessage};
use tokio::time::Instant;

use super::{CALM, FAR_AWAY, channel, holding, nobody, opened};
use crate::hostile::wire::Wire;

pub(super) async fn windows(wire: &mut Wire) -> Result<()> {
    let calm = channel(CALM)?;
    wire.say(&SyncMessage::Open(vec![opened(&calm)])).await?;
    // Of a channel that nobody has open, which is quickly read.
    let logs = (0..SyncMessage::MAX_LOGS).map(|n| holding(nobody(n)));
    let flood = SyncMessage::Have(vec![Holdings {
        channel: channel("nobody's")?,
        answer: None,
        logs: logs.collect(),
    }]);
    // Once the windows are large, it says what cannot be, until nobody listens any more.
    let (start, mut said) = (Instant::now(), Duration::ZERO);
    loop {
        if start.elapsed() > INFLATED && start.elapsed() > said + Duration::from_millis(200) {
            said = start.elapsed();
            let claim = Holding {
                next: FAR_AWAY,
                ..holding(wire.other)
            };
            wire.tell(&calm, vec![claim]).await?;
        }
        wire.say(&flood).await?;
    }
}

pub(super) async fn crumbs(wire: &mut Wire) -> Result<()> {
    let mut streams = Vec::new();
    // A node that accepts streams waits on each for what it is about.
    for _ in 0..NEGOTIATING {
        streams.push(wire.pour(&[19]).await?);
    }
    // Those behind it are not looked at.
    let crumbs = vec![b'a'; WINDOW];
    loop {
        streams.push(wire.pour(&crumbs).await?);
    }
}

/// How many streams of a connection may be without a protocol at the same time, in libp2p.
const NEGOTIATING: usize = 128;

/// The time until windows are large.
const INFLATED: Duration = Duration::from_secs(4);

/// The bytes that a stream may bring before it is read.
const WINDOW: usize = 256 * 1024;
