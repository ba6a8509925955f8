//! A session to every peer: opaque messages, both ways, in order and without loss while its stream
//! lives.
//!
//! Gossip carries what everyone is to hear. A session carries what two peers have to say to each
//! other, and knows nothing of what is inside.
//!
//! May use: libp2p, the memory budget and `ids`.
//! Must not: know the protocol, so no message is read here, and nothing is repeated or judged; read
//! a clock, or start a task.
//!
//! # What holds
//!
//! Between [`SessionEvent::Opened`] and [`SessionEvent::Closed`] the peer hears a prefix of what
//! [`Sessions::send`] accepted, each message once and whole, in the order of the calls. At `Closed`
//! the rest is lost, queued or under way: what must arrive is to be said again after the next
//! `Opened`. A message accepted before a `Closed` is never heard after one accepted later.
//!
//! The session changes when an event is made, a poll of the swarm before it is seen. A message sent
//! before its sender has seen a `Closed` may already be heard on the stream that follows it, so
//! what is said again may be heard twice.
//!
//! Every `Opened` is followed by one `Closed`. A `Closed` without an `Opened` before it says why a
//! connection has no session.
//!
//! # Two connections
//!
//! Peers that dial each other at the same time end up with two connections. Each of them has a
//! stream each way, but messages to a peer take one: that of the oldest connection that is open
//! when there is none in use, and from then on the same one until it breaks, even if that of an
//! older connection opens later. Then `Closed` and, if the other connection is there to take over,
//! `Opened` are reported, and the queue of the broken one is lost.
//!
//! The receiver sees the change of stream in the first message that comes the new way. It drops
//! what the abandoned stream still brings: the sender has reported it as lost already, and it would
//! arrive out of order. Before that message it reports `Closed` and `Opened` itself, though its own
//! stream goes on: the two directions change apart from each other, and whoever had a session
//! closed and opened wants to be told everything anew.
//!
//! # Bounds
//!
//! Outbound, a queue to each peer has a bound in bytes and in messages; over it [`Sessions::send`]
//! gives the message back. Beyond the queue, one large message and 16 KiB of small ones are on
//! their way into the stream. Inbound, the handler stops reading while the swarm is not polled, and
//! flow control hands that on to the sender, see [`Handler`].

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent, ToSwarm,
        behaviour::{ConnectionClosed, ConnectionEstablished},
    },
};
use meshcast_proto::Budget;

use crate::ids::payer;

#[cfg(test)]
pub(crate) use self::queue::QueueDepth;
pub(crate) use self::{framing::Oversized, handler::Handler};
use self::{
    handler::{REOPENINGS, Report},
    peer::Peer,
    read_gate::ReadGate,
};

mod framing;
mod handler;
mod peer;
mod queue;
mod read_gate;
mod stream;
#[cfg(test)]
mod tests;

/// The largest message: an answer to a range request is cut at 256 KiB of frames, but ends with a
/// whole frame, and carries its own overhead. Twice the cut leaves no doubt and is still read in
/// one piece without harm.
pub(crate) const MAX_MESSAGE: u32 = 512 * 1024;

/// Bytes that may wait for one peer: two of the largest messages, so that after `Writable`, at
/// half, any message fits. A peer that takes a gigabit a second empties it in 8 ms; a hundred that
/// take nothing cost 100 MiB.
pub(crate) const QUEUE_BYTES: usize = 2 * MAX_MESSAGE as usize;

/// Messages that may wait for one peer. Acks and digests are small, and a queue of them bounded by
/// bytes alone would be thousands deep: each of them stale by the time it leaves.
pub(crate) const QUEUE_MESSAGES: usize = 256;

/// The bounds of [`Sessions`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionConfig {
    /// Largest message, sent or received. Both ends need the same: a longer one ends the session.
    pub(crate) max_message: u32,
    /// Bytes that may wait for one peer. An empty queue takes one message whatever its size.
    pub(crate) queue_bytes: usize,
    /// Messages that may wait for one peer.
    pub(crate) queue_messages: usize,
}

impl SessionConfig {
    fn max_message(&self) -> usize {
        usize::try_from(self.max_message).unwrap_or(usize::MAX)
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            max_message: MAX_MESSAGE,
            queue_bytes: QUEUE_BYTES,
            queue_messages: QUEUE_MESSAGES,
        }
    }
}

/// What happened on the session to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionEvent {
    /// Messages to the peer flow from here on.
    Opened {
        /// Whom they go to.
        peer: PeerId,
    },
    /// The peer sent a message.
    Message {
        /// Who sent it.
        peer: PeerId,
        /// What it sent.
        bytes: Bytes,
    },
    /// Messages to the peer do not flow: those accepted and not yet delivered are lost.
    Closed {
        /// Whom they went to.
        peer: PeerId,
        /// The connection concerned, which is to be closed if the reason [is
        /// final](CloseReason::is_final).
        connection: ConnectionId,
        /// What ended it.
        reason: CloseReason,
    },
    /// The queue to the peer refused a message as [`SendError::Full`] and is down to half of its
    /// bounds.
    Writable {
        /// Whose queue it is.
        peer: PeerId,
    },
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CloseReason {
    /// The connection is closed.
    #[error("the connection closed")]
    Disconnected,
    /// The stream broke or could not be negotiated. It is being opened anew.
    #[error("the stream broke and is opened anew")]
    Reset,
    /// The peer left its own stream for another and has forgotten what it was told. Nothing is lost
    /// on the way to it, but all is to be said again.
    #[error("the peer begins anew")]
    Renewed,
    /// The stream broke once more after it had been opened anew as often as is allowed.
    #[error("the stream broke after {REOPENINGS} reopenings")]
    Broken,
    /// The peer does not speak the protocol.
    #[error("the peer does not speak {}", handler::PROTOCOL)]
    Unsupported,
    /// The peer announced a message longer than we allow. Both streams are dropped.
    #[error(transparent)]
    Oversized(#[from] Oversized),
}

impl CloseReason {
    /// Whether no session will open on this connection any more. The connection stays: whether it
    /// is worth keeping without a session is for the owner of the swarm to say.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Broken | Self::Unsupported | Self::Oversized(_))
    }
}

