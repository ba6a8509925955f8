//! What a member that breaks the rules can do to others.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use libp2p::{
    PeerId, Swarm,
    swarm::{self, SwarmEvent, dial_opts::DialOpts},
};
use meshcast_proto::{
    Budget, ChannelName, Format, Frame, Identity, Part, Seq, Trust, write_record,
};

mod burst;
mod congestion;
mod forwarding;
mod inspection;
mod mute;
mod restart;
mod stale;
mod stop;

use crate::{
    Node, NodeEvent, Snapshot,
    behaviour::Behaviour,
    clock::wall_time,
    gate::Gate,
    gossip::Gossip,
    ids::peer_id,
    node::fixture::{Mesh, addresses, joined, next, open, until, within},
    transport::{Handshake, tcp},
};

/// A member with a valid credential and a mind of its own: it speaks through the real behaviour,
/// past the driver that would keep it honest.
struct Hostile {
    swarm: Swarm<Behaviour>,
    identity: Identity,
    channel: ChannelName,
}

impl Hostile {
    fn new(mesh: &Mesh, channel: &str) -> Self {
        let trust = Trust::from(&mesh.0);
        let mut entropy = [0; 64];
        getrandom::fill(&mut entropy).expect("random bytes");
        let name = meshcast_proto::NodeName::new("hostile").expect("allowed");
        let region = meshcast_proto::Region::new("test").expect("allowed");
        let identity = Identity::from_mesh_key(&mesh.0, name, region, entropy, wall_time());
        let gate = Gate::new(
            identity.clone(),
            trust,
            Arc::new(wall_time),
            16,
            Budget::default(),
        );
        let transport = tcp(&gate, Handshake::default()).expect("a transport");
        let channel = ChannelName::new(channel).expect("allowed");
        let mut gossip = Gossip::of(&mesh.0);
        gossip.join(&channel);
        let behaviour = Behaviour::new(gossip);
        let config = swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(Duration::from_secs(600));
        let swarm = Swarm::new(transport, behaviour, peer_id(identity.sender()), config);
        Self {
            swarm,
            identity,
            channel,
        }
    }

    fn id(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    /// Connects and waits until the other's channels are known.
    async fn connect(&mut self, node: &Node) {
        let dial = DialOpts::peer_id(node.peer_id())
            .addresses(addresses(node).await)
            .build();
        self.swarm.dial(dial).expect("dials");
        loop {
            let gossip = &self.swarm.behaviour().gossip;
            let listens = gossip.topics_of(&node.peer_id());
            if listens.contains(&gossip.topic(&self.channel)) {
                return;
            }
            self.swarm.select_next_some().await;
        }
    }

    fn frame(&self, channel: &str, seq: u64) -> Frame {
        let mut records = Vec::new();
        write_record(&mut records, Format::Raw, Part::Whole, b"from outside");
        let (channel, seq) = (
            ChannelName::new(channel).expect("allowed"),
            Seq::new(seq).expect("not zero"),
        );
        Frame::build(
            &self.identity,
            &channel,
            seq,
            wall_time(),
            Duration::ZERO,
            &records,
        )
        .expect("fits")
    }

    fn publish(&mut self, data: &[u8]) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip
            .publish_bytes(&self.channel, data)
            .expect("published");
    }

    /// Goes on until the other side hangs up.
    async fn until_cut(&mut self) {
        loop {
            if let SwarmEvent::ConnectionClosed { .. }
            | SwarmEvent::OutgoingConnectionError { .. } = self.swarm.select_next_some().await
            {
                return;
            }
        }
    }
}

/// Garbage, a frame of another member with a wrong signature, a frame of another channel.
fn bad(hostile: &Hostile, other: &Hostile, kind: usize, seq: u64) -> Vec<u8> {
    match kind {
        // Long enough for its id to differ: the last bytes are where a frame has its signature.
        0 => format!("no frame {seq} ").repeat(50).into_bytes(),
        1 => wrongly_signed(&other.frame("earth", seq)),
        _ => hostile.frame("moon", seq).bytes().to_vec(),
    }
}

