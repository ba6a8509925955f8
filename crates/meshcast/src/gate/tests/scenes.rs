//! Who stands at which gate, and how they meet.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm, ping,
    swarm::{self, SwarmEvent, dial_opts::DialOpts},
};
use meshcast_proto::{
    Authority, Budget, Credential, Identity, Keypair, MeshId, MeshKey, NodeName, Region, Trust,
    WallTime,
};

use super::super::{Clock, Gate, GateError};
use crate::{
    ids::peer_id,
    transport::{Handshake, refusal_reason, tcp},
};

pub(super) type Node = Swarm<ping::Behaviour>;
pub(super) type Event = SwarmEvent<ping::Event>;

/// The result of a connection at one end: the peer, or the reason if there is one.
pub(super) type End = Result<PeerId, Option<GateError>>;

pub(super) const NOW: WallTime = WallTime::from_unix_millis(1_700_000_000_000);
pub(super) const MESH: MeshId = MeshId::new([9; 16]);
pub(super) const REGION: &str = "somewhere";

/// How a node may dial.
pub(super) const BOTH: [Handshake; 2] = [Handshake::Tls, Handshake::Noise];

pub(super) fn clock() -> Clock {
    Arc::new(|| NOW)
}

/// A node of simple mode: the mesh with key number `key`, process number `boot`.
pub(super) fn simple(name: &str, key: u8, boot: u8) -> (Identity, Trust) {
    let key = MeshKey::from_entropy([key; 48]);
    let entropy = std::array::from_fn(|i| if i < 32 { boot } else { boot + 100 });
    let name = NodeName::new(name).expect("allowed");
    let region = Region::new(REGION).expect("allowed");
    let identity = Identity::from_mesh_key(&key, name, region, entropy, NOW);
    (identity, Trust::from(&key))
}

pub(super) fn authority(number: u8) -> Authority {
    Authority::new(MESH, Keypair::from_seed([number; 32]))
}

/// A node of managed mode in [`MESH`], believing its own authority, with a new boot key.
pub(super) fn managed(authority_number: u8, valid: (WallTime, WallTime)) -> (Identity, Trust) {
    let member = Keypair::from_seed([77; 32]);
    let authority = authority(authority_number);
    let credential = authority.issue(&Credential {
        subject: member.public(),
        name: NodeName::new("managed").expect("allowed"),
        region: Region::new(REGION).expect("allowed"),
        not_before: valid.0,
        not_after: valid.1,
        serial: 1,
    });
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("random bytes");
    let identity = Identity::new(&credential, &member, Keypair::from_seed(seed), NOW)
        .expect("its own credential");
    (identity, Trust::new(MESH, vec![authority.public()]))
}

pub(super) fn gate((identity, trust): &(Identity, Trust)) -> Gate {
    Gate::new(
        identity.clone(),
        trust.clone(),
        clock(),
        16,
        Budget::default(),
    )
}

pub(super) fn swarm(gate: &Gate) -> Node {
    swarm_that(gate, Handshake::Tls)
}

pub(super) fn swarm_that(gate: &Gate, proposes: Handshake) -> Node {
    let peer = peer_id(gate.admission().identity().sender());
    let config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(Duration::from_secs(3600));
    let transport = tcp(gate, proposes).expect("sets up");
    Swarm::new(transport, ping::Behaviour::default(), peer, config)
}

pub(super) async fn listen(swarm: &mut Node) -> Multiaddr {
    swarm
        .listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address"))
        .expect("listens");
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = next(swarm).await {
            return address;
        }
    }
}

/// How two meet, whichever way one dials the other.
pub(super) async fn meet_as(dialer: (Identity, Trust), listener: (Identity, Trust)) -> (End, End) {
    let mut met = Vec::new();
    for how in BOTH {
        let mut dialer = swarm_that(&gate(&dialer), how);
        met.push(meet(&mut dialer, &mut swarm(&gate(&listener))).await);
    }
    assert_eq!(met[0], met[1], "the handshakes tell the same");
    met[0]
}

/// Lets one dial the other, and says how it came out at either end.
pub(super) async fn meet(dialer: &mut Node, listener: &mut Node) -> (End, End) {
    let address = listen(listener).await;
    dialer.dial(address).expect("dials");
    let (mut here, mut there) = (None, None);
    loop {
        tokio::select! {
            event = next(dialer) => here = here.or_else(|| end_of(&event)),
            event = next(listener) => there = there.or_else(|| end_of(&event)),
        }
        if let (Some(here), Some(there)) = (here, there) {
            return (here, there);
        }
    }
}

pub(super) fn end_of(event: &Event) -> Option<End> {
    match event {
        SwarmEvent::ConnectionEstablished { peer_id, .. } => Some(Ok(*peer_id)),
        SwarmEvent::OutgoingConnectionError { error, .. } => Some(Err(refusal_reason(error))),
        SwarmEvent::IncomingConnectionError { error, .. } => Some(Err(refusal_reason(error))),
        // Whoever is turned away at the door.
        SwarmEvent::ListenerError { .. } => Some(Err(Some(GateError::Foreign))),
        _ => None,
    }
}

/// The next outcome of a connection at this node.
pub(super) async fn next_end(swarm: &mut Node) -> End {
    loop {
        if let Some(end) = end_of(&next(swarm).await) {
            return end;
        }
    }
}

pub(super) async fn next(swarm: &mut Node) -> Event {
    within(swarm.select_next_some()).await
}

/// No test waits longer than this for anything; only a hanging one gets there.
pub(super) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("happens in time")
}

/// Waits for what other tasks are about to bring about.
pub(super) async fn eventually(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(super) fn name_of(gate: &Gate, other: &Node) -> Option<String> {
    let member = gate.admitted().get(other.local_peer_id())?;
    Some(member.credential().name.as_str().to_owned())
}

/// Another port for each connection: from one port to one port there is only one.
pub(super) fn new_port(address: &Multiaddr) -> DialOpts {
    DialOpts::unknown_peer_id()
        .address(address.clone())
        .allocate_new_port()
        .build()
}

pub(super) fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(libp2p::multiaddr::Protocol::Tcp(address.port()))
}

pub(super) fn socket_addr(address: &Multiaddr) -> SocketAddr {
    use libp2p::multiaddr::Protocol::{Ip4, Tcp};
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Ip4(ip)), Some(Tcp(port))) => (ip, port).into(),
        other => panic!("no TCP address: {other:?}"),
    }
}
