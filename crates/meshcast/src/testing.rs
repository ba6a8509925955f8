//! For the tests of services: a mesh in one process, and messages made by hand.
//!
//! It is the feature `testing`, off by default; a service has it in its `dev-dependencies`, beside
//! `tokio` with `test-util`:
//!
//! ```toml
//! [dev-dependencies]
//! meshcast = { git = "…", features = ["testing"] } # or path = "…": it is not on crates.io yet
//! tokio = { version = "1", features = ["macros", "rt", "test-util"] }
//! ```
//!
//! ```
//! use std::time::Duration;
//! use meshcast::testing::Mesh;
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)] // in a test: `tokio::test`
//! async fn main() {
//!     let mut mesh = Mesh::new(3).await;
//!     let mut inbox = mesh.node(1).channel::<String>("prices").unwrap().messages();
//!     let prices = mesh.node(0).channel::<String>("prices").unwrap();
//!
//!     mesh.partition(&[0], &[1, 2]);
//!     prices.post_message("42").unwrap();
//!     tokio::time::sleep(Duration::from_secs(60)).await; // over in a moment
//!     mesh.heal();
//!     assert_eq!(inbox.recv().await.unwrap().unwrap().data, "42");
//!
//!     mesh.kill(0).await; // nobody is told
//!     mesh.restart(0).await; // a new process with the same name
//! }
//! ```
//!
//! # What is real
//!
//! The nodes are those of production, down to admission, encryption and gossip. Only their
//! connections are made in memory: no socket is opened, nothing of the environment is read, and
//! several tests at once have nothing to do with each other. They run on the runtime of the test,
//! so what is tested is the service as it stands.
//!
//! # Time
//!
//! All that a node does by the clock it does by that of its runtime. If the test has
//! [paused](tokio::time::pause) it, or was begun with `start_paused`, time passes only while
//! everybody waits, and then at once: an hour of three nodes takes some three seconds of the
//! processor in a build that does not optimise. Let it pass by [`sleep`](tokio::time::sleep) or by
//! waiting for something. [`advance`](tokio::time::advance) jumps instead, and nodes take that for
//! a machine that was suspended. [`Message::posted_at`](crate::Message::posted_at) moves with it.
//!
//! Without a pause all takes the time that it takes in production.
//!
//! # What chance decides
//!
//! Keys, ids, links and waits follow from the [seed](MeshBuilder::seed). The random numbers of
//! encryption do not, and tasks and maps have orders of their own. So which of two senders is heard
//! first may differ from run to run, as it does in production. The guarantees hold in all of them.
//!
//! Only the pings of libp2p keep the time of the system. The round trips that a node tells are
//! measured by them.

// May use: everything.
// Must not: be used by anything.

mod made;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};

pub use self::made::Poster;
use crate::{
    builder::{InMemory, NodeBuilder},
    handover::Shutdown,
    key::MeshKey,
    netem::{Cut, Links, Place},
    node::Node,
    transport::{MemoryHost, MemoryNetwork},
};

/// A mesh in memory, and the power over it. Its nodes are numbered from 0.
///
/// An impossible request of a test, such as a node that does not exist, is a mistake in the test,
/// and panics.
///
/// When it is dropped its nodes wind down, if the runtime lets them.
pub struct Mesh {
    network: MemoryNetwork,
    links: Links,
    key: MeshKey,
    seed: u64,
    configure: Configure,
    places: Vec<Member>,
}

/// Describes a mesh to be started.
#[must_use = "a mesh starts when `start` is awaited"]
pub struct MeshBuilder {
    seed: u64,
    configure: Configure,
    places: Vec<(String, String)>,
}

/// One of a mesh, whichever process it is now.
struct Member {
    name: String,
    region: String,
    /// `None` while it does not run.
    node: Option<Node>,
    starts: u64,
}

type Configure = Arc<dyn Fn(NodeBuilder) -> NodeBuilder + Send + Sync>;

