//! What has to be looked at again once somebody did something with it.

use std::{
    ops::{Deref, DerefMut},
    task::{Context, Poll},
};

use futures::{Stream, StreamExt};

/// Knows whether it was borrowed mutably since it was last looked at.
pub(crate) struct Touched<S> {
    inner: S,
    touched: bool,
}

impl<S> Touched<S> {
    pub(crate) const fn new(inner: S) -> Self {
        Self {
            inner,
            touched: true,
        }
    }

    pub(super) const fn is_touched(&self) -> bool {
        self.touched
    }

    /// It was looked at.
    pub(super) const fn settle(&mut self) {
        self.touched = false;
    }
}

impl<S: Stream + Unpin> Touched<S> {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.settle();
        self.inner.poll_next_unpin(cx)
    }
}

impl<S> Deref for Touched<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.inner
    }
}

impl<S> DerefMut for Touched<S> {
    fn deref_mut(&mut self) -> &mut S {
        self.touched = true;
        &mut self.inner
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::poll_fn, stream};

    use super::*;

    #[test]
    fn it_is_touched_from_when_it_is_borrowed_mutably_until_it_is_polled() {
        let mut numbers = Touched::new(stream::iter([1, 2]));
        assert!(numbers.is_touched(), "nobody has looked at it yet");
        let next = poll_fn(|cx| numbers.poll(cx)).now_or_never();
        assert_eq!(next, Some(Some(1)));
        assert!(!numbers.is_touched());
        assert_eq!(numbers.size_hint(), (1, Some(1)));
        assert!(!numbers.is_touched(), "it was only read");
        *numbers = stream::iter([3, 4]);
        assert!(numbers.is_touched());
        numbers.settle();
        assert!(!numbers.is_touched());
    }
}
