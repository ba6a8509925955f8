//! The messages that an object should have got, given what others got.

use std::collections::BTreeMap;

use super::{
    Rules,
    books::{Books, Post, at_or_above, overlapping},
    judge::{Heard, Object},
    stream::Told,
    violation::{TooWide, Violation},
};
use crate::{
    at::At,
    log::{Name, Since, Span},
};

/// Who got what first.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    logs: BTreeMap<(Name, Name), BTreeMap<usize, Proof>>,
}

/// Who got one post.
#[derive(Debug, Default)]
struct Proof {
    /// Of those who are there at the end, by group.
    by_group: BTreeMap<usize, (Name, At)>,
}

impl Witnesses {
    /// `process` got the post at this place in a log, at `t`.
    pub(super) fn add(
        &mut self,
        books: &Books,
        log: Log<'_>,
        index: usize,
        (process, t): (&Name, At),
    ) {
        let key = (log.channel.clone(), log.sender.clone());
        let log = self.logs.entry(key).or_default();
        let proof = log.entry(index).or_default();
        if let Some(group) = books.group(process) {
            let first = proof
                .by_group
                .entry(group)
                .or_insert_with(|| (process.clone(), t));
            if t < first.1 {
                *first = (process.clone(), t);
            }
        }
    }

    /// Somebody of the group who is there at the end and has the post.
    fn of(&self, books: &Books, log: Log<'_>, index: usize, group: usize) -> Option<(Name, At)> {
        let post = log.posts.get(index)?;
        if books.group(log.sender) == Some(group) {
            return Some((log.sender.clone(), post.t));
        }
        let key = (log.channel.clone(), log.sender.clone());
        self.logs
            .get(&key)?
            .get(&index)?
            .by_group
            .get(&group)
            .cloned()
    }

    /// Whether the post was delivered anywhere, or its sender is there to the end.
    fn anywhere(&self, books: &Books, log: Log<'_>, index: usize) -> bool {
        let key = (log.channel.clone(), log.sender.clone());
        books.group(log.sender).is_some()
            || self
                .logs
                .get(&key)
                .is_some_and(|log| log.contains_key(&index))
    }
}

/// What a sender posted on a channel.
#[derive(Clone, Copy)]
pub(super) struct Log<'a> {
    pub(super) channel: &'a Name,
    pub(super) sender: &'a Name,
    pub(super) posts: &'a [Post],
}

/// Finds what is wrong with what an object got.
pub(super) fn check(
    rules: &Rules,
    books: &Books,
    witnesses: &Witnesses,
    object: &Object,
    found: &mut Vec<Violation>,
) {
    let channel = &object.name.channel;
    for (sender, posts) in books.senders(channel) {
        let log = Log {
            channel,
            sender,
            posts,
        };
        let heard = object.streams.get(sender);
        let scope = Scope::new(rules, object, log, |index| {
            witnesses.anywhere(books, log, index)
        });
        let case = Case {
            rules,
            books,
            witnesses,
            object,
            log,
            scope,
        };
        if let Some(heard) = heard {
            case.check_start(heard, found);
        }
        if let Some((t, kept)) = &object.backfilled {
            case.check_past(*t, kept, heard, found);
        }
        if let Some(group) = books.group(&object.name.process).filter(|_| !object.closed) {
            case.check_end(heard, group, found);
            let gaps = heard.into_iter().flat_map(|heard| &heard.stream.gaps);
            gaps.for_each(|told| case.check_gap(told, group, found));
        }
    }
}

struct Case<'a> {
    rules: &'a Rules,
    books: &'a Books,
    witnesses: &'a Witnesses,
    object: &'a Object,
    log: Log<'a>,
    scope: Scope,
}

/// Which posts of a sender concern an object, as places among them.
struct Scope {
    /// The first that it has to get.
    must: usize,
    /// The first that it may get.
    may: usize,
}

