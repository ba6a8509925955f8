//! Presence on a channel: the members that have it open, since when, and what each says of itself.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use libp2p::PeerId;
use meshcast_proto::{Member, NodeName, PresenceRecord, Region, WallTime};
use meshcast_value::{self as value, DecodeError, EncodeError};

use crate::{
    channel::{Audience, Board, BroadcastChannel, Hub, Payload},
    followed::{Followed, Lagged},
    ids::peer_id,
};

impl<T: Payload> BroadcastChannel<T> {
    /// The members present on the channel, each with a state of type `S`; see [`Presence`].
    ///
    /// From now on this node watches, until the last handle is dropped.
    pub fn presence<S: Payload>(&self) -> Presence<S> {
        Presence::new(self.hub(), self.keep_open())
    }
}

/// The presence of members on a channel. Made by
/// [`BroadcastChannel::presence`](crate::BroadcastChannel::presence).
///
/// A member is present while it has an object open on the channel, whether it watches itself or
/// not. As long as anybody watches, each tells the others so, with its name, its region, since
/// when, and a [state](Self::set) of its own. Each signs what it says of itself, so nobody can
/// speak for another. Members that are not connected to each other are seen by way of those between
/// that have the channel open.
///
/// | What happens | Seen |
/// |---|---|
/// | opened, state set, closed, [shut down](crate::Node::shutdown) | at once: one way on the network |
/// | crashed, or cut off | [silent](PresenceChange::Silent) after 3 s without a sign of life |
/// | … for longer | [lost](PresenceChange::Lost) within 11 s |
/// | cut off and back within that time | silent and [heard](PresenceChange::Heard) again at most |
///
/// In the end all who watch and are connected, directly or by others, see the same. A restarted
/// process is another member of the same name.
///
/// It keeps the channel object open. `Clone` gives another handle to the same; while any is there
/// this node watches. If nobody watches a channel, nothing is said about it.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = meshcast::Node::builder().key(meshcast::MeshKey::from_entropy([7; 48]))
/// #     .listen("127.0.0.1:0").spawn().await?;
/// use futures::StreamExt;
/// use meshcast::PresenceChange;
///
/// let room = node.channel::<String>("room")?;
/// let presence = room.presence::<String>();
/// presence.set(&"typing".to_owned())?;
///
/// let mut changes = presence.changes();
/// if let Some(PresenceChange::Snapshot(members)) = changes.next().await {
///     for member in members {
///         println!("{} in {}: {:?}", member.name(), member.region(), member.state());
///     }
/// }
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Presence<S: Payload> {
    watch: Arc<Watch>,
    state: PhantomData<fn() -> S>,
}

/// While it is there the node watches.
struct Watch {
    hub: Arc<Hub>,
    board: Arc<Board>,
    /// The channel object, which is open as long as this.
    _object: Arc<dyn Send + Sync>,
}

impl<S: Payload> Presence<S> {
    pub(crate) fn new(hub: &Arc<Hub>, object: Arc<dyn Send + Sync>) -> Self {
        let board = hub.make_board();
        board.enter();
        hub.note();
        Self {
            watch: Arc::new(Watch {
                hub: Arc::clone(hub),
                board,
                _object: object,
            }),
            state: PhantomData,
        }
    }

    /// Says something of this node, in place of what it said before: any serde value of at most
    /// [`Self::MAX_STATE_BYTES`] when encoded. Never blocks.
    ///
    /// The state belongs to the node and the channel: all handles of the process set the same, and
    /// it is gone with the last of them. Set in quick succession, 8 are told at once and then two a
    /// second; the last always is.
    ///
    /// # Errors
    /// [`PresenceError`]; what was said before stands.
    pub fn set(&self, state: &S) -> Result<(), PresenceError> {
        let mut bytes = Vec::new();
        value::to_bytes(state, &mut bytes)?;
        if bytes.len() > Self::MAX_STATE_BYTES {
            return Err(PresenceError::TooLarge {
                size: bytes.len(),
                limit: Self::MAX_STATE_BYTES,
            });
        }
        self.say(Some(bytes.into()))
    }

