//! A broadcast, as a stream.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, stream};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Items for a receiver, or the number of those it did not take in time. Ends with the last sender.
pub(crate) struct Followed<T>(Pin<Box<dyn Stream<Item = Result<T, Lagged>> + Send + Sync>>);

/// So many were not read in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lagged(pub(crate) u64);

impl<T: Clone + Send + Sync + 'static> Followed<T> {
    pub(crate) fn new(receiver: Receiver<T>) -> Self {
        let next = |mut receiver: Receiver<T>| async move {
            match receiver.recv().await {
                Ok(item) => Some((Ok(item), receiver)),
                Err(RecvError::Lagged(missed)) => Some((Err(Lagged(missed)), receiver)),
                Err(RecvError::Closed) => None,
            }
        };
        Self(Box::pin(stream::unfold(receiver, next)))
    }
}

impl<T> Stream for Followed<T> {
    type Item = Result<T, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Followed")
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::sync::broadcast;

    use super::*;

    #[tokio::test]
    async fn what_was_not_read_in_time_is_counted_and_the_end_is_told_after_the_rest() {
        let (sender, receiver) = broadcast::channel(2);
        let followed = Followed::new(receiver);
        for n in 0..5 {
            sender.send(n).expect("is followed");
        }
        drop(sender);
        let all: Vec<_> = followed.collect().await;
        assert_eq!(all, [Err(Lagged(3)), Ok(3), Ok(4)]);
    }
}
