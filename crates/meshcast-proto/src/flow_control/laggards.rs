//! Who keeps up with a log.
//!
//! A node that posts faster than others take it in can lose what does not fit, or wait. This one
//! waits: it posts until the [send window](super::window) is full, and goes on when everybody who
//! [keeps up](Progress) has acknowledged. A peer that has been behind for [`LAG`], or is behind and
//! has been silent for [`STALL`], is no longer waited for. It fetches what it lacks at its own
//! speed.

use std::{collections::VecDeque, time::Duration};

use crate::wire::{Seq, Time};

/// How far this node was with a log, at moments of the last [`LAG`] and at one before, oldest
/// first.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints(VecDeque<(Time, Seq)>);

impl Checkpoints {
    /// This node now waits for `next`.
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

    /// Since when a peer that waits for `next` is behind, as far as checkpoints reach back.
    fn ahead_of(&self, next: Seq) -> Option<Time> {
        self.0
            .iter()
            .find(|(_, checkpoint)| *checkpoint > next)
            .map(|(at, _)| *at)
    }
}

/// How far a peer that hears of a log through this node has come, by its own word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// The number that the peer waits for.
    next: Seq,
    /// The number that it, or any peer behind it, waits for. `None` while this node is not on its
    /// way to the sender.
    lowest: Option<Seq>,
    own: State,
    theirs: State,
}

/// Whether a peer keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It never kept up: it came later and catches up.
    CatchingUp,
    InSync,
    /// It kept up once, and now has been behind for [`LAG`], or is behind and silent.
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

    /// The peer tells how far it is.
    pub(crate) fn advanced(
        &mut self,
        next: Seq,
        lowest: Option<Seq>,
        checkpoints: &Checkpoints,
        now: Time,
    ) {
        (self.next, self.lowest) = (next, lowest);
        self.judge(checkpoints, now, now);
    }

    /// Checks again whether the peer keeps up, since time has passed. `heard` is when it last said
    /// anything, on any subject.
    pub(crate) fn judge(&mut self, checkpoints: &Checkpoints, heard: Time, now: Time) {
        let patience = self.patience();
        let judged =
            |state: State, next| state.judged(checkpoints.ahead_of(next), heard, patience, now);
        self.own = judged(self.own, self.next);
        self.theirs = self
            .lowest
            .map_or(State::CatchingUp, |lowest| judged(self.theirs, lowest));
    }

    /// When to check again unless the peer says something before; `None` if it has everything.
    pub(crate) fn due(&self, checkpoints: &Checkpoints, heard: Time, now: Time) -> Option<Time> {
        let due = |state: State, next| {
            let since = checkpoints.ahead_of(next)?;
            Some(match state {
                State::InSync => (since + LAG).min(since.max(heard) + self.patience()),
                // It may be heard meanwhile.
                State::Lagging => now + SPACING,
                // Time alone does not bring it into sync.
                State::CatchingUp => now + LAG,
            })
        };
        let theirs = self.lowest.and_then(|lowest| due(self.theirs, lowest));
        let own = due(self.own, self.next);
        own.into_iter().chain(theirs).min()
    }

    /// The time that it may be silent while it is behind.
    const fn patience(&self) -> Duration {
        // A peer whose way to the sender is another one tells this node only every half second.
        if self.lowest.is_some() {
            STALL
        } else {
            STALL_ELSEWHERE
        }
    }

    /// The number that the peer waits for.
    pub(crate) const fn next(&self) -> Seq {
        self.next
    }

    /// The number that holds up the sender on this peer's account: the lowest of those behind it,
    /// or its own if one of those lags.
    pub(crate) fn gate(&self) -> Option<Seq> {
        let lowest = self.lowest?;
        match (self.theirs, self.own) {
            (State::InSync, _) => Some(lowest),
            (_, State::InSync) => Some(self.next),
            _ => None,
        }
    }

    /// The count of numbers below `next` that it lacks; `None` unless it kept up once and does not
    /// now.
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
        // To come back into sync takes more than to stay in it, so that nobody changes sides all
        // the time.
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

/// A peer that has been behind for this long is no longer waited for. More than a round trip round
/// the world with a queue on the way and a lost frame to fetch; less than what people who wait
/// would call a failure.
pub(crate) const LAG: Duration = Duration::from_secs(2);

/// A peer that is behind and has said nothing for this long, on any channel, is not waited for
/// either: it stands still, or nothing comes through. More than a round trip round the world and
/// the delay of an acknowledgement. A thousand posts a second meanwhile still fit the window, so a
/// stopped process holds up nobody. Not to advance in this one log is no such sign: a peer with one
/// frame each on thousands of channels acknowledges them in turn.
pub(crate) const STALL: Duration = Duration::from_millis(600);

/// The same for a peer whose way to the sender is another one: it tells this node only with its
/// digest.
const STALL_ELSEWHERE: Duration = Duration::from_millis(800);

/// How long slow readers in this process hold up senders. Less than [`STALL`], so that their node
/// does not lag for it; enough for other work on the processor.
pub(crate) const READERS_LAG: Duration = Duration::from_millis(450);

/// The interval of checks of progress, and the distance of checkpoints.
pub(crate) const SPACING: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
