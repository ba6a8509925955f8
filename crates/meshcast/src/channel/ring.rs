//! Messages delivered to a channel and not yet read by all of its readers.

mod backfill;
mod item;
mod lag;
mod object_gaps;
mod seam;
mod tally;
mod unpacked;

use std::{collections::VecDeque, sync::Arc, task::Waker, time::Duration};

use litemap::LiteMap;
use meshcast_proto::{Account, Seq};

use self::{
    item::numbers_for,
    lag::{Lag, LagState},
    seam::Seams,
};
use super::{
    ObjectId,
    cursor::{Cursor, Marks},
};
use crate::{
    channel::message::{Gap, GapReason},
    clock::moment,
};

pub(crate) use self::{
    backfill::{BackfillStart, ReadPosition},
    item::Item,
    lag::Wanted,
    object_gaps::{Count, ObjectGaps},
    tally::Tally,
    unpacked::Unpacked,
};

/// One bounded queue with a cursor for each reader. If an entry has to make way before a reader has
/// read it, its numbers are noted for that reader, which asks for them: they are
/// [handed over](Self::recall) as far as they are still kept, or told as missing, before anything
/// later.
#[derive(Debug)]
pub(crate) struct Ring {
    entries: VecDeque<Item>,
    /// The position of the front entry, counted from the first ever.
    front: u64,
    bytes: usize,
    limit: usize,
    /// The account that pays for its entries.
    account: Account,
    /// Mostly one.
    readers: LiteMap<ReaderId, Reader>,
    next_reader: ReaderId,
    /// Readers that wait for what they asked for, and have not been [heard](Self::take_wanted) yet.
    requesting: Vec<ReaderId>,
    /// Numbers that some reader was told it had not read in time, so far.
    told: ObjectGaps,
    tally: Tally,
    /// Up to where each sender was delivered, for [cursors](Cursor).
    delivered: Marks,
    /// There are many of them, and one more since somebody looked.
    has_many_senders: bool,
}

/// Names a reader of one ring. Readers made earlier are less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct ReaderId(u64);

#[derive(Debug)]
struct Reader {
    object: ObjectId,
    /// The position it reads next.
    position: u64,
    behind: Lag,
    seams: Seams,
    waker: Option<Waker>,
    /// The bytes that wait for it while nobody has claimed it; `None` from then on.
    unclaimed: Option<usize>,
    /// The cursor that it resumes at, until it was told what there is.
    cursor: Option<Cursor>,
    /// Entries below this position belong to the backfill that it began with.
    backfill_end: u64,
    /// It has read all of that.
    caught_up: bool,
    /// So many members had not told in time what they keep of it.
    untold: usize,
}

impl Ring {
    /// A ring of its own, that nobody else is charged with.
    #[cfg(test)]
    pub(crate) fn new(limit: usize) -> Self {
        let budget = meshcast_proto::Budget::new(usize::MAX);
        Self::charged(limit, budget.account(meshcast_proto::Payer::Ourselves))
    }

    /// A ring of so many bytes, which are charged to this account. Over either the oldest goes.
    pub(crate) fn charged(limit: usize, account: Account) -> Self {
        Self {
            entries: VecDeque::new(),
            front: 0,
            bytes: 0,
            limit,
            account,
            readers: LiteMap::with_capacity(1),
            next_reader: ReaderId::default(),
            requesting: Vec::new(),
            told: ObjectGaps::default(),
            tally: Tally::default(),
            delivered: Marks::default(),
            has_many_senders: false,
        }
    }

    /// A reader that reads for `object` what is pushed from now on.
    pub(crate) fn add_reader(&mut self, object: ObjectId) -> ReaderId {
        self.add(object, None, Lag::new(self.account.clone()))
    }

    /// Like [`Self::add_reader`], for an object that may never read: until it is
    /// [claimed](Self::claim) less is kept for it, so that an object which only posts does not hold
    /// a full ring for ever.
    pub(crate) fn add_unclaimed(&mut self, object: ObjectId) -> ReaderId {
        self.add(object, Some(0), Lag::new(self.account.clone()))
    }

