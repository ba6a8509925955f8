//! Fetching what only neighbours lack: this node began later, and is the only way to whoever has
//! it.
//!
//! ```text
//! A ── B ── C      C posts, while B is dead. Afterwards A has a hole that B never had, and does not see C.
//! A ─ Want ─▸ B    B never waited for these numbers; now it does, and says so in what it has
//!             B ─ Want ─▸ C
//! ```
//!
//! They are kept for whoever wants them and go to nobody here. A node that asks for them in its
//! turn is asked by nobody again, so this goes from neighbour to neighbour as far as it must, and
//! comes to an end.

use std::collections::BTreeSet;

use super::*;

/// What is fetched for others.
#[derive(Debug)]
pub(super) struct Relay {
    /// What of it is still missing.
    pub(super) missing: SeqRange,
    /// For whom.
    askers: BTreeSet<Sender>,
    /// Since when there has been no hope, if there is none.
    hopeless: Option<Time>,
    /// Until when the lowest of it is waited for, whatever neighbours say.
    until: Option<Time>,
}

impl Repair {
    /// A neighbour asks for numbers below the beginning. `true` if there is a chance to get them:
    /// then they are waited for from now on. Otherwise they are remembered for when there is.
    pub(crate) fn relay(&mut self, peer: Sender, seqs: SeqRange) -> bool {
        let mut relay = Relay {
            missing: seqs,
            askers: BTreeSet::from([peer]),
            hopeless: None,
            until: None,
        };
        if let Some(other) = self.relay.take().or_else(|| self.wished.take()) {
            relay.missing = relay.missing.hull(other.missing);
            relay.askers.extend(other.askers);
        }
        let place = if self.is_helped(seqs, &relay.askers) {
            &mut self.relay
        } else {
            &mut self.wished
        };
        *place = Some(relay);
        self.relay.is_some()
    }

    /// From where on something is fetched for others.
    pub(crate) fn relay_next(&self) -> Option<Seq> {
        self.relay.as_ref().map(|relay| relay.missing.first())
    }

    /// A frame came with these numbers. `true` if it is the next that is fetched for others.
    pub(crate) fn relay_came(&mut self, seqs: SeqRange) -> bool {
        let wanted = self
            .relay
            .as_ref()
            .is_some_and(|relay| seqs.contains(relay.missing.first()));
        if wanted {
            self.relay_on(seqs.last().next());
        }
        wanted
    }

    /// What to do to fetch the rest; `None` if there is nothing to fetch.
    pub(crate) fn relay_step(
        &mut self,
        around: &Surroundings<'_>,
        jitter: &mut Jitter,
        now: Time,
    ) -> Option<Step> {
        let relay = self.relay.as_mut()?;
        let (hole, retention) = (relay.missing, around.limits.retention);
        if *relay.until.get_or_insert(now + retention) <= now {
            return Some(Step::GiveUp(hole));
        }
        if let Some(asked) = self.asked {
            return Some(Step::Wait(asked.until));
        }
        match self.best(hole, around.neighbours, now, jitter) {
            Some(Ok((peer, seqs))) => return Some(Step::Ask(peer, seqs)),
            Some(Err(later)) => return Some(Step::Wait(later)),
            None => {}
        }
        let uncovered = self.uncovered_part(hole, now);
        if let Some((peer, seqs)) = self.relay_for(uncovered, around, now) {
            return Some(Step::Ask(peer, seqs));
        }
        let helped = self.is_helped(uncovered, &self.relay.as_ref()?.askers);
        let relay = self.relay.as_mut()?;
        if helped {
            relay.hopeless = None;
            return Some(Step::Wait(now + LOOK_AGAIN));
        }
        let gives_up = *relay.hopeless.get_or_insert(now) + around.limits.hole_timeout;
        Some(if gives_up <= now {
            Step::GiveUp(uncovered)
        } else {
            Step::Wait(gives_up.min(now + LOOK_AGAIN))
        })
    }

    /// Nobody has what is fetched for others.
    pub(crate) fn relay_no_more(&mut self) {
        self.wished = self.relay.take();
    }

    /// What is fetched for others is there up to before this number.
    fn relay_on(&mut self, next: Seq) {
        if let Some(relay) = &mut self.relay {
            match SeqRange::new(next, relay.missing.last()) {
                Some(missing) => (relay.missing, relay.until) = (missing, None),
                None => self.relay = None,
            }
        }
    }

    /// Somebody to fetch these numbers, which it does not have itself because it began above them.
    pub(super) fn relay_for(
        &self,
        uncovered: SeqRange,
        around: &Surroundings<'_>,
        now: Time,
    ) -> Option<(Sender, SeqRange)> {
        if self.holders.contains_key(&around.sender) {
            return None;
        }
        self.holders.iter().find_map(|(peer, holder)| {
            let ready = holder.not_before <= now && around.neighbours.contains(*peer);
            let last = uncovered.last().min(holder.begin.previous()?);
            let seqs = SeqRange::new(uncovered.first(), last)?;
            (ready && holder.can_relay(seqs.first())).then_some((*peer, seqs))
        })
    }

    /// Whether anybody may come to have the first of these numbers, besides those who want it of
    /// this node.
    fn is_helped(&self, seqs: SeqRange, askers: &BTreeSet<Sender>) -> bool {
        let first = seqs.first();
        self.holders.iter().any(|(peer, holder)| {
            let covers = !holder.discredited && holder.covers(seqs, Time::ZERO).is_some();
            let may_have = holder.next <= first || holder.can_relay(first) || covers;
            may_have && !askers.contains(peer)
        })
    }

    /// A neighbour waits for nothing below `next`.
    pub(super) fn relay_told(&mut self, peer: Sender, next: Seq) {
        for place in [&mut self.relay, &mut self.wished] {
            place.take_if(|relay| next > relay.missing.last() && relay.lose(peer));
        }
        let wished = self.wished.take();
        let helped = |wished: &Relay| self.is_helped(wished.missing, &wished.askers);
        if wished.as_ref().is_some_and(helped) {
            self.relay = wished;
        } else {
            self.wished = wished;
        }
    }

    pub(super) fn relay_gone(&mut self, peer: Sender) {
        for place in [&mut self.relay, &mut self.wished] {
            place.take_if(|relay| relay.lose(peer));
        }
    }
}

impl Relay {
    /// A neighbour does not want it any longer. `true` if nobody does.
    fn lose(&mut self, asker: Sender) -> bool {
        self.askers.remove(&asker);
        self.askers.is_empty()
    }
}

impl Holder {
    /// Whether it never waited for this number and has not said that it cannot get it.
    pub(super) fn can_relay(&self, first: Seq) -> bool {
        let may = !self.discredited && self.next > first && self.begin > first;
        may && self.lacks.is_none_or(|lacks| !lacks.contains(first))
    }
}