    /// Says nothing of this node any more but that it is there.
    ///
    /// # Errors
    /// [`PresenceError::Closed`].
    pub fn clear(&self) -> Result<(), PresenceError> {
        self.say(None)
    }

    /// The longest encoded state, in bytes.
    pub const MAX_STATE_BYTES: usize = PresenceRecord::MAX_STATE_LEN;

    /// The members present now, by name and then by id, this node included. It takes a round trip
    /// until it is complete for the first handle of a channel; [`Self::changes`] tells of each who
    /// comes.
    pub fn members(&self) -> Vec<Present<S>> {
        let mut members: Vec<_> = self
            .watch
            .board
            .members()
            .iter()
            .map(Present::new)
            .collect();
        members.sort_by(|a, b| (a.name(), a.peer_id()).cmp(&(b.name(), b.peer_id())));
        members
    }

    /// Members that come, go and change from now on, after a [snapshot](PresenceChange::Snapshot)
    /// of those present. A reader that is so far behind that 256 changes wait gets another snapshot
    /// in their place: of the members present then, or when the stream ended.
    pub fn changes(&self) -> PresenceChanges<S> {
        let (members, receiver) = self.watch.board.subscribe();
        PresenceChanges {
            changes: Followed::new(receiver),
            snapshot: members,
            watch: Arc::clone(&self.watch),
            state: PhantomData,
        }
    }

    fn say(&self, state: Option<Bytes>) -> Result<(), PresenceError> {
        if !self.watch.board.set(state) {
            return Err(PresenceError::Closed);
        }
        self.watch.hub.note();
        Ok(())
    }
}

impl<S: Payload> Clone for Presence<S> {
    fn clone(&self) -> Self {
        Self {
            watch: Arc::clone(&self.watch),
            state: PhantomData,
        }
    }
}

impl<S: Payload> fmt::Debug for Presence<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Presence")
            .field(self.watch.hub.name())
            .finish()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.board.exit();
        self.hub.note();
    }
}

/// A stream of [`PresenceChange`]s; ends when the channel object was closed and the node has let go
/// of the channel, or has stopped. It keeps the node watching as a [`Presence`] does.
pub struct PresenceChanges<S: Payload> {
    changes: Followed<Audience>,
    snapshot: Option<Vec<meshcast_proto::Presence>>,
    watch: Arc<Watch>,
    state: PhantomData<fn() -> S>,
}

impl<S: Payload> PresenceChanges<S> {
    /// The next change; `None` at the end. Cancel-safe.
    pub async fn recv(&mut self) -> Option<PresenceChange<S>> {
        self.next().await
    }
}