/// Why a message was not accepted. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SendError {
    /// There is no stream to the peer: not connected, not negotiated yet, or broken with `Closed`
    /// on its way.
    #[error("no session to the peer is open")]
    NotConnected,
    /// The queue is at one of its bounds. `Writable` is reported when it has room.
    #[error("the queue to the peer is full")]
    Full {
        /// The message, to be tried again.
        message: Bytes,
    },
    /// The message is longer than a session carries. No retry will help.
    #[error("a message of {size} bytes where {limit} are allowed")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The largest size allowed.
        limit: usize,
    },
}

/// The behaviour that keeps a session to every connected peer.
#[derive(Debug)]
pub(crate) struct Sessions {
    config: SessionConfig,
    budget: Budget,
    /// The read gates of peers that are about to be connected or are.
    read_gates: HashMap<PeerId, Arc<ReadGate>>,
    /// The connected peers.
    peers: HashMap<PeerId, Peer>,
    /// Filled from within the swarm's poll, which drains it before it takes more from a connection,
    /// and by [`Sessions::leave`].
    events: VecDeque<SessionEvent>,
}

impl Sessions {
    pub(crate) fn new(config: SessionConfig) -> Self {
        Self {
            config,
            budget: Budget::default(),
            read_gates: HashMap::new(),
            peers: HashMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Messages for peers on connections to come are charged to this budget.
    pub(crate) fn charge_to(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Reads no more of what a peer says than is [granted](Self::grant); or everything again. Ends
    /// with its last connection.
    pub(crate) fn set_throttled(&mut self, peer: &PeerId, throttled: bool) {
        if let Some(read_gate) = self.read_gates.get(peer) {
            read_gate.set_throttled(throttled);
        }
    }

    /// Reads nothing of what a peer says; or as before. Ends with its last connection.
    pub(crate) fn set_paused(&mut self, peer: &PeerId, paused: bool) {
        if let Some(read_gate) = self.read_gates.get(peer) {
            read_gate.set_paused(paused);
        }
    }

    /// Lets those who are throttled say so many messages more each.
    pub(crate) fn grant(&self, messages: u32) {
        let throttled = self
            .read_gates
            .values()
            .filter(|read_gate| read_gate.is_throttled());
        throttled.for_each(|read_gate| read_gate.grant(messages));
    }

    fn handler(&mut self, peer: PeerId) -> Handler {
        let read_gate = Arc::clone(self.read_gates.entry(peer).or_default());
        Handler::new(self.config, self.budget.account(payer(&peer)), read_gate)
    }

    /// Queues a message to a peer. Never blocks: what does not fit is given back.
    pub(crate) fn send(&mut self, peer: &PeerId, message: Bytes) -> Result<(), SendError> {
        let (size, limit) = (message.len(), self.config.max_message());
        if size > limit {
            return Err(SendError::TooLarge { size, limit });
        }
        let outbox = self
            .peers
            .get(peer)
            .and_then(Peer::outbox)
            .ok_or(SendError::NotConnected)?;
        outbox.push(message)
    }

    /// Uses a connection no more, as if it were closed: closing may take its time. Whoever calls
    /// this closes it, and polls the swarm.
    pub(crate) fn leave(&mut self, peer: &PeerId, connection: ConnectionId) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.leave(connection, &mut self.events);
        }
    }

    /// What waits for a peer; `None` without an open session.
    #[cfg(test)]
    pub(crate) fn queue_depth(&self, peer: &PeerId) -> Option<QueueDepth> {
        Some(self.peers.get(peer)?.outbox()?.queue_depth())
    }
}

impl NetworkBehaviour for Sessions {
    type ConnectionHandler = Handler;
    type ToSwarm = SessionEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    /// Connections are counted from this event on, not from the making of their handler: another
    /// behaviour may still have denied them then.
    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            }) => {
                self.peers
                    .entry(peer_id)
                    .or_insert_with(|| Peer::new(peer_id))
                    .on_connected(connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id,
                ..
            }) => {
                let Some(peer) = self.peers.get_mut(&peer_id) else {
                    return;
                };
                peer.on_disconnected(connection_id, &mut self.events);
                if peer.is_gone() {
                    self.peers.remove(&peer_id);
                    self.read_gates.remove(&peer_id);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        id: PeerId,
        connection: ConnectionId,
        report: Report,
    ) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.on_report(connection, report, &mut self.events);
        }
    }

    /// No waker is kept: `send` makes no events, and after everything that does the swarm polls
    /// again by itself.
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<SessionEvent, THandlerInEvent<Self>>> {
        self.events.pop_front().map_or(Poll::Pending, |event| {
            Poll::Ready(ToSwarm::GenerateEvent(event))
        })
    }
}
