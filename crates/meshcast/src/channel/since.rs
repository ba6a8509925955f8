//! From where on a channel object hears.

use std::time::Duration;

use super::cursor::Cursor;

/// From where on a channel object hears what is posted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Since {
    /// From the moment it is made.
    #[default]
    Now,
    /// Also what was posted within this time before, as far as anybody keeps it.
    Ago(Duration),
    /// Also so many numbers of each sender from before, as far as anybody keeps them, and a
    /// [`Gap`](crate::Gap) for those that nobody keeps any more.
    Last(u64),
    /// From where another object stopped, here or at any other member: all that follows, as far as
    /// anybody keeps it, and a [`Gap`](crate::Gap) with the exact numbers of what nobody keeps any
    /// more.
    After(Cursor),
}

impl Since {
    /// Its form for the engine, if it was requested so long ago. Somebody who goes on at a cursor
    /// opens a channel as if it wanted nothing from before: it is fetched for it alone.
    pub(crate) fn wanted(&self, ago: Duration) -> meshcast_proto::Since {
        let since = match self {
            Self::Now | Self::After(_) => meshcast_proto::Since::Now,
            Self::Ago(before) => meshcast_proto::Since::Ago(*before),
            Self::Last(last) => meshcast_proto::Since::Last(*last),
        };
        since.wanted(ago)
    }

    /// The cursor to go on at.
    pub(crate) const fn cursor(&self) -> Option<&Cursor> {
        match self {
            Self::After(cursor) => Some(cursor),
            Self::Now | Self::Ago(_) | Self::Last(_) => None,
        }
    }
}
