use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _};
use libp2p::Multiaddr;
use meshcast_proto::Payer;

use super::fixture::{Mesh, addresses, alone, joined, next, open, until, within};
use crate::{
    AccountInfo, Address, Direction, Node, NodeEvent, PingError, RefusalKind, SeedInfo, SeedState,
    Snapshot, ids::payer,
};

#[tokio::test]
async fn a_node_without_seeds_is_ready_and_posting_to_nobody_is_no_error() {
    let node = alone().await;
    let channel = open::<u8>(&node, "earth");
    within(node.ready()).await.expect("runs");
    channel.post_message(&1).expect("posted");
    let snapshot = until(&node, |it| it.counters.traffic.frames_without_peer == 1).await;
    assert_eq!(
        (
            snapshot.counters.posted,
            snapshot.counters.traffic.frames_refused
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn nodes_of_one_machine_with_the_same_port_on_two_addresses_connect() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    let seed = addresses(&a).await.remove(0);
    let port = seed.iter().nth(1).expect("a port");
    let other = Multiaddr::from(std::net::Ipv4Addr::new(127, 0, 0, 2)).with(port);
    let b = Node::builder()
        .key(mesh.0.clone())
        .name("b")
        .listen(other)
        .seed(seed);
    let b = b.spawn().await.expect("starts");
    for node in [&a, &b] {
        let snapshot = until(node, |it| it.peers.len() == 1).await;
        assert_eq!(
            snapshot.counters.connections.refused, 0,
            "it dialled itself"
        );
    }
}

#[tokio::test]
async fn a_node_is_ready_when_its_open_channels_reach_the_members_it_knows() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    let at_a = open::<u8>(&a, "earth");
    let mut heard = at_a.messages();
    let b = mesh.node("b", &[&a]).await;
    let at_b = open::<u8>(&b, "earth");
    within(b.ready()).await.expect("runs");
    at_b.post_message(&1).expect("posted");
    assert_eq!(next(&mut heard).await, 1);
}

#[tokio::test]
async fn a_node_is_ready_also_if_no_seed_answers() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let seed = format!(
        "/ip4/127.0.0.1/tcp/{}",
        free.local_addr().expect("bound").port()
    );
    drop(free);
    let builder = Mesh::new().builder("a").seed(seed);
    let node = builder.seed("does-not-exist.invalid:4001");
    let node = node.spawn().await.expect("starts");
    within(node.ready()).await.expect("runs");
}

#[tokio::test]
async fn a_node_is_ready_also_if_its_peer_has_no_channel() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    let b = mesh.node("b", &[&a]).await;
    let _channel = open::<u8>(&b, "earth");
    until(&b, |it| it.peers.len() == 1).await;
    within(b.ready()).await.expect("runs");
}

#[tokio::test]
async fn a_node_is_ready_also_if_a_seed_takes_the_connection_and_says_nothing() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let seed = format!("127.0.0.1:{port}");
    let node = Mesh::new()
        .builder("a")
        .seed(seed)
        .spawn()
        .await
        .expect("starts");
    within(node.ready()).await.expect("runs");
}

#[tokio::test]
async fn a_seed_that_is_the_node_itself_is_quiet() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: libp2p::Multiaddr = format!(
        "/ip4/127.0.0.1/tcp/{}",
        free.local_addr().expect("bound").port()
    )
    .parse()
    .expect("an address");
    drop(free);
    let port = address.iter().last().expect("a port").to_string();
    // By number, which the swarm leaves out, and by name, which leads through the gate.
    let by_name = format!("/dns4/localhost{port}");
    let builder = Mesh::new()
        .builder("a")
        .listen(address.clone())
        .seed(address)
        .seed(by_name);
    let node = builder.spawn().await.expect("starts");
    within(node.ready()).await.expect("runs");
    let snapshot = node.inspect().await.expect("runs");
    assert_eq!(
        (snapshot.counters.connections.refused, snapshot.peers.len()),
        (0, 0)
    );
}

