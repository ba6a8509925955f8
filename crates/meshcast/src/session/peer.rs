//! The connections to one peer: which of them takes the messages, and from which they are heard.

use std::collections::VecDeque;

use libp2p::{PeerId, swarm::ConnectionId};

use super::{CloseReason, SessionEvent, handler::Report, queue::Outbox};

#[derive(Debug)]
pub(super) struct Peer {
    id: PeerId,
    /// The oldest first.
    connections: Vec<Connection>,
    /// The connection whose queue takes the messages. Its outlet is open.
    active: Option<ConnectionId>,
    /// Where the last message came from: a connection, and the number of the inbound stream on it.
    source: Option<(ConnectionId, u32)>,
}

impl Peer {
    pub(super) fn new(id: PeerId) -> Self {
        Self {
            id,
            connections: Vec::new(),
            active: None,
            source: None,
        }
    }

    pub(super) fn on_connected(&mut self, connection: ConnectionId) {
        self.connections.push(Connection {
            id: connection,
            outlet: Outlet::Opening,
            stale: 0,
        });
    }

    pub(super) fn on_disconnected(
        &mut self,
        connection: ConnectionId,
        events: &mut VecDeque<SessionEvent>,
    ) {
        self.connections.retain(|c| c.id != connection);
        self.end_use_of(connection, events);
    }

    /// A connection is about to be closed.
    pub(super) fn leave(&mut self, connection: ConnectionId, events: &mut VecDeque<SessionEvent>) {
        if let Some(left) = self.connection_mut(connection) {
            left.outlet = Outlet::Failed { untold: None };
            self.end_use_of(connection, events);
        }
    }

    /// Another connection takes over, if this was the one in use.
    fn end_use_of(&mut self, connection: ConnectionId, events: &mut VecDeque<SessionEvent>) {
        if self.active == Some(connection) {
            events.push_back(SessionEvent::Closed {
                peer: self.id,
                connection,
                reason: CloseReason::Disconnected,
            });
            self.activate(events);
        }
    }

    pub(super) fn on_report(
        &mut self,
        from: ConnectionId,
        report: Report,
        events: &mut VecDeque<SessionEvent>,
    ) {
        match report {
            Report::Opened(outbox) => self.on_opened(from, outbox, events),
            Report::Closed(reason) => self.on_stream_closed(from, reason, events),
            Report::Writable => {
                if self.active == Some(from) {
                    events.push_back(SessionEvent::Writable { peer: self.id });
                }
            }
            Report::Message { stream, bytes } => {
                let another = self.source.is_some_and(|source| source != (from, stream));
                if self.is_current(from, stream) {
                    if another {
                        self.begin_anew(events);
                    }
                    events.push_back(SessionEvent::Message {
                        peer: self.id,
                        bytes,
                    });
                } else {
                    tracing::debug!(peer = %self.id, "a message on a stream left behind is dropped");
                }
            }
        }
    }

    /// The queue in use.
    pub(super) fn outbox(&self) -> Option<&Outbox> {
        let active = self.active?;
        self.connections
            .iter()
            .find(|c| c.id == active)
            .and_then(|c| match &c.outlet {
                Outlet::Open(outbox) => Some(outbox),
                _ => None,
            })
    }

    /// Where the peer's messages come from.
    #[cfg(test)]
    pub(super) fn source_connection(&self) -> Option<ConnectionId> {
        self.source.map(|(connection, _)| connection)
    }

    /// Whether the last connection is closed.
    pub(super) fn is_gone(&self) -> bool {
        self.connections.is_empty()
    }

    fn on_opened(&mut self, on: ConnectionId, outbox: Outbox, events: &mut VecDeque<SessionEvent>) {
        if let Some(connection) = self.connection_mut(on)
            && !matches!(connection.outlet, Outlet::Failed { .. })
        {
            connection.outlet = Outlet::Open(outbox);
        }
        if self.active.is_none() {
            self.activate(events);
        }
    }

    fn on_stream_closed(
        &mut self,
        on: ConnectionId,
        reason: CloseReason,
        events: &mut VecDeque<SessionEvent>,
    ) {
        let was_active = self.active == Some(on);
        let in_reserve = !was_active && self.active.is_some();
        let Some(connection) = self.connection_mut(on) else {
            return;
        };
        if matches!(connection.outlet, Outlet::Failed { .. }) {
            return;
        }
        connection.outlet = if reason.is_final() {
            Outlet::Failed {
                untold: in_reserve.then_some(reason),
            }
        } else {
            Outlet::Opening
        };
        if !in_reserve {
            events.push_back(SessionEvent::Closed {
                peer: self.id,
                connection: on,
                reason,
            });
        }
        if was_active {
            self.activate(events);
        }
    }

