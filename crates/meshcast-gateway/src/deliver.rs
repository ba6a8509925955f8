//! From a channel to a client.

use std::collections::HashMap;

use axum::extract::ws::Message as Frame;
use futures::FutureExt;
use meshcast::{
    EncodedValue, Entry, GapReason, Marked, Message, NodeName, PeerId, RecvError, Region,
};
use tokio::sync::mpsc;

use crate::frames::{Delivered, Tell};

/// Carries messages until the channel or the client is gone. The rest waits in the channel, which
/// is bounded, and tells what it loses.
pub(crate) async fn deliver(
    channel: u32,
    mut messages: Marked<EncodedValue>,
    frames: &mpsc::Sender<Frame>,
) {
    let mut delivery = Delivery {
        channel,
        senders: HashMap::new(),
        frames,
    };
    while let Some(first) = messages.recv().await {
        let mut next = Some(first);
        for _ in 0..BETWEEN_CURSORS {
            let Some(entry) = next.take() else { break };
            if delivery.entry(entry).await.is_none() {
                return;
            }
            next = messages.recv().now_or_never().flatten();
        }
        if let Some(entry) = next
            && delivery.entry(entry).await.is_none()
        {
            return;
        }
        if delivery.cursor(&mut messages).await.is_none() {
            return;
        }
    }
}

struct Delivery<'a> {
    channel: u32,
    /// Those that the client has been told of, with their numbers.
    senders: HashMap<PeerId, u32>,
    frames: &'a mpsc::Sender<Frame>,
}

/// `None` if the client is gone.
type Sent = Option<()>;

impl Delivery<'_> {
    async fn entry(&mut self, entry: Result<Entry<EncodedValue>, RecvError>) -> Sent {
        match entry {
            Ok(Entry::Message(message)) => self.message(&message).await,
            Err(RecvError::Gap(gap)) => {
                let sender = self.sender(gap.sender(), gap.name(), gap.region()).await?;
                let missed = gap.missed();
                self.tell(&Tell::Gap {
                    channel: self.channel,
                    sender,
                    first: *missed.start(),
                    last: *missed.end(),
                    reason: reason(gap.reason()).to_owned(),
                })
                .await
            }
            Ok(Entry::CaughtUp) => {
                let channel = self.channel;
                self.tell(&Tell::CaughtUp { channel }).await
            }
            // Nothing is decoded here.
            Ok(_) | Err(_) => Some(()),
        }
    }

    async fn message(&mut self, message: &Message<EncodedValue>) -> Sent {
        let sender = self
            .sender(message.sender(), message.name(), message.region())
            .await?;
        let delivered = Delivered {
            channel: self.channel,
            sender,
            seq: message.seq(),
            posted_at: message.posted_at().unix_millis(),
            is_history: message.is_history(),
            value: message.data.as_bytes(),
        };
        self.send(Frame::Binary(delivered.written())).await
    }

    /// Its number, which the client has been told.
    async fn sender(&mut self, peer: PeerId, name: &NodeName, region: &Region) -> Option<u32> {
        if let Some(number) = self.senders.get(&peer) {
            return Some(*number);
        }
        if self.senders.len() >= SENDERS {
            self.senders.clear();
        }
        let number = u32::try_from(self.senders.len()).unwrap_or(u32::MAX);
        self.senders.insert(peer, number);
        let tell = Tell::Sender {
            channel: self.channel,
            number,
            peer_id: peer.to_string(),
            name: name.to_string(),
            region: region.to_string(),
        };
        self.tell(&tell).await?;
        Some(number)
    }

    async fn cursor(&self, messages: &mut Marked<EncodedValue>) -> Sent {
        self.tell(&Tell::Cursor {
            channel: self.channel,
            cursor: messages.cursor().to_string(),
        })
        .await
    }

    async fn tell(&self, tell: &Tell) -> Sent {
        self.send(Frame::Text(tell.written().into())).await
    }

    async fn send(&self, frame: Frame) -> Sent {
        self.frames.send(frame).await.ok()
    }
}

fn reason(reason: GapReason) -> &'static str {
    match reason {
        GapReason::TooLarge => "too_large",
        GapReason::Incomplete => "incomplete",
        GapReason::Unread => "unread",
        GapReason::Unfetched => "unfetched",
        GapReason::Expired => "expired",
        _ => "lost",
    }
}

/// Messages after which the client is told how far it is, if they come without a pause: what comes
/// twice after a break is at most that much, and a cursor has up to 8 KiB.
const BETWEEN_CURSORS: usize = 256;
/// Senders that have a number at once. With more, all begin anew: processes come and go for ever.
const SENDERS: usize = 1024;