#[tokio::test]
async fn both_ends_say_who_came_and_who_left() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    let mut events = a.events();
    let b = mesh.node("b", &[&a]).await;
    let id = b.peer_id();
    let connected = within(events.next()).await.expect("an event");
    assert!(
        matches!(connected, NodeEvent::Connected { peer, direction: Direction::Inbound, name, .. }
        if peer == id && name.to_string() == "b")
    );
    within(b.shutdown()).await;
    let left = within(events.next()).await.expect("an event");
    assert!(matches!(left, NodeEvent::Disconnected { peer, .. } if peer == id));
    within(a.shutdown()).await;
    assert!(
        within(events.next()).await.is_none(),
        "events end with the node"
    );
    assert!(within(a.events().next()).await.is_none());
}

#[tokio::test]
async fn a_ping_goes_there_and_back_or_says_why_not() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    let mut events = a.events();
    let b = mesh.node("b", &[&a]).await;
    // At once after it is connected, when there may be no session yet.
    within(events.next()).await.expect("connected");
    within(a.ping(b.peer_id())).await.expect("answered");
    let stranger = libp2p::PeerId::random();
    assert_eq!(
        within(a.ping(stranger)).await,
        Err(PingError::NotConnected(stranger))
    );
    let id = b.peer_id();
    within(b.shutdown()).await;
    until(&a, |it| it.peers.is_empty()).await;
    assert_eq!(within(a.ping(id)).await, Err(PingError::NotConnected(id)));
    within(a.shutdown()).await;
    assert_eq!(within(a.ping(id)).await, Err(PingError::Closed));
}

#[tokio::test]
async fn inspect_shows_channels_and_peers_alike_at_both_ends() {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<u8>(&a, "earth"), open::<u8>(&b, "earth"));
    joined(&[&a, &b], "earth").await;
    let mut heard = at_b.messages();
    at_a.post_message(&1).expect("posted");
    next(&mut heard).await;
    let snapshot = until(&b, |it| {
        it.peers[0].shared_channels == 1 && !it.peers[0].addresses.is_empty()
    })
    .await;
    assert_eq!(snapshot.peers[0].addresses, addresses(&a).await);
    let channel = &snapshot.channels[0];
    assert_eq!(
        (channel.objects, &channel.subscribers[..]),
        (1, &[a.peer_id()][..])
    );
    let sender = &channel.senders[0];
    assert_eq!(
        (sender.peer_id, sender.highest_seq, sender.delivered_seq),
        (a.peer_id(), 1, Some(1))
    );
}

#[tokio::test]
async fn shutdown_may_be_called_by_several_and_again_and_frees_the_address() {
    let node = alone().await;
    let address = addresses(&node).await.remove(0);
    let clone = node.clone();
    within(async { tokio::join!(node.shutdown(), clone.shutdown(), node.stopped()) }).await;
    within(node.shutdown()).await;
    assert!(node.ready().await.is_err() && node.inspect().await.is_err());
    let again = Node::builder()
        .key(super::fixture::random_key())
        .listen(address)
        .spawn()
        .await;
    assert!(again.is_ok());
}

#[tokio::test]
async fn a_node_stops_with_its_last_handle_although_channels_are_left() {
    let node = alone().await;
    let (channel, clone) = (open::<u8>(&node, "earth"), node.clone());
    let stopped = node.stop_signal();
    drop(node);
    within(clone.inspect()).await.expect("runs");
    drop(clone);
    within(stopped).await;
    assert!(within(channel.messages().recv()).await.is_none());
}

#[test]
fn with_its_runtime_gone_a_node_is_closed() {
    let runtime = tokio::runtime::Runtime::new().expect("starts");
    let (node, channel) = runtime.block_on(async {
        let node = Mesh::new().node("a", &[]).await;
        let channel = open::<u8>(&node, "earth");
        (node, channel)
    });
    drop(runtime);
    assert!(matches!(
        channel.post_message(&1),
        Err(crate::PostError::Closed)
    ));
    futures::executor::block_on(node.shutdown());
}

