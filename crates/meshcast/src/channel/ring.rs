//! What was delivered to a channel and not yet read by all of its readers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::Waker,
};

use meshcast_proto::{Delivery, Member, Posted, Sender, SeqRange, Values, WallTime};

use super::{ObjectId, outbox::Posters};
use crate::message::{Gap, GapReason, Origin};

/// One bounded queue with a cursor for each reader. What a reader did not read before it had to make way is
/// noted down for that reader, by sender, and told before anything later.
#[derive(Debug)]
pub(crate) struct Ring {
    entries: VecDeque<Item>,
    /// The position of the front entry, counted from the first ever.
    front: u64,
    bytes: usize,
    limit: usize,
    readers: BTreeMap<ReaderId, Reader>,
    next_reader: ReaderId,
    /// Numbers that some reader did not read in time, so far.
    unread: u64,
}

/// Names a reader of one ring. Readers made earlier are less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct ReaderId(u64);

/// Something to read.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// Values; with posters if they are of this process.
    Values(Delivery, Option<Arc<Posters>>),
    /// Numbers that will not come.
    Missed(Gap),
}

#[derive(Debug)]
struct Reader {
    object: ObjectId,
    /// The position it reads next.
    position: u64,
    lost: Lost,
    waker: Option<Waker>,
    /// The bytes that wait for it while nobody has claimed it; `None` from then on.
    unclaimed: Option<usize>,
}

impl Ring {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            front: 0,
            bytes: 0,
            limit,
            readers: BTreeMap::new(),
            next_reader: ReaderId::default(),
            unread: 0,
        }
    }

    /// A reader that reads for `object` what is pushed from now on.
    pub(crate) fn add_reader(&mut self, object: ObjectId) -> ReaderId {
        self.add(object, None)
    }

    /// Like [`Self::add_reader`], for an object that may never read: until it is [claimed](Self::claim) less
    /// is kept for it, so that an object which only posts does not hold a full ring for ever.
    pub(crate) fn add_unclaimed(&mut self, object: ObjectId) -> ReaderId {
        self.add(object, Some(0))
    }

    /// From now on the reader is read from.
    pub(crate) fn claim(&mut self, id: ReaderId) {
        let Some(reader) = self.readers.get_mut(&id) else {
            return;
        };
        if reader.unclaimed.take().is_some() {
            let lost = reader.lost.iter().map(unread);
            self.unread = lost.fold(self.unread, u64::saturating_add);
        }
    }

    fn add(&mut self, object: ObjectId, unclaimed: Option<usize>) -> ReaderId {
        let id = self.next_reader;
        self.next_reader = ReaderId(id.0 + 1);
        let reader = Reader {
            object,
            position: self.end(),
            lost: Lost::default(),
            waker: None,
            unclaimed,
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
        let mut wakers = Vec::new();
        self.readers.retain(|_, reader| {
            let stays = reader.object != object;
            if !stays {
                wakers.extend(reader.waker.take());
            }
            stays
        });
        self.trim();
        wakers
    }

    /// Appends an item and returns who waits for it, in the order the readers were made.
    pub(crate) fn push(&mut self, item: Item) -> Vec<Waker> {
        if !self.readers.values().any(|reader| item.concerns(reader.object)) {
            return Vec::new();
        }
        let len = item.len_bytes();
        self.bytes += len;
        self.entries.push_back(item);
        self.skip_unclaimed(len);
        while self.bytes > self.limit && self.entries.len() > 1 {
            self.evict();
        }
        self.take_wakers()
    }

    /// Who waits, in the order the readers were made; they are no longer waiting afterwards.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        self.readers
            .values_mut()
            .filter_map(|reader| reader.waker.take())
            .collect()
    }

    /// The next item for a reader; `None` if there is none yet, or no such reader.
    pub(crate) fn read(&mut self, id: ReaderId) -> Option<Item> {
        let reader = self.readers.get_mut(&id)?;
        if let Some(gap) = reader.lost.pop() {
            return Some(Item::Missed(gap));
        }
        let index = usize::try_from(reader.position - self.front).ok()?;
        let item = self.entries.get(index)?.clone();
        reader.position += 1;
        if index == 0 {
            self.trim();
        }
        Some(item)
    }

    /// Where a reader stands; `None` if there is nothing for it.
    pub(crate) fn pending(&self, id: ReaderId) -> Option<Pending> {
        let reader = self.readers.get(&id)?;
        if !reader.lost.is_empty() {
            Some(Pending::Lost)
        } else if reader.position < self.end() {
            Some(Pending::At(reader.position))
        } else {
            None
        }
    }

    /// Wakes `waker` when something is pushed. `false` if there is no such reader.
    pub(crate) fn wait(&mut self, id: ReaderId, waker: &Waker) -> bool {
        let reader = self.readers.get_mut(&id);
        reader.map(|reader| reader.waker = Some(waker.clone())).is_some()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn unread(&self) -> u64 {
        self.unread
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
            self.front += 1;
        }
    }

    /// Drops the oldest entry and notes it down for those who have not read it.
    fn evict(&mut self) {
        let Some(item) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= item.len_bytes();
        let behind = self.readers.values_mut();
        for reader in behind.filter(|reader| reader.position == self.front) {
            self.unread = self.unread.saturating_add(reader.lose(&item));
        }
        self.front += 1;
    }

    /// Moves unclaimed readers on that are too far behind, after an entry of `len` bytes came.
    fn skip_unclaimed(&mut self, len: usize) {
        let (limit, end) = (self.limit / UNCLAIMED_SHARE, self.end());
        let mut skipped = false;
        for reader in self.readers.values_mut() {
            let Some(behind) = &mut reader.unclaimed else {
                continue;
            };
            *behind += len;
            while reader.unclaimed.is_some_and(|behind| behind > limit) && reader.position + 1 < end {
                let index = usize::try_from(reader.position - self.front).ok();
                let Some(item) = index.and_then(|index| self.entries.get(index)) else {
                    break;
                };
                // Counted when the reader is claimed: until then nobody misses it.
                reader.lose(item);
                skipped = true;
            }
        }
        if skipped {
            self.trim();
        }
    }
}

