//! When to tell whom what was accepted: neighbours what changed, a sender that its frames arrived.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{flows::Key, id::Sender, name::ChannelName, time::Time};

/// What is to be told, and when.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    changed: BTreeSet<Key>,
    /// When `changed` is told; `None` while it is empty.
    due: Option<Time>,
    acks: BTreeMap<Sender, Ack>,
}

/// What a sender is to be told of its own frames.
#[derive(Debug)]
struct Ack {
    channels: BTreeSet<ChannelName>,
    frames: u32,
    due: Time,
}

impl Digest {
    /// A flow got further.
    pub(crate) fn changed(&mut self, key: Key, now: Time) {
        self.changed.insert(key);
        self.due.get_or_insert(now + INTERVAL);
    }

    /// A frame of a neighbour was accepted on this channel.
    pub(crate) fn accepted(&mut self, sender: Sender, channel: &ChannelName, now: Time) {
        let ack = self.acks.entry(sender).or_insert_with(|| Ack {
            channels: BTreeSet::new(),
            frames: 0,
            due: now + ACK_DELAY,
        });
        ack.frames += 1;
        if !ack.channels.contains(channel) {
            ack.channels.insert(channel.clone());
        }
        if ack.frames >= ACK_FRAMES {
            ack.due = now;
        }
    }

    /// A neighbour is gone.
    pub(crate) fn forget(&mut self, sender: Sender) {
        self.acks.remove(&sender);
    }

    /// What neighbours are to be told now.
    pub(crate) fn take_changed(&mut self, now: Time) -> BTreeSet<Key> {
        match self.due.take_if(|due| *due <= now) {
            Some(_) => std::mem::take(&mut self.changed),
            None => BTreeSet::new(),
        }
    }

    /// A sender that is to be told now, and of which channels.
    pub(crate) fn take_ack(&mut self, now: Time) -> Option<(Sender, BTreeSet<ChannelName>)> {
        let (sender, _) = self.acks.iter().find(|(_, ack)| ack.due <= now)?;
        let sender = *sender;
        self.acks.remove(&sender).map(|ack| (sender, ack.channels))
    }

    /// When there will be something to tell.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.acks.values().map(|ack| ack.due).chain(self.due).min()
    }
}

/// How often neighbours are told what changed. The last message of a burst, if it is lost, is missed for this
/// long and a round trip; a quiet node tells nothing.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long a sender waits to be told of a frame that is not followed by others.
const ACK_DELAY: Duration = Duration::from_millis(50);

/// After how many frames a sender is told without delay: a quarter of what it may have on the way.
const ACK_FRAMES: u32 = 16;

#[cfg(test)]
mod tests;
