//! This project: [`meshcast::Node`].

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use futures::{
    FutureExt as _,
    stream::{SelectAll, select},
};
use meshcast::{BroadcastChannel, Limits, MeshKey, Message, Messages, Multiaddr, RecvError};
use tokio::{runtime::Handle, task::JoinSet, time::sleep};

use super::{CHANNEL, LOOK_INTERVAL, Node, PublishBeside, drain};
use crate::{
    clock,
    protocol::{Payload, Spec},
    stamp::{Stamp, Typed},
    tally::{SharedTally, Tally},
};

/// A node with one channel, of bytes or typed, and further ones of bytes. As a user runs it a
/// spawned task reads each channel; tuned, the task that publishes reads all of them, many messages
/// at a time. Shared, the node runs on the runtime of the process.
#[derive(Debug)]
pub(crate) struct Meshcast<const TUNED: bool, const SHARED: bool> {
    node: meshcast::Node,
    address: String,
    channel: Channel,
    further: Vec<BroadcastChannel<Bytes>>,
    further_inboxes: SelectAll<Messages<Bytes>>,
    /// What spawned tasks count into, and the tasks.
    tally: SharedTally,
    readers: JoinSet<Result<()>>,
}

#[derive(Debug)]
enum Channel {
    Bytes {
        channel: BroadcastChannel<Bytes>,
        /// `None` where a spawned task reads.
        inbox: Option<Messages<Bytes>>,
        /// Written anew for each message.
        next: Bytes,
    },
    Typed {
        channel: BroadcastChannel<Typed>,
        inbox: Option<Messages<Typed>>,
        next: Typed,
    },
}

impl<const TUNED: bool, const SHARED: bool> Node for Meshcast<TUNED, SHARED> {
    async fn open(spec: &Spec, tally: &SharedTally) -> Result<Self> {
        let seeds = spec.peers.iter().map(|peer| peer.parse());
        let seeds: Vec<Multiaddr> = seeds.collect::<Result<_, _>>()?;
        let builder = meshcast::Node::builder()
            .name(format!("node-{}", spec.index))
            // Only on loopback and only for measuring, so the key may stand here.
            .key(MeshKey::from_entropy([9; 48]))
            .listen("127.0.0.1:0")
            .seeds(seeds)
            .limits(limits(spec.payload, TUNED))
            .dial_members(!spec.links_only);
        let builder = if SHARED {
            builder.runtime(Handle::current())
        } else {
            builder
        };
        let node = builder.spawn().await?;
        let addresses = node.inspect().await?.node.listen_addresses;
        let address = addresses
            .first()
            .context("the node listens nowhere")?
            .to_string();
        let mut readers = JoinSet::new();
        let channel = match spec.payload {
            Payload::Bytes(size) => {
                let channel = node.channel(CHANNEL)?;
                Channel::Bytes {
                    inbox: read::<TUNED, _>(channel.messages(), tally, &mut readers, count_bytes),
                    channel,
                    next: vec![0; size].into(),
                }
            }
            Payload::Typed => {
                let channel = node.channel(CHANNEL)?;
                Channel::Typed {
                    inbox: read::<TUNED, _>(channel.messages(), tally, &mut readers, count_typed),
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
            tally: tally.clone(),
            readers,
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn publish(&mut self, stamp: Stamp) -> Result<()> {
        match &mut self.channel {
            Channel::Bytes { channel, next, .. } => {
                // Posting has copied it, so that it is ours alone again and nothing is allocated
                // here.
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

    async fn receive(&mut self, tally: &SharedTally) -> Result<()> {
        let further = &mut self.further_inboxes;
        match &mut self.channel {
            Channel::Bytes {
                inbox: Some(inbox), ..
            } if further.is_empty() => drain(inbox, tally, count_bytes).await,
            // Neither holds an item back, so nothing is lost with it.
            Channel::Bytes {
                inbox: Some(inbox), ..
            } => drain(&mut select(inbox, further), tally, count_bytes).await,
            Channel::Typed {
                inbox: Some(inbox), ..
            } => drain(inbox, tally, count_typed).await,
            Channel::Bytes { inbox: None, .. } | Channel::Typed { inbox: None, .. } => {
                tokio::select! {
                    Some(ended) = self.readers.join_next() => ended?,
                    () = sleep(LOOK_INTERVAL) => Ok(()),
                }
            }
        }
    }

    async fn open_channels(&mut self, channels: usize) -> Result<()> {
        for number in 0..channels {
            let channel = self.node.channel(&format!("{CHANNEL}/{number}"))?;
            let inbox = read::<TUNED, _>(
                channel.messages(),
                &self.tally,
                &mut self.readers,
                count_bytes,
            );
            self.further_inboxes.extend(inbox);
            self.further.push(channel);
        }
        self.node.ready().await?;
        Ok(())
    }

    async fn publish_each(&mut self, run: u16) -> Result<u64> {
        for (number, channel) in (0..).zip(&self.further) {
            let mut payload = [0; SMALL];
            let at = clock::now();
            Stamp { run, number, at }.write(&mut payload);
            channel
                .post_message_wait(&Bytes::copy_from_slice(&payload))
                .await?;
        }
        Ok(self.further.len() as u64)
    }

    fn beside(&self) -> Result<PublishBeside> {
        let channels = self.further.clone();
        ensure!(!channels.is_empty(), "no further channel is open");
        Ok(Box::new(move |stamp| {
            let channel = channels[stamp.number as usize % channels.len()].clone();
            let mut payload = [0; SMALL];
            stamp.write(&mut payload);
            async move {
                channel
                    .post_message_wait(&Bytes::copy_from_slice(&payload))
                    .await?;
                Ok(())
            }
            .boxed()
        }))
    }
}

/// Gives the inbox back to be read in place if `TUNED`, else to a task that reads it as a user's
/// would.
fn read<const TUNED: bool, T: meshcast::Payload>(
    mut inbox: Messages<T>,
    tally: &SharedTally,
    readers: &mut JoinSet<Result<()>>,
    count: fn(&mut Tally, Result<Message<T>, RecvError>) -> Result<()>,
) -> Option<Messages<T>> {
    if TUNED {
        return Some(inbox);
    }
    let tally = tally.clone();
    readers.spawn(async move {
        while let Some(item) = inbox.recv().await {
            count(&mut tally.lock(), item)?;
        }
        bail!("the node has stopped")
    });
    None
}

/// The limits of a node for these messages: the defaults, unless it is tuned or a message would not
/// fit.
fn limits(payload: Payload, tuned: bool) -> Limits {
    let mut limits = Limits::default();
    if tuned {
        limits.history_bytes = TUNED_HISTORY_BYTES;
    }
    if let Payload::Bytes(size) = payload {
        // For values over the default, one is read or sent while the next is written.
        limits.max_message_bytes = limits.max_message_bytes.max(size);
        limits.outbox_bytes = limits.outbox_bytes.max(2 * size);
        limits.unread_bytes = limits.unread_bytes.max(2 * size);
    }
    limits
}

fn count_bytes(tally: &mut Tally, item: Result<Message<Bytes>, RecvError>) -> Result<()> {
    count(tally, item, |tally, data| tally.payload(&data))
}

fn count_typed(tally: &mut Tally, item: Result<Message<Typed>, RecvError>) -> Result<()> {
    count(tally, item, |tally, data| tally.stamp((&data).into()))
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

/// What is published on further channels, in bytes.
const SMALL: usize = 64;

/// The history of a tuned node: a quarter of the default, so that peak memory shows the rest.
const TUNED_HISTORY_BYTES: usize = 16 * 1024 * 1024;
