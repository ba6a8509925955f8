//! What one object got of one sender.

use super::{
    books::{Post, at_or_above},
    violation::{ObjectRef, TooWide, Violation},
};
use crate::{
    at::At,
    log::{Name, Span},
};

/// Its progress, and what it was told instead.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its lowest number.
    begin: u64,
    /// The number that is due.
    pub(super) next: u64,
    /// The numbers that it was told will not come.
    pub(super) gaps: Vec<Told>,
    /// What was left out without a word, so far.
    skipped: Vec<Skipped>,
}

/// A gap.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) t: At,
    pub(super) missed: Span,
    pub(super) kept: Option<Vec<(Name, Span)>>,
}

#[derive(Debug)]
struct Skipped {
    t: At,
    missing: Span,
    /// What came instead.
    seqs: Span,
}

/// Whose stream it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) object: &'a ObjectRef,
    pub(super) sender: &'a Name,
    /// What the sender posted.
    pub(super) posts: &'a [Post],
}

impl Stream {
    /// One that begins with this number.
    pub(super) const fn new(begin: u64) -> Self {
        Self {
            begin,
            next: begin,
            gaps: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Takes in the numbers of a delivery. `false` if they are not news.
    pub(super) fn deliver(
        &mut self,
        whose: Whose<'_>,
        t: At,
        seqs: Span,
        found: &mut Vec<Violation>,
    ) -> bool {
        if seqs.first < self.next {
            found.push(self.reproach(whose, t, seqs));
            self.next = self.next.max(seqs.last + 1);
            return false;
        }
        self.reach(whose, t, seqs);
        self.next = seqs.last + 1;
        self.pass_own(whose);
        true
    }

    /// Takes in a gap.
    pub(super) fn miss(&mut self, whose: Whose<'_>, told: Told, found: &mut Vec<Violation>) {
        let missed = told.missed;
        let mut too_wide = |too_wide| {
            found.push(Violation::GapTooWide {
                t: told.t,
                object: whose.object.clone(),
                sender: whose.sender.clone(),
                missed,
                too_wide,
            });
        };
        if missed.first < self.next {
            let before = Span::new(missed.first, missed.last.min(self.next - 1));
            too_wide(match self.told(before) {
                Some(told) => TooWide::Told(told),
                None => TooWide::Delivered(before),
            });
        }
        let posted = whose.posts.iter().rev().find(|post| post.t <= told.t);
        let newest = posted.map_or(0, |post| post.seqs.last);
        if missed.last > newest {
            too_wide(TooWide::NeverPosted(Span::new(
                missed.first.max(newest + 1),
                missed.last,
            )));
        }
        self.reach(whose, told.t, missed);
        self.next = self.next.max(missed.last + 1);
        self.gaps.push(told);
        self.pass_own(whose);
    }

    /// What was left out without a word and never came.
    pub(super) fn finish(&self, whose: Whose<'_>, found: &mut Vec<Violation>) {
        found.extend(self.skipped.iter().map(|skipped| Violation::SilentGap {
            t: skipped.t,
            object: whose.object.clone(),
            sender: whose.sender.clone(),
            missing: skipped.missing,
            seqs: skipped.seqs,
        }));
    }

    /// Notes what is left out between what was due and these numbers.
    fn reach(&mut self, whose: Whose<'_>, t: At, seqs: Span) {
        self.pass_own(whose);
        if self.next < seqs.first {
            self.skipped.push(Skipped {
                t,
                missing: Span::new(self.next, seqs.first - 1),
                seqs,
            });
        }
    }

    /// An object does not hear what it posted itself.
    fn pass_own(
        &mut self,
        Whose {
            object,
            sender,
            posts,
        }: Whose<'_>,
    ) {
        if *sender != object.process {
            return;
        }
        let above = posts
            .get(at_or_above(posts, self.next)..)
            .unwrap_or_default();
        for post in above.iter().take_while(|post| post.object == object.object) {
            if post.seqs.first <= self.next {
                self.next = post.seqs.last + 1;
            }
        }
    }

    /// What is wrong with numbers below the one that is due.
    fn reproach(&mut self, whose: Whose<'_>, t: At, seqs: Span) -> Violation {
        let (object, sender) = (whose.object.clone(), whose.sender.clone());
        let late = self
            .skipped
            .iter()
            .position(|skipped| skipped.missing.common(seqs).is_some());
        if let Some(index) = late {
            let Skipped {
                t: when,
                missing,
                seqs: above,
            } = self.skipped.remove(index);
            let (below, beyond) = (
                Span::new(missing.first, seqs.first.saturating_sub(1)),
                Span::new(seqs.last + 1, missing.last),
            );
            let rest = [below, beyond].into_iter().filter(|rest| !rest.is_empty());
            self.skipped.extend(rest.map(|missing| Skipped {
                t: when,
                missing,
                seqs: above,
            }));
        }
        if late.is_some() || seqs.first < self.begin {
            Violation::OutOfOrder {
                t,
                object,
                sender,
                seqs,
                next: self.next,
            }
        } else if let Some(seqs) = self.told(seqs) {
            Violation::AfterGap {
                t,
                object,
                sender,
                seqs,
            }
        } else {
            Violation::Duplicate {
                t,
                object,
                sender,
                seqs,
            }
        }
    }

    /// What of these numbers it was told to be missing.
    fn told(&self, seqs: Span) -> Option<Span> {
        self.gaps.iter().find_map(|told| told.missed.common(seqs))
    }
}
