//! libp2p gossipsub as it comes, over TCP, noise and yamux.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use futures::{FutureExt as _, StreamExt as _};
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder,
    gossipsub::{
        Behaviour, ConfigBuilder, Event, IdentTopic, MessageAuthenticity, PublishError,
        ValidationMode,
    },
    identity::Keypair,
    noise,
    swarm::{self, SwarmEvent},
    tcp, yamux,
};
use tokio::time::timeout;

use super::{CHANNEL, Node, drain};
use crate::{
    protocol::{Payload, Spec},
    stamp::Stamp,
    tally::SharedTally,
};

/// A swarm with gossipsub alone. Messages are signed and verified, or only name their author.
pub(crate) struct Gossipsub<const SIGNED: bool> {
    swarm: Swarm<Behaviour>,
    topic: IdentTopic,
    address: String,
    size: usize,
    published: u64,
    refused: u64,
}

impl<const SIGNED: bool> Node for Gossipsub<SIGNED> {
    async fn open(spec: &Spec, _tally: &SharedTally) -> Result<Self> {
        let Payload::Bytes(size) = spec.payload else {
            bail!("gossipsub carries bytes");
        };
        let key = Keypair::generate_ed25519();
        let mut swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(
                tcp::Config::default().nodelay(true),
                noise::Config::new,
                yamux::Config::default,
            )?
            .with_behaviour(|key| Ok(behaviour::<SIGNED>(key, size)?))?
            .with_swarm_config(|config: swarm::Config| {
                config.with_idle_connection_timeout(FOR_EVER)
            })
            .build();
        let topic = IdentTopic::new(CHANNEL);
        swarm.behaviour_mut().subscribe(&topic)?;
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address.to_string();
            }
        };
        for peer in &spec.peers {
            swarm.dial(peer.parse::<Multiaddr>()?)?;
        }
        Ok(Self {
            swarm,
            topic,
            address,
            size,
            published: 0,
            refused: 0,
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn publish(&mut self, stamp: Stamp) -> Result<()> {
        loop {
            // It takes the vector and keeps it also when it refuses.
            let mut payload = vec![0; self.size];
            stamp.write(&mut payload);
            let topic = self.topic.hash();
            match self.swarm.behaviour_mut().publish(topic, payload) {
                Ok(_) => break,
                // The subscription of a peer may not have come; the warm-up tries again.
                Err(PublishError::NoPeersSubscribedToTopic) if stamp.run == 0 => break,
                Err(PublishError::AllQueuesFull(_)) => {
                    self.refused += 1;
                    self.drive(BACK_OFF).await;
                }
                Err(error) => return Err(anyhow!("gossipsub does not publish: {error}")),
            }
        }
        // Its connections run by themselves; what they report is taken in now and then.
        self.published += 1;
        if self.published.is_multiple_of(LOOK_EVERY) {
            while self.swarm.select_next_some().now_or_never().is_some() {}
        }
        Ok(())
    }

    async fn receive(&mut self, tally: &SharedTally) -> Result<()> {
        drain(&mut self.swarm, tally, |tally, event| {
            match event {
                SwarmEvent::Behaviour(Event::Message { message, .. }) => {
                    tally.payload(&message.data)
                }
                SwarmEvent::Behaviour(Event::SlowPeer {
                    failed_messages, ..
                }) => {
                    let dropped = failed_messages.priority + failed_messages.non_priority;
                    tally.dropped(dropped as u64, "on the way to a slow peer");
                }
                _ => {}
            }
            Ok(())
        })
        .await
    }

    fn refused(&self) -> u64 {
        self.refused
    }
}

impl<const SIGNED: bool> Gossipsub<SIGNED> {
    async fn drive(&mut self, duration: Duration) {
        let driving = async { while let Some(_event) = self.swarm.next().await {} };
        // That the time is over is what ends it.
        _ = timeout(duration, driving).await;
    }
}

fn behaviour<const SIGNED: bool>(key: &Keypair, size: usize) -> Result<Behaviour> {
    let mut config = ConfigBuilder::default();
    // The default of 64 KiB is for the whole message, so that a payload of 64 KiB would vanish.
    config.max_transmit_size((256 * 1024).max(2 * size));
    let authenticity = if SIGNED {
        MessageAuthenticity::Signed(key.clone())
    } else {
        config.validation_mode(ValidationMode::Permissive);
        MessageAuthenticity::Author(key.public().to_peer_id())
    };
    Behaviour::new(authenticity, config.build()?).map_err(|error| anyhow!("gossipsub: {error}"))
}

/// The time for which the swarm runs on when all queues are full. Trying again at once was 10 %
/// slower.
const BACK_OFF: Duration = Duration::from_millis(1);

/// After so many messages the publisher takes in what its swarm reports.
const LOOK_EVERY: u64 = 32;

const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
