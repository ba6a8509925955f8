//! Where a log begins for this node.
//!
//! A channel hears what was posted from the moment it was opened here. Nobody knows beforehand
//! which number of a sender that is: wall clocks cannot be compared, messages travel, and frames
//! get lost. So it is concluded from evidence, and may be corrected until something came of it.
//!
//! | state | what is known | who reads |
//! |---|---|---|
//! | `Unknown` | numbers that were heard, and what peers say | nobody |
//! | `Provisional` | it begins here, by what is known so far | nobody yet |
//! | `Fixed` | it began here | readers: of what was delivered, given up, or is from before |
//!
//! Each piece of evidence is an event; each returns where the log begins from then on, if that is
//! somewhere else than before.
//!
//! * [`heard`](Join::heard), a frame. `Unknown`: number 1 begins there; else the lowest is
//!   remembered.
//! * [`told_by_sender`](Join::told_by_sender). `Unknown`: begins there, or at the lowest heard.
//!   `Provisional`: goes there if that is lower, or if only others said where. `Fixed`: goes up if
//!   what others said is not [proven](Reached).
//! * [`told_by_peer`](Join::told_by_peer), exactly. `Unknown`: is remembered as heard; as a hint
//!   while the sender is there itself. `Provisional`: goes down; goes up from a bound.
//! * [`told_by_peer`](Join::told_by_peer), a bound. `Unknown`: a hint. `Provisional`: goes up from
//!   a bound.
//! * [`passed`](Join::passed), a frame is from before. `Provisional`: goes above it, unless an
//!   exact word stands against a report.
//! * [`refuted`](Join::refuted), the sender is not that far. `Provisional`: goes down if it is not
//!   proven. `Fixed`: the same, not below what readers were shown.
//! * [`wait`](Join::wait), time passed. `Unknown`: begins at the lowest heard, or where hints say.
//! * [`begin_now`](Join::begin_now), somebody waits. `Unknown`: the same, at once.
//! * [`fix`](Join::fix), something came of it. `Provisional`: is fixed.
//!
//! In a state that is not named, nothing happens.
//!
//! The sender's word outranks everybody's, an exact word a bound, and a bound what just happened to
//! be heard. While the sender is connected and has not said it, hints only wait.
//!
//! Deadlines, each with its reason:
//!
//! * [`SETTLE`], 150 ms from the first frame: others may be on slower paths.
//! * [`UNTOLD`], 3 s more while a peer has not told what it has: it may know of lower numbers. Also
//!   how long hints wait for an exact word, and how long a log that may begin too low asks for
//!   nothing below what came.
//! * [`SENDER_UNTOLD`], 20 s in place of that while the sender itself is there and has not told: it
//!   may get no processor for seconds, only it can say, and only its own log waits. No longer: what
//!   was posted while its answer was on the way is heard as well.
//! * [`SILENT`], 60 s while a peer has said nothing at all since it was asked: its link may be cut
//!   one way, and within that time it is found to be dead.

use std::time::Duration;

use crate::wire::{Holding, Seq, SeqRange, Time};

/// Where a log begins, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    /// Not yet.
    Unknown(Evidence),
    /// Here, and nothing came of that: better evidence moves it.
    Provisional {
        /// The first number that is due.
        first: Seq,
        /// Why there.
        basis: Basis,
    },
    /// Here.
    Fixed {
        /// The first number that was due.
        first: Seq,
    },
}

/// What is known of a log that has not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// Copies of what was posted with the first frame have had their time.
    settled: Time,
    /// The lowest number that is due: it was heard, or somebody said so.
    lowest: Option<Seq>,
    basis: Basis,
    /// Reports of peers that do not know, or whose word does not count while the sender is there.
    hints: Option<Hints>,
}

/// Why a log begins somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// It is the lowest number heard, or the best guess.
    Heard,
    /// Nothing lower is due, and more may not be: somebody who is behind itself said so.
    Bound,
    /// Its sender said so, or somebody who has frames on both sides of it.
    Exact,
}

/// What peers say of the beginning that does not decide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hints {
    /// It begins here, say those who know what was before and after; but the sender is there and
    /// has not said so.
    exact: Option<Seq>,
    /// Nothing below is due: somebody knows of nothing that is. It may be behind itself.
    least: Option<Seq>,
    /// This is due: somebody began there itself, and does not know what was before.
    most: Seq,
    /// For so long others may come who know better.
    until: Time,
}

/// The progress of a sender, known by a frame or by its own word: not by what others say. A
/// beginning further up is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached(pub(crate) Option<Seq>);

/// A peer's report of where a log begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning<'a> {
    /// The first number that is due.
    pub(crate) due: Seq,
    /// What it has itself.
    pub(crate) holding: &'a Holding,
    /// Its word counts: its sender is not there to say it.
    pub(crate) trusted: bool,
}

