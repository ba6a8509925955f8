//! The numbers in gaps of single objects. A gap that all objects of a channel are told of is
//! counted once, by the driver.

use crate::channel::message::{Gap, GapReason};

/// Gaps of single objects, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ObjectGaps {
    pub(crate) unread: Count,
    pub(crate) unfetched: Count,
    pub(crate) expired: Count,
}

/// How many gaps, and how many numbers they name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) gaps: u64,
    pub(crate) numbers: u64,
}

impl ObjectGaps {
    /// One was told, if it is of those that only single objects are.
    pub(super) fn add(&mut self, gap: &Gap) {
        let count = match gap.reason {
            GapReason::Unread => &mut self.unread,
            GapReason::Unfetched => &mut self.unfetched,
            GapReason::Expired => &mut self.expired,
            GapReason::Lost | GapReason::TooLarge | GapReason::Incomplete => return,
        };
        count.gaps += 1;
        count.numbers = count.numbers.saturating_add(gap.missed.len());
    }

    /// What was added since.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            unread: self.unread.since(before.unread),
            unfetched: self.unfetched.since(before.unfetched),
            expired: self.expired.since(before.expired),
        }
    }
}

impl Count {
    const fn since(self, before: Self) -> Self {
        Self {
            gaps: self.gaps - before.gaps,
            numbers: self.numbers - before.numbers,
        }
    }
}
