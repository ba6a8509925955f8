//! Events of a node.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt};
use libp2p::{Multiaddr, PeerId};
use meshcast_proto::{ChannelName, NodeName, Offence, Region};

use crate::{
    followed::{Followed, Lagged},
    inspect::Direction,
    reason::RefusalKind,
    seed::SeedInfo,
};

/// Something that happened to a node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum NodeEvent {
    /// It listens on another address.
    Listening(Multiaddr),
    /// A member is connected.
    Connected {
        /// Which process.
        peer: PeerId,
        /// Its name.
        name: NodeName,
        /// Its region.
        region: Region,
        /// Who dialled.
        direction: Direction,
    },
    /// A member is no longer connected.
    Disconnected {
        /// Which process.
        peer: PeerId,
        /// Its name.
        name: NodeName,
        /// Its region.
        region: Region,
        /// Why.
        reason: DisconnectReason,
        /// What is known beside that, for people.
        detail: String,
    },
    /// Two processes that are both there have the same name, one of which may be this node: for
    /// 10 s already, so neither is a restart of the other. Nothing is wrong for the mesh, which
    /// tells them apart by their ids; people may not. Told once of each pair.
    Namesake {
        /// The name.
        name: NodeName,
        /// Both processes.
        peers: [PeerId; 2],
    },
    /// A connection was not admitted, by this node or by the other side.
    Refused {
        /// The other end.
        address: Multiaddr,
        /// Who dialled.
        direction: Direction,
        /// Why.
        reason: RefusalKind,
        /// What is known beside that, for people.
        detail: String,
    },
    /// A [seed](crate::NodeBuilder::seed) is doing otherwise than before. One that comes and goes
    /// all the time is told of now and then only; how it is doing at the moment is in
    /// [`Snapshot::seeds`](crate::Snapshot::seeds).
    Seed(SeedInfo),
    /// Gossip dropped frames to a peer because its queue was full or too slow.
    Slow {
        /// Which peer.
        peer: PeerId,
        /// How many.
        dropped: usize,
    },
    /// Gossip from a connected member does not arrive, though what it posts had to be fetched: its
    /// connections are closed, and it is dialled again. Nothing is lost by it.
    Mute {
        /// Which process.
        peer: PeerId,
        /// Its name.
        name: NodeName,
    },
    /// A post of a member was dropped: the member is not connected, was not heard before, and by
    /// its clock the post is older than anything that is kept. Its clock is behind, or somebody
    /// repeats old frames. Told once a minute of each sender;
    /// [`frames_stale`](crate::ProtocolCounters::frames_stale) counts all.
    Stale {
        /// On which channel.
        channel: ChannelName,
        /// Which process posted it.
        peer: PeerId,
        /// Its name.
        name: NodeName,
        /// How long ago, by its clock and this one.
        behind: Duration,
    },
    /// Posts of a member on a channel are dropped: there is no memory to follow one more channel of
    /// it. Told once a minute of each sender;
    /// [`logs_refused`](crate::ProtocolCounters::logs_refused) counts all.
    NoRoom {
        /// On which channel.
        channel: ChannelName,
        /// Which process posted it.
        peer: PeerId,
        /// Its name.
        name: NodeName,
    },
    /// A member does what no honest one does, or not so often: claims what it does not have, hands
    /// on what nobody signed, wants more than its share. Its messages are read at a fraction of its
    /// rate from now on.
    Misbehaving {
        /// Which process.
        peer: PeerId,
        /// Its name, if it is connected.
        name: Option<NodeName>,
        /// What it did last.
        offence: Offence,
        /// It went on: its connections are closed and it is not let in again.
        cut: bool,
    },
    /// This many events were not read in time and are gone.
    Lagged(u64),
}

/// Why a member is no longer connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// It stopped in peace, and said so.
    Left,
    /// The connection broke: the process crashed, or something between closed it.
    Lost,
    /// Nothing was heard of it for 4 s, so the connection counts as dead.
    Silent,
    /// It did not read what it was sent, or said more than can wait.
    Slow,
    /// Its gossip did not arrive; it is dialled again.
    Mute,
    /// It misbehaved, and is refused from now on.
    Misbehaved,
    /// It made way for a member that was connected longer before: there was no more room.
    Displaced,
    /// This node stops.
    Stopped,
}

impl DisconnectReason {
    /// A word for logs and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Lost => "lost",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Mute => "mute",
            Self::Misbehaved => "misbehaved",
            Self::Displaced => "displaced",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The target of log lines that say what an event says too, so that whoever shows events can leave
/// them out.
pub(crate) const TARGET: &str = "meshcast::events";

/// The target of the last line, which says what [`Shutdown`](crate::Shutdown) does. A filter that
/// leaves out [`TARGET`] leaves it out too.
pub(crate) const STOPPED: &str = "meshcast::events::stopped";

/// Events kept for those who watch and do not read.
pub(crate) const EVENTS: usize = 1024;

/// A stream of [`NodeEvent`]s from the moment it was made; ends when the node has stopped.
#[derive(Debug)]
pub struct Events(Followed<NodeEvent>);

impl Events {
    pub(crate) fn new(receiver: tokio::sync::broadcast::Receiver<NodeEvent>) -> Self {
        Self(Followed::new(receiver))
    }

    /// The next event; `None` when the node has stopped. Cancel-safe.
    pub async fn recv(&mut self) -> Option<NodeEvent> {
        self.next().await
    }
}

impl Stream for Events {
    type Item = NodeEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<NodeEvent>> {
        let next = Pin::new(&mut self.0).poll_next(cx);
        next.map(|item| Some(item?.unwrap_or_else(|Lagged(n)| NodeEvent::Lagged(n))))
    }
}
