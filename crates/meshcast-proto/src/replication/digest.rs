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
    /// Of which a frame came.
    proven: Changes,
    /// Of which others only say that there are such logs. However many a member makes up, the
    /// others are told no later for it.
    reported: Changes,
    acks: BTreeMap<Sender, Ack>,
    /// Logs of others that advanced, of which one peer each is told soon.
    noticed: BTreeSet<LogKey>,
    notice_due: Option<Time>,
    /// The bytes of frames that came and were not told upstream yet.
    unacked: BTreeMap<Sender, usize>,
}

/// Logs that changed, of which all peers are told.
#[derive(Debug, Default)]
struct Changes {
    logs: BTreeSet<LogKey>,
    /// When the first of them did, of which peers were not told; `None` while nothing did.
    since: Option<Time>,
    /// When they are to be told since the way to a sender changed.
    way_due: Option<Time>,
}

/// The acknowledgement to a peer that is the sender of these logs, or nearer to it.
#[derive(Debug)]
struct Ack {
    logs: BTreeSet<LogKey>,
    times: u32,
    due: Time,
}

impl Digest {
    /// A log advanced, which all peers are told in time. It is proven if a frame of it came.
    pub(crate) fn changed(&mut self, key: LogKey, is_proven: bool, now: Time) {
        self.changes(is_proven).add(key, now);
    }

    /// There is another way to the sender of a log, or a first one: by that peers decide whom to
    /// give its frames, so they are told sooner.
    pub(crate) fn way_changed(&mut self, key: LogKey, is_proven: bool, now: Time) {
        let changes = self.changes(is_proven);
        changes.add(key, now);
        changes.way_due.get_or_insert(now + ACK_DELAY);
    }

    const fn changes(&mut self, is_proven: bool) -> &mut Changes {
        match is_proven {
            true => &mut self.proven,
            false => &mut self.reported,
        }
    }

    /// A log of another advanced, which the peer is told soon whose backup upstream this node is.
    pub(crate) fn notice(&mut self, key: &LogKey, now: Time) {
        if !self.noticed.contains(key) {
            self.noticed.insert(key.clone());
            self.notice_due.get_or_insert(now + NOTICE);
        }
    }

    /// The logs that one peer each is to be told of now.
    pub(crate) fn take_noticed(&mut self, now: Time) -> BTreeSet<LogKey> {
        if self.notice_due.is_none_or(|due| now < due) {
            return BTreeSet::new();
        }
        self.notice_due = None;
        std::mem::take(&mut self.noticed)
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
        let mut changed = self.proven.take(now);
        changed.append(&mut self.reported.take(now));
        changed
    }

    /// What all peers are to be told, now or later.
    pub(crate) fn untold(&self) -> BTreeSet<LogKey> {
        self.proven
            .logs
            .union(&self.reported.logs)
            .cloned()
            .collect()
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
        let acks = self.acks.values().map(|ack| ack.due);
        acks.chain(self.proven.due())
            .chain(self.reported.due())
            .chain(self.notice_due)
            .min()
    }
}

impl Changes {
    fn add(&mut self, key: LogKey, now: Time) {
        self.logs.insert(key);
        self.since.get_or_insert(now);
    }

    fn take(&mut self, now: Time) -> BTreeSet<LogKey> {
        if self.due().is_none_or(|due| now < due) {
            return BTreeSet::new();
        }
        std::mem::take(self).logs
    }

    /// When peers are told what changed.
    fn due(&self) -> Option<Time> {
        if self.logs.len() > FEW {
            // New ways too: somebody may have made up all of these logs.
            return self.since.map(|since| since + INTERVAL);
        }
        let due = self.since.map(|since| since + SOON);
        due.into_iter().chain(self.way_due).min()
    }
}

/// The interval at which peers are told what changed. If the last message of a burst is lost, it is
/// missed after this long and a round trip. A quiet node tells nothing.
const INTERVAL: Duration = Duration::from_millis(500);

/// The same while few logs changed. If a link was cut silently this is most of what a message
/// takes: with it, what copies may race and four ways of 30 ms, that is under half a second.
const SOON: Duration = Duration::from_millis(250);

/// The delay before the peer is told that a log advanced whose backup upstream this node is. With
/// the time that copies may race it is long enough for what the sender gave to all at once, also
/// where its way to that peer is the longer one; with that and a round trip it is under a quarter
/// of a second.
const NOTICE: Duration = Duration::from_millis(60);

/// The number that is few: of 50 bytes each, they cost a link 3 KiB a second more at most.
const FEW: usize = 16;

/// How long the acknowledgement of a single frame waits for others.
const ACK_DELAY: Duration = Duration::from_millis(50);

/// After this many frames, or bytes of them, the acknowledgement does not wait. It is a small part
/// of the send window, so that the sender is not held up.
const ACK_TIMES: u32 = 16;
const ACK_BYTES: usize = 512 * 1024;

#[cfg(test)]
mod tests;
