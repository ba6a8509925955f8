//! The frames that wait for a peer, bounded in bytes and charged to the peer.
//!
//! All connections of a peer share one queue, and one of them at a time writes what is in it, so
//! that frames stay in order. When that one breaks, another goes on.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use libp2p::swarm::ConnectionId;
use meshcast_proto::{Account, ENTRY_BYTES, Frame, Time};

use super::topic::Topic;

/// The queue to a peer. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    account: Account,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Entry>,
    /// What they are charged with together.
    bytes: usize,
    /// How often something was taken or written.
    progress: u64,
    /// The bytes that waited when there was no room: the peer is *held*, and is given nothing until
    /// half of that is taken, or its share has room for as much again.
    held: Option<usize>,
    /// That something waits and nothing is written.
    stuck: Option<Stuck>,
    /// The connections of the peer, the oldest first. The first that is open writes the frames.
    writers: Vec<Writer>,
}

#[derive(Debug)]
struct Entry {
    frame: Bytes,
    topic: Topic,
    given: Time,
}

#[derive(Debug)]
struct Writer {
    connection: ConnectionId,
    waker: Waker,
    /// Its stream does not take all that it was given.
    is_full: bool,
}

#[derive(Debug, Clone, Copy)]
struct Stuck {
    progress: u64,
    since: Time,
    /// How often it was found so. A node that stood still has not looked meanwhile.
    looks: u32,
}

impl Queue {
    /// Frames in it are charged to this account.
    pub(super) fn new(account: Account) -> Self {
        Self(Arc::new(Shared {
            account,
            waiting: Mutex::default(),
        }))
    }

    /// The account of the peer.
    pub(super) fn account(&self) -> Account {
        self.0.account.clone()
    }

    /// Whether the peer is given nothing, since what it was given waits.
    pub(super) fn holds(&self) -> bool {
        self.0.look(&mut self.0.lock())
    }

