//! What gossip gave to peers and is not written yet, bounded in bytes, and charged to the peer.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use libp2p::PeerId;
use meshcast_proto::{Account, Budget, ENTRY_BYTES, Time};

use super::{
    settings::{QUEUE_BYTES, QUEUE_FRAMES},
    written::{Count, Written},
};
use crate::ids::payer;

/// What waits in gossipsub's queues. A peer for whose next frame there is no room is *held*: it is
/// given nothing until half of what waited is written.
#[derive(Debug, Default)]
pub(super) struct Outflow {
    written: Written,
    budget: Budget,
    peers: BTreeMap<PeerId, Queue>,
    /// How many of them are held.
    held: usize,
    /// How many frames were not given to whom, that was not told yet.
    skipped: BTreeMap<PeerId, usize>,
}

/// What waits for a peer.
#[derive(Debug)]
struct Queue {
    written: Arc<Count>,
    /// What each frame is charged with, the oldest first.
    given: VecDeque<usize>,
    bytes: usize,
    /// Up to which of those that were ever written [`Self::given`] is cut.
    done: u64,
    /// Frames that gossipsub dropped, since they were too old when it was their turn.
    dropped: u64,
    account: Account,
    /// What waited when there was no room, while it is held.
    held: Option<usize>,
    /// That nothing is written while it is held.
    stuck: Option<Stuck>,
}

#[derive(Debug, Clone, Copy)]
struct Stuck {
    /// How much was written by then.
    written: u64,
    since: Time,
    /// How often it was found so. A node that stood still has not looked meanwhile.
    looks: u32,
}

impl Outflow {
    /// From now on what waits is charged to this budget.
    pub(super) fn charge_to(&mut self, budget: Budget) {
        self.budget = budget;
    }

    pub(super) const fn written(&self) -> &Written {
        &self.written
    }

    /// Whether a peer is given nothing, since what it was given waits.
    pub(super) fn holds(&self, peer: &PeerId) -> bool {
        self.held > 0 && self.peers.get(peer).is_some_and(|it| it.held.is_some())
    }

    /// A frame of so many bytes is given to a peer. `false` if there is no room: then it must not
    /// be.
    pub(super) fn give(&mut self, peer: &PeerId, len: usize) -> bool {
        let queue = match self.peers.get_mut(peer) {
            Some(queue) => queue,
            None => {
                // Without a connection that is watched nothing would ever be written.
                let Some(written) = self.written.to(peer) else {
                    return true;
                };
                let queue = Queue::new(written, self.budget.account(payer(peer)));
                self.peers.entry(*peer).or_insert(queue)
            }
        };
        let was_held = queue.held.is_some();
        queue.settle();
        let given = queue.push(len + ENTRY_BYTES);
        self.held -= usize::from(was_held);
        self.held += usize::from(queue.held.is_some());
        if !given {
            *self.skipped.entry(*peer).or_default() += 1;
        }
        given
    }

    /// The frame that was given last was given to nobody.
    pub(super) fn take_back(&mut self, peer: &PeerId) {
        if let Some(queue) = self.peers.get_mut(peer)
            && let Some(cost) = queue.given.pop_back()
        {
            queue.release(cost);
        }
    }

    /// gossipsub dropped the frame that was the next.
    pub(super) fn drop_next(&mut self, peer: &PeerId) {
        if let Some(queue) = self.peers.get_mut(peer) {
            queue.dropped += 1;
        }
    }

    /// Looks who of those that are held has room again.
    pub(super) fn look(&mut self) {
        if self.held > 0 {
            self.peers.values_mut().for_each(Queue::settle);
            let held = self.peers.values().filter(|queue| queue.held.is_some());
            self.held = held.count();
        }
    }

    /// Gives back what is written by now. Returns the peers that are held and have taken nothing
    /// for [`DEAF_FOR`]. To be called every second or so.
    pub(super) fn settle(&mut self, now: Time) -> Vec<PeerId> {
        let mut deaf = Vec::new();
        for (peer, queue) in &mut self.peers {
            queue.settle();
            if queue.is_deaf(now) {
                deaf.push(*peer);
            }
        }
        self.look();
        deaf
    }

    /// Who was not given how many frames since this was last asked.
    pub(super) fn take_skipped(&mut self) -> BTreeMap<PeerId, usize> {
        std::mem::take(&mut self.skipped)
    }

    /// A peer is connected no more: its queue is gone.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        if let Some(queue) = self.peers.remove(peer) {
            self.held -= usize::from(queue.held.is_some());
        }
        self.skipped.remove(peer);
    }
}

impl Queue {
    fn new(written: Arc<Count>, account: Account) -> Self {
        Self {
            done: written.frames(),
            written,
            given: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            account,
            held: None,
            stuck: None,
        }
    }

    /// One frame has room whatever that is: a peer that has no share left gets them one by one.
    fn push(&mut self, cost: usize) -> bool {
        if self.held.is_some() {
            return false;
        }
        let is_first = self.given.is_empty();
        let fits = self.given.len() < QUEUE_FRAMES && self.bytes + cost <= QUEUE_BYTES;
        if is_first {
            self.account.charge(cost);
        } else if !fits || !self.account.try_charge(cost) {
            self.held = Some(self.bytes);
            return false;
        }
        self.given.push_back(cost);
        self.bytes += cost;
        true
    }