fn wrongly_signed(frame: &Frame) -> Vec<u8> {
    let mut bytes = frame.bytes().to_vec();
    *bytes.last_mut().expect("not empty") ^= 1;
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_sends_what_nobody_signed_is_counted_and_cut_and_others_are_undisturbed() {
    for kind in 0..3 {
        let mesh = Mesh::new();
        let (a, b) = mesh.pair().await;
        let (at_a, at_b) = (open::<u32>(&a, "earth"), open::<u32>(&b, "earth"));
        let mut heard = at_b.messages();
        joined(&[&a, &b], "earth").await;
        let mut events = b.events();
        let (mut hostile, other) = (Hostile::new(&mesh, "earth"), Hostile::new(&mesh, "earth"));
        within(hostile.connect(&b)).await;
        for n in 0..12 {
            let data = bad(&hostile, &other, kind, u64::from(n) + 1);
            hostile.publish(&data);
            at_a.post_message(&n).expect("posted");
        }
        within(hostile.until_cut()).await;
        for n in 0..12 {
            assert_eq!(next(&mut heard).await, n);
        }
        let id = hostile.id();
        let snapshot = until(&b, |it| it.peers.iter().all(|peer| peer.peer_id != id)).await;
        assert!(
            (10..=12).contains(&snapshot.counters.traffic.frames_invalid),
            "{}",
            snapshot.counters.traffic.frames_invalid
        );
        assert!(
            snapshot
                .peers
                .iter()
                .any(|peer| peer.peer_id == a.peer_id()),
            "a is still there"
        );
        assert_eq!(
            a.inspect()
                .await
                .expect("runs")
                .counters
                .traffic
                .frames_invalid,
            0,
            "nothing was handed on"
        );
        // It does not come back.
        let dial = DialOpts::peer_id(b.peer_id())
            .addresses(addresses(&b).await)
            .build();
        hostile.swarm.dial(dial).expect("dials");
        within(hostile.until_cut()).await;
        at_a.post_message(&99).expect("posted");
        assert_eq!(next(&mut heard).await, 99);
        drop(b);
        let mut comings = 0;
        while let Some(event) = within(events.next()).await {
            comings +=
                usize::from(matches!(event, NodeEvent::Connected { peer, .. } if peer == id));
        }
        assert_eq!(comings, 1, "connected once and never again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_member_posts_without_its_signature_is_handed_to_nobody_and_counts_against_it() {
    let mesh = Mesh::new();
    let (a, b) = mesh.pair().await;
    let (at_a, at_b) = (open::<Bytes>(&a, "earth"), open::<Bytes>(&b, "earth"));
    let (mut heard_at_a, mut heard_at_b) = (at_a.messages(), at_b.messages());
    joined(&[&a, &b], "earth").await;
    // It is connected to b alone, which hands on what it hears.
    let mut hostile = Hostile::new(&mesh, "earth");
    within(hostile.connect(&b)).await;
    let good = hostile.frame("earth", 1).bytes().to_vec();
    hostile.publish(&good);
    let drive = async |hostile: &mut Hostile| loop {
        hostile.swarm.select_next_some().await;
    };
    tokio::select! {
        () = drive(&mut hostile) => {}
        data = within(next(&mut heard_at_a)) => assert_eq!(data, "from outside"),
    }
    for seq in 2..14 {
        let data = wrongly_signed(&hostile.frame("earth", seq));
        hostile.publish(&data);
    }
    within(hostile.until_cut()).await;
    // b heard it from itself.
    for _ in 1..8 {
        assert_eq!(next(&mut heard_at_b).await, "from outside");
    }
    let frames_invalid = a
        .inspect()
        .await
        .expect("runs")
        .counters
        .traffic
        .frames_invalid;
    assert_eq!(frames_invalid, 0, "nothing was handed on");
    // Nor is it fetched: the next that a hears is b's.
    at_b.post_message(&Bytes::from_static(b"b"))
        .expect("posted");
    assert_eq!(next(&mut heard_at_a).await, "b");
}

/// Goes on until it is cut off.
fn drive(mut hostile: Hostile) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move { hostile.until_cut().await })
}

/// Members with the key are admitted while there is room. One that was there before lost its
/// connection.
#[tokio::test]
async fn who_was_connected_before_gets_its_place_back_from_one_that_came_as_many() {
    let mesh = Mesh::new();
    let limits = crate::Limits {
        max_peers: 4,
        ..crate::Limits::default()
    };
    let node = mesh
        .builder("victim")
        .limits(limits)
        .spawn()
        .await
        .expect("starts");
    let _open = open::<u32>(&node, "earth");
    let mut honest = Hostile::new(&mesh, "earth");
    within(honest.connect(&node)).await;
    let mut crowd = Vec::new();
    for _ in 0..3 {
        let mut one = Hostile::new(&mesh, "earth");
        within(one.connect(&node)).await;
        crowd.push(drive(one));
    }
    let dial = || async {
        let addresses = addresses(&node).await;
        DialOpts::peer_id(node.peer_id())
            .addresses(addresses)
            .build()
    };
    let mut late = Hostile::new(&mesh, "earth");
    late.swarm.dial(dial().await).expect("dials");
    within(late.until_cut()).await;
    honest
        .swarm
        .disconnect_peer_id(node.peer_id())
        .expect("is connected");
    within(honest.until_cut()).await;
    until(&node, |it| it.peers.len() == 3).await;
    within(late.connect(&node)).await;
    let late = drive(late);
    // There is no room, but it was there before all others.
    within(honest.connect(&node)).await;
    within(late).await.expect("whoever came last makes way");
    let id = honest.id();
    let snapshot = until(&node, |it| it.peers.len() == 4).await;
    assert!(snapshot.peers.iter().any(|peer| peer.peer_id == id));
    assert!(
        crowd.iter().all(|one| !one.is_finished()),
        "the others stay"
    );
}

/// It has another key then, so it counts as somebody who was never there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_that_starts_anew_gets_a_place_though_others_have_taken_all() {
    let mesh = Mesh::new();
    let seed = mesh.apart("seed").spawn().await.expect("starts");
    let address = addresses(&seed).await.remove(0);
    let builder = mesh.apart("a").seed(address.clone()).limits(crate::Limits {
        max_peers: 4,
        ..crate::Limits::default()
    });
    let node = builder.spawn().await.expect("starts");
    let _open = open::<u32>(&node, "earth");
    until(&node, |it| it.peers.len() == 1).await;
    seed.abort().await;
    let mut crowd = Vec::new();
    until(&node, |it| it.peers.is_empty()).await;
    for _ in 0..4 {
        let mut one = Hostile::new(&mesh, "earth");
        within(one.connect(&node)).await;
        crowd.push(drive(one));
    }
    let again = Node::builder().key(mesh.0.clone()).name("seed");
    let seed = again.listen(address).spawn().await.expect("starts");
    let id = seed.peer_id();
    until(&node, |it| it.peers.iter().any(|peer| peer.peer_id == id)).await;
    until(&node, |it| it.peers.len() == 4).await;
    // One of them makes way, and learns of it a moment later.
    let stayed = || crowd.iter().filter(|one| !one.is_finished()).count();
    within(async {
        while stayed() > 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert_eq!(stayed(), 3);
}

/// A frame of a member in good standing counts as its own, whatever wild numbers it carries.
#[tokio::test]
async fn a_member_that_leaps_in_its_numbers_and_tells_nothing_holds_up_only_itself() {
    let mesh = Mesh::new();
    let node = mesh.node("a", &[]).await;
    let channel = open::<crate::Bytes>(&node, "earth");
    let mut heard = channel.messages();
    let mut hostile = Hostile::new(&mesh, "earth");
    within(hostile.connect(&node)).await;
    for seq in [1, u64::MAX / 2] {
        let frame = hostile.frame("earth", seq);
        hostile.publish(frame.bytes());
    }
    let mut swarm = hostile.swarm;
    let polling = tokio::spawn(async move { while swarm.next().await.is_some() {} });
    assert_eq!(next(&mut heard).await, b"from outside"[..]);
    // The numbers it leapt over may be cut off from here: they are waited for, and nothing else is.
    let beside = open::<crate::Bytes>(&node, "earth");
    for inside in [&b"from inside"[..], b"and again"] {
        beside
            .post_message(&crate::Bytes::from_static(inside))
            .expect("open");
        assert_eq!(next(&mut heard).await, inside);
    }
    polling.abort();
}

/// Others posted them, and one brings them again and again.
#[tokio::test]
async fn the_memory_of_a_replay_is_charged_to_the_peer_that_brings_it() {
    const REPLAYS: usize = 500;
    let mesh = Mesh::new();
    let node = mesh.node("a", &[]).await;
    let _channel = open::<crate::Bytes>(&node, "earth");
    let author = Hostile::new(&mesh, "earth");
    let mut hostile = Hostile::new(&mesh, "earth");
    within(hostile.connect(&node)).await;
    for n in 0..REPLAYS {
        // It is the same number, but gossip has not heard it before: so it is after 20 s.
        let mut records = Vec::new();
        write_record(&mut records, Format::Raw, Part::Whole, &n.to_le_bytes());
        let (seq, now) = (Seq::FIRST, wall_time());
        let (signer, channel) = (&author.identity, &author.channel);
        let frame = Frame::build(signer, channel, seq, now, Duration::ZERO, &records);
        hostile.publish(frame.expect("fits").bytes());
    }
    let (here, of) = (node.peer_id(), author.id());
    let polling = drive(hostile);
    until(&node, |it| {
        it.counters.protocol.frames_duplicate + 1 == REPLAYS as u64
    })
    .await;
    let charged = (REPLAYS - 1) * 64;
    let takes = |it: &Snapshot, counts: &dyn Fn(PeerId) -> bool| -> usize {
        let its = it.accounts.iter();
        let its = its.filter(|it| it.peer_id.is_none_or(counts));
        its.map(|it| it.memory_bytes).sum()
    };
    // Its log is charged to the author.
    let hostiles = |who| who != here && who != of;
    until(&node, |it| takes(it, &hostiles) >= charged).await;
    polling.abort();
}
