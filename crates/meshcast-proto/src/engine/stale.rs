//! Senders whose frames were too old to be taken.

use std::{collections::BTreeMap, time::Duration};

use crate::wire::{Sender, Time};

/// When each was last reported.
#[derive(Debug, Default)]
pub(super) struct StaleSenders(BTreeMap<Sender, Time>);

impl StaleSenders {
    /// Whether an old frame of this sender is to be reported.
    pub(super) fn reports(&mut self, sender: Sender, now: Time) -> bool {
        self.0
            .retain(|_, reported| now.saturating_since(*reported) < STALE_AGAIN);
        if self.0.len() >= MAX_STALE || self.0.contains_key(&sender) {
            return false;
        }
        self.0.insert(sender, now);
        true
    }
}

/// How often old frames of one sender are reported, and of how many senders within that time:
/// somebody may replay old frames of many.
const STALE_AGAIN: Duration = Duration::from_secs(60);
const MAX_STALE: usize = 64;