#[tokio::test]
async fn on_a_runtime_that_is_gone_no_node_starts() {
    let gone = tokio::runtime::Runtime::new().map(|gone| {
        let handle = gone.handle().clone();
        gone.shutdown_background();
        handle
    });
    let spawned = Mesh::new()
        .apart("a")
        .runtime(gone.expect("starts"))
        .spawn()
        .await;
    assert!(matches!(spawned, Err(crate::SpawnError::NoRuntime)));
}

/// The test has one thread, which never lets go until the message is there.
#[tokio::test]
async fn a_service_that_blocks_its_runtime_does_not_hold_up_its_nodes() {
    let mesh = Mesh::new();
    let a = mesh.apart("a").spawn().await.expect("starts");
    let b = mesh.apart("b").seeds(addresses(&a).await);
    let b = b.spawn().await.expect("starts");
    let (at_a, at_b) = (open::<u8>(&a, "earth"), open::<u8>(&b, "earth"));
    let mut messages = at_b.messages();
    joined(&[&a, &b], "earth").await;
    at_a.post_message(&7).expect("posted");
    let give_up = Instant::now() + Duration::from_secs(60);
    let message = loop {
        if let Some(message) = messages.recv().now_or_never() {
            break message;
        }
        assert!(Instant::now() < give_up, "nothing came");
        std::thread::yield_now();
    };
    assert_eq!(message.expect("open").expect("no gap").data, 7);
}

/// A runtime that is gone when the test that had it is over.
fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("starts")
}

#[test]
fn handlers_are_called_although_the_runtime_that_the_node_was_spawned_on_is_gone() {
    // As in tests that share a node, each with a runtime of its own.
    const SOON: Duration = Duration::from_secs(60);
    let first = runtime();
    let spawn = async { Mesh::new().apart("a").spawn().await.expect("starts") };
    let node = first.block_on(spawn);
    let (earth, moon) = (open::<u32>(&node, "earth"), open::<u32>(&node, "moon"));
    let (sender, heard) = mpsc::sync_channel(8);
    let (of_first, of_second) = (sender.clone(), sender);
    let _handler =
        open::<u32>(&node, "earth").on_message(move |it| _ = of_first.send(("first", it.data)));
    drop(first);
    earth.post_message(&1).expect("posted");
    assert_eq!(
        heard.recv_timeout(SOON),
        Ok(("first", 1)),
        "no other runtime is there"
    );
    let second = runtime();
    let _handler = second.block_on(async {
        let done = Arc::new(tokio::sync::Notify::new());
        let called = Arc::clone(&done);
        let handler = open::<u32>(&node, "moon").on_message(move |it| {
            // It is called on the runtime where it was registered.
            let (of_second, called) = (of_second.clone(), Arc::clone(&called));
            drop(tokio::spawn(async move {
                _ = of_second.send(("second", it.data));
                called.notify_one();
            }));
        });
        moon.post_message(&2).expect("posted");
        within(done.notified()).await;
        handler
    });
    assert_eq!(heard.recv_timeout(SOON), Ok(("second", 2)));
    drop(second);
    moon.post_message(&3).expect("posted");
    assert_eq!(
        heard.recv_timeout(SOON),
        Ok(("second", 3)),
        "where others are called by now"
    );
    runtime().block_on(within(node.shutdown()));
}

