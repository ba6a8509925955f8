//! The past that readers begin with: where it begins and ends, and where each of them stands.

use std::{collections::BTreeSet, task::Waker};

use meshcast_proto::{Backlog, Engine, Sender, SenderPrefix, Seq, SeqRange, Time};

use super::{Item, Reader, ReaderId, Ring};
use crate::{
    channel::{
        cursor::{Cursor, Mark, Marks},
        message::GapReason,
    },
    clock::{Instant, moment},
};

/// The earlier messages that a late reader is told of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackfillStart<'a> {
    /// What the engine found, by sender.
    pub(crate) logs: &'a [Backlog],
    /// So many members have not told in time what they keep.
    pub(crate) untold: usize,
    /// When the reader came.
    pub(crate) came: Time,
    pub(crate) now: Instant,
}

/// Where a reader stands.
#[derive(Debug)]
pub(crate) enum ReadPosition {
    /// It has not been told yet what was before it. If it goes on at a cursor, at which.
    Waiting(Option<Cursor>),
    /// It has read each sender so far.
    Read(Marks),
}

impl Ring {
    /// Lets a reader that came late begin: behind with this, and from now on. Returns its waker.
    pub(crate) fn begin(&mut self, id: ReaderId, past: BackfillStart<'_>) -> Option<Waker> {
        let end = self.end();
        let reader = self.readers.get_mut(&id)?;
        reader.backfill_end = end;
        reader.untold = past.untold;
        reader.behind.begin();
        match reader.cursor.take() {
            Some(cursor) => reader.resume(&cursor, past),
            None => past.logs.iter().for_each(|past| reader.begin(past)),
        }
        reader.waker.take()
    }

    /// `true` once, when a reader has read all that it began with.
    pub(crate) fn take_caught_up(&mut self, id: ReaderId) -> bool {
        let reader = self.readers.get_mut(&id);
        reader.is_some_and(|reader| {
            let now = !reader.caught_up
                && reader.position >= reader.backfill_end
                && reader.behind.is_backfill_read();
            reader.caught_up |= now;
            now
        })
    }

    /// The number of members that had not told in time what they keep from before a reader began.
    pub(crate) fn untold(&self, id: ReaderId) -> usize {
        self.readers.get(&id).map_or(0, |reader| reader.untold)
    }

    /// Whether a reader still reads the backfill that it began with.
    pub(crate) fn is_backfilling(&self, id: ReaderId) -> bool {
        let reader = self.readers.get(&id);
        reader.is_some_and(|reader| !reader.caught_up)
    }

    /// The position of a reader; `None` if there is no such reader.
    pub(crate) fn read_position(&self, id: ReaderId, now: Instant) -> Option<ReadPosition> {
        let reader = self.readers.get(&id)?;
        if reader.behind.awaits_backfill() || reader.cursor.is_some() {
            return Some(ReadPosition::Waiting(reader.cursor.clone()));
        }
        // It has read what was delivered, but for what waits for it.
        let mut read = self.delivered.clone();
        let unread = usize::try_from(self.end() - reader.position).unwrap_or(usize::MAX);
        for item in self.entries.iter().rev().take(unread) {
            read.rewind(item.member().sender().prefix(), item.seqs().first(), now);
        }
        for (sender, due, heard) in reader.seams.due() {
            read.rewind(sender, due, heard.unwrap_or(now));
        }
        for (sender, due) in reader.behind.due() {
            read.rewind(sender.prefix(), due, now);
        }
        Some(ReadPosition::Read(read))
    }

    /// An item comes that was posted then. `false` if no reader has doubts any more that this could
    /// settle. Follow with [`Self::push`].
    pub(crate) fn settle(&mut self, item: &Item, posted: Option<Time>) -> bool {
        let mut doubtful = false;
        for (_, reader) in self.readers.iter_mut() {
            if let Some(posted) = posted {
                reader.seams.settle(item, posted);
            }
            doubtful |= reader.seams.are_doubtful();
        }
        doubtful
    }

    /// What was delivered of each sender.
    pub(crate) const fn delivered(&self) -> &Marks {
        &self.delivered
    }

    /// Whether a reader claims to have read numbers that nobody here knows of.
    pub(crate) fn is_doubtful(&self, id: ReaderId) -> bool {
        let reader = self.readers.get(&id);
        reader.is_some_and(|reader| reader.seams.are_doubtful())
    }

    /// So much was delivered of a sender before there was this ring.
    pub(crate) fn was_delivered(&mut self, sender: Sender, read: Seq) {
        let sender = sender.prefix();
        if !self.delivered.contains(&sender) {
            self.advance(sender, read, moment());
        }
    }

    /// Notes down what is delivered, for cursors.
    pub(super) fn note_delivered(&mut self, item: &Item, now: Instant) {
        self.advance(item.member().sender().prefix(), item.seqs().last(), now);
    }

    fn advance(&mut self, sender: SenderPrefix, read: Seq, now: Instant) {
        if self.delivered.advance(sender, Mark { read, heard: now }) {
            self.account.charge(MARK_BYTES);
            self.has_many_senders |= self.delivered.len() > FEW_SENDERS;
            if self.delivered.len() > Cursor::MAX_SENDERS {
                self.delivered.forget_longest_idle();
                self.account.release(MARK_BYTES);
            }
        }
    }

