//! Logs of what this node posts. They are as those of others, but begin with the first number, have
//! no hole and are charged to nobody. They stay while their channel is closed, for as long as
//! anything of it is kept.

use std::sync::Arc;

use super::{Effects, LogEntry, Logs};
use crate::{
    identity::Member,
    log::Arrival,
    replication::replica::Replica,
    wire::{ChannelName, Frame, LogKey, Seq, Time},
};

impl Logs {
    /// What is posted next on a channel, and when the first was.
    pub(crate) fn ours(&self, channel: &ChannelName) -> Option<(Seq, Time)> {
        let replica = self.get(&self.key_of_ours(channel))?;
        Some((replica.log.reorder().next()?, replica.origin.heard()?))
    }

    /// This node posts a frame, on a channel on which its log has [begun](Self::resume_ours).
    pub(crate) fn post(
        &mut self,
        frame: &Frame,
        member: &Arc<Member>,
        now: Time,
        out: &mut Effects,
    ) {
        let key = self.key_of_ours(frame.channel());
        if let Some(LogEntry { replica, .. }) = self.logs.get_mut(&key) {
            let arrival = Arrival::local(now);
            replica.insert(frame.clone(), member, false, usize::MAX, arrival);
        }
        self.advance(&key, now, out);
    }

    /// A name is posted on for the first time, or used again that [ended](Self::end_ours) there.
    pub(crate) fn resume_ours(
        &mut self,
        channel: &ChannelName,
        member: &Arc<Member>,
        (next, born): (Seq, Time),
        now: Time,
    ) {
        let replica = Replica::ours(member, next, born, now);
        let key = self.key_of_ours(channel);
        let change = self.changes.add(&key);
        let id = self.by_peer.begin(&key);
        self.logs
            .insert(key, LogEntry::new(id, replica, None, change));
    }

    /// Nothing is kept of a channel any more. Returns what is to be posted next, and when the first
    /// was posted.
    pub(crate) fn end_ours(&mut self, channel: &ChannelName) -> Option<(Seq, Time)> {
        let ours = self.ours(channel)?;
        self.remove(&self.key_of_ours(channel));
        Some(ours)
    }

    pub(super) fn key_of_ours(&self, channel: &ChannelName) -> LogKey {
        (channel.clone(), self.me)
    }
}