    /// Appends a frame. `false` if there is no room. One frame has room whatever that is: a peer
    /// that has no share left gets them one by one.
    pub(super) fn give(&self, topic: Topic, frame: Bytes, now: Time) -> bool {
        let (account, mut waiting) = (&self.0.account, self.0.lock());
        if self.0.look(&mut waiting) {
            return false;
        }
        let cost = cost(&frame);
        let fits = waiting.frames.len() < QUEUE_FRAMES && waiting.bytes + cost <= QUEUE_BYTES;
        if waiting.frames.is_empty() {
            account.charge(cost);
        } else if !fits || !account.try_charge(cost) {
            waiting.held = Some(waiting.bytes);
            return false;
        }
        waiting.bytes += cost;
        waiting.frames.push_back(Entry {
            frame,
            topic,
            given: now,
        });
        let waker = waiting.writers.first().map(|writer| writer.waker.clone());
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Wakes all connections of the peer: there is something to tell it.
    pub(super) fn wake(&self) {
        let waiting = self.0.lock();
        let wakers: Vec<_> = waiting.writers.iter().map(|it| it.waker.clone()).collect();
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Drops what has waited for too long, and returns how many frames that were. To be called
    /// every second or so.
    pub(super) fn drop_old(&self, now: Time) -> usize {
        let mut waiting = self.0.lock();
        let is_old = |entry: &Entry| entry.given + LONGEST_WAIT <= now;
        let mut dropped = 0;
        while waiting.frames.front().is_some_and(is_old) {
            dropped += usize::from(self.0.pop(&mut waiting).is_some());
        }
        dropped
    }

    /// Whether the peer has taken nothing for [`DEAF_FOR`], though something waited all the time:
    /// in the queue, or in front of its stream. To be called every second or so.
    pub(super) fn is_deaf(&self, now: Time) -> bool {
        let mut waiting = self.0.lock();
        if waiting.frames.is_empty() && !waiting.writers.iter().any(|it| it.is_full) {
            waiting.stuck = None;
            return false;
        }
        let new = Stuck {
            progress: waiting.progress,
            since: now,
            looks: 0,
        };
        let stuck = waiting.stuck.get_or_insert(new);
        if stuck.progress != new.progress {
            *stuck = new;
        }
        stuck.looks += 1;
        stuck.since + DEAF_FOR <= now && stuck.looks > DEAF_LOOKS
    }

    /// A connection has written something, or not, and its stream is full or not.
    pub(super) fn note(&self, connection: ConnectionId, wrote: bool, is_full: bool) {
        let mut waiting = self.0.lock();
        waiting.progress += u64::from(wrote);
        let mut writers = waiting.writers.iter_mut();
        if let Some(writer) = writers.find(|it| it.connection == connection) {
            writer.is_full = is_full;
        }
    }

    /// Whether it is for this connection to write.
    pub(super) fn is_writer(&self, connection: ConnectionId) -> bool {
        let waiting = self.0.lock();
        let first = waiting.writers.first();
        first.is_some_and(|it| it.connection == connection)
    }

    /// From now on this connection can write to the peer.
    pub(super) fn open(&self, connection: ConnectionId, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        let mut waiting = self.0.lock();
        waiting.writers.push(Writer {
            connection,
            waker,
            is_full: false,
        });
    }

    /// This one cannot any more. The next takes the rest.
    pub(super) fn close(&self, connection: ConnectionId) {
        let mut waiting = self.0.lock();
        waiting.writers.retain(|it| it.connection != connection);
        let next = waiting.writers.first().map(|writer| writer.waker.clone());
        drop(waiting);
        if let Some(next) = next {
            next.wake();
        }
    }

    /// The next frame, if it is for this connection to write. If not, its task is woken when there
    /// is one.
    pub(super) fn take(
        &self,
        connection: ConnectionId,
        cx: &Context<'_>,
    ) -> Option<(Topic, Bytes)> {
        let mut waiting = self.0.lock();
        let mut writers = waiting.writers.iter_mut().enumerate();
        let (at, writer) = writers.find(|(_, it)| it.connection == connection)?;
        if !writer.waker.will_wake(cx.waker()) {
            writer.waker = cx.waker().clone();
        }
        if at > 0 {
            return None;
        }
        let entry = self.0.pop(&mut waiting)?;
        waiting.progress += 1;
        Some((entry.topic, entry.frame))
    }
}

impl Shared {
    /// Whether the peer is held; lets it go if there is room again.
    fn look(&self, waiting: &mut Waiting) -> bool {
        let Some(before) = waiting.held else {
            return false;
        };
        // If its share was the reason, room for as much again does as well.
        let is_little = waiting.frames.len() < QUEUE_FRAMES / 2 && waiting.bytes < QUEUE_BYTES / 2;
        let has_room = || is_little && self.account.has_room(waiting.bytes.max(LONGEST));
        if waiting.bytes <= before / 2 || has_room() {
            waiting.held = None;
        }
        waiting.held.is_some()
    }

    fn pop(&self, waiting: &mut Waiting) -> Option<Entry> {
        let entry = waiting.frames.pop_front()?;
        let cost = cost(&entry.frame);
        waiting.bytes -= cost;
        self.account.release(cost);
        Some(entry)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics in between.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let bytes = self.lock().bytes;
        self.account.release(bytes);
    }
}

/// What a frame is charged with.
fn cost(frame: &Bytes) -> usize {
    frame.len() + ENTRY_BYTES
}

/// How many frames, and bytes of them, wait at most for a peer that does not take them. That is as
/// much as four senders, or channels of one, may have in flight by their send windows of 16 MiB: a
/// burst within these is no sign of a peer that does not read.
pub(super) const QUEUE_FRAMES: usize = 1024;
pub(super) const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The cost of the longest frame: a peer with room for that has room for the next.
const LONGEST: usize = Frame::MAX_LEN + ENTRY_BYTES;

/// How long a frame waits at most. A peer that is so far behind fetches it.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// For how long a peer may take nothing. Its connection takes more only when half of a
/// window was read, which may be 6 MiB, and takes that long at 1 Mbit/s; one that is dead is given
/// up after 4 s. The frames that wait meanwhile are bounded, and charged to the peer.
const DEAF_FOR: Duration = Duration::from_secs(60);

/// And at how many looks: those of 2 s.
const DEAF_LOOKS: u32 = 4;

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use meshcast_proto::{Budget, Payer};

    use super::*;

    const LEN: usize = 256 * 1024;

    fn topic() -> Topic {
        Topic::named(&[b'7'; 32]).expect("one")
    }

    fn peer(n: u8) -> Payer {
        Payer::Member([n; 32])
    }

    fn connection(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    /// A queue with a connection.
    fn queue(budget: &Budget) -> Queue {
        let queue = Queue::new(budget.account(peer(1)));
        queue.open(connection(1), &Context::from_waker(Waker::noop()));
        queue
    }

    fn give(queue: &Queue, len: usize) -> bool {
        queue.give(topic(), vec![7; len].into(), at(0))
    }

    fn fill(queue: &Queue, len: usize) -> usize {
        let frame = Bytes::from(vec![7; len]);
        let give = |_: &usize| queue.give(topic(), frame.clone(), at(0));
        (0..).take_while(give).count()
    }

    fn take(queue: &Queue, frames: usize) {
        let cx = Context::from_waker(Waker::noop());
        (0..frames).for_each(|_| assert!(queue.take(connection(1), &cx).is_some()));
    }

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn what_waits_for_a_peer_is_bounded_in_bytes_and_frames_and_charged_until_it_is_taken() {
        let budget = Budget::default();
        let queue = queue(&budget);
        let large = fill(&queue, LEN);
        assert_eq!(large, QUEUE_BYTES / (LEN + ENTRY_BYTES));
        assert_eq!(budget.used(), large * (LEN + ENTRY_BYTES));
        assert!(queue.holds());
        take(&queue, large);
        assert_eq!((budget.used(), queue.holds()), (0, false));
        assert_eq!(fill(&queue, 10), QUEUE_FRAMES);
        drop(queue);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn who_is_held_is_given_nothing_until_half_is_taken() {
        let queue = queue(&Budget::default());
        let all = fill(&queue, LEN);
        take(&queue, all.div_ceil(2) - 1);
        assert!(queue.holds() && !give(&queue, 1));
        take(&queue, 1);
        assert!(!queue.holds() && give(&queue, LEN));
    }

    #[test]
    fn a_peer_takes_no_more_than_its_share_and_one_frame_without_any() {
        let budget = Budget::new(1024 * 1024);
        let one = queue(&budget);
        fill(&one, 1024);
        assert!(budget.used() < 512 * 1024);
        let other = Queue::new(budget.account(peer(2)));
        while budget.try_charge(peer(2), 1024) {}
        assert!(give(&other, LEN) && !give(&other, 1));
    }

    #[test]
    fn who_is_held_for_want_of_a_share_is_given_frames_again_when_it_has_one() {
        let budget = Budget::default();
        let queue = queue(&budget);
        let others = budget.account(peer(2));
        let rest = budget.limit() - budget.used();
        others.charge(rest);
        assert!(give(&queue, LEN) && !give(&queue, 1));
        assert!(queue.holds(), "there is no room");
        others.release(rest);
        assert!(!queue.holds());
        let more = fill(&queue, LEN);
        assert!(more > 100, "{more}");
        assert!(queue.holds(), "half of it is to be taken first");
    }

    #[test]
    fn what_waits_for_too_long_is_dropped_and_counted() {
        let budget = Budget::default();
        let queue = queue(&budget);
        let give = |seconds| assert!(queue.give(topic(), vec![7; 100].into(), at(seconds)));
        [0, 0, 3].into_iter().for_each(give);
        assert_eq!(queue.drop_old(at(4)), 0);
        assert_eq!(queue.drop_old(at(5)), 2);
        assert_eq!(budget.used(), 100 + ENTRY_BYTES);
        assert_eq!((queue.drop_old(at(9)), budget.used()), (1, 0));
    }

    /// Looks as its owner does, each second.
    fn look(queue: &Queue, seconds: std::ops::Range<u64>) -> Option<u64> {
        seconds.into_iter().find(|n| {
            queue.drop_old(at(*n));
            queue.is_deaf(at(*n))
        })
    }

    #[test]
    fn nobody_is_deaf_for_a_time_in_which_this_node_stood_still() {
        let queue = queue(&Budget::default());
        queue.note(connection(1), true, true);
        assert!(!queue.is_deaf(at(0)) && !queue.is_deaf(at(3600)));
        queue.note(connection(1), true, true);
        assert_eq!(look(&queue, 3601..3606), None);
    }

    #[test]
    fn a_peer_whose_stream_takes_nothing_for_a_minute_is_deaf_and_no_other() {
        let queue = queue(&Budget::default());
        assert!(give(&queue, 1));
        assert_eq!(
            look(&queue, 0..99),
            None,
            "it is dropped, and nothing waits"
        );
        // The queue is emptied by time; what is in front of the stream is not.
        fill(&queue, LEN);
        take(&queue, 1);
        queue.note(connection(1), true, true);
        assert_eq!(look(&queue, 100..150), None);
        queue.note(connection(1), true, true);
        assert_eq!(look(&queue, 150..300), Some(210));
        queue.note(connection(1), true, false);
        assert_eq!(look(&queue, 300..600), None);
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn one_connection_writes_at_a_time_and_the_next_goes_on_where_it_ended() {
        let queue = Queue::new(Budget::default().account(peer(1)));
        let counts = [1, 2].map(|_| Arc::new(Count::default()));
        let wakers = counts
            .each_ref()
            .map(|count| Waker::from(Arc::clone(count)));
        let contexts = wakers.each_ref().map(Context::from_waker);
        let woken = || {
            counts
                .each_ref()
                .map(|count| count.0.load(Ordering::Relaxed))
        };
        for (n, cx) in contexts.iter().enumerate() {
            queue.open(connection(n), cx);
        }
        (1..=3).for_each(|len| assert!(give(&queue, len)));
        assert_eq!(woken(), [3, 0]);
        let taken = |n: usize| queue.take(connection(n), &contexts[n]);
        assert!(taken(1).is_none());
        assert_eq!(taken(0).map(|(_, frame)| frame.len()), Some(1));
        queue.close(connection(0));
        assert_eq!(woken(), [3, 1]);
        assert!(taken(0).is_none());
        assert_eq!(taken(1).map(|(_, frame)| frame.len()), Some(2));
        queue.wake();
        assert_eq!(woken(), [3, 2]);
    }
}
