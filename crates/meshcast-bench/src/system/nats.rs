//! NATS core, through a broker.

use anyhow::{Context as _, Result, bail};
use async_nats::{Client, Subscriber};
use bytes::Bytes;

use super::{CHANNEL, Node, drain};
use crate::{
    protocol::{Payload, Spec},
    stamp::Stamp,
    tally::SharedTally,
};

/// A client that publishes or subscribes.
pub(crate) struct Nats {
    client: Client,
    /// `None` at the publisher.
    subscriber: Option<Subscriber>,
    payload: Vec<u8>,
}

impl Node for Nats {
    async fn open(spec: &Spec, _tally: &SharedTally) -> Result<Self> {
        let Payload::Bytes(size) = spec.payload else {
            bail!("NATS carries bytes");
        };
        let broker = spec.peers.first().context("no broker")?;
        let client = async_nats::connect(broker).await?;
        let subscriber = match spec.index {
            0 => None,
            _ => Some(client.subscribe(CHANNEL).await?),
        };
        // Until the broker has the subscription.
        client.flush().await?;
        Ok(Self {
            client,
            subscriber,
            payload: vec![0; size],
        })
    }

    async fn publish(&mut self, stamp: Stamp) -> Result<()> {
        stamp.write(&mut self.payload);
        // Waits while the client's queue is full; the client writes when it has nothing else to do.
        let payload = Bytes::copy_from_slice(&self.payload);
        Ok(self.client.publish(CHANNEL, payload).await?)
    }

    async fn receive(&mut self, tally: &SharedTally) -> Result<()> {
        let Some(subscriber) = &mut self.subscriber else {
            return std::future::pending().await;
        };
        drain(subscriber, tally, |tally, message| {
            tally.payload(&message.payload);
            Ok(())
        })
        .await
    }
}