#[test]
fn a_handler_that_blocks_and_has_no_runtime_holds_up_neither_its_node_nor_its_end() {
    let first = runtime();
    let spawn = async { Mesh::new().apart("a").spawn().await.expect("starts") };
    let node = first.block_on(spawn);
    let (release, released) = mpsc::sync_channel::<()>(0);
    let (called, calls) = mpsc::sync_channel(8);
    let handler = open::<u32>(&node, "earth").on_message(move |it| {
        // The other end is gone when the test is over.
        let (_, _) = (called.send(it.data), released.recv());
    });
    drop(first);
    let other = open::<u32>(&node, "earth");
    let mut heard = open::<u32>(&node, "earth").messages();
    other.post_message(&1).expect("posted");
    assert_eq!(calls.recv_timeout(Duration::from_secs(60)), Ok(1));
    let second = runtime();
    other.post_message(&2).expect("posted");
    second.block_on(async {
        assert_eq!((next(&mut heard).await, next(&mut heard).await), (1, 2));
        within(node.shutdown()).await;
    });
    drop(release);
    assert_eq!(
        calls.recv_timeout(Duration::from_secs(60)),
        Ok(2),
        "what it had got"
    );
    drop(handler);
    assert!(calls.recv().is_err(), "and no more");
}

#[test]
fn the_thread_of_a_node_has_ended_when_its_last_handle_was_dropped() {
    let runtime = runtime();
    let spawn = async { Mesh::new().apart("a").spawn().await.expect("starts") };
    let node = runtime.block_on(spawn);
    let address = runtime.block_on(addresses(&node)).remove(0);
    // In asynchronous code that has the only thread.
    runtime.block_on(async { drop(node) });
    let again = runtime.block_on(Mesh::new().apart("b").listen(address).spawn());
    again.expect("the address is free");
}

#[tokio::test]
async fn nodes_of_different_meshes_refuse_each_other_and_each_says_what_it_knows() {
    let a = Mesh::new().node("a", &[]).await;
    let mut at_a = a.events();
    let b = Mesh::new().node("b", &[&a]).await;
    let mut at_b = b.events();
    // The dialled side sees only that the other goes.
    let seen = (RefusalKind::HungUp, "closed the connection");
    let known = (RefusalKind::OtherMesh, "wrong MESHCAST_KEY");
    for (events, expected, (kind, said)) in [
        (&mut at_a, Direction::Inbound, seen),
        (&mut at_b, Direction::Outbound, known),
    ] {
        let refused = loop {
            let event = within(events.next()).await.expect("an event");
            if let NodeEvent::Refused {
                direction,
                reason,
                detail,
                ..
            } = event
            {
                break (direction, reason, detail);
            }
        };
        assert_eq!((refused.0, refused.1), (expected, kind));
        assert!(refused.2.contains(said), "{}", refused.2);
    }
    for node in [&a, &b] {
        let snapshot = node.inspect().await.expect("runs");
        assert!(snapshot.peers.is_empty() && snapshot.counters.connections.refused > 0);
    }
}

#[tokio::test]
async fn nodes_given_one_common_seed_find_each_other_and_stay_when_it_dies() {
    let mesh = Mesh::new();
    let seed = mesh.node("seed", &[]).await;
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        nodes.push(mesh.node(name, &[&seed]).await);
    }
    for node in &nodes {
        until(node, |it| it.peers.len() == 3).await;
    }
    within(seed.shutdown()).await;
    for node in &nodes {
        until(node, |it| it.peers.len() == 2).await;
    }
    let late = mesh.node("late", &[&nodes[2]]).await;
    nodes.push(late);
    let channels: Vec<_> = nodes.iter().map(|node| open::<u8>(node, "earth")).collect();
    let mut heard: Vec<_> = channels
        .iter()
        .map(crate::BroadcastChannel::messages)
        .collect();
    joined(&nodes.iter().collect::<Vec<_>>(), "earth").await;
    channels[3].post_message(&1).expect("posted");
    for messages in &mut heard[..3] {
        assert_eq!(next(messages).await, 1);
    }
}

