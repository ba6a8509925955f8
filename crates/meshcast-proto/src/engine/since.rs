//! From when on a channel delivers.

use std::time::Duration;

use crate::wire::Time;

/// From when on a channel delivers what is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Since {
    /// From the moment it is opened.
    #[default]
    Now,
    /// Also what was posted in this time before, as far as anybody keeps it.
    Ago(Duration),
    /// Also this many numbers of each sender from before, as far as anybody keeps them.
    Last(u64),
}

impl Since {
    /// The same, for somebody who wanted it so long ago. Of a count it stays as it is.
    pub fn wanted(self, ago: Duration) -> Self {
        match self {
            Self::Now => Self::Ago(ago),
            Self::Ago(before) => Self::Ago(before.saturating_add(ago)),
            Self::Last(last) => Self::Last(last),
        }
    }

    /// Whichever goes back further. Of a time and a count neither does: then it is this one.
    pub fn or_before(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, other) => other,
            (Self::Ago(ago), Self::Ago(longer)) => Self::Ago(ago.max(longer)),
            (Self::Last(last), Self::Last(more)) => Self::Last(last.max(more)),
            (this, _) => this,
        }
    }

    /// From when on, and how many numbers of each sender at least.
    pub(super) fn at(self, now: Time) -> (Time, u64) {
        match self {
            Self::Now => (now, 0),
            Self::Ago(ago) => (now - ago, 0),
            Self::Last(last) => (now, last),
        }
    }
}
