//! Fetching what only peers lack: this node began later, and is the only way to whoever has it.
//!
//! ```text
//! A ── B ── C      C posts, while B is dead. Afterwards A has a hole that B never had,
//!                  and does not see C.
//! A ─ Want ─▸ B    B never waited for these numbers; now it does, and says so in what it has
//!             B ─ Want ─▸ C
//! ```
//!
//! They are kept for whoever wants them and go to nobody here. A node that asks for them in its
//! turn is asked by nobody again, so this goes from peer to peer as far as it must, and comes to an
//! end.

use std::collections::BTreeSet;

use super::{Context, holders::Holders};
use crate::wire::{Sender, Seq, SeqRange, Time};

/// Numbers from before this node began that peers want.
#[derive(Debug)]
pub(super) struct Relay {
    /// What of it is still missing.
    missing: SeqRange,
    /// For whom.
    askers: BTreeSet<Sender>,
    /// It is being fetched. Otherwise it is denied, until somebody else may have it.
    is_active: bool,
    /// Since when the lowest of it has been waited for, once it was fetched.
    since: Option<Time>,
    /// Since when nobody else may have it, if nobody may.
    unavailable_since: Option<Time>,
}

impl Relay {
    /// A peer asks for these numbers, besides what was wanted before.
    pub(super) fn join(
        before: Option<Self>,
        peer: Sender,
        seqs: SeqRange,
        holders: &Holders,
        now: Time,
    ) -> Self {
        let (mut missing, mut askers) = (seqs, BTreeSet::from([peer]));
        if let Some(before) = before {
            missing = missing.hull(before.missing);
            askers.extend(before.askers);
        }
        let is_active = may_get(holders, seqs, &askers);
        Self {
            missing,
            askers,
            is_active,
            since: is_active.then_some(now),
            unavailable_since: None,
        }
    }

    /// What is to be fetched now.
    pub(super) fn wanted(&self) -> Option<SeqRange> {
        Some(self.missing).filter(|_| self.is_active)
    }

    /// Nobody has it. Those who want it may be helped later.
    pub(super) const fn deny(&mut self) {
        self.is_active = false;
    }

    /// It is there up to before this number. `false` if that was all.
    pub(super) fn go_on(&mut self, next: Seq, now: Time) -> bool {
        let missing = SeqRange::new(next, self.missing.last());
        if let Some(missing) = missing {
            (self.missing, self.since) = (missing, Some(now));
        }
        missing.is_some()
    }

    /// A peer waits for nothing below `next`. `true` if nobody wants it any longer.
    pub(super) fn asker_advanced(
        &mut self,
        peer: Sender,
        next: Seq,
        holders: &Holders,
        now: Time,
    ) -> bool {
        if next > self.missing.last() && self.lose(peer) {
            return true;
        }
        if !self.is_active && may_get(holders, self.missing, &self.askers) {
            self.is_active = true;
            self.since.get_or_insert(now);
        }
        false
    }

    /// A peer does not want it any longer. `true` if nobody does.
    pub(super) fn lose(&mut self, asker: Sender) -> bool {
        self.askers.remove(&asker);
        self.askers.is_empty()
    }

    /// When these, the lowest of it, are given up.
    pub(super) fn lost_at(
        &mut self,
        uncovered: SeqRange,
        holders: &Holders,
        around: &Context<'_>,
        now: Time,
    ) -> Time {
        // Whatever peers say in turn.
        let at_last = self.since.unwrap_or(now) + around.limits.retention;
        if may_get(holders, uncovered, &self.askers) {
            self.unavailable_since = None;
            return at_last;
        }
        let unavailable_since = *self.unavailable_since.get_or_insert(now);
        at_last.min(unavailable_since + around.limits.hole_timeout)
    }
}

/// Whether anybody may come to have the first of these numbers, besides those who want it of this
/// node.
fn may_get(holders: &Holders, seqs: SeqRange, askers: &BTreeSet<Sender>) -> bool {
    holders.may_get(seqs, |peer| !askers.contains(peer))
}
