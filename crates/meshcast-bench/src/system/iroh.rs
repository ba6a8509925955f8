//! iroh-gossip over QUIC on loopback, without relays and discovery.

use anyhow::{Result, bail};
use bytes::Bytes;
use iroh::{
    Endpoint, EndpointAddr,
    address_lookup::memory::MemoryLookup,
    endpoint::{RelayMode, presets},
    protocol::Router,
};
use iroh_gossip::{
    Gossip, TopicId,
    api::{Event, GossipReceiver, GossipSender},
};

use super::{Node, drain};
use crate::{
    protocol::{Payload, Spec},
    stamp::Stamp,
    tally::SharedTally,
};

/// An endpoint in one topic.
pub(crate) struct Iroh {
    address: String,
    /// Ends with this.
    _router: Router,
    sender: GossipSender,
    receiver: GossipReceiver,
    payload: Vec<u8>,
}

impl Node for Iroh {
    async fn open(spec: &Spec, _tally: &SharedTally) -> Result<Self> {
        let Payload::Bytes(size) = spec.payload else {
            bail!("iroh-gossip carries bytes");
        };
        let known = MemoryLookup::new();
        let mut bootstrap = Vec::new();
        for peer in &spec.peers {
            let peer: EndpointAddr = serde_json::from_str(peer)?;
            bootstrap.push(peer.id);
            known.add_endpoint_info(peer);
        }
        let endpoint = Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .clear_ip_transports()
            .bind_addr("127.0.0.1:0")?
            .address_lookup(known)
            .bind()
            .await?;
        let sockets = endpoint.bound_sockets();
        let address = sockets
            .into_iter()
            .fold(EndpointAddr::new(endpoint.id()), EndpointAddr::with_ip_addr);
        let gossip = Gossip::builder()
            .max_message_size((256 * 1024).max(2 * size))
            .spawn(endpoint.clone());
        let router = Router::builder(endpoint)
            .accept(iroh_gossip::ALPN, gossip.clone())
            .spawn();
        let topic = gossip
            .subscribe(TopicId::from_bytes([7; 32]), bootstrap)
            .await?;
        let (sender, receiver) = topic.split();
        Ok(Self {
            address: serde_json::to_string(&address)?,
            _router: router,
            sender,
            receiver,
            payload: vec![0; size],
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn publish(&mut self, stamp: Stamp) -> Result<()> {
        stamp.write(&mut self.payload);
        let payload = Bytes::copy_from_slice(&self.payload);
        Ok(self.sender.broadcast(payload).await?)
    }

    async fn receive(&mut self, tally: &SharedTally) -> Result<()> {
        drain(&mut self.receiver, tally, |tally, event| {
            match event? {
                Event::Received(message) => tally.payload(&message.content),
                // It does not say how many.
                Event::Lagged => tally.dropped(1, "lagged, at least"),
                Event::NeighborUp(_) | Event::NeighborDown(_) => {}
            }
            Ok(())
        })
        .await
    }
}
