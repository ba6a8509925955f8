//! The channels of which peers are still to be told everything.
//!
//! Whoever opens a channel is told of each log on it. A peer that waits for that takes one place
//! for each channel it has open, however often it asks. The answer is made in its turn: as much as
//! the link takes, at a limited rate. So small messages, or many of them, cannot cause unbounded
//! memory or work.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    bounds::{Rate, TokenBucket},
    wire::{ChannelName, Sender, Time},
};

/// Who is to be told of which channels.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    peers: BTreeMap<Sender, Pending>,
    /// The rate at which all peers together are told of logs.
    all: TokenBucket,
}

/// What one peer is still to be told.
#[derive(Debug, Default)]
struct Pending {
    /// In the order in which they were asked for.
    queue: BTreeMap<u64, ChannelName>,
    /// The place of each in the queue.
    places: BTreeMap<ChannelName, u64>,
    /// The last place taken.
    place: u64,
    /// The peer was told of the first channel in the queue up to this sender.
    after: Option<Sender>,
    /// Its link is congested.
    is_congested: bool,
    /// The rate at which it is told of logs.
    told: TokenBucket,
    /// The rate at which logs are looked through because it closed channels.
    closed: TokenBucket,
}

impl Announcements {
    /// A peer is to be told everything of a channel that it has open, from the beginning.
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

    /// A peer is to be told nothing more of a channel.
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

    /// Whether a peer is still to be told everything of a channel.
    pub(crate) fn contains(&self, peer: Sender, channel: &ChannelName) -> bool {
        let pending = self.peers.get(&peer);
        pending.is_some_and(|pending| pending.places.contains_key(channel))
    }

    /// The link to a peer is congested, or no longer is.
    pub(crate) fn set_congested(&mut self, peer: Sender, is_congested: bool) {
        self.peers.entry(peer).or_default().is_congested = is_congested;
    }

    pub(crate) fn is_congested(&self, peer: Sender) -> bool {
        let pending = self.peers.get(&peer);
        pending.is_some_and(|pending| pending.is_congested)
    }

    /// Whether the peer may be told something now.
    pub(crate) fn is_due(&self, peer: Sender, now: Time) -> bool {
        let pending = self.peers.get(&peer);
        pending.is_none_or(|pending| pending.told.is_due(RATE, now))
    }

    /// The peer whose turn it is.
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

    /// The channel that is told to a peer next, and the sender after which to go on.
    pub(crate) fn first(&self, peer: Sender) -> Option<(ChannelName, Option<Sender>)> {
        let pending = self.peers.get(&peer)?;
        Some((pending.first()?.clone(), pending.after))
    }

    /// The peer was told of the [first](Self::first) channel up to this sender, or completely if
    /// there is none.
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

    /// A peer was told of so many logs in [its turn](Self::next).
    pub(crate) fn charge_all(&mut self, peer: Sender, logs: usize, now: Time) {
        self.all.take(logs, TOTAL_RATE, now);
        self.charge(peer, logs, now);
    }

    /// A peer was told of so many logs that changed.
    pub(crate) fn charge(&mut self, peer: Sender, logs: usize, now: Time) {
        self.peers
            .entry(peer)
            .or_default()
            .told
            .take(logs, RATE, now);
    }

    /// Whether logs may be looked through now for a channel that the peer closed.
    pub(crate) fn may_close(&self, peer: Sender, now: Time) -> bool {
        let pending = self.peers.get(&peer);
        pending.is_none_or(|pending| pending.closed.is_due(CLOSE_RATE, now))
    }

    /// So many logs were looked through for the peer.
    pub(crate) fn charge_close(&mut self, peer: Sender, logs: usize, now: Time) {
        let pending = self.peers.entry(peer).or_default();
        pending.closed.take(logs, CLOSE_RATE, now);
    }

    /// A peer is gone.
    pub(crate) fn forget(&mut self, peer: Sender) {
        self.peers.remove(&peer);
    }

    /// When somebody can be told next.
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

/// How many logs a second one peer is told of: ten senders on each of 16,000 channels take little
/// more than a second. The burst is two messages at most, since a peer's share of the budget may be
/// as little as its reserve. What the peer does not read at once holds up the rest.
const RATE: Rate = Rate::per_second(131_072, Duration::from_millis(15));

/// How many logs a second are looked through for one peer that closes channels. A peer with ten
/// senders on each of 10,000 channels may close all at once.
const CLOSE_RATE: Rate = Rate::per_second(131_072, Duration::from_secs(1));

/// How many logs a second all peers that opened channels are told of: a part of what a processor
/// can do, at some 2 µs each.
const TOTAL_RATE: Rate = Rate::per_second(262_144, Duration::from_millis(125));

#[cfg(test)]
mod tests;
