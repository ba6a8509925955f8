//! For tests: do the books agree with the logs?

use super::*;
use crate::bounds::TOMBSTONE_BYTES;

impl Logs {
    pub(crate) fn audit(&self) {
        let limits = &self.limits;
        let (mut deadlines, mut places) = (BTreeSet::new(), BTreeSet::new());
        let (mut held, mut asked) = (BTreeMap::new(), BTreeMap::new());
        for (key, entry) in &self.logs {
            let Entry { log, heard, .. } = entry;
            let subject = entry.subject;
            deadlines.extend(entry.deadline.map(|due| (due, key.clone())));
            places.insert((subject, *heard, key.clone()));
            assert_eq!(entry.held, log.held_bytes());
            if entry.held > 0 {
                held.insert((subject, key.clone()), entry.held);
            }
            assert!(log.reorder.held_bytes() <= limits.log.max_held_bytes);
            assert!(!self.tombstones.entries.contains_key(key));
            if let Some(peer) = log.fetch.asking() {
                *asked.entry(peer).or_insert(0) += 1;
                assert!(entry.deadline.is_some(), "nobody looks whether it answers");
            }
            let waits = log.reorder.hole().is_some();
            assert!(
                !waits || entry.deadline.is_some(),
                "nobody looks after a hole"
            );
            assert!(!entry.queued || self.queue.contains(key));
        }
        let claims = self.logs.values();
        let claims: usize = claims
            .map(|entry| entry.log.fetch.holders().listeners().count())
            .sum();
        let charged = self.logs.len() * LOG_BYTES
            + claims * CLAIM_BYTES
            + self.tombstones.entries.len() * TOMBSTONE_BYTES
            + self.quota.total()
            + self.peers.charged();
        // What listens to what is posted here is not known here.
        let ours = self.budget.statement(Payer::Ourselves).used;
        let used = self.budget.used() - ours;
        assert!(charged <= used);
        assert_eq!((used - charged) % CLAIM_BYTES, 0);
        assert_eq!(asked, self.peers.requests());
        assert_eq!(deadlines, self.deadlines);
        assert_eq!(places, self.lru.places());
        assert_eq!(held, self.quota.by_log());
        assert!(self.quota.total() <= limits.max_held_bytes);
        let tombstones = self.tombstones.entries.iter();
        let tombstones =
            tombstones.map(|(key, tombstone)| (tombstone.subject, tombstone.heard, key.clone()));
        assert_eq!(
            tombstones.collect::<BTreeSet<_>>(),
            self.tombstones.lru.places()
        );
    }

    /// Nothing is held and nothing waited for.
    pub(crate) fn at_rest(&self) -> bool {
        self.deadlines.is_empty() && self.quota.total() == 0
    }

    /// Whether any log is left on a channel.
    pub(crate) fn has(&self, channel: &ChannelName) -> bool {
        self.of(channel).next().is_some()
    }
}
