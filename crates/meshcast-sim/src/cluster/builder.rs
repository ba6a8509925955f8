//! From a description to a running cluster.

use std::{collections::BTreeSet, fmt, time::Duration};

use meshcast::{
    MeshKey, Multiaddr, NodeBuilder, NodeName, Region,
    netem::{Links, Place, Shape},
};

use super::{Cluster, ClusterError, journal::Journal, member::Member};
use crate::{log::Name, rng::Rng, round_trips::round_trip};

/// Describes a cluster to be started.
#[must_use = "a cluster starts when `start` is awaited"]
pub struct ClusterBuilder {
    links: Links,
    key: Option<MeshKey>,
    nodes: Vec<(NodeName, Region)>,
    configure: Box<dyn Fn(NodeBuilder) -> NodeBuilder + Send + Sync>,
    channel: Option<Name>,
}

impl ClusterBuilder {
    pub(super) fn new(seed: u64) -> Self {
        let mut entropy = [0; 48];
        entropy.copy_from_slice(&Rng::new(seed).bytes(48));
        Self {
            links: Links::new(seed),
            key: Some(MeshKey::from_entropy(entropy)),
            nodes: Vec::new(),
            configure: Box::new(|builder| builder),
            channel: None,
        }
    }

    /// So many nodes in each of these regions, called `fra-1`, `fra-2`, ….
    ///
    /// # Errors
    /// [`ClusterError::Label`].
    pub fn regions(mut self, regions: &[&str], nodes: usize) -> Result<Self, ClusterError> {
        for region in regions {
            for n in 1..=nodes {
                self = self.node(&format!("{region}-{n}"), region)?;
            }
        }
        Ok(self)
    }

    /// A node.
    ///
    /// # Errors
    /// [`ClusterError::Label`].
    pub fn node(mut self, name: &str, region: &str) -> Result<Self, ClusterError> {
        self.nodes
            .push((NodeName::new(name)?, Region::new(region)?));
        Ok(self)
    }

    /// The round trip between two regions. Without it nothing is added to what the machine takes.
    ///
    /// # Errors
    /// [`ClusterError::Label`].
    pub fn round_trip(self, a: &str, b: &str, takes: Duration) -> Result<Self, ClusterError> {
        let (a, b) = (Place::region(a)?, Place::region(b)?);
        self.links.shape_both(&a, &b, Shape::round_trip(takes));
        Ok(self)
    }

    /// The round trips of [`round_trip`] between those of the regions so far that it knows.
    pub fn measured_round_trips(self) -> Self {
        let regions: BTreeSet<&Region> = self.nodes.iter().map(|(_, region)| region).collect();
        for a in &regions {
            for b in &regions {
                if let Some(takes) = round_trip(a.as_str(), b.as_str()) {
                    let (a, b) = (Place::Region((*a).clone()), Place::Region((*b).clone()));
                    self.links.shape(&a, &b, Shape::round_trip(takes));
                }
            }
        }
        self
    }

    /// The shape of all links of which nothing more exact is said.
    pub fn shape(self, shape: Shape) -> Self {
        self.links
            .shape(&Place::Everywhere, &Place::Everywhere, shape);
        self
    }

    /// The links between the nodes, for everything else.
    pub const fn links(&self) -> &Links {
        &self.links
    }

    /// The key of the mesh. By default it follows from the seed, so that anybody can know it: good
    /// for a test, not for nodes that strangers reach. With `None` nodes look for one where nodes
    /// do, if [`Self::configure`] sets none.
    pub fn key(mut self, key: Option<MeshKey>) -> Self {
        self.key = key;
        self
    }

    /// Adds to the description of each node, at each of its starts.
    pub fn configure(
        mut self,
        configure: impl Fn(NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
    ) -> Self {
        self.configure = Box::new(configure);
        self
    }

    /// Has each node open this channel when it starts, and writes down what is posted, delivered
    /// and missed on it. The log is kept in memory and grows with the run.
    pub fn record(mut self, channel: &str) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// A cluster of which nothing runs yet: [`Cluster::start`].
    ///
    /// # Errors
    /// [`ClusterError::Twice`].
    pub fn build(self) -> Result<Cluster, ClusterError> {
        let mut names = BTreeSet::new();
        if let Some((twice, _)) = self.nodes.iter().find(|(name, _)| !names.insert(name)) {
            return Err(ClusterError::Twice(twice.clone()));
        }
        let (key, configure) = (self.key, self.configure);
        let members = self.nodes.into_iter();
        Ok(Cluster {
            links: self.links,
            members: members
                .map(|(name, region)| Member::new(name, region))
                .collect(),
            configure: Box::new(move |builder| {
                configure(match &key {
                    Some(key) => builder.key(key.clone()),
                    None => builder,
                })
            }),
            journal: self.channel.map(Journal::new),
        })
    }

    /// Starts all nodes and waits until they have found each other.
    ///
    /// # Errors
    /// [`ClusterError`]; the nodes that have started stop by themselves.
    pub async fn start(self) -> Result<Cluster, ClusterError> {
        let mut cluster = self.build()?;
        cluster.start().await?;
        cluster.ready().await?;
        Ok(cluster)
    }
}

impl fmt::Debug for ClusterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterBuilder")
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

/// Any free port on the loopback interface.
pub(super) fn loopback() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/0".parse().expect("it is one")
}

/// Whether that is where [`loopback`] led to.
pub(super) fn is_loopback(address: &Multiaddr) -> bool {
    address.to_string().starts_with("/ip4/127.0.0.1/")
}