#[tokio::test]
async fn a_node_that_is_full_refuses_further_members_and_both_say_so() {
    let mesh = Mesh::new();
    let limits = crate::Limits {
        max_peers: 1,
        ..crate::Limits::default()
    };
    let a = mesh
        .builder("a")
        .limits(limits)
        .spawn()
        .await
        .expect("starts");
    let mut events = a.events();
    let b = mesh.node("b", &[&a]).await;
    until(&b, |it| it.peers.len() == 1).await;
    let c = mesh.node("c", &[&a]).await;
    let reason = loop {
        if let NodeEvent::Refused { reason, .. } = within(events.next()).await.expect("an event") {
            break reason;
        }
    };
    assert_eq!(reason, RefusalKind::Full);
    let snapshot = until(&c, |it| it.counters.connections.refused > 0).await;
    assert!(snapshot.peers.is_empty());
    within(b.shutdown()).await;
    until(&c, |it| it.peers.len() == 1).await;
}

/// Whatever the reason: nobody may wait for a driver that is no more.
#[tokio::test]
async fn when_the_driver_panics_streams_end_and_posts_are_refused() {
    let node = alone().await;
    let channel = open::<u8>(&node, "earth");
    let (mut heard, mut events) = (channel.messages(), node.events());
    let _ = node
        .shared
        .commands
        .send(crate::command::Command::Panic)
        .await;
    within(node.stopped()).await;
    assert!(within(heard.recv()).await.is_none());
    while within(events.next()).await.is_some() {}
    let posted = within(channel.post_message_wait(&1)).await;
    assert!(matches!(posted, Err(crate::PostError::Closed)));
    assert!(node.inspect().await.is_err() && node.channel::<u8>("moon").is_err());
    within(node.shutdown()).await;
}

#[tokio::test]
async fn a_node_that_is_aborted_takes_what_is_queued_with_it_and_frees_the_address() {
    let mesh = Mesh::new();
    let (a, b) = mesh.pair().await;
    let (at_a, at_b) = (open::<u8>(&a, "earth"), open::<u8>(&b, "earth"));
    joined(&[&a, &b], "earth").await;
    let mut heard = at_b.messages();
    let listened = addresses(&a).await;
    within(a.abort()).await;
    at_a.post_message(&1).expect_err("it has stopped");
    until(&b, |it| it.peers.is_empty()).await;
    let again = listened
        .into_iter()
        .fold(mesh.builder("a"), |builder, at| builder.listen(at));
    let again = again
        .seeds(addresses(&b).await)
        .spawn()
        .await
        .expect("the address is free");
    until(&again, |it| it.peers.len() == 1).await;
    open::<u8>(&again, "earth")
        .post_message(&2)
        .expect("posted");
    assert_eq!(next(&mut heard).await, 2);
}

/// The seed's state as `inspect` shows it once that is so, after it was told as an event.
async fn seed_becomes(node: &Node, is_so: impl Fn(&SeedState) -> bool) -> SeedInfo {
    let mut events = node.events();
    let shown = |it: &crate::Snapshot| it.seeds.iter().any(|seed| is_so(&seed.state));
    let before = node.inspect().await.expect("runs");
    if !shown(&before) {
        within(async {
            while let Some(event) = events.next().await {
                if matches!(event, NodeEvent::Seed(seed) if is_so(&seed.state)) {
                    return;
                }
            }
            panic!("the node stopped");
        })
        .await;
    }
    let after = until(node, shown).await;
    let seed = after.seeds.into_iter().find(|seed| is_so(&seed.state));
    seed.expect("as shown")
}

fn free_port() -> (std::net::TcpListener, libp2p::Multiaddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    (listener, address.parse().expect("an address"))
}

#[tokio::test]
async fn a_seed_at_which_nobody_listens_is_said_to_be_refused_and_then_connected() {
    let (listener, address) = free_port();
    drop(listener);
    let mesh = Mesh::new();
    let a = mesh.builder("a").seed(address.clone());
    let a = a.spawn().await.expect("starts");
    let seed = seed_becomes(&a, |state| *state == SeedState::Refused).await;
    assert_eq!(seed.address, address);
    assert!(seed.reason.is_some_and(|reason| reason.contains("refused")));
    assert_eq!(within(a.ready()).await.expect("runs").members, 0);
    let b = mesh
        .builder("b")
        .listen(address)
        .spawn()
        .await
        .expect("starts");
    let seed = seed_becomes(&a, |state| matches!(state, SeedState::Connected { .. })).await;
    let connected = SeedState::Connected {
        peer: b.peer_id(),
        name: b.name().clone(),
    };
    assert_eq!((seed.state, seed.reason), (connected, None));
    within(b.abort()).await;
    seed_becomes(&a, |state| *state == SeedState::Refused).await;
}

