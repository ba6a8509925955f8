//! Redis pub/sub, through a broker.

use anyhow::{Context as _, Result, bail};
use redis::{
    AsyncConnectionConfig, Client, Pipeline,
    aio::{MultiplexedConnection, PubSubStream},
};

use super::{CHANNEL, Node, drain};
use crate::{
    protocol::{Payload, Spec},
    stamp::Stamp,
    tally::SharedTally,
};

/// A connection that publishes or subscribes.
pub(crate) struct Redis {
    role: Role,
    payload: Vec<u8>,
}

enum Role {
    Publisher {
        connection: MultiplexedConnection,
        pipeline: Pipeline,
        waiting: usize,
    },
    Subscriber(PubSubStream),
}

impl Node for Redis {
    async fn open(spec: &Spec, _tally: &SharedTally) -> Result<Self> {
        let Payload::Bytes(size) = spec.payload else {
            bail!("Redis carries bytes");
        };
        let broker = spec.peers.first().context("no broker")?;
        let client = Client::open(format!("redis://{broker}"))?;
        let role = if spec.index == 0 {
            // Under load a pipeline takes longer than the half a second that is the default.
            let patient = AsyncConnectionConfig::new().set_response_timeout(None);
            Role::Publisher {
                connection: client
                    .get_multiplexed_async_connection_with_config(&patient)
                    .await?,
                pipeline: Pipeline::new(),
                waiting: 0,
            }
        } else {
            let mut pubsub = client.get_async_pubsub().await?;
            pubsub.subscribe(CHANNEL).await?;
            Role::Subscriber(pubsub.into_on_message())
        };
        Ok(Self {
            role,
            payload: vec![0; size],
        })
    }

    async fn publish(&mut self, stamp: Stamp) -> Result<()> {
        let Role::Publisher {
            pipeline, waiting, ..
        } = &mut self.role
        else {
            bail!("a subscriber does not publish");
        };
        stamp.write(&mut self.payload);
        pipeline
            .cmd("PUBLISH")
            .arg(CHANNEL)
            .arg(&*self.payload)
            .ignore();
        *waiting += 1;
        if *waiting == PIPELINE || *waiting * self.payload.len() >= PIPELINE_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if let Role::Publisher {
            connection,
            pipeline,
            waiting,
        } = &mut self.role
            && *waiting > 0
        {
            pipeline.query_async::<()>(connection).await?;
            pipeline.clear();
            *waiting = 0;
        }
        Ok(())
    }

    async fn receive(&mut self, tally: &SharedTally) -> Result<()> {
        let Role::Subscriber(stream) = &mut self.role else {
            return std::future::pending().await;
        };
        drain(stream, tally, |tally, message| {
            tally.payload(message.get_payload_bytes());
            Ok(())
        })
        .await
    }
}

/// Publishes sent together. One at a time is a round trip each.
const PIPELINE: usize = 128;
/// The most of them together.
const PIPELINE_BYTES: usize = 8 * 1024 * 1024;
