//! Receipts of posts.

use std::{fmt, sync::Arc};

use tokio::sync::oneshot;

use super::{
    awaited::{AckError, Awaited},
    hub::Hub,
};

/// Answers for one message that was posted. It may be ignored, and costs nothing then.
///
/// A clone is the same receipt. It keeps neither its channel open nor the node running.
#[derive(Clone)]
pub struct Receipt {
    hub: Arc<Hub>,
    /// Its last record, counted among all that were posted on the name.
    record: u64,
}

impl Receipt {
    pub(super) const fn new(hub: Arc<Hub>, record: u64) -> Self {
        Self { hub, record }
    }

    /// Whether the message still waits in the outbox of its channel: it has not been sent to
    /// anybody.
    pub fn is_queued(&self) -> bool {
        self.seq().is_none()
    }

    /// The number of the message, the last if it takes several; see
    /// [`Message::seqs`](crate::Message::seqs). `None` while it [is queued](Self::is_queued).
    pub fn seq(&self) -> Option<u64> {
        self.hub
            .number_of(self.record)
            .map(meshcast_proto::Seq::get)
    }

    /// Waits until at least this many members have the message, and returns how many do.
    ///
    /// Counted are members that are connected to this node, have the channel open and had so when
    /// the message was posted, and have said that they have it and all before it, which they do
    /// within some 50 ms. Those farther away are not known here. If fewer are connected it waits
    /// until more are; with 0 it waits only until the message has left the outbox. The caller
    /// limits the time:
    ///
    /// ```no_run
    /// # use meshcast::BroadcastChannel;
    /// # type Result = std::result::Result<(), Box<dyn std::error::Error>>;
    /// # async fn example(channel: BroadcastChannel<String>) -> Result {
    /// use std::time::Duration;
    ///
    /// let receipt = channel.post_message("the house is on fire")?;
    /// match tokio::time::timeout(Duration::from_secs(5), receipt.acked(2)).await {
    ///     Ok(Ok(members)) => println!("{members} have it"),
    ///     Ok(Err(error)) => println!("not known: {error}"),
    ///     Err(_) => println!("fewer than two have it so far"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Cancel-safe; it may be asked again, also for another number of members.
    ///
    /// # Errors
    /// [`AckError`]. The message may have arrived nevertheless, or still arrive.
    pub async fn acked(&self, members: usize) -> Result<usize, AckError> {
        let (answer, answered) = oneshot::channel();
        self.hub.await_acks(Awaited {
            record: self.record,
            members,
            answer,
        })?;
        // Dropped by a driver that has stopped.
        answered.await.unwrap_or(Err(AckError::Closed))
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Receipt");
        debug
            .field("channel", self.hub.name())
            .field("seq", &self.seq());
        debug.finish()
    }
}