#[tokio::test]
async fn a_seed_that_does_not_resolve_is_said_so() {
    let name: libp2p::Multiaddr = "/dns/does-not-exist.invalid/tcp/4001"
        .parse()
        .expect("an address");
    let node = Mesh::new()
        .builder("a")
        .seed(name)
        .spawn()
        .await
        .expect("starts");
    let seed = seed_becomes(&node, |state| *state == SeedState::Unresolved).await;
    assert!(seed.reason.is_some());
}

#[tokio::test]
async fn a_seed_that_takes_the_connection_and_says_nothing_is_said_to_time_out() {
    let (_silent, address) = free_port();
    let node = Mesh::new().builder("a").seed(address);
    let node = node.spawn().await.expect("starts");
    seed_becomes(&node, |state| *state == SeedState::TimedOut).await;
}

#[tokio::test]
async fn a_seed_of_another_mesh_and_one_that_is_the_node_itself_are_said_so() {
    let stranger = Mesh::new().node("stranger", &[]).await;
    let node = Mesh::new().node("a", &[&stranger]).await;
    let seed = seed_becomes(&node, |state| {
        matches!(
            state,
            SeedState::NotAdmitted {
                refusal: RefusalKind::OtherMesh
            }
        )
    })
    .await;
    assert!(seed.reason.is_some_and(|reason| reason.contains("mesh")));

    let (listener, address) = free_port();
    drop(listener);
    let node = Mesh::new()
        .builder("a")
        .listen(address.clone())
        .seed(address);
    let node = node.spawn().await.expect("starts");
    seed_becomes(&node, |state| *state == SeedState::Ourselves).await;
}

#[tokio::test]
async fn members_are_told_what_is_advertised_and_a_node_takes_it_for_its_own() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    // Nobody answers there, so if it were dialled that would show.
    let public = "192.0.2.1:4001";
    let b = mesh.builder("b").advertise(public).seed(public);
    let b = b.seeds(a.listen_addresses()).spawn().await.expect("starts");
    let public = Multiaddr::from(public.parse::<Address>().expect("an address"));
    until(&a, |it| {
        let told = it.peers.first().map(|peer| &peer.addresses);
        told.is_some_and(|told| told.contains(&public))
    })
    .await;
    let seeds = b.inspect().await.expect("runs").seeds;
    let states: Vec<_> = seeds.into_iter().map(|seed| seed.state).collect();
    assert_eq!(states[0], SeedState::Ourselves);
    assert!(matches!(states[1], SeedState::Connected { .. }));
}

#[tokio::test]
async fn a_node_whose_own_address_is_among_those_of_a_name_neither_warns_nor_dials_itself() {
    let mesh = Mesh::new();
    let node = mesh.node("a", &[]).await;
    let port = node.listen_addresses()[0]
        .socket_addr()
        .expect("TCP")
        .port();
    within(node.shutdown()).await;
    let name = format!("/dns4/localhost/tcp/{port}");
    let builder = mesh.builder("a").listen(format!("127.0.0.1:{port}"));
    let node = builder.seed(name).spawn().await.expect("starts");
    let mut events = node.events();
    within(node.ready()).await.expect("runs");
    let seed = seed_becomes(&node, |state| *state == SeedState::Ourselves).await;
    let states: Vec<_> = seed.addresses.iter().map(|it| &it.state).collect();
    assert_eq!(states, [&SeedState::Ourselves]);
    let told = std::iter::from_fn(|| events.recv().now_or_never().flatten());
    let bad = |event: &NodeEvent| matches!(event, NodeEvent::Seed(seed) if seed.state.is_bad());
    assert_eq!(told.filter(bad).count(), 0);
    let counters = node.counters().await.expect("runs");
    assert_eq!(
        (counters.connections.refused, counters.connections.inbound),
        (0, 0)
    );
}

