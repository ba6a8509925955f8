//! Sessions that drop the first streams its peers open.

use std::task::{Context, Poll};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, SubstreamProtocol, THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::ConnectionEvent,
    },
};

use crate::session::{Handler, SessionEvent, Sessions};

pub(super) struct Flaky {
    inner: Sessions,
    /// How many streams of a connection are dropped.
    drops: usize,
}

impl Flaky {
    pub(super) fn new(inner: Sessions, drops: usize) -> Self {
        Self { inner, drops }
    }
}

impl NetworkBehaviour for Flaky {
    type ConnectionHandler = FlakyHandler;
    type ToSwarm = SessionEvent;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<FlakyHandler, ConnectionDenied> {
        let handler = self
            .inner
            .handle_established_inbound_connection(id, peer, local, remote)?;
        Ok(FlakyHandler {
            handler,
            drops: self.drops,
        })
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<FlakyHandler, ConnectionDenied> {
        let handler = self
            .inner
            .handle_established_outbound_connection(id, peer, address, role, port)?;
        Ok(FlakyHandler {
            handler,
            drops: self.drops,
        })
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<SessionEvent, THandlerInEvent<Self>>> {
        self.inner.poll(cx)
    }
}

pub(super) struct FlakyHandler {
    handler: Handler,
    drops: usize,
}

impl ConnectionHandler for FlakyHandler {
    type FromBehaviour = <Handler as ConnectionHandler>::FromBehaviour;
    type ToBehaviour = <Handler as ConnectionHandler>::ToBehaviour;
    type InboundProtocol = <Handler as ConnectionHandler>::InboundProtocol;
    type OutboundProtocol = <Handler as ConnectionHandler>::OutboundProtocol;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        self.handler.listen_protocol()
    }

    fn connection_keep_alive(&self) -> bool {
        self.handler.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        self.handler.poll(cx)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.handler.on_behaviour_event(event);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        if matches!(event, ConnectionEvent::FullyNegotiatedInbound(_)) && self.drops > 0 {
            self.drops -= 1;
            return;
        }
        self.handler.on_connection_event(event);
    }
}
