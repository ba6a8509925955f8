//! Posts that have not left yet, already in the shape of frames.

use std::{cmp::Ordering, collections::VecDeque};

use meshcast_proto::{
    Account, ChannelName, Draft, Format, Frame, MAX_FRAGMENT_LEN, RECORD_OVERHEAD, Seq, SeqRange,
    fragment_count, fragments,
};

use super::ObjectId;

/// A queue of drafts of frames of one channel, bounded in bytes of records. Posts that gather while
/// the driver is busy share a section and so leave as one frame.
#[derive(Debug)]
pub(crate) struct Outbox {
    channel: ChannelName,
    sections: VecDeque<Section>,
    bytes: usize,
    limit: usize,
    /// The length of the section that left last: the next may become as long.
    last_len: usize,
    account: Account,
    /// The bytes charged to the account: somewhat more than `bytes`, so that the charge does not
    /// change with each post.
    charged: usize,
    /// The number of records pushed so far, and of those that have left.
    pushed: u64,
    left: u64,
}

/// Who wants to push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poster {
    /// Gives up if there is no room.
    NonBlocking,
    /// Waits for room. Records pushed earlier than the driver can take them would only grow old in
    /// the queue.
    Waiting,
}

/// Records that leave together, and who posted them.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) draft: Draft,
    posters: Vec<Run>,
}

/// Consecutive records by one object.
#[derive(Debug, Clone, Copy)]
struct Run {
    poster: ObjectId,
    /// Objects from this one on were made after the post.
    later: ObjectId,
    records: u64,
}

impl Outbox {
    /// An outbox of so many bytes, which are charged to this account.
    pub(crate) fn new(channel: ChannelName, limit: usize, account: Account) -> Self {
        Self {
            channel,
            sections: VecDeque::new(),
            bytes: 0,
            limit,
            last_len: 0,
            account,
            charged: 0,
            pushed: 0,
            left: 0,
        }
    }

    /// Whether a value of `len` bytes may be pushed. An empty outbox takes any.
    pub(crate) fn has_room(&self, len: usize, who: Poster) -> bool {
        let records = if len > MAX_FRAGMENT_LEN {
            1 + fragment_count(len - self.room())
        } else {
            1
        };
        let taken = len + records * RECORD_OVERHEAD;
        let limit = match who {
            Poster::NonBlocking => self.limit,
            Poster::Waiting => self.limit.min(WAITING_LIMIT),
        };
        let more = charge_for(self.bytes + taken).saturating_sub(self.charged);
        self.bytes == 0
            || (self.bytes + taken <= limit && (more == 0 || self.account.has_room(more)))
    }

    /// Appends a value, in fragments if it is too large for one record. Its last record is then the
    /// last [pushed](Self::pushed).
    pub(crate) fn push(&mut self, poster: ObjectId, later: ObjectId, format: Format, value: &[u8]) {
        for (part, payload) in fragments(value, self.room()) {
            let len = payload.len() + RECORD_OVERHEAD;
            self.bytes += len;
            if self
                .sections
                .back()
                .is_none_or(|last| last.draft.len() + len > Frame::MAX_RECORDS_LEN)
            {
                let draft = Draft::new(&self.channel).expecting(self.last_len);
                self.sections.push_back(Section::new(draft));
            }
            let Some(section) = self.sections.back_mut() else {
                return;
            };
            self.pushed += 1;
            section.draft.push(format, part, payload);
            match section.posters.last_mut() {
                Some(run) if run.poster == poster && run.later == later => run.records += 1,
                _ => section.posters.push(Run {
                    poster,
                    later,
                    records: 1,
                }),
            }
        }
        self.settle();
    }

    /// Charges the account with what there is now.
    fn settle(&mut self) {
        let due = charge_for(self.bytes);
        match due.cmp(&self.charged) {
            Ordering::Greater => self.account.charge(due - self.charged),
            Ordering::Less => self.account.release(self.charged - due),
            Ordering::Equal => {}
        }
        self.charged = due;
    }

    /// How much of a value that takes several records goes into the section that is begun.
    fn room(&self) -> usize {
        let begun = self.sections.back().map_or(0, |last| last.draft.len());
        let room = (Frame::MAX_RECORDS_LEN - begun).saturating_sub(RECORD_OVERHEAD);
        // A short piece is not worth a record of its own.
        if room < MIN_PIECE {
            MAX_FRAGMENT_LEN
        } else {
            room
        }
    }

    /// The section that leaves next.
    pub(crate) fn pop(&mut self) -> Option<Section> {
        let section = self.sections.pop_front()?;
        self.last_len = section.draft.len();
        self.bytes -= self.last_len;
        self.settle();
        self.left += section.posters.iter().map(|run| run.records).sum::<u64>();
        Some(section)
    }

    /// How many records were pushed so far.
    pub(crate) const fn pushed(&self) -> u64 {
        self.pushed
    }

    /// How many records have left: all below this one.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.account.release(self.charged);
    }
}

/// The charge for so many bytes: in steps, since the buffer they are in grows so as well.
const fn charge_for(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=LARGE_STEP => {
            let step = bytes.next_power_of_two();
            if step < SMALL_STEP { SMALL_STEP } else { step }
        }
        _ => bytes.next_multiple_of(LARGE_STEP),
    }
}

impl Section {
    const fn new(draft: Draft) -> Self {
        Self {
            draft,
            posters: Vec::new(),
        }
    }

    /// The poster of each number, once the records got theirs.
    pub(crate) fn posters(&self, seqs: SeqRange) -> Posters {
        let mut end = seqs.first();
        let runs = self.posters.iter().map(|run| {
            end = end.checked_add(run.records).unwrap_or(Seq::MAX);
            PostedBy {
                before: end,
                poster: run.poster,
                later: run.later,
            }
        });
        Posters(runs.collect())
    }
}

/// Who in this process posted the numbers of a frame.
#[derive(Debug, Clone)]
pub(crate) struct Posters(Vec<PostedBy>);

#[derive(Debug, Clone, Copy)]
struct PostedBy {
    /// The first number that is no longer of this run.
    before: Seq,
    poster: ObjectId,
    later: ObjectId,
}

impl Posters {
    /// Whether `object` hears any of the posts.
    pub(crate) fn concern(&self, object: ObjectId) -> bool {
        self.0.iter().any(|run| run.is_heard_by(object))
    }

    /// Whether `object` hears the post that ended with `last`: not its own, and none from before it
    /// was made, unless it wants those too.
    pub(crate) fn heard_by(&self, object: ObjectId, last: Seq) -> bool {
        let run = self.0.partition_point(|run| run.before <= last);
        self.0.get(run).is_some_and(|run| run.is_heard_by(object))
    }
}

impl PostedBy {
    fn is_heard_by(&self, object: ObjectId) -> bool {
        (object.echo || self.poster != object) && (object.late || object < self.later)
    }
}

/// The bytes that may wait in front of a post of somebody who would wait himself: four frames, so
/// that the driver finds some whenever it looks.
const WAITING_LIMIT: usize = 4 * Frame::MAX_LEN;

/// The steps in which an outbox is charged: the first, and those from the largest power of two on.
const SMALL_STEP: usize = 1024;
const LARGE_STEP: usize = 64 * 1024;

/// The shortest piece of a large value that is put behind others.
const MIN_PIECE: usize = 1024;

#[cfg(test)]
mod tests;
