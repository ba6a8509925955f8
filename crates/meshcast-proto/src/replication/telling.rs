//! What peers are told of the logs here: what changed, what arrived of theirs, and everything of a
//! channel that they opened.

use std::collections::BTreeSet;

use crate::{
    replication::{announcements::Announcements, digest::Digest, peers::Peers},
    wire::{Answer, ChannelName, Holding, Holdings, LogKey, Sender, SyncMessage, Time},
};

/// What is known of the logs here.
pub(crate) trait Books {
    /// Who is connected, and what they listen to.
    fn peers(&self) -> &Peers;

    /// The senders of a channel behind this one, at most so many.
    fn senders_after(
        &self,
        channel: &ChannelName,
        after: Option<Sender>,
        most: usize,
    ) -> Vec<Sender>;

    /// What a peer is told of one log; nothing while nothing is known of it.
    fn holding(&self, peer: Sender, key: &LogKey) -> Option<Holding>;
}

/// What is still to be told, and to whom. It returns messages, each with the peer it goes to.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    pub(crate) digest: Digest,
    pub(crate) announcements: Announcements,
}

impl Telling {
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

    /// Tells peers what changed, and senders what arrived of theirs.
    pub(crate) fn changed(&mut self, books: &impl Books, now: Time) -> Vec<(Sender, SyncMessage)> {
        let mut out = Vec::new();
        while let Some((upstream, logs)) = self.digest.take_ack(now) {
            out.extend(self.logs(upstream, &logs, books, now));
        }
        let changed = self.digest.take_changed(now);
        if !changed.is_empty() {
            for peer in books.peers().iter() {
                out.extend(self.logs(peer, &changed, books, now));
            }
        }
        out
    }

    /// Tells a peer at once what is to be told sooner or later.
    pub(crate) fn at_once(
        &mut self,
        peer: Sender,
        books: &impl Books,
        now: Time,
    ) -> Vec<(Sender, SyncMessage)> {
        let changed = self.digest.untold().clone();
        self.logs(peer, &changed, books, now)
    }

    /// Tells a peer of one log, however often it was told.
    pub(crate) fn one(
        &self,
        peer: Sender,
        key: &LogKey,
        books: &impl Books,
    ) -> Vec<(Sender, SyncMessage)> {
        let holding = books.holding(peer, key);
        let holdings = holding.map(|holding| news(key, holding));
        messages(peer, holdings)
    }

    /// Tells peers of the channels that they opened, each when it is its turn.
    pub(crate) fn opened(&mut self, books: &impl Books, now: Time) -> Vec<(Sender, SyncMessage)> {
        let mut out = Vec::new();
        while let Some(peer) = self.announcements.next(now) {
            let (mut message, mut looked_at) = (Vec::new(), 0);
            while looked_at + 1 < SyncMessage::MAX_LOGS
                && message.len() < SyncMessage::MAX_CHANNELS
                && let Some((channel, after)) = self.announcements.first(peer)
            {
                looked_at += 1;
                let room = SyncMessage::MAX_LOGS - looked_at;
                let senders = books.senders_after(&channel, after, room);
                looked_at += senders.len();
                let more =
                    (looked_at >= SyncMessage::MAX_LOGS).then(|| senders.last().copied().or(after));
                self.announcements.told_upto(peer, more.flatten());
                let holding = |sender| books.holding(peer, &(channel.clone(), sender));
                let logs = senders.into_iter().filter_map(holding).collect();
                let wanted = books.peers().wanted(peer, &channel);
                let answer = wanted.map(|wanted| Answer {
                    opening: wanted.opening,
                    held: now.saturating_since(wanted.came),
                    more: more.flatten().is_some(),
                });
                message.push(Holdings {
                    channel,
                    answer,
                    logs,
                });
            }
            self.announcements.charge_all(peer, looked_at, now);
            if !message.is_empty() {
                out.push((peer, SyncMessage::Have(message)));
            }
        }
        out
    }

    /// Tells a peer of these logs, as far as it said that it listens, and so was told of everything
    /// before. One that cannot be told now is told all of these channels when it can, and of what
    /// is more than a message.
    fn logs(
        &mut self,
        peer: Sender,
        logs: &BTreeSet<LogKey>,
        books: &impl Books,
        now: Time,
    ) -> Vec<(Sender, SyncMessage)> {
        let announcements = &mut self.announcements;
        let may_tell = announcements.is_due(peer, now) && !announcements.is_congested(peer);
        let (mut holdings, mut told): (Vec<Holdings>, _) = (Vec::new(), 0);
        for key in logs {
            if !books.peers().listens(peer, &key.0) {
                continue;
            }
            if !may_tell || told >= SyncMessage::MAX_LOGS {
                self.announcements.add(peer, &key.0);
            }
            if self.announcements.contains(peer, &key.0) {
                continue;
            }
            told += 1;
            let Some(holding) = books.holding(peer, key) else {
                continue;
            };
            match holdings.last_mut() {
                Some(last) if last.channel == key.0 => last.logs.push(holding),
                _ => holdings.push(news(key, holding)),
            }
        }
        self.announcements.charge(peer, told, now);
        messages(peer, holdings)
    }
}

/// What is told of a log that is no answer to an opening.
fn news(key: &LogKey, holding: Holding) -> Holdings {
    Holdings {
        channel: key.0.clone(),
        answer: None,
        logs: vec![holding],
    }
}

/// Holdings in as many messages as it takes.
fn messages(
    peer: Sender,
    holdings: impl IntoIterator<Item = Holdings>,
) -> Vec<(Sender, SyncMessage)> {
    let (mut messages, mut message, mut told) = (Vec::new(), Vec::new(), 0);
    for Holdings {
        channel,
        answer,
        logs: mut rest,
    } in holdings
    {
        loop {
            let room = SyncMessage::MAX_LOGS - told;
            let later = rest.split_off(room.min(rest.len()));
            told += rest.len();
            message.push(Holdings {
                channel: channel.clone(),
                answer,
                logs: rest,
            });
            if told == SyncMessage::MAX_LOGS || message.len() == SyncMessage::MAX_CHANNELS {
                messages.push((peer, SyncMessage::Have(std::mem::take(&mut message))));
                told = 0;
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
