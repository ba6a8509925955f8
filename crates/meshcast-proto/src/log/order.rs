//! One log: what one sender posts on one channel, in order and put together.

use std::{sync::Arc, time::Duration};

use crate::{
    bounds::ENTRY_BYTES,
    identity::Member,
    log::{
        arrival::Arrival,
        join::{Beginning, Join, Reached, UNTOLD},
        reassembly::{Assembled, Due, GapReason, Reassembly},
        reorder::{Insert, ReorderBuffer},
    },
    wire::{Frame, Seq, SeqRange, Time},
};

/// The beginning of a log, what of it is in order, and the value it is halfway through.
#[derive(Debug)]
pub(crate) struct Log {
    /// Its sender; not known before the first frame, if only others said that there is one.
    member: Option<Arc<Member>>,
    join: Join,
    reorder: ReorderBuffer,
    reassembly: Reassembly,
    /// The value that is being put together, and since when it stands like that.
    unfinished: Option<(Unfinished, Time)>,
    /// Numbers given up before their sender was known.
    unreported: Option<SeqRange>,
}

/// A value whose end has not come although no number is known to be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unfinished {
    /// The last number of it that came.
    last: Seq,
    /// Whether its sender is there to go on.
    attended: bool,
}

/// The limits a log works under; see [`Config`](crate::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLimits {
    pub(crate) max_message_len: usize,
    pub(crate) max_held_bytes: usize,
}

impl Log {
    /// A log that has heard nothing; what is heard first is waited with until `settled`.
    pub(crate) fn new(settled: Time) -> Self {
        Self::at(None, Join::new(settled), ReorderBuffer::new())
    }

    /// A log that goes on where it stopped when it was forgotten.
    pub(crate) fn resumed(next: Seq, now: Time) -> Self {
        Self::at(None, Join::resumed(next), ReorderBuffer::resume(next, now))
    }

    /// A log of this node, which posts `next` next. It begins with the first number, and has no
    /// hole ever.
    pub(crate) fn ours(member: &Arc<Member>, next: Seq, now: Time) -> Self {
        let (member, join) = (Some(Arc::clone(member)), Join::resumed(Seq::FIRST));
        Self::at(member, join, ReorderBuffer::resume(next, now))
    }

    fn at(member: Option<Arc<Member>>, join: Join, reorder: ReorderBuffer) -> Self {
        Self {
            member,
            join,
            reorder,
            reassembly: Reassembly::default(),
            unfinished: None,
            unreported: None,
        }
    }

    /// Takes in a frame of this member. One from below all that is due shows that the log began
    /// too high, unless it was `expected` to come late.
    pub(crate) fn insert(
        &mut self,
        frame: Frame,
        member: &Arc<Member>,
        expected: bool,
        room: usize,
        arrival: Arrival,
    ) -> Insert {
        self.member.get_or_insert_with(|| Arc::clone(member));
        let seqs = frame.seqs();
        let is_below = self.reorder.next().is_some_and(|next| seqs.last() < next);
        if is_below && !expected {
            let first = self.join.refuted(seqs.first(), self.reached());
            self.start(first);
        }
        let first = self.join.heard(seqs);
        self.start(first);
        self.reorder.insert(frame, room, arrival)
    }

    /// Nothing up to this number is due: so a frame shows that is said to be from before, perhaps
    /// only because others `reported` it.
    pub(crate) fn pass(&mut self, last: Seq, reported: bool) {
        let first = self.join.passed(last, reported);
        self.start(first);
    }

    /// Its sender says that it begins at `due`.
    pub(crate) fn begin(&mut self, due: Seq) {
        let first = self.join.told_by_sender(due, self.reached());
        self.start(first);
    }

    /// A peer that is not its sender says where it begins.
    pub(crate) fn begin_by_peer(&mut self, word: Beginning<'_>, now: Time) {
        let held = self.reorder.lowest_held();
        let first = self.join.told_by_peer(word, held, now);
        self.start(first);
    }

    /// Its sender says how far it got.
    pub(crate) fn heard_from_sender(&mut self, newest: Option<Seq>, now: Time) {
        let reached = newest.map_or(Seq::FIRST, Seq::next);
        if self.reorder.next().is_some_and(|next| reached < next) {
            let first = self.join.refuted(reached, self.reached());
            self.start(first);
        }
        self.reorder.heard_from_sender(newest, now);
    }

    /// The highest number by the word of others than its sender counts from now on, or nothing
    /// does.
    pub(crate) fn hear_reported(&mut self, highest: Option<Seq>, now: Time) {
        self.reorder.hear_reported(highest, now);
    }

    /// Time passed for a log that has not begun; see [`Join::wait`]. Returns when to look again.
    pub(crate) fn wait(&mut self, patience: Duration, withheld: bool, now: Time) -> Option<Time> {
        let first = self.join.wait(patience, withheld, now);
        self.start(first);
        self.join.due(patience, withheld, now)
    }

    /// Until when nothing is asked for if somebody has come who has not told what it has: it may
    /// know that the log should have begun higher.
    pub(crate) fn may_yet_begin_higher(&self, now: Time) -> Option<Time> {
        let until = self.reorder.hole_since()? + UNTOLD;
        let may = self.join.may_be_too_low() && self.reorder.hole().is_some() && now < until;
        may.then_some(until)
    }

    /// Somebody is to hear what was before the beginning: it stands from now on, unless it may yet
    /// be found to be lower. Then it is left alone, and nobody hears of what was before it.
    /// `by_sender` if the sender has told where that is.
    pub(crate) fn fix_beginning(&mut self, by_sender: bool) {
        self.join.fix_for_readers(by_sender);
    }

