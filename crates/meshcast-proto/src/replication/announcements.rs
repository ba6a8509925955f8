//! The channels of which peers are still to be told what changed, or everything.
//!
//! A peer that opens a channel is told of each log on it. A peer that waits for that takes one
//! place for each channel it has open, however often it asks. The answer is made in its turn: as
//! much as the link takes, at a limited rate. So small messages, or many of them, cannot cause
//! unbounded memory or work.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    bounds::{FairQueue, Rate, TokenBucket, Waits},
    wire::{ChannelName, Sender, Time},
};

/// Who is to be told of which channels. The work is logs.
#[derive(Debug)]
pub(crate) struct Announcements(FairQueue<Sender, Pending>);

/// What one peer is still to be told.
#[derive(Debug, Default)]
struct Pending {
    /// In the order in which they were asked for.
    queue: BTreeMap<u64, ChannelName>,
    positions: BTreeMap<ChannelName, Position>,
    /// The last turn that was given.
    turn: u64,
    /// Its link is congested.
    is_congested: bool,
    /// The rate at which logs are looked through because it closed channels.
    closed: TokenBucket,
}

/// Where a channel stands in the queue.
#[derive(Debug, Clone, Copy)]
struct Position {
    turn: u64,
    /// The peer was told of all logs of the channel up to this change.
    after: u64,
}

impl Announcements {
    /// A peer is to be told everything of a channel that it has open, from the beginning.
    pub(crate) fn add(&mut self, peer: Sender, channel: &ChannelName) {
        self.change(peer, |pending| match pending.positions.get_mut(channel) {
            Some(position) => position.after = 0,
            None => pending.push(channel.clone(), 0),
        });
    }

    /// A log changed, of which the peer cannot be told now. It is told in its turn of what changed
    /// from this change on; what it is being told already goes on to it.
    pub(crate) fn defer(&mut self, peer: Sender, channel: &ChannelName, change: u64) {
        self.change(peer, |pending| {
            if !pending.positions.contains_key(channel) {
                pending.push(channel.clone(), change.saturating_sub(1));
            }
        });
    }

    /// A peer is to be told nothing more of a channel.
    pub(crate) fn remove(&mut self, peer: Sender, channel: &ChannelName) {
        self.0.change(peer, |pending| {
            if let Some(position) = pending.positions.remove(channel) {
                pending.queue.remove(&position.turn);
            }
        });
    }

    /// Whether a peer is still to be told everything of a channel.
    pub(crate) fn contains(&self, peer: Sender, channel: &ChannelName) -> bool {
        let pending = self.0.get(peer);
        pending.is_some_and(|pending| pending.positions.contains_key(channel))
    }

    /// The link to a peer is congested, or no longer is.
    pub(crate) fn set_congested(&mut self, peer: Sender, is_congested: bool) {
        self.change(peer, |pending| pending.is_congested = is_congested);
    }

    pub(crate) fn is_congested(&self, peer: Sender) -> bool {
        self.0.get(peer).is_some_and(|pending| pending.is_congested)
    }

    /// Whether the peer may be told something now.
    pub(crate) fn is_due(&self, peer: Sender, now: Time) -> bool {
        self.0.is_due(peer, now)
    }

    /// The peer whose turn it is.
    pub(crate) fn next(&mut self, now: Time) -> Option<Sender> {
        Some(self.0.next(now, |_| ())?.0)
    }

    /// The channel that is told to a peer next, and the change behind which to go on.
    pub(crate) fn first(&self, peer: Sender) -> Option<(ChannelName, u64)> {
        let pending = self.0.get(peer)?;
        let (_, channel) = pending.queue.first_key_value()?;
        Some((channel.clone(), pending.positions.get(channel)?.after))
    }

    /// The peer was told of the [first](Self::first) channel up to this change, or of all of them
    /// if there is none.
    pub(crate) fn told_upto(&mut self, peer: Sender, change: Option<u64>) {
        self.0.change(peer, |pending| {
            let Some(first) = pending.queue.first_entry() else {
                return;
            };
            match change {
                Some(change) => {
                    if let Some(position) = pending.positions.get_mut(first.get()) {
                        position.after = change;
                    }
                }
                None => {
                    pending.positions.remove(&first.remove());
                }
            }
        });
    }

    /// A peer was told of so many logs in [its turn](Self::next).
    pub(crate) fn charge_turn(&mut self, peer: Sender, logs: usize, now: Time) {
        self.0.charge(peer, logs, now);
    }

    /// A peer was told of so many logs that changed. That is its rate, and not its turn: nobody
    /// waited for it meanwhile.
    pub(crate) fn charge_news(&mut self, peer: Sender, logs: usize, now: Time) {
        self.0.ensure(peer, Pending::default);
        self.0.charge_beside(peer, logs, now);
    }

    /// Whether logs may be looked through now for a channel that the peer closed.
    pub(crate) fn may_close(&self, peer: Sender, now: Time) -> bool {
        let pending = self.0.get(peer);
        pending.is_none_or(|pending| pending.closed.is_due(CLOSE_RATE, now))
    }

    /// So many logs were looked through for the peer.
    pub(crate) fn charge_close(&mut self, peer: Sender, logs: usize, now: Time) {
        self.change(peer, |pending| pending.closed.take(logs, CLOSE_RATE, now));
    }

    /// A peer is gone.
    pub(crate) fn forget(&mut self, peer: Sender) {
        self.0.remove(peer);
    }

    /// When somebody can be told next.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.0.poll_timeout()
    }

    fn change(&mut self, peer: Sender, change: impl FnOnce(&mut Pending)) {
        self.0.ensure(peer, Pending::default);
        self.0.change(peer, change);
    }
}

impl Default for Announcements {
    fn default() -> Self {
        Self(FairQueue::new(RATE, Some(TOTAL_RATE)))
    }
}

impl Waits for Pending {
    fn waits(&self) -> bool {
        !self.queue.is_empty() && !self.is_congested
    }
}

impl Pending {
    /// Puts a channel behind all others.
    fn push(&mut self, channel: ChannelName, after: u64) {
        self.turn += 1;
        let turn = self.turn;
        self.queue.insert(turn, channel.clone());
        self.positions.insert(channel, Position { turn, after });
    }
}

/// The logs a second that one peer is told of: ten senders on each of 16,000 channels take two and
/// a half seconds. The burst is two messages at most, since a peer's share of the budget may be as
/// little as its reserve. Data that the peer does not read at once holds up the rest.
const RATE: Rate = Rate::per_second(65_536, Duration::from_millis(30));

/// How many logs a second are looked through for one peer that closes channels. A peer with ten
/// senders on each of 10,000 channels may close all at once.
const CLOSE_RATE: Rate = Rate::per_second(131_072, Duration::from_secs(1));

/// The logs a second that all peers that opened channels are told of: half of what a processor can
/// do, at some 4 µs each where thirty peers told of all of them. The burst is two messages, since
/// nothing else is done meanwhile.
const TOTAL_RATE: Rate = Rate::per_second(131_072, Duration::from_millis(30));

#[cfg(test)]
mod tests;