    /// The same, and it reads nothing before it was told [what there was](Self::begin) before it
    /// came, or since it was at this cursor.
    pub(crate) fn add_late(&mut self, object: ObjectId, cursor: Option<Cursor>) -> ReaderId {
        let behind = Lag::awaiting_backfill(self.account.clone());
        let id = self.add(object, Some(0), behind);
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.cursor = cursor;
        }
        id
    }

    /// From now on the reader is read from.
    pub(crate) fn claim(&mut self, id: ReaderId) {
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.unclaimed = None;
        }
    }

    fn add(&mut self, object: ObjectId, unclaimed: Option<usize>, behind: Lag) -> ReaderId {
        let id = self.next_reader;
        self.next_reader = ReaderId(id.0 + 1);
        let reader = Reader {
            object,
            position: self.end(),
            behind,
            seams: Seams::default(),
            waker: None,
            unclaimed,
            cursor: None,
            backfill_end: 0,
            caught_up: false,
            untold: 0,
        };
        self.readers.insert(id, reader);
        id
    }

    /// Takes a reader out. Returns its waker, so that a task which waits for it can end.
    pub(crate) fn remove_reader(&mut self, id: ReaderId) -> Option<Waker> {
        let removed = self.readers.remove(&id)?;
        self.trim();
        removed.waker
    }

    /// Takes out all readers of an object.
    pub(crate) fn remove_object(&mut self, object: ObjectId) -> Vec<Waker> {
        let its = self
            .readers
            .iter_mut()
            .filter(|(_, it)| it.object == object);
        let wakers = its.filter_map(|(_, reader)| reader.waker.take()).collect();
        self.readers.retain(|_, reader| reader.object != object);
        self.trim();
        wakers
    }

    /// Appends an item and returns who waits for it, in the order the readers were made.
    pub(crate) fn push(&mut self, item: Item) -> Vec<Waker> {
        self.note_delivered(&item, moment());
        self.tally.add(&item);
        if !self
            .readers
            .values()
            .any(|reader| item.concerns(reader.object))
        {
            return Vec::new();
        }
        let len = item.len_bytes();
        self.bytes += len;
        self.entries.push_back(item);
        self.skip_unclaimed(len);
        while (self.bytes > self.limit || !self.account.has_room(len)) && self.entries.len() > 1 {
            self.evict();
        }
        // What came last is kept in any case.
        self.account.charge(len);
        self.take_wakers()
    }

    /// The wakers of waiting readers, in the order the readers were made; they are no longer
    /// waiting afterwards.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        self.readers
            .iter_mut()
            .filter_map(|(_, reader)| reader.waker.take())
            .collect()
    }

    /// The next item for a reader; `None` if there is none yet, or no such reader.
    pub(crate) fn read(&mut self, id: ReaderId) -> Option<Item> {
        match self.pending(id)? {
            Pending::Behind => {
                let item = self.readers.get_mut(&id)?.behind.take()?;
                if let Item::Missed(gap) = &item {
                    self.told.add(gap);
                }
                Some(item)
            }
            Pending::At(position) => {
                let index = usize::try_from(position - self.front).ok()?;
                let item = self.entries.get(index)?.clone();
                self.readers.get_mut(&id)?.position += 1;
                if index == 0 {
                    self.trim();
                }
                Some(item)
            }
        }
    }

    /// The state of a reader; `None` if there is nothing for it yet. It may be
    /// [asking](Self::take_wanted) then.
    pub(crate) fn pending(&mut self, id: ReaderId) -> Option<Pending> {
        let end = self.end();
        let reader = self.readers.get_mut(&id)?;
        match reader.behind.look() {
            LagState::Ready => return Some(Pending::Behind),
            LagState::CaughtUp => {}
            LagState::Waiting => return None,
            LagState::Asking => {
                self.requesting.push(id);
                return None;
            }
        }
        let begun = reader.position;
        let mut ready = false;
        // Past what its past leaves nothing of.
        while !ready
            && let Ok(index) = usize::try_from(reader.position - self.front)
            && let Some(item) = self.entries.get(index)
            && reader.seams.concern(item)
        {
            ready = reader.join(item);
        }
        let position = reader.position;
        if position > begun {
            self.trim();
        }
        if ready {
            return Some(Pending::Behind);
        }
        (position < end).then_some(Pending::At(position))
    }

    /// Whether some reader asks for what it is behind with.
    pub(crate) fn is_requesting(&self) -> bool {
        !self.requesting.is_empty()
    }

    /// How many readers ask.
    pub(crate) const fn requesting(&self) -> usize {
        self.requesting.len()
    }

    /// Who asks for what, so many at most. Each waits until it is [handed over](Self::recall).
    pub(crate) fn take_wanted(&mut self, most: usize) -> Vec<(ReaderId, Wanted)> {
        let most = most.min(self.requesting.len());
        let asking: Vec<_> = self.requesting.drain(..most).collect();
        let wanted = asking.into_iter().filter_map(|id| {
            let wanted = self.readers.get(&id)?.behind.wanted()?;
            Some((id, wanted))
        });
        wanted.collect()
    }

    /// Hands a reader what it asked for, up to this number: items, or gaps where they are not kept.
    /// Returns its waker.
    pub(crate) fn recall(&mut self, id: ReaderId, items: Vec<Item>, upto: Seq) -> Option<Waker> {
        let reader = self.readers.get_mut(&id)?;
        reader.behind.recall(items, upto);
        reader.waker.take()
    }

    /// Moves a reader that came late on to what is pushed from now on: all before is its past.
    pub(crate) fn skip_to_end(&mut self, id: ReaderId) {
        let (end, account) = (self.end(), self.account.clone());
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.position = end;
            reader.behind = Lag::awaiting_backfill(account);
            reader.unclaimed = reader.unclaimed.map(|_| 0);
            self.trim();
        }
    }

    /// There is nobody left to ask: what readers are behind with is missing.
    pub(crate) fn give_up(&mut self) {
        self.requesting.clear();
        self.readers
            .iter_mut()
            .for_each(|(_, reader)| reader.behind.give_up());
    }

    /// Wakes `waker` when something is pushed. `false` if there is no such reader.
    pub(crate) fn wait(&mut self, id: ReaderId, waker: &Waker) -> bool {
        let reader = self.readers.get_mut(&id);
        reader
            .map(|reader| reader.waker = Some(waker.clone()))
            .is_some()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether so much waits that posters had better wait as well: there is still room for what is
    /// on the way then.
    pub(crate) const fn is_above_high_watermark(&self) -> bool {
        self.bytes > self.limit / 2
    }

    /// Whether little enough waits to go on.
    pub(crate) const fn is_below_low_watermark(&self) -> bool {
        self.bytes <= self.limit / 4
    }

    /// Numbers that single readers were told they will not get.
    pub(crate) const fn told(&self) -> ObjectGaps {
        self.told
    }

    /// What became of all that was pushed.
    pub(crate) fn tally(&self) -> Tally {
        Tally {
            unread: self.told.unread.numbers,
            ..self.tally
        }
    }

    fn end(&self) -> u64 {
        self.front + self.entries.len() as u64
    }

    /// Drops what every reader has read.
    fn trim(&mut self) {
        let end = self.end();
        let lowest = self
            .readers
            .values()
            .map(|reader| reader.position)
            .min()
            .unwrap_or(end);
        while self.front < lowest
            && let Some(read) = self.entries.pop_front()
        {
            self.bytes -= read.len_bytes();
            self.account.release(read.len_bytes());
            self.front += 1;
        }
    }

    /// Drops the oldest entry and notes it down for those who have not read it.
    fn evict(&mut self) {
        let Some(item) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= item.len_bytes();
        self.account.release(item.len_bytes());
        let behind = self.readers.iter_mut();
        behind
            .filter(|(_, reader)| reader.position == self.front)
            .for_each(|(_, reader)| {
                let lost = reader.lose(&item);
                // Who only posts is not expected to read.
                if reader.unclaimed.is_none() {
                    self.tally.drop_unread(lost);
                }
            });
        self.front += 1;
    }

    /// Moves unclaimed readers on that are too far behind, after an entry of `len` bytes came.
    fn skip_unclaimed(&mut self, len: usize) {
        let (limit, end) = (self.limit / UNCLAIMED_SHARE, self.end());
        let mut skipped = false;
        for (_, reader) in self.readers.iter_mut() {
            let Some(behind) = &mut reader.unclaimed else {
                continue;
            };
            *behind += len;
            while reader.unclaimed.is_some_and(|behind| behind > limit) && reader.position + 1 < end
            {
                let index = usize::try_from(reader.position - self.front).ok();
                let Some(item) = index.and_then(|index| self.entries.get(index)) else {
                    break;
                };
                reader.lose(item);
                skipped = true;
            }
        }
        if skipped {
            self.trim();
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.forget_idle(Duration::ZERO, moment(), |_| false);
        self.account.release(self.bytes);
    }
}

impl Reader {
    /// Goes on behind an entry of which it reads what its past leaves to be read. `true` if that is
    /// something.
    fn join(&mut self, item: &Item) -> bool {
        self.pass(item);
        let object = self.object;
        let joined = self.seams.join(item).filter(|item| item.concerns(object));
        self.behind.hand(joined)
    }

    fn pass(&mut self, item: &Item) {
        self.position += 1;
        if let Some(behind) = &mut self.unclaimed {
            *behind = behind.saturating_sub(item.len_bytes());
        }
    }

    /// Goes on behind an entry that it has not read and notes down what it has not got by that.
    /// Returns how many numbers of values that is.
    fn lose(&mut self, item: &Item) -> u64 {
        self.pass(item);
        if self.seams.concern(item) {
            let joined: Vec<_> = self.seams.join(item).collect();
            joined.iter().map(|item| self.note(item)).sum()
        } else {
            self.note(item)
        }
    }

    /// Notes down what it has not got, and returns how many numbers of values that is.
    fn note(&mut self, item: &Item) -> u64 {
        let is_backfill = !self.caught_up
            && (self.behind.awaits_backfill() || self.position <= self.backfill_end);
        match item {
            Item::Missed(gap) => {
                self.behind.miss(gap.clone(), is_backfill);
                0
            }
            Item::Values(delivery, posters) => {
                let heard = numbers_for(self.object, delivery, posters.as_deref());
                let count = heard.iter().map(|seqs| seqs.len()).sum();
                let gap = |missed| Gap {
                    member: Arc::clone(&delivery.member),
                    missed,
                    reason: GapReason::Unread,
                };
                heard
                    .into_iter()
                    .map(gap)
                    .for_each(|gap| self.behind.lose(gap, is_backfill));
                count
            }
        }
    }
}

/// What waits for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pending {
    /// Something that it is behind with.
    Behind,
    /// The entry at this position.
    At(u64),
}

/// Unclaimed readers are moved on when more than this part of the limit waits for them.
const UNCLAIMED_SHARE: usize = 4;

#[cfg(test)]
mod tests;
