//! Records: what a frame carries. A record is a whole value or a fragment of one.

use std::fmt;

use bytes::{Buf, Bytes};

use crate::wire::codec::MAX_RECORDS_LEN;

/// One record. `Debug` tells its length, not its bytes.
///
/// A record is a 32-bit little-endian word, length × 8 + flags, and that many bytes. Flags: 1 = the
/// value is bytes as they are (else an encoded `Value`), 2 = the value goes on in the next record,
/// 4 = it began in the one before. Every record has a number of its own, so a fragment can be
/// repaired like any other record.
///
/// A record that goes on in the next one has the full length. So a value can be cut in one way
/// only, and an endless value costs its sender as many bytes as it costs the reader.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// How its bytes are to be read.
    pub format: Format,
    /// Which part of a value it is.
    pub part: Part,
    /// The value, or a part of it.
    pub payload: Bytes,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            format,
            part,
            payload,
        } = self;
        write!(f, "Record({format:?} {part:?}, {} bytes)", payload.len())
    }
}

/// How the bytes of a value are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A structured value, as the crate `meshcast-value` writes it.
    Value,
    /// Bytes as they are.
    Raw,
}

/// Which part of a value a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// All of it.
    Whole,
    /// The beginning; the next record goes on.
    First,
    /// Neither the beginning nor the end.
    Middle,
    /// The end.
    Last,
}

/// How long the longest fragment of a value is, in bytes of payload.
pub const MAX_FRAGMENT_LEN: usize = MAX_RECORDS_LEN - RECORD_OVERHEAD;

/// What a record takes besides its payload, in bytes.
pub const RECORD_OVERHEAD: usize = 4;

/// Appends one record to a records section.
///
/// [`fragments`] gives the parts of a value and their payloads. A section with anything else in it,
/// such as a payload over [`MAX_FRAGMENT_LEN`], is taken by no frame.
pub fn write_record(out: &mut Vec<u8>, format: Format, part: Part, payload: &[u8]) {
    let flags = match format {
        Format::Value => 0,
        Format::Raw => RAW,
    } | match part {
        Part::Whole => 0,
        Part::First => CONTINUES,
        Part::Middle => CONTINUES | CONTINUED,
        Part::Last => CONTINUED,
    };
    out.extend_from_slice(&word(payload.len(), flags).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Cuts a value into what goes into consecutive records; at least one, also for an empty value. If
/// it takes several, the first holds at most `first` bytes (1 to [`MAX_FRAGMENT_LEN`]): what is
/// left of a frame that is begun.
pub fn fragments(value: &[u8], first: usize) -> impl Iterator<Item = (Part, &[u8])> {
    let mut rest = Some(value);
    let mut begun = false;
    std::iter::from_fn(move || {
        let left = rest?;
        let room = if begun || value.len() <= MAX_FRAGMENT_LEN {
            MAX_FRAGMENT_LEN
        } else {
            first.clamp(1, MAX_FRAGMENT_LEN)
        };
        let (payload, later) = left.split_at(left.len().min(room));
        rest = Some(later).filter(|later| !later.is_empty());
        let part = match (begun, rest.is_some()) {
            (false, false) => Part::Whole,
            (false, true) => Part::First,
            (true, true) => Part::Middle,
            (true, false) => Part::Last,
        };
        begun = true;
        Some((part, payload))
    })
}

/// How many records a value of `len` bytes takes at least; one more if the first is cut short.
pub const fn fragment_count(len: usize) -> usize {
    if len == 0 {
        1
    } else {
        len.div_ceil(MAX_FRAGMENT_LEN)
    }
}

/// The records of a section, one by one, without copying.
#[derive(Clone)]
pub(crate) struct Records {
    section: Bytes,
    /// Where the next one begins.
    at: usize,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} bytes)", self.section.len() - self.at)
    }
}

impl Records {
    /// Of a section that [`Self::survey`] accepted.
    pub(crate) const fn of(section: Bytes) -> Self {
        Self { section, at: 0 }
    }

    /// Checks a section and tells what is in it.
    pub(crate) fn survey(mut section: &[u8]) -> Result<Survey, RecordError> {
        let mut survey = Survey::default();
        while !section.is_empty() {
            let (len, flags) = read_word(&mut section)?;
            if len > MAX_FRAGMENT_LEN {
                let limit = MAX_FRAGMENT_LEN;
                return Err(RecordError::TooLong { len, limit });
            }
            // A short middle piece would let a sender make many frames wait with few bytes.
            if flags & CONTINUES != 0 && flags & CONTINUED != 0 && len < MAX_FRAGMENT_LEN {
                let expected = MAX_FRAGMENT_LEN;
                return Err(RecordError::ShortFragment { len, expected });
            }
            section = section.get(len..).ok_or(RecordError::Truncated)?;
            survey.count += 1;
            survey.fragmented |= flags & (CONTINUES | CONTINUED) != 0;
        }
        Ok(survey)
    }
}

/// What a records section holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Survey {
    pub(crate) count: u32,
    /// Whether any of them is a fragment.
    pub(crate) fragmented: bool,
}

impl Iterator for Records {
    type Item = Record;

    // Inlined: a call, with the record handed over in memory, takes longer than the work.
    #[inline(always)]
    fn next(&mut self) -> Option<Record> {
        let mut rest = self.section.get(self.at..)?;
        let (len, flags) = read_word(&mut rest).ok()?;
        if len > rest.len() {
            return None;
        }
        let begins = self.at + RECORD_OVERHEAD;
        self.at = begins + len;
        let format = if flags & RAW == 0 {
            Format::Value
        } else {
            Format::Raw
        };
        let part = match (flags & CONTINUED != 0, flags & CONTINUES != 0) {
            (false, false) => Part::Whole,
            (false, true) => Part::First,
            (true, true) => Part::Middle,
            (true, false) => Part::Last,
        };
        Some(Record {
            format,
            part,
            payload: self.section.slice(begins..self.at),
        })
    }
}

/// Why bytes are no records section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A record goes beyond the end.
    #[error("record is cut short")]
    Truncated,
    /// A record is over [`MAX_FRAGMENT_LEN`].
    #[error("record of {len} bytes is over the limit of {limit}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The longest one allowed.
        limit: usize,
    },
    /// A piece of a value that is neither its first nor its last is under [`MAX_FRAGMENT_LEN`].
    #[error(
        "record of {len} bytes stands between others of its value, but is not as long as it \
         could be ({expected})"
    )]
    ShortFragment {
        /// Its length.
        len: usize,
        /// The only length allowed.
        expected: usize,
    },
}

/// A length that does not fit becomes the largest one that does, which is far over the limit as
/// well.
fn word(len: usize, flags: u32) -> u32 {
    let len = u32::try_from(len).map_or(MAX_WORD_LEN, |len| len.min(MAX_WORD_LEN));
    len << FLAG_BITS | flags
}

#[inline]
fn read_word(section: &mut impl Buf) -> Result<(usize, u32), RecordError> {
    let word = section
        .try_get_u32_le()
        .map_err(|_| RecordError::Truncated)?;
    Ok(((word >> FLAG_BITS) as usize, word & ((1 << FLAG_BITS) - 1)))
}

const FLAG_BITS: u32 = 3;
const MAX_WORD_LEN: u32 = u32::MAX >> FLAG_BITS;
const RAW: u32 = 1;
const CONTINUES: u32 = 2;
const CONTINUED: u32 = 4;

#[cfg(test)]
mod tests;
