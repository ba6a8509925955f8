//! The position up to which each sender of a channel was delivered, or read.

use std::{collections::BTreeMap, time::Duration};

use meshcast_proto::{SenderPrefix, Seq};

use crate::clock::Instant;

/// The last number of each sender.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(BTreeMap<SenderPrefix, Mark>);

/// The last number of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) read: Seq,
    pub(crate) heard: Instant,
}

impl Marks {
    /// Goes on to this number. `true` if nothing was known of the sender.
    pub(crate) fn advance(&mut self, sender: SenderPrefix, mark: Mark) -> bool {
        self.0.insert(sender, mark).is_none()
    }

    /// Goes back to where this number is due.
    pub(crate) fn rewind(&mut self, sender: SenderPrefix, due: Seq, heard: Instant) {
        match due.previous() {
            Some(read) => {
                let mark = self.0.entry(sender).or_insert(Mark { read, heard });
                mark.read = read;
            }
            None => drop(self.0.remove(&sender)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SenderPrefix, Mark)> {
        self.0.iter().map(|(sender, mark)| (*sender, *mark))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, sender: &SenderPrefix) -> bool {
        self.0.contains_key(sender)
    }

    /// Forgets those not heard for so long, unless they are `needed`.
    pub(crate) fn forget_idle(
        &mut self,
        limit: Duration,
        now: Instant,
        needed: impl Fn(&SenderPrefix) -> bool,
    ) {
        // A longer time counts as the longest that can be told.
        let limit = limit.min(MAX_IDLE);
        let is_idle = |mark: &Mark| now.saturating_duration_since(mark.heard) >= limit;
        self.0
            .retain(|sender, mark| !is_idle(mark) || needed(sender));
    }

    /// Forgets the one not heard for longest.
    pub(crate) fn forget_longest_idle(&mut self) {
        let longest = self.0.iter().min_by_key(|(_, mark)| mark.heard);
        if let Some(sender) = longest.map(|(sender, _)| *sender) {
            self.0.remove(&sender);
        }
    }
}

impl FromIterator<(SenderPrefix, Mark)> for Marks {
    fn from_iter<I: IntoIterator<Item = (SenderPrefix, Mark)>>(marks: I) -> Self {
        Self(marks.into_iter().collect())
    }
}

impl Mark {
    /// One that was heard so many minutes ago.
    pub(crate) fn idle_for(read: Seq, minutes: u8, now: Instant) -> Self {
        let ago = Duration::from_secs(u64::from(minutes) * MINUTE);
        Self {
            read,
            heard: now.checked_sub(ago).unwrap_or(now),
        }
    }

    /// How many minutes ago it was heard.
    pub(crate) fn idle(&self, now: Instant) -> u8 {
        let minutes = now.saturating_duration_since(self.heard).as_secs() / MINUTE;
        u8::try_from(minutes).unwrap_or(u8::MAX)
    }
}

const MINUTE: u64 = 60;

/// The longest that a cursor can tell.
const MAX_IDLE: Duration = Duration::from_secs(255 * MINUTE);
