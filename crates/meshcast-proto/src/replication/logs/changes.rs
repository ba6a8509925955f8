//! The order in which logs changed last, to tell peers of them. A peer that was told of everything
//! up to one change is then told what changed after it: each log once and as it stands, however
//! often it changed.

use std::{collections::BTreeMap, ops::Bound};

use crate::wire::{ChannelName, LogKey, Sender};

/// The logs by their last change.
#[derive(Debug, Default)]
pub(super) struct Changes {
    channels: BTreeMap<ChannelName, BTreeMap<u64, Sender>>,
    last: u64,
}

impl Changes {
    /// A log is new or changed. Returns the number of its change, above all others.
    pub(super) fn add(&mut self, (channel, sender): &LogKey) -> u64 {
        self.last += 1;
        match self.channels.get_mut(channel) {
            Some(logs) => {
                logs.insert(self.last, *sender);
            }
            None => {
                let logs = BTreeMap::from([(self.last, *sender)]);
                self.channels.insert(channel.clone(), logs);
            }
        }
        self.last
    }

    /// A log whose last change was this one is gone, or changes again.
    pub(super) fn remove(&mut self, channel: &ChannelName, change: u64) {
        if let Some(logs) = self.channels.get_mut(channel) {
            logs.remove(&change);
            if logs.is_empty() {
                self.channels.remove(channel);
            }
        }
    }

    /// The logs of a channel whose last change is behind this one, in order.
    pub(super) fn after(
        &self,
        channel: &ChannelName,
        change: u64,
    ) -> impl Iterator<Item = (u64, Sender)> {
        let logs = self.channels.get(channel).into_iter();
        let behind = (Bound::Excluded(change), Bound::Unbounded);
        logs.flat_map(move |logs| logs.range(behind))
            .map(|(change, sender)| (*change, *sender))
    }

    /// How many logs there are, of which this is one.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.channels.values().map(BTreeMap::len).sum()
    }

    /// Whether that was the last change of this log.
    #[cfg(test)]
    pub(super) fn is_last_of(&self, (channel, sender): &LogKey, change: u64) -> bool {
        let logs = self.channels.get(channel);
        logs.and_then(|logs| logs.get(&change)) == Some(sender)
    }
}
