//! Peers that misbehave repeatedly: they are throttled, then cut off.
//!
//! May use: [`wire`](crate::wire), [`bounds`](crate::bounds).
//! Must not: judge what a peer did. Others report the offence, and this counts it.

mod offence;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    bounds::{Rate, TokenBucket},
    wire::{Sender, Time},
};

pub use offence::Offence;

/// Counts points against peers for their offences, and forgives them over time (a leaky bucket). It
/// acts on nothing itself: the driver throttles and cuts off.
///
/// A peer that is gone keeps its points, so coming back does not help.
#[derive(Debug, Default)]
pub struct Conduct {
    records: BTreeMap<Sender, Record>,
}

#[derive(Debug, Default)]
struct Record {
    points: TokenBucket,
    standing: Standing,
    offences: u64,
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
    /// A peer misbehaved. Returns its standing, if that got worse.
    pub fn handle_offence(
        &mut self,
        peer: Sender,
        offence: Offence,
        now: Time,
    ) -> Option<Standing> {
        if self.records.len() >= MAX_RECORDS && !self.records.contains_key(&peer) {
            self.forget_least();
        }
        let record = self.records.entry(peer).or_default();
        record.points.take(points(offence) * TOKENS, POINTS, now);
        record.offences += 1;
        let level = record.points.level(POINTS, now);
        let standing = if level >= CUT_AT {
            Standing::Cut
        } else if level >= THROTTLE_AT {
            Standing::Throttled
        } else {
            Standing::Good
        };
        (standing > record.standing).then(|| {
            record.standing = standing;
            standing
        })
    }

    /// Forgives over time. Returns the peers that are no longer throttled; call it about every
    /// second.
    pub fn handle_timeout(&mut self, now: Time) -> Vec<Sender> {
        let mut forgiven = Vec::new();
        self.records.retain(|peer, record| {
            let level = record.points.level(POINTS, now);
            if record.standing == Standing::Throttled && level <= FORGIVEN_AT {
                record.standing = Standing::Good;
                forgiven.push(*peer);
            }
            level > 0 || record.standing == Standing::Cut
        });
        forgiven
    }

    /// The standing of a peer.
    pub fn standing(&self, peer: Sender) -> Standing {
        self.records
            .get(&peer)
            .map_or_else(Standing::default, |record| record.standing)
    }

    /// How often a peer misbehaved since its points last reached zero.
    pub fn offences(&self, peer: Sender) -> u64 {
        self.records.get(&peer).map_or(0, |record| record.offences)
    }

    /// Makes room by forgetting the peer with the fewest points that was cut off longest ago.
    fn forget_least(&mut self) {
        let least = self.records.iter().min_by_key(|(_, record)| record.points);
        if let Some(peer) = least.map(|(peer, _)| *peer) {
            self.records.remove(&peer);
        }
    }
}

/// The points for each offence.
const fn points(offence: Offence) -> usize {
    match offence {
        // Whoever hands on a frame has checked it: once is a broken memory, ten times is not.
        Offence::Forged => 10,
        // No honest engine says it, but a bug might.
        Offence::Impossible | Offence::Unreadable => 5,
        // A history may drop a frame between the claim and the request, and links break: some are
        // normal.
        // normal.
        Offence::FalseClaim => 2,
        // A large mesh may exceed its share in good faith; then every message does.
        Offence::OverLimit => 1,
    }
}

/// Ten points a minute are forgiven: what an honest member may do by accident in a bad hour.
const POINTS: Rate = Rate {
    per_second: 1,
    burst: Duration::ZERO,
};

/// Tokens for each point; one token a second is forgiven.
const TOKENS: usize = 6;

/// A peer with this many points is throttled: five times what is forgiven in a minute.
const THROTTLE_AT: usize = 50;

/// Below this many points it no longer is.
const FORGIVEN_AT: usize = 25;

/// A peer with this many points is cut off: it went on after it was throttled.
const CUT_AT: usize = 100;

/// How many peers are remembered, at some 150 bytes each.
const MAX_RECORDS: usize = 4_096;

impl TokenBucket {
    /// The points that are not forgiven yet.
    fn level(self, rate: Rate, now: Time) -> usize {
        let owed = self
            .due(rate)
            .map_or(Duration::ZERO, |due| due.saturating_since(now));
        usize::try_from(owed.as_secs()).unwrap_or(usize::MAX) / TOKENS
    }
}

#[cfg(test)]
mod tests;
