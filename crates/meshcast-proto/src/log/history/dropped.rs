//! What is remembered of frames that had to go.

use crate::wire::{Seq, SeqRange, Time};

/// The dropped frames of a sender on a channel and when they were posted, as samples: every nth,
/// and the last.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    pub(super) marks: Vec<(Time, SeqRange)>,
    /// One in `1 << sparse` is a sample.
    sparse: u32,
    count: u64,
    /// The last sample is there only because it is the last.
    passing: bool,
}

impl Dropped {
    pub(super) fn add(&mut self, posted: Time, seqs: SeqRange) {
        if self
            .marks
            .last()
            .is_some_and(|(_, last)| seqs.first() <= last.last())
        {
            // A frame that was fetched late may be dropped after one above it.
            return;
        }
        if self.passing {
            self.marks.pop();
        }
        self.marks.push((posted, seqs));
        self.passing = !self.count.is_multiple_of(1 << self.sparse);
        self.count += 1;
        if self.marks.len() > MAX_DROPPED {
            let mut place = 0;
            self.marks.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.sparse += 1;
        }
    }

    /// Whether a higher number was dropped.
    pub(super) fn is_above(&self, seq: Seq) -> bool {
        self.marks
            .last()
            .is_some_and(|(_, dropped)| seq < dropped.first())
    }

    /// The lowest number posted since then, or one a little below.
    pub(super) fn first_since(&self, since: Time) -> Option<Seq> {
        let place = self.marks.partition_point(|(posted, _)| *posted < since);
        let (_, lowest) = self.marks.get(place)?;
        let before = place
            .checked_sub(1)
            .and_then(|before| self.marks.get(before));
        Some(before.map_or_else(|| lowest.first(), |(_, before)| before.last().next()))
    }
}

/// The number of samples kept for a sender on a channel, at [`MARK_BYTES`](super::MARK_BYTES) each;
/// then every second goes. An even number, so that the newest stays.
const MAX_DROPPED: usize = 64;
