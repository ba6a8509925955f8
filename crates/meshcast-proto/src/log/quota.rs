//! The bytes that each member makes this node hold.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::{LogKey, Subject};

/// The bytes that wait behind holes or as unfinished values, by member and then by log, so that the
/// largest of both is found at once. Members come first: many small logs of one weigh as much as a
/// large one.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    total: usize,
    members: BTreeMap<Subject, Usage>,
    by_bytes: BTreeSet<(usize, Subject)>,
}

/// The bytes that one member makes this node hold.
#[derive(Debug, Default)]
struct Usage {
    bytes: usize,
    by_bytes: BTreeSet<(usize, LogKey)>,
}

impl Quota {
    /// A log that held `was` bytes now holds `is`.
    pub(crate) fn change(&mut self, subject: Subject, key: &LogKey, was: usize, is: usize) {
        if was == is {
            return;
        }
        let usage = self.members.entry(subject).or_default();
        self.by_bytes.remove(&(usage.bytes, subject));
        usage.by_bytes.remove(&(was, key.clone()));
        usage.bytes = usage.bytes - was + is;
        self.total = self.total - was + is;
        if is > 0 {
            usage.by_bytes.insert((is, key.clone()));
        }
        if usage.bytes > 0 {
            self.by_bytes.insert((usage.bytes, subject));
        } else {
            self.members.remove(&subject);
        }
    }

    /// The largest log of the member that holds the most.
    pub(crate) fn largest(&self) -> Option<&LogKey> {
        let (_, subject) = self.by_bytes.last()?;
        let (_, key) = self.members.get(subject)?.by_bytes.last()?;
        Some(key)
    }

    /// The largest log of the member that takes the most, of those that hold anything.
    pub(crate) fn largest_by(&self, takes: impl Fn(Subject) -> usize) -> Option<&LogKey> {
        let members = self.members.iter();
        let (_, usage) = members.max_by_key(|(subject, _)| takes(**subject))?;
        usage.by_bytes.last().map(|(_, key)| key)
    }

    /// All bytes.
    pub(crate) const fn total(&self) -> usize {
        self.total
    }

    /// All bytes, by log.
    #[cfg(test)]
    pub(crate) fn by_log(&self) -> BTreeMap<(Subject, LogKey), usize> {
        let mut by_log = BTreeMap::new();
        for (subject, usage) in &self.members {
            assert!(self.by_bytes.contains(&(usage.bytes, *subject)));
            let own = usage.by_bytes.iter();
            assert_eq!(own.map(|(bytes, _)| bytes).sum::<usize>(), usage.bytes);
            let own = usage.by_bytes.iter().cloned();
            by_log.extend(own.map(|(bytes, key)| ((*subject, key), bytes)));
        }
        assert_eq!(self.by_bytes.len(), self.members.len());
        assert_eq!(by_log.values().sum::<usize>(), self.total);
        by_log
    }
}
