//! Peers that misbehave repeatedly: they are throttled, then cut off.
//!
//! May use: [`wire`](crate::wire), [`bounds`](crate::bounds).
//! Must not: judge what a peer did. Others report the offence, and this counts it.

mod offence;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    bounds::{Rate, TokenBucket},
    wire::{Sender, Time},
};

pub use offence::Offence;

/// Counts points against peers for their offences, by gossip or in a session, and forgives them
/// over time (a leaky bucket). It acts on nothing itself: it puts out [`Verdict`]s, and the driver
/// throttles and cuts off.
///
/// A peer that is gone keeps its points, so coming back does not help. A verdict stands until
/// another revokes it, also when the peer is forgotten for want of room.
#[derive(Debug, Default)]
pub struct Conduct {
    suspects: BTreeMap<Sender, Suspect>,
    /// Those cut off: since when, and for how many offences.
    cut: BTreeMap<Sender, (Time, u64)>,
    verdicts: VecDeque<Verdict>,
}

/// Somebody who misbehaved and is not cut off.
#[derive(Debug, Default)]
struct Suspect {
    points: TokenBucket,
    throttled: bool,
    offences: u64,
}

/// What is to be done with a peer from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Hear it at a fraction of the rate.
    Throttle {
        /// Whom.
        peer: Sender,
        /// What it did last.
        offence: Offence,
    },
    /// Hear it as any other again.
    Forgive {
        /// Whom.
        peer: Sender,
    },
    /// Close its connections, and connect to it no more.
    Cut {
        /// Whom.
        peer: Sender,
        /// What it did last.
        offence: Offence,
    },
    /// It may be connected again: of all who are cut off it has been that longest, and there is no
    /// room for more.
    Readmit {
        /// Whom.
        peer: Sender,
    },
}

/// What a peer may still do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Like any other.
    #[default]
    Good,
    /// Its messages are read at a fraction of the rate.
    Throttled,
    /// It is not connected any more.
    Cut,
}

impl Standing {
    /// A word for logs and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Throttled => "throttled",
            Self::Cut => "cut",
        }
    }
}

impl Conduct {
    /// A peer misbehaved so many times. Look at [`Self::poll_verdict`] afterwards.
    pub fn handle_offence(&mut self, peer: Sender, offence: Offence, times: u64, now: Time) {
        if let Some((_, offences)) = self.cut.get_mut(&peer) {
            *offences = offences.saturating_add(times);
            return;
        }
        if self.suspects.len() >= MAX_SUSPECTS && !self.suspects.contains_key(&peer) {
            self.forget_least();
        }
        let suspect = self.suspects.entry(peer).or_default();
        let counted = usize::try_from(times).unwrap_or(usize::MAX);
        let counted = counted.saturating_mul(points(offence));
        suspect.points.take(counted, POINTS, now);
        suspect.offences = suspect.offences.saturating_add(times);
        let level = suspect.points.taken(POINTS, now);
        if level >= CUT_AT {
            let offences = suspect.offences;
            self.suspects.remove(&peer);
            self.cut_off(peer, offences, now);
            self.verdicts.push_back(Verdict::Cut { peer, offence });
        } else if level >= THROTTLE_AT && !suspect.throttled {
            suspect.throttled = true;
            self.verdicts.push_back(Verdict::Throttle { peer, offence });
        }
    }

    /// Forgives with time. Call it every second or so, and look at [`Self::poll_verdict`]
    /// afterwards.
    pub fn handle_timeout(&mut self, now: Time) {
        let verdicts = &mut self.verdicts;
        self.suspects.retain(|peer, suspect| {
            let level = suspect.points.taken(POINTS, now);
            if suspect.throttled && level <= FORGIVEN_AT {
                suspect.throttled = false;
                verdicts.push_back(Verdict::Forgive { peer: *peer });
            }
            level > 0
        });
    }

    /// The next verdict, until there is none.
    pub fn poll_verdict(&mut self) -> Option<Verdict> {
        self.verdicts.pop_front()
    }

    /// The standing of a peer.
    pub fn standing(&self, peer: Sender) -> Standing {
        if self.cut.contains_key(&peer) {
            return Standing::Cut;
        }
        match self.suspects.get(&peer) {
            Some(suspect) if suspect.throttled => Standing::Throttled,
            _ => Standing::Good,
        }
    }

    /// How often a peer misbehaved since its points last reached zero.
    pub fn offences(&self, peer: Sender) -> u64 {
        let suspect = self.suspects.get(&peer).map(|suspect| suspect.offences);
        let cut = self.cut.get(&peer).map(|(_, offences)| *offences);
        suspect.or(cut).unwrap_or(0)
    }

    /// Remembers who is cut off. Of too many the first may come back: whoever has the key can make
    /// as many as it likes.
    fn cut_off(&mut self, peer: Sender, offences: u64, now: Time) {
        if self.cut.len() >= MAX_CUT {
            let first = self.cut.iter().min_by_key(|(_, (since, _))| *since);
            if let Some(peer) = first.map(|(peer, _)| *peer) {
                self.cut.remove(&peer);
                self.verdicts.push_back(Verdict::Readmit { peer });
            }
        }
        self.cut.insert(peer, (now, offences));
    }

    /// Makes room: forgets whoever has done least.
    fn forget_least(&mut self) {
        let least = self.suspects.iter().min_by_key(|(_, it)| it.points.full());
        if let Some(peer) = least.map(|(peer, _)| *peer)
            && let Some(suspect) = self.suspects.remove(&peer)
            && suspect.throttled
        {
            self.verdicts.push_back(Verdict::Forgive { peer });
        }
    }
}

/// The points for each offence.
const fn points(offence: Offence) -> usize {
    match offence {
        // A peer that hands on a frame has checked it: once is a broken memory, ten times is not.
        Offence::Forged => 10,
        // No honest engine says it, but a bug might.
        Offence::Impossible | Offence::Unreadable => 5,
        // A history may drop a frame between the claim and the request, and links break: some are
        // normal.
        Offence::FalseClaim => 2,
        // A large mesh may exceed its share in good faith; then every message does.
        Offence::OverLimit => 1,
    }
}

/// Ten points a minute are forgiven: what an honest member may do by accident in a bad hour.
const POINTS: Rate = Rate::every(Duration::from_secs(6), 1);

/// A peer with this many points is throttled: five times what is forgiven in a minute.
const THROTTLE_AT: u64 = 50;

/// At this many points it no longer is.
const FORGIVEN_AT: u64 = 25;

/// A peer with this many points is cut off: it went on after it was throttled.
const CUT_AT: u64 = 100;

/// How many suspects are remembered, at some 150 bytes.
const MAX_SUSPECTS: usize = 4_096;

/// How many are kept out at the same time, at about 100 bytes.
const MAX_CUT: usize = 4_096;

#[cfg(test)]
mod tests;
