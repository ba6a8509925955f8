//! Who is waited for: peers that hear of logs through this node, and readers in this process.

use super::{Effects, LogEntry, Logs, keys_of};
use crate::{
    replication::progress::Checked,
    wire::{ChannelName, LogKey, Sender, Time},
};

impl Logs {
    /// A peer closed a channel or opens it anew: for what is posted here it is waited for no
    /// longer, until it tells how far it is.
    pub(crate) fn unlisten(&mut self, peer: Sender, channel: &ChannelName, out: &mut Effects) {
        let key = self.key_of_ours(channel);
        if let Some(LogEntry { id, replica, .. }) = self.logs.get_mut(&key)
            && self.by_peer.is_involved(peer, *id)
        {
            let log = *id;
            replica.askers.remove(&peer);
            replica.fetch.handle_gone(peer);
            self.release_claim(peer, log);
            out.advances.acks_changed.insert(key);
        }
    }

    /// A peer closed a channel: it is waited for no longer. Returns through how many logs was
    /// looked for those where it was.
    pub(crate) fn handle_channel_closed(
        &mut self,
        peer: Sender,
        channel: &ChannelName,
        now: Time,
        out: &mut Effects,
    ) -> usize {
        let keys = keys_of(&self.logs, channel);
        let looked_at = keys.len();
        for key in keys {
            let Some(LogEntry { replica, .. }) = self.logs.get_mut(&key) else {
                continue;
            };
            // It will not hand on anything for long.
            if replica.upstream == Some(peer)
                && replica.update_route(self.me, &key, &self.peers, now)
            {
                out.advances.route_changed.insert(key.clone());
            }
            if replica.fetch.holders().gate(peer).is_some() {
                out.advances.acks_changed.insert(key);
            }
        }
        #[cfg(test)]
        {
            self.looked_at += looked_at;
        }
        looked_at
    }

    /// Readers in this process fell behind with a channel.
    pub(crate) fn hold(&mut self, channel: &ChannelName) {
        for key in keys_of(&self.logs, channel) {
            // Readers here do not hold up what is posted here.
            if let Some(LogEntry { replica, .. }) = self.logs.get_mut(&key)
                && !replica.is_ours()
            {
                replica.held = replica.log.reorder().next();
            }
        }
    }

    /// They caught up, or are waited for no longer.
    pub(crate) fn release(&mut self, channel: &ChannelName, out: &mut Effects) {
        for key in keys_of(&self.logs, channel) {
            if let Some(LogEntry { replica, .. }) = self.logs.get_mut(&key)
                && replica.held.take().is_some()
            {
                out.advances.acks_changed.insert(key);
            }
        }
    }

    /// Checks again who keeps up with a log.
    pub(crate) fn check_listeners(
        &mut self,
        key: &LogKey,
        now: Time,
        out: &mut Effects,
    ) -> Option<Checked> {
        let (channel, sender) = key;
        let LogEntry { replica, .. } = self.logs.get_mut(key)?;
        let next = replica.log.next()?;
        let lowest = replica.lowest(channel, &self.peers);
        let (peers, checkpoints) = (&self.peers, &replica.checkpoints);
        // The sender has all that it posted, whatever it says.
        let listens = |peer| peer != *sender && peers.listens(peer, channel);
        let listeners = replica.fetch.listeners_mut();
        let checked = peers.check(listeners, listens, checkpoints, next, now);
        if replica.lowest(channel, peers) != lowest {
            out.advances.acks_changed.insert(key.clone());
        }
        Some(checked)
    }
}
