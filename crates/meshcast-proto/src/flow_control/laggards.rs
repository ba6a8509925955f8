//! Who keeps up with a log, and how much of it may be on the way to those who do.
//!
//! A node that posts faster than others take it in has two choices: to lose what does not fit, or
//! to wait. It waits for everybody who [keeps up](Progress), until what is not yet acknowledged is
//! no more than the [window](super::window) says; and it waits for nobody who has been behind for
//! [`LAG`], or is behind and has said nothing at all for [`STALL`]: such a one fetches what it
//! lacks at its own pace instead.

use std::{collections::VecDeque, time::Duration};

use crate::wire::{Seq, Time};

/// How far this node was with a log at moments of the last [`LAG`], oldest first, and at one
/// before.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints(VecDeque<(Time, Seq)>);

impl Checkpoints {
    /// This node got as far as to wait for `next`.
    pub(crate) fn reached(&mut self, next: Seq, now: Time) {
        while self.0.get(1).is_some_and(|(at, _)| *at + LAG <= now) {
            self.0.pop_front();
        }
        let last_but_one = self
            .0
            .len()
            .checked_sub(2)
            .and_then(|index| self.0.get(index));
        if last_but_one.is_some_and(|(at, _)| now < *at + SPACING) {
            self.0.pop_back();
        }
        self.0.push_back((now, next));
    }

    /// Since when somebody who waits for `next` is behind, as far as that is remembered.
    fn ahead_of(&self, next: Seq) -> Option<Time> {
        self.0
            .iter()
            .find(|(_, checkpoint)| *checkpoint > next)
            .map(|(at, _)| *at)
    }
}

/// Somebody who hears of a log through this node, as far as it has told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// The number it waits for.
    next: Seq,
    /// What it says for those who hear of the log through it; `None` while it does not look to
    /// this node.
    lowest: Option<Seq>,
    own: State,
    theirs: State,
}

/// Whether somebody keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It never did: it came later and catches up.
    CatchingUp,
    InSync,
    /// It did, and has been behind for [`LAG`], or is behind and silent.
    Lagging,
}

impl Progress {
    pub(crate) fn new(
        next: Seq,
        lowest: Option<Seq>,
        checkpoints: &Checkpoints,
        now: Time,
    ) -> Self {
        let mut new = Self {
            next,
            lowest,
            own: State::CatchingUp,
            theirs: State::CatchingUp,
        };
        new.judge(checkpoints, now, now);
        new
    }

    /// It tells where it is.
    pub(crate) fn told(
        &mut self,
        next: Seq,
        lowest: Option<Seq>,
        checkpoints: &Checkpoints,
        now: Time,
    ) {
        (self.next, self.lowest) = (next, lowest);
        self.judge(checkpoints, now, now);
    }

    /// Looks again whether it keeps up; call it when time has passed. `heard` is when it last said
    /// anything, be it of something else.
    pub(crate) fn judge(&mut self, checkpoints: &Checkpoints, heard: Time, now: Time) {
        let patience = self.patience();
        let judged =
            |state: State, next| state.judged(checkpoints.ahead_of(next), heard, patience, now);
        self.own = judged(self.own, self.next);
        self.theirs = self
            .lowest
            .map_or(State::CatchingUp, |lowest| judged(self.theirs, lowest));
    }

    /// When to judge it again, unless it says something before; `None` if it has everything.
    pub(crate) fn due(&self, checkpoints: &Checkpoints, heard: Time, now: Time) -> Option<Time> {
        let due = |state: State, next| {
            let since = checkpoints.ahead_of(next)?;
            Some(match state {
                State::InSync => (since + LAG).min(since.max(heard) + self.patience()),
                // It may have been heard meanwhile.
                State::Lagging => now + SPACING,
                // Time alone does not make it keep up.
                State::CatchingUp => now + LAG,
            })
        };
        let theirs = self.lowest.and_then(|lowest| due(self.theirs, lowest));
        let own = due(self.own, self.next);
        own.into_iter().chain(theirs).min()
    }

    /// For how long it may be silent while it is behind.
    const fn patience(&self) -> Duration {
        // Who looks to another says every half second how far it is, and not at once.
        if self.lowest.is_some() {
            STALL
        } else {
            STALL_ELSEWHERE
        }
    }

    /// The number it waits for.
    pub(crate) const fn next(&self) -> Seq {
        self.next
    }

    /// The number that is waited for on its account: for those behind it, or if one of them lags,
    /// for itself.
    pub(crate) fn gate(&self) -> Option<Seq> {
        let lowest = self.lowest?;
        match (self.theirs, self.own) {
            (State::InSync, _) => Some(lowest),
            (_, State::InSync) => Some(self.next),
            _ => None,
        }
    }

    /// How many numbers before `next` it lacks, if it kept up once and does no longer.
    pub(crate) const fn lags(&self, next: Seq) -> Option<u64> {
        match self.own {
            State::Lagging => Some(next.get().saturating_sub(self.next.get())),
            State::CatchingUp | State::InSync => None,
        }
    }
}

impl State {
    fn judged(
        self,
        behind_since: Option<Time>,
        heard: Time,
        patience: Duration,
        now: Time,
    ) -> Self {
        // Who did not keep up has to do better than who does, so that nobody changes sides all the
        // time.
        let (lag, patience) = if self == Self::InSync {
            (LAG, patience)
        } else {
            (LAG / 2, patience / 2)
        };
        match (self, behind_since) {
            (_, None) => Self::InSync,
            (_, Some(since)) if now < since + lag && now < since.max(heard) + patience => {
                Self::InSync
            }
            (Self::CatchingUp, _) => Self::CatchingUp,
            _ => Self::Lagging,
        }
    }
}

/// Who has been behind for this long is no longer waited for. Above a round trip round the world
/// with a queue on the way and a lost frame that is fetched again; below what people who wait would
/// call a failure.
pub(crate) const LAG: Duration = Duration::from_secs(2);

/// Nor is who is behind and has said nothing for this long, of any channel: it stands still, or
/// nothing comes through. Above a round trip round the world and the delay of an acknowledgement;
/// and what is posted at a thousand a second meanwhile still fits the window, so that a process
/// that is stopped holds up nobody. That it got no further with this log would not be enough: who
/// has one frame each on thousands of channels says so in its turn.
pub(crate) const STALL: Duration = Duration::from_millis(600);

/// The same for who looks to another node with this log, and so says only with its digest where it
/// is.
const STALL_ELSEWHERE: Duration = Duration::from_millis(800);

/// How long readers in this process hold up those who post. Below [`STALL`], so that their node
/// does not count as a laggard for it; enough for whatever else wants the processor.
pub(crate) const READERS_LAG: Duration = Duration::from_millis(450);

/// How often it is looked whether somebody lags, and how far apart the marks are by which that is
/// told.
pub(crate) const SPACING: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
