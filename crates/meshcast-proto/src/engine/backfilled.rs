//! What a late reader is given.

use std::sync::Arc;

use crate::{
    identity::Member,
    wire::{Sender, Seq, SeqRange, Time},
};

/// What a late reader gets: the result of
/// [`Engine::handle_backfill`](super::Engine::handle_backfill).
#[derive(Debug, Clone)]
pub struct Backfilled {
    /// The number that [`Engine::handle_backfill`](super::Engine::handle_backfill) returned.
    pub id: u64,
    /// When it was called.
    pub came: Time,
    /// By sender, this node included.
    pub logs: Vec<Backlog>,
    /// The number of connected peers that had not told by then what they keep: of that nothing is
    /// known.
    pub untold: usize,
}

/// The messages a late reader gets of one sender from before it came.
#[derive(Debug, Clone)]
pub struct Backlog {
    /// The sender.
    pub sender: Sender,
    /// Its member; `None` if nothing was ever heard of it.
    pub member: Option<Arc<Member>>,
    /// The numbers that the history keeps: from the first number that is wanted and kept, at the
    /// beginning of a value, up to where live delivery begins. Numbers missing in between were
    /// lost.
    pub kept: Option<SeqRange>,
    /// Lower numbers that a peer claims to keep and that could not be fetched: there was no room,
    /// or the peer did not answer in time. They may be older than was asked for, since their age is
    /// not known.
    pub unfetched: Option<SeqRange>,
    /// Lower numbers that are wanted, were posted and are not kept by anybody who was asked. Of a
    /// reader that wants so many numbers they are exact. Of one that wants those of some time they
    /// are what this node itself kept and dropped: when the others were posted is not known.
    pub gone: Option<SeqRange>,
    /// Live delivery may yet turn out to begin below this number; nothing below it is wanted.
    pub from: Option<Seq>,
    /// Of a reader that [resumes](super::Engine::handle_resume): how it goes on.
    pub resumption: Option<Resumption>,
}

/// The way in which a reader that [resumes](super::Engine::handle_resume) goes on with a sender,
/// once it has read what is [kept](Backlog::kept).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumption {
    /// Numbers that follow on those that were read, are known to have been posted and are not kept:
    /// they come before those that are kept.
    pub gone: Option<SeqRange>,
    /// The number that is due then. Numbers delivered below were read before; if the first that is
    /// delivered lies above, those between are missing.
    pub due: Seq,
    /// The sender is not known to have got as far as the reader says to have read. So perhaps it is
    /// not true: what is posted [`DOUBT`](super::Engine::DOUBT) after the reader came was not read
    /// before, whatever its number.
    pub is_doubtful: bool,
}

impl Resumption {
    /// After numbers from `due` on, if the sender is named, of which these are kept; live delivery
    /// goes on with `before`, and all below `posted` is known to have been posted.
    pub(super) fn new(due: Option<Seq>, kept: Option<SeqRange>, before: Seq, posted: Seq) -> Self {
        let end = kept.map_or_else(|| before.min(posted), |kept| kept.first());
        let gone = due.zip(end.previous());
        let gone = gone.and_then(|(due, last)| SeqRange::new(due, last));
        let goes_on = match (kept, gone) {
            (Some(_), _) => before,
            (None, Some(gone)) => gone.last().next(),
            (None, None) => due.unwrap_or(Seq::FIRST),
        };
        Self {
            gone,
            due: goes_on,
            is_doubtful: false,
        }
    }
}
