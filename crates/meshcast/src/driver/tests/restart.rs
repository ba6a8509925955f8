//! Nodes that come and go under load.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    time::Duration,
};

use libp2p::PeerId;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{
    BroadcastChannel, Messages, Node,
    node::fixture::{Mesh, joined, open, until, within},
};

/// Who posted it, in all its lives, and its number.
type Numbered = (u32, u32);

/// Posts numbers until told to stop, and returns how far it got.
fn poster(
    channel: BroadcastChannel<Numbered>,
    slot: u32,
    first: u32,
) -> (watch::Sender<bool>, JoinHandle<u32>) {
    let (stop, mut stopped) = watch::channel(false);
    let posting = tokio::spawn(async move {
        let (mut n, mut pace) = (first, interval(Duration::from_millis(5)));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = pace.tick() => {
                    channel.post_message(&(slot, n)).expect("there is room");
                    n += 1;
                }
                _ = stopped.changed() => return n,
            }
        }
    });
    (stop, posting)
}

/// What was heard: of each process without a hole, and all in all.
#[derive(Default)]
struct Heard {
    next: BTreeMap<PeerId, Numbered>,
    all: BTreeSet<Numbered>,
}

impl Heard {
    /// Listens until there is as much as that, or to the end.
    async fn listen(
        mut self,
        mut messages: Messages<Numbered>,
        mut enough: watch::Receiver<usize>,
    ) -> Self {
        while self.all.len() < *enough.borrow() {
            let item = tokio::select! {
                item = messages.recv() => item,
                () = tokio::time::sleep(Duration::from_secs(60)) => panic!("{} heard, next {:?}", self.all.len(), self.next),
                Ok(()) = enough.changed() => continue,
            };
            let Some(item) = item else {
                break;
            };
            let message = item.expect("no gap");
            let (slot, n) = message.data;
            let expected = self.next.insert(message.sender(), (slot, n + 1));
            assert!(
                expected.is_none_or(|expected| expected == (slot, n)),
                "{expected:?} and not {n}"
            );
            assert!(self.all.insert((slot, n)), "{slot} {n} twice");
        }
        self
    }
}

/// As much as there is.
fn everything() -> watch::Receiver<usize> {
    watch::channel(usize::MAX).1
}

/// A node that listens, and posts once it is joined.
async fn join(mesh: &Mesh, slot: u32, first: u32, observer: &Node) -> Life {
    let node = mesh.node(&format!("node-{slot}"), &[observer]).await;
    let channel = open::<Numbered>(&node, "earth");
    let listening = tokio::spawn(Heard::default().listen(channel.messages(), everything()));
    until(&node, |it| {
        it.channels
            .first()
            .is_some_and(|it| !it.subscribers.is_empty())
    })
    .await;
    let (stop, posting) = poster(channel, slot, first);
    Life {
        node,
        stop,
        posting,
        listening,
    }
}

/// One process, from start to end.
struct Life {
    node: Node,
    stop: watch::Sender<bool>,
    posting: JoinHandle<u32>,
    listening: JoinHandle<Heard>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_all_nodes_but_one_under_load_loses_nothing() {
    let mesh = Mesh::new();
    let observer = mesh.node("observer", &[]).await;
    let (enough, at_least) = watch::channel(usize::MAX);
    let messages = open::<Numbered>(&observer, "earth").messages();
    let observing = tokio::spawn(Heard::default().listen(messages, at_least));
    let mut fleet = Vec::new();
    for slot in 0..3 {
        fleet.push(join(&mesh, slot, 0, &observer).await);
    }
    let mut listeners = Vec::new();
    for slot in 0..3 {
        let all: Vec<&Node> = fleet
            .iter()
            .map(|life| &life.node)
            .chain([&observer])
            .collect();
        joined(&all, "earth").await;
        let old = fleet.remove(0);
        old.stop.send(true).expect("posts");
        let next = old.posting.await.expect("posted all");
        within(old.node.shutdown()).await;
        listeners.push(old.listening);
        fleet.push(join(&mesh, slot, next, &observer).await);
    }
    let all: Vec<&Node> = fleet
        .iter()
        .map(|life| &life.node)
        .chain([&observer])
        .collect();
    joined(&all, "earth").await;
    let (mut expected, mut rest) = (BTreeSet::new(), Vec::new());
    for (slot, life) in (0..).zip(fleet) {
        life.stop.send(true).expect("posts");
        let posted = life.posting.await.expect("posted all");
        expected.extend((0..posted).map(|n| (slot, n)));
        rest.push(life.node);
        listeners.push(life.listening);
    }
    enough.send(expected.len()).expect("listens");
    let heard = within(observing).await.expect("nothing was lost");
    assert_eq!(heard.all, expected);
    for node in rest {
        within(node.shutdown()).await;
    }
    for listening in listeners {
        within(listening)
            .await
            .expect("nobody missed anything from when it was there");
    }
}

/// Two nodes that are each other's seed dial each other, and end up with two connections of which
/// one is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_connection_that_doubles_another_is_closed_under_load() {
    let mesh = Mesh::new();
    let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let ports = free.map(|it| it.local_addr().expect("bound").port());
    let address = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let node = |name: &str, mine: u16, other: u16| {
        mesh.builder(name)
            .listen(address(mine))
            .seed(address(other))
            .spawn()
    };
    let (a, b) = tokio::join!(node("a", ports[0], ports[1]), node("b", ports[1], ports[0]));
    let (a, b) = (a.expect("starts"), b.expect("starts"));
    let (at_a, at_b) = (open::<Numbered>(&a, "earth"), open::<Numbered>(&b, "earth"));
    let ends = [&at_a, &at_b].map(|channel| {
        let (enough, at_least) = watch::channel(usize::MAX);
        (
            enough,
            tokio::spawn(Heard::default().listen(channel.messages(), at_least)),
        )
    });
    joined(&[&a, &b], "earth").await;
    let posters = [poster(at_a.clone(), 0, 0), poster(at_b.clone(), 1, 0)];
    // Past the moment at which the surplus is closed.
    until(&a, |it| it.counters.posted > 1_000).await;
    let [(stop_a, posting_a), (stop_b, posting_b)] = posters;
    stop_a.send(true).expect("posts");
    stop_b.send(true).expect("posts");
    let posted = [
        posting_b.await.expect("posted"),
        posting_a.await.expect("posted"),
    ];
    for ((enough, listening), posted) in ends.into_iter().zip(posted) {
        enough.send(posted as usize).expect("listens");
        assert_eq!(
            within(listening).await.expect("no gap").all.len(),
            posted as usize
        );
    }
}
