//! Numbers that a reader has gone past without having read them.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use meshcast_proto::{Account, Member, Sender, Seq, SeqRange};

use super::Item;
use crate::channel::message::{Gap, GapReason};

/// The numbers that a reader is behind with, by sender and in the order of each sender's numbers:
/// those that made way in the ring, and for one that came late, those from before.
///
/// Those that the node still keeps are read before anything else: the reader asks for a part of its
/// lag behind one sender, reads what is handed over, and goes on with the next sender. Numbers that
/// are not kept any more, and those that never came, are told as a gap. Ranges are exact: only
/// neighbours of one kind are joined, unless there are [`MAX_SPANS`].
#[derive(Debug)]
pub(super) struct Lag {
    /// The account that pays for its memory.
    account: Account,
    senders: BTreeMap<Sender, VecDeque<Span>>,
    /// The number of spans, and of those that belong to the backfill it began with.
    spans: usize,
    backfill_spans: usize,
    /// Handed over, and to be read first; and what that takes.
    recalled: VecDeque<Item>,
    recalled_bytes: usize,
    /// Whose numbers were asked for, and not handed over yet.
    asked: Option<Sender>,
    /// Who had a turn last.
    turn: Option<Sender>,
    /// The backfill of the reader is still being looked for: nothing later is read.
    awaits_backfill: bool,
}

/// Numbers that follow on each other, and what is said of those that are missing.
#[derive(Debug, Clone)]
struct Span {
    gap: Gap,
    /// They were delivered once, so they may be kept.
    kept: bool,
    /// They are of the past that the reader began with.
    is_backfill: bool,
}

/// How a reader that may be behind stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LagState {
    /// It is not behind.
    CaughtUp,
    /// There is something to take.
    Ready,
    /// It waits for what was asked for.
    Waiting,
    /// The same, and that is to be asked for now.
    Asking,
}

/// What a reader asks for: numbers of one sender, in order, with what to say of those that are not
/// kept.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) member: Arc<Member>,
    pub(crate) spans: Vec<(SeqRange, GapReason)>,
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        self.member.sender() == other.member.sender() && self.spans == other.spans
    }
}

impl Lag {
    pub(super) const fn new(account: Account) -> Self {
        Self {
            account,
            senders: BTreeMap::new(),
            spans: 0,
            backfill_spans: 0,
            recalled: VecDeque::new(),
            recalled_bytes: 0,
            asked: None,
            turn: None,
            awaits_backfill: false,
        }
    }

    /// Of one that came late: it reads nothing before it was told what there is.
    pub(super) const fn awaiting_backfill(account: Account) -> Self {
        let mut new = Self::new(account);
        new.awaits_backfill = true;
        new
    }

    /// Numbers made way that were delivered once; `is_backfill` if the reader began with them.
    pub(super) fn lose(&mut self, gap: Gap, is_backfill: bool) {
        let kept = true;
        self.add(Span {
            gap,
            kept,
            is_backfill,
        });
    }

    /// Numbers were never delivered, and the reader was not told so.
    pub(super) fn miss(&mut self, gap: Gap, is_backfill: bool) {
        let kept = false;
        self.add(Span {
            gap,
            kept,
            is_backfill,
        });
    }

    /// The reader is told what was before it came.
    pub(super) fn begin(&mut self) {
        self.awaits_backfill = false;
    }

    /// Before all else of their sender come these numbers, in the order in which they are read.
    pub(super) fn precede(
        &mut self,
        member: &Arc<Member>,
        past: impl DoubleEndedIterator<Item = (SeqRange, GapReason, bool)>,
    ) {
        for (missed, reason, kept) in past.rev() {
            let gap = Gap {
                member: Arc::clone(member),
                missed,
                reason,
            };
            let is_backfill = true;
            self.push_front(Span {
                gap,
                kept,
                is_backfill,
            });
        }
    }

    /// The same of a sender that the reader is behind with.
    pub(super) fn precede_own(
        &mut self,
        sender: Sender,
        past: impl DoubleEndedIterator<Item = (SeqRange, GapReason, bool)>,
    ) {
        let spans = self.senders.get(&sender);
        let member = spans.and_then(|spans| Some(Arc::clone(&spans.front()?.gap.member)));
        if let Some(member) = member {
            self.precede(&member, past);
        }
    }

    /// Whom the reader is behind with.
    pub(super) fn senders(&self) -> Vec<Sender> {
        self.senders.keys().copied().collect()
    }

    /// The first number of a sender that the reader has gone past and wants: it went past lower
    /// ones too, and those are not wanted. Returns the first number that is left, if any is.
    pub(super) fn cut(&mut self, sender: Sender, due: Seq) -> Option<Seq> {
        while let Some(mut span) = self.pop(sender) {
            let missed = span.gap.missed;
            if let Some(rest) = SeqRange::new(missed.first().max(due), missed.last()) {
                span.gap.missed = rest;
                self.push_front(span);
                return Some(rest.first());
            }
        }
        None
    }

    /// Whether the reader has read all of the past that it began with, as far as it is told here.
    pub(super) fn is_backfill_read(&self) -> bool {
        !self.awaits_backfill && self.backfill_spans == 0 && self.recalled.is_empty()
    }

    /// Whether the reader has not been told what there was.
    pub(super) const fn awaits_backfill(&self) -> bool {
        self.awaits_backfill
    }

    /// The number of each sender that is read next, of those that the reader is behind with.
    pub(super) fn due(&self) -> BTreeMap<Sender, Seq> {
        let spans = self.senders.iter();
        let spans = spans.filter_map(|(sender, spans)| {
            let first = spans.front()?.gap.missed.first();
            Some((*sender, first))
        });
        let mut due: BTreeMap<Sender, Seq> = spans.collect();
        for item in self.recalled.iter().rev() {
            due.insert(item.member().sender(), item.seqs().first());
        }
        due
    }

