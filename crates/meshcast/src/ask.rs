//! Questions to the members that have a channel open, and their answers.
//!
//! Asked with [`BroadcastChannel::ask`], answered with [`BroadcastChannel::on_ask`]. A question
//! goes to each member that has the channel open, over the session that the two have anyway, and
//! beside what is posted: it has no number, is kept nowhere, and nobody else hears it. Each who was
//! asked comes back exactly once, with an answer or with the reason why there is none; so the
//! answers end as soon as all have, and nothing that is missing has to be guessed. One member alone
//! is asked by [`MemberHandle::ask`](crate::MemberHandle::ask).
//!
//! A question that is asked as soon as a channel is open waits until all connected members have
//! said whether they have it open, which takes a round trip. Those that do not say so in time are
//! named ([`NoAnswerReason::Untold`]).
//!
//! # Members without a link
//!
//! If some members have no link to this node, a question travels over the members between, up to 16
//! links far, even if these do not have the channel open. Each who answers signs that, so nobody
//! between can change it or answer for another. Each who hands the question on says when nothing
//! more comes back of it; so the answers end as soon as all have answered who can be reached, known
//! to this node or not.
//!
//! A node can name the missing answers only of members that it knows. It knows those with a link
//! and the one that is [asked alone](Ask::only). If somebody here watches who is
//! [present](BroadcastChannel::presence) on the channel, it knows those as well. A member without a
//! link is said to be [not there](NoAnswerReason::NotThere), or
//! [unreached](NoAnswerReason::Unreached) if it may be there: a link broke meanwhile, a member
//! between had too much to do, or the time was over.
//!
//! A member between can lose a question or an answer, and can say falsely that nothing more comes.
//! The cost of such a question is in
//! [limits](https://github.com/meshcast/meshcast/blob/main/docs/limits.md#questions). If all are
//! linked, nothing travels over others.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use meshcast::{MeshKey, Node};
//! # let key = MeshKey::from_entropy([7; 48]);
//! # let start = || Node::builder().key(key.clone()).listen("127.0.0.1:0");
//! # let amber = start().spawn().await?;
//! # let address = amber.info().await?.listen_addresses.remove(0);
//! # let birch = start().seed(address).spawn().await?;
//! # birch.ready().await?;
//! use std::time::Duration;
//! use futures::StreamExt;
//! use meshcast::ask::FromMember;
//!
//! // One side answers …
//! let cache = birch.channel::<String>("cache")?;
//! let _answering = cache.on_ask(async |key: FromMember<String>| format!("{} of birch", key.data));
//!
//! // … and the other asks.
//! let cache = amber.channel::<String>("cache")?;
//! let mut answers = cache.ask::<String, _>("size")?.within(Duration::from_millis(500))?;
//! while let Some(answer) = answers.next().await {
//!     match answer {
//!         Ok(answer) => println!("{}: {}", answer.name(), answer.data),
//!         Err(missing) => println!("{missing}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

// May use: `channel`, through whose hubs it reaches the driver.
// Must not: know the driver, or keep what has to survive the question.

mod answering;
mod missing;
mod places;

