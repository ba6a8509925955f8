//! The numbers of one log that are wanted and not here: a list of ranges, each with a reason, and
//! whom to ask for them.
//!
//! There is one list, the most urgent first, and one step for all of it. A peer that says it has
//! the lowest numbers of a range is asked for them; if no peer does, one that may be able to fetch
//! them. If it is slow, another that has the lowest number is asked for that one as well, and so
//! on. Only what giving up means differs:
//!
//! * [`Gap`](Reason::Gap): readers want it, who get nothing above before. Given up when it is
//!   [lost](loss); then they are told what is missing.
//! * [`Ahead`](Reason::Ahead): the same readers, later. Never given up.
//! * [`Relay`](Reason::Relay): peers want it, from before this node began. Given up when nobody
//!   else [may have it](relay); then it is denied, until somebody may.
//! * [`Backfill`](Reason::Backfill): readers want it that came late. Given up when nobody has it
//!   who is there; then it is not wanted any more.
//!
//! It has no outputs of its own: [`Fetch::step`] says what to do, and whoever does it says so with
//! [`Fetch::asked`].

mod few;
mod holders;
mod loss;
mod relay;
mod requests;

use std::time::Duration;

use crate::{
    flow_control::{Checkpoints, Progress},
    replication::{jitter::Jitter, peers::Peers},
    wire::{ChannelName, Sender, Seq, SeqRange, Time},
};

use holders::Holders;
use loss::Hole;
use relay::Relay;
use requests::Requests;

pub(crate) use holders::{Answer, Claim};
#[cfg(test)]
pub(crate) use requests::MAX_UNDER_WAY;
pub(crate) use requests::{Answered, HEDGE, REQUEST_TIMEOUT};

/// The wanted ranges of one log, who has them, and what was asked of whom.
#[derive(Debug, Default)]
pub(crate) struct Fetch {
    holders: Holders,
    requests: Requests,
    /// The lowest hole.
    hole: Option<Hole>,
    /// An answer came since the last step: what is still missing is asked for without a pause.
    answered: bool,
    relay: Option<Relay>,
    backfill: Option<SeqRange>,
}

/// Why numbers are wanted, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Readers wait for it: the lowest hole.
    Gap,
    /// The hole above one that can only be waited for: what is kept of it may be pushed out until
    /// the lowest is given up.
    Ahead,
    /// Peers ask for it.
    Relay,
    /// Readers of this process want it from before what the node keeps.
    Backfill,
}

impl Reason {
    const ALL: [Self; 4] = [Self::Gap, Self::Ahead, Self::Relay, Self::Backfill];
}

/// The holes of a log.
pub(crate) struct Holes<'a> {
    /// The lowest.
    pub(crate) lowest: Option<SeqRange>,
    /// Since when it is known, if that was before it became the lowest.
    pub(crate) known: Option<Time>,
    /// The next above, and since when it is known.
    pub(crate) above: &'a dyn Fn() -> Option<(SeqRange, Time)>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: all is there.
    Idle,
    /// Nothing before then.
    Wait(Time),
    /// Ask this peer for these numbers, and say so with [`Fetch::asked`].
    Ask(Sender, SeqRange),
    /// These, the lowest of the lowest hole, are lost.
    GiveUp(SeqRange),
}

/// A request that was not answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Who was asked.
    pub(crate) peer: Sender,
    /// From now on what it says it has counts no more.
    pub(crate) is_false_claim: bool,
}

/// What a step is taken by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) peers: &'a Peers,
    pub(crate) channel: &'a ChannelName,
    /// Whose log it is.
    pub(crate) sender: Sender,
    pub(crate) limits: FetchLimits,
    pub(crate) now: Time,
    /// A frame of it came. Otherwise others only say that there is such a log.
    pub(crate) is_proven: bool,
}

/// The time limits of waiting; see [`Config`](crate::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    pub(crate) hole_timeout: Duration,
    pub(crate) retention: Duration,
}

impl Fetch {
    /// The claims of peers.
    pub(crate) const fn holders(&self) -> &Holders {
        &self.holders
    }

    /// A peer says what it has.
    pub(crate) fn handle_claim(&mut self, claim: &Claim<'_>, checkpoints: &Checkpoints, now: Time) {
        let holders = &mut self.holders;
        holders.handle_claim(claim, checkpoints, now);
        let (peer, next) = (claim.peer, claim.holding.next);
        self.relay
            .take_if(|relay| relay.asker_advanced(peer, next, holders, now));
    }

    /// A peer is gone. `true` if it was being asked.
    pub(crate) fn handle_gone(&mut self, peer: Sender) -> bool {
        self.holders.remove(peer);
        self.relay.take_if(|relay| relay.lose(peer));
        self.requests.handle_gone(peer)
    }

