//! Readers of this process that are behind. They hold up senders, but not for long.

use std::collections::BTreeMap;

use super::laggards::{READERS_LAG, SPACING};
use crate::wire::{ChannelName, Time};

/// The channels whose readers are behind and waited for.
#[derive(Debug, Default)]
pub(crate) struct ReadersBehind {
    /// Since when they are.
    since: BTreeMap<ChannelName, Time>,
    /// When these are looked at next.
    due: Option<Time>,
}

impl ReadersBehind {
    /// Readers fell behind. Returns whether they were not before.
    pub(crate) fn begin(&mut self, channel: &ChannelName, now: Time) -> bool {
        if self.since.contains_key(channel) {
            return false;
        }
        self.since.insert(channel.clone(), now);
        self.due.get_or_insert(now + SPACING);
        true
    }

    /// They caught up. Returns whether they were waited for.
    pub(crate) fn end(&mut self, channel: &ChannelName) -> bool {
        self.since.remove(channel).is_some()
    }

    /// Takes out the channels whose readers have been behind for too long to be waited for.
    pub(crate) fn take_late(&mut self, now: Time) -> Vec<ChannelName> {
        if self.due.take_if(|due| *due <= now).is_none() {
            return Vec::new();
        }
        let late = self
            .since
            .iter()
            .filter(|(_, since)| **since + READERS_LAG <= now);
        let late: Vec<_> = late.map(|(channel, _)| channel.clone()).collect();
        for channel in &late {
            self.since.remove(channel);
        }
        if !self.since.is_empty() {
            self.due.get_or_insert(now + SPACING);
        }
        late
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_waited_for_until_they_catch_up_or_for_a_while() {
        let (slow, fast) = (name("slow"), name("fast"));
        let (mut readers, start) = (ReadersBehind::default(), Time::ZERO);
        assert!(readers.begin(&slow, start) && readers.begin(&fast, start));
        assert!(!readers.begin(&slow, start));
        assert!(readers.end(&fast) && !readers.end(&fast));
        let mut late = Vec::new();
        while let Some(due) = readers.poll_timeout() {
            assert!(due <= start + READERS_LAG + SPACING);
            late.extend(readers.take_late(due).into_iter().map(|name| (name, due)));
        }
        assert_eq!(late.len(), 1);
        assert!(late[0].0 == slow && late[0].1 >= start + READERS_LAG);
        assert!(!readers.end(&slow));
    }

    fn name(text: &str) -> ChannelName {
        ChannelName::new(text).expect("short")
    }
}