    /// Somebody waits for it to begin: nobody is waited for any longer who may know better where.
    pub(crate) fn begin_anyway(&mut self) {
        let first = self.join.begin_now();
        self.start(first);
    }

    /// Its beginning was found out, or found to be elsewhere.
    fn start(&mut self, first: Option<Seq>) {
        if let Some(first) = first {
            self.reorder.start(first);
        }
    }

    fn reached(&self) -> Reached {
        Reached(self.reorder.newest())
    }

    /// Gives out what is in order.
    pub(crate) fn release(&mut self, limits: &LogLimits, out: &mut Vec<Assembled>) {
        // A frame is never there before the member is.
        let Some(member) = &self.member else { return };
        out.extend(
            self.unreported
                .take()
                .map(|missed| Assembled::Missed(missed, GapReason::Lost)),
        );
        while let Some((frame, seqs, arrival)) = self.reorder.release() {
            self.join.fix();
            let due = Due {
                frame,
                seqs,
                arrival,
            };
            self.reassembly
                .push(member, due, limits.max_message_len, out);
        }
    }

    /// These numbers, the lowest of the lowest hole, are given up as far as they are known to
    /// exist. `false` if they are not.
    pub(crate) fn give_up(&mut self, lost: SeqRange, out: &mut Vec<Assembled>) -> bool {
        let Some(lost) = self.reorder.proven(lost) else {
            return false;
        };
        self.join.fix();
        self.reorder.skip(lost.last());
        self.miss(lost, out);
        true
    }

    /// Gives up a value whose end does not come although no number is known to be missing. Returns
    /// when to, if there is one. A sender that is not there may be on the other side of a
    /// partition, with those that have the rest: as long as for any other number, `retention`.
    pub(crate) fn give_up_unfinished(
        &mut self,
        attended: bool,
        retention: Duration,
        now: Time,
        out: &mut Vec<Assembled>,
    ) -> Option<Time> {
        let unfinished = Unfinished {
            last: self.reassembly.halfway()?,
            attended,
        };
        let since = match self.unfinished {
            Some((waiting, since)) if waiting == unfinished => since,
            _ => now,
        };
        self.unfinished = Some((unfinished, since));
        let patience = if attended {
            UNFINISHED_TIMEOUT
        } else {
            retention.max(UNFINISHED_TIMEOUT)
        };
        let gives_up = since + patience;
        if now < gives_up {
            return Some(gives_up);
        }
        out.extend(self.reassembly.abandon());
        None
    }

    /// Gives up what is needed last of what takes memory: the highest frame that waits, which
    /// counts as missing then, or else the value that is halfway. Returns whether it was a frame.
    pub(crate) fn shed(&mut self, out: &mut Vec<Assembled>) -> bool {
        if self.reorder.drop_highest() {
            return true;
        }
        out.extend(self.reassembly.abandon());
        false
    }

    /// Hands out everything that is held, without waiting for anything any longer.
    pub(crate) fn finish(&mut self, limits: &LogLimits, out: &mut Vec<Assembled>) {
        self.begin_anyway();
        loop {
            self.release(limits, out);
            let Some(lost) = self.reorder.skip_hole() else {
                break;
            };
            self.join.fix();
            self.miss(lost, out);
        }
        out.extend(self.reassembly.abandon());
    }

    fn miss(&mut self, lost: SeqRange, out: &mut Vec<Assembled>) {
        let missed = match self.reassembly.give_up() {
            // It lost a fragment.
            Some((partial, GapReason::Incomplete)) => partial.hull(lost),
            Some((skipped, reason)) => {
                out.push(Assembled::Missed(skipped, reason));
                lost
            }
            None => lost,
        };
        if self.member.is_some() {
            out.push(Assembled::Missed(missed, GapReason::Lost));
        } else {
            let unreported = self.unreported;
            self.unreported = Some(unreported.map_or(missed, |before| before.hull(missed)));
        }
    }

    /// Its sender, once a frame of it came.
    pub(crate) const fn member(&self) -> Option<&Arc<Member>> {
        self.member.as_ref()
    }

    /// The part of it that is in order, and what waits behind a hole.
    pub(crate) const fn reorder(&self) -> &ReorderBuffer {
        &self.reorder
    }

    /// The number that is waited for, if its sender got as far for sure.
    pub(crate) fn next(&self) -> Option<Seq> {
        self.reorder.next().filter(|_| self.reorder.is_proven())
    }

    /// Everything below this number was given out; `None` while it is not certain where the log
    /// begins.
    pub(crate) fn given_out(&self) -> Option<Seq> {
        let next = self.reorder.next().filter(|_| self.join.is_fixed())?;
        Some(self.reassembly.begun().unwrap_or(next))
    }

    /// Its beginning, once it began: nothing lower was ever waited for.
    pub(crate) const fn begun(&self) -> Option<Seq> {
        self.join.first()
    }

    /// Whether it may yet be found to begin elsewhere.
    pub(crate) const fn is_fixed(&self) -> bool {
        self.join.is_fixed()
    }

    /// Whether it has something to begin with, and only gives others their time.
    pub(crate) const fn is_settling(&self) -> bool {
        self.join.is_settling()
    }

    /// Whether there is only what peers say by which it may begin.
    pub(crate) const fn has_hints(&self) -> bool {
        self.join.has_hints()
    }

    /// How many bytes of frames and fragments wait for others.
    pub(crate) fn held_bytes(&self) -> usize {
        let entries = self.reorder.held_frames() * ENTRY_BYTES;
        self.reorder.held_bytes() + entries + self.reassembly.held_bytes()
    }
}

/// The time that the next fragment of a value is waited for while its sender is connected. Well
/// above what the slowest reader holds up an honest sender, so that it is only reached by one that
/// died halfway, whose fragments would be kept for ever.
pub(crate) const UNFINISHED_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
