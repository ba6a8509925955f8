//! A swarm over memory with what it has told.

use std::{collections::VecDeque, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder,
    core::{Transport as _, transport::MemoryTransport, upgrade},
    multiaddr::Protocol,
    plaintext,
    swarm::{ConnectionId, NetworkBehaviour, SwarmEvent},
    yamux,
};

pub(crate) struct Node<B: NetworkBehaviour> {
    pub(crate) swarm: Swarm<B>,
    events: VecDeque<B::ToSwarm>,
    /// Those that are open, the oldest first.
    pub(crate) connections: Vec<ConnectionId>,
}

impl<B: NetworkBehaviour> Node<B> {
    pub(crate) fn new(behaviour: B) -> Self {
        let swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_other_transport(|key| {
                MemoryTransport::default()
                    .upgrade(upgrade::Version::V1)
                    .authenticate(plaintext::Config::new(key))
                    .multiplex(yamux::Config::default())
            })
            .expect("infallible")
            .with_behaviour(|_| behaviour)
            .expect("infallible")
            .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
            .build();
        Self {
            swarm,
            events: VecDeque::new(),
            connections: Vec::new(),
        }
    }

    pub(crate) fn id(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    pub(crate) async fn dial<C: NetworkBehaviour>(&mut self, other: &mut Node<C>) {
        let address = other.address().await.with(Protocol::P2p(other.id()));
        self.swarm.dial(address).expect("the address is good");
        let (here, there) = (self.connections.len(), other.connections.len());
        guard(async {
            while self.connections.len() == here || other.connections.len() == there {
                tokio::select! { () = self.step() => {}, () = other.step() => {} }
            }
        })
        .await;
    }

    pub(crate) async fn address(&mut self) -> Multiaddr {
        self.swarm
            .listen_on(Protocol::Memory(0).into())
            .expect("memory listens");
        guard(async {
            while self.swarm.listeners().next().is_none() {
                self.step().await;
            }
        })
        .await;
        self.swarm.listeners().next().expect("listens").clone()
    }

    /// The next event of the behaviour. Nothing is lost if this is dropped.
    pub(crate) async fn event(&mut self) -> B::ToSwarm {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.step().await;
        }
    }

    pub(crate) async fn run(&mut self) {
        loop {
            self.step().await;
        }
    }

    pub(crate) async fn step(&mut self) {
        match self.swarm.select_next_some().await {
            SwarmEvent::Behaviour(event) => self.events.push_back(event),
            SwarmEvent::ConnectionEstablished { connection_id, .. } => {
                self.connections.push(connection_id)
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                self.connections.retain(|c| *c != connection_id)
            }
            _ => {}
        }
    }
}

/// As in a node: a connection is never closed for being quiet.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// Fails a test that would hang. No test waits for this to pass.
pub(crate) async fn guard<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), future)
        .await
        .expect("nothing happens any more")
}