impl Reader {
    /// Goes on behind an entry that it has not read and notes down what it misses by that. Returns how many
    /// numbers that are, if it was claimed.
    fn lose(&mut self, item: &Item) -> u64 {
        self.position += 1;
        if let Some(behind) = &mut self.unclaimed {
            *behind = behind.saturating_sub(item.len_bytes());
        }
        let mut count: u64 = 0;
        for gap in item.missed_by(self.object) {
            if self.unclaimed.is_none() {
                count = count.saturating_add(unread(&gap));
            }
            self.lost.add(gap);
        }
        count
    }
}

/// What a reader lost, in the order of each sender's numbers. Ranges are exact: only neighbours of one reason
/// are joined, unless there are [`MAX_RANGES`].
#[derive(Debug, Default)]
struct Lost {
    senders: BTreeMap<Sender, VecDeque<Gap>>,
    /// How many ranges that are.
    ranges: usize,
}

impl Lost {
    fn add(&mut self, gap: Gap) {
        let gaps = self.senders.entry(gap.member.sender()).or_default();
        if let Some(last) = gaps.back_mut() {
            let adjacent = last.missed.last().next() == gap.missed.first();
            if adjacent && last.reason == gap.reason {
                last.missed = last.missed.hull(gap.missed);
                return;
            }
            // So many that the memory for them must not grow: then one range names what lies between, too.
            if self.ranges >= MAX_RANGES {
                last.missed = last.missed.hull(gap.missed);
                last.reason = GapReason::Unread;
                return;
            }
        }
        gaps.push_back(gap);
        self.ranges += 1;
    }

    /// The next to be told.
    fn pop(&mut self) -> Option<Gap> {
        let mut first = self.senders.first_entry()?;
        let gap = first.get_mut().pop_front();
        if first.get().is_empty() {
            first.remove();
        }
        self.ranges -= usize::from(gap.is_some());
        gap
    }

    fn iter(&self) -> impl Iterator<Item = &Gap> {
        self.senders.values().flatten()
    }

