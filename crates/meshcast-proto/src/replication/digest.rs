//! When to tell peers what this node has: all peers what changed, and the sender (or the peer
//! nearest to it) what arrived.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::wire::{LogKey, Sender, Time};

/// What is to be told, and when.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    changed: BTreeSet<LogKey>,
    /// When peers are told what changed; `None` while nothing did.
    due: Option<Time>,
    acks: BTreeMap<Sender, Ack>,
    /// How many bytes of frames came for which the way upstream was not told.
    unacked: BTreeMap<Sender, usize>,
}

/// The acknowledgement to a peer that is the sender of these logs, or nearer to it.
#[derive(Debug)]
struct Ack {
    logs: BTreeSet<LogKey>,
    times: u32,
    due: Time,
}

impl Digest {
    /// A log advanced, which all peers are told in time.
    pub(crate) fn changed(&mut self, key: LogKey, now: Time) {
        self.changed.insert(key);
        self.due.get_or_insert(now + INTERVAL);
    }

    /// A frame of this length came. The peer upstream is told once the frame is [in
    /// order](Self::progress).
    pub(crate) fn came(&mut self, upstream: Sender, bytes: usize) {
        *self.unacked.entry(upstream).or_default() += bytes;
    }

    /// A log advanced, which the peer upstream is told soon.
    pub(crate) fn progress(&mut self, upstream: Sender, key: &LogKey, now: Time) {
        let ack = self.acks.entry(upstream).or_insert_with(|| Ack {
            logs: BTreeSet::new(),
            times: 0,
            due: now + ACK_DELAY,
        });
        ack.times += 1;
        if !ack.logs.contains(key) {
            ack.logs.insert(key.clone());
        }
        let unacked = self.unacked.get(&upstream);
        if ack.times >= ACK_TIMES || unacked.is_some_and(|bytes| *bytes >= ACK_BYTES) {
            ack.due = now;
        }
    }

    /// Listeners behind this node acknowledged more. They waited with that already, so the peer
    /// upstream is told at once.
    pub(crate) fn hand_on(&mut self, upstream: Sender, key: &LogKey, now: Time) {
        self.progress(upstream, key, now);
        if let Some(ack) = self.acks.get_mut(&upstream) {
            ack.due = now;
        }
    }

    /// A peer is gone.
    pub(crate) fn forget(&mut self, sender: Sender) {
        self.acks.remove(&sender);
        self.unacked.remove(&sender);
    }

    /// What all peers are to be told now.
    pub(crate) fn take_changed(&mut self, now: Time) -> BTreeSet<LogKey> {
        match self.due.take_if(|due| *due <= now) {
            Some(_) => std::mem::take(&mut self.changed),
            None => BTreeSet::new(),
        }
    }

    /// What all peers are to be told, now or later.
    pub(crate) const fn untold(&self) -> &BTreeSet<LogKey> {
        &self.changed
    }

    /// A peer that is due an acknowledgement now, and the logs in it.
    pub(crate) fn take_ack(&mut self, now: Time) -> Option<(Sender, BTreeSet<LogKey>)> {
        let (upstream, _) = self.acks.iter().find(|(_, ack)| ack.due <= now)?;
        let upstream = *upstream;
        self.unacked.remove(&upstream);
        self.acks.remove(&upstream).map(|ack| (upstream, ack.logs))
    }

    /// When something is to be told next.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.acks.values().map(|ack| ack.due).chain(self.due).min()
    }
}

/// How often peers are told what changed. If the last message of a burst is lost, it is missed
/// after this long and a round trip. A quiet node tells nothing.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long the acknowledgement of a single frame waits for others.
const ACK_DELAY: Duration = Duration::from_millis(50);

/// After this many frames, or bytes of them, the acknowledgement does not wait. It is a small part
/// of the send window, so that the sender is not held up.
const ACK_TIMES: u32 = 16;
const ACK_BYTES: usize = 512 * 1024;

#[cfg(test)]
mod tests;
