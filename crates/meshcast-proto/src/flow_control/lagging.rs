//! Which peers lag so far that gossip should skip them.
//!
//! A peer that lacks a few frames on some channel is not skipped: that costs less than skipping it
//! on all channels. Once skipped, it has to catch up completely.

use std::collections::{BTreeMap, BTreeSet};

use super::laggards::{SPACING, STALL};
use crate::{
    bounds::Deadlines,
    wire::{LogKey, Sender, Time},
};

/// Who lags in which log.
#[derive(Debug, Default)]
pub(crate) struct Lagging {
    /// Logs in which a listener was behind when last checked, or that advanced since.
    unsettled: Deadlines<LogKey>,
    /// Who lags in which log, and how much of it they lack.
    lags: BTreeMap<LogKey, Vec<(Sender, u64)>>,
    /// That changed since it was last reported.
    changed: bool,
    /// Peers that gossip should skip for it.
    skipped: BTreeSet<Sender>,
}

impl Lagging {
    /// A log advanced: peers that do not follow within [`STALL`] may lag.
    pub(crate) fn watch(&mut self, key: &LogKey, now: Time) {
        self.unsettled.by(key, now + STALL);
    }

    /// The next log in which is to be [checked](Self::checked) who keeps up.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<LogKey> {
        self.unsettled.take_due(now)
    }

    /// These lag in a log, each with how much it lacks; it is to be checked again then.
    pub(crate) fn checked(
        &mut self,
        key: LogKey,
        lagging: Vec<(Sender, u64)>,
        again: Option<Time>,
        now: Time,
    ) {
        if let Some(again) = again {
            // Always later than now, or whoever takes what is due would never end.
            self.unsettled.by(&key, again.max(now + SPACING));
        }
        let before = if lagging.is_empty() {
            self.lags.remove(&key)
        } else {
            self.lags.insert(key.clone(), lagging)
        };
        self.changed |= before.as_ref() != self.lags.get(&key);
    }

    /// Which peers gossip should skip from now on (`true`), and which no longer.
    pub(crate) fn take_changes(&mut self) -> Vec<(Sender, bool)> {
        if !std::mem::take(&mut self.changed) {
            return Vec::new();
        }
        let mut lacks = BTreeMap::<Sender, (u64, u64)>::new();
        for (peer, lacking) in self.lags.values().flatten() {
            let (most, all) = lacks.entry(*peer).or_default();
            (*most, *all) = ((*lacking).max(*most), lacking.saturating_add(*all));
        }
        let is_much = |(most, all): (u64, u64)| most >= LACKS_OF_ONE || all >= LACKS_OF_ALL;
        let skipped = lacks
            .into_iter()
            .filter(|(peer, lacks)| is_much(*lacks) || self.skipped.contains(peer));
        let skipped = skipped.map(|(peer, _)| peer).collect();
        let before = std::mem::replace(&mut self.skipped, skipped);
        let no_longer = before.difference(&self.skipped).map(|peer| (*peer, false));
        let newly = self.skipped.difference(&before).map(|peer| (*peer, true));
        no_longer.chain(newly).collect()
    }

    /// A peer is gone. Returns whether gossip should have skipped it.
    pub(crate) fn forget(&mut self, peer: Sender) -> bool {
        self.lags.retain(|_, peers| {
            peers.retain(|(lagging, _)| *lagging != peer);
            !peers.is_empty()
        });
        self.skipped.remove(&peer)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.unsettled.first()
    }
}

/// What a peer may lack while it still gets gossip, of one log and of all logs in which it lags: 4
/// MiB of the longest frames, and three quarters of what gossip queues for one peer.
const LACKS_OF_ONE: u64 = 16;
const LACKS_OF_ALL: u64 = 768;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ChannelName;

    fn log(n: usize) -> LogKey {
        let name = ChannelName::new(&format!("channel-{n}")).expect("short");
        (name, Sender::new([9; 32]))
    }

    #[test]
    fn a_peer_is_skipped_when_it_lacks_much_and_until_it_lacks_nothing() {
        let (mut lagging, peer, now) = (Lagging::default(), Sender::new([1; 32]), Time::ZERO);
        let mut lacks = |key: LogKey, much: u64| {
            let who = (much > 0).then_some((peer, much));
            lagging.checked(key, who.into_iter().collect(), None, now);
            lagging.take_changes()
        };
        assert_eq!(lacks(log(0), LACKS_OF_ONE - 1), []);
        assert_eq!(lacks(log(0), LACKS_OF_ONE), [(peer, true)]);
        assert_eq!(lacks(log(0), 1), []);
        assert_eq!(lacks(log(1), 1), []);
        assert_eq!(lacks(log(0), 0), []);
        assert_eq!(lacks(log(1), 0), [(peer, false)]);
    }

    #[test]
    fn what_a_peer_lacks_of_many_logs_adds_up() {
        let (mut lagging, peer, now) = (Lagging::default(), Sender::new([1; 32]), Time::ZERO);
        let each = LACKS_OF_ONE - 1;
        let logs = usize::try_from(LACKS_OF_ALL.div_ceil(each)).expect("few");
        for n in 0..logs {
            assert_eq!(lagging.take_changes(), []);
            lagging.checked(log(n), vec![(peer, each)], None, now);
        }
        assert_eq!(lagging.take_changes(), [(peer, true)]);
        assert!(lagging.forget(peer));
        assert!(!lagging.forget(peer));
        assert!(lagging.lags.is_empty());
    }
}
