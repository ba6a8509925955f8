//! What peers are told of the logs of a node, ours among them.

use crate::{
    log::History,
    replication::{Inventory, Logs, Peers, Wanted},
    wire::{ChannelName, Holding, LogKey, Sender, Seq},
};

/// All that it is read from.
pub(super) struct View<'a> {
    pub(super) logs: &'a Logs,
    pub(super) history: &'a History,
}

impl Inventory for View<'_> {
    fn peers(&self) -> &Peers {
        &self.logs.peers
    }

    fn changed_after(&self, channel: &ChannelName, change: u64, most: usize) -> Vec<(u64, Sender)> {
        self.logs
            .changed_after(channel, change)
            .take(most)
            .collect()
    }

    fn change(&self, key: &LogKey) -> Option<u64> {
        self.logs.change(key)
    }

    fn is_proven(&self, key: &LogKey) -> bool {
        self.logs.is_proven(key)
    }

    fn backup_for(&self, key: &LogKey) -> Option<Sender> {
        let (channel, sender) = key;
        let replica = self.logs.get(key)?;
        replica.backup_for(self.logs.me(), *sender, channel, &self.logs.peers)
    }

    fn holding(&self, peer: Sender, key: &LogKey) -> Option<Holding> {
        let (channel, sender) = key;
        let replica = self.logs.get(key)?;
        let (log, holders) = (&replica.log, replica.fetch.holders());
        if log.reorder().newest().is_none() && holders.knows_no_less(peer) {
            // It says so itself, and nothing came of it yet: two who tell each other would keep
            // alive what never was.
            return None;
        }
        let (next, mut begin) = replica.frontier()?;
        if *sender == peer {
            // Not what others say of it, which it knows better.
            log.next()?;
        }
        let opening = self.logs.peers.opening(peer, channel);
        let known = holders.knows(peer, opening);
        let due = match self.logs.peers.wanted(peer, channel) {
            Some(Wanted { since, last, .. }) if !known && *sender != peer => {
                let due = if replica.origin.is_since(since) {
                    Some(Seq::FIRST)
                } else {
                    self.history.first_since(channel, *sender, since, last)
                };
                let due = due.map_or(next, |due| due.min(next));
                if due == next && log.reorder().hole().is_some() {
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
            hops: replica.hops,
            lowest: match replica.upstream {
                Some(upstream) if upstream == peer => replica.lowest(channel, &self.logs.peers),
                _ => None,
            },
            begin,
        })
    }
}
