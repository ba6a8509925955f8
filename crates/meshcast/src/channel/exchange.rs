//! Messages between the driver and those who ask or answer.

use std::{convert::Infallible, fmt, sync::Arc};

use libp2p::PeerId;
use meshcast_proto::{
    Account, Declined, ENTRY_BYTES, Member, NewQuestion, NoReply, Question, Reply, Sender,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc::UnboundedSender, oneshot};

use super::ObjectId;
use crate::clock::Instant;

/// A question for the driver to ask.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) new: NewQuestion,
    /// Whom to ask, if not all.
    pub(crate) only: Option<PeerId>,
    /// Since when it waits to be asked.
    pub(crate) made: Instant,
    /// One of so many questions that may wait. It is held until the question is over.
    pub(crate) permit: OwnedSemaphorePermit,
    /// The receiver of its events: at most two for each who is asked or replies, and two more.
    pub(crate) events: UnboundedSender<AskEvent>,
}

/// What comes of a question.
#[derive(Debug)]
pub(crate) enum AskEvent {
    /// Members that were asked, are to be reached over others, or may have the channel open.
    Asked(Vec<Arc<Member>>),
    /// One of them came back, or will not; or somebody who was not known to be there, and who that
    /// is.
    Replied(PeerId, Option<Arc<Member>>, Result<Reply, NoReply>, Charge),
    /// One of them answered, and there is no room for that.
    NoRoom(PeerId, Option<Arc<Member>>),
    /// Nothing more comes; and whether nothing was lost on the way over others, as far as is known.
    Over(bool),
}

/// Bytes that are charged to a member as long as this is there.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Account,
    bytes: usize,
}

impl Charge {
    /// `None` if the account has its share already.
    pub(crate) fn new(account: Account, bytes: usize) -> Option<Self> {
        account.try_charge(bytes).then_some(Self { account, bytes })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}

/// A question that a member asks here.
pub(crate) struct Incoming {
    pub(crate) member: Arc<Member>,
    pub(crate) question: Question,
    /// The peer that brings it, and whether that asks it itself.
    pub(crate) by: (Sender, bool),
    pub(crate) replier: Replier,
    pub(crate) withdrawn: Withdrawn,
}

/// Resolves once nobody waits for the answer to a question any more: the driver has let go of the
/// other end.
pub(crate) type Withdrawn = oneshot::Receiver<Infallible>;

/// Replies to one question, once. If it is dropped before, the question counts as failed: its
/// handler panicked, or was withdrawn, or the runtime that it ran on is gone.
pub(crate) struct Replier {
    /// `None` once it has replied.
    send: Option<Box<dyn FnOnce(Replying) + Send>>,
    asker: Sender,
    number: u64,
    /// A reply that waits for the driver is charged to the peer that the question came from.
    account: Account,
}

/// A reply for the driver to send.
#[derive(Debug)]
pub(crate) struct Replying {
    pub(crate) asker: Sender,
    pub(crate) number: u64,
    pub(crate) reply: Reply,
    _charge: Option<Charge>,
}

impl Replier {
    pub(crate) fn new(
        send: impl FnOnce(Replying) + Send + 'static,
        asker: Sender,
        number: u64,
        account: Account,
    ) -> Self {
        Self {
            send: Some(Box::new(send)),
            asker,
            number,
            account,
        }
    }

    pub(crate) fn reply(mut self, reply: Reply) {
        self.send(reply);
    }

    fn send(&mut self, reply: Reply) {
        let Some(send) = self.send.take() else {
            return;
        };
        let (mut reply, mut charge) = (reply, None);
        if let Reply::Answer(_, payload) = &reply {
            charge = Charge::new(self.account.clone(), ENTRY_BYTES + payload.len());
            if charge.is_none() {
                reply = Reply::Declined(Declined::Busy);
            }
        }
        send(Replying {
            asker: self.asker,
            number: self.number,
            reply,
            _charge: charge,
        });
    }
}

impl Drop for Replier {
    fn drop(&mut self) {
        self.send(Reply::Declined(Declined::Failed));
    }
}

/// Who answers questions on a channel name.
#[derive(Clone)]
pub(crate) struct Answerer {
    /// Tells it from another of the same object.
    pub(crate) id: u64,
    pub(crate) object: ObjectId,
    pub(crate) answer: Arc<dyn Fn(Incoming) + Send + Sync>,
}

/// Questions and answers on one channel name that the driver has not taken yet. There is none where
/// nobody asks or answers.
#[derive(Debug, Default)]
pub(crate) struct AskQueues {
    pub(crate) asking: Vec<Asking>,
    /// Somebody who asked does not wait any more.
    pub(crate) left: bool,
    /// At most one for each question that waits to be answered.
    pub(crate) replies: Vec<Replying>,
    pub(crate) answerer: Option<Answerer>,
    /// The number of the last answerer.
    pub(crate) answerers: u64,
}

impl AskQueues {
    pub(crate) const fn is_requesting(&self) -> bool {
        !self.asking.is_empty() || !self.replies.is_empty() || self.left
    }
}

impl fmt::Debug for Answerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answerer")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
