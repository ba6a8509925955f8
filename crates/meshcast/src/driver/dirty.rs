//! A value that has to be looked at again once it was changed.

use std::{
    ops::Deref,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt};

/// Knows whether it was changed since it was last looked at. Anybody may read it; whoever changes
/// it says so by [`Self::modify`], and the loop then looks at it once more before it sleeps.
pub(crate) struct Dirty<S> {
    inner: S,
    dirty: bool,
}

impl<S> Dirty<S> {
    pub(crate) const fn new(inner: S) -> Self {
        Self { inner, dirty: true }
    }

    /// To be changed, and looked at afterwards.
    pub(super) const fn modify(&mut self) -> &mut S {
        self.dirty = true;
        &mut self.inner
    }

    pub(super) const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// It was looked at.
    pub(super) const fn set_clean(&mut self) {
        self.dirty = false;
    }
}

impl<S: Stream + Unpin> Dirty<S> {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.set_clean();
        self.inner.poll_next_unpin(cx)
    }
}

impl<S> Deref for Dirty<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.inner
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::poll_fn, stream};

    use super::*;

    #[test]
    fn it_is_dirty_from_when_it_was_changed_until_it_is_polled() {
        let mut numbers = Dirty::new(stream::iter([1, 2]));
        assert!(numbers.is_dirty(), "nobody has looked at it yet");
        let next = poll_fn(|cx| numbers.poll(cx)).now_or_never();
        assert_eq!(next, Some(Some(1)));
        assert!(!numbers.is_dirty());
        assert_eq!(numbers.size_hint(), (1, Some(1)));
        assert!(!numbers.is_dirty(), "it was only read");
        *numbers.modify() = stream::iter([3, 4]);
        assert!(numbers.is_dirty());
        numbers.set_clean();
        assert!(!numbers.is_dirty());
    }
}
