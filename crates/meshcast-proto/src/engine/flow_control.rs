//! The link between [flow control](crate::flow_control) and logs and peers: what was posted and is
//! in flight, who keeps up, and whom that concerns. Methods of the [engine](Engine); the state is
//! in its parts.

use super::{Engine, Output};
use crate::{
    flow_control::Progress,
    replication::{Acked, Advances, Checked, Effects, Logs},
    wire::{ChannelName, LogKey, Sender, Seq, SeqRange, Time},
};

impl Engine {
    /// Whether a frame may be posted on a channel now. If not, an [`Output::Writable`] will follow.
    /// Posting nevertheless overruns queues on the way, and peers then have to fetch what was
    /// dropped.
    pub fn may_post(&mut self, channel: &ChannelName) -> bool {
        self.windows.may_send(channel)
    }

    /// The number of peers that have a number posted here, by their own word. Only peers count that
    /// had the channel open when it was posted. `None` once the number is no longer kept: a peer
    /// whose acknowledgement passes it may have given it up.
    pub fn acked(&self, channel: &ChannelName, seq: Seq) -> Option<usize> {
        let replica = self.logs.get(&(channel.clone(), self.me.sender()))?;
        let seqs = SeqRange::single(seq);
        let kept = self
            .history
            .frames(channel, self.me.sender(), seqs)
            .next()?;
        let has = |(peer, listener): &(Sender, &Progress)| {
            let wanted = self.logs.peers.wanted(*peer, channel);
            listener.next() > seq && wanted.is_some_and(|wanted| wanted.since <= kept.posted)
        };
        Some(replica.fetch.holders().listeners().filter(has).count())
    }

    /// The numbers posted here for which [`Self::acked`] may have grown since this was last called:
    /// one range for each channel.
    pub fn poll_acked(&mut self) -> Option<(ChannelName, SeqRange)> {
        self.acks.take()
    }

    /// Grows whenever [`Self::acked`] may have grown.
    pub const fn acks(&self) -> u64 {
        self.acks.count()
    }

    /// Readers in this process fell behind on a channel (`true`), or caught up. While they are
    /// behind this node acknowledges nothing more, which holds up senders, for half a second at
    /// most. Slower readers hold up nobody.
    pub fn handle_readers_behind(&mut self, channel: &ChannelName, behind: bool, now: Time) {
        self.debug_assert_drained();
        if behind {
            if self.readers.begin(channel, now) {
                self.logs.hold(channel);
            }
        } else if self.readers.end(channel) {
            self.release(channel, now);
        }
    }

    fn release(&mut self, channel: &ChannelName, now: Time) {
        let mut effects = Effects::default();
        self.logs.release(channel, &mut effects);
        self.take_effect(effects, now);
    }

    /// Something was posted.
    pub(super) fn sent(&mut self, channel: &ChannelName, seqs: SeqRange, len: usize, now: Time) {
        self.acks.posted(channel, seqs);
        self.windows.sent(channel, seqs.last(), len, now);
        self.update_window(channel, now);
    }

    /// Peers told that they have more of what was posted here.
    pub(super) fn acknowledged(&mut self, acked: Vec<Acked>) {
        for Acked {
            peer,
            channel,
            seqs,
        } in acked
        {
            self.has_below(peer, &channel, seqs.last().next());
            self.acks.acked(channel, seqs);
        }
    }

    /// Logs advanced, their listeners acknowledged more, or the way to their senders changed: peers
    /// are told.
    pub(super) fn report(&mut self, advances: Advances, now: Time) {
        let Advances {
            advanced,
            acks_changed,
            route_changed,
        } = advances;
        let upstream =
            |logs: &Logs, key: &LogKey| logs.get(key).and_then(|replica| replica.upstream);
        for key in acks_changed {
            if key.1 == self.me.sender() {
                self.update_window(&key.0, now);
            } else if let Some(upstream) = upstream(&self.logs, &key) {
                self.advertiser.digest.hand_on(upstream, &key, now);
            }
        }
        for key in route_changed {
            // From now on it is to hand on the frames of this log.
            if let Some(upstream) = upstream(&self.logs, &key)
                && upstream != key.1
            {
                self.advertiser.digest.hand_on(upstream, &key, now);
            }
            let is_proven = self.logs.is_proven(&key);
            self.advertiser.digest.way_changed(key, is_proven, now);
        }
        for key in advanced {
            if let Some(upstream) = upstream(&self.logs, &key) {
                self.advertiser.digest.progress(upstream, &key, now);
                self.advertiser.digest.notice(&key, now);
            }
            let is_proven = self.logs.is_proven(&key);
            self.advertiser.digest.changed(key.clone(), is_proven, now);
            self.lagging.watch(&key, now);
        }
    }

    /// Checks again who keeps up.
    pub(super) fn check_progress(&mut self, now: Time) {
        for channel in self.readers.take_late(now) {
            self.release(&channel, now);
        }
        let mut effects = Effects::default();
        while let Some(key) = self.lagging.take_due(now) {
            let checked = self.logs.check_listeners(&key, now, &mut effects);
            let Checked { lagging, again } = checked.unwrap_or_default();
            self.lagging.checked(key, lagging, again, now);
        }
        let changes = self.lagging.take_changes().into_iter();
        self.outputs
            .extend(changes.map(|(peer, lags)| Output::Lagging { peer, lags }));
        self.take_effect(effects, now);
    }

    /// Removes from flight what has arrived at everybody who is waited for, and tells those who
    /// wait for room.
    pub(super) fn update_window(&mut self, channel: &ChannelName, now: Time) {
        let Some(replica) = self.logs.get(&(channel.clone(), self.me.sender())) else {
            return;
        };
        let slowest = replica.slowest(channel, &self.logs.peers);
        let lowest = slowest.or_else(|| replica.log.reorder().next());
        if let Some(lowest) = lowest {
            let anybody = slowest.is_some();
            let writable = self.windows.arrived(channel, lowest, anybody, now);
            self.outputs.writable(writable);
        }
    }
}