#[tokio::test]
async fn where_a_node_listens_is_known_as_soon_as_it_runs_and_when_it_has_stopped() {
    let node = Mesh::new().node("a", &[]).await;
    let addresses = node.listen_addresses();
    let sockets: Vec<_> = addresses.iter().filter_map(Address::socket_addr).collect();
    assert_eq!(sockets.len(), 1);
    assert!(sockets[0].ip().is_loopback() && sockets[0].port() != 0);
    within(node.shutdown()).await;
    assert_eq!(node.listen_addresses(), addresses);
}

#[tokio::test]
async fn a_weak_handle_gives_the_node_while_another_is_there() {
    let node = alone().await;
    let (id, weak) = (node.peer_id(), node.downgrade());
    let again = weak.upgrade().expect("there is one");
    assert_eq!(again.peer_id(), id);
    drop(node);
    within(again.info())
        .await
        .expect("the other keeps it running");
    let copy = weak.clone();
    drop(again);
    assert!(weak.upgrade().is_none() && copy.upgrade().is_none());
}

#[tokio::test]
async fn health_says_whether_a_node_lives_is_ready_and_alone() {
    let mesh = Mesh::new();
    let (listener, nobody) = free_port();
    drop(listener);
    let a = mesh
        .builder("a")
        .seed(nobody)
        .spawn()
        .await
        .expect("starts");
    assert_eq!(within(a.ready()).await.expect("runs").members, 0);
    let health = within(a.health()).await;
    assert!(health.live && health.ready && health.isolated_since.is_some());
    assert_eq!((health.members, health.behind_by), (0, Some(0)));
    assert_eq!(health.seeds[0].state, SeedState::Refused);
    let b = mesh.node("b", &[&a]).await;
    within(a.wait_for_members(1)).await.expect("runs");
    let health = within(a.health()).await;
    assert_eq!((health.members, health.isolated_since), (1, None));
    within(b.shutdown()).await;
    until(&a, |it| it.peers.is_empty()).await;
    let health = within(a.health()).await;
    assert!(health.ready && health.isolated_since.is_some());
    within(a.shutdown()).await;
    assert_eq!(within(a.health()).await, crate::Health::default());
}

/// Many channels, so that a look at them takes a while.
#[tokio::test]
async fn however_many_look_at_a_node_its_health_is_told() {
    let node = alone().await;
    within(node.ready()).await.expect("runs");
    let name = |n: usize| format!("room {n}");
    let channels: Vec<_> = (0..2_000).map(|n| open::<u8>(&node, &name(n))).collect();
    until(&node, |it| it.channels.len() == channels.len()).await;
    let probes = (0..3_000).map(|n| {
        let node = node.clone();
        async move {
            match n % 100 {
                0 => Some(node.health().await),
                _ => node.peers().await.map_or(None, |_| None),
            }
        }
    });
    let told = within(futures::future::join_all(probes)).await;
    let told: Vec<_> = told.into_iter().flatten().collect();
    assert_eq!(told.len(), 30);
    for health in &told {
        assert!(health.live && health.ready && health.isolated_since.is_some());
    }
    assert!(told.iter().any(|health| health.behind_by.is_none()));
}