    /// Puts the oldest open connection to use, or tells of those that were in reserve and will
    /// never open.
    fn activate(&mut self, events: &mut VecDeque<SessionEvent>) {
        let peer = self.id;
        self.active = self
            .connections
            .iter()
            .find(|c| matches!(c.outlet, Outlet::Open(_)))
            .map(|c| c.id);
        if self.active.is_some() {
            events.push_back(SessionEvent::Opened { peer });
            return;
        }
        for Connection {
            id: connection,
            outlet,
            ..
        } in &mut self.connections
        {
            if let Outlet::Failed { untold } = outlet
                && let Some(reason) = untold.take()
            {
                events.push_back(SessionEvent::Closed {
                    peer,
                    connection: *connection,
                    reason,
                });
            }
        }
    }

    /// The peer has left a stream for another, so it takes its session for closed and opened: what
    /// it was told before, it has forgotten. Our own stream is as it was, but what was said on it
    /// is to be said again.
    fn begin_anew(&self, events: &mut VecDeque<SessionEvent>) {
        if let Some(connection) = self.active {
            let (peer, reason) = (self.id, CloseReason::Renewed);
            events.push_back(SessionEvent::Closed {
                peer,
                connection,
                reason,
            });
            events.push_back(SessionEvent::Opened { peer });
        }
    }

    /// Whether a message on this stream is to be heard. The first one on a stream other than the
    /// last leaves that one behind for good: a peer never comes back to a stream.
    fn is_current(&mut self, on: ConnectionId, stream: u32) -> bool {
        if self.source == Some((on, stream)) {
            return true;
        }
        if self.connection_mut(on).is_none_or(|c| stream <= c.stale) {
            return false;
        }
        if let Some((left, stream)) = self.source.replace((on, stream))
            && let Some(connection) = self.connection_mut(left)
        {
            connection.stale = stream;
        }
        true
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|c| c.id == id)
    }
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    outlet: Outlet,
    /// Inbound streams up to this number were left by the peer for another one.
    stale: u32,
}

#[derive(Debug)]
enum Outlet {
    Opening,
    Open(Outbox),
    /// For good. While another connection is in use that is nobody's concern, so the reason is kept
    /// until it is.
    Failed {
        untold: Option<CloseReason>,
    },
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use meshcast_proto::{Budget, Payer};

    use super::*;
    use crate::session::{Oversized, SessionConfig, queue::queue};

    const OLD: usize = 1;
    const YOUNG: usize = 2;
    const OVERSIZED: CloseReason = CloseReason::Oversized(Oversized { size: 2, limit: 1 });

    #[test]
    fn the_one_that_opens_first_is_used_until_it_breaks() {
        let mut world = World::new(&[OLD, YOUNG]);
        assert_eq!(world.report(YOUNG, opened()), [world.opened()]);
        assert_eq!(world.report(OLD, opened()), []);
        assert_eq!(world.peer.active, Some(id(YOUNG)));
        let expected = [world.closed(YOUNG, CloseReason::Reset), world.opened()];
        assert_eq!(
            world.report(YOUNG, Report::Closed(CloseReason::Reset)),
            expected
        );
        assert_eq!(world.report(YOUNG, opened()), []);
        assert_eq!(world.peer.active, Some(id(OLD)));
        let expected = [world.closed(OLD, CloseReason::Disconnected), world.opened()];
        assert_eq!(world.disconnect(OLD), expected);
    }

    #[test]
    fn the_oldest_takes_over() {
        let mut world = World::new(&[OLD, YOUNG, 3]);
        for connection in [3, YOUNG, OLD] {
            world.report(connection, opened());
        }
        world.disconnect(3);
        assert_eq!(world.peer.active, Some(id(OLD)));
    }

