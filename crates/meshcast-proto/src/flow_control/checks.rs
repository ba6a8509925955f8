//! Deadlines by key.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Time;

/// Keys, each with the time when it is due.
#[derive(Debug)]
pub(crate) struct Checks<K> {
    of: BTreeMap<K, Time>,
    order: BTreeSet<(Time, K)>,
}

impl<K: Ord + Clone> Checks<K> {
    /// Makes this key due at this time, unless it is due earlier already.
    pub(crate) fn by(&mut self, key: K, due: Time) {
        if let Some(known) = self.of.get_mut(&key) {
            if *known <= due {
                return;
            }
            let known = std::mem::replace(known, due);
            self.order.remove(&(known, key.clone()));
        } else {
            self.of.insert(key.clone(), due);
        }
        self.order.insert((due, key));
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
}

impl<K> Default for Checks<K> {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_is_looked_at_once_at_the_earliest_time_that_was_said(
            steps in prop::collection::vec((0..8_u8, 0..50_u64, any::<bool>()), 0..60),
        ) {
            let at = |millis| Time::from_start(Duration::from_millis(millis));
            let (mut checks, mut model) = (Checks::default(), BTreeMap::<u8, u64>::new());
            for (key, millis, add) in steps {
                if add {
                    checks.by(key, at(millis));
                    let due = model.entry(key).or_insert(millis);
                    *due = millis.min(*due);
                } else {
                    let due = model.iter().filter(|(_, due)| **due <= millis).min_by_key(
                        |(key, due)| (**due, **key)
                    );
                    let due = due.map(|(key, _)| *key);
                    prop_assert_eq!(checks.take_due(at(millis)), due);
                    due.map(|key| model.remove(&key));
                }
                prop_assert_eq!(checks.first(), model.values().min().map(|due| at(*due)));
            }
        }
    }
}
