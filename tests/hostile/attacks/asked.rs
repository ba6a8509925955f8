//! Questions of members that are made up.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use meshcast::MeshKey;
use meshcast_proto::{
    AskMessage, AskOutput, AskTargets, Asks, Budget, Format, NewQuestion, Relayed, SyncMessage,
    Time, Trust,
};
use tokio::task::yield_now;

use super::{CALM, channel, opened};
use crate::hostile::wire::{Wire, identity, wall};

/// Hands on what members ask of whom nobody has heard, each a new one, and echoes nothing.
pub(super) async fn questions(wire: &mut Wire, key: &MeshKey) -> Result<()> {
    let calm = channel(CALM)?;
    wire.say(&SyncMessage::Open(vec![opened(&calm)])).await?;
    for n in 0_u64.. {
        let asker = identity(key, &format!("asker-{n}"))?;
        let mut asks = Asks::new(asker, Trust::from(key), Budget::default());
        asks.handle_peer_up(wire.sender(), Time::ZERO);
        let new = NewQuestion {
            channel: calm.clone(),
            within: Duration::from_secs(60),
            format: Format::Raw,
            payload: vec![0; 1024].into(),
        };
        let whom = AskTargets {
            far: BTreeSet::from([wire.sender()]),
            ..AskTargets::default()
        };
        asks.ask(new, whom, Time::ZERO, wall())?;
        while let Some(output) = asks.poll_output() {
            if let AskOutput::Send(_, AskMessage::Relay(relayed)) = output {
                let relayed = Relayed { hops: 2, ..relayed };
                let message = SyncMessage::Ask(AskMessage::Relay(relayed));
                wire.say(&message).await?;
            }
        }
        yield_now().await;
    }
    Ok(())
}
