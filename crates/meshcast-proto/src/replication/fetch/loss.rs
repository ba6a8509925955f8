//! Loss detection: when the numbers of a hole will never come.

use std::time::Duration;

use super::{Context, Holes, few::Few, holders::Holders};
use crate::wire::{Sender, Seq, SeqRange, Time};

/// For how long the lowest hole of a log has been waited for, and who cannot fill it.
#[derive(Debug)]
pub(super) struct Hole {
    first: Seq,
    /// Since when it is known.
    since: Time,
    /// When to ask for it first.
    pub(super) ask_at: Time,
    /// Peers who have gone past it, and since when that is known.
    past: Few<Time>,
    /// Peers who are there and have not told what they have, and since when that is known.
    silent: Few<Time>,
}

impl Hole {
    /// Goes on to the lowest hole. If that was known before it became the lowest, other paths have
    /// had their time, and so has the wait for somebody who keeps it. One that is being filled by
    /// answers needs no `pause` before it is asked for.
    pub(super) fn follow(
        before: Option<Self>,
        holes: &Holes<'_>,
        pause: impl FnOnce() -> Duration,
        holders: &Holders,
        now: Time,
    ) -> Option<Self> {
        let (first, known) = (holes.lowest?.first(), holes.known);
        let before = match before {
            Some(same) if same.first == first => return Some(same),
            before => before.filter(|_| known.is_some()),
        };
        let (mut past, silent) = before.map_or_else(Default::default, |it| (it.past, it.silent));
        for peer in holders.past(first) {
            past.get_or_insert_with(peer, || now);
        }
        let since = known.unwrap_or(now);
        Some(Self {
            first,
            since,
            ask_at: since + pause(),
            past,
            silent,
        })
    }

    /// Whether it has been waited for as long as anything is kept.
    pub(super) fn is_over(&self, retention: Duration, now: Time) -> bool {
        self.since + retention <= now
    }

    /// The part of these, the lowest numbers that nobody covers, that is lost, and when that is
    /// certain enough.
    ///
    /// Their sender is the authority: what it has posted and does not keep itself, nor anybody else
    /// who is there, is lost. Without it, everybody who is there must have gone past; those who
    /// began above them do not know, so that others are given the time to come back. Otherwise
    /// somebody may come back with them, or is being repaired itself: then they are given up after
    /// the retention time.
    pub(super) fn lost(
        &mut self,
        uncovered: SeqRange,
        holders: &Holders,
        around: &Context<'_>,
        now: Time,
    ) -> (SeqRange, Time) {
        // Whatever peers say in turn.
        let at_last = self.since + around.limits.retention;
        match self.passed(uncovered.first(), holders, around, now) {
            Some((next, at)) => {
                let last = next.previous().unwrap_or(Seq::FIRST).min(uncovered.last());
                let lost = SeqRange::new(uncovered.first(), last).unwrap_or(uncovered);
                (lost, at.min(at_last))
            }
            None => (uncovered, at_last),
        }
    }

    /// The number below which all have gone past this one whose word counts, and when that has been
    /// so for long enough; `None` if somebody has not.
    ///
    /// A peer that has not told what it has may have it too, for [`TELL_TIMEOUT`]. A sender that is
    /// connected and does not tell is no more there than one that is gone: its words may be cut
    /// off, one way.
    fn passed(
        &mut self,
        first: Seq,
        holders: &Holders,
        around: &Context<'_>,
        now: Time,
    ) -> Option<(Seq, Time)> {
        // Each for itself: who goes back to waiting for it, or comes, has all the time again.
        self.past
            .retain(|peer| holders.gone_past(*peer, first).is_some());
        let mut past = |peer: Sender| {
            let (next, has_waited) = holders.gone_past(peer, first)?;
            let patience = if peer == around.sender || has_waited {
                around.limits.hole_timeout
            } else {
                COME_BACK
            };
            Some((next, *self.past.get_or_insert_with(peer, || now) + patience))
        };
        if holders.contains(around.sender) {
            return past(around.sender);
        }
        self.silent.retain(|peer| around.peers.contains(*peer));
        let mut will_tell =
            |peer: Sender| now < *self.silent.get_or_insert_with(peer, || now) + TELL_TIMEOUT;
        let mut all: Option<(Seq, Time)> = None;
        for (peer, interest) in around.peers.interests(around.channel) {
            // Its reports found no room: it cannot be asked, whatever it has.
            let is_unknown = interest.is_unknown && !holders.contains(peer);
            let is_waited_for = interest.open.is_some() && !is_unknown;
            if !is_waited_for && (interest.has_told() && !is_unknown || !will_tell(peer)) {
                continue;
            }
            // Nobody has gone past who has not told.
            let (next, at) = interest.has_told().then(|| past(peer)).flatten()?;
            all = Some(all.map_or((next, at), |(lowest, last)| {
                (lowest.min(next), last.max(at))
            }));
        }
        all
    }
}

/// The time until everybody is back who can be reached, when those who are there have only come
/// lately: a member that was lost is dialled again every 18 s at least.
const COME_BACK: Duration = Duration::from_secs(20);

/// The time that a peer is waited for that does not tell what it has. Far above what an answer
/// takes, so that only one that will never tell is passed over.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);
