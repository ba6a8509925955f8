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
    /// Who lags in which log.
    lags: BTreeMap<LogKey, Vec<Sender>>,
    /// How much each of them lacks of which log.
    lacks: BTreeMap<Sender, BTreeMap<LogKey, u64>>,
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
        for peer in self.lags.remove(&key).unwrap_or_default() {
            if lagging.iter().all(|(lags, _)| *lags != peer) {
                self.changed |= self.lacks_no_more(peer, &key);
            }
        }
        for (peer, much) in &lagging {
            let before = self.lacks.entry(*peer).or_default();
            self.changed |= before.insert(key.clone(), *much) != Some(*much);
        }
        if !lagging.is_empty() {
            let peers = lagging.into_iter().map(|(peer, _)| peer);
            self.lags.insert(key, peers.collect());
        }
    }

    /// Which peers gossip should skip from now on (`true`), and which no longer.
    pub(crate) fn take_changes(&mut self) -> Vec<(Sender, bool)> {
        if !std::mem::take(&mut self.changed) {
            return Vec::new();
        }
        let is_much = |lacks: &BTreeMap<LogKey, u64>| {
            let most = lacks.values().max().copied().unwrap_or(0);
            let all = lacks
                .values()
                .fold(0, |all: u64, of| all.saturating_add(*of));
            most >= LACKS_OF_ONE || all >= LACKS_OF_ALL
        };
        let skipped = self
            .lacks
            .iter()
            .filter(|(peer, lacks)| self.skipped.contains(peer) || is_much(lacks));
        let skipped = skipped.map(|(peer, _)| *peer).collect();
        let before = std::mem::replace(&mut self.skipped, skipped);
        let no_longer = before.difference(&self.skipped).map(|peer| (*peer, false));
        let newly = self.skipped.difference(&before).map(|peer| (*peer, true));
        no_longer.chain(newly).collect()
    }

    /// A peer is gone. Returns whether gossip should have skipped it.
    pub(crate) fn forget(&mut self, peer: Sender) -> bool {
        for key in self.lacks.remove(&peer).unwrap_or_default().into_keys() {
            if let Some(peers) = self.lags.get_mut(&key) {
                peers.retain(|lagging| *lagging != peer);
                if peers.is_empty() {
                    self.lags.remove(&key);
                }
            }
        }
        self.skipped.remove(&peer)
    }

    /// A peer lags in a log no more. `true` if it did.
    fn lacks_no_more(&mut self, peer: Sender, key: &LogKey) -> bool {
        let Some(lacks) = self.lacks.get_mut(&peer) else {
            return false;
        };
        let did = lacks.remove(key).is_some();
        if lacks.is_empty() {
            self.lacks.remove(&peer);
        }
        did
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
        assert!(lagging.lags.is_empty() && lagging.lacks.is_empty());
    }
}
