//! zenoh in peer mode, without router and multicast.

use anyhow::{Result, anyhow, bail};
use zenoh::{
    Session,
    pubsub::{Publisher, Subscriber},
    qos::CongestionControl,
};

use super::{CHANNEL, LOOK_INTERVAL, Node};
use crate::{
    process::free_port,
    protocol::{Payload, Spec},
    stamp::Stamp,
    tally::SharedTally,
};

/// A session that publishes or subscribes.
pub(crate) struct Zenoh {
    /// Ends with this.
    _session: Session,
    address: String,
    role: Role,
    payload: Vec<u8>,
}

enum Role {
    Publisher(Publisher<'static>),
    /// Counts by a callback, the way that its documentation calls the fastest. Ends with this.
    Subscriber {
        _subscriber: Subscriber<()>,
    },
}

impl Node for Zenoh {
    async fn open(spec: &Spec, tally: &SharedTally) -> Result<Self> {
        let Payload::Bytes(size) = spec.payload else {
            bail!("zenoh carries bytes");
        };
        let address = format!("tcp/127.0.0.1:{}", free_port()?);
        let peers = serde_json::to_string(&spec.peers)?;
        let mut config = zenoh::Config::default();
        for (key, value) in [
            ("mode", r#""peer""#),
            ("listen/endpoints", &format!("[{address:?}]")),
            ("connect/endpoints", &peers),
            ("scouting/multicast/enabled", "false"),
        ] {
            config
                .insert_json5(key, value)
                .map_err(|error| anyhow!("{key}: {error}"))?;
        }
        let failed = |error: zenoh::Error| anyhow!("zenoh: {error}");
        let session = zenoh::open(config).await.map_err(failed)?;
        let role = if spec.index == 0 {
            // By default it drops when it is congested.
            let publisher = session
                .declare_publisher(CHANNEL)
                .congestion_control(CongestionControl::Block);
            Role::Publisher(publisher.await.map_err(failed)?)
        } else {
            let tally = tally.clone();
            let subscriber = session
                .declare_subscriber(CHANNEL)
                .callback(move |sample| tally.lock().payload(&sample.payload().to_bytes()));
            Role::Subscriber {
                _subscriber: subscriber.await.map_err(failed)?,
            }
        };
        Ok(Self {
            _session: session,
            address,
            role,
            payload: vec![0; size],
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn publish(&mut self, stamp: Stamp) -> Result<()> {
        let Role::Publisher(publisher) = &self.role else {
            bail!("a subscriber does not publish");
        };
        stamp.write(&mut self.payload);
        let put = publisher.put(&*self.payload).await;
        put.map_err(|error| anyhow!("zenoh does not publish: {error}"))
    }

    async fn receive(&mut self, _tally: &SharedTally) -> Result<()> {
        tokio::time::sleep(LOOK_INTERVAL).await;
        Ok(())
    }
}
