//! For tests: do the books agree with the logs?

use std::collections::{BTreeMap, BTreeSet};

use super::{Charged, LogEntry, Logs};
use crate::{
    bounds::{CLAIM_BYTES, LOG_BYTES, Payer, TOMBSTONE_BYTES},
    replication::fetch::MAX_UNDER_WAY,
    wire::ChannelName,
};

impl Logs {
    pub(crate) fn audit(&self) {
        let limits = &self.limits;
        let (deadlines, mut tiers) = (self.deadlines.of(), BTreeSet::new());
        let (mut held, mut asked, mut waiting) = (BTreeMap::new(), BTreeMap::new(), 0);
        for (key, entry) in &self.logs {
            let LogEntry { replica, .. } = entry;
            let log = &replica.log;
            let is_looked_at = deadlines.contains_key(key);
            assert_eq!(replica.is_ours(), key.1 == self.me);
            assert_eq!(replica.is_ours(), entry.charged.is_none());
            if let Some(Charged { owner, tier }) = entry.charged {
                let subject = owner.subject;
                tiers.insert((subject, tier, key.clone()));
                assert_eq!(tier.is_proven(), log.member().is_some());
                assert_eq!(entry.held, log.held_bytes());
                if entry.held > 0 {
                    held.insert((subject, key.clone()), entry.held);
                }
            } else {
                assert!(log.reorder().hole().is_none() && !is_looked_at);
                assert!(log.is_fixed());
            }
            assert!(log.reorder().held_bytes() <= limits.log.max_held_bytes);
            let is_proven = entry.charged.is_none_or(|it| it.tier.is_proven());
            assert!(!is_proven || !self.tombstones.entries.contains_key(key));
            let asking: Vec<_> = replica.fetch.asking().collect();
            let distinct: BTreeSet<_> = asking.iter().collect();
            assert!(asking.len() <= MAX_UNDER_WAY && distinct.len() == asking.len());
            for peer in asking {
                *asked.entry(peer).or_insert(0) += 1;
                assert!(is_looked_at, "nobody looks whether it answers");
            }
            let waits = log.reorder().hole().is_some();
            assert!(!waits || is_looked_at, "nobody looks after a hole");
            assert!(
                entry
                    .turn
                    .is_none_or(|turn| self.ask_queue.contains(turn, key))
            );
            waiting += usize::from(entry.turn.is_some());
            assert!(self.changes.is_last_of(key, entry.change));
        }
        assert_eq!(self.changes.count(), self.logs.len());
        assert_eq!(waiting, self.ask_queue.len());
        let mut involved = BTreeSet::new();
        for LogEntry { id, replica, .. } in self.logs.values() {
            let told = replica.fetch.holders().listeners().map(|(peer, _)| peer);
            let peers = told.chain(replica.askers.iter().copied());
            involved.extend(peers.map(|peer| (peer, *id)));
        }
        assert_eq!(involved, self.by_peer.all_involved());
        let ids = self.logs.iter().map(|(key, entry)| (entry.id, key.clone()));
        assert_eq!((ids.collect(), self.logs.len()), self.by_peer.all());
        let charged = tiers.len() * LOG_BYTES
            + involved.len() * CLAIM_BYTES
            + self.tombstones.entries.len() * TOMBSTONE_BYTES
            + self.quota.total()
            + self.peers.charged();
        let ours = self.budget.statement(Payer::Ourselves).used;
        assert_eq!(charged, self.budget.used() - ours);
        assert_eq!(asked, self.peers.requests());
        assert!(deadlines.keys().all(|key| self.logs.contains_key(key)));
        assert_eq!(tiers, self.lru.tiers());
        assert_eq!(held, self.quota.by_log());
        assert!(self.quota.total() <= limits.max_held_bytes);
        let tombstones = self.tombstones.entries.iter();
        assert!(tombstones.clone().all(|(_, it)| it.tier.is_proven()));
        let tombstones = tombstones.map(|(key, it)| (it.owner.subject, it.tier, key.clone()));
        assert_eq!(
            tombstones.collect::<BTreeSet<_>>(),
            self.tombstones.lru.tiers()
        );
    }

    /// Nothing is held and nothing waited for.
    pub(crate) fn at_rest(&self) -> bool {
        self.deadlines.first().is_none() && self.quota.total() == 0
    }

    /// Whether any log of another is left on a channel.
    pub(crate) fn has(&self, channel: &ChannelName) -> bool {
        self.of_others(channel).next().is_some()
    }
}