impl Join {
    /// Nothing was heard; what is heard first is waited with until then.
    pub(crate) const fn new(settled: Time) -> Self {
        Self::Unknown(Evidence {
            settled,
            lowest: None,
            basis: Basis::Heard,
            hints: None,
        })
    }

    /// It goes on where it stopped when it was forgotten.
    pub(crate) const fn resumed(next: Seq) -> Self {
        Self::Fixed { first: next }
    }

    /// The first number that is due, once that is known: nothing lower was ever waited for.
    pub(crate) const fn first(&self) -> Option<Seq> {
        match self {
            Self::Unknown(_) => None,
            Self::Provisional { first, .. } | Self::Fixed { first } => Some(*first),
        }
    }

    /// Whether it stands.
    pub(crate) const fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed { .. })
    }

    /// Whether it may turn out to be higher.
    pub(crate) const fn may_be_too_low(&self) -> bool {
        matches!(
            self,
            Self::Provisional {
                basis: Basis::Bound,
                ..
            }
        )
    }

    /// Whether there are only hints, on which it may begin.
    pub(crate) const fn has_hints(&self) -> bool {
        matches!(self, Self::Unknown(Evidence { hints: Some(_), .. }))
    }

    /// Whether it has something to begin with, and only gives others their time.
    pub(crate) const fn is_settling(&self) -> bool {
        matches!(
            self,
            Self::Unknown(Evidence {
                lowest: Some(_),
                ..
            })
        )
    }

    /// A frame came.
    #[must_use]
    pub(crate) fn heard(&mut self, seqs: SeqRange) -> Option<Seq> {
        let Self::Unknown(evidence) = self else {
            return None;
        };
        // As somebody said who knew of nothing before.
        let hints = evidence.hints.filter(|hints| {
            let least = hints.least;
            least.is_some_and(|least| seqs.contains(least))
        });
        if let Some(hints) = hints {
            let first = evidence.or_lower(hints.due());
            return self.begin(first, Basis::Heard);
        }
        if seqs.first() == Seq::FIRST {
            return self.begin(Seq::FIRST, Basis::Heard);
        }
        evidence.lower(seqs.first());
        None
    }

    /// The sender says that it begins at `due`.
    #[must_use]
    pub(crate) fn told_by_sender(&mut self, due: Seq, reached: Reached) -> Option<Seq> {
        match *self {
            Self::Unknown(evidence) => {
                let first = evidence.or_lower(due);
                self.begin(first, Basis::Exact)
            }
            Self::Provisional { first, basis } => {
                let others_say = basis == Basis::Bound || !reached.proves(first);
                let first = if others_say { due } else { first.min(due) };
                self.begin(first, Basis::Exact)
            }
            Self::Fixed { .. } => self.refuted(due, reached),
        }
    }

    /// A peer that is not the sender says where it begins. `held` is the lowest number that came
    /// and waits.
    #[must_use]
    pub(crate) fn told_by_peer(
        &mut self,
        word: Beginning<'_>,
        held: Option<Seq>,
        now: Time,
    ) -> Option<Seq> {
        let Beginning {
            due,
            holding,
            trusted,
        } = word;
        let knows_before = holding.begin < due;
        let has = due < holding.next;
        let exact = due == Seq::FIRST || (knows_before && has);
        let evidence = match self {
            Self::Fixed { .. } => return None,
            Self::Provisional { first, basis } => {
                if !trusted {
                    return None;
                }
                // A number that came is not before the beginning.
                let higher = held.map_or(due, |held| due.min(held));
                let (was, confirmed) = (*first, if exact { Basis::Exact } else { *basis });
                if knows_before && *basis == Basis::Bound && was <= higher {
                    return self.begin(higher, confirmed);
                }
                if has && due < was {
                    return self.begin(due, confirmed);
                }
                return None;
            }
            Self::Unknown(evidence) => evidence,
        };
        if exact && trusted {
            (evidence.basis, evidence.hints) = (Basis::Exact, None);
            if due == Seq::FIRST {
                return self.begin(due, Basis::Exact);
            }
            evidence.lower(due);
        } else if evidence.basis != Basis::Exact {
            let hints = evidence.hints.get_or_insert(Hints {
                exact: None,
                least: None,
                most: due,
                until: now + UNTOLD,
            });
            if exact {
                hints.exact = Some(hints.exact.map_or(due, |exact| exact.min(due)));
            } else if knows_before {
                hints.least = hints.least.max(Some(due));
            } else {
                hints.most = hints.most.min(due);
            }
        }
        None
    }

    /// Nothing up to `last` is due, as the age of a frame shows; `reported` if only others say how
    /// old it is, and nothing came from its sender by which that could be told.
    #[must_use]
    pub(crate) fn passed(&mut self, last: Seq, reported: bool) -> Option<Seq> {
        match *self {
            Self::Provisional { first, basis }
                if first <= last && !(reported && basis == Basis::Exact) =>
            {
                self.begin(last.next(), basis)
            }
            _ => None,
        }
    }

    /// It begins at `due` and not where only others said so, who may be wrong; unless that is
    /// proven.
    #[must_use]
    pub(crate) fn refuted(&mut self, due: Seq, reached: Reached) -> Option<Seq> {
        let (first, to) = match self {
            Self::Provisional { first, .. } => (first, due),
            // Backfill that readers were given does not come once more.
            Self::Fixed { first } => {
                let newest = reached.0;
                (first, newest.map_or(due, |newest| due.max(newest.next())))
            }
            Self::Unknown(_) => return None,
        };
        let moves = *first != to && !reached.proves(*first);
        moves.then(|| {
            *first = to;
            to
        })
    }

    /// Time passed. `patience` is how much longer than to settle it is waited for those who have
    /// not told; `withheld` if the sender is there and has not said where it begins.
    #[must_use]
    pub(crate) fn wait(&mut self, patience: Duration, withheld: bool, now: Time) -> Option<Seq> {
        let Self::Unknown(evidence) = self else {
            return None;
        };
        if let Some(hints) = evidence
            .hints
            .take_if(|hints| hints.until <= now && !withheld)
        {
            evidence.lower(hints.due());
            evidence.basis = hints.basis();
            if hints.due() == Seq::FIRST {
                return self.begin_now();
            }
        }
        let settled = evidence.hints.is_none() && evidence.settled <= now - patience;
        if settled { self.begin_now() } else { None }
    }

    /// When [`Self::wait`] has something to do, if nothing happens.
    pub(crate) fn due(&self, patience: Duration, withheld: bool, now: Time) -> Option<Time> {
        let Self::Unknown(evidence) = self else {
            return None;
        };
        match evidence.hints {
            Some(hints) => Some(hints.until).filter(|_| !withheld),
            None => {
                evidence.lowest?;
                let due = evidence.settled + patience;
                // A silent peer may speak, and not tell.
                Some(if patience < SILENT {
                    due
                } else {
                    due.min(now + UNTOLD)
                })
            }
        }
    }

    /// Nobody is waited for any longer who may know better.
    #[must_use]
    pub(crate) fn begin_now(&mut self) -> Option<Seq> {
        let Self::Unknown(evidence) = self else {
            return None;
        };
        let (mut first, mut basis) = (evidence.lowest, evidence.basis);
        if let Some(hints) = evidence.hints {
            (first, basis) = (Some(evidence.or_lower(hints.due())), hints.basis());
        }
        self.begin(first?, basis)
    }

    /// Something came of it: it stands.
    pub(crate) fn fix(&mut self) {
        if let Some(first) = self.first() {
            *self = Self::Fixed { first };
        }
    }

    /// Readers are to be shown what was before it: it stands from now on, unless it may yet be
    /// found to be lower. `by_sender` if the sender has told where it begins.
    pub(crate) fn fix_for_readers(&mut self, by_sender: bool) {
        if let Self::Provisional { basis, .. } = self
            && (by_sender || *basis != Basis::Heard)
        {
            self.fix();
        }
    }

    fn begin(&mut self, first: Seq, basis: Basis) -> Option<Seq> {
        let before = self.first();
        *self = Self::Provisional { first, basis };
        (before != Some(first)).then_some(first)
    }
}