    fn is_empty(&self) -> bool {
        self.senders.is_empty()
    }
}

/// How many numbers a gap adds to those that were not read in time.
fn unread(gap: &Gap) -> u64 {
    if gap.reason == GapReason::Unread {
        gap.missed.len()
    } else {
        0
    }
}

/// What waits for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pending {
    /// To be told what it lost.
    Lost,
    /// The entry at this position.
    At(u64),
}

impl Item {
    /// What it keeps in memory, roughly: an entry without payload is not free either.
    fn len_bytes(&self) -> usize {
        ENTRY_OVERHEAD
            + match self {
                Self::Values(delivery, _) => delivery.len_bytes(),
                Self::Missed(_) => 0,
            }
    }

    /// The numbers it is about.
    pub(crate) fn seqs(&self) -> SeqRange {
        match self {
            Self::Values(delivery, _) => delivery.seqs(),
            Self::Missed(gap) => gap.missed,
        }
    }

    /// Whether there is something in it for `object`.
    fn concerns(&self, object: ObjectId) -> bool {
        match self {
            Self::Missed(_) | Self::Values(_, None) => true,
            Self::Values(_, Some(posters)) => posters.concern(object),
        }
    }

    /// What `object` misses if it does not get this, in order. Its own posts are not among it.
    fn missed_by(&self, object: ObjectId) -> Vec<Gap> {
        let (delivery, posters) = match self {
            Self::Missed(gap) => return vec![gap.clone()],
            Self::Values(delivery, posters) => (delivery, posters),
        };
        let mut missed: Vec<SeqRange> = Vec::new();
        match posters {
            None => missed.push(delivery.seqs()),
            Some(posters) => {
                let values = delivery.clone().into_values().map(|value| value.seqs);
                for seqs in values.filter(|seqs| posters.heard_by(object, seqs.last())) {
                    match missed.last_mut() {
                        Some(last) if last.last().next() == seqs.first() => *last = last.hull(seqs),
                        _ => missed.push(seqs),
                    }
                }
            }
        }
        let gap = |missed| Gap {
            member: Arc::clone(&delivery.member),
            missed,
            reason: GapReason::Unread,
        };
        missed.into_iter().map(gap).collect()
    }
}

/// The values of a delivery, one by one.
#[derive(Debug)]
pub(crate) struct Unpacked {
    member: Arc<Member>,
    posted_at: WallTime,
    values: Values,
    posters: Option<Arc<Posters>>,
}

/// One value and where it comes from.
#[derive(Debug)]
pub(crate) struct UnpackedValue {
    pub(crate) origin: Origin,
    pub(crate) posted: Posted,
    posters: Option<Arc<Posters>>,
}

impl Unpacked {
    pub(crate) fn new(delivery: Delivery, posters: Option<Arc<Posters>>) -> Self {
        let (member, posted_at) = (Arc::clone(&delivery.member), delivery.posted_at);
        Self {
            member,
            posted_at,
            values: delivery.into_values(),
            posters,
        }
    }
}

impl Iterator for Unpacked {
    type Item = UnpackedValue;

    fn next(&mut self) -> Option<UnpackedValue> {
        let posted = self.values.next()?;
        let origin = Origin {
            member: Arc::clone(&self.member),
            seqs: posted.seqs,
            posted_at: self.posted_at,
        };
        Some(UnpackedValue {
            origin,
            posted,
            posters: self.posters.clone(),
        })
    }
}

impl UnpackedValue {
    /// Whether `object` hears it: any object hears other nodes, but not itself.
    pub(crate) fn is_for(&self, object: ObjectId) -> bool {
        self.posters
            .as_ref()
            .is_none_or(|posters| posters.heard_by(object, self.posted.seqs.last()))
    }
}

/// Unclaimed readers are moved on when more than this part of the limit waits for them.
const UNCLAIMED_SHARE: usize = 4;

/// Ranges that one reader may have lost before they are no longer told apart, at about 32 bytes each.
const MAX_RANGES: usize = 4096;

/// What an entry takes besides its payload, roughly.
const ENTRY_OVERHEAD: usize = 128;

#[cfg(test)]
mod tests;
