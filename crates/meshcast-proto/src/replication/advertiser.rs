//! Announcements of the logs here: what changed, what arrived of a peer's, and everything of a
//! channel that it opened.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    replication::{announcements::Announcements, digest::Digest, peers::Peers},
    wire::{Answer, ChannelName, Holding, Holdings, LogKey, Sender, SyncMessage, Time},
};

/// What is known of the logs here.
pub(crate) trait Inventory {
    /// The connected peers, and what they listen to.
    fn peers(&self) -> &Peers;

    /// The senders of a channel whose logs changed behind that change, each with its last change
    /// and in this order, at most so many.
    fn changed_after(&self, channel: &ChannelName, change: u64, most: usize) -> Vec<(u64, Sender)>;

    /// The number of the last change of a log; nothing if there is none.
    fn change(&self, key: &LogKey) -> Option<u64>;

    /// Whether a frame of a log came. Otherwise others only say that there is such a log.
    fn is_proven(&self, key: &LogKey) -> bool;

    /// The peer whose backup upstream for a log this node is.
    fn backup_for(&self, key: &LogKey) -> Option<Sender>;

    /// The report to a peer of one log; `None` while nothing is known of it.
    fn holding(&self, peer: Sender, key: &LogKey) -> Option<Holding>;
}

/// What is still to be told, and to whom. It returns messages, each with the peer it goes to.
#[derive(Debug, Default)]
pub(crate) struct Advertiser {
    pub(crate) digest: Digest,
    pub(crate) announcements: Announcements,
}

impl Advertiser {
    /// A peer is gone.
    pub(crate) fn forget(&mut self, peer: Sender) {
        self.digest.forget(peer);
        self.announcements.forget(peer);
    }

    /// When there will be something to tell.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let parts = [
            self.digest.poll_timeout(),
            self.announcements.poll_timeout(),
        ];
        parts.into_iter().flatten().min()
    }

    /// Tells senders what arrived of theirs.
    pub(crate) fn acks(
        &mut self,
        inventory: &impl Inventory,
        now: Time,
    ) -> Vec<(Sender, SyncMessage)> {
        let mut out = Vec::new();
        while let Some((upstream, logs)) = self.digest.take_ack(now) {
            let logs = Changed::new(&logs, inventory);
            out.extend(self.logs(upstream, &logs, inventory, now));
        }
        out
    }

    /// Tells the peers soon of what advanced whose backup upstream this node is.
    pub(crate) fn notices(
        &mut self,
        inventory: &impl Inventory,
        now: Time,
    ) -> Vec<(Sender, SyncMessage)> {
        let mut told = BTreeMap::<_, BTreeSet<_>>::new();
        for key in self.digest.take_noticed(now) {
            if let Some(peer) = inventory.backup_for(&key) {
                told.entry(peer).or_default().insert(key);
            }
        }
        let told = told.into_iter().map(|(peer, logs)| {
            let logs = Changed::new(&logs, inventory);
            self.logs(peer, &logs, inventory, now)
        });
        told.flatten().collect()
    }

    /// Tells peers of logs that changed, which their numbers show.
    pub(crate) fn changed(
        &mut self,
        logs: &BTreeSet<LogKey>,
        inventory: &impl Inventory,
        now: Time,
    ) -> Vec<(Sender, SyncMessage)> {
        let changed = Changed::new(logs, inventory);
        let peers = inventory.peers().iter();
        let told = peers.map(|peer| self.logs(peer, &changed, inventory, now));
        told.flatten().collect()
    }

    /// Tells a peer at once what is to be told sooner or later.
    pub(crate) fn at_once(
        &mut self,
        peer: Sender,
        inventory: &impl Inventory,
        now: Time,
    ) -> Vec<(Sender, SyncMessage)> {
        let changed = self.digest.untold();
        self.logs(peer, &Changed::new(&changed, inventory), inventory, now)
    }

    /// Tells a peer of one log, however often it was told.
    pub(crate) fn one(
        &self,
        peer: Sender,
        key: &LogKey,
        inventory: &impl Inventory,
    ) -> Vec<(Sender, SyncMessage)> {
        let holding = inventory.holding(peer, key);
        let holdings = holding.map(|holding| news(&key.0, vec![holding]));
        messages(peer, holdings)
    }

    /// Tells peers of the channels that they opened, each when it is its turn.
    pub(crate) fn opened(
        &mut self,
        inventory: &impl Inventory,
        now: Time,
    ) -> Vec<(Sender, SyncMessage)> {
        let mut out = Vec::new();
        while let Some(peer) = self.announcements.next(now) {
            let (mut message, mut looked_at) = (Vec::new(), 0);
            while looked_at + 1 < SyncMessage::MAX_LOGS
                && message.len() < SyncMessage::MAX_CHANNELS
                && let Some((channel, after)) = self.announcements.first(peer)
            {
                looked_at += 1;
                let room = SyncMessage::MAX_LOGS - looked_at;
                let changed = inventory.changed_after(&channel, after, room);
                looked_at += changed.len();
                let more = (looked_at >= SyncMessage::MAX_LOGS)
                    .then(|| changed.last().map_or(after, |(change, _)| *change));
                self.announcements.told_upto(peer, more);
                let holding = |(_, sender)| inventory.holding(peer, &(channel.clone(), sender));
                let logs = changed.into_iter().filter_map(holding).collect();
                let wanted = inventory.peers().wanted(peer, &channel);
                let answer = wanted.map(|wanted| Answer {
                    opening: wanted.opening,
                    held: now.saturating_since(wanted.came),
                    more: more.is_some(),
                });
                message.push(Holdings {
                    channel,
                    answer,
                    logs,
                });
            }
            self.announcements.charge_turn(peer, looked_at, now);
            if !message.is_empty() {
                out.push((peer, SyncMessage::Have(message)));
            }
        }
        out
    }

    /// Tells a peer of these logs, as far as it said that it listens. Changes that cannot be told
    /// now, or are more than a message, are told in their turn.
    ///
    /// Logs of which a frame came are told at once, even while all logs of the channel are being
    /// told: that is for the peer to ask for what it lacks, and for senders to go on. However many
    /// logs a member makes up, they do not wait behind those.
    fn logs(
        &mut self,
        peer: Sender,
        changed: &Changed<'_>,
        inventory: &impl Inventory,
        now: Time,
    ) -> Vec<(Sender, SyncMessage)> {
        let announcements = &mut self.announcements;
        let is_congested = announcements.is_congested(peer);
        let is_due = announcements.is_due(peer, now);
        // A message names a channel once.
        let (mut news, mut count) = (BTreeMap::<_, Vec<Holding>>::new(), 0);
        for (key, is_proven) in changed.in_order() {
            if !inventory.peers().listens(peer, &key.0) {
                continue;
            }
            let has_turn = is_proven || (is_due && !announcements.contains(peer, &key.0));
            if is_congested || !has_turn || count >= SyncMessage::MAX_LOGS {
                if let Some(change) = inventory.change(key) {
                    announcements.defer(peer, &key.0, change);
                }
                continue;
            }
            count += 1;
            let Some(holding) = inventory.holding(peer, key) else {
                continue;
            };
            news.entry(&key.0).or_default().push(holding);
        }
        self.announcements.charge_news(peer, count, now);
        let news = news.into_iter();
        messages(peer, news.map(|(channel, logs)| self::news(channel, logs)))
    }
}

