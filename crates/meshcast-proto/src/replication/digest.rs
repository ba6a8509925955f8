//! When to tell whom what was accepted: neighbours what changed, a sender (or who is nearer to it)
//! that its frames arrived.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::wire::{LogKey, Sender, Time};

/// What is to be told, and when.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    changed: BTreeSet<LogKey>,
    /// When `changed` is told; `None` while it is empty.
    due: Option<Time>,
    acks: BTreeMap<Sender, Ack>,
    /// How many bytes of frames came that a neighbour has not been told of.
    unacked: BTreeMap<Sender, usize>,
}

/// What a neighbour is to be told of logs whose sender it is, or is nearer to.
#[derive(Debug)]
struct Ack {
    logs: BTreeSet<LogKey>,
    times: u32,
    due: Time,
}

impl Digest {
    /// A log got further.
    pub(crate) fn changed(&mut self, key: LogKey, now: Time) {
        self.changed.insert(key);
        self.due.get_or_insert(now + INTERVAL);
    }

    /// A frame of so many bytes came, which this neighbour is to know once it is [in
    /// order](Self::progress).
    pub(crate) fn came(&mut self, upstream: Sender, bytes: usize) {
        *self.unacked.entry(upstream).or_default() += bytes;
    }

    /// A log got further, which this neighbour is to know soon.
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

    /// Those behind this node got further with a log, which they have said as seldom as they may:
    /// this neighbour is to know now.
    pub(crate) fn hand_on(&mut self, upstream: Sender, key: &LogKey, now: Time) {
        self.progress(upstream, key, now);
        if let Some(ack) = self.acks.get_mut(&upstream) {
            ack.due = now;
        }
    }

    /// A neighbour is gone.
    pub(crate) fn forget(&mut self, sender: Sender) {
        self.acks.remove(&sender);
        self.unacked.remove(&sender);
    }

    /// What neighbours are to be told now.
    pub(crate) fn take_changed(&mut self, now: Time) -> BTreeSet<LogKey> {
        match self.due.take_if(|due| *due <= now) {
            Some(_) => std::mem::take(&mut self.changed),
            None => BTreeSet::new(),
        }
    }

    /// What neighbours are to be told, sooner or later.
    pub(crate) const fn untold(&self) -> &BTreeSet<LogKey> {
        &self.changed
    }

    /// A neighbour that is to be told now, and of which logs.
    pub(crate) fn take_ack(&mut self, now: Time) -> Option<(Sender, BTreeSet<LogKey>)> {
        let (upstream, _) = self.acks.iter().find(|(_, ack)| ack.due <= now)?;
        let upstream = *upstream;
        self.unacked.remove(&upstream);
        self.acks.remove(&upstream).map(|ack| (upstream, ack.logs))
    }

    /// When there will be something to tell.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.acks.values().map(|ack| ack.due).chain(self.due).min()
    }
}

/// How often neighbours are told what changed. The last message of a burst, if it is lost, is
/// missed for this long and a round trip; a quiet node tells nothing.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long it takes until a frame is acknowledged that is not followed by others.
const ACK_DELAY: Duration = Duration::from_millis(50);

/// After how many frames, or bytes of them, that is done without delay: a small part of what may be
/// on the way of one channel, so that posting does not wait for it.
const ACK_TIMES: u32 = 16;
const ACK_BYTES: usize = 512 * 1024;

#[cfg(test)]
mod tests;