use std::{
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use libp2p::PeerId;
use meshcast_proto::{
    AskMessage, Asks, Declined, Format, Member, NewQuestion, NoReply, NodeName, Region, Reply,
};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::{
    channel::{AskEvent, Asking, Borrowed, BroadcastChannel, Hub, Payload, decode_bytes},
    clock::moment,
    ids::peer_id,
};

pub use answering::Answering;
pub use missing::{NoAnswer, NoAnswerReason, QuestionError};

/// Something a member said to this one, and which member that is.
#[derive(Clone)]
#[non_exhaustive]
pub struct FromMember<T> {
    /// The value it sent.
    pub data: T,
    member: Arc<Member>,
}

/// A question that nobody was asked yet. Made by [`BroadcastChannel::ask`].
#[must_use = "nobody is asked until it is told how long to wait"]
pub struct Ask<A> {
    hub: Arc<Hub>,
    format: Format,
    payload: Bytes,
    only: Option<PeerId>,
    answer: PhantomData<fn() -> A>,
}

/// The answers to a question, as they come. Made by [`Ask::within`].
///
/// Of each who was asked one item comes: what it answered, or why nothing; of members that this
/// node does not know, what they answered. The stream ends after the last of them, or when the time
/// is over at the latest. Dropping it before withdraws the question.
///
/// Answers that are not read are charged to the members that gave them, like all that waits.
pub struct Answers<A> {
    hub: Arc<Hub>,
    events: UnboundedReceiver<AskEvent>,
    /// Members that were asked and have not come back.
    awaited: BTreeMap<PeerId, Arc<Member>>,
    is_over: bool,
    is_whole: bool,
    has_stopped: bool,
    answer: PhantomData<fn() -> A>,
}

/// All that came of a question. Made by [`Answers::all`].
#[derive(Debug)]
#[non_exhaustive]
pub struct AllAnswers<A> {
    /// The answers, in the order in which they came.
    pub answers: Vec<FromMember<A>>,
    /// Members that were asked and gave no answer, and why.
    pub missing: Vec<NoAnswer>,
    /// `true` if no answer of an unknown member can be lost; see [`Answers::is_whole`].
    pub is_whole: bool,
    /// `true` if this node stopped before the question was over, perhaps before anybody was asked.
    pub has_stopped: bool,
}

impl<T: Payload> BroadcastChannel<T> {
    /// Prepares a question to the members that have this channel open, those without a link to
    /// this node [over others](crate::ask#members-without-a-link). It is asked by [`Ask::within`].
    ///
    /// A question and an answer may be of any types; they need not be what is posted on the
    /// channel. Other objects in this process are not asked.
    ///
    /// # Errors
    /// [`QuestionError::Encode`] and [`QuestionError::TooLarge`].
    pub fn ask<A: Payload, Q: Payload>(
        &self,
        question: &(impl Borrowed<Q> + ?Sized),
    ) -> Result<Ask<A>, QuestionError> {
        let copy = |format, bytes: &[u8]| (format, Bytes::copy_from_slice(bytes));
        let (format, payload) = question.encoded(copy)?;
        let (size, limit) = (payload.len(), AskMessage::MAX_PAYLOAD_LEN);
        if size > limit {
            return Err(QuestionError::TooLarge { size, limit });
        }
        Ok(Ask {
            hub: Arc::clone(self.hub()),
            format,
            payload,
            only: None,
            answer: PhantomData,
        })
    }
}

impl<A: Payload> Ask<A> {
    /// Asks this member alone, [over others](crate::ask#members-without-a-link) if it has no link
    /// to this node.
    pub fn only(self, member: PeerId) -> Self {
        Self {
            only: Some(member),
            ..self
        }
    }

    /// Asks, and waits for answers for so long, a minute at most.
    ///
    /// # Errors
    /// [`QuestionError::TooMany`] and [`QuestionError::Closed`]; nobody was asked.
    pub fn within(self, time: Duration) -> Result<Answers<A>, QuestionError> {
        let (events, answered) = mpsc::unbounded_channel();
        let permit = self.hub.may_ask().ok_or(QuestionError::TooMany {
            limit: Asks::MAX_ASKING,
        })?;
        let new = NewQuestion {
            channel: self.hub.name().clone(),
            within: time,
            format: self.format,
            payload: self.payload,
        };
        let asking = Asking {
            new,
            only: self.only,
            made: moment(),
            permit,
            events,
        };
        if !self.hub.ask_members(asking) {
            return Err(QuestionError::Closed);
        }
        Ok(Answers {
            hub: self.hub,
            events: answered,
            awaited: BTreeMap::new(),
            is_over: false,
            is_whole: false,
            has_stopped: false,
            answer: PhantomData,
        })
    }
}

impl<A: Payload> Answers<A> {
    /// All answers, and all that did not come, once the question is over.
    ///
    /// Cancel-safe in that nothing is left waiting; what came before is lost then.
    pub async fn all(mut self) -> AllAnswers<A> {
        let (mut answers, mut missing) = (Vec::new(), Vec::new());
        while let Some(answer) = std::future::poll_fn(|cx| Pin::new(&mut self).poll_next(cx)).await
        {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(none) => missing.push(none),
            }
        }
        AllAnswers {
            answers,
            missing,
            is_whole: self.is_whole,
            has_stopped: self.has_stopped,
        }
    }

    /// `true` if every reachable member was asked and no answer was lost on its way, as far as the
    /// members between report; `false` until the stream has ended. Members that this node does not
    /// know are told of by what they answer alone, so this tells whether some may be missing. Of
    /// those who were asked and gave no answer an item says why, whatever this is.
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// `true` if the stream ended because this node stopped, perhaps before anybody was asked.
    pub const fn has_stopped(&self) -> bool {
        self.has_stopped
    }

    fn came_back(
        &mut self,
        peer: PeerId,
        member: Option<Arc<Member>>,
        reply: Result<Reply, NoReply>,
    ) -> Result<FromMember<A>, NoAnswer> {
        let member = self.awaited.remove(&peer).or(member);
        let reason = match (reply, &member) {
            (Ok(Reply::Answer(format, payload)), Some(member)) => {
                match decode_bytes(format, &payload) {
                    Ok(data) => {
                        let member = Arc::clone(member);
                        return Ok(FromMember { data, member });
                    }
                    Err(error) => NoAnswerReason::Undecodable(error),
                }
            }
            (Ok(Reply::Declined(Declined::NoHandler)), _) => NoAnswerReason::NoHandler,
            (Ok(Reply::Declined(Declined::Busy)), _) => NoAnswerReason::Busy,
            (Ok(Reply::Declined(Declined::Failed)), _) => NoAnswerReason::Failed,
            (Err(NoReply::Silent), _) => NoAnswerReason::TimedOut,
            (Err(NoReply::Gone), _) => NoAnswerReason::Disconnected,
            (Err(NoReply::Unreached), _) => NoAnswerReason::Unreached,
            (Err(NoReply::Untold), _) => NoAnswerReason::Untold,
            (Err(NoReply::Absent) | Ok(Reply::Declined(Declined::NotOpen)), _)
            | (Ok(Reply::Answer(..)), None) => NoAnswerReason::NotThere,
        };
        Err(NoAnswer {
            peer,
            member,
            reason,
        })
    }

    fn failed(
        &mut self,
        peer: PeerId,
        member: Option<Arc<Member>>,
        reason: NoAnswerReason,
    ) -> NoAnswer {
        NoAnswer {
            peer,
            member: self.awaited.remove(&peer).or(member),
            reason,
        }
    }
}