    /// Whether there are more senders since this was asked last than need no second thought.
    pub(crate) const fn take_has_many_senders(&mut self) -> bool {
        std::mem::replace(&mut self.has_many_senders, false)
    }

    /// Forgets senders of which nothing is kept, for all that is known: they were not heard for so
    /// long, and are not `here`.
    pub(crate) fn forget_idle(
        &mut self,
        limit: std::time::Duration,
        now: Instant,
        here: impl Fn(&SenderPrefix) -> bool,
    ) {
        let before = self.delivered.len();
        self.delivered.forget_idle(limit, now, here);
        self.account
            .release((before - self.delivered.len()) * MARK_BYTES);
    }
}

impl Reader {
    /// Takes in what was before of a sender.
    fn begin(&mut self, past: &Backlog) {
        self.seams.add(past);
        // Of one that nobody knows it is said later.
        let Some(member) = &past.member else { return };
        let gone = past.gone.map(|gone| (gone, GapReason::Expired, false));
        let kept = past.kept.map(|kept| (kept, GapReason::Lost, true));
        // Numbers that it has gone past meanwhile come after.
        let spans = gone.into_iter().chain(unfetched(past)).chain(kept);
        let spans: Vec<_> = spans.collect();
        self.behind.precede(member, spans.into_iter());
    }

    /// Goes on at a cursor.
    fn resume(&mut self, cursor: &Cursor, past: BackfillStart<'_>) {
        let BackfillStart {
            logs, came, now, ..
        } = past;
        let doubt = came + Engine::DOUBT;
        let (read, positions) = (cursor.marks(now), cursor.positions());
        self.seams.resume(&read, doubt);
        // Of some that nobody knew something came meanwhile, and made way.
        let known: BTreeSet<Sender> = logs.iter().map(|past| past.sender).collect();
        let senders = self.behind.senders().into_iter();
        for sender in senders.filter(|sender| !known.contains(sender)) {
            let Some(due) = self.seams.take(sender.prefix()) else {
                continue;
            };
            match self.behind.cut(sender, due) {
                Some(first) => {
                    let between = first.previous();
                    let between = between.and_then(|last| SeqRange::new(due, last));
                    let between = between.map(|between| (between, GapReason::Expired, false));
                    self.behind.precede_own(sender, between.into_iter());
                }
                None => {
                    let reason = GapReason::Expired;
                    self.seams
                        .resume_at(sender.prefix(), due, reason, Some(doubt));
                }
            }
        }
        for past in logs {
            let read = positions.read(past.sender);
            let Some(resumption) = past.resumption else {
                self.begin(past);
                continue;
            };
            let reason = match (past.kept, past.unfetched) {
                (None, Some(_)) => GapReason::Unfetched,
                _ => GapReason::Expired,
            };
            let sender = past.sender.prefix();
            let doubt = Some(doubt).filter(|_| resumption.is_doubtful);
            self.seams.resume_at(sender, resumption.due, reason, doubt);
            let Some(member) = &past.member else { continue };
            let mut spans = Vec::new();
            match resumption.gone {
                Some(gone) => spans.extend(missing(gone, past.unfetched)),
                None if read.is_none() => spans.extend(unfetched(past)),
                None => {}
            }
            spans.extend(past.kept.map(|kept| (kept, GapReason::Lost, true)));
            // Numbers that it has gone past meanwhile follow on that, or a gap is told for what
            // lies between.
            if let Some(first) = self.behind.cut(past.sender, resumption.due) {
                self.seams.remove(sender);
                let between = first.previous();
                let between = between.and_then(|last| SeqRange::new(resumption.due, last));
                spans.extend(between.map(|between| (between, reason, false)));
            }
            self.behind.precede(member, spans.into_iter());
        }
    }
}

/// Numbers that a member claims to keep of a sender and that could not be fetched.
fn unfetched(past: &Backlog) -> Option<(SeqRange, GapReason, bool)> {
    let unfetched = past.unfetched?;
    Some((unfetched, GapReason::Unfetched, false))
}

/// Numbers that are not kept, with what is said of them: a part a member claims to keep.
fn missing(
    gone: SeqRange,
    unfetched: Option<SeqRange>,
) -> impl Iterator<Item = (SeqRange, GapReason, bool)> {
    let claimed = unfetched.and_then(|unfetched| unfetched.overlap(gone));
    let below = claimed.map_or_else(|| Some(gone.last()), |claimed| claimed.first().previous());
    let below = below.and_then(|last| SeqRange::new(gone.first(), last));
    let above = claimed.and_then(|claimed| SeqRange::new(claimed.last().next(), gone.last()));
    let told = |reason| move |seqs| (seqs, reason, false);
    below
        .map(told(GapReason::Expired))
        .into_iter()
        .chain(claimed.map(told(GapReason::Unfetched)))
        .chain(above.map(told(GapReason::Expired)))
}

/// With so many senders nobody looks whether some are gone.
const FEW_SENDERS: usize = 16;

/// What the mark of a sender takes.
const MARK_BYTES: usize = 64;