impl Mesh {
    /// So many nodes that are connected to each other: `node-0`, `node-1`, …, in the region `test`.
    /// To be called in a Tokio runtime, on which the nodes run.
    ///
    /// # Panics
    /// If they do not find each other within a minute.
    pub async fn new(nodes: usize) -> Self {
        Self::builder().nodes(nodes).start().await
    }

    /// Describes a mesh, for more than [`Self::new`] gives.
    pub fn builder() -> MeshBuilder {
        MeshBuilder {
            seed: 0,
            configure: Arc::new(|builder| builder),
            places: Vec::new(),
        }
    }

    /// A node.
    ///
    /// # Panics
    /// If there is none of this number, or it does not run.
    pub fn node(&self, index: usize) -> &Node {
        let member = self.member(index);
        match &member.node {
            Some(node) => node,
            None => panic!("{} does not run: it was killed or stopped", member.name),
        }
    }

    /// Those that run, in their order.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.places.iter().filter_map(|member| member.node.as_ref())
    }

    /// The links between them, for delays and everything else: each node is a [`Place`] by its
    /// name.
    pub const fn links(&self) -> &Links {
        &self.links
    }

    /// Cuts the links between each of these and each of those, in both directions and silently.
    /// Existing cuts stay; a node in neither group still reaches both.
    ///
    /// Nobody is told: what is sent waits, and after some seconds those who hear nothing give each
    /// other up.
    ///
    /// # Panics
    /// If there is no node of a number, or one is on both sides.
    pub fn partition(&self, these: &[usize], those: &[usize]) {
        for &a in these {
            for &b in those {
                assert!(a != b, "node {a} is on both sides of the partition");
                let (a, b) = (self.place(a), self.place(b));
                self.links.cut_both(&a, &b, Cut::Silent);
            }
        }
    }

    /// Mends all links. Bytes under way on connections that are still there arrive; others are made
    /// anew, within seconds.
    pub fn heal(&self) {
        self.links.heal();
    }

    /// Ends a node as if its process was killed: what it has not sent is lost, and its connections
    /// break. Of one that is [partitioned off](Self::partition) before, as a machine that is gone,
    /// nobody hears even that.
    ///
    /// # Panics
    /// If there is none of this number, or it does not run.
    pub async fn kill(&mut self, index: usize) {
        self.take(index).abort().await;
    }

    /// Ends a node [in peace](Node::shutdown).
    ///
    /// # Panics
    /// If there is none of this number, or it does not run.
    pub async fn stop(&mut self, index: usize) -> Shutdown {
        self.take(index).shutdown().await
    }

    /// Starts a node again: a new process at the same place, with the same name. One that runs is
    /// stopped in peace before. It may not have found the others yet when this returns: that is
    /// [`Node::ready`].
    ///
    /// # Panics
    /// If there is none of this number.
    pub async fn restart(&mut self, index: usize) {
        if self.member(index).node.is_some() {
            self.stop(index).await;
        }
        self.spawn(index).await;
    }

    /// Waits until all that run are connected to each other, which they are again seconds after
    /// what was cut is healed.
    ///
    /// # Panics
    /// If they are not within a minute: a link between them is cut.
    pub async fn connected(&self) {
        let others = self.nodes().count().saturating_sub(1);
        for node in self.nodes() {
            let found = timeout(TIMEOUT, node.wait_for_members(others)).await;
            let found = found.is_ok_and(|found| found.is_ok());
            assert!(found, "{} is not connected to all others", node.name());
        }
    }

    async fn spawn(&mut self, index: usize) {
        let seeds = (0..self.places.len()).filter(|it| *it != index);
        let seeds: Vec<SocketAddr> = seeds.map(address).collect();
        let member = self.member_mut(index);
        member.starts += 1;
        let (name, region, start) = (member.name.clone(), member.region.clone(), member.starts);
        let builder = (self.configure)(Node::builder().key(self.key.clone()));
        let builder = builder
            .name(&name)
            .region(region)
            .listen(address(index))
            .seeds(seeds)
            .links(&self.links)
            .runtime(Handle::current())
            .in_memory(InMemory {
                host: MemoryHost {
                    network: self.network.clone(),
                    ip: ip(index),
                },
                // Each process has keys of its own.
                seed: self.seed ^ ((wide(index) << 32) | start),
            });
        match builder.spawn().await {
            Ok(node) => self.member_mut(index).node = Some(node),
            Err(error) => panic!("{name} does not start: {error}"),
        }
    }

    fn take(&mut self, index: usize) -> Node {
        let member = self.member_mut(index);
        let Some(node) = member.node.take() else {
            panic!("{} does not run: it was killed or stopped", member.name);
        };
        node
    }

    fn place(&self, index: usize) -> Place {
        let name = &self.member(index).name;
        Place::node(name).expect("a node of this name was started")
    }

    fn member(&self, index: usize) -> &Member {
        let count = self.places.len();
        let member = self.places.get(index);
        member.unwrap_or_else(|| panic!("there is no node {index}: there are {count}, from 0"))
    }

    fn member_mut(&mut self, index: usize) -> &mut Member {
        let count = self.places.len();
        let member = self.places.get_mut(index);
        member.unwrap_or_else(|| panic!("there is no node {index}: there are {count}, from 0"))
    }
}

