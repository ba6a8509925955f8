//! Real nodes in one process, over links that are as long as they are told to be and fail when they
//! are told to.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real nodes live in real time"
)]

mod builder;
mod cuts;
mod journal;
mod member;
mod recorded;

use std::{fmt, time::Duration};

use meshcast::{
    LabelError, Node, NodeBuilder, NodeName, OpenError, PeerId, Region, Shutdown, SpawnError,
    netem::{Links, Place},
};

use tokio::{runtime::Handle, time::timeout};

pub use self::{
    builder::ClusterBuilder,
    cuts::CutLink,
    journal::{NotAgreed, PostFailed},
};
use self::{
    journal::Journal,
    member::{Member, State},
};
use crate::log::Entry;

/// Real nodes in one process, and the power to cut what is between them.
///
/// Nodes hear each other over TCP on the loopback interface, over shaped
/// [`links`](meshcast::netem). Must be used in a Tokio runtime. When it is dropped the nodes leave
/// by themselves; [`Self::shutdown`] waits for that.
///
/// ```
/// use std::time::Duration;
/// use meshcast_sim::{Checker, Cluster, Rules};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let regions = ["fra", "iad"];
/// let mut cluster = Cluster::builder(7).regions(&regions, 1)?.record("earth").start().await?;
/// cluster.partition(&[&["fra"], &["iad"]])?;
/// cluster.post("fra-1", b"here".as_slice())?;
/// cluster.post("iad-1", b"there".as_slice())?;
/// cluster.heal();
/// cluster.agree(Duration::from_secs(60)).await?;
/// let verdict = Checker::new(Rules::default()).check(&cluster.finish().await);
/// assert_eq!((verdict.deliveries, verdict.violations.len()), (2, 0));
/// # Ok(())
/// # }
/// ```
pub struct Cluster {
    links: Links,
    members: Vec<Member>,
    configure: Box<dyn Fn(NodeBuilder) -> NodeBuilder + Send + Sync>,
    journal: Option<Journal>,
}

/// How a process ends that is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Death {
    /// The process is killed: the system closes its connections, so the others know at once.
    Crash,
    /// The machine is gone: nobody is told, and the others find out when it does not answer.
    Vanish,
}

/// How a node of a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It runs.
    Up,
    /// It runs, but nothing gets to it or from it.
    Paused,
    /// It does not run.
    Down,
}

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// What it is called.
    pub name: NodeName,
    /// Where it is.
    pub region: Region,
    /// How it is.
    pub standing: Standing,
    /// Its process, if it runs.
    pub peer_id: Option<PeerId>,
}

/// Why something cannot be done to a cluster. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A region or a node cannot be called so.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// Two nodes would have the same name.
    #[error("there are two nodes named {0}")]
    Twice(NodeName),
    /// No node has that name.
    #[error("there is no node {0:?}")]
    NoSuchNode(String),
    /// Neither a node nor a region has that name.
    #[error("there is no node and no region {0:?}")]
    NoSuchPlace(String),
    /// A node would be on both sides of a partition, or nobody on one.
    #[error("{0}")]
    NoPartition(&'static str),
    /// Two places are the same nodes, and there is no way from them to themselves.
    #[error("{0} and {1} are the same nodes, so there is no way from one to the other")]
    SameNodes(String, String),
    /// The node does not run.
    #[error("{0} is not running")]
    Down(NodeName),
    /// The node is paused.
    #[error("{0} is already paused")]
    Paused(NodeName),
    /// The node is not paused.
    #[error("{0} is not paused")]
    NotPaused(NodeName),
    /// The channel that is recorded cannot be opened at a node.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A node does not start. It is down.
    #[error("{name} does not start: {source}")]
    Spawn {
        /// Which.
        name: NodeName,
        /// Why.
        source: SpawnError,
    },
    /// Nodes have not found each other in time.
    #[error("{0} does not find the others")]
    NotReady(NodeName),
}

impl Cluster {
    /// Describes a cluster. The seed decides what chance decides on its links.
    pub fn builder(seed: u64) -> ClusterBuilder {
        ClusterBuilder::new(seed)
    }

