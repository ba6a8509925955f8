//! Replies on their way back, until the next peer reads them. Those that different peers brought
//! take turns, so that none of these peers holds up the replies of the others.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::relays::Key;
use crate::{
    bounds::{Budget, ENTRY_BYTES, FairQueue, Payer, Rate},
    wire::{Finding, Sender, Time},
};

#[derive(Debug)]
pub(super) struct Returns {
    /// The replies that wait for each peer that they go to, by the peer that brought them. The work
    /// is bytes.
    lines: BTreeMap<Sender, FairQueue<Sender, VecDeque<Returning>>>,
    budget: Budget,
}

/// A reply that waits.
#[derive(Debug)]
pub(super) struct Returning {
    pub(super) key: Key,
    pub(super) finding: Finding,
    /// The peer that brought it.
    pub(super) from: Sender,
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

    /// A reply is to go to a peer. `false` if who is charged has no room for it.
    pub(super) fn push(&mut self, to: Sender, reply: Returning) -> bool {
        let payer = Payer::from(reply.payer);
        if !self.budget.try_charge(payer, reply.bytes()) {
            return false;
        }
        self.wait(to, reply);
        true
    }

    /// The reply that goes to a peer next, if anything may go to it now.
    pub(super) fn pop(&mut self, to: Sender, now: Time) -> Option<Returning> {
        let line = self.lines.get_mut(&to)?;
        let (from, reply) = line.next(now, VecDeque::pop_front)?;
        let reply = reply?;
        line.charge(from, reply.bytes().max(LEAST), now);
        self.budget.release(Payer::from(reply.payer), reply.bytes());
        Some(reply)
    }

    /// The waiting replies of a question for one peer are to go to another.
    pub(super) fn redirect(&mut self, from: Sender, to: Sender, key: Key) {
        for reply in self.take(from, key) {
            self.wait(to, reply);
        }
    }

    /// The waiting replies of a question for a peer go nowhere.
    pub(super) fn cancel(&mut self, to: Sender, key: Key) {
        for reply in self.take(to, key) {
            self.budget.release(Payer::from(reply.payer), reply.bytes());
        }
    }

    fn take(&mut self, to: Sender, key: Key) -> Vec<Returning> {
        let mut taken = Vec::new();
        if let Some(line) = self.lines.get_mut(&to) {
            line.change_all(|replies| {
                let (of, others) = std::mem::take(replies)
                    .into_iter()
                    .partition::<VecDeque<_>, _>(|reply| reply.key == key);
                *replies = others;
                taken.extend(of);
            });
        }
        taken
    }

    fn wait(&mut self, to: Sender, reply: Returning) {
        let line = self.lines.entry(to);
        let line = line.or_insert_with(|| FairQueue::new(PASSED, Some(PASSED)));
        let from = reply.from;
        line.ensure(from, VecDeque::new);
        line.change(from, |replies| replies.push_back(reply));
    }

    /// The peers that something waits for, and when it may go.
    pub(super) fn due(&self) -> impl Iterator<Item = (Sender, Time)> {
        let lines = self.lines.iter();
        lines.filter_map(|(to, line)| Some((*to, line.poll_timeout()?)))
    }

    /// Forgets how much went to peers long ago.
    pub(super) fn forget(&mut self, now: Time) {
        self.lines.retain(|_, line| {
            line.forget_idle(now);
            !line.is_idle(now)
        });
    }
}

impl Returning {
    fn bytes(&self) -> usize {
        self.finding.bytes.len() + ENTRY_BYTES
    }
}

/// The bytes a second of replies that are handed on to one peer, and as many at once as its session
/// takes without waiting.
const PASSED: Rate = Rate::per_second(8 * 1024 * 1024, Duration::from_millis(32));

/// What one counts at least: so many are checked in a second because of one peer, with as many
/// questions again.
const LEAST: usize = 8 * 1024;
