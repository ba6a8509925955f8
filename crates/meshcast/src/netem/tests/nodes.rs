//! Nodes over links.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

use futures::future;
use libp2p::Multiaddr;

use crate::{
    Bytes, MemberInfo, Node,
    netem::{Cut, Links, Place, Shape},
    node::fixture::{Mesh, addresses, joined, next, open, random_key, until, within},
    transport::Handshake,
};

const BOTH: [Handshake; 2] = [Handshake::Tls, Handshake::Noise];

struct Pair {
    links: Links,
    mesh: Mesh,
    a: Node,
    b: Node,
}

impl Pair {
    async fn new(shape: Shape) -> Self {
        Self::of(Mesh::new(), shape).await
    }

    async fn of(mesh: Mesh, shape: Shape) -> Self {
        let links = Links::new(1);
        links.shape(&Place::Everywhere, &Place::Everywhere, shape);
        let a = mesh
            .builder("a")
            .links(&links)
            .spawn()
            .await
            .expect("starts");
        let b = mesh.builder("b").links(&links).seeds(addresses(&a).await);
        let b = b.spawn().await.expect("starts");
        until(&a, |it| it.peers.len() == 1).await;
        until(&b, |it| it.peers.len() == 1).await;
        Self { links, mesh, a, b }
    }
}

#[tokio::test]
async fn a_ping_takes_the_round_trip_whoever_dialled() {
    let round_trip = Duration::from_millis(60);
    let Pair { a, b, .. } = Pair::new(Shape::round_trip(round_trip)).await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        let took = within(from.ping(to.peer_id())).await.expect("connected");
        assert!(took >= round_trip, "{took:?}");
    }
}

#[tokio::test]
async fn two_that_have_each_other_as_seeds_far_apart_are_connected_and_refuse_nobody() {
    let links = Links::new(1);
    let far = Shape::round_trip(Duration::from_millis(50));
    links.shape(&Place::Everywhere, &Place::Everywhere, far);
    let mesh = Mesh::new();
    // The port has to be known to the other before the node is there.
    let free = std::net::TcpListener::bind("127.0.0.3:0").expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let at = |host: u8| -> Multiaddr {
        format!("/ip4/127.0.0.{host}/tcp/{port}")
            .parse()
            .expect("an address")
    };
    let node = |name: &str, here: u8, there: u8| {
        let builder = Node::builder().key(mesh.0.clone()).name(name).links(&links);
        builder.listen(at(here)).seed(at(there)).spawn()
    };
    let (a, b) = tokio::join!(node("a", 3, 4), node("b", 4, 3));
    for node in [&a.expect("starts"), &b.expect("starts")] {
        let snapshot = until(node, |it| it.peers.len() == 1).await;
        assert_eq!(snapshot.counters.connections.refused, 0);
    }
}

#[tokio::test]
async fn a_flush_right_after_a_distant_peer_came_waits_until_it_has_told_what_it_has_open() {
    for dialler_posts in [false, true] {
        let (links, mesh) = (Links::new(1), Mesh::new());
        let far = Shape::delay(Duration::from_millis(500));
        links.shape(&Place::Everywhere, &Place::Everywhere, far);
        let a = mesh.builder("a").links(&links);
        let a = a.spawn().await.expect("starts");
        let b = mesh.builder("b").links(&links).seeds(addresses(&a).await);
        let b = b.spawn().await.expect("starts");
        let (poster, reader) = if dialler_posts { (&b, &a) } else { (&a, &b) };
        let (posts, reads) = (open::<u8>(poster, "earth"), open::<u8>(reader, "earth"));
        within(poster.wait_for_members(1)).await.expect("runs");
        posts.post_message(&1).expect("posted");
        let flushed = within(poster.flush()).await.expect("runs");
        assert!(flushed.is_complete(), "{flushed}");
        drop(reads);
    }
}

#[tokio::test]
async fn what_is_posted_behind_a_cut_arrives_when_it_is_healed() {
    let Pair { links, a, b, .. } = Pair::new(Shape::default()).await;
    let (at_a, at_b) = (open::<u8>(&a, "earth"), open::<u8>(&b, "earth"));
    let (mut heard_a, mut heard_b) = (at_a.messages(), at_b.messages());
    joined(&[&a, &b], "earth").await;
    let (left, right) = (
        Place::node("a").expect("a name"),
        Place::node("b").expect("a name"),
    );
    links.cut_both(&left, &right, Cut::Silent);
    at_a.post_message(&1).expect("posted");
    at_b.post_message(&2).expect("posted");
    until(&a, |it| it.counters.posted == 1).await;
    until(&b, |it| it.counters.posted == 1).await;
    links.heal();
    assert_eq!(next(&mut heard_b).await, 1);
    assert_eq!(next(&mut heard_a).await, 2);
}

#[tokio::test]
async fn a_reset_is_noticed_at_once_by_both_and_while_it_lasts_nobody_gets_through() {
    let Pair { links, mesh, a, b } = Pair::new(Shape::default()).await;
    let alone = Place::node("a").expect("a name");
    links.cut_both(&alone, &Place::Everywhere, Cut::Reset);
    until(&a, |it| it.peers.is_empty()).await;
    until(&b, |it| it.peers.is_empty()).await;
    let c = mesh.builder("c").links(&links).seeds(addresses(&a).await);
    let c = c.spawn().await.expect("starts");
    // It has tried its seed by then.
    within(c.ready()).await.expect("runs");
    assert!(c.inspect().await.expect("runs").peers.is_empty());
    links.heal();
    for node in [&a, &b, &c] {
        until(node, |it| it.peers.len() == 2).await;
    }
}

