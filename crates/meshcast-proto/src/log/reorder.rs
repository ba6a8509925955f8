//! The reorder buffer of one sender on one channel: it takes frames as the network brings them
//! (twice, out of order, with holes) and releases each number once, in order.

use std::{collections::BTreeMap, time::Duration};

use crate::wire::{Frame, Seq, SeqRange, Time};

/// A contiguous cursor and the frames that arrived ahead of it.
#[derive(Debug)]
pub struct ReorderBuffer {
    cursor: Cursor,
    /// Where it began, once it did.
    begun: Seq,
    /// It began no higher than it should, and nothing was released yet: it may still be raised.
    soft: bool,
    /// Nothing was released or given up yet.
    untouched: bool,
    /// By first number; each reaches beyond the cursor.
    held: BTreeMap<Seq, Held>,
    held_bytes: usize,
    /// The highest number that is known for sure, of a frame or from its sender, and since when.
    /// What is missing up to here is a hole even when nothing is held.
    newest: Option<(Seq, Time)>,
    /// The highest number that others say there is, and since when, if it is higher. What is
    /// missing up to here is asked for and waited for, and never given up: others may say what they
    /// like.
    rumoured: Option<(Seq, Time)>,
}

/// A frame that waits for earlier ones.
#[derive(Debug)]
struct Held {
    frame: Frame,
    /// When it came.
    since: Time,
}

/// How far a reorder buffer has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    /// The first frame heard was not the sender's first: earlier ones may still be on other paths.
    /// Until then everything is held; then it begins at the lowest number heard, whether there was
    /// room for it or not.
    Settling { until: Time, lowest: Option<Seq> },
    /// This number is released next.
    Next(Seq),
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insert {
    /// It holds numbers that were missing.
    Fresh,
    /// All its numbers were there already, were given up, or are from before the beginning.
    Duplicate,
    /// It is ahead of a hole and there is no room to hold it; its numbers count as missing.
    NoRoom,
}

impl ReorderBuffer {
    /// A reorder buffer that has heard nothing and, unless it hears the sender's first number,
    /// waits until `settled` for the lowest.
    pub fn new(settled: Time) -> Self {
        Self {
            cursor: Cursor::Settling {
                until: settled,
                lowest: None,
            },
            begun: Seq::FIRST,
            soft: false,
            untouched: true,
            held: BTreeMap::new(),
            held_bytes: 0,
            newest: None,
            rumoured: None,
        }
    }

    /// A reorder buffer that goes on where another one stopped, at `next`.
    pub fn resume(next: Seq, now: Time) -> Self {
        Self {
            cursor: Cursor::Next(next),
            begun: next,
            soft: false,
            untouched: false,
            held: BTreeMap::new(),
            held_bytes: 0,
            newest: next.previous().map(|newest| (newest, now)),
            rumoured: None,
        }
    }

    /// Takes in a frame. `room` is how many bytes may be held in all.
    pub fn insert(&mut self, frame: Frame, room: usize, now: Time) -> Insert {
        let seqs = frame.seqs();
        if self.newest.is_none_or(|(newest, _)| newest < seqs.last()) {
            self.newest = Some((seqs.last(), now));
        }
        if let Cursor::Settling { lowest, .. } = &mut self.cursor {
            if seqs.first() == Seq::FIRST {
                self.start(Seq::FIRST);
            } else {
                *lowest = Some(lowest.map_or(seqs.first(), |lowest| lowest.min(seqs.first())));
            }
        }
        let due = match self.cursor {
            Cursor::Settling { .. } => false,
            Cursor::Next(next) if next <= seqs.last() => seqs.contains(next),
            Cursor::Next(_) => return Insert::Duplicate,
        };
        if let Some(same) = self.held.get(&seqs.first())
            && same.frame.seqs().last() >= seqs.last()
        {
            return Insert::Duplicate;
        }
        let len = frame.bytes().len();
        if !due && self.held_bytes + len > room {
            return Insert::NoRoom;
        }
        if let Some(shorter) = self.held.insert(seqs.first(), Held { frame, since: now }) {
            self.held_bytes -= shorter.frame.bytes().len();
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
            let Held { frame, .. } = entry.remove();
            self.held_bytes -= frame.bytes().len();
            if let Some(seqs) = SeqRange::new(next, frame.seqs().last()) {
                self.cursor = Cursor::Next(seqs.last().next());
                self.touch();
                return Some((frame, seqs));
            }
        }
    }

