//! What gossip gave to peers and is not written yet, bounded in bytes, and charged to the peer.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use libp2p::PeerId;
use meshcast_proto::{Account, Budget, ENTRY_BYTES, Frame, Time};

use super::{
    settings::{QUEUE_BYTES, QUEUE_FRAMES},
    written::{Count, Written},
};
use crate::ids::payer;

/// What waits in gossipsub's queues. A peer for whose next frame there is no room is *held*: it is
/// given nothing until half of what waited is written, or its share has room for as much again.
#[derive(Debug, Default)]
pub(super) struct Outflow {
    written: Written,
    budget: Budget,
    peers: BTreeMap<PeerId, Queue>,
    /// Those of them that are held: what each poll looks at.
    held: BTreeSet<PeerId>,
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
    /// How often it was looked at.
    #[cfg(test)]
    looks: usize,
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
        self.held.contains(peer)
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
        queue.settle(&self.written, peer);
        let given = queue.push(len + ENTRY_BYTES);
        match queue.held {
            Some(_) => self.held.insert(*peer),
            None => self.held.remove(peer),
        };
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
        let (peers, written) = (&mut self.peers, &self.written);
        self.held.retain(|peer| {
            let queue = peers.get_mut(peer);
            queue.is_some_and(|queue| {
                queue.settle(written, peer);
                queue.held.is_some()
            })
        });
    }

    /// Gives back what is written by now. Returns the peers that are held and have taken nothing
    /// for [`DEAF_FOR`]. To be called every second or so.
    pub(super) fn settle(&mut self, now: Time) -> Vec<PeerId> {
        let mut deaf = Vec::new();
        for (peer, queue) in &mut self.peers {
            queue.settle(&self.written, peer);
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
        self.peers.remove(peer);
        self.held.remove(peer);
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
            #[cfg(test)]
            looks: 0,
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
    fn settle(&mut self, all: &Written, peer: &PeerId) {
        #[cfg(test)]
        {
            self.looks += 1;
        }
        // Before: what the last connection writes until then counts.
        let is_over = self.written.is_over();
        self.settle_by_count();
        // By the next connection the same queue is written, and counted anew.
        if is_over
            && let Some(next) = all.to(peer)
            && !Arc::ptr_eq(&next, &self.written)
        {
            (self.written, self.done) = (next, self.dropped);
            self.settle_by_count();
        }
        // Of a few frames each may be one for which nothing is ever written. Where the reason was
        // its share, room for as much again does as well.
        let is_little = self.given.len() < QUEUE_FRAMES / 2 && self.bytes < QUEUE_BYTES / 2;
        let has_room = || is_little && self.account.has_room(self.bytes.max(LONGEST));
        if self
            .held
            .is_some_and(|before| self.bytes <= before / 2 || has_room())
        {
            self.held = None;
            self.stuck = None;
        }
    }

    fn settle_by_count(&mut self) {
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

/// What the longest frame costs: who has room for that has room for the next.
const LONGEST: usize = Frame::MAX_LEN + ENTRY_BYTES;

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
        assert_eq!((budget.used(), outflow.held.len()), (0, 0));
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

    /// The last connection but one ends after the next was made: the peer is never gone.
    #[test]
    fn what_the_next_connection_writes_is_counted_also_if_it_was_there_before_the_last_was_gone() {
        for is_held in [true, false] {
            let (mut outflow, peer, count, budget) = outflow();
            assert!(outflow.give(&peer, LEN) && outflow.give(&peer, LEN));
            count.add(1, LEN as u64);
            outflow.written.end(&peer);
            drop(count);
            let next = outflow.written.watched(peer);
            let mut given = 2;
            if is_held {
                next.add(1, LEN as u64);
                given += fill(&mut outflow, &peer, LEN);
            }
            next.add(given as u64 - 2, (LEN * given) as u64);
            if !is_held {
                next.add(1, LEN as u64);
            }
            outflow.look();
            assert!(!outflow.holds(&peer));
            outflow.settle(at(0));
            assert_eq!(budget.used(), 0, "{is_held}");
            assert!(outflow.give(&peer, LEN));
            outflow.settle(at(1));
            assert_eq!(budget.used(), LEN + ENTRY_BYTES);
            next.add(1, LEN as u64);
            outflow.settle(at(2));
            assert_eq!(budget.used(), 0);
        }
    }

    /// gossipsub had no room for one that was counted, so that nothing is ever written.
    #[test]
    fn who_is_held_for_want_of_a_share_is_given_frames_again_when_it_has_one() {
        let (mut outflow, peer, _, budget) = outflow();
        let others = budget.account(payer(&PeerId::random()));
        let rest = budget.limit() - budget.used();
        others.charge(rest);
        assert!(outflow.give(&peer, LEN) && !outflow.give(&peer, 1));
        outflow.look();
        assert!(outflow.holds(&peer), "there is no room");
        others.release(rest);
        outflow.look();
        assert!(!outflow.holds(&peer));
        let more = fill(&mut outflow, &peer, LEN);
        assert!(more > 100, "{more}");
        outflow.look();
        assert!(outflow.holds(&peer), "half of it is to be written first");
    }

    #[test]
    fn one_that_is_held_costs_no_look_at_all_others() {
        let (mut outflow, peer, count, _) = outflow();
        let others: Vec<_> = (0..200).map(|_| PeerId::random()).collect();
        for other in &others {
            outflow.written.watched(*other).add(0, 0);
            assert!(outflow.give(other, LEN));
        }
        let all = fill(&mut outflow, &peer, LEN);
        let looks = |outflow: &Outflow| -> usize {
            let queues = others.iter().filter_map(|other| outflow.peers.get(other));
            queues.map(|queue| queue.looks).sum()
        };
        let before = looks(&outflow);
        (0..1_000).for_each(|_| outflow.look());
        assert_eq!(looks(&outflow), before);
        count.add(all as u64, 0);
        outflow.look();
        assert!(!outflow.holds(&peer));
        outflow.settle(at(0));
        assert_eq!(looks(&outflow), before + others.len());
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