#[tokio::test]
async fn a_node_that_nobody_waits_for_is_ready_all_the_same() {
    let node = Mesh::new().node("a", &[]).await;
    within(async {
        while !node.health().await.ready {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_waits_for_members_for_as_long_as_it_takes_or_the_node_runs() {
    let mesh = Mesh::new();
    let a = mesh.node("a", &[]).await;
    assert_eq!(within(a.wait_for_members(0)).await, Ok(0));
    assert_eq!(within(a.ready()).await.expect("runs").members, 0);
    let none_yet = a.wait_for_members(2).now_or_never();
    assert_eq!(none_yet, None);
    let b = mesh.node("b", &[&a]).await;
    let c = mesh.node("c", &[&a]).await;
    assert_eq!(within(a.wait_for_members(2)).await, Ok(2));
    assert!(within(c.ready()).await.expect("runs").members >= 1);
    within(async { tokio::join!(b.shutdown(), c.shutdown()) }).await;
    until(&a, |it| it.peers.is_empty()).await;
    let (waited, _) = within(async { tokio::join!(a.wait_for_members(1), a.shutdown()) }).await;
    assert_eq!(waited, Err(crate::Closed));
    assert_eq!(within(a.wait_for_members(0)).await, Err(crate::Closed));
}

/// By its requests as a peer, as if it had asked for too much; and it is gone.
#[tokio::test]
async fn a_member_that_was_refused_memory_is_named_also_when_it_is_gone() {
    let (a, b) = Mesh::new().pair().await;
    let budget = a.shared.registry.common().budget();
    let others = |it: &Snapshot| -> Vec<AccountInfo> {
        let of_others = |it: &&AccountInfo| it.peer_id != Some(a.peer_id());
        it.accounts.iter().filter(of_others).cloned().collect()
    };
    budget.charge(payer(&b.peer_id()), 5_000_000);
    assert!(!budget.try_charge(payer(&b.peer_id()), budget.limit()));
    // It says its name on its session, which may open after it is connected.
    let is_named = |it: &Snapshot| others(it).iter().all(|account| account.name.is_some());
    let snapshot = until(&a, is_named).await;
    let [account] = &others(&snapshot)[..] else {
        panic!("{:?}", snapshot.accounts)
    };
    assert_eq!(account.name.as_ref().map(|name| name.as_str()), Some("b"));
    assert_eq!(account.peer_id, Some(b.peer_id()));
    assert!(account.connected && account.memory_bytes >= 5_000_000);
    assert_eq!(account.memory_refused, 1);
    assert_eq!(snapshot.counters.memory.memory_refused, 1);

    within(b.shutdown()).await;
    budget.release(payer(&b.peer_id()), 5_000_000);
    let snapshot = until(&a, |it| it.peers.is_empty()).await;
    let [account] = &others(&snapshot)[..] else {
        panic!("{:?}", snapshot.accounts)
    };
    assert_eq!(account.name.as_ref().map(|name| name.as_str()), Some("b"));
    assert!(!account.connected, "{account:?}");
    assert_eq!(account.memory_refused, 1);
}

/// It is told once, and what was posted comes once there is room.
#[tokio::test]
async fn a_member_whose_messages_find_no_room_is_told_by_name_and_channel() {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<u32>(&a, "earth"), open::<u32>(&b, "earth"));
    let mut heard = at_a.messages();
    joined(&[&a, &b], "earth").await;
    let mut events = a.events();
    let budget = a.shared.registry.common().budget();
    let rest = budget.limit() - budget.used();
    budget.charge(Payer::Ourselves, rest);
    at_b.post_message(&1).expect("posted");
    let told = async {
        loop {
            if let NodeEvent::NoRoom {
                peer,
                name,
                channel,
            } = events.recv().await.expect("runs")
            {
                return (peer, name, channel);
            }
        }
    };
    let (peer, name, channel) = within(told).await;
    assert_eq!(
        (peer, name.as_str(), channel.as_str()),
        (b.peer_id(), "b", "earth")
    );
    assert!(
        within(a.inspect())
            .await
            .expect("runs")
            .counters
            .protocol
            .logs_refused
            > 0
    );
    budget.release(Payer::Ourselves, rest);
    at_b.post_message(&2).expect("posted");
    assert_eq!((next(&mut heard).await, next(&mut heard).await), (1, 2));
}
