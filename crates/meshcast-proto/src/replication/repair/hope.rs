//! When there is no hope for the numbers of a hole.

use super::*;

impl Repair {
    /// The lowest part of a hole that nobody covers.
    pub(super) fn uncovered_part(&self, hole: SeqRange, now: Time) -> SeqRange {
        let covered = self
            .holders
            .values()
            .filter_map(|holder| holder.covers(hole, now))
            .map(|seqs| seqs.first())
            .min();
        let last = covered
            .and_then(Seq::previous)
            .filter(|last| *last >= hole.first());
        SeqRange::new(hole.first(), last.unwrap_or_else(|| hole.last())).unwrap_or(hole)
    }

    /// The lowest of these numbers that nobody who is there will ever have, and when that is
    /// certain enough.
    ///
    /// Their sender is the authority: what it has posted and does not keep itself, nor anybody else
    /// who is there, is lost. Without it, everybody who is there must have gone past; those who
    /// began above them do not know, so that others are given the time to come back. Otherwise
    /// somebody may come back with them, or is being repaired itself; and whoever has not told what
    /// it has may have them too, for [`TELL_TIMEOUT`]. A sender that is connected and does not tell
    /// is no more there than one that is gone: its words may be cut off, one way.
    pub(super) fn hopeless_part(
        &self,
        uncovered: SeqRange,
        current: &mut Hole,
        around: &Surroundings<'_>,
        now: Time,
    ) -> Option<(SeqRange, Time)> {
        let first = uncovered.first();
        let holders = &self.holders;
        let is_past = |peer: &Sender| holders.get(peer).is_some_and(|holder| holder.next > first);
        // Each for itself: who goes back to waiting for it, or comes, has all the time again.
        current.past.retain(|peer, _| is_past(peer));
        let mut past = |peer: Sender, holder: &Holder| {
            let patience = if peer == around.sender || holder.begin <= first {
                around.limits.hole_timeout
            } else {
                COME_BACK
            };
            *current.past.entry(peer).or_insert(now) + patience
        };
        let lost = |next: Seq| SeqRange::new(first, uncovered.last().min(next.previous()?));
        if let Some(sender) = holders.get(&around.sender) {
            return Some((lost(sender.next)?, past(around.sender, sender)));
        }
        current
            .silent
            .retain(|peer, _| around.neighbours.contains(*peer));
        let mut will_tell =
            |peer: Sender| now < *current.silent.entry(peer).or_insert(now) + TELL_TIMEOUT;
        let (mut next, mut gives_up) = (None::<Seq>, now);
        for (peer, interest) in around.neighbours.interests(around.channel) {
            if interest.open.is_none() && (interest.told || !will_tell(peer)) {
                continue;
            }
            // Nobody has gone past who has not told.
            let holder = holders
                .get(&peer)
                .filter(|holder| interest.told && holder.next > first)?;
            next = Some(next.map_or(holder.next, |next| next.min(holder.next)));
            gives_up = gives_up.max(past(peer, holder));
        }
        Some((lost(next?)?, gives_up))
    }
}

/// How long it may take until everybody is back who can be reached, when those who are there have
/// only come lately: a lost connection is made anew after 15 s at most.
const COME_BACK: Duration = Duration::from_secs(20);

/// How long a neighbour is waited for that does not tell what it has. Far above what an answer
/// takes, so that only one that will never tell is passed over.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);
