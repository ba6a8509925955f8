//! Messages of peers that were not processed yet. Each peer gets a fair share of the processing
//! time, and none more than an honest peer could need.
//!
//! To process a message may take a thousand times as long as to send it: each log and each channel
//! in it is looked up. So work is counted, not messages or bytes. Peers take turns by fair queueing
//! (`bounds/fair`): one that says little is heard at once, however much others say. And none causes
//! more than a rate of work.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{
    bounds::{Account, Budget, ENTRY_BYTES, FairQueue, Payer, Rate, Waits},
    wire::{Sender, SyncMessage, Time},
};

/// Messages that wait to be processed. The driver reads no further message of a peer while one
/// [waits](Self::waits); so the rest waits with the peer, and nothing is dropped.
#[derive(Debug)]
pub struct Inbox {
    peers: FairQueue<Sender, Waiting>,
    budget: Budget,
}

/// What waits of one peer.
#[derive(Debug)]
struct Waiting {
    messages: VecDeque<Bytes>,
    account: Account,
}

impl Inbox {
    /// An inbox whose messages are charged to the peers that sent them.
    pub fn new(budget: Budget) -> Self {
        Self {
            peers: FairQueue::new(RATE, None),
            budget,
        }
    }

    /// A message of a peer came. `false` if the peer has its share of the budget already: the
    /// message is dropped, so the link has to be closed. One message may always wait, whatever the
    /// share is: it is processed before another is read.
    #[must_use]
    pub fn push(&mut self, peer: Sender, message: Bytes) -> bool {
        self.ensure(peer);
        let pushed = self.peers.change(peer, |waiting| waiting.push(message));
        pushed.unwrap_or_default()
    }

    /// The next message to process now, and its peer. Report its work with [`Self::charge`].
    pub fn pop(&mut self, now: Time) -> Option<(Sender, Bytes)> {
        let (peer, message) = self.peers.next(now, Waiting::pop)?;
        Some((peer, message?))
    }

    /// A peer caused so much [work](SyncMessage::cost).
    pub fn charge(&mut self, peer: Sender, cost: usize, now: Time) {
        self.ensure(peer);
        self.peers.charge(peer, cost, now);
    }

    /// Whether a message of the peer waits.
    pub fn waits(&self, peer: Sender) -> bool {
        self.peers.get(peer).is_some_and(Waits::waits)
    }

    /// Takes out what waits of a peer whose link is closed. Its debt stays, so coming back does not
    /// help.
    pub fn take(&mut self, peer: Sender) -> impl Iterator<Item = Bytes> + use<> {
        let taken = self.peers.change(peer, Waiting::take);
        taken.unwrap_or_default().into_iter()
    }

    /// Forgets peers without debt; call it about every second.
    pub fn handle_timeout(&mut self, now: Time) {
        self.peers.forget_idle(now);
    }

    /// When a message can be [processed](Self::pop) next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.peers.poll_timeout()
    }

    fn ensure(&mut self, peer: Sender) {
        self.peers.ensure(peer, || Waiting {
            messages: VecDeque::new(),
            account: self.budget.account(Payer::from(peer)),
        });
    }
}

impl Waiting {
    fn push(&mut self, message: Bytes) -> bool {
        let cost = charged(&message);
        if self.messages.is_empty() {
            self.account.charge(cost);
        } else if !self.account.try_charge(cost) {
            return false;
        }
        self.messages.push_back(message);
        true
    }

    fn pop(&mut self) -> Option<Bytes> {
        let message = self.messages.pop_front()?;
        self.account.release(charged(&message));
        Some(message)
    }

    fn take(&mut self) -> VecDeque<Bytes> {
        self.account
            .release(self.messages.iter().map(charged).sum());
        std::mem::take(&mut self.messages)
    }
}

impl Waits for Waiting {
    fn waits(&self) -> bool {
        !self.messages.is_empty()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.peers.change_all(|waiting| drop(waiting.take()));
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
