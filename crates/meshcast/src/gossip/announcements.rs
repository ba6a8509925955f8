//! The topics that this node listens on, as a log of changes in which each connection is a cursor:
//! what waits to be told to a peer takes no memory of its own.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::topic::Topic;

/// What this node listens on. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Announcements(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    /// The number of changes so far.
    version: u64,
    /// The last change of each topic, by its version.
    changes: BTreeMap<u64, (Topic, bool)>,
    latest: HashMap<Topic, u64>,
    /// The versions by which topics were left, the oldest first. Some may be outdated.
    left: VecDeque<u64>,
}

/// What a peer was told on a stream: all until some version.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    /// When the peer came. Topics that were left before are nothing to it.
    began: u64,
    until: u64,
}

impl Told {
    /// For another stream to the same peer, which may have been told some and not all: everything
    /// is told once more, also what was left since the peer came.
    pub(super) const fn again(self) -> Self {
        Self { until: 0, ..self }
    }
}

impl Announcements {
    /// This node listens on a topic from now on, or does so no more.
    pub(super) fn change(&self, topic: Topic, joins: bool) {
        let mut log = self.lock();
        log.version += 1;
        let version = log.version;
        if let Some(before) = log.latest.insert(topic, version) {
            log.changes.remove(&before);
        }
        log.changes.insert(version, (topic, joins));
        if !joins {
            log.left.push_back(version);
        }
        log.forget();
    }

    /// For a peer that comes: it was told nothing.
    pub(super) fn begin(&self) -> Told {
        Told {
            began: self.lock().version,
            until: 0,
        }
    }

    /// The changes that a peer is told next, at most so many.
    pub(super) fn next(&self, told: &mut Told, most: usize) -> Vec<(Topic, bool)> {
        let log = self.lock();
        if told.until == log.version {
            return Vec::new();
        }
        let (mut next, began) = (Vec::new(), told.began);
        for (version, (topic, joins)) in log.changes.range(told.until + 1..) {
            if next.len() == most {
                return next;
            }
            if *joins || *version > began {
                next.push((*topic, *joins));
            }
            told.until = *version;
        }
        told.until = log.version;
        next
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        // Nothing panics in between.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Forgets the oldest of the topics that were left, if there are too many.
    fn forget(&mut self) {
        while self.left.len() > MAX_LEFT
            && let Some(oldest) = self.left.pop_front()
        {
            // If it is not outdated.
            if let Some((topic, false)) = self.changes.get(&oldest) {
                self.latest.remove(topic);
                self.changes.remove(&oldest);
            }
        }
    }
}

/// The number of topics that were left and are remembered for peers that do not read: as many as
/// there may be at a time. A peer that reads nothing for longer goes on sending what nobody wants
/// here.
const MAX_LEFT: usize = 16_384;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn topic(n: u8) -> Topic {
        Topic::named(format!("{n:02x}").repeat(16).as_bytes()).expect("one")
    }

    proptest! {
        /// However often peers are told, and how much at a time, in the end they know all.
        #[test]
        fn who_is_told_all_knows_what_this_node_listens_on(
            steps in prop::collection::vec(
                (0..6_u8, any::<bool>(), 0..4_usize, 1..4_usize, any::<bool>()), 0..60),
        ) {
            let (log, mut joined) = (Announcements::default(), HashSet::new());
            let mut streams: Vec<(Told, HashSet<Topic>)> = Vec::new();
            for (n, joins, stream, most, breaks) in steps {
                let topic = topic(n);
                if joins { joined.insert(topic); } else { joined.remove(&topic); }
                log.change(topic, joins);
                match streams.get_mut(stream) {
                    Some((told, known)) => {
                        if breaks {
                            // Another stream to the same peer.
                            *told = told.again();
                        }
                        hear(&log, told, known, most);
                    }
                    None => streams.push((log.begin(), HashSet::new())),
                }
            }
            for (mut told, mut known) in streams {
                hear(&log, &mut told, &mut known, usize::MAX);
                prop_assert_eq!(&known, &joined);
                prop_assert!(log.next(&mut told, 9).is_empty());
            }
        }
    }

    fn hear(log: &Announcements, told: &mut Told, known: &mut HashSet<Topic>, most: usize) {
        for (topic, joins) in log.next(told, most) {
            if joins {
                known.insert(topic);
            } else {
                known.remove(&topic);
            }
        }
    }

    #[test]
    fn who_comes_late_is_not_told_of_what_was_left_before() {
        let log = Announcements::default();
        for n in 0..100 {
            log.change(topic(n), true);
            log.change(topic(n), n == 7);
        }
        let mut told = log.begin();
        assert_eq!(log.next(&mut told, 100), [(topic(7), true)]);
    }

    #[test]
    fn topics_that_come_and_go_leave_no_more_than_a_bounded_memory() {
        let log = Announcements::default();
        for n in 0..3 * MAX_LEFT as u128 {
            let topic = Topic::named(format!("{n:032x}").as_bytes()).expect("one");
            log.change(topic, true);
            log.change(topic, false);
        }
        let log = log.lock();
        assert_eq!((log.changes.len(), log.latest.len()), (MAX_LEFT, MAX_LEFT));
        assert_eq!(log.left.len(), MAX_LEFT);
    }
}
