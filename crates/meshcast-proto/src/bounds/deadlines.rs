//! Deadlines: what is due when, each thing once.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Time;

/// Keys, each with the time when it is due.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    of: BTreeMap<K, Time>,
    order: BTreeSet<(Time, K)>,
}

impl<K> Deadlines<K> {
    pub(crate) const fn new() -> Self {
        Self {
            of: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// Makes this key due at this time, or at none.
    pub(crate) fn set(&mut self, key: &K, due: Option<Time>) {
        let known = self.of.get(key).copied();
        if known == due {
            return;
        }
        if let Some(known) = known {
            self.order.remove(&(known, key.clone()));
        }
        if let Some(due) = due {
            self.of.insert(key.clone(), due);
            self.order.insert((due, key.clone()));
        } else {
            self.of.remove(key);
        }
    }

    /// Makes this key due at this time, unless it is due earlier already.
    pub(crate) fn by(&mut self, key: &K, due: Time) {
        let known = self.of.get(key).copied().unwrap_or(due);
        self.set(key, Some(due.min(known)));
    }

    /// Takes out a key that is due.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<K> {
        if self.first()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.of.remove(&key);
        Some(key)
    }

    /// When the next key is due.
    pub(crate) fn first(&self) -> Option<Time> {
        self.order.first().map(|(due, _)| *due)
    }

    /// All keys, the one that is due last first.
    pub(crate) fn latest_first(&self) -> impl Iterator<Item = &K> {
        self.order.iter().rev().map(|(_, key)| key)
    }

    /// When each is due.
    #[cfg(test)]
    pub(crate) const fn of(&self) -> &BTreeMap<K, Time> {
        &self.of
    }
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_is_due_once_at_the_time_that_was_set_or_the_earliest_that_was_said(
            steps in prop::collection::vec((0..8_u8, 0..50_u64, 0..4), 0..60),
        ) {
            let at = |millis| Time::from_start(Duration::from_millis(millis));
            let (mut deadlines, mut model) = (Deadlines::default(), BTreeMap::<u8, u64>::new());
            for (key, millis, step) in steps {
                match step {
                    0 => {
                        deadlines.by(&key, at(millis));
                        let due = model.entry(key).or_insert(millis);
                        *due = millis.min(*due);
                    }
                    1 => {
                        deadlines.set(&key, Some(at(millis)));
                        model.insert(key, millis);
                    }
                    2 => {
                        deadlines.set(&key, None);
                        model.remove(&key);
                    }
                    _ => {
                        let due = model.iter().filter(|(_, due)| **due <= millis).min_by_key(
                            |(key, due)| (**due, **key)
                        );
                        let due = due.map(|(key, _)| *key);
                        prop_assert_eq!(deadlines.take_due(at(millis)), due);
                        due.map(|key| model.remove(&key));
                    }
                }
                prop_assert_eq!(deadlines.first(), model.values().min().map(|due| at(*due)));
                prop_assert_eq!(deadlines.of().len(), model.len());
            }
        }
    }
}
