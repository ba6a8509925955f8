//! A frame in the making.

use std::fmt;

use super::{Frame, SIGNATURE_LEN};
use crate::wire::{
    buffers,
    codec::MAX_CHAIN_LEN,
    name::ChannelName,
    record::{Format, Part, RECORD_OVERHEAD, write_record},
};

/// Records that will leave together, in the buffer that becomes their frame. Room is kept in front
/// for the head, so nothing is moved when they are numbered and signed. `Debug` tells how many
/// bytes they are, not which.
///
/// A draft can also be made from encoded records, for any channel.
#[derive(Clone, Default)]
pub struct Draft {
    /// Room for the head, then the records.
    buffer: Vec<u8>,
    room: usize,
    /// How long the records are expected to become.
    expected: usize,
}

impl Draft {
    /// An empty draft. It can be posted on any channel, but is cheapest on this one.
    pub fn new(channel: &ChannelName) -> Self {
        Self {
            buffer: Vec::new(),
            room: Frame::longest_head(channel),
            expected: 0,
        }
    }

    /// The same, with memory for so many bytes of records if there is such that was used before.
    #[must_use]
    pub const fn expecting(mut self, len: usize) -> Self {
        self.expected = len;
        self
    }

    /// Appends one record; see [`write_record`].
    pub fn push(&mut self, format: Format, part: Part, payload: &[u8]) {
        self.reserve(RECORD_OVERHEAD + payload.len());
        write_record(&mut self.buffer, format, part, payload);
    }

    /// The records section.
    pub fn records(&self) -> &[u8] {
        self.buffer.get(self.room..).unwrap_or_default()
    }

    /// How long the records section is, in bytes.
    pub fn len(&self) -> usize {
        self.records().len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for this many bytes and for what follows the records: doubles the buffer, up to
    /// the length of a frame.
    fn reserve(&mut self, bytes: usize) {
        if self.buffer.is_empty() {
            // Not for a short post: it may wait alone, and is charged by what is in it.
            let expected = if bytes < EXPECTED_FROM {
                0
            } else {
                self.expected
            };
            let expected = buffers::used(self.room + bytes.max(expected) + TAIL_LEN);
            let new = || Vec::with_capacity(self.room + bytes + TAIL_LEN);
            self.buffer = expected.unwrap_or_else(new);
            self.buffer.resize(self.room, 0);
        }
        let (len, capacity) = (self.buffer.len(), self.buffer.capacity());
        let needed = len + bytes + TAIL_LEN;
        if needed > capacity {
            let doubled = (2 * capacity).min(Frame::MAX_LEN);
            let is_filling = needed >= EXPECTED_FROM && self.expected > len;
            let expected = if is_filling {
                self.room + self.expected + TAIL_LEN
            } else {
                0
            };
            let doubled = doubled.max(expected);
            buffers::reserve(&mut self.buffer, needed.max(doubled) - len);
        }
    }

    /// The buffer with this head in front of the records, and where head and records begin.
    pub(super) fn with_head(mut self, head: &[u8]) -> (Vec<u8>, usize, usize) {
        let begins = self.room.min(self.buffer.len());
        match begins.checked_sub(head.len()) {
            Some(at) => {
                self.buffer[at..begins].copy_from_slice(head);
                (self.buffer, at, begins)
            }
            None => {
                self.buffer.splice(..begins, head.iter().copied());
                (self.buffer, 0, head.len())
            }
        }
    }
}

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Draft {
    fn from(records: &T) -> Self {
        Self {
            buffer: records.as_ref().to_vec(),
            room: 0,
            expected: 0,
        }
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft({} bytes)", self.len())
    }
}

/// From how many bytes on a draft is expected to become as long as the last one.
const EXPECTED_FROM: usize = 16 * 1024;

/// What follows the records: the chain with its length, and the signature. A chain with common
/// names takes less than half of the longest one.
const TAIL_LEN: usize = MAX_CHAIN_LEN / 2 + SIGNATURE_LEN;
