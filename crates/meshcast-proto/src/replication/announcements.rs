//! Channels of which neighbours are yet to be told all: whoever opens one is told of each log of
//! it, and what it asks for costs no more than it is told.
//!
//! That a neighbour is to be told is state, one place for each channel that it has open, however
//! often it asks. What it is told is made when it is its turn: as much as its link takes, at a
//! rate. So a message of a few bytes, or many of them, make neither memory nor work without a
//! bound.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    bounds::{Rate, TokenBucket},
    wire::{ChannelName, Sender, Time},
};

/// Whom to tell of which channels.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    peers: BTreeMap<Sender, Pending>,
    /// Logs that all were told of.
    all: TokenBucket,
}

/// What one neighbour is to be told.
#[derive(Debug, Default)]
struct Pending {
    /// By when they were asked for.
    queue: BTreeMap<u64, ChannelName>,
    /// Where in the queue each is.
    places: BTreeMap<ChannelName, u64>,
    /// The last place.
    place: u64,
    /// How far it was told of the first channel in the queue.
    after: Option<Sender>,
    /// Its link takes nothing more at the moment.
    is_congested: bool,
    /// Logs that it was told of.
    told: TokenBucket,
    /// Logs that were looked through since it closed channels.
    closed: TokenBucket,
}

impl Announcements {
    /// A neighbour is to be told all of a channel that it has open, from the beginning.
    pub(crate) fn add(&mut self, peer: Sender, channel: &ChannelName) {
        let pending = self.peers.entry(peer).or_default();
        if pending.first() == Some(channel) {
            pending.after = None;
        } else if !pending.places.contains_key(channel) {
            pending.place += 1;
            pending.queue.insert(pending.place, channel.clone());
            pending.places.insert(channel.clone(), pending.place);
        }
    }

    /// A neighbour is to be told nothing of a channel any more.
    pub(crate) fn remove(&mut self, peer: Sender, channel: &ChannelName) {
        if let Some(pending) = self.peers.get_mut(&peer) {
            if pending.first() == Some(channel) {
                pending.after = None;
            }
            if let Some(place) = pending.places.remove(channel) {
                pending.queue.remove(&place);
            }
        }
    }

    /// Whether a neighbour will be told all of a channel anyway.
    pub(crate) fn contains(&self, peer: Sender, channel: &ChannelName) -> bool {
        let pending = self.peers.get(&peer);
        pending.is_some_and(|pending| pending.places.contains_key(channel))
    }

    /// The link to a neighbour takes nothing more at the moment, or does again.
    pub(crate) fn set_congested(&mut self, peer: Sender, is_congested: bool) {
        self.peers.entry(peer).or_default().is_congested = is_congested;
    }

    pub(crate) fn is_congested(&self, peer: Sender) -> bool {
        let pending = self.peers.get(&peer);
        pending.is_some_and(|pending| pending.is_congested)
    }

    /// Whether a neighbour may be told something now.
    pub(crate) fn is_due(&self, peer: Sender, now: Time) -> bool {
        let pending = self.peers.get(&peer);
        pending.is_none_or(|pending| pending.told.is_due(RATE, now))
    }

    /// The neighbour whose turn it is to be told of the channels it waits for.
    pub(crate) fn next(&self, now: Time) -> Option<Sender> {
        if !self.all.is_due(TOTAL_RATE, now) {
            return None;
        }
        let ready = self
            .waiting()
            .filter(|(_, pending)| pending.told.is_due(RATE, now));
        let (peer, _) = ready.min_by_key(|(_, pending)| pending.told)?;
        Some(*peer)
    }

    /// The channel that a neighbour is to be told of first, and behind which sender.
    pub(crate) fn first(&self, peer: Sender) -> Option<(ChannelName, Option<Sender>)> {
        let pending = self.peers.get(&peer)?;
        Some((pending.first()?.clone(), pending.after))
    }

    /// The neighbour was told of the [first](Self::first) up to this sender; or all, if there is
    /// none.
    pub(crate) fn told_upto(&mut self, peer: Sender, sender: Option<Sender>) {
        if let Some(pending) = self.peers.get_mut(&peer) {
            pending.after = sender;
            if sender.is_none()
                && let Some((_, channel)) = pending.queue.pop_first()
            {
                pending.places.remove(&channel);
            }
        }
    }

    /// A neighbour was told of so many logs that [were due](Self::next).
    pub(crate) fn charge_all(&mut self, peer: Sender, logs: usize, now: Time) {
        self.all.take(logs, TOTAL_RATE, now);
        self.charge(peer, logs, now);
    }

    /// A neighbour was told of so many logs that changed.
    pub(crate) fn charge(&mut self, peer: Sender, logs: usize, now: Time) {
        self.peers
            .entry(peer)
            .or_default()
            .told
            .take(logs, RATE, now);
    }

    /// Whether the logs of a channel may be looked through that a neighbour closed.
    pub(crate) fn may_close(&self, peer: Sender, now: Time) -> bool {
        let pending = self.peers.get(&peer);
        pending.is_none_or(|pending| pending.closed.is_due(CLOSE_RATE, now))
    }

    /// So many logs were looked through.
    pub(crate) fn charge_close(&mut self, peer: Sender, logs: usize, now: Time) {
        let pending = self.peers.entry(peer).or_default();
        pending.closed.take(logs, CLOSE_RATE, now);
    }

    /// A neighbour is gone.
    pub(crate) fn forget(&mut self, peer: Sender) {
        self.peers.remove(&peer);
    }

    /// When there will be something to tell.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let due = self.waiting().map(|(_, pending)| pending.told.due(RATE));
        let due = due.min()?.max(self.all.due(TOTAL_RATE));
        Some(due.unwrap_or(Time::ZERO))
    }

    fn waiting(&self) -> impl Iterator<Item = (&Sender, &Pending)> {
        let is_waiting = |pending: &Pending| !pending.queue.is_empty() && !pending.is_congested;
        self.peers
            .iter()
            .filter(move |(_, pending)| is_waiting(pending))
    }
}

impl Pending {
    fn first(&self) -> Option<&ChannelName> {
        self.queue.first_key_value().map(|(_, channel)| channel)
    }
}

/// How many logs a second one neighbour is told of: ten senders on each of 16,000 channels in
/// little more than a second. And how many at once: no more than two messages, since of what waits
/// for it the share of a neighbour may be as little as its reserve. What it does not take at once
/// holds up the rest.
const RATE: Rate = Rate {
    per_second: 131_072,
    burst: Duration::from_millis(15),
};

/// How many logs a second are looked through for one neighbour that closes channels. One that has
/// ten senders on each of 10,000 may close them all at once.
const CLOSE_RATE: Rate = Rate {
    per_second: 131_072,
    burst: Duration::from_secs(1),
};

/// How many logs a second all are told of that opened channels: a part of what a processor can do,
/// at some 2 µs each.
const TOTAL_RATE: Rate = Rate {
    per_second: 262_144,
    burst: Duration::from_millis(125),
};

#[cfg(test)]
mod tests;
