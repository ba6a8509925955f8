//! Messages of peers that were not processed yet. Each peer gets a fair share of the processing
//! time, and none more than an honest peer could need.
//!
//! To process a message may take a thousand times as long as to send it: each log and each channel
//! in it is looked up. So work is counted, not messages or bytes. The next message is always of the
//! peer that caused least work lately (fair queueing by token buckets, as in
//! [serving](super::serving)). A peer that says little is heard at once, however much others say.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    bounds::{Account, Budget, ENTRY_BYTES, Payer, Rate, TokenBucket},
    wire::{Sender, SyncMessage, Time},
};

/// Messages that wait to be processed. The driver reads no further message of a peer while one
/// [waits](Self::waits); so the rest waits with the peer, and nothing is dropped.
#[derive(Debug)]
pub struct Inbox {
    peers: BTreeMap<Sender, Waiting>,
    /// The peers of which something waits.
    waiting: usize,
    budget: Budget,
}

/// What waits of one peer.
#[derive(Debug)]
struct Waiting {
    waiting: VecDeque<Bytes>,
    taken: TokenBucket,
    account: Account,
}

impl Inbox {
    /// An inbox whose messages are charged to the peers that sent them.
    pub fn new(budget: Budget) -> Self {
        Self {
            peers: BTreeMap::new(),
            waiting: 0,
            budget,
        }
    }

    /// A message of a peer came. `false` if the peer has its share of the budget already: the
    /// message is dropped, so the link has to be closed. One message may always wait, whatever the
    /// share is: it is processed before another is read.
    #[must_use]
    pub fn push(&mut self, peer: Sender, message: Bytes) -> bool {
        let entry = self.entry(peer);
        let (is_first, cost) = (entry.waiting.is_empty(), charged(&message));
        if is_first {
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
        let (peer, entry) = ready.min_by_key(|(_, entry)| entry.taken)?;
        let message = entry.waiting.pop_front()?;
        entry.account.release(charged(&message));
        self.waiting -= usize::from(entry.waiting.is_empty());
        Some((*peer, message))
    }

    /// A peer caused so much [work](SyncMessage::cost).
    pub fn charge(&mut self, peer: Sender, cost: usize, now: Time) {
        self.entry(peer).taken.take(cost, RATE, now);
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
            Self::Ping(_) | Self::Pong(_) | Self::Want(_) => 0,
            Self::Open(opened) => opened.len(),
            Self::Close(channels) => channels.len(),
            Self::Have(holdings) => holdings.iter().map(|of| 1 + of.logs.len()).sum(),
            Self::Frames(frames) => frames.frames.len(),
        };
        named + Self::cost_unread(bytes)
    }

    /// The work of decoding so many bytes.
    pub const fn cost_unread(bytes: usize) -> usize {
        1 + bytes / 1024
    }
}

/// How many units of work a peer may cause in a second. An honest peer tells of a frame at most
/// twice: when it arrived, and when it tells what changed. A node that does nothing but check
/// signatures takes in half as many frames. The burst is five times what ten senders on 5,000
/// channels take, and one and a half times what ten take on as many channels as a peer may open.
const RATE: Rate = Rate::per_second(65_536, Duration::from_secs(4));

#[cfg(test)]
mod tests;
