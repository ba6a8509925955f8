//! Facts known before any object is looked at: who ran when, and who posted what.

use std::collections::BTreeMap;

use crate::{
    at::At,
    log::{Digest, Entry, Event, Name, Span},
};

#[derive(Debug, Default)]
pub(super) struct Books {
    logs: BTreeMap<(Name, Name), Vec<Post>>,
    /// In which group a process is at the end. Those that are in none are not judged by what they
    /// lack.
    groups: BTreeMap<Name, usize>,
    calm: At,
    pub(super) end: At,
}

/// A value that was posted.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) t: At,
    pub(super) object: u64,
    pub(super) seqs: Span,
    pub(super) hash: Digest,
}

impl Books {
    pub(super) fn of(log: &[Entry]) -> Self {
        let mut books = Self::default();
        let mut ended = Vec::new();
        for Entry { t, process, event } in log {
            books.end = books.end.max(*t);
            match event {
                Event::Post {
                    object,
                    channel,
                    seqs,
                    hash,
                } => books
                    .logs
                    .entry((channel.clone(), process.clone()))
                    .or_default()
                    .push(Post {
                        t: *t,
                        object: *object,
                        seqs: *seqs,
                        hash: *hash,
                    }),
                Event::Calm { groups } => {
                    books.calm = *t;
                    for (index, group) in groups.iter().enumerate() {
                        books
                            .groups
                            .extend(group.iter().map(|name| (name.clone(), index)));
                    }
                }
                Event::End => ended.push(process),
                _ => {}
            }
        }
        for process in ended {
            books.groups.remove(process);
        }
        for posts in books.logs.values_mut() {
            posts.sort_by_key(|post| post.seqs);
        }
        books
    }

    /// What a sender posted on a channel, in order.
    pub(super) fn posts(&self, channel: &Name, sender: &Name) -> &[Post] {
        self.logs
            .get(&(channel.clone(), sender.clone()))
            .map_or(&[], Vec::as_slice)
    }

    /// All senders on a channel.
    pub(super) fn senders<'a>(
        &'a self,
        channel: &Name,
    ) -> impl Iterator<Item = (&'a Name, &'a [Post])> {
        let lowest = (channel.clone(), Name::from(""));
        self.logs
            .range(lowest.clone()..)
            .take_while(move |((name, _), _)| *name == lowest.0)
            .map(|((_, sender), posts)| (sender, posts.as_slice()))
    }

    /// The group a process is in at the end, if it is there.
    pub(super) fn group(&self, process: &Name) -> Option<usize> {
        self.groups.get(process).copied()
    }

    /// When everything was in order that something posted at `posted` needs.
    pub(super) fn due_from(&self, posted: At) -> At {
        posted.max(self.calm)
    }

    /// When the faults stopped.
    pub(super) const fn calm(&self) -> At {
        self.calm
    }
}

/// Where the post is that has this number, or the next one above it.
pub(super) fn at_or_above(posts: &[Post], number: u64) -> usize {
    posts.partition_point(|post| post.seqs.last < number)
}

/// The posts that have numbers in common with these.
pub(super) fn overlapping(posts: &[Post], seqs: Span) -> &[Post] {
    let from = at_or_above(posts, seqs.first);
    let to = posts.partition_point(|post| post.seqs.first <= seqs.last);
    posts.get(from..to).unwrap_or_default()
}