impl<S: Payload> Stream for PresenceChanges<S> {
    type Item = PresenceChange<S>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(members) = self.snapshot.take() {
            let members = members.iter().map(Present::new).collect();
            return Poll::Ready(Some(PresenceChange::Snapshot(members)));
        }
        match Pin::new(&mut self.changes).poll_next(cx) {
            Poll::Ready(Some(Err(Lagged(_)))) => {
                let (members, receiver) = self.watch.board.catch_up();
                self.changes = Followed::new(receiver);
                let members = members.iter().map(Present::new).collect();
                Poll::Ready(Some(PresenceChange::Snapshot(members)))
            }
            Poll::Ready(Some(Ok(Audience::Everybody(members)))) => {
                let members = members.iter().map(Present::new).collect();
                Poll::Ready(Some(PresenceChange::Snapshot(members)))
            }
            Poll::Ready(Some(Ok(Audience::Change(change)))) => {
                Poll::Ready(Some(PresenceChange::new(&change)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: Payload> fmt::Debug for PresenceChanges<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PresenceChanges")
            .field(self.watch.hub.name())
            .finish()
    }
}

/// A change on a channel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PresenceChange<S> {
    /// All who are present: first of all, and whenever changes were not read in time.
    Snapshot(Vec<Present<S>>),
    /// Somebody opened the channel, or is within reach again.
    Joined(Present<S>),
    /// Somebody says something else of itself.
    Updated(Present<S>),
    /// Nothing is heard of somebody for 3 s or longer. It is heard again, or lost.
    Silent(Present<S>),
    /// Somebody who was silent is heard again.
    Heard(Present<S>),
    /// Somebody closed the channel or stopped in peace.
    Left(Present<S>),
    /// Nothing was heard of somebody for so long that it counts as gone: crashed, or cut off.
    Lost(Present<S>),
}

impl<S: Payload> PresenceChange<S> {
    fn new(change: &meshcast_proto::PresenceChange) -> Self {
        use meshcast_proto::PresenceChange as Change;
        match change {
            Change::Joined(it) => Self::Joined(Present::new(it)),
            Change::Updated(it) => Self::Updated(Present::new(it)),
            Change::Silent(it) => Self::Silent(Present::new(it)),
            Change::Heard(it) => Self::Heard(Present::new(it)),
            Change::Left(it) => Self::Left(Present::new(it)),
            Change::Lost(it) => Self::Lost(Present::new(it)),
        }
    }
}

impl<S> PresenceChange<S> {
    /// A word for logs and reports: `snapshot`, `joined`, `updated`, `silent`, `heard`, `left` or
    /// `lost`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Snapshot(_) => "snapshot",
            Self::Joined(_) => "joined",
            Self::Updated(_) => "updated",
            Self::Silent(_) => "silent",
            Self::Heard(_) => "heard",
            Self::Left(_) => "left",
            Self::Lost(_) => "lost",
        }
    }

    /// The member that it is about; `None` for a snapshot.
    pub const fn member(&self) -> Option<&Present<S>> {
        match self {
            Self::Snapshot(_) => None,
            Self::Joined(it)
            | Self::Updated(it)
            | Self::Silent(it)
            | Self::Heard(it)
            | Self::Left(it)
            | Self::Lost(it) => Some(it),
        }
    }
}

/// A member that is, or was, present on a channel.
#[derive(Debug, Clone)]
pub struct Present<S> {
    member: Arc<Member>,
    since: WallTime,
    is_silent: bool,
    state: Result<Option<S>, DecodeError>,
}

impl<S: Payload> Present<S> {
    fn new(presence: &meshcast_proto::Presence) -> Self {
        let state = presence.state.as_deref().map(value::from_bytes).transpose();
        Self {
            member: Arc::clone(&presence.member),
            since: presence.since,
            is_silent: presence.is_silent,
            state,
        }
    }
}

impl<S> Present<S> {
    /// Its name.
    pub fn name(&self) -> &NodeName {
        &self.member.credential().name
    }

    /// Its region.
    pub fn region(&self) -> &Region {
        &self.member.credential().region
    }

    /// Its peer id.
    pub fn peer_id(&self) -> PeerId {
        peer_id(self.member.sender())
    }

    /// Since when it has the channel open, by its own clock.
    pub const fn since(&self) -> WallTime {
        self.since
    }

    /// Nothing was heard of it for 3 s or longer.
    pub const fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Its state; `None` if it has set none, or one that is no `S`.
    pub fn state(&self) -> Option<&S> {
        self.state.as_ref().ok()?.as_ref()
    }

    /// Why what it says of itself is no `S`.
    pub const fn undecodable(&self) -> Option<&DecodeError> {
        match &self.state {
            Ok(_) => None,
            Err(error) => Some(error),
        }
    }
}

/// Why a state was not set.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PresenceError {
    /// The state is over the limit; both in encoded bytes.
    #[error("state of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// [`Presence::MAX_STATE_BYTES`].
        limit: usize,
    },
    /// The state cannot be encoded.
    #[error("state cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// The node has let go of the channel, or has stopped.
    #[error("the channel is closed")]
    Closed,
}

#[cfg(test)]
mod tests;
