//! The reorder buffer of one sender on one channel: it takes frames as the network brings them
//! (twice, out of order, with holes) and releases each number once, in order.

use std::collections::BTreeMap;

use crate::{
    log::arrival::Arrival,
    wire::{Frame, Seq, SeqRange, Time},
};

/// A contiguous cursor and the frames that arrived ahead of it.
#[derive(Debug)]
pub struct ReorderBuffer {
    /// The number that is released next; `None` while it is not known where the log
    /// [begins](super::join). Until then everything is held.
    next: Option<Seq>,
    /// By first number; each reaches beyond the cursor.
    held: BTreeMap<Seq, Buffered>,
    held_bytes: usize,
    /// The highest number that is known for sure, of a frame or from its sender, and since when. A
    /// number missing up to here is a hole even when nothing is held.
    newest: Option<(Seq, Time)>,
    /// The highest number that others say there is, and since when, if it is higher. A number
    /// missing up to here is asked for and waited for, and never given up: others may say what they
    /// like.
    reported: Option<(Seq, Time)>,
}

/// A frame that waits for earlier ones.
#[derive(Debug)]
struct Buffered {
    frame: Frame,
    arrival: Arrival,
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
    /// A reorder buffer that has heard nothing and waits to be told where it begins.
    pub(crate) const fn new() -> Self {
        Self {
            next: None,
            held: BTreeMap::new(),
            held_bytes: 0,
            newest: None,
            reported: None,
        }
    }

    /// A reorder buffer that goes on where another one stopped, at `next`.
    pub fn resume(next: Seq, now: Time) -> Self {
        Self {
            next: Some(next),
            held: BTreeMap::new(),
            held_bytes: 0,
            newest: next.previous().map(|newest| (newest, now)),
            reported: None,
        }
    }

    /// Takes in a frame. `room` is how many bytes may be held in all.
    pub fn insert(&mut self, frame: Frame, room: usize, arrival: Arrival) -> Insert {
        let (seqs, now) = (frame.seqs(), arrival.at);
        if self.newest.is_none_or(|(newest, _)| newest < seqs.last()) {
            self.newest = Some((seqs.last(), now));
        }
        let due = match self.next {
            None => false,
            Some(next) if next <= seqs.last() => seqs.contains(next),
            Some(_) => return Insert::Duplicate,
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
        if let Some(shorter) = self.held.insert(seqs.first(), Buffered { frame, arrival }) {
            self.held_bytes -= shorter.frame.bytes().len();
        }
        self.held_bytes += len;
        Insert::Fresh
    }

    /// The next frame that is due, with the numbers of it that were not released before, and how it
    /// came.
    pub fn release(&mut self) -> Option<(Frame, SeqRange, Arrival)> {
        let next = self.next?;
        loop {
            let entry = self.held.first_entry()?;
            if *entry.key() > next {
                return None;
            }
            let Buffered { frame, arrival } = entry.remove();
            self.held_bytes -= frame.bytes().len();
            if let Some(seqs) = SeqRange::new(next, frame.seqs().last()) {
                self.next = Some(seqs.last().next());
                return Some((frame, seqs, arrival));
            }
        }
    }

    /// The log begins there, by what is known now. Not once anything was released or given up.
    pub(crate) const fn start(&mut self, first: Seq) {
        self.next = Some(first);
    }

    /// The lowest run of numbers that is missing although a higher one was heard of. Call after
    /// everything that is due was released.
    pub fn hole(&self) -> Option<SeqRange> {
        let next = self.next?;
        let last = match self.held.first_key_value() {
            Some((held, _)) => held.previous()?,
            None => self.above(next.previous())?.0,
        };
        SeqRange::new(next, last)
    }

    /// The highest number heard of, if that and perhaps others below it are still waited for.
    pub fn awaited(&self) -> Option<Seq> {
        let next = self.next?;
        Some(self.above(next.previous())?.0)
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
                return Some((
                    SeqRange::new(last.next(), first.previous()?)?,
                    held.arrival.at,
                ));
            }
            last = last.max(Some(held.frame.seqs().last()));
        }
        let (highest, since) = self.above(last)?;
        Some((SeqRange::new(last?.next(), highest)?, since))
    }

    /// When the lowest hole came to be known: when the frame above it came.
    pub fn hole_since(&self) -> Option<Time> {
        match self.held.first_key_value() {
            Some((_, above)) => Some(above.arrival.at),
            None => self
                .above(self.next().and_then(Seq::previous))
                .map(|(_, since)| since),
        }
    }

    /// The highest number that others than its sender say there is. Replaces what they said before.
    pub fn hear_reported(&mut self, highest: Option<Seq>, now: Time) {
        let highest = highest.filter(|highest| Some(*highest) > self.newest());
        if self.reported.map(|(known, _)| known) != highest {
            self.reported = highest.map(|highest| (highest, now));
        }
    }

    /// The sender itself says what is its highest number: more is only believed of a frame that
    /// came.
    pub fn heard_from_sender(&mut self, newest: Option<Seq>, now: Time) {
        self.reported = None;
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

    /// The lowest number that waits.
    pub(crate) fn lowest_held(&self) -> Option<Seq> {
        self.held.first_key_value().map(|(lowest, _)| *lowest)
    }

    /// Gives up the numbers up to `last`, which must be of the lowest hole and
    /// [proven](Self::proven): they will never be released.
    pub fn skip(&mut self, last: Seq) {
        let hole = self.hole().and_then(|hole| self.proven(hole));
        if hole.is_some_and(|hole| hole.contains(last)) {
            self.next = Some(last.next());
        }
    }

    /// Gives up the lowest hole, as far as it is [proven](Self::proven): the numbers returned will
    /// never be released.
    pub fn skip_hole(&mut self) -> Option<SeqRange> {
        let hole = self.proven(self.hole()?)?;
        self.next = Some(hole.last().next());
        Some(hole)
    }

    /// Drops the highest frame that waits; its numbers count as missing. `false` if none waits.
    pub fn drop_highest(&mut self) -> bool {
        let Some((_, Buffered { frame, .. })) = self.held.pop_last() else {
            return false;
        };
        self.held_bytes -= frame.bytes().len();
        true
    }

    /// The number released next, once that is known.
    pub const fn next(&self) -> Option<Seq> {
        self.next
    }

    /// The highest number that is known for sure.
    pub fn newest(&self) -> Option<Seq> {
        self.newest.map(|(newest, _)| newest)
    }

    /// The highest number heard of above this one, and since when there is any.
    fn above(&self, last: Option<Seq>) -> Option<(Seq, Time)> {
        let heard_of = [self.newest, self.reported].into_iter().flatten();
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
}

#[cfg(test)]
mod tests;
