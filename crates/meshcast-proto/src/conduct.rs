//! Who misbehaves again and again: it is slowed down, then cut off.
//!
//! May use: [`wire`](crate::wire), [`bounds`](crate::bounds).
//! Must not: judge what was done. Others name the offence, this counts.

mod offence;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    bounds::{Rate, TokenBucket},
    wire::{Sender, Time},
};

pub use offence::Offence;

/// Counts points against neighbours, by what they did; with time they are forgiven (a leaky
/// bucket). Like the rest of the protocol it does nothing itself: whoever drives it slows down and
/// cuts off.
///
/// A neighbour that is gone keeps its points, so that coming back does not help.
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

/// What becomes of a neighbour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Like any other.
    #[default]
    Good,
    /// What it says is heard at a fraction of the rate.
    Throttled,
    /// It is not to be connected any more.
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
    /// A neighbour misbehaved. Returns how it stands now, if that is worse than before.
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

    /// Forgives with time. Returns who was throttled and is not any more; call it every second or
    /// so.
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

    /// How a neighbour stands.
    pub fn standing(&self, peer: Sender) -> Standing {
        self.records
            .get(&peer)
            .map_or_else(Standing::default, |record| record.standing)
    }

    /// How often a neighbour misbehaved since it was last forgiven everything.
    pub fn offences(&self, peer: Sender) -> u64 {
        self.records.get(&peer).map_or(0, |record| record.offences)
    }

    /// Makes room: of all records that of whoever has done least, and been cut off longest ago.
    fn forget_least(&mut self) {
        let least = self.records.iter().min_by_key(|(_, record)| record.points);
        if let Some(peer) = least.map(|(peer, _)| *peer) {
            self.records.remove(&peer);
        }
    }
}

/// What an offence counts.
const fn points(offence: Offence) -> usize {
    match offence {
        // Whoever hands on a frame has checked it: once is a broken memory, ten times is none.
        Offence::Forged => 10,
        // No honest engine says it; a bug in one might.
        Offence::Impossible | Offence::Unreadable => 5,
        // A history makes room between the word and the question, and links break: some of them are
        // normal.
        Offence::FalseClaim => 2,
        // A large mesh may be over its share without meaning ill; it says so in every message then.
        Offence::OverLimit => 1,
    }
}

/// At ten a minute points are forgiven: what an honest member may do by accident in a bad hour.
const POINTS: Rate = Rate {
    per_second: 1,
    burst: Duration::ZERO,
};

/// What a point counts in tokens, of which one a second is forgiven.
const TOKENS: usize = 6;

/// Points from which on a neighbour is throttled: five times more than is forgiven in a minute.
const THROTTLE_AT: usize = 50;

/// And from which on it is not any more.
const FORGIVEN_AT: usize = 25;

/// Points from which on it is cut off: so it went on after it was throttled.
const CUT_AT: usize = 100;

/// How many neighbours are remembered, at some 150 bytes.
const MAX_RECORDS: usize = 4_096;

impl TokenBucket {
    /// How many points were counted and are not forgiven yet.
    fn level(self, rate: Rate, now: Time) -> usize {
        let owed = self
            .due(rate)
            .map_or(Duration::ZERO, |due| due.saturating_since(now));
        usize::try_from(owed.as_secs()).unwrap_or(usize::MAX) / TOKENS
    }
}

#[cfg(test)]
mod tests;