    /// Starts all nodes that are down.
    ///
    /// Cancel-safe: those that have started are part of the cluster.
    ///
    /// # Errors
    /// [`ClusterError::Spawn`]; those before it run.
    pub async fn start(&mut self) -> Result<(), ClusterError> {
        for index in 0..self.members.len() {
            if self.members[index].standing() == Standing::Down {
                self.spawn(index).await?;
            }
        }
        Ok(())
    }

    /// Waits until all nodes that run are [ready](Node::ready), a minute at most. Cancel-safe.
    ///
    /// # Errors
    /// [`ClusterError::NotReady`].
    pub async fn ready(&self) -> Result<(), ClusterError> {
        let ready = self.members.iter().filter_map(|member| {
            let ready = member.node()?.ready();
            Some(async move {
                let ready = timeout(READY, ready).await;
                match ready {
                    Ok(Ok(_)) => Ok(()),
                    _ => Err(ClusterError::NotReady(member.name.clone())),
                }
            })
        });
        futures::future::try_join_all(ready).await.map(drop)
    }

    /// The links between the nodes, for everything else.
    pub const fn links(&self) -> &Links {
        &self.links
    }

    /// A node, if it runs.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchNode`], [`ClusterError::Down`].
    pub fn node(&self, name: &str) -> Result<&Node, ClusterError> {
        let member = self.member(name)?;
        member
            .node()
            .ok_or_else(|| ClusterError::Down(member.name.clone()))
    }

    /// All nodes, in the order in which they were described.
    pub fn status(&self) -> Vec<MemberStatus> {
        let status = |member: &Member| MemberStatus {
            name: member.name.clone(),
            region: member.region.clone(),
            standing: member.standing(),
            peer_id: member.node().map(Node::peer_id),
        };
        self.members.iter().map(status).collect()
    }

    /// Ends a node without asking it: what it has not sent is lost.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchNode`], [`ClusterError::Down`].
    pub async fn kill(&mut self, name: &str, death: Death) -> Result<(), ClusterError> {
        let links = self.links.clone();
        let member = self.member_mut(name)?;
        let node = member
            .node()
            .cloned()
            .ok_or_else(|| ClusterError::Down(member.name.clone()))?;
        match death {
            // A process that is frozen and then killed is closed by the system as well.
            Death::Crash => member.connect(&links),
            Death::Vanish => member.disconnect(&links),
        }
        member.state = State::Down;
        if let Some(recorder) = member.recorder.take() {
            recorder.end();
        }
        node.abort().await;
        Ok(())
    }

    /// Starts a node again, as a new process; one that runs is asked to stop first. It may not have
    /// found the others yet when this returns.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchNode`]; [`ClusterError::Spawn`], and the node is down.
    pub async fn restart(&mut self, name: &str) -> Result<(), ClusterError> {
        let links = self.links.clone();
        let member = self.member_mut(name)?;
        if let State::Up(node) = std::mem::replace(&mut member.state, State::Down) {
            node.shutdown().await;
        }
        if let Some(recorder) = member.recorder.take() {
            recorder.end();
        }
        member.connect(&links);
        let index = self.index(name)?;
        self.spawn(index).await
    }

