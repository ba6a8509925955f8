//! From records in order to values: whole records as they stand in their frame, fragments put together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::{
    credential::Member,
    frame::Frame,
    id::{Seq, SeqRange},
    record::{Format, Part, Records},
    time::WallTime,
};

/// Values of one sender that are due on a channel: its numbers follow on those of the delivery or the
/// [`Gap`] before.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Who posted them.
    pub member: Arc<Member>,
    /// When, by its clock.
    pub posted_at: WallTime,
    seqs: SeqRange,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// These numbers of this frame, all of them whole values.
    Records(Frame),
    /// One value, in pieces.
    Fragments(Format, Arc<[Bytes]>),
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The numbers it took: one, or one for each fragment.
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

    /// The bytes it keeps in memory.
    pub fn len_bytes(&self) -> usize {
        match &self.content {
            Content::Records(frame) => frame.bytes().len(),
            Content::Fragments(_, parts) => parts.iter().map(Bytes::len).sum(),
        }
    }

    /// Its values in order.
    pub fn into_values(self) -> Values {
        match self.content {
            Content::Records(frame) => {
                let first = frame.seqs().first();
                Values {
                    records: frame.into_records(),
                    next: first,
                    wanted: self.seqs,
                    whole: None,
                }
            }
            Content::Fragments(format, parts) => {
                let len = parts.iter().map(Bytes::len).sum();
                let mut payload = BytesMut::with_capacity(len);
                parts.iter().for_each(|part| payload.extend_from_slice(part));
                let whole = Posted {
                    seqs: self.seqs,
                    format,
                    payload: payload.freeze(),
                };
                Values {
                    records: Records::of(Bytes::new()),
                    next: self.seqs.first(),
                    wanted: self.seqs,
                    whole: Some(whole),
                }
            }
        }
    }
}

/// The values of a [`Delivery`], one by one.
#[derive(Debug)]
pub struct Values {
    records: Records,
    /// The number of the next of those records.
    next: Seq,
    wanted: SeqRange,
    whole: Option<Posted>,
}

impl Iterator for Values {
    type Item = Posted;

    fn next(&mut self) -> Option<Posted> {
        for record in self.records.by_ref() {
            let seq = self.next;
            self.next = seq.next();
            if self.wanted.contains(seq) {
                return Some(Posted {
                    seqs: SeqRange::single(seq),
                    format: record.format,
                    payload: record.payload,
                });
            }
        }
        self.whole.take()
    }
}

/// Numbers that a channel will not deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose.
    pub member: Arc<Member>,
    /// Which.
    pub missed: SeqRange,
    /// Why.
    pub reason: GapReason,
}

/// Why numbers are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The network lost them and nobody that could be asked keeps them.
    Lost,
    /// They are of a value that is over this node's limit for messages.
    TooLarge,
    /// They arrived, but are fragments of a value of which other fragments are missing.
    Incomplete,
}

/// Puts the fragments of one sender on one channel together.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    seqs: SeqRange,
    format: Format,
    parts: Vec<Bytes>,
    len: usize,
}

/// What comes out of an [`Assembler`].
#[derive(Debug)]
pub(crate) enum Assembled {
    Values(Delivery),
    Missed(SeqRange, GapReason),
}

impl Assembler {
    /// Takes the numbers `seqs` of a frame, which must follow on the last ones taken. `limit` is the longest
    /// value that is put together, in bytes.
    pub(crate) fn push(
        &mut self,
        member: &Arc<Member>,
        frame: &Frame,
        seqs: SeqRange,
        limit: usize,
        out: &mut impl Extend<Assembled>,
    ) {
        let deliver = |seqs, content| {
            let delivery = Delivery {
                member: Arc::clone(member),
                posted_at: frame.posted_at(),
                seqs,
                content,
            };
            Assembled::Values(delivery)
        };
        if !frame.is_fragmented() && self.partial.is_none() {
            out.extend([deliver(seqs, Content::Records(frame.clone()))]);
            return;
        }
        let mut whole: Option<SeqRange> = None;
        for (seq, record) in frame.records().filter(|(seq, _)| seqs.contains(*seq)) {
            let this = SeqRange::single(seq);
            if record.part == Part::Whole {
                out.extend(
                    self.abandon()
                        .map(|missed| Assembled::Missed(missed, GapReason::Incomplete)),
                );
                whole = Some(whole.map_or(this, |run| run.hull(this)));
                continue;
            }
            out.extend(
                whole
                    .take()
                    .map(|run| deliver(run, Content::Records(frame.clone()))),
            );
            if record.part == Part::First {
                out.extend(
                    self.abandon()
                        .map(|missed| Assembled::Missed(missed, GapReason::Incomplete)),
                );
                self.partial = Some(Partial {
                    seqs: this,
                    format: record.format,
                    parts: Vec::new(),
                    len: 0,
                });
            }
            match self.partial.take() {
                // The beginning was missed, or given up as too large: the rest is no value either.
                None => out.extend([Assembled::Missed(this, GapReason::Incomplete)]),
                Some(partial) if partial.len + record.payload.len() > limit => {
                    out.extend([Assembled::Missed(partial.seqs.hull(this), GapReason::TooLarge)]);
                }
                Some(mut partial) => {
                    partial.seqs = partial.seqs.hull(this);
                    partial.len += record.payload.len();
                    partial.parts.push(record.payload);
                    if record.part == Part::Last {
                        out.extend([deliver(
                            partial.seqs,
                            Content::Fragments(partial.format, partial.parts.into()),
                        )]);
                    } else {
                        self.partial = Some(partial);
                    }
                }
            }
        }
        out.extend(whole.map(|run| deliver(run, Content::Records(frame.clone()))));
    }

    /// Gives up the value that was being put together and returns the numbers that are lost with it.
    pub(crate) fn abandon(&mut self) -> Option<SeqRange> {
        self.partial.take().map(|partial| partial.seqs)
    }
}