impl Scope {
    /// `reached` says whether a post got anywhere.
    fn new(rules: &Rules, object: &Object, log: Log<'_>, reached: impl Fn(usize) -> bool) -> Self {
        let Object { opened, since, .. } = object;
        let posts = log.posts;
        let from = |t: At| posts.partition_point(|post| post.t < t);
        let now = from(*opened);
        // History that is kept for sure.
        let kept = from(*opened - rules.retention);
        let last = |before: usize, n: u64| {
            let newest = before.checked_sub(1).and_then(|index| posts.get(index));
            newest.map_or(0, |newest| {
                at_or_above(posts, (newest.seqs.last + 1).saturating_sub(n))
            })
        };
        let (asked, may) = match since {
            Since::Now | Since::For(_) => (
                from(*opened - since.reach()),
                from(*opened - since.reach() - rules.early),
            ),
            Since::Last(n) => {
                let early = from(*opened - rules.early);
                // Nobody may know of posts that its sender made as it died.
                let newest = (0..early).rev().find(|index| reached(*index));
                let known = newest.map_or(0, |newest| newest + 1);
                (last(now, *n), early.min(last(known, *n)))
            }
        };
        Self {
            // Earlier posts of its own process need no mesh to be remembered.
            must: if rules.evicting || *log.sender == object.name.process {
                now
            } else {
                asked.max(kept).min(now)
            },
            may,
        }
    }
}