    /// The peers that told what they have, to check again who of them keeps up.
    pub(crate) fn listeners_mut(&mut self) -> impl Iterator<Item = (Sender, &mut Progress)> {
        self.holders.listeners_mut()
    }

    /// The highest number that anybody but the sender says there is, of those from `first` on that
    /// it has or may fetch.
    pub(crate) fn claimed(&mut self, first: Seq, sender: Sender, now: Time) -> Option<Seq> {
        self.holders.claimed(first, sender, now)
    }

    /// Reports of peers other than the sender on numbers from `first` on count no more, until they
    /// say something else.
    pub(crate) fn dismiss(&mut self, first: Seq, sender: Sender) {
        self.holders.dismiss(first, sender);
    }

    /// A peer asks for numbers from before this node began. `true` if there is a chance to get
    /// them: then they are fetched from now on. Otherwise they are remembered for when there is.
    pub(crate) fn relay(&mut self, peer: Sender, seqs: SeqRange, now: Time) -> bool {
        let relay = Relay::join(self.relay.take(), peer, seqs, &self.holders, now);
        self.relay.insert(relay).wanted().is_some()
    }

    /// From where on something is fetched for others.
    pub(crate) fn relay_next(&self) -> Option<Seq> {
        Some(self.relay.as_ref()?.wanted()?.first())
    }

    /// These are to be fetched, from before what this node keeps, as far as peers have them.
    pub(crate) const fn backfill(&mut self, seqs: SeqRange) {
        self.backfill = Some(seqs);
    }

    /// The rest of the backfill is not wanted any more.
    pub(crate) const fn end_backfill(&mut self) {
        self.backfill = None;
    }

    /// Whether something is being fetched from before what this node keeps.
    pub(crate) const fn is_backfilling(&self) -> bool {
        self.backfill.is_some()
    }

    /// Whether these numbers are among what is fetched although no reader waits for them here.
    pub(crate) fn wants(&self, seqs: SeqRange) -> bool {
        let relay = self.relay.as_ref().and_then(Relay::wanted);
        let mut wanted = relay.into_iter().chain(self.backfill);
        wanted.any(|wanted| wanted.overlap(seqs).is_some())
    }

    /// A frame came with numbers that no reader waits for here. `true` if it is wanted
    /// nevertheless: it is the next for others, or any of what was before.
    pub(crate) fn came(&mut self, seqs: SeqRange, now: Time) -> bool {
        let next = seqs.last().next();
        let is_next = self.relay_next().is_some_and(|next| seqs.contains(next));
        if is_next {
            self.relay.take_if(|relay| !relay.go_on(next, now));
        }
        let filled = self.backfill.take_if(|it| it.overlap(seqs).is_some());
        if let Some(wanted) = filled {
            self.backfill = SeqRange::new(next, wanted.last());
        }
        is_next || filled.is_some()
    }

    /// Something was asked. `true` if that is a hedge, beside a request that is slow.
    pub(crate) fn asked(&mut self, peer: Sender, seqs: SeqRange, request: u64, now: Time) -> bool {
        self.requests.begin(peer, seqs, request, now)
    }

    /// The peers being asked: one, and a few more while they are slow.
    pub(crate) fn asking(&self) -> impl Iterator<Item = Sender> {
        self.requests.asking()
    }

    /// When to look again whether an answer came.
    pub(crate) fn due(&self, now: Time) -> Option<Time> {
        let (pause, until) = (self.requests.pause(now), self.requests.until());
        pause.into_iter().chain(until).min()
    }

    /// The peer that was asked last and has not answered soon.
    pub(crate) fn slow(&self, now: Time) -> Option<Sender> {
        self.requests.slow(now).map(|request| request.peer)
    }

    /// Whether a peer may answer this request yet.
    pub(crate) fn awaits(&self, peer: Sender, request: u64) -> bool {
        self.requests.awaits(peer, request)
    }

    /// A peer answered. `None` if it was not [asked](Self::awaits) that.
    pub(crate) fn handle_answer(
        &mut self,
        peer: Sender,
        request: u64,
        now: Time,
    ) -> Option<Answered> {
        let answered = self.requests.handle_answer(peer, request, now);
        self.answered |= answered.is_some_and(|answered| answered != Answered::Late);
        answered
    }

    /// Takes in what an answer in time says of a peer: what was asked for and did not come it does
    /// not have. `true` if from now on what it says it has counts no more.
    pub(crate) fn judge(&mut self, peer: Sender, answer: &Answer, now: Time) -> bool {
        self.holders.judge(peer, answer, now)
    }

    /// An answer that came late was of use.
    pub(crate) fn helped_late(&mut self, peer: Sender) {
        self.holders.helped_late(peer);
    }

    /// Somebody who was asked and has not answered in time, if there is one.
    pub(crate) fn expire(&mut self, peers: &Peers, now: Time) -> Option<Expired> {
        let late = self.requests.expire(now)?;
        let heard = peers.heard(late.peer);
        let is_false_claim = self.holders.not_answered(late.peer, late.asked, heard, now);
        Some(Expired {
            peer: late.peer,
            is_false_claim,
        })
    }

