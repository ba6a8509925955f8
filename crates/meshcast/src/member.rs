//! One member, as somebody to turn to.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use libp2p::PeerId;

use crate::{
    ask::{FromMember, NoAnswer, QuestionError},
    channel::{Borrowed, Payload},
    error::{Closed, OpenError, PingError},
    inspect::MemberInfo,
    node::Node,
};

/// One member of the mesh, whether it is there or not. Made by [`Node::member`].
#[derive(Debug, Clone, Copy)]
pub struct MemberHandle<'a> {
    node: &'a Node,
    peer: PeerId,
}

/// A member that was asked gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskMemberError {
    /// The channel cannot be opened here. Nobody was asked.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The question cannot be asked. Nobody was asked.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// It gave no answer, and why.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

impl Node {
    /// One member of the mesh, to be asked. It need not be there.
    pub const fn member(&self, peer: PeerId) -> MemberHandle<'_> {
        MemberHandle::new(self, peer)
    }
}

impl<'a> MemberHandle<'a> {
    pub(crate) const fn new(node: &'a Node, peer: PeerId) -> Self {
        Self { node, peer }
    }

    /// Its peer id.
    pub const fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The known facts of it; `None` if it is not [known to be there](Node::members). Cancel-safe.
    ///
    /// # Errors
    /// [`Closed`] if the node has stopped.
    pub async fn info(&self) -> Result<Option<MemberInfo>, Closed> {
        let members = self.node.members().await?;
        Ok(members.into_iter().find(|it| it.peer_id == self.peer))
    }

    /// The round-trip time to it; see [`Node::ping`]. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`Node::ping`].
    pub async fn ping(&self) -> Result<Duration, PingError> {
        self.node.ping(self.peer).await
    }

    /// Asks it alone on a channel, and waits for its answer for so long, a minute at most.
    ///
    /// One without a link to this node is asked [over others](crate::ask#members-without-a-link).
    /// If it does not have the channel open, or cannot be reached, that is
    /// [told](crate::ask::NoAnswerReason::NotThere) as soon as it is known. Here the channel is
    /// opened for as long as it takes. To ask often, or all members, use
    /// [`BroadcastChannel::ask`](crate::BroadcastChannel::ask).
    ///
    /// Dropping the future withdraws the question.
    ///
    /// # Errors
    /// [`AskMemberError`].
    ///
    /// ```
    /// # async fn example(node: &meshcast::Node, member: meshcast::PeerId)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let within = Duration::from_millis(200);
    /// let answer = node.member(member).ask::<String, _>("cache", "size", within).await?;
    /// println!("{}: {}", answer.name(), answer.data);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ask<A: Payload, Q: Payload>(
        &self,
        channel: &str,
        question: &(impl Borrowed<Q> + ?Sized),
        within: Duration,
    ) -> Result<FromMember<A>, AskMemberError> {
        let channel = self.node.channel::<Bytes>(channel)?;
        let ask = channel.ask::<A, Q>(question)?.only(self.peer);
        let mut answers = ask.within(within)?;
        while let Some(answer) = answers.next().await {
            let of = answer
                .as_ref()
                .map_or_else(NoAnswer::sender, FromMember::sender);
            if of == self.peer {
                return Ok(answer?);
            }
        }
        Err(NoAnswer::stopped(self.peer).into())
    }
}
