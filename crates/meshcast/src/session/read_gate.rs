//! The rate at which a peer is read: not at all while one of its messages waits to be taken in, and
//! slowly if it misbehaves.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};

/// Whether what a peer says is read, on all connections to it. Unread messages wait with the peer,
/// whose own queue fills: nothing is dropped, and nothing comes out of order.
#[derive(Debug, Default)]
pub(super) struct ReadGate {
    paused: AtomicBool,
    throttled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many messages may be read until the next [`ReadGate::grant`].
    left: u32,
    /// Connections that wait for it.
    waiting: Vec<Waker>,
}

impl ReadGate {
    /// Whether a message may be read now; registers to be woken if not.
    pub(super) fn is_open(&self, cx: &mut Context<'_>) -> bool {
        if !self.is_paused() && !self.is_throttled() {
            return true;
        }
        let mut state = self.lock();
        // It may have been opened meanwhile.
        if !self.is_paused() && (state.left > 0 || !self.is_throttled()) {
            return true;
        }
        if !state
            .waiting
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            state.waiting.push(cx.waker().clone());
        }
        false
    }

    /// A message was read.
    pub(super) fn pass(&self) {
        if self.is_throttled() {
            let mut state = self.lock();
            state.left = state.left.saturating_sub(1);
        }
    }

    /// From now on no more is read than is granted; or everything.
    pub(super) fn set_throttled(&self, throttled: bool) {
        self.throttled.store(throttled, Ordering::Release);
        self.grant(0);
    }

    /// So many messages may be read until this is called again.
    pub(super) fn grant(&self, messages: u32) {
        self.lock().left = messages;
        self.wake();
    }

    /// From now on nothing is read; or as before.
    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    pub(super) fn is_throttled(&self) -> bool {
        self.throttled.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves a number and wakers.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_throttled_is_read_as_far_as_is_granted() {
        let (gate, cx) = (ReadGate::default(), &mut Context::from_waker(Waker::noop()));
        let read = |gate: &ReadGate, cx: &mut Context<'_>| {
            let count = (0..100).take_while(|_| {
                let open = gate.is_open(cx);
                if open {
                    gate.pass();
                }
                open
            });
            count.count()
        };
        assert_eq!(read(&gate, cx), 100);
        gate.set_throttled(true);
        assert_eq!(read(&gate, cx), 0);
        gate.grant(7);
        assert_eq!(read(&gate, cx), 7);
        assert_eq!(gate.lock().waiting.len(), 1);
        gate.set_throttled(false);
        assert_eq!(read(&gate, cx), 100);
        assert_eq!(gate.lock().waiting.len(), 0);
    }

    #[test]
    fn who_is_held_is_not_read_also_if_it_is_granted_something() {
        let (gate, cx) = (ReadGate::default(), &mut Context::from_waker(Waker::noop()));
        gate.set_paused(true);
        assert!(!gate.is_open(cx));
        assert_eq!(gate.lock().waiting.len(), 1);
        gate.set_throttled(true);
        gate.grant(7);
        assert!(!gate.is_open(cx));
        gate.set_paused(false);
        assert_eq!(gate.lock().waiting.len(), 0);
        assert!(gate.is_open(cx));
        gate.grant(0);
        assert!(!gate.is_open(cx));
    }
}