    /// Begins at the lowest number heard, if it is time to. `true` if it did.
    pub fn settle(&mut self, now: Time) -> bool {
        match self.cursor {
            Cursor::Settling {
                until,
                lowest: Some(lowest),
            } if until <= now => {
                self.start(lowest);
                true
            }
            _ => false,
        }
    }

    /// When [`Self::settle`] will be due; `None` if nothing was heard yet or it did.
    pub const fn settles_at(&self) -> Option<Time> {
        match self.cursor {
            Cursor::Settling {
                until,
                lowest: Some(_),
            } => Some(until),
            _ => None,
        }
    }

    /// The lowest run of numbers that is missing although a higher one was heard of. Call after
    /// everything that is due was released.
    pub fn hole(&self) -> Option<SeqRange> {
        let Cursor::Next(next) = self.cursor else {
            return None;
        };
        let last = match self.held.first_key_value() {
            Some((held, _)) => held.previous()?,
            None => self.above(next.previous())?.0,
        };
        SeqRange::new(next, last)
    }

    /// The part of these numbers that is known to exist: only that can be given up.
    pub fn proven(&self, seqs: SeqRange) -> Option<SeqRange> {
        SeqRange::new(seqs.first(), seqs.last().min(self.newest()?))
    }

    /// Whether it is known that its sender got as far as the cursor is. Otherwise others said that
    /// it begins there.
    pub fn is_proven(&self) -> bool {
        let reached = self.newest().map_or(Seq::FIRST, Seq::next);
        self.next().is_none_or(|next| next <= reached)
    }

    /// The hole above that one, if there is another, and when it came to be known.
    pub fn next_hole(&self) -> Option<(SeqRange, Time)> {
        let mut last: Option<Seq> = None;
        for (first, held) in &self.held {
            if let Some(last) = last
                && last.next() < *first
            {
                return Some((SeqRange::new(last.next(), first.previous()?)?, held.since));
            }
            last = last.max(Some(held.frame.seqs().last()));
        }
        let (highest, since) = self.above(last)?;
        Some((SeqRange::new(last?.next(), highest)?, since))
    }

    /// When the lowest hole came to be known: when the frame above it came.
    pub fn hole_since(&self) -> Option<Time> {
        match self.held.first_key_value() {
            Some((_, above)) => Some(above.since),
            None => self
                .above(self.next().and_then(Seq::previous))
                .map(|(_, since)| since),
        }
    }

    /// The highest number that others than its sender say there is. Replaces what they said before.
    pub fn rumour(&mut self, highest: Option<Seq>, now: Time) {
        let highest = highest.filter(|highest| Some(*highest) > self.newest());
        if self.rumoured.map(|(known, _)| known) != highest {
            self.rumoured = highest.map(|highest| (highest, now));
        }
    }

    /// The sender itself says what is its highest number: more is only believed of a frame that
    /// came.
    pub fn heard_from_sender(&mut self, newest: Option<Seq>, now: Time) {
        self.rumoured = None;
        let reached = newest.map_or(Seq::FIRST, Seq::next);
        if self.next().is_some_and(|next| reached < next) {
            self.retract(reached);
        }
        let released = self
            .next()
            .filter(|_| self.is_proven())
            .and_then(Seq::previous);
        let held = self
            .held
            .last_key_value()
            .map(|(_, held)| held.frame.seqs().last());
        let newest = newest.into_iter().chain(released).chain(held).max();
        if let Some(newest) = newest
            && self.newest.is_none_or(|(known, _)| known != newest)
        {
            self.newest = Some((newest, now));
        }
    }

    /// Begins at `due`, or at the lowest number heard if that is lower, unless it has begun.
    pub fn begin(&mut self, due: Seq) {
        if let Cursor::Settling { lowest, .. } = self.cursor {
            self.start(lowest.map_or(due, |lowest| lowest.min(due)));
        }
    }

    /// Its sender says that it begins at `due`; what only others said before counts no more.
    pub(crate) fn begin_as_told(&mut self, due: Seq) {
        self.retract(due);
        self.begin(due);
    }

    /// It begins there and not where only others said so, who may be wrong; unless that is
    /// [proven](Self::is_proven).
    pub(crate) fn retract(&mut self, due: Seq) {
        if !self.is_proven() {
            // What readers of the past were given does not come once more.
            let given_out = self.newest().filter(|_| !self.untouched);
            self.start(given_out.map_or(due, |newest| due.max(newest.next())));
        }
    }