    /// Freezes a node: nothing gets to it or from it, and nobody is told. It goes on by itself,
    /// unlike a process that is stopped.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchNode`], [`ClusterError::Down`], [`ClusterError::Paused`].
    pub fn pause(&mut self, name: &str) -> Result<(), ClusterError> {
        let links = self.links.clone();
        let member = self.member_mut(name)?;
        match member.standing() {
            Standing::Up => member.disconnect(&links),
            Standing::Paused => return Err(ClusterError::Paused(member.name.clone())),
            Standing::Down => return Err(ClusterError::Down(member.name.clone())),
        }
        Ok(())
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchNode`], [`ClusterError::NotPaused`].
    pub fn resume(&mut self, name: &str) -> Result<(), ClusterError> {
        let links = self.links.clone();
        let member = self.member_mut(name)?;
        if member.standing() != Standing::Paused {
            return Err(ClusterError::NotPaused(member.name.clone()));
        }
        member.connect(&links);
        Ok(())
    }

    /// Ends the run, all at once, and returns the log of it: empty if nothing is recorded. If it
    /// was not yet said, the faults are over now.
    pub async fn finish(mut self) -> Vec<Entry> {
        let log = self
            .journal
            .as_ref()
            .map(Journal::finish)
            .unwrap_or_default();
        let nodes: Vec<Node> = self.members.iter_mut().filter_map(Member::take).collect();
        futures::future::join_all(nodes.iter().map(Node::abort)).await;
        log
    }

    /// Ends all nodes, as a node is that is asked to, and returns what each left behind. First it
    /// lets what is on its way arrive, for 2 s at most: the receivers leave too. Cuts
    /// stay: [heal](Self::heal) them before if nobody is to leave with what others lack.
    pub async fn shutdown(mut self) -> Vec<(NodeName, Shutdown)> {
        let nodes: Vec<Node> = self.members.iter_mut().filter_map(Member::take).collect();
        let flushed = futures::future::join_all(nodes.iter().map(Node::flush));
        // Posts that are not with anybody by then are told below, with the rest.
        let _ = timeout(ARRIVE, flushed).await;
        let ended = futures::future::join_all(nodes.iter().map(Node::shutdown)).await;
        let names = nodes.iter().map(|node| node.name().clone());
        names.zip(ended).collect()
    }

    /// A node or a region, by name.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchPlace`].
    pub fn place(&self, name: &str) -> Result<Place, ClusterError> {
        let found = self.members.iter().find_map(|member| {
            if member.name.as_str() == name {
                Some(Place::Node(member.name.clone()))
            } else if member.region.as_str() == name {
                Some(Place::Region(member.region.clone()))
            } else {
                None
            }
        });
        found.ok_or_else(|| ClusterError::NoSuchPlace(name.to_owned()))
    }

    async fn spawn(&mut self, index: usize) -> Result<(), ClusterError> {
        let up = self.members.iter().filter(|member| member.node().is_some());
        let seeds: Vec<_> = up.flat_map(|member| member.addresses.clone()).collect();
        let Some(member) = self.members.get_mut(index) else {
            return Ok(());
        };
        let builder = |listen| {
            let builder = Node::builder()
                .name(member.name.as_str())
                .region(member.region.as_str())
                .listen(listen)
                .seeds(seeds.clone())
                .links(&self.links)
                // A hundred nodes need no hundred threads.
                .runtime(Handle::current());
            (self.configure)(builder).spawn()
        };
        // Its address of before, as a service that is started again: it is a seed of others.
        let mut spawned = match member.addresses.iter().find(|it| builder::is_loopback(it)) {
            Some(before) => builder(before.clone()).await,
            None => builder(builder::loopback()).await,
        };
        // The port was any that was free, so somebody else may have it by now.
        if let Err(SpawnError::Listen { .. }) = spawned {
            spawned = builder(builder::loopback()).await;
        }
        let node = spawned.map_err(|source| ClusterError::Spawn {
            name: member.name.clone(),
            source,
        })?;
        // An error means that it has stopped again: nobody reaches it.
        let snapshot = node.inspect().await.ok();
        member.addresses = snapshot.map_or_else(Vec::new, |it| it.node.listen_addresses);
        member.starts += 1;
        if let Some(journal) = &self.journal {
            let process = format!("{}.{}", member.name, member.starts);
            // An error means that it has stopped again.
            member.recorder = journal.follow(&node, &process, member.since).ok();
        }
        member.state = State::Up(node);
        Ok(())
    }

    fn members_of(&self, place: &Place) -> Vec<&NodeName> {
        let fits = |member: &&Member| match place {
            Place::Everywhere => true,
            Place::Region(region) => *region == member.region,
            Place::Node(name) => *name == member.name,
        };
        self.members
            .iter()
            .filter(fits)
            .map(|member| &member.name)
            .collect()
    }

    fn index(&self, name: &str) -> Result<usize, ClusterError> {
        let index = self
            .members
            .iter()
            .position(|member| member.name.as_str() == name);
        index.ok_or_else(|| ClusterError::NoSuchNode(name.to_owned()))
    }

    fn member(&self, name: &str) -> Result<&Member, ClusterError> {
        Ok(&self.members[self.index(name)?])
    }

    fn member_mut(&mut self, name: &str) -> Result<&mut Member, ClusterError> {
        let index = self.index(name)?;
        Ok(&mut self.members[index])
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

/// For what is on its way to arrive and to be acknowledged: twice the longest round trip anybody
/// simulates.
const ARRIVE: Duration = Duration::from_secs(2);
/// For nodes on one machine to find each other over long links: seconds, also when it is busy.
const READY: Duration = Duration::from_secs(60);