impl Case<'_> {
    /// Does it begin where it should?
    fn check_start(&self, Heard { first, .. }: &Heard, found: &mut Vec<Violation>) {
        let (t, seqs) = *first;
        let begins = at_or_above(self.log.posts, seqs.first);
        let skipped = self.scope.must..begins;
        let lacks = skipped
            .filter(|index| !self.is_own(*index))
            .find(|index| self.witnesses.anywhere(self.books, self.log, *index));
        if let Some(due) = lacks.and_then(|index| self.log.posts.get(index)) {
            found.push(Violation::LateStart {
                t,
                object: self.object.name.clone(),
                opened: self.object.opened,
                sender: self.log.sender.clone(),
                seqs,
                due: due.seqs,
                posted: due.t,
            });
        }
        if begins >= self.scope.may {
            return;
        }
        let Some(post) = self.log.posts.get(begins) else {
            return;
        };
        if self.object_got_a_gap_first(seqs) {
            let last = self
                .log
                .posts
                .get(self.scope.may - 1)
                .map_or(0, |post| post.seqs.last);
            found.push(Violation::GapTooWide {
                t,
                object: self.object.name.clone(),
                sender: self.log.sender.clone(),
                missed: seqs,
                too_wide: TooWide::NotDue(Span::new(seqs.first, last.min(seqs.last))),
            });
        } else {
            found.push(Violation::EarlyStart {
                t,
                object: self.object.name.clone(),
                opened: self.object.opened,
                sender: self.log.sender.clone(),
                seqs,
                posted: post.t,
            });
        }
    }

    /// Did it get what was before it, as far as anybody keeps it who could be asked?
    fn check_past(
        &self,
        t: At,
        kept: &[(Name, Span)],
        heard: Option<&Heard>,
        found: &mut Vec<Violation>,
    ) {
        let kept = kept.iter().filter(|(sender, _)| sender == self.log.sender);
        let kept: Vec<Span> = kept.map(|(_, span)| *span).collect();
        let posts = self.log.posts;
        let from =
            posts.partition_point(|post| post.t < self.object.opened - self.object.since.reach());
        // Of a count those that are nearest to where it went on.
        let newest = posts[..posts.partition_point(|post| post.t < self.object.opened)]
            .iter()
            .rev()
            .find(|post| kept.iter().any(|kept| kept.common(post.seqs).is_some()));
        let asked = match (self.object.since, newest) {
            (Since::Last(count), Some(newest)) => {
                at_or_above(posts, (newest.seqs.last + 1).saturating_sub(count))
            }
            _ => from,
        };
        let begins = heard.map_or(posts.len(), |heard| at_or_above(posts, heard.first.1.first));
        let lacks = (asked.min(from)..begins)
            .filter(|index| !self.is_own(*index))
            .filter_map(|index| posts.get(index))
            .filter(|post| post.t < self.object.opened)
            .find_map(|post| kept.iter().find_map(|kept| kept.common(post.seqs)));
        if let Some(kept) = lacks {
            found.push(Violation::Withheld {
                t,
                object: self.object.name.clone(),
                sender: self.log.sender.clone(),
                kept,
            });
        }
    }

    /// Did it get as far as the others?
    fn check_end(&self, heard: Option<&Heard>, group: usize, found: &mut Vec<Violation>) {
        let posts = self.log.posts;
        // Posts just before the end may still be on their way.
        let in_time = match self.rules.bound {
            Some(bound) => posts.partition_point(|post| post.t + bound <= self.books.end),
            None => posts.len(),
        };
        let far = (self.scope.must..in_time).rev().find_map(|index| {
            let witness = self.witnesses.of(self.books, self.log, index, group)?;
            (!self.is_own(index)).then_some((index, witness))
        });
        let Some((index, (witness, witnessed))) = far else {
            return;
        };
        let (Some(proof), Some(begin)) = (posts.get(index), posts.get(self.scope.must)) else {
            return;
        };
        let next = heard.map_or(begin.seqs.first, |heard| heard.stream.next);
        if next > proof.seqs.last {
            return;
        }
        let first = posts.get(at_or_above(posts, next)).unwrap_or(begin);
        found.push(Violation::Missing {
            t: self.books.end,
            object: self.object.name.clone(),
            opened: self.object.opened,
            sender: self.log.sender.clone(),
            missing: Span::new(next, proof.seqs.last),
            posted: first.t,
            witness,
            proof: proof.seqs,
            witnessed,
        });
    }

    /// Was there nobody who could have helped?
    fn check_gap(&self, told: &Told, group: usize, found: &mut Vec<Violation>) {
        let posts = self.log.posts;
        let from = at_or_above(posts, told.missed.first);
        // Nodes drop for want of room at different times; that of the sender is what counts.
        let has_evicted = self.rules.evicting && self.books.group(self.log.sender) == Some(group);
        for (index, post) in (from..).zip(overlapping(posts, told.missed)) {
            if index < self.scope.must || post.t + self.rules.retention <= told.t {
                continue;
            }
            let witness = match &told.kept {
                Some(kept) => kept
                    .iter()
                    .filter(|(name, _)| self.books.group(name) == Some(group))
                    .filter(|(name, _)| !has_evicted || name == self.log.sender)
                    .find(|(_, kept)| kept.common(post.seqs).is_some())
                    .map(|(name, _)| name.clone()),
                None if self.rules.evicting => None,
                None => {
                    let witness = self.witnesses.of(self.books, self.log, index, group);
                    witness.map(|(name, _)| name)
                }
            };
            if let Some(witness) = witness {
                found.push(Violation::NeedlessGap {
                    t: told.t,
                    object: self.object.name.clone(),
                    sender: self.log.sender.clone(),
                    missed: told.missed,
                    lost: post.seqs,
                    posted: post.t,
                    witness,
                });
                return;
            }
        }
    }

    /// Whether the object posted it itself.
    fn is_own(&self, index: usize) -> bool {
        *self.log.sender == self.object.name.process
            && self
                .log
                .posts
                .get(index)
                .is_some_and(|post| post.object == self.object.name.object)
    }

    fn object_got_a_gap_first(&self, first: Span) -> bool {
        let heard = self.object.streams.get(self.log.sender);
        heard.is_some_and(|heard| {
            heard
                .stream
                .gaps
                .first()
                .is_some_and(|told| told.missed == first)
        })
    }
}