    /// Begins at `due` or lower when it settles, unless it has begun; at once where there is
    /// nothing lower.
    pub fn begin_later(&mut self, due: Seq) {
        if due == Seq::FIRST {
            self.begin(due);
        } else if let Cursor::Settling { lowest, .. } = &mut self.cursor {
            *lowest = Some(lowest.map_or(due, |lowest| lowest.min(due)));
        }
    }

    /// Where it began, once that is known: nothing lower was ever waited for.
    pub(crate) fn begun(&self) -> Option<Seq> {
        self.next().map(|_| self.begun)
    }

    /// It will begin no higher than it should, but perhaps too low.
    pub(crate) fn soften(&mut self) {
        self.soft = true;
    }

    /// Whether it may have begun too low.
    pub(crate) const fn is_soft(&self) -> bool {
        self.soft
    }

    /// It should have begun at `due`, if that is higher than it did. `soft`: it may be higher
    /// still.
    pub(crate) fn raise(&mut self, due: Seq, soft: bool) {
        if self.soft && self.next().is_some_and(|next| next <= due) {
            self.start(due);
            self.soft = soft;
        }
    }

    /// It should have begun at `due`, if that is lower than it did and nothing came of that yet.
    pub(crate) fn lower(&mut self, due: Seq) {
        if self.untouched && self.next().is_some_and(|next| due < next) {
            self.start(due);
        }
    }

    /// Nothing up to `last` is due: it should have begun above, if it began at all and nothing came
    /// of that yet.
    pub(crate) fn pass(&mut self, last: Seq) {
        if self.untouched && self.next().is_some_and(|next| next <= last) {
            self.start(last.next());
        }
    }

    /// Where it began stands from now on, although nothing was released yet.
    pub(crate) fn fix(&mut self) {
        if self.next().is_some() {
            self.touch();
        }
    }

    /// The lowest number that waits.
    pub(crate) fn lowest_held(&self) -> Option<Seq> {
        self.held.first_key_value().map(|(lowest, _)| *lowest)
    }

    /// Whether where it began stands.
    pub(crate) fn is_fixed(&self) -> bool {
        !self.untouched && self.next().is_some()
    }

    /// Gives up the numbers up to `last`, which must be of the lowest hole and
    /// [proven](Self::proven): they will never be released.
    pub fn skip(&mut self, last: Seq) {
        let hole = self.hole().and_then(|hole| self.proven(hole));
        if hole.is_some_and(|hole| hole.contains(last)) {
            self.touch();
            self.cursor = Cursor::Next(last.next());
        }
    }

    /// Gives up the lowest hole, as far as it is [proven](Self::proven): the numbers returned will
    /// never be released.
    pub fn skip_hole(&mut self) -> Option<SeqRange> {
        let hole = self.proven(self.hole()?)?;
        self.touch();
        self.cursor = Cursor::Next(hole.last().next());
        Some(hole)
    }

    /// Drops the highest frame that waits; its numbers count as missing. `false` if none waits.
    pub fn drop_highest(&mut self) -> bool {
        let Some((_, Held { frame, .. })) = self.held.pop_last() else {
            return false;
        };
        self.held_bytes -= frame.bytes().len();
        true
    }

    /// The number released next, once that is known.
    pub const fn next(&self) -> Option<Seq> {
        match self.cursor {
            Cursor::Next(next) => Some(next),
            Cursor::Settling { .. } => None,
        }
    }

    /// The highest number that is known for sure.
    pub fn newest(&self) -> Option<Seq> {
        self.newest.map(|(newest, _)| newest)
    }

    /// The highest number heard of above this one, and since when there is any.
    fn above(&self, last: Option<Seq>) -> Option<(Seq, Time)> {
        let heard_of = [self.newest, self.rumoured].into_iter().flatten();
        let mut above = heard_of.filter(|(seq, _)| last.is_none_or(|last| last < *seq));
        let (first, since) = above.next()?;
        Some((above.map(|(seq, _)| seq).fold(first, Seq::max), since))
    }

    /// How many bytes of frames are waiting for earlier ones.
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// How many frames are waiting for earlier ones.
    pub(crate) fn held_frames(&self) -> usize {
        self.held.len()
    }

    /// Something was released or given up: where it began stands.
    const fn touch(&mut self) {
        (self.soft, self.untouched) = (false, false);
    }

    fn start(&mut self, first: Seq) {
        self.cursor = Cursor::Next(first);
        self.begun = first;
    }
}

/// How long a reorder buffer waits for numbers below the first it heard, when that is not the
/// sender's first. Copies of frames posted together come by different paths, which differ by about
/// one round trip round the world.
pub const SETTLE: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests;