impl Evidence {
    fn or_lower(&self, due: Seq) -> Seq {
        self.lowest.map_or(due, |lowest| lowest.min(due))
    }

    fn lower(&mut self, due: Seq) {
        self.lowest = Some(self.or_lower(due));
    }
}

impl Hints {
    fn due(self) -> Seq {
        self.exact.or(self.least).unwrap_or(self.most)
    }

    fn basis(self) -> Basis {
        if self.exact.is_none() && self.least.is_some() {
            Basis::Bound
        } else {
            Basis::Heard
        }
    }
}

impl Reached {
    /// Whether a log may begin there by what is known for sure.
    pub(crate) fn proves(self, first: Seq) -> bool {
        first <= self.0.map_or(Seq::FIRST, Seq::next)
    }
}

/// The time that a log waits for numbers below the first it heard, when that is not the sender's
/// first. Copies of frames posted together come by different paths, which differ by about one round
/// trip round the world.
pub const SETTLE: Duration = Duration::from_millis(150);

/// The time that a peer is waited for that has not told of a log, or one that knows more of it,
/// before it begins without.
pub(crate) const UNTOLD: Duration = Duration::from_secs(3);

/// The same for the sender itself.
pub(crate) const SENDER_UNTOLD: Duration = Duration::from_secs(20);

/// The same for one that has said nothing at all since it was asked. A link that brings nothing is
/// given up within seconds, and its peer no longer waited for. This bounds what one does who keeps
/// it up and does not tell.
pub(crate) const SILENT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
