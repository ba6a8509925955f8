//! The messages that wait for one outbound stream.
//!
//! The behaviour holds the [`Outbox`] and the handler, which lives in the task of the connection,
//! the [`Intake`]. A lock between them instead of a channel lets `send` see at once how full the
//! queue is. It is held for a few instructions, never while something waits.
//!
//! A queue belongs to one stream: a stream that is opened anew comes with a new queue, so that no
//! message put in before a break can turn up after it.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use meshcast_proto::{Account, ENTRY_BYTES};

use super::{SendError, SessionConfig};

/// What waits in the queue to one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueDepth {
    /// Messages not yet taken by the stream.
    pub(crate) messages: usize,
    /// The bytes of these messages.
    pub(crate) bytes: usize,
}

/// A queue of its two ends. Waiting messages are charged to this account.
pub(super) fn queue(config: &SessionConfig, account: Account) -> (Outbox, Intake) {
    let shared = Arc::new(Shared {
        most: QueueDepth {
            messages: config.queue_messages,
            bytes: config.queue_bytes,
        },
        account,
        queue: Mutex::default(),
    });
    (Outbox(Arc::clone(&shared)), Intake(shared))
}

/// The end that `Sessions::send` fills.
#[derive(Debug)]
pub(crate) struct Outbox(Arc<Shared>);

impl Outbox {
    /// Appends a message and wakes the handler; gives it back if there is no room.
    pub(super) fn push(&self, message: Bytes) -> Result<(), SendError> {
        let mut queue = self.0.lock();
        if queue.closed {
            return Err(SendError::NotConnected);
        }
        let full = queue.messages.len() >= self.0.most.messages
            || queue.bytes.saturating_add(message.len()) > self.0.most.bytes;
        let (cost, account) = (cost(&message), &self.0.account);
        if queue.messages.is_empty() {
            account.charge(cost);
        } else if full || !account.try_charge(cost) {
            queue.refused = true;
            return Err(SendError::Full { message });
        }
        queue.bytes += message.len();
        queue.messages.push_back(message);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn queue_depth(&self) -> QueueDepth {
        let queue = self.0.lock();
        QueueDepth {
            messages: queue.messages.len(),
            bytes: queue.bytes,
        }
    }
}

/// The end that the handler empties. Dropping it closes the queue and frees what is in it.
#[derive(Debug)]
pub(super) struct Intake(Arc<Shared>);

impl Intake {
    /// The next message; registers to be woken by the next push if there is none.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let mut queue = self.0.lock();
        match queue.messages.pop_front() {
            Some(message) => {
                queue.bytes -= message.len();
                self.0.account.release(cost(&message));
                Poll::Ready(message)
            }
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Whether a message was refused since the last `true` and the queue is down to half of its
    /// bounds. Half, so that a sender at the bound is told once for many messages; and what is then
    /// free takes the largest message.
    pub(super) fn has_room_again(&mut self) -> bool {
        let mut queue = self.0.lock();
        let has_room = queue.messages.len() <= self.0.most.messages / 2
            && queue.bytes <= self.0.most.bytes / 2;
        has_room && mem::take(&mut queue.refused)
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        self.0
            .account
            .release(queue.messages.iter().map(cost).sum());
        *queue = Queue {
            closed: true,
            ..Queue::default()
        };
    }
}

/// What a message is charged with.
fn cost(message: &Bytes) -> usize {
    message.len() + ENTRY_BYTES
}

#[derive(Debug)]
struct Shared {
    most: QueueDepth,
    account: Account,
    queue: Mutex<Queue>,
}

impl Shared {
    /// A panic elsewhere leaves a queue that is whole: each of its changes is complete before the
    /// lock is let go.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Bytes>,
    /// The sum over `messages`.
    bytes: usize,
    /// A push has been refused and the sender not yet been told that there is room. Only a queue
    /// that is not empty refuses, so there is always a message whose taking brings the word.
    refused: bool,
    closed: bool,
    /// The handler's, while it has found the queue empty.
    waker: Option<Waker>,
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use meshcast_proto::{Budget, Payer};

    use super::*;

    #[test]
    fn both_bounds_hold_and_an_empty_queue_takes_anything() {
        let (outbox, mut intake) = queue(&config(10, 3), nobodys());
        let large = Bytes::from_static(&[7; 100]);
        assert_eq!(outbox.push(large.clone()), Ok(()));
        assert_eq!(
            outbox.push(Bytes::new()),
            Err(SendError::Full {
                message: Bytes::new()
            })
        );
        assert_eq!(take(&mut intake), Some(large));
        for _ in 0..3 {
            assert_eq!(outbox.push(Bytes::from_static(&[1])), Ok(()));
        }
        assert_eq!(
            outbox.queue_depth(),
            QueueDepth {
                messages: 3,
                bytes: 3
            }
        );
        assert!(matches!(
            outbox.push(Bytes::new()),
            Err(SendError::Full { .. })
        ));
    }

    #[test]
    fn room_is_told_once_a_refusal_and_at_half_of_the_bounds() {
        let (outbox, mut intake) = queue(&config(100, 4), nobodys());
        assert!(!intake.has_room_again());
        while outbox.push(Bytes::from_static(&[1])).is_ok() {}
        let mut told = Vec::new();
        while take(&mut intake).is_some() {
            told.push(intake.has_room_again());
        }
        assert_eq!(told, [false, true, false, false]);
    }

    #[test]
    fn a_push_wakes_the_one_who_found_it_empty() {
        let (outbox, mut intake) = queue(&config(100, 4), nobodys());
        let woken = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(
            intake
                .poll_take(&mut Context::from_waker(&waker))
                .is_pending()
        );
        assert_eq!(outbox.push(Bytes::new()), Ok(()));
        assert_eq!(outbox.push(Bytes::new()), Ok(()));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_end_of_the_handler_closes_and_empties_it() {
        let (outbox, intake) = queue(&config(100, 4), nobodys());
        assert_eq!(outbox.push(Bytes::from_static(&[1])), Ok(()));
        drop(intake);
        assert_eq!(outbox.push(Bytes::new()), Err(SendError::NotConnected));
        assert_eq!(outbox.queue_depth(), QueueDepth::default());
    }

    #[test]
    fn what_waits_is_charged_until_it_is_taken_or_lost_and_an_account_without_room_is_a_full_queue()
    {
        let budget = Budget::new(4_096);
        let (outbox, mut intake) = queue(&config(10_000, 100), budget.account(Payer::Ourselves));
        let mut count = 0;
        while outbox.push(Bytes::from_static(&[7; 100])).is_ok() {
            count += 1;
        }
        assert_eq!(budget.used(), count * (100 + ENTRY_BYTES));
        assert!((3..=5).contains(&count), "{count}");
        assert!(take(&mut intake).is_some());
        assert_eq!(budget.used(), (count - 1) * (100 + ENTRY_BYTES));
        drop(intake);
        assert_eq!(budget.used(), 0);
    }

    fn nobodys() -> Account {
        Budget::default().account(Payer::Ourselves)
    }

    fn config(queue_bytes: usize, queue_messages: usize) -> SessionConfig {
        SessionConfig {
            queue_bytes,
            queue_messages,
            ..SessionConfig::default()
        }
    }

    fn take(intake: &mut Intake) -> Option<Bytes> {
        match intake.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(message) => Some(message),
            Poll::Pending => None,
        }
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
