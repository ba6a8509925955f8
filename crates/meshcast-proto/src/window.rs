//! The receive window for one sender on one channel: takes frames as the network brings them (twice, out of
//! order, with holes) and releases each number once, in order.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    frame::Frame,
    id::{Seq, SeqRange},
    time::Time,
};

/// A contiguous cursor and the frames that arrived ahead of it.
#[derive(Debug)]
pub struct Window {
    cursor: Cursor,
    /// By first number; each reaches beyond the cursor.
    held: BTreeMap<Seq, Frame>,
    held_bytes: usize,
    /// The highest number heard of. What is missing up to here is a hole even when nothing is held.
    newest: Option<Seq>,
}

/// How far a window has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    /// The first frame heard was not the sender's first: earlier ones may still be on other paths. Until then
    /// everything is held; then it begins at the lowest number heard.
    Settling { until: Time },
    /// This number is released next.
    Next(Seq),
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insert {
    /// It holds numbers that were missing.
    Fresh,
    /// All its numbers were there already.
    Duplicate,
    /// It is ahead of a hole and there is no room to hold it; its numbers count as missing.
    NoRoom,
}

impl Window {
    /// A window that has heard nothing and, unless it hears the sender's first number, waits until `settled`
    /// for the lowest.
    pub fn new(settled: Time) -> Self {
        Self {
            cursor: Cursor::Settling { until: settled },
            held: BTreeMap::new(),
            held_bytes: 0,
            newest: None,
        }
    }

    /// Takes in a frame. `room` is how many bytes may be held in all.
    pub fn insert(&mut self, frame: Frame, room: usize) -> Insert {
        let seqs = frame.seqs();
        if seqs.first() == Seq::FIRST && self.is_settling() {
            self.cursor = Cursor::Next(Seq::FIRST);
        }
        self.newest = self.newest.max(Some(seqs.last()));
        if let Cursor::Next(next) = self.cursor
            && seqs.last() < next
        {
            return Insert::Duplicate;
        }
        if let Some(same) = self.held.get(&seqs.first())
            && same.seqs().last() >= seqs.last()
        {
            return Insert::Duplicate;
        }
        let due = matches!(self.cursor, Cursor::Next(next) if seqs.contains(next));
        let len = frame.bytes().len();
        if !due && self.held_bytes + len > room {
            return Insert::NoRoom;
        }
        if let Some(shorter) = self.held.insert(seqs.first(), frame) {
            self.held_bytes -= shorter.bytes().len();
        }
        self.held_bytes += len;
        Insert::Fresh
    }

    /// The next frame that is due, with the numbers of it that were not released before.
    pub fn release(&mut self) -> Option<(Frame, SeqRange)> {
        let Cursor::Next(next) = self.cursor else {
            return None;
        };
        loop {
            let entry = self.held.first_entry()?;
            if *entry.key() > next {
                return None;
            }
            let frame = entry.remove();
            self.held_bytes -= frame.bytes().len();
            if let Some(seqs) = SeqRange::new(next, frame.seqs().last()) {
                self.cursor = Cursor::Next(seqs.last().next());
                return Some((frame, seqs));
            }
        }
    }

    /// Begins at the lowest number heard, if it is time to. `true` if it did.
    pub fn settle(&mut self, now: Time) -> bool {
        match (self.cursor, self.held.first_key_value()) {
            (Cursor::Settling { until }, Some((lowest, _))) if until <= now => {
                self.cursor = Cursor::Next(*lowest);
                true
            }
            _ => false,
        }
    }

    /// When [`Self::settle`] will be due.
    pub fn settles_at(&self) -> Option<Time> {
        match self.cursor {
            Cursor::Settling { until } => Some(until),
            Cursor::Next(_) => None,
        }
    }

    /// The lowest run of numbers that is missing although a higher one was heard of. Call after everything
    /// that is due was released.
    pub fn hole(&self) -> Option<SeqRange> {
        let Cursor::Next(next) = self.cursor else {
            return None;
        };
        let last = match self.held.first_key_value() {
            Some((held, _)) => held.previous()?,
            None => self.newest?,
        };
        SeqRange::new(next, last)
    }

    /// Gives up the lowest hole: the numbers returned will never be released.
    pub fn skip_hole(&mut self) -> Option<SeqRange> {
        let hole = self.hole()?;
        self.cursor = Cursor::Next(hole.last().next());
        Some(hole)
    }

    /// The number released next, once that is known.
    pub fn next(&self) -> Option<Seq> {
        match self.cursor {
            Cursor::Settling { .. } => None,
            Cursor::Next(next) => Some(next),
        }
    }

    /// The highest number heard of.
    pub const fn newest(&self) -> Option<Seq> {
        self.newest
    }

    /// How many bytes of frames are waiting for earlier ones.
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn is_settling(&self) -> bool {
        matches!(self.cursor, Cursor::Settling { .. })
    }
}

/// How long a window waits for numbers below the first it heard, when that is not the sender's first. Copies
/// of frames posted together come by different paths, which differ by about one round trip round the world.
pub const SETTLE: Duration = Duration::from_millis(150);
