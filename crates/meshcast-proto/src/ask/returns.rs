//! Replies on their way back, until the peer that is next reads them: those that different peers
//! brought go on in turns, so none takes the way of the others'.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::relays::Key;
use crate::{
    bounds::{Budget, ENTRY_BYTES, Payer, Rate, TokenBucket, Turns, VirtualTime},
    wire::{Finding, Sender, Time},
};

#[derive(Debug)]
pub(super) struct Returns {
    /// What waits for each peer that it goes to.
    lines: BTreeMap<Sender, Line>,
    budget: Budget,
}

#[derive(Debug, Default)]
struct Line {
    waiting: usize,
    time: VirtualTime,
    passed: TokenBucket,
    /// By the peer that brought it.
    from: BTreeMap<Sender, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    turns: Turns,
    replies: VecDeque<Reply>,
}

/// A reply that waits.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) key: Key,
    pub(super) finding: Finding,
    /// The peer that is charged.
    pub(super) payer: Sender,
}

impl Returns {
    pub(super) const fn new(budget: Budget) -> Self {
        Self {
            lines: BTreeMap::new(),
            budget,
        }
    }

    /// A reply that came by way of `from` is to go to a peer. `false` if `payer` has no room for
    /// it.
    pub(super) fn push(
        &mut self,
        to: Sender,
        from: Sender,
        payer: Sender,
        (key, finding): (Key, Finding),
    ) -> bool {
        let reply = Reply {
            key,
            finding,
            payer,
        };
        if !self.budget.try_charge(Payer::from(payer), reply.bytes()) {
            return false;
        }
        let line = self.lines.entry(to).or_default();
        let queue = line.from.entry(from).or_default();
        if queue.replies.is_empty() {
            line.time.arrive(&mut queue.turns);
        }
        queue.replies.push_back(reply);
        line.waiting += 1;
        true
    }

    /// What goes to a peer next, if anything may go to it now.
    pub(super) fn pop(&mut self, to: Sender, now: Time) -> Option<Reply> {
        let line = self.lines.get_mut(&to)?;
        if line.waiting == 0 || !line.passed.is_due(PASSED, now) {
            return None;
        }
        let queues = line.from.values_mut();
        let queues = queues.filter(|queue| !queue.replies.is_empty());
        let queue = queues.min_by_key(|queue| queue.turns.end())?;
        line.time.serve(queue.turns);
        let reply = queue.replies.pop_front()?;
        let work = reply.bytes().max(LEAST);
        queue.turns.charge(work);
        line.passed.take(work, PASSED, now);
        line.waiting -= 1;
        if line.waiting == 0 {
            line.from.clear();
        }
        self.budget.release(Payer::from(reply.payer), reply.bytes());
        Some(reply)
    }

    /// Takes out what waits for a peer of a question, with the peers that brought it.
    pub(super) fn take(&mut self, to: Sender, key: Key) -> Vec<(Sender, Reply)> {
        let mut taken = Vec::new();
        let Some(line) = self.lines.get_mut(&to) else {
            return taken;
        };
        for (from, queue) in &mut line.from {
            let (of, others) = std::mem::take(&mut queue.replies)
                .into_iter()
                .partition::<VecDeque<_>, _>(|reply| reply.key == key);
            queue.replies = others;
            taken.extend(of.into_iter().map(|reply| (*from, reply)));
        }
        line.waiting -= taken.len();
        if line.waiting == 0 {
            line.from.clear();
        }
        for (_, reply) in &taken {
            self.budget.release(Payer::from(reply.payer), reply.bytes());
        }
        taken
    }

    /// The peers that something waits for, and when it may go.
    pub(super) fn due(&self) -> impl Iterator<Item = (Sender, Time)> {
        let lines = self.lines.iter().filter(|(_, line)| line.waiting > 0);
        lines.map(|(to, line)| (*to, line.passed.due(PASSED).unwrap_or(Time::ZERO)))
    }

    /// Forgets how much went to peers long ago.
    pub(super) fn forget(&mut self, now: Time) {
        self.lines
            .retain(|_, line| line.waiting > 0 || !line.passed.is_full(now));
    }
}

impl Reply {
    fn bytes(&self) -> usize {
        self.finding.bytes.len() + ENTRY_BYTES
    }
}

/// How many bytes a second of replies are handed on to one peer, and as many at once as its session
/// takes without waiting.
const PASSED: Rate = Rate::per_second(8 * 1024 * 1024, Duration::from_millis(32));

/// What one counts at least: so many are checked in a second because of one peer, with as many
/// questions again.
const LEAST: usize = 8 * 1024;
