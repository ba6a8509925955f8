//! What neighbours said and this node has not taken in yet: each has a fair share of the work that
//! this makes, and none more than an honest neighbour could need.
//!
//! What is said costs what it takes to take it in, which may be a thousand times what it takes to
//! say it: each log told, each channel opened. So that is counted, not messages or bytes. Next is
//! always whoever made least work lately (fair queueing by a token bucket of each, as requests are
//! [served](crate::serving)): one that says a little is heard at once, whatever many others say.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    bounds::{Account, Budget, ENTRY_BYTES, Payer, Rate, TokenBucket},
    wire::{Sender, SyncMessage, Time},
};

/// Messages that wait to be taken in. Whoever drives the engine reads no more of a neighbour for
/// which one [waits](Self::waits): the rest waits with the neighbour, and nothing is dropped.
#[derive(Debug)]
pub struct Inbox {
    peers: BTreeMap<Sender, Said>,
    /// Neighbours for which something waits.
    waiting: usize,
    budget: Budget,
}

/// What one neighbour said.
#[derive(Debug)]
struct Said {
    waiting: VecDeque<Bytes>,
    taken: TokenBucket,
    account: Account,
}

impl Inbox {
    /// An inbox in which what waits is charged to whoever said it.
    pub fn new(budget: Budget) -> Self {
        Self {
            peers: BTreeMap::new(),
            waiting: 0,
            budget,
        }
    }

    /// A neighbour said something. `false` if it takes its share of the budget already: the message
    /// is dropped, and so the link to the neighbour has to be closed. One message may wait whatever
    /// its share is: it is taken in before another is read.
    #[must_use]
    pub fn push(&mut self, peer: Sender, message: Bytes) -> bool {
        let said = self.said(peer);
        let (is_first, cost) = (said.waiting.is_empty(), charged(&message));
        if is_first {
            said.account.charge(cost);
        } else if !said.account.try_charge(cost) {
            return false;
        }
        said.waiting.push_back(message);
        self.waiting += usize::from(is_first);
        true
    }

    /// The next message to be taken in now, and who said it. Say what it cost with
    /// [`Self::charge`].
    pub fn pop(&mut self, now: Time) -> Option<(Sender, Bytes)> {
        if self.waiting == 0 {
            return None;
        }
        let ready = self.peers.iter_mut();
        let ready =
            ready.filter(|(_, said)| !said.waiting.is_empty() && said.taken.is_due(RATE, now));
        let (peer, said) = ready.min_by_key(|(_, said)| said.taken)?;
        let message = said.waiting.pop_front()?;
        said.account.release(charged(&message));
        self.waiting -= usize::from(said.waiting.is_empty());
        Some((*peer, message))
    }

    /// A neighbour made so much [work](SyncMessage::cost).
    pub fn charge(&mut self, peer: Sender, cost: usize, now: Time) {
        self.said(peer).taken.take(cost, RATE, now);
    }

    /// Whether something of a neighbour waits.
    pub fn waits(&self, peer: Sender) -> bool {
        self.peers
            .get(&peer)
            .is_some_and(|said| !said.waiting.is_empty())
    }

    /// All that waits of a neighbour whose link is closed. What it owes stays: to come back does
    /// not help.
    pub fn take(&mut self, peer: Sender) -> impl Iterator<Item = Bytes> + use<> {
        let said = self.peers.get_mut(&peer);
        let taken = said.map(Said::take).unwrap_or_default();
        self.waiting -= usize::from(!taken.is_empty());
        taken.into_iter()
    }

    /// Forgets who owes nothing; call it every second or so.
    pub fn handle_timeout(&mut self, now: Time) {
        self.peers
            .retain(|_, said| !said.waiting.is_empty() || !said.taken.is_full(now));
    }

    /// When there will be something to [take in](Self::pop).
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.waiting == 0 {
            return None;
        }
        let waiting = self.peers.values().filter(|said| !said.waiting.is_empty());
        let due = waiting.map(|said| said.taken.due(RATE)).min()?;
        Some(due.unwrap_or(Time::ZERO))
    }

    fn said(&mut self, peer: Sender) -> &mut Said {
        self.peers.entry(peer).or_insert_with(|| Said {
            waiting: VecDeque::new(),
            taken: TokenBucket::default(),
            account: self.budget.account(Payer::from(peer)),
        })
    }
}

impl Said {
    fn take(&mut self) -> VecDeque<Bytes> {
        self.account.release(self.waiting.iter().map(charged).sum());
        std::mem::take(&mut self.waiting)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.peers.values_mut().for_each(|said| drop(said.take()));
    }
}

/// What a message that waits is charged.
fn charged(message: &Bytes) -> usize {
    message.len() + ENTRY_BYTES
}

impl SyncMessage {
    /// What it costs to take this in, of so many bytes: one for each thing that is named, which is
    /// looked up and written down at some 10 µs, or checked at 30; and for each KiB.
    pub fn cost(&self, bytes: usize) -> usize {
        let named = match self {
            Self::Members(members) => members.len(),
            Self::Ping(_) | Self::Pong(_) | Self::Want(_) => 0,
            Self::Open(opened) => opened.len(),
            Self::Close(channels) => channels.len(),
            Self::Have(holdings) => holdings.iter().map(|of| 1 + of.logs.len()).sum(),
            Self::Frames(frames) => frames.frames.len(),
        };
        named + Self::cost_unread(bytes)
    }

    /// What it costs to find out what so many bytes say.
    pub const fn cost_unread(bytes: usize) -> usize {
        1 + bytes / 1024
    }
}

/// How much a neighbour may make a second, in the long run. An honest one tells of a frame at most
/// twice: that it arrived, and with what else changed. A node that does nothing but check
/// signatures takes in half as many frames as this. And how much at once: ten nodes on 5,000
/// channels are told of in a fifth of it, and ten on as many channels as a neighbour may have open
/// in two thirds.
const RATE: Rate = Rate {
    per_second: 65_536,
    burst: Duration::from_secs(4),
};

#[cfg(test)]
mod tests;
