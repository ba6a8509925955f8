//! Senders of whose frames something was reported, so that it is not said of each frame.

use std::{collections::BTreeMap, time::Duration};

use crate::wire::{Sender, Time};

/// When it was last reported of whom.
#[derive(Debug, Default)]
pub(super) struct Reported(BTreeMap<Sender, Time>);

impl Reported {
    /// Whether it is to be reported of this sender.
    pub(super) fn reports(&mut self, sender: Sender, now: Time) -> bool {
        self.0
            .retain(|_, reported| now.saturating_since(*reported) < AGAIN);
        if self.0.len() >= MAX_SENDERS || self.0.contains_key(&sender) {
            return false;
        }
        self.0.insert(sender, now);
        true
    }
}

/// The rate of reports of one sender, and the number of senders within that time: somebody may
/// replay frames of many.
const AGAIN: Duration = Duration::from_secs(60);
const MAX_SENDERS: usize = 64;
