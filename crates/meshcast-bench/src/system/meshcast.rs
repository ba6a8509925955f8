//! This project: [`meshcast::Node`].

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use futures::stream::SelectAll;
use meshcast::{BroadcastChannel, Limits, MeshKey, Message, Messages, Multiaddr, RecvError};

use super::{CHANNEL, Node, drain};
use crate::{
    clock,
    protocol::{Payload, Spec},
    stamp::{Stamp, Typed},
    tally::Tally,
};

/// A node with one channel, of bytes or typed, and further ones of bytes.
#[derive(Debug)]
pub(crate) struct Meshcast {
    node: meshcast::Node,
    address: String,
    channel: Channel,
    further: Vec<BroadcastChannel<Bytes>>,
    further_inboxes: SelectAll<Messages<Bytes>>,
}

#[derive(Debug)]
enum Channel {
    Bytes {
        channel: BroadcastChannel<Bytes>,
        inbox: Messages<Bytes>,
        /// Written anew for each message.
        next: Bytes,
    },
    Typed {
        channel: BroadcastChannel<Typed>,
        inbox: Messages<Typed>,
        next: Typed,
    },
}

impl Node for Meshcast {
    async fn open(spec: &Spec) -> Result<Self> {
        let seeds = spec.peers.iter().map(|peer| peer.parse());
        let seeds: Vec<Multiaddr> = seeds.collect::<Result<_, _>>()?;
        let mut limits = Limits::default();
        limits.history_bytes = HISTORY_BYTES;
        let node = meshcast::Node::builder()
            .name(format!("node-{}", spec.index))
            // Only on loopback and only for measuring, so the key may stand here.
            .key(MeshKey::from_entropy([9; 48]))
            .listen("/ip4/127.0.0.1/tcp/0".parse()?)
            .seeds(seeds)
            .limits(limits)
            .dial_members(!spec.links_only)
            .spawn()
            .await?;
        let addresses = node.inspect().await?.node.listen_addresses;
        let address = addresses.first().context("the node listens nowhere")?.to_string();
        let channel = match spec.payload {
            Payload::Bytes(size) => {
                let channel = node.channel(CHANNEL)?;
                Channel::Bytes {
                    inbox: channel.messages(),
                    channel,
                    next: vec![0; size].into(),
                }
            }
            Payload::Typed => {
                let channel = node.channel(CHANNEL)?;
                Channel::Typed {
                    inbox: channel.messages(),
                    channel,
                    next: Typed::new(),
                }
            }
        };
        Ok(Self {
            node,
            address,
            channel,
            further: Vec::new(),
            further_inboxes: SelectAll::new(),
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn publish(&mut self, stamp: Stamp) -> Result<()> {
        match &mut self.channel {
            Channel::Bytes { channel, next, .. } => {
                // Posting has copied it, so that it is ours alone again and nothing is allocated here.
                let mut payload = std::mem::take(next)
                    .try_into_mut()
                    .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
                stamp.write(&mut payload);
                *next = payload.freeze();
                channel.post_message_wait(next).await?;
            }
            Channel::Typed { channel, next, .. } => {
                stamp.write_typed(next);
                channel.post_message_wait(next).await?;
            }
        }
        Ok(())
    }

    async fn receive(&mut self, tally: &mut Tally) -> Result<()> {
        if !self.further_inboxes.is_empty() {
            return drain(&mut self.further_inboxes, |item| {
                count(tally, item, |tally, data| tally.payload(&data))
            })
            .await;
        }
        match &mut self.channel {
            Channel::Bytes { inbox, .. } => {
                drain(inbox, |item| {
                    count(tally, item, |tally, data| tally.payload(&data))
                })
                .await
            }
            Channel::Typed { inbox, .. } => {
                drain(inbox, |item| {
                    count(tally, item, |tally, data| tally.stamp((&data).into()))
                })
                .await
            }
        }
    }

    async fn open_channels(&mut self, channels: usize) -> Result<()> {
        for number in 0..channels {
            let channel = self.node.channel(&format!("{CHANNEL}/{number}"))?;
            self.further_inboxes.push(channel.messages());
            self.further.push(channel);
        }
        self.node.ready().await?;
        Ok(())
    }

    async fn publish_each(&mut self, run: u16) -> Result<u64> {
        for (number, channel) in (0..).zip(&self.further) {
            let mut payload = [0; 64];
            let at = clock::now();
            Stamp { run, number, at }.write(&mut payload);
            channel
                .post_message_wait(&Bytes::copy_from_slice(&payload))
                .await?;
        }
        Ok(self.further.len() as u64)
    }
}

fn count<T>(
    tally: &mut Tally,
    item: Result<Message<T>, RecvError>,
    data: impl FnOnce(&mut Tally, T),
) -> Result<()> {
    match item {
        Ok(message) => data(tally, message.data),
        Err(RecvError::Gap(gap)) => {
            let missed = gap.missed();
            tally.dropped(missed.end() - missed.start() + 1, gap.reason().to_string());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// What a node keeps for others in all workloads: a quarter of the default, so that peak memory shows the rest.
const HISTORY_BYTES: usize = 16 * 1024 * 1024;
