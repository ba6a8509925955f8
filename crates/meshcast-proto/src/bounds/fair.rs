//! Self-clocked fair queueing: who is served next, so that all who wait get equal shares of the
//! work, and who causes little is served at once however much others cause.
//!
//! By S. J. Golestani, "A Self-Clocked Fair Queueing Scheme for Broadband Applications" (1994),
//! with equal weights. The work of a turn is known only afterwards, so a turn is ordered by the
//! work of the last turn of the same one. A token bucket cannot do this: it forgets what it has
//! refilled, and gives long turns as often as short ones. Here buckets only bound how much work one
//! causes, and all together.

use std::collections::{BTreeMap, VecDeque};

use super::bucket::{Rate, TokenBucket};
use crate::wire::Time;

/// Those who take turns, with what of each waits. After a turn it is [charged](Self::charge).
#[derive(Debug)]
pub(crate) struct FairQueue<K, W> {
    flows: BTreeMap<K, Flow<W>>,
    waiting: VirtualClock,
    each: Rate,
    all: Option<(Rate, TokenBucket)>,
}

/// What waits of one of them.
pub(crate) trait Waits {
    /// Whether it wants a turn.
    fn waits(&self) -> bool;
}

#[derive(Debug)]
struct Flow<W> {
    what: W,
    turns: Turns,
    taken: TokenBucket,
}

/// The turns of one, in virtual time.
#[derive(Debug, Clone, Copy, Default)]
struct Turns {
    /// When its next one starts.
    start: u64,
    /// How much work the last was.
    last: u64,
}

#[derive(Debug, Default)]
struct VirtualClock {
    /// The virtual time: how much work was done for each that always waits.
    time: u64,
    /// How many want a turn.
    count: usize,
}

impl<K: Ord + Copy, W: Waits> FairQueue<K, W> {
    /// The rates are of work: of each, and of all together if that is bounded.
    pub(crate) fn new(each: Rate, all: Option<Rate>) -> Self {
        Self {
            flows: BTreeMap::new(),
            waiting: VirtualClock::default(),
            each,
            all: all.map(|rate| (rate, TokenBucket::default())),
        }
    }

    pub(crate) fn get(&self, key: K) -> Option<&W> {
        Some(&self.flows.get(&key)?.what)
    }

    /// Makes a place for one that has none.
    pub(crate) fn ensure(&mut self, key: K, what: impl FnOnce() -> W) {
        self.flows.entry(key).or_insert_with(|| Flow {
            what: what(),
            turns: Turns::default(),
            taken: TokenBucket::default(),
        });
    }

    /// Changes what waits of one, if it has a place.
    pub(crate) fn change<R>(&mut self, key: K, change: impl FnOnce(&mut W) -> R) -> Option<R> {
        Some(self.flows.get_mut(&key)?.change(&mut self.waiting, change))
    }

    /// The same of all.
    pub(crate) fn change_all(&mut self, mut change: impl FnMut(&mut W)) {
        for flow in self.flows.values_mut() {
            flow.change(&mut self.waiting, &mut change);
        }
    }

    /// The next one to be served, and what `take` makes of what waits of it.
    pub(crate) fn next<R>(&mut self, now: Time, take: impl FnOnce(&mut W) -> R) -> Option<(K, R)> {
        if self.waiting.count == 0 || self.due_of_all() > Some(now) {
            return None;
        }
        let ready = self.flows.iter_mut().filter(|(_, flow)| flow.what.waits());
        let ready = ready.filter(|(_, flow)| flow.taken.is_due(self.each, now));
        let (key, flow) = ready.min_by_key(|(_, flow)| flow.turns.end())?;
        self.waiting.time = self.waiting.time.max(flow.turns.start);
        Some((*key, flow.change(&mut self.waiting, take)))
    }

    /// So much work was done in its turn.
    pub(crate) fn charge(&mut self, key: K, work: usize, now: Time) {
        if let Some((rate, taken)) = &mut self.all {
            taken.take(work, *rate, now);
        }
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.turns.charge(work);
        }
        self.charge_beside(key, work, now);
    }

    /// So much work was done for it, for which nobody waited meanwhile: that is its rate, and not
    /// its turn.
    pub(crate) fn charge_beside(&mut self, key: K, work: usize, now: Time) {
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.taken.take(work, self.each, now);
        }
    }

    /// Whether its rate leaves it anything now.
    pub(crate) fn is_due(&self, key: K, now: Time) -> bool {
        let flow = self.flows.get(&key);
        flow.is_none_or(|flow| flow.taken.is_due(self.each, now))
    }

    /// When [somebody](Self::next) has a turn.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        if self.waiting.count == 0 {
            return None;
        }
        let waiting = self.flows.values().filter(|flow| flow.what.waits());
        let due = waiting.map(|flow| flow.taken.due(self.each)).min()?;
        Some(due.max(self.due_of_all()).unwrap_or(Time::ZERO))
    }

    pub(crate) fn remove(&mut self, key: K) {
        if let Some(flow) = self.flows.remove(&key) {
            self.waiting.count -= usize::from(flow.what.waits());
        }
    }

    /// Forgets those of whom nothing waits, and whose rate is as if they had never done anything.
    pub(crate) fn forget_idle(&mut self, now: Time) {
        self.flows
            .retain(|_, flow| flow.what.waits() || !flow.taken.is_full(now));
    }

    /// Whether nothing waits, and nothing would change if it were a new one.
    pub(crate) fn is_idle(&self, now: Time) -> bool {
        let is_full = |(_, taken): &(Rate, TokenBucket)| taken.is_full(now);
        self.flows.is_empty() && self.all.as_ref().is_none_or(is_full)
    }

    fn due_of_all(&self) -> Option<Time> {
        self.all.and_then(|(rate, taken)| taken.due(rate))
    }
}

impl<W: Waits> Flow<W> {
    fn change<R>(&mut self, waiting: &mut VirtualClock, change: impl FnOnce(&mut W) -> R) -> R {
        let waited = self.what.waits();
        let changed = change(&mut self.what);
        match (waited, self.what.waits()) {
            (false, true) => {
                // It saved up no turns while it did not wait.
                self.turns.start = self.turns.start.max(waiting.time);
                waiting.count += 1;
            }
            (true, false) => waiting.count -= 1,
            _ => {}
        }
        changed
    }
}

impl Turns {
    /// When its next one probably ends.
    const fn end(self) -> u64 {
        self.start.saturating_add(self.last)
    }

    const fn charge(&mut self, work: usize) {
        self.last = work as u64;
        self.start = self.end();
    }
}

impl<T> Waits for VecDeque<T> {
    fn waits(&self) -> bool {
        !self.is_empty()
    }
}

#[cfg(test)]
mod tests;
