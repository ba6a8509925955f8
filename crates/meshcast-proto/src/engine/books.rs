//! What peers are told of the logs of a node, ours among them.

use std::collections::BTreeMap;

use super::Channel;
use crate::{
    log::History,
    replication::{Books, Logs, Peers, Wanted},
    wire::{ChannelName, Holding, LogKey, Sender, Seq, Time},
};

/// All that it is read from.
pub(super) struct View<'a> {
    pub(super) me: Sender,
    pub(super) channels: &'a BTreeMap<ChannelName, Channel>,
    pub(super) logs: &'a Logs,
    pub(super) history: &'a History,
}

impl Books for View<'_> {
    fn peers(&self) -> &Peers {
        &self.logs.peers
    }

    /// This node is the first of the senders.
    fn senders_after(
        &self,
        channel: &ChannelName,
        after: Option<Sender>,
        most: usize,
    ) -> Vec<Sender> {
        let own = after.is_none().then_some(self.me);
        let from = after.filter(|after| *after != self.me);
        let others = self.logs.after(channel, from);
        own.into_iter().chain(others).take(most).collect()
    }

    fn holding(&self, peer: Sender, key: &LogKey) -> Option<Holding> {
        let (channel, sender) = key;
        let (next, begin, known, hops, lowest) = if *sender == self.me {
            let own = self.channels.get(channel)?;
            own.next.previous()?;
            let outbound = own.outbound.as_ref();
            let known = outbound.is_some_and(|outbound| outbound.listeners.contains_key(&peer));
            (own.next, Seq::FIRST, known, 0, None)
        } else {
            let log = self.logs.get(key)?;
            if log.reorder.newest().is_none() && log.fetch.holders().knows_no_less(peer) {
                // It says so itself, and nothing came of it yet: two who tell each other would keep
                // alive what never was.
                return None;
            }
            let lowest = if log.upstream == Some(peer) {
                log.lowest(channel, &self.logs.peers)
            } else {
                None
            };
            let (next, begin) = log.frontier()?;
            if *sender == peer {
                // Not what others say of it, which it knows better.
                log.next()?;
            }
            let opening = self.logs.peers.opening(peer, channel);
            (
                next,
                begin,
                log.fetch.holders().knows(peer, opening),
                log.hops,
                lowest,
            )
        };
        let mut begin = begin;
        let due = match self.logs.peers.wanted(peer, channel) {
            Some(Wanted { since, last, .. }) if !known && *sender != peer => {
                let due = if self.is_born_since(key, since) {
                    Some(Seq::FIRST)
                } else {
                    self.history.first_since(channel, *sender, since, last)
                };
                let due = due.map_or(next, |due| due.min(next));
                let behind = self
                    .logs
                    .get(key)
                    .is_some_and(|log| log.reorder.hole().is_some());
                if due == next && behind {
                    // What it still lacks itself it cannot judge: as little as one that came later.
                    begin = next;
                }
                Some(due)
            }
            _ => None,
        };
        let oldest = self
            .history
            .oldest(channel, *sender)
            .map_or(next, |oldest| oldest.min(next));
        Some(Holding {
            sender: *sender,
            oldest,
            next,
            due,
            hops,
            lowest,
            begin,
        })
    }
}

impl View<'_> {
    /// Whether all that this sender posted on the channel was posted since then, kept or not.
    fn is_born_since(&self, key: &LogKey, since: Time) -> bool {
        let (channel, sender) = key;
        if *sender == self.me {
            let born = self.channels.get(channel).and_then(|own| own.born);
            return born.is_some_and(|born| since <= born);
        }
        self.logs
            .get(key)
            .is_some_and(|log| log.origin.is_since(since))
    }
}
