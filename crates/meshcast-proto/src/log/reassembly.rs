//! From records in order to values: whole records as they are, fragments put together.

use std::{fmt, sync::Arc};

use bytes::{Bytes, BytesMut};

use crate::{
    identity::Member,
    log::arrival::Arrival,
    wire::{Format, Frame, Part, Record, Records, Seq, SeqRange, WallTime},
};

/// Values of one sender that are due on a channel. Its numbers continue where the last delivery or
/// [`Gap`] ended. `Debug` tells how many bytes they are, not which.
#[derive(Clone)]
pub struct Delivery {
    /// Who posted them.
    pub member: Arc<Member>,
    /// When they were posted, by the sender's clock.
    pub posted_at: WallTime,
    /// How they came to this node; of a value in several frames, the last of them and the longest
    /// way.
    pub arrival: Arrival,
    seqs: SeqRange,
    content: Content,
}

#[derive(Clone)]
enum Content {
    /// These numbers of this frame; all its records are whole values.
    Frame(Frame),
    /// Whole values between the fragments of a frame. The frame itself is not kept: reading it from
    /// its start for each run of whole values would take quadratic time.
    Wholes(Arc<[(Format, Bytes)]>),
    /// One value, in pieces.
    Fragments(Format, Arc<[Bytes]>),
}

/// One value. `Debug` tells its length, not its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Posted {
    /// Its numbers: one, or one for each fragment.
    pub seqs: SeqRange,
    /// How its bytes are to be read.
    pub format: Format,
    /// Its bytes; a slice of the frame unless the value was fragmented.
    pub payload: Bytes,
}

impl Delivery {
    /// The numbers of all its values.
    pub const fn seqs(&self) -> SeqRange {
        self.seqs
    }

    /// The part from this number on, if a value begins there.
    #[must_use]
    pub fn since(self, first: Seq) -> Option<Self> {
        if first <= self.seqs.first() {
            return Some(self);
        }
        let seqs = SeqRange::new(first, self.seqs.last())?;
        let content = match self.content {
            Content::Frame(frame) => Content::Frame(frame),
            Content::Wholes(values) => {
                let skipped = usize::try_from(first.get() - self.seqs.first().get()).ok()?;
                Content::Wholes(values.get(skipped..)?.into())
            }
            // It is one value, which began before.
            Content::Fragments(..) => return None,
        };
        Some(Self {
            seqs,
            content,
            ..self
        })
    }

    /// The bytes it keeps in memory.
    pub fn len_bytes(&self) -> usize {
        match &self.content {
            Content::Frame(frame) => frame.bytes().len(),
            Content::Wholes(values) => values.iter().map(|(_, payload)| payload.len()).sum(),
            Content::Fragments(_, parts) => parts.iter().map(Bytes::len).sum(),
        }
    }

    /// Its values in order.
    pub fn into_values(self) -> Values {
        let next = self.seqs.first();
        let source = match self.content {
            Content::Frame(frame) => {
                let skipped = self.seqs.first().get() - frame.seqs().first().get();
                let mut records = frame.into_records();
                (0..skipped).for_each(|_| drop(records.next()));
                Source::Records(records)
            }
            Content::Wholes(values) => Source::Wholes(values, 0),
            Content::Fragments(format, parts) => {
                let mut payload = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
                parts
                    .iter()
                    .for_each(|part| payload.extend_from_slice(part));
                let whole = Posted {
                    seqs: self.seqs,
                    format,
                    payload: payload.freeze(),
                };
                Source::Assembled(Some(whole))
            }
        };
        Values {
            source,
            next,
            left: self.seqs.len(),
        }
    }

    /// Its values in order, leaving it as it is.
    pub fn values(&self) -> Values {
        self.clone().into_values()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sender, len) = (self.member.sender(), self.len_bytes());
        write!(f, "Delivery({sender} {}, {len} bytes)", self.seqs)
    }
}