impl<A: Payload> Stream for Answers<A> {
    type Item = Result<FromMember<A>, NoAnswer>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while !this.is_over {
            match ready!(this.events.poll_recv(cx)) {
                Some(AskEvent::Asked(members)) => {
                    let members = members.into_iter();
                    this.awaited = members.map(|it| (peer_id(it.sender()), it)).collect();
                }
                Some(AskEvent::Replied(peer, member, reply, _charge)) => {
                    return Poll::Ready(Some(this.came_back(peer, member, reply)));
                }
                Some(AskEvent::NoRoom(peer, member)) => {
                    let reason = NoAnswerReason::NoRoom;
                    return Poll::Ready(Some(Err(this.failed(peer, member, reason))));
                }
                Some(AskEvent::Over(whole)) => (this.is_over, this.is_whole) = (true, whole),
                None => {
                    this.has_stopped = true;
                    let Some(peer) = this.awaited.keys().next().copied() else {
                        this.is_over = true;
                        continue;
                    };
                    let reason = NoAnswerReason::Stopped;
                    return Poll::Ready(Some(Err(this.failed(peer, None, reason))));
                }
            }
        }
        Poll::Ready(None)
    }
}

impl<A> Drop for Answers<A> {
    fn drop(&mut self) {
        if !self.is_over {
            self.events.close();
            self.hub.asker_left();
        }
    }
}

impl<T> FromMember<T> {
    /// The process that said it.
    pub fn sender(&self) -> PeerId {
        peer_id(self.member.sender())
    }

    /// The name of its node.
    pub fn name(&self) -> &NodeName {
        &self.member.credential().name
    }

    /// The region of its node.
    pub fn region(&self) -> &Region {
        &self.member.credential().region
    }
}

impl<T: fmt::Debug> fmt::Debug for FromMember<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromMember")
            .field("data", &self.data)
            .field("name", self.name())
            .field("region", self.region())
            .finish_non_exhaustive()
    }
}

impl<A> fmt::Debug for Ask<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("channel", self.hub.name())
            .field("bytes", &self.payload.len())
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}

impl<A> fmt::Debug for Answers<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("channel", self.hub.name())
            .field("awaited", &self.awaited.len())
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