    #[test]
    fn one_that_is_left_hands_over_before_it_is_closed() {
        let mut world = World::new(&[OLD, YOUNG]);
        world.report(OLD, opened());
        let mut events = VecDeque::new();
        world.peer.leave(id(OLD), &mut events);
        assert_eq!(events, [world.closed(OLD, CloseReason::Disconnected)]);
        assert_eq!(world.report(OLD, Report::Closed(CloseReason::Reset)), []);
        assert_eq!(world.report(OLD, opened()), []);
        assert_eq!(world.report(YOUNG, opened()), [world.opened()]);
        assert_eq!(world.disconnect(OLD), []);
        assert_eq!(world.peer.active, Some(id(YOUNG)));
    }

    #[test]
    fn a_failure_in_reserve_is_told_when_nothing_else_is_left() {
        let mut world = World::new(&[OLD, YOUNG]);
        world.report(OLD, opened());
        assert_eq!(world.report(YOUNG, Report::Closed(CloseReason::Broken)), []);
        assert_eq!(world.report(YOUNG, Report::Closed(OVERSIZED)), []);
        let expected = [
            world.closed(OLD, CloseReason::Disconnected),
            world.closed(YOUNG, CloseReason::Broken),
        ];
        assert_eq!(world.disconnect(OLD), expected);
        assert_eq!(world.disconnect(YOUNG), []);
        assert!(world.peer.is_gone());
    }

    #[test]
    fn an_end_is_told_once() {
        let mut world = World::new(&[OLD]);
        let expected = [world.closed(OLD, CloseReason::Unsupported)];
        assert_eq!(
            world.report(OLD, Report::Closed(CloseReason::Unsupported)),
            expected
        );
        assert_eq!(world.report(OLD, Report::Closed(OVERSIZED)), []);
        assert_eq!(world.disconnect(OLD), []);
    }

    #[test]
    fn a_stream_left_behind_is_not_heard_any_more() {
        let mut world = World::new(&[OLD, YOUNG]);
        let heard = [
            (YOUNG, 1),
            (OLD, 1),
            (YOUNG, 1),
            (OLD, 1),
            (YOUNG, 2),
            (OLD, 1),
            (OLD, 2),
        ]
        .map(|(from, stream)| {
            !world
                .report(
                    from,
                    Report::Message {
                        stream,
                        bytes: Bytes::new(),
                    },
                )
                .is_empty()
        });
        assert_eq!(heard, [true, true, false, true, true, false, true]);
    }

    #[test]
    fn a_peer_that_changes_its_stream_is_told_everything_again_before_it_is_heard() {
        let mut world = World::new(&[OLD, YOUNG]);
        world.report(OLD, opened());
        let message = |stream| Report::Message {
            stream,
            bytes: Bytes::new(),
        };
        let peer = world.peer.id;
        let heard = || SessionEvent::Message {
            peer,
            bytes: Bytes::new(),
        };
        assert_eq!(world.report(OLD, message(1)), [heard()]);
        let expected = [
            world.closed(OLD, CloseReason::Renewed),
            world.opened(),
            heard(),
        ];
        assert_eq!(world.report(YOUNG, message(1)), expected);
        assert_eq!(world.report(YOUNG, message(1)), [heard()]);
        assert_eq!(world.report(OLD, message(1)), []);
    }

    struct World {
        peer: Peer,
    }

    impl World {
        fn new(connections: &[usize]) -> Self {
            let mut peer = Peer::new(PeerId::random());
            for connection in connections {
                peer.on_connected(id(*connection));
            }
            Self { peer }
        }

        fn report(&mut self, from: usize, report: Report) -> Vec<SessionEvent> {
            let mut events = VecDeque::new();
            self.peer.on_report(id(from), report, &mut events);
            events.into()
        }

        fn disconnect(&mut self, connection: usize) -> Vec<SessionEvent> {
            let mut events = VecDeque::new();
            self.peer.on_disconnected(id(connection), &mut events);
            events.into()
        }

        fn opened(&self) -> SessionEvent {
            SessionEvent::Opened { peer: self.peer.id }
        }

        fn closed(&self, connection: usize, reason: CloseReason) -> SessionEvent {
            SessionEvent::Closed {
                peer: self.peer.id,
                connection: id(connection),
                reason,
            }
        }
    }

    fn id(connection: usize) -> ConnectionId {
        ConnectionId::new_unchecked(connection)
    }

    fn opened() -> Report {
        let (outbox, _) = queue(
            &SessionConfig::default(),
            Budget::default().account(Payer::Ourselves),
        );
        Report::Opened(outbox)
    }
}