/// Logs that changed.
struct Changed<'a> {
    proven: Vec<&'a LogKey>,
    reported: Vec<&'a LogKey>,
}

impl<'a> Changed<'a> {
    fn new(logs: &'a BTreeSet<LogKey>, inventory: &impl Inventory) -> Self {
        let (proven, reported) = logs.iter().partition(|key| inventory.is_proven(key));
        Self { proven, reported }
    }

    /// Those of which a frame came first, each with whether one did.
    fn in_order(&self) -> impl Iterator<Item = (&'a LogKey, bool)> {
        let proven = self.proven.iter().map(|key| (*key, true));
        proven.chain(self.reported.iter().map(|key| (*key, false)))
    }
}

/// What is told of logs that is no answer to an opening.
fn news(channel: &ChannelName, logs: Vec<Holding>) -> Holdings {
    Holdings {
        channel: channel.clone(),
        answer: None,
        logs,
    }
}

/// Holdings in as many messages as it takes.
fn messages(
    peer: Sender,
    holdings: impl IntoIterator<Item = Holdings>,
) -> Vec<(Sender, SyncMessage)> {
    let (mut messages, mut message, mut count) = (Vec::new(), Vec::new(), 0);
    for Holdings {
        channel,
        answer,
        logs: mut rest,
    } in holdings
    {
        loop {
            let room = SyncMessage::MAX_LOGS - count;
            let later = rest.split_off(room.min(rest.len()));
            count += rest.len();
            message.push(Holdings {
                channel: channel.clone(),
                answer,
                logs: rest,
            });
            if count == SyncMessage::MAX_LOGS || message.len() == SyncMessage::MAX_CHANNELS {
                messages.push((peer, SyncMessage::Have(std::mem::take(&mut message))));
                count = 0;
            }
            if later.is_empty() {
                break;
            }
            rest = later;
        }
    }
    if !message.is_empty() {
        messages.push((peer, SyncMessage::Have(message)));
    }
    messages
}

#[cfg(test)]
mod tests;