    /// What to do next for all that is wanted.
    pub(crate) fn step(
        &mut self,
        holes: &Holes<'_>,
        around: &Context<'_>,
        jitter: &mut Jitter,
    ) -> Step {
        let now = around.now;
        self.follow(holes, around, jitter);
        // Also who was asked for what came otherwise has to be let off some time.
        let mut due = self.requests.until();
        for reason in Reason::ALL {
            let Some(wanted) = self.wanted(reason, holes, now) else {
                continue;
            };
            match (self.step_for(reason, wanted, around, jitter), reason) {
                (Step::Idle, _) => {}
                (Step::Wait(until), _) => due = due.into_iter().chain([until]).min(),
                (Step::GiveUp(_), Reason::Relay) => {
                    self.relay.as_mut().map(Relay::deny);
                }
                (Step::GiveUp(_), Reason::Backfill) => self.backfill = None,
                (step, _) => return step,
            }
        }
        due.map_or(Step::Idle, Step::Wait)
    }

    /// Follows the lowest hole.
    fn follow(&mut self, holes: &Holes<'_>, around: &Context<'_>, jitter: &mut Jitter) {
        let now = around.now;
        let answered = std::mem::take(&mut self.answered);
        let pause = || match answered {
            true => Duration::ZERO,
            false => PATHS_RACE + jitter.upto(PATHS_RACE),
        };
        self.hole = Hole::follow(self.hole.take(), holes, pause, &self.holders, now);
        let retention = around.limits.retention;
        if self
            .hole
            .as_ref()
            .is_some_and(|hole| hole.is_over(retention, now))
        {
            self.holders.discredit_unhonoured(now);
        }
    }

    /// The numbers that are wanted for a reason now.
    fn wanted(&self, reason: Reason, holes: &Holes<'_>, now: Time) -> Option<SeqRange> {
        match reason {
            Reason::Gap => holes.lowest,
            Reason::Ahead => {
                let lowest = holes.lowest?;
                let raced = self.hole.as_ref().is_some_and(|hole| hole.ask_at <= now);
                let only_waits = raced
                    && self.requests.until().is_none()
                    && self.holders.lowest_covered(lowest, now).is_none();
                let (above, known) = only_waits.then(holes.above)??;
                (known + 2 * PATHS_RACE <= now).then_some(above)
            }
            Reason::Relay => self.relay.as_ref()?.wanted(),
            Reason::Backfill => self.backfill,
        }
    }

    /// What to do for one of the reasons, if anything.
    fn step_for(
        &mut self,
        reason: Reason,
        wanted: SeqRange,
        around: &Context<'_>,
        jitter: &mut Jitter,
    ) -> Step {
        let now = around.now;
        let requests = &self.requests;
        if let Some(until) = requests.pause(now) {
            return Step::Wait(until);
        }
        if let Some(slow) = requests.slow(now) {
            let helps = reason == Reason::Gap || slow.seqs.overlap(wanted).is_some();
            // There may be nothing at all of a log that is only reported.
            if !helps || !around.is_proven {
                return requests.until().map_or(Step::Idle, Step::Wait);
            }
        }
        if reason == Reason::Gap
            && let Some(hole) = &self.hole
            && now < hole.ask_at
        {
            return Step::Wait(hole.ask_at);
        }
        let holders = &self.holders;
        if let Some(step) = holders.best(wanted, around, requests, jitter) {
            return step;
        }
        // A peer that is being asked may bring it yet.
        if let Some(until) = requests.until() {
            return Step::Wait(until);
        }
        let uncovered = holders.uncovered_part(wanted, now);
        let may_relay = matches!(reason, Reason::Gap | Reason::Relay);
        if may_relay && let Some((peer, seqs)) = holders.relay_for(uncovered, around, now) {
            return Step::Ask(peer, seqs);
        }
        let lost = match reason {
            Reason::Gap => self
                .hole
                .as_mut()
                .map(|hole| hole.lost(uncovered, holders, around, now)),
            Reason::Ahead => None,
            Reason::Relay => self
                .relay
                .as_mut()
                .map(|relay| (uncovered, relay.lost_at(uncovered, holders, around, now))),
            Reason::Backfill => Some((wanted, now)),
        };
        match lost {
            Some((lost, at)) if at <= now => Step::GiveUp(lost),
            Some((_, at)) => Step::Wait(at.min(now + LOOK_AGAIN)),
            None => Step::Idle,
        }
    }
}

/// The time that a hole is left alone: copies that take another path may be a little behind.
const PATHS_RACE: Duration = Duration::from_millis(40);

/// The delay before it is looked again whether anybody has it: peers come and go.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