#[tokio::test]
async fn a_node_that_vanishes_behind_a_silent_cut_is_still_connected_for_others() {
    let Pair { links, mesh, a, b } = Pair::new(Shape::default()).await;
    let gone = Place::node("b").expect("a name");
    links.cut_both(&gone, &Place::Everywhere, Cut::Silent);
    within(b.abort()).await;
    assert_eq!(a.inspect().await.expect("runs").peers.len(), 1);
    // A machine that comes back knows nothing of its old connections, and says so.
    links.heal();
    let again = mesh.builder("b").links(&links).seeds(addresses(&a).await);
    let again = again.spawn().await.expect("starts");
    until(&a, |it| {
        it.peers.len() == 1 && it.peers[0].peer_id == again.peer_id()
    })
    .await;
}

#[tokio::test]
async fn behind_a_silent_cut_both_are_alone_within_five_seconds_and_after_it_all_is_as_before() {
    future::join_all(BOTH.map(cut_silently)).await;
}

async fn cut_silently(how: Handshake) {
    let mesh = Mesh(random_key(), how);
    let Pair { links, a, b, .. } = Pair::of(mesh, Shape::default()).await;
    let (at_a, at_b) = (open::<u8>(&a, "earth"), open::<u8>(&b, "earth"));
    let (mut heard_a, mut heard_b) = (at_a.messages(), at_b.messages());
    joined(&[&a, &b], "earth").await;
    let (left, right) = (
        Place::node("a").expect("a name"),
        Place::node("b").expect("a name"),
    );
    for round in 1..=2 {
        let cut = Instant::now();
        links.cut_both(&left, &right, Cut::Silent);
        for node in [&a, &b] {
            let snapshot = until(node, |it| it.peers.is_empty()).await;
            assert_eq!(snapshot.counters.peers.unresponsive, round);
        }
        // Five, and as much again for a machine that has other things to do. It was thirty.
        assert!(
            cut.elapsed() < Duration::from_secs(10),
            "{:?}",
            cut.elapsed()
        );
        links.heal();
        // Also gossip knows who has the channel open, whichever side gave the connection up first.
        joined(&[&a, &b], "earth").await;
        at_a.post_message(&1).expect("posted");
        at_b.post_message(&2).expect("posted");
        assert_eq!((next(&mut heard_b).await, next(&mut heard_a).await), (1, 2));
    }
}

#[tokio::test]
async fn a_link_that_is_slow_and_full_is_not_taken_for_dead_by_either_end() {
    let slow = NonZeroU64::new(64 * 1024).expect("not zero");
    let Pair { a, b, .. } = Pair::new(Shape::default().bandwidth(slow)).await;
    let (at_a, at_b) = (open::<Bytes>(&a, "earth"), open::<Bytes>(&b, "earth"));
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    // Ten seconds' worth, all of it queued at once in one direction; the other has nothing to say.
    let large = Bytes::from(vec![7; 640 * 1024]);
    at_a.post_message(&large).expect("posted");
    assert_eq!(next(&mut heard).await.len(), large.len());
    for node in [&a, &b] {
        assert_eq!(
            node.inspect()
                .await
                .expect("runs")
                .counters
                .peers
                .unresponsive,
            0
        );
    }
    drop(at_b);
}

/// One node is on the thread of the test, which is blocked; the other has one of its own.
#[tokio::test]
async fn a_node_that_stood_still_blames_nobody_is_let_go_and_comes_back() {
    for how in BOTH {
        stand_still(&Mesh(random_key(), how)).await;
    }
}

async fn stand_still(mesh: &Mesh) {
    let a = mesh.builder("a").spawn().await.expect("starts");
    let b = mesh.apart("b").seeds(addresses(&a).await);
    let b = b.spawn().await.expect("starts");
    until(&a, |it| it.peers.len() == 1).await;
    // Until the other lets it go.
    block_thread(until(&b, |it| it.counters.peers.unresponsive == 1));
    until(&b, |it| it.peers.len() == 1).await;
    let still = until(&a, |it| it.peers.len() == 1).await;
    assert_eq!(still.counters.peers.unresponsive, 0);
    // Until the other wonders: nobody is let go.
    let id = a.peer_id();
    block_thread(within(async {
        let is_silent = |it: Vec<MemberInfo>| it.iter().any(|it| it.peer_id == id && it.is_silent);
        while !is_silent(b.members().await.expect("runs")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }));
    for (node, expected) in [(&a, 0), (&b, 1)] {
        let snapshot = until(node, |it| it.peers.len() == 1).await;
        assert_eq!(snapshot.counters.peers.unresponsive, expected);
    }
}

/// Blocks the thread, and all that runs on it, until something elsewhere has happened.
fn block_thread<T: Send>(awaited: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let elsewhere = scope.spawn(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().expect("starts");
            runtime.block_on(awaited)
        });
        elsewhere.join().expect("no panic")
    })
}