impl fmt::Debug for Posted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seqs,
            format,
            payload,
        } = self;
        write!(f, "Posted({seqs} {format:?}, {} bytes)", payload.len())
    }
}

/// The values of a [`Delivery`], one by one.
pub struct Values {
    source: Source,
    /// The number of the next one.
    next: Seq,
    /// How many numbers are left.
    left: u64,
}

enum Source {
    Records(Records),
    /// With the index of the next.
    Wholes(Arc<[(Format, Bytes)]>, usize),
    Assembled(Option<Posted>),
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Values({} numbers from {})", self.left, self.next)
    }
}

impl Iterator for Values {
    type Item = Posted;

    // Inlined: a call, with the value handed over in memory, takes longer than the work.
    #[inline(always)]
    fn next(&mut self) -> Option<Posted> {
        self.left = self.left.checked_sub(1)?;
        let Source::Records(records) = &mut self.source else {
            return self.next_single();
        };
        let Record {
            format, payload, ..
        } = records.next()?;
        Some(Posted {
            seqs: self.take_number(),
            format,
            payload,
        })
    }
}

impl Values {
    /// The next one that does not stand in its frame.
    #[cold]
    fn next_single(&mut self) -> Option<Posted> {
        let (format, payload) = match &mut self.source {
            Source::Records(_) => return None,
            Source::Wholes(values, index) => {
                let value = values.get(*index)?.clone();
                *index += 1;
                value
            }
            Source::Assembled(whole) => return whole.take(),
        };
        Some(Posted {
            seqs: self.take_number(),
            format,
            payload,
        })
    }

    #[inline]
    fn take_number(&mut self) -> SeqRange {
        let seqs = SeqRange::single(self.next);
        self.next = self.next.next();
        seqs
    }
}

/// Numbers that a channel will not deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The sender.
    pub member: Arc<Member>,
    /// The numbers.
    pub missed: SeqRange,
    /// The reason.
    pub reason: GapReason,
}

/// Why numbers are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The network lost them, and nobody who could be asked keeps them.
    Lost,
    /// They belong to a value over this node's limit for messages.
    TooLarge,
    /// They arrived, but other fragments of their value are missing or found no room in time.
    Incomplete,
}

/// Puts the fragments of one sender on one channel together.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    partial: Option<Partial>,
    /// A value that is already lost, as far as it came, and why: it is one gap, reported when it
    /// ends. Never set together with `partial`.
    skipped: Option<(SeqRange, GapReason)>,
}

struct Partial {
    seqs: SeqRange,
    format: Format,
    parts: Vec<Bytes>,
    len: usize,
    arrival: Arrival,
}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seqs, format, len, ..
        } = self;
        write!(f, "Partial({seqs} {format:?}, {len} bytes)")
    }
}

/// The input of a [`Reassembly`]: the numbers `seqs` of a frame, which came so.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) frame: Frame,
    pub(crate) seqs: SeqRange,
    pub(crate) arrival: Arrival,
}

/// What comes out of it.
#[derive(Debug)]
pub(crate) enum Assembled {
    Values(Delivery),
    Missed(SeqRange, GapReason),
}

