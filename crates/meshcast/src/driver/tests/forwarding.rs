//! Tests of forwarding: how often frames come, and what happens where a link goes silent.

use crate::{
    BroadcastChannel, Counters, Messages, Node,
    netem::{Cut, Links, Place},
    node::fixture::{Mesh, addresses, joined, next, open, until, within},
};

/// Nodes that all have a channel open and read it.
struct Fleet {
    nodes: Vec<Node>,
    channels: Vec<BroadcastChannel<u32>>,
    heard: Vec<Messages<u32>>,
}

impl Fleet {
    fn new(nodes: Vec<Node>) -> Self {
        let channels: Vec<_> = nodes.iter().map(|node| open(node, "earth")).collect();
        let heard = channels.iter().map(BroadcastChannel::messages).collect();
        Self {
            nodes,
            channels,
            heard,
        }
    }

    /// Has one post something, and waits until it came to all.
    async fn post(&mut self, who: usize, message: u32) {
        self.channels[who].post_message(&message).expect("posted");
        for (n, heard) in self.heard.iter_mut().enumerate() {
            if n != who {
                assert_eq!(next(heard).await, message, "at {n}");
            }
        }
    }

    /// What all counted together.
    async fn counters(&self) -> Vec<Counters> {
        let mut all = Vec::new();
        for node in &self.nodes {
            all.push(node.inspect().await.expect("runs").counters);
        }
        all
    }

    /// How many copies came for each delivery of so many rounds, in which each posts once.
    async fn copies(&mut self, rounds: u32) -> f64 {
        let of = |all: Vec<Counters>| {
            let all = all
                .iter()
                .map(|it| (it.traffic.frames_gossiped, it.delivered));
            all.fold((0, 0), |(copies, delivered), it| {
                (copies + it.0, delivered + it.1)
            })
        };
        let before = of(self.counters().await);
        for round in 0..rounds {
            for who in 0..self.nodes.len() {
                self.post(who, round).await;
            }
        }
        let after = of(self.counters().await);
        (after.0 - before.0) as f64 / (after.1 - before.1) as f64
    }

    /// The same once everybody has told how it hears of those who have posted.
    async fn settled(&mut self, most: f64) -> f64 {
        within(async { while self.copies(1).await > most {} }).await;
        self.copies(20).await
    }
}

#[tokio::test]
async fn in_a_fleet_whose_members_are_all_linked_each_frame_comes_once() {
    let (mesh, mut nodes) = (Mesh::new(), Vec::new());
    for n in 0..5 {
        let seeds: Vec<&Node> = nodes.iter().collect();
        nodes.push(mesh.node(&format!("node-{n}"), &seeds).await);
    }
    for node in &nodes {
        until(node, |it| it.peers.len() == 4).await;
    }
    let mut fleet = Fleet::new(nodes);
    joined(&fleet.nodes.iter().collect::<Vec<_>>(), "earth").await;
    let copies = fleet.settled(1.3).await;
    assert!(copies <= 1.3, "{copies} copies for each delivery");
}

/// Members that dial nobody but their seeds.
async fn by_hand(links: &[(usize, usize)]) -> Fleet {
    let (mesh, mut nodes) = (Mesh::new(), Vec::<Node>::new());
    let count = links.iter().map(|(a, b)| a.max(b) + 1).max().unwrap_or(0);
    for n in 0..count {
        let mut builder = mesh.builder(&format!("node-{n}")).dial_members(false);
        for (a, _) in links.iter().filter(|(_, b)| *b == n) {
            builder = builder.seeds(addresses(&nodes[*a]).await);
        }
        nodes.push(builder.spawn().await.expect("starts"));
    }
    let fleet = Fleet::new(nodes);
    for (n, node) in fleet.nodes.iter().enumerate() {
        let linked = links.iter().filter(|(a, b)| *a == n || *b == n).count();
        until(node, |it| {
            let here = it.channels.first();
            here.is_some_and(|it| it.subscribers.len() == linked && it.mesh.len() == linked)
        })
        .await;
    }
    fleet
}

#[tokio::test]
async fn in_a_chain_and_a_ring_linked_by_hand_all_comes_and_hardly_anything_twice() {
    let chain = [(0, 1), (1, 2), (2, 3), (3, 4)];
    let ring = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)];
    for links in [chain.as_slice(), &ring] {
        let mut fleet = by_hand(links).await;
        let copies = fleet.copies(20).await;
        assert!(
            copies <= 1.5,
            "{links:?}: {copies} copies for each delivery"
        );
        let counters = fleet.counters().await;
        assert!(counters.iter().all(|it| it.gaps == 0));
        assert!(counters.iter().any(|it| it.traffic.frames_forwarded > 0));
    }
}

#[tokio::test]
async fn frames_that_a_silent_link_withholds_come_by_the_backup_upstream_while_both_ends_think_it_works()
 {
    let (links, mesh, mut nodes) = (Links::new(1), Mesh::new(), Vec::new());
    for name in ["a", "b", "c"] {
        let mut builder = mesh.builder(name).links(&links);
        for seed in &nodes {
            builder = builder.seeds(addresses(seed).await);
        }
        nodes.push(builder.spawn().await.expect("starts"));
    }
    for node in &nodes {
        until(node, |it| it.peers.len() == 2).await;
    }
    let mut fleet = Fleet::new(nodes);
    joined(&fleet.nodes.iter().collect::<Vec<_>>(), "earth").await;
    fleet.post(0, 0).await;
    let [a, b] = ["a", "b"].map(|name| Place::node(name).expect("a name"));
    links.cut_both(&a, &b, Cut::Silent);
    fleet.post(0, 1).await;
    let peers = fleet.nodes[1].inspect().await.expect("runs").peers;
    assert_eq!(peers.len(), 2, "the link was not given up before");
}
