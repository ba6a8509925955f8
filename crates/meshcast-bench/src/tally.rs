//! What a subscriber counts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    clock,
    histogram::{Histogram, Sparse},
    stamp::Stamp,
};

/// A [`Tally`] that callbacks and tasks of a node count into as well.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedTally(Arc<Mutex<Tally>>);

impl SharedTally {
    /// The tally, for the time it takes to count what has come.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Tally> {
        // Counting does not panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What arrives at one subscriber in one run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    run: u16,
    /// Whether the way of each single message is kept.
    keep: bool,
    /// Which numbers came, one bit each.
    seen: Vec<u64>,
    /// One more than the highest that came.
    next: u64,
    latency: Histogram,
    counts: Counts,
    ways: Vec<(u64, u64)>,
    drops: BTreeMap<String, u64>,
    /// Whether anything at all came, of any run.
    heard: bool,
    /// What comes of the run beside this one.
    beside: Option<Box<Self>>,
}

/// The plain numbers of a [`Tally`].
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Distinct messages that came.
    pub(crate) received: u64,
    /// Messages that came again.
    pub(crate) duplicates: u64,
    /// Messages that came after a later one.
    pub(crate) reordered: u64,
    /// When the last one came, by [`clock::now`]; 0 if none.
    pub(crate) last_at: u64,
}

/// A tally on its way to the process that compares.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) counts: Counts,
    pub(crate) latency: Sparse,
    /// Number and nanoseconds on the way of each message, if that was asked for.
    pub(crate) ways: Vec<(u64, u64)>,
    /// Messages the system said it dropped here, by reason; they may have come by another way.
    pub(crate) drops: BTreeMap<String, u64>,
    /// The first few ranges of numbers that did not come, first and last.
    pub(crate) holes: Vec<(u64, u64)>,
    /// The same of the run beside it.
    pub(crate) beside: Option<Box<Self>>,
}

impl Tally {
    /// Counts messages of this run alone from now on, and those of a run beside it apart. `keep`
    /// keeps the way of each single one.
    pub(crate) fn begin(&mut self, run: u16, keep: bool, beside: Option<u16>) {
        let beside = beside.map(|run| {
            Box::new(Self {
                run,
                ..Self::default()
            })
        });
        *self = Self {
            run,
            keep,
            heard: self.heard,
            beside,
            ..Self::default()
        };
    }

    /// Counts a payload, of any run and any system.
    pub(crate) fn payload(&mut self, payload: &[u8]) {
        if let Some(stamp) = Stamp::read(payload) {
            self.stamp(stamp);
        }
    }

    /// Counts a message.
    pub(crate) fn stamp(&mut self, stamp: Stamp) {
        self.heard = true;
        if stamp.run != self.run || stamp.run == 0 {
            if let Some(beside) = &mut self.beside {
                beside.stamp(stamp);
            }
            return;
        }
        let (word, bit) = place(stamp.number);
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            self.counts.duplicates += 1;
            return;
        }
        self.seen[word] |= bit;
        self.counts.received += 1;
        if stamp.number < self.next {
            self.counts.reordered += 1;
        } else {
            self.next = stamp.number + 1;
        }
        let now = clock::now();
        let way = now.saturating_sub(stamp.at);
        self.counts.last_at = now;
        self.latency.record(way);
        if self.keep {
            self.ways.push((stamp.number, way));
        }
    }

    /// The system says that it dropped this many.
    pub(crate) fn dropped(&mut self, messages: u64, reason: impl Into<String>) {
        *self.drops.entry(reason.into()).or_default() += messages;
    }

    /// Whether any message came, also of the warm-up.
    pub(crate) fn heard(&self) -> bool {
        self.heard
    }

    /// Distinct messages so far, of this run and of the one beside it.
    pub(crate) fn received(&self) -> u64 {
        let beside = self.beside.as_ref().map_or(0, |beside| beside.received());
        self.counts.received + beside
    }

    /// For the process that compares, which expects the numbers below `expected`, and below
    /// `beside` of the run beside it.
    pub(crate) fn counted(&self, expected: u64, beside: u64) -> Counted {
        Counted {
            counts: self.counts,
            latency: self.latency.sparse(),
            ways: self.ways.clone(),
            drops: self.drops.clone(),
            holes: self.holes(expected),
            beside: self
                .beside
                .as_ref()
                .map(|it| Box::new(it.counted(beside, 0))),
        }
    }

    fn holes(&self, expected: u64) -> Vec<(u64, u64)> {
        let mut holes: Vec<(u64, u64)> = Vec::new();
        for number in (0..expected).filter(|&number| !self.has(number)) {
            let full = holes.len() == MAX_HOLES;
            match holes.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ if full => break,
                _ => holes.push((number, number)),
            }
        }
        holes
    }

    fn has(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.seen.get(word).is_some_and(|word| word & bit != 0)
    }
}

impl Counted {
    /// Messages the system said it dropped here, for whatever reason.
    pub(crate) fn dropped(&self) -> u64 {
        self.drops.values().sum()
    }
}

/// Where a number has its bit.
const fn place(number: u64) -> (usize, u64) {
    ((number / 64) as usize, 1 << (number % 64))
}

const MAX_HOLES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_what_overtakes_are_counted_apart() {
        let mut tally = Tally::default();
        tally.begin(3, true, None);
        for number in [0, 2, 1, 1, 70, 2] {
            tally.stamp(stamp(3, number));
        }
        tally.dropped(2, "full");
        let counted = tally.counted(72, 0);
        assert_eq!(counted.counts.received, 4);
        assert_eq!(counted.counts.duplicates, 2);
        assert_eq!(counted.counts.reordered, 1);
        let numbers: Vec<_> = counted.ways.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [0, 2, 1, 70]);
        assert_eq!(counted.holes, [(3, 69), (71, 71)]);
        assert_eq!(counted.dropped(), 2);
    }

    #[test]
    fn other_runs_are_heard_but_not_counted() {
        let mut tally = Tally::default();
        tally.begin(3, false, None);
        assert!(!tally.heard());
        tally.stamp(stamp(0, 0));
        tally.stamp(stamp(2, 5));
        assert!(tally.heard());
        assert_eq!(tally.received(), 0);
    }

    #[test]
    fn a_run_beside_the_other_is_counted_apart() {
        let mut tally = Tally::default();
        tally.begin(3, false, Some(4));
        for (run, number) in [(3, 0), (4, 0), (5, 0), (4, 2), (4, 2)] {
            tally.stamp(stamp(run, number));
        }
        assert_eq!(tally.received(), 3);
        let counted = tally.counted(1, 3);
        assert_eq!((counted.counts.received, counted.holes.len()), (1, 0));
        let beside = counted.beside.expect("it was asked for");
        assert_eq!((beside.counts.received, beside.counts.duplicates), (2, 1));
        assert_eq!(beside.holes, [(1, 1)]);
    }

    fn stamp(run: u16, number: u64) -> Stamp {
        Stamp {
            run,
            number,
            at: clock::now(),
        }
    }
}