impl Reassembly {
    /// Takes numbers of a frame, which must continue the last ones taken. `limit` is the longest
    /// value that is put together, in bytes.
    pub(crate) fn push(
        &mut self,
        member: &Arc<Member>,
        due: Due,
        limit: usize,
        out: &mut impl Extend<Assembled>,
    ) {
        let Due {
            frame,
            seqs,
            arrival,
        } = due;
        let posted_at = frame.posted_at();
        let deliver = |seqs, arrival, content| {
            let delivery = Delivery {
                member: Arc::clone(member),
                posted_at,
                arrival,
                seqs,
                content,
            };
            Assembled::Values(delivery)
        };
        // Usually the whole frame is shorter than the limit.
        let too_large = |payload: &Bytes| payload.len() > limit;
        let fits =
            frame.bytes().len() <= limit || !frame.records().any(|(_, it)| too_large(&it.payload));
        if !frame.is_fragmented() && self.partial.is_none() && fits {
            out.extend(self.abandon());
            out.extend([deliver(seqs, arrival, Content::Frame(frame))]);
            return;
        }
        let mut wholes: Option<(SeqRange, Vec<(Format, Bytes)>)> = None;
        let deliver_wholes = |(seqs, values): (SeqRange, Vec<(Format, Bytes)>)| {
            deliver(seqs, arrival, Content::Wholes(values.into()))
        };
        for (seq, record) in frame.records().filter(|(seq, _)| seqs.contains(*seq)) {
            let this = SeqRange::single(seq);
            if matches!(record.part, Part::Whole | Part::First) {
                out.extend(self.abandon());
            }
            if record.part == Part::Whole && too_large(&record.payload) {
                out.extend(wholes.take().map(deliver_wholes));
                out.extend([Assembled::Missed(this, GapReason::TooLarge)]);
                continue;
            }
            if record.part == Part::Whole {
                let (run, values) = wholes.get_or_insert_with(|| (this, Vec::new()));
                *run = run.hull(this);
                values.push((record.format, record.payload));
                continue;
            }
            out.extend(wholes.take().map(deliver_wholes));
            if record.part == Part::First {
                self.partial = Some(Partial {
                    seqs: this,
                    format: record.format,
                    parts: Vec::new(),
                    len: 0,
                    arrival,
                });
            }
            match self.partial.take() {
                // The beginning is missing or was given up as too large, so the rest is no value
                // either.
                None => {
                    let skipped = self.skipped.take();
                    let (seqs, reason) = skipped.unwrap_or((this, GapReason::Incomplete));
                    self.skipped = Some((seqs.hull(this), reason));
                }
                Some(partial) if partial.len + record.payload.len() > limit => {
                    self.skipped = Some((partial.seqs.hull(this), GapReason::TooLarge));
                }
                Some(mut partial) => {
                    partial.seqs = partial.seqs.hull(this);
                    partial.len += record.payload.len();
                    partial.arrival = partial.arrival.with(arrival);
                    partial.parts.push(record.payload);
                    if record.part == Part::Last {
                        out.extend([deliver(
                            partial.seqs,
                            partial.arrival,
                            Content::Fragments(partial.format, partial.parts.into()),
                        )]);
                    } else {
                        self.partial = Some(partial);
                    }
                }
            }
            if record.part == Part::Last {
                out.extend(self.abandon());
            }
        }
        out.extend(wholes.map(deliver_wholes));
    }

    /// Gives up the value in the making, and returns the numbers that are lost with it, and why.
    pub(crate) fn give_up(&mut self) -> Option<(SeqRange, GapReason)> {
        let partial = self.partial.take();
        let incomplete = partial.map(|partial| (partial.seqs, GapReason::Incomplete));
        incomplete.or_else(|| self.skipped.take())
    }

    /// The same, as an item of output.
    pub(crate) fn abandon(&mut self) -> Option<Assembled> {
        let (missed, reason) = self.give_up()?;
        Some(Assembled::Missed(missed, reason))
    }

    /// The bytes of the value in the making. Fragments but the last fill their frames, so these are
    /// nearly all the memory they take.
    pub(crate) fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.len)
    }

    /// The first number of the value in the making, or of the lost one that has not ended.
    pub(crate) fn begun(&self) -> Option<Seq> {
        self.unfinished().map(|seqs| seqs.first())
    }

    /// Its last number that came.
    pub(crate) fn halfway(&self) -> Option<Seq> {
        self.unfinished().map(|seqs| seqs.last())
    }

    fn unfinished(&self) -> Option<SeqRange> {
        let partial = self.partial.as_ref().map(|partial| partial.seqs);
        partial.or_else(|| self.skipped.map(|(seqs, _)| seqs))
    }
}

#[cfg(test)]
mod tests;