impl MeshBuilder {
    /// So many more nodes: `node-0`, `node-1`, … by their numbers, in the region `test`.
    pub fn nodes(mut self, nodes: usize) -> Self {
        for _ in 0..nodes {
            let name = format!("node-{}", self.places.len());
            self = self.node(name, "test");
        }
        self
    }

    /// One more node. No two may have the same name.
    pub fn node(mut self, name: impl Into<String>, region: impl Into<String>) -> Self {
        self.places.push((name.into(), region.into()));
        self
    }

    /// The seed of keys, ids, links and waits. Default: 0.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds to the description of each node, at each of its starts: limits, say. Name, region,
    /// addresses, seeds, links and runtime are those of the mesh all the same.
    pub fn configure(
        mut self,
        configure: impl Fn(NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
    ) -> Self {
        self.configure = Arc::new(configure);
        self
    }

    /// Starts the nodes, and waits until all are connected to each other. To be called in a Tokio
    /// runtime, on which they run.
    ///
    /// # Panics
    /// If two have the same name, one does not start, or they do not find each other within a
    /// minute.
    pub async fn start(self) -> Mesh {
        let member = |(name, region)| Member {
            name,
            region,
            node: None,
            starts: 0,
        };
        let mut mesh = Mesh {
            network: MemoryNetwork::default(),
            links: Links::new(self.seed),
            key: MeshKey::from_entropy([SECRET; 48]),
            seed: self.seed,
            configure: self.configure,
            places: self.places.into_iter().map(member).collect(),
        };
        for index in 0..mesh.places.len() {
            let name = &mesh.member(index).name;
            let twice = mesh.places.iter().filter(|it| it.name == *name).count() > 1;
            assert!(!twice, "there are two nodes named {name}");
            mesh.spawn(index).await;
        }
        mesh.connected().await;
        mesh
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standing = |it: &Member| format!("{} runs: {}", it.name, it.node.is_some());
        let places: Vec<_> = self.places.iter().map(standing).collect();
        f.debug_struct("Mesh")
            .field("nodes", &places)
            .field("cuts", &self.links.cuts())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MeshBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshBuilder")
            .field("nodes", &self.places)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// Where a node is, as if each had a machine.
fn address(index: usize) -> SocketAddr {
    SocketAddr::new(ip(index), PORT)
}

fn wide(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}

fn ip(index: usize) -> IpAddr {
    let offset = u32::try_from(index).unwrap_or(u32::MAX);
    IpAddr::V4(Ipv4Addr::from_bits(FIRST_IP.saturating_add(offset)))
}

/// 10.0.0.1: a private address, as those of machines in a fleet.
const FIRST_IP: u32 = 0x0a00_0001;
const PORT: u16 = 4001;
/// Nothing that matters is kept by the key of a mesh in memory.
const SECRET: u8 = 7;
/// For nodes to find each other, also by the clock of a machine that has much else to do.
const TIMEOUT: Duration = Duration::from_secs(60);