    /// These are to be read first. `true` if there are any.
    pub(super) fn hand(&mut self, items: impl Iterator<Item = Item>) -> bool {
        self.extend(items);
        !self.recalled.is_empty()
    }

    /// Nothing can be asked for any more, so what was not handed over is missing.
    pub(super) fn give_up(&mut self) {
        (self.asked, self.awaits_backfill) = (None, false);
        self.senders
            .values_mut()
            .flatten()
            .for_each(|span| span.kept = false);
    }

    /// How the reader stands. It has asked then, if it had to.
    pub(super) fn look(&mut self) -> LagState {
        if !self.recalled.is_empty() {
            return LagState::Ready;
        }
        if self.asked.is_some() || self.awaits_backfill {
            return LagState::Waiting;
        }
        let next = self
            .whose_turn()
            .and_then(|sender| self.senders.get(&sender));
        match next.and_then(VecDeque::front) {
            None => LagState::CaughtUp,
            Some(span) if !span.kept => LagState::Ready,
            Some(span) => {
                self.asked = Some(span.gap.member.sender());
                LagState::Asking
            }
        }
    }

    /// The item that is read next, if it is [ready](LagState::Ready).
    pub(super) fn take(&mut self) -> Option<Item> {
        if self.look() != LagState::Ready {
            return None;
        }
        if let Some(item) = self.recalled.pop_front() {
            self.recalled_bytes -= item.len_bytes();
            self.account.release(item.len_bytes());
            return Some(item);
        }
        let span = self.pop(self.whose_turn()?)?;
        Some(Item::Missed(span.gap))
    }

    /// The numbers that are asked for: as many as may be handed over at once.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        let spans = self.senders.get(&self.asked?)?;
        let member = Arc::clone(&spans.front()?.gap.member);
        let spans = spans
            .iter()
            .take_while(|span| span.kept)
            .take(SPANS_AT_ONCE);
        let spans = spans
            .map(|span| (span.gap.missed, span.gap.reason))
            .collect();
        Some(Wanted { member, spans })
    }

    /// Takes what was asked for, complete up to this number.
    pub(super) fn recall(&mut self, items: Vec<Item>, upto: Seq) {
        let Some(sender) = self.asked.take() else {
            return;
        };
        self.turn = Some(sender);
        self.extend(items);
        while let Some(mut span) = self.pop(sender) {
            let missed = span.gap.missed;
            if let Some(rest) = SeqRange::new(missed.first().max(upto.next()), missed.last()) {
                span.gap.missed = rest;
                self.push_front(span);
                break;
            }
        }
    }

    fn push_front(&mut self, span: Span) {
        self.count(&span);
        let sender = span.gap.member.sender();
        self.senders.entry(sender).or_default().push_front(span);
    }

    fn count(&mut self, span: &Span) {
        self.spans += 1;
        self.backfill_spans += usize::from(span.is_backfill);
        self.account.charge(SPAN_BYTES);
    }

    fn extend(&mut self, items: impl IntoIterator<Item = Item>) {
        for item in items {
            self.recalled_bytes += item.len_bytes();
            self.account.charge(item.len_bytes());
            self.recalled.push_back(item);
        }
    }

    /// Each sender in turn, so that one that goes on pushing others out of the ring does not keep
    /// them waiting.
    fn whose_turn(&self) -> Option<Sender> {
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let mut later = self.senders.range((after, Bound::Unbounded));
        let next = later.next().or_else(|| self.senders.first_key_value());
        next.map(|(sender, _)| *sender)
    }

    fn add(&mut self, span: Span) {
        let Span {
            gap,
            kept,
            is_backfill,
        } = span;
        let sender = gap.member.sender();
        let spans = self.senders.entry(sender).or_default();
        let last_is_asked = self.asked == Some(sender) && spans.len() <= SPANS_AT_ONCE;
        if let Some(last) = spans.back_mut() {
            let adjacent = last.gap.missed.last().next() == gap.missed.first();
            let last_is = (last.gap.reason, last.kept, last.is_backfill);
            if adjacent && last_is == (gap.reason, kept, is_backfill) {
                last.gap.missed = last.gap.missed.hull(gap.missed);
                return;
            }
            // So many that the memory for them must not grow: then one range names what lies
            // between, too. That may be what the reader posted itself, so nothing of it is handed
            // over.
            if self.spans >= MAX_SPANS && !last_is_asked {
                last.gap.missed = last.gap.missed.hull(gap.missed);
                (last.gap.reason, last.kept) = (GapReason::Unread, false);
                return;
            }
        }
        let span = Span {
            gap,
            kept,
            is_backfill,
        };
        self.count(&span);
        self.senders.entry(sender).or_default().push_back(span);
    }

    fn pop(&mut self, sender: Sender) -> Option<Span> {
        let spans = self.senders.get_mut(&sender)?;
        let span = spans.pop_front();
        if spans.is_empty() {
            self.senders.remove(&sender);
        }
        if let Some(span) = &span {
            self.spans -= 1;
            self.backfill_spans -= usize::from(span.is_backfill);
            self.account.release(SPAN_BYTES);
        }
        span
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.account
            .release(self.recalled_bytes + self.spans * SPAN_BYTES);
    }
}

/// Spans that one reader may be behind with before they are no longer told apart.
pub(super) const MAX_SPANS: usize = 4096;

/// What a span takes.
const SPAN_BYTES: usize = size_of::<Span>();

/// Spans of one sender that are asked for at once. A reader that posts too is behind with many
/// short ones.
const SPANS_AT_ONCE: usize = 64;
