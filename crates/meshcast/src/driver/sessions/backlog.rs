//! Messages that wait to be said to a peer, or to be heard of it.

use std::collections::VecDeque;

use bytes::Bytes;
use libp2p::PeerId;
use meshcast_proto::{Account, Budget, ENTRY_BYTES};

use crate::ids::payer;

/// Messages that wait for room on a session, or for the session, in order. The peer is charged with
/// them.
#[derive(Debug)]
pub(super) struct Backlog {
    messages: VecDeque<Bytes>,
    /// With what each entry takes besides: of many short messages that is most.
    bytes: usize,
    account: Account,
}

impl Backlog {
    pub(super) fn new(budget: &Budget, peer: &PeerId) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            account: budget.account(payer(peer)),
        }
    }

    /// Keeps a message. `false` if there is too much of them, for one peer or for all that is
    /// charged to it. The first is kept whatever that is: a peer that has no share left is not let
    /// go for what it is told before it can read.
    pub(super) fn push(&mut self, message: Bytes) -> bool {
        let cost = message.len() + ENTRY_BYTES;
        let is_first = self.messages.is_empty();
        let fits = self.bytes + cost <= MAX_BACKLOG && (is_first || self.account.try_charge(cost));
        if is_first && fits {
            self.account.charge(cost);
        }
        if fits {
            self.bytes += cost;
            self.messages.push_back(message);
        }
        fits
    }

    pub(super) fn into_messages(mut self) -> VecDeque<Bytes> {
        std::mem::take(&mut self.messages)
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}

/// The most that may wait for a peer that does not read, beside the queue of its session, each
/// message with its overhead. Three answers of 256 KiB and what is told of ten thousand channels
/// are less than half of it. And what it may say before there is a session to answer on.
const MAX_BACKLOG: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_without_a_byte_fill_a_backlog_as_well() {
        let budget = Budget::new(64 * 1024 * 1024);
        let mut backlog = Backlog::new(&budget, &PeerId::random());
        let count = (0..).take_while(|_| backlog.push(Bytes::new())).count();
        assert_eq!(count, MAX_BACKLOG / ENTRY_BYTES);
        assert_eq!(budget.used(), MAX_BACKLOG);
        assert_eq!(backlog.into_messages().len(), count);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_backlog_takes_no_more_than_the_share_of_its_peer() {
        let budget = Budget::new(1024 * 1024);
        let mut backlog = Backlog::new(&budget, &PeerId::random());
        while backlog.push(Bytes::from(vec![7; 1024])) {}
        assert!(backlog.bytes < 512 * 1024);
        drop(backlog);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn one_message_waits_also_for_a_peer_that_has_no_share_left() {
        let (budget, peer) = (Budget::new(1024 * 1024), PeerId::random());
        while budget.try_charge(payer(&peer), 1024) {}
        let mut backlog = Backlog::new(&budget, &peer);
        assert!(backlog.push(Bytes::from(vec![7; 100 * 1024])));
        assert!(!backlog.push(Bytes::from(vec![7; 100 * 1024])));
        drop(backlog);
        assert!(budget.used() <= 1024 * 1024);
    }
}
