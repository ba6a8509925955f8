//! Messages of peers that were not processed yet. Each peer gets a fair share of the processing
//! time, and none more than an honest peer could need.
//!
//! To process a message may take a thousand times as long as to send it: each log and each channel
//! in it is looked up. So work is counted, not messages or bytes. Peers take turns by fair queueing
//! (`bounds/fair`): one that says little is heard at once, however much others say. And none causes
//! more than a rate of work.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    bounds::{Account, Budget, ENTRY_BYTES, Payer, Rate, TokenBucket, Turns, VirtualTime},
    wire::{Sender, SyncMessage, Time},
};

/// Messages that wait to be processed. The driver reads no further message of a peer while one
/// [waits](Self::waits); so the rest waits with the peer, and nothing is dropped.
#[derive(Debug)]
pub struct Inbox {
    peers: BTreeMap<Sender, Waiting>,
    /// The peers of which something waits.
    waiting: usize,
    time: VirtualTime,
    budget: Budget,
}

/// What waits of one peer.
#[derive(Debug)]
struct Waiting {
    waiting: VecDeque<Bytes>,
    turns: Turns,
    taken: TokenBucket,
    account: Account,
}

impl Inbox {
    /// An inbox whose messages are charged to the peers that sent them.
    pub fn new(budget: Budget) -> Self {
        Self {
            peers: BTreeMap::new(),
            waiting: 0,
            time: VirtualTime::default(),
            budget,
        }
    }

    /// A message of a peer came. `false` if the peer has its share of the budget already: the
    /// message is dropped, so the link has to be closed. One message may always wait, whatever the
    /// share is: it is processed before another is read.
    #[must_use]
    pub fn push(&mut self, peer: Sender, message: Bytes) -> bool {
        self.entry(peer);
        let Some(entry) = self.peers.get_mut(&peer) else {
            return false;
        };
        let (is_first, cost) = (entry.waiting.is_empty(), charged(&message));
        if is_first {
            self.time.arrive(&mut entry.turns);
            entry.account.charge(cost);
        } else if !entry.account.try_charge(cost) {
            return false;
        }
        entry.waiting.push_back(message);
        self.waiting += usize::from(is_first);
        true
    }

    /// The next message to process now, and its peer. Report its work with [`Self::charge`].
    pub fn pop(&mut self, now: Time) -> Option<(Sender, Bytes)> {
        if self.waiting == 0 {
            return None;
        }
        let ready = self.peers.iter_mut();
        let ready =
            ready.filter(|(_, entry)| !entry.waiting.is_empty() && entry.taken.is_due(RATE, now));
        let (peer, entry) = ready.min_by_key(|(_, entry)| entry.turns.end())?;
        self.time.serve(entry.turns);
        let message = entry.waiting.pop_front()?;
        entry.account.release(charged(&message));
        self.waiting -= usize::from(entry.waiting.is_empty());
        Some((*peer, message))
    }

    /// A peer caused so much [work](SyncMessage::cost).
    pub fn charge(&mut self, peer: Sender, cost: usize, now: Time) {
        let entry = self.entry(peer);
        entry.turns.charge(cost);
        entry.taken.take(cost, RATE, now);
    }

    /// Whether a message of the peer waits.
    pub fn waits(&self, peer: Sender) -> bool {
        self.peers
            .get(&peer)
            .is_some_and(|entry| !entry.waiting.is_empty())
    }

    /// Takes out what waits of a peer whose link is closed. Its debt stays, so coming back does not
    /// help.
    pub fn take(&mut self, peer: Sender) -> impl Iterator<Item = Bytes> + use<> {
        let entry = self.peers.get_mut(&peer);
        let taken = entry.map(Waiting::take).unwrap_or_default();
        self.waiting -= usize::from(!taken.is_empty());
        taken.into_iter()
    }

    /// Forgets peers without debt; call it about every second.
    pub fn handle_timeout(&mut self, now: Time) {
        self.peers
            .retain(|_, entry| !entry.waiting.is_empty() || !entry.taken.is_full(now));
    }

    /// When a message can be [processed](Self::pop) next.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.waiting == 0 {
            return None;
        }
        let waiting = self
            .peers
            .values()
            .filter(|entry| !entry.waiting.is_empty());
        let due = waiting.map(|entry| entry.taken.due(RATE)).min()?;
        Some(due.unwrap_or(Time::ZERO))
    }

    fn entry(&mut self, peer: Sender) -> &mut Waiting {
        self.peers.entry(peer).or_insert_with(|| Waiting {
            waiting: VecDeque::new(),
            turns: Turns::default(),
            taken: TokenBucket::default(),
            account: self.budget.account(Payer::from(peer)),
        })
    }
}

impl Waiting {
    fn take(&mut self) -> VecDeque<Bytes> {
        self.account.release(self.waiting.iter().map(charged).sum());
        std::mem::take(&mut self.waiting)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.peers.values_mut().for_each(|entry| drop(entry.take()));
    }
}

/// What a waiting message is charged.
fn charged(message: &Bytes) -> usize {
    message.len() + ENTRY_BYTES
}

impl SyncMessage {
    /// The work of processing this message of so many bytes: one unit for each thing it names,
    /// which takes some 10 µs to look up or 30 to verify, and one for each KiB.
    pub fn cost(&self, bytes: usize) -> usize {
        let named = match self {
            Self::Members(members) => members.len(),
            Self::Ping(_) | Self::Pong(_) | Self::Want(_) | Self::Leaving => 0,
            Self::Presence(message) => message.named(),
            Self::Open(opened) => opened.len(),
            Self::Close(channels) => channels.len(),
            Self::Have(holdings) => holdings.iter().map(|of| 1 + of.logs.len()).sum(),
            Self::Frames(frames) => frames.frames.len(),
            Self::Ask(message) if message.is_short() => 0,
            Self::Ask(_) => ASK_COST,
        };
        named + Self::cost_unread(bytes)
    }

    /// The work of decoding so many bytes.
    pub const fn cost_unread(bytes: usize) -> usize {
        1 + bytes / 1024
    }
}

/// What a question or an answer costs: it wakes a task of the application.
const ASK_COST: usize = 16;

/// How many units of work a peer may cause in a second. An honest peer tells of a frame at most
/// twice: when it arrived, and when it tells what changed. A node that does nothing but check
/// signatures takes in half as many frames. The burst is five times what ten senders on 5,000
/// channels take, and one and a half times what ten take on as many channels as a peer may open.
const RATE: Rate = Rate::per_second(65_536, Duration::from_secs(4));

#[cfg(test)]
mod tests;