    /// Gives back what is written or dropped by now.
    fn settle(&mut self) {
        let done = self.written.frames() + self.dropped;
        while self.done < done
            && let Some(cost) = self.given.pop_front()
        {
            self.done += 1;
            self.release(cost);
        }
        if self.given.is_empty() {
            // What a connection of before had begun may have come on top.
            self.done = done;
        }
        if self.held.is_some_and(|before| self.bytes <= before / 2) {
            self.held = None;
            self.stuck = None;
        }
    }

    fn release(&mut self, cost: usize) {
        self.bytes -= cost;
        self.account.release(cost);
    }

    fn is_deaf(&mut self, now: Time) -> bool {
        let written = self.written.bytes();
        if self.held.is_none() {
            self.stuck = None;
            return false;
        }
        let new = Stuck {
            written,
            since: now,
            looks: 0,
        };
        let stuck = self.stuck.get_or_insert(new);
        if stuck.written != written {
            *stuck = new;
        }
        stuck.looks += 1;
        stuck.since + DEAF_FOR <= now && stuck.looks > DEAF_LOOKS
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}

/// For how long a peer that is held may take nothing. Its connection takes more only when half of a
/// window was read, which may be 6 MiB, and takes that long at 1 Mbit/s; one that is dead is given
/// up after 4 s. What waits meanwhile is bounded, and charged to the peer.
const DEAF_FOR: Duration = Duration::from_secs(60);

/// And at how many looks: those of 2 s.
const DEAF_LOOKS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 256 * 1024;

    fn outflow() -> (Outflow, PeerId, Arc<Count>, Budget) {
        let (mut outflow, peer) = (Outflow::default(), PeerId::random());
        let (count, budget) = (outflow.written.watched(peer), Budget::default());
        outflow.charge_to(budget.clone());
        (outflow, peer, count, budget)
    }

    fn fill(outflow: &mut Outflow, peer: &PeerId, len: usize) -> usize {
        (0..).take_while(|_| outflow.give(peer, len)).count()
    }

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn what_waits_for_a_peer_is_bounded_in_bytes_and_frames_and_charged_until_it_is_written() {
        let (mut outflow, peer, count, budget) = outflow();
        let large = fill(&mut outflow, &peer, LEN);
        assert_eq!(large, QUEUE_BYTES / (LEN + ENTRY_BYTES));
        assert_eq!(budget.used(), large * (LEN + ENTRY_BYTES));
        assert!(outflow.holds(&peer));
        count.add(large as u64, 0);
        outflow.settle(at(0));
        assert_eq!(budget.used(), 0);
        assert_eq!(fill(&mut outflow, &peer, 10), QUEUE_FRAMES);
        outflow.forget(&peer);
        assert_eq!((budget.used(), outflow.held), (0, 0));
    }

    #[test]
    fn who_is_held_is_given_nothing_until_half_is_written_and_that_is_told() {
        let (mut outflow, peer, count, _) = outflow();
        let all = fill(&mut outflow, &peer, LEN) as u64;
        count.add(all.div_ceil(2) - 1, 0);
        outflow.look();
        assert!(outflow.holds(&peer) && !outflow.give(&peer, 1));
        assert_eq!(outflow.take_skipped(), BTreeMap::from([(peer, 2)]));
        count.add(1, 0);
        outflow.look();
        assert!(!outflow.holds(&peer) && outflow.give(&peer, LEN));
        assert!(outflow.take_skipped().is_empty());
    }

    #[test]
    fn what_was_given_to_nobody_or_dropped_does_not_wait() {
        let (mut outflow, peer, count, budget) = outflow();
        assert!(outflow.give(&peer, 100) && outflow.give(&peer, 200));
        outflow.take_back(&peer);
        assert_eq!(budget.used(), 100 + ENTRY_BYTES);
        outflow.drop_next(&peer);
        outflow.settle(at(0));
        assert_eq!(budget.used(), 0);
        // Somebody else's end of a frame does not count for the next.
        count.add(1, 0);
        outflow.settle(at(1));
        assert!(outflow.give(&peer, 100));
        outflow.settle(at(2));
        assert_eq!(budget.used(), 100 + ENTRY_BYTES);
    }

    #[test]
    fn a_peer_takes_no_more_than_its_share_and_one_frame_without_any() {
        let (mut outflow, peer, _, _) = outflow();
        let budget = Budget::new(1024 * 1024);
        outflow.charge_to(budget.clone());
        fill(&mut outflow, &peer, 1024);
        assert!(budget.used() < 512 * 1024);
        let other = PeerId::random();
        outflow.written.watched(other);
        while budget.try_charge(payer(&other), 1024) {}
        assert!(outflow.give(&other, LEN));
        assert!(!outflow.give(&other, 1));
    }

    #[test]
    fn nobody_is_deaf_for_a_time_in_which_this_node_stood_still() {
        let (mut outflow, peer, count, _) = outflow();
        fill(&mut outflow, &peer, LEN);
        assert!(outflow.settle(at(0)).is_empty());
        assert!(outflow.settle(at(3600)).is_empty());
        count.add(0, 1);
        assert!((3601..3606).all(|n| outflow.settle(at(n)).is_empty()));
    }

    #[test]
    fn deaf_is_who_is_held_and_takes_nothing_for_a_minute() {
        let (mut outflow, peer, count, _) = outflow();
        assert!(outflow.give(&peer, 1));
        assert!((0..99).all(|n| outflow.settle(at(n)).is_empty()), "little");
        fill(&mut outflow, &peer, LEN);
        assert!((100..150).all(|n| outflow.settle(at(n)).is_empty()));
        count.add(0, 1);
        assert!((150..210).all(|n| outflow.settle(at(n)).is_empty()));
        assert_eq!(outflow.settle(at(210)), [peer]);
    }
}
