//! For tests: do the books agree with the logs?

use super::*;
use crate::bounds::TOMBSTONE_BYTES;

impl Logs {
    pub(crate) fn audit(&self) {
        let limits = &self.limits;
        let (mut deadlines, mut places) = (BTreeSet::new(), BTreeSet::new());
        let (mut held, mut asked) = (BTreeMap::new(), BTreeMap::new());
        for (key, followed) in &self.logs {
            let Followed { log, heard, .. } = followed;
            let subject = followed.subject;
            deadlines.extend(followed.deadline.map(|due| (due, key.clone())));
            places.insert((subject, *heard, key.clone()));
            assert_eq!(followed.held, log.held_bytes());
            if followed.held > 0 {
                held.insert((subject, key.clone()), followed.held);
            }
            assert!(log.window.held_bytes() <= limits.log.max_held_bytes);
            assert!(!self.past.marks.contains_key(key));
            if let Some(peer) = log.repair.asking() {
                *asked.entry(peer).or_insert(0) += 1;
                assert!(
                    followed.deadline.is_some(),
                    "nobody looks whether it answers"
                );
            }
            let waits = log.window.hole().is_some();
            assert!(
                !waits || followed.deadline.is_some(),
                "nobody looks after a hole"
            );
            assert!(!followed.queued || self.queue.contains(key));
        }
        let claims = self.logs.values();
        let claims: usize = claims
            .map(|followed| followed.log.repair.listeners().count())
            .sum();
        let charged = self.logs.len() * LOG_BYTES
            + claims * CLAIM_BYTES
            + self.past.marks.len() * TOMBSTONE_BYTES
            + self.held.total()
            + self.neighbours.charged();
        // What listens to what is posted here is not known here.
        assert!(charged <= self.budget.used());
        assert_eq!((self.budget.used() - charged) % CLAIM_BYTES, 0);
        assert_eq!(asked, self.neighbours.requests());
        assert_eq!(deadlines, self.deadlines);
        assert_eq!(places, self.roll.places());
        assert_eq!(held, self.held.by_log());
        assert!(self.held.total() <= limits.max_held_bytes);
        let marks = self.past.marks.iter();
        let marks = marks.map(|(key, mark)| (mark.subject, mark.heard, key.clone()));
        assert_eq!(marks.collect::<BTreeSet<_>>(), self.past.roll.places());
    }

    /// Nothing is held and nothing waited for.
    pub(crate) fn at_rest(&self) -> bool {
        self.deadlines.is_empty() && self.held.total() == 0
    }

    /// Whether any log is left on a channel.
    pub(crate) fn has(&self, channel: &ChannelName) -> bool {
        self.of(channel).next().is_some()
    }
}
