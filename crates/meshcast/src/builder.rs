//! From a description to a running node.
//!
//! [`NodeBuilder`] has a method for each setting. When the node is started, settings that the code
//! does not make are [`found`] in the environment and in files, or chosen at [`random`].
//!
//! May use: everything that a node is started from; `spawn` starts it.
//! Must not: keep anything of a node that runs.

mod found;
mod random;

use std::path::PathBuf;

use libp2p::Multiaddr;
use meshcast_proto::{Identity, Trust};
use tokio::runtime::Handle;

use self::found::default_addresses;
#[cfg(feature = "metrics")]
use crate::address::{MetricsAddress, MetricsAddressError};
#[cfg(feature = "admin")]
use crate::admin::AdminSocket;
use crate::{
    address::{Address, AddressError, is_loopback},
    config::{Config, check_advertised, check_seed},
    error::{EnvError, SpawnError},
    gossip::NEVER_MUTE,
    key::MeshKey,
    limits::Limits,
    netem::Links,
    node::Node,
    spawn::{Alone, Plan, spawn},
    transport::Handshake,
};

/// Describes a node to be started. Everything has a default; nothing is checked before
/// [`Self::spawn`].
#[derive(Debug, Clone, Default)]
#[must_use = "a node starts when `spawn` is awaited"]
pub struct NodeBuilder {
    identity: IdentitySettings,
    addresses: AddressSettings,
    limits: Limits,
    #[cfg(any(feature = "admin", feature = "metrics"))]
    services: ServiceSettings,
    environment: Environment,
}

/// Who the node is and in which mesh.
#[derive(Debug, Clone, Default)]
struct IdentitySettings {
    name: Option<String>,
    region: Option<String>,
    key: Option<MeshKey>,
    key_file: Option<PathBuf>,
    membership: Option<Membership>,
}

/// The addresses of the node, and those it dials.
#[derive(Debug, Clone, Default)]
struct AddressSettings {
    listen: Vec<Multiaddr>,
    advertise: Vec<Multiaddr>,
    /// `None`: those of the environment.
    seeds: Option<Vec<Multiaddr>>,
    seeds_only: bool,
    /// The first address that is none. Told when the node is started: until then nothing fails.
    invalid: Option<AddressError>,
}

/// What the node serves to other programs.
#[cfg(any(feature = "admin", feature = "metrics"))]
#[derive(Debug, Clone, Default)]
struct ServiceSettings {
    #[cfg(feature = "admin")]
    admin: AdminSocket,
    #[cfg(feature = "admin")]
    local: bool,
    #[cfg(feature = "metrics")]
    metrics: Option<MetricsAddress>,
    /// Told when the node is started.
    #[cfg(feature = "metrics")]
    invalid_metrics: Option<MetricsAddressError>,
}

/// What the node runs on, and over which links.
#[derive(Debug, Clone, Default)]
struct Environment {
    runtime: Option<Handle>,
    links: Option<Links>,
    proposes: Handshake,
    #[cfg(feature = "testing")]
    memory: Option<InMemory>,
    /// `None` outside of tests.
    mute_from: Option<usize>,
}

/// Settings of a node for tests that nothing outside of the test decides.
#[cfg(feature = "testing")]
#[derive(Debug, Clone)]
pub(crate) struct InMemory {
    pub(crate) host: crate::transport::MemoryHost,
    /// What its keys and its jitter are made of.
    pub(crate) seed: u64,
}

/// The identity of a node and the authorities it trusts, for those who do not use a mesh key. The
/// module [`membership`](crate::membership) shows how both are made.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The identity to show to others.
    pub identity: Identity,
    /// The authorities to believe.
    pub trust: Trust,
}

impl Node {
    /// Describes a node to be started.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }
}

impl NodeBuilder {
    /// A node as the environment describes it: all of [`Config::from_env`], and the key.
    ///
    /// Settings that are missing here are looked up when the node starts as well, in
    /// `MESHCAST_NAME`, `MESHCAST_REGION` and the variables of platforms in its place,
    /// `MESHCAST_KEY`, `MESHCAST_KEY_FILE`, `MESHCAST_LISTEN`, `MESHCAST_ADVERTISE`,
    /// `MESHCAST_LOCAL` and `MESHCAST_SEEDS`. This also takes over limits, metrics and
    /// `MESHCAST_DIAL_MEMBERS`, and what cannot be used is an error here.
    ///
    /// # Errors
    /// [`EnvError`] for the first variable that cannot be used.
    pub fn from_env() -> Result<Self, EnvError> {
        Config::from_env().map(Self::from)
    }

    /// The name of the node. Default: `MESHCAST_NAME`, else the region and a random number.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.identity.name = Some(name.into());
        self
    }

    /// The region of the node. Default: the first of the environment variables `MESHCAST_REGION`,
    /// `DENO_REGION`, `FLY_REGION` and `AWS_REGION` that is set, else `local`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.identity.region = Some(region.into());
        self
    }

    /// The secret of the mesh. Default: the key file, else the environment variable `MESHCAST_KEY`
    /// unless it is empty, else the file that `MESHCAST_KEY_FILE` names.
    ///
    /// Without any the node makes a key of its own and stays on loopback, alone. It says so in its
    /// log. For nodes of one machine that need no key said there is `local`.
    pub fn key(mut self, key: MeshKey) -> Self {
        self.identity.key = Some(key);
        self
    }

    /// A file that holds the secret of the mesh: a regular one, or a link to one, of this user that
    /// nobody else may read (0600, 0400), or of root that at most its group may read (0640, 0440,
    /// as Kubernetes mounts a Secret with `fsGroup`).
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.identity.key_file = Some(path.into());
        self
    }

    /// An identity issued elsewhere, in place of a mesh key. Name and region are those of its
    /// credential.
    pub fn membership(mut self, membership: Membership) -> Self {
        self.identity.membership = Some(membership);
        self
    }

    /// An address to listen on, may be given several times: an IP address and a TCP port, as a
    /// [`SocketAddr`](std::net::SocketAddr), as text (`"0.0.0.0:4001"`) or in any other form of an
    /// [`Address`]. Default: those in `MESHCAST_LISTEN`, else any free TCP port, on all addresses
    /// of the machine with a key and on loopback without.
    pub fn listen(mut self, address: impl TryInto<Address, Error: Into<AddressError>>) -> Self {
        let address = self.take_address(address);
        self.addresses.listen.extend(address);
        self
    }

    /// An address that other machines reach this node by, where that is none of those it listens
    /// on: behind NAT, or in a container with mapped ports. May be given several times. Members
    /// beyond this machine are told these in place of those it listens on, so each must lead to
    /// this node and to no other. An IP address and a port; a name is refused, since members dial
    /// no names that others tell. Default: those in `MESHCAST_ADVERTISE`.
    ///
    /// In Kubernetes it is not needed: pods reach each other by the address they listen on.
    pub fn advertise(mut self, address: impl TryInto<Address, Error: Into<AddressError>>) -> Self {
        let address = self.take_address(address);
        self.addresses.advertise.extend(address);
        self
    }

    /// An address of a member to find the others through, may be given several times, in any form
    /// of an [`Address`] (`"mesh.example:4001"`). It need not be up: it is dialled until it is. A
    /// DNS name stands for all addresses it has, and is looked up again every 5 s. That one of them
    /// is this node itself is as it should be: all may have the same seeds. Default: those in
    /// `MESHCAST_SEEDS`.
    pub fn seed(self, address: impl TryInto<Address, Error: Into<AddressError>>) -> Self {
        self.seeds([address])
    }

    /// Several [seeds](Self::seed), or none whatever the environment says.
    pub fn seeds<A>(mut self, addresses: impl IntoIterator<Item = A>) -> Self
    where
        A: TryInto<Address, Error: Into<AddressError>>,
    {
        let mut seeds = self.addresses.seeds.take().unwrap_or_default();
        seeds.extend(addresses.into_iter().filter_map(|it| self.take_address(it)));
        self.addresses.seeds = Some(seeds);
        self
    }

    /// Remembers what is wrong with it if it is none.
    fn take_address(
        &mut self,
        address: impl TryInto<Address, Error: Into<AddressError>>,
    ) -> Option<Multiaddr> {
        match address.try_into() {
            Ok(address) => Some(address.into()),
            Err(error) => {
                self.addresses.invalid.get_or_insert_with(|| error.into());
                None
            }
        }
    }

    /// Whether members that others tell of are dialled too. They are by default.
    ///
    /// Without, the node has the connections to its seeds and those that others open to it: for a
    /// fleet whose links are laid out by hand. Messages go through others then, so the links must
    /// hold together.
    pub fn dial_members(mut self, dial: bool) -> Self {
        self.addresses.seeds_only = !dial;
        self
    }

    /// The limits of the node. Change [`Limits::default`], as shown [there](Limits).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The socket at which the `meshcast` command reaches the node. Default: nowhere. With the
    /// feature `admin`, which is on by default.
    #[cfg(feature = "admin")]
    pub fn admin(mut self, socket: AdminSocket) -> Self {
        self.services.admin = socket;
        self
    }

    /// Has the nodes of this user on this machine find each other with nothing else said: for
    /// trying things out, and for a service of several processes on one machine. With the feature
    /// `admin`. Default: `MESHCAST_LOCAL`, else not.
    ///
    /// * Without a key in any of the other places it is that in the file `local.key` in the first
    ///   of [`socket_directories`](crate::socket_directories), made if need be (0600, in a
    ///   directory of 0700), and the node stays on loopback. Other users have another key, and
    ///   cannot read this one.
    /// * The node has an [admin socket](Self::admin) there unless it is told another place, and all
    ///   nodes of the mesh that have one there are its seeds, looked for again every 5 s. Sockets
    ///   of nodes that are gone are ignored.
    ///
    /// Sessions that have another `XDG_RUNTIME_DIR`, or another temporary directory if that is not
    /// set, do not see each other.
    #[cfg(feature = "admin")]
    pub fn local(mut self) -> Self {
        self.services.local = true;
        self
    }

    /// The address at which the node serves its [metrics](crate::metrics), by HTTP at `/metrics`:
    /// an IP address and a port, or a port alone (as text), which is then one of loopback. Default:
    /// nowhere. With the feature `metrics`.
    ///
    /// Anybody who reaches the address reads names of nodes and regions, and how much is posted,
    /// but no message and no name of a channel. On loopback, requests that name another host are
    /// refused, as those of web pages are whose name was made to resolve to this machine. Eight
    /// connections are served at a time, a minute each.
    #[cfg(feature = "metrics")]
    pub fn metrics(
        mut self,
        address: impl TryInto<MetricsAddress, Error: Into<MetricsAddressError>>,
    ) -> Self {
        match address.try_into() {
            Ok(address) => self.services.metrics = Some(address),
            Err(error) => {
                self.services
                    .invalid_metrics
                    .get_or_insert_with(|| error.into());
            }
        }
        self
    }

    /// Has the node dial as one does whose processor has AES, or has not.
    #[cfg(test)]
    pub(crate) const fn proposes(mut self, proposes: Handshake) -> Self {
        self.environment.proposes = proposes;
        self
    }

    /// Has the node live over made-up links, for trying and testing. Default: over what is there.
    pub fn links(mut self, links: &Links) -> Self {
        self.environment.links = Some(links.clone());
        self
    }

    /// Has the node run on a Tokio runtime that other things run on too. Default: on a thread of
    /// its own.
    ///
    /// On its own thread nothing that blocks the runtime of a service holds up its links, and it
    /// carries more for less of the processor. On a shared runtime with several threads it carries
    /// more of large messages, of which one thread takes some hundred megabytes a second; and many
    /// nodes in one process need no more threads than there are processors. But dropping the last
    /// handle of such a node waits for nothing: whoever wants what was posted to arrive has to wait
    /// for [`Node::shutdown`].
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.environment.runtime = Some(runtime);
        self
    }

    /// Has the node hear no gossip of a connection once it brought a longer RPC, and say nothing of
    /// it: as a fault would that nobody notices.
    #[cfg(test)]
    pub(crate) fn mute_from(mut self, bytes: usize) -> Self {
        self.environment.mute_from = Some(bytes);
        self
    }

    /// Starts the node. It listens when this returns; [`Node::ready`] waits until it has company.
    ///
    /// Must be awaited inside a Tokio runtime, on which its
    /// [handlers](crate::BroadcastChannel::on_message) run then; the node itself runs on a thread
    /// of its own, unless it is given a [`runtime`](Self::runtime). Not cancel-safe in the sense
    /// that a dropped future may leave a node that stops by itself.
    ///
    /// # Errors
    /// [`SpawnError`]; nothing is left running.
    pub async fn spawn(mut self) -> Result<Node, SpawnError> {
        if let Some(error) = self.addresses.invalid.take() {
            return Err(error.into());
        }
        #[cfg(feature = "metrics")]
        if let Some(error) = self.services.invalid_metrics.take() {
            return Err(error.into());
        }
        if !self.is_in_memory() {
            self.look_up(|name| std::env::var_os(name))?;
        }
        let mut chance = self.random_source();
        let (Membership { identity, trust }, keyed) = self.find_membership(&mut chance).await?;
        let listen = if self.addresses.listen.is_empty() {
            default_addresses(keyed)
        } else {
            self.addresses.listen
        };
        let seeds = self.addresses.seeds.unwrap_or_default();
        let stranger = listen
            .iter()
            .chain(&self.addresses.advertise)
            .chain(&seeds)
            .find(|address| !is_loopback(address));
        if let (false, Some(address)) = (keyed, stranger) {
            return Err(SpawnError::NoKey(address.clone()));
        }
        for address in &seeds {
            check_seed(address)?;
        }
        for address in &self.addresses.advertise {
            check_advertised(address)?;
        }
        let alone = (!keyed).then_some(Alone {
            seedless: seeds.is_empty(),
        });
        #[cfg(feature = "admin")]
        let alone = alone.filter(|_| !self.services.local);
        #[cfg(feature = "admin")]
        let seeds = match self.services.local {
            true => seeds
                .into_iter()
                .chain([crate::address::local_seed()])
                .collect(),
            false => seeds,
        };
        #[cfg(feature = "admin")]
        if self.services.local && self.services.admin == AdminSocket::Off {
            self.services.admin = AdminSocket::Default;
        }
        let seed = u64::from_le_bytes(chance.bytes()?);
        let plan = Plan {
            identity,
            trust,
            listen,
            advertise: self.addresses.advertise,
            alone,
            seeds,
            seeds_only: self.addresses.seeds_only,
            limits: self.limits,
            #[cfg(feature = "admin")]
            admin: self.services.admin,
            #[cfg(feature = "metrics")]
            metrics: self.services.metrics,
            links: self.environment.links,
            proposes: self.environment.proposes,
            #[cfg(feature = "testing")]
            memory: self.environment.memory.map(|it| it.host),
            seed,
            mute_from: self.environment.mute_from.unwrap_or(NEVER_MUTE),
        };
        spawn(plan, self.environment.runtime).await
    }

    /// A node of a test, with all that is not said taken from nowhere else.
    #[cfg(feature = "testing")]
    pub(crate) fn in_memory(mut self, memory: InMemory) -> Self {
        self.environment.memory = Some(memory);
        self
    }

    #[cfg(feature = "testing")]
    const fn is_in_memory(&self) -> bool {
        self.environment.memory.is_some()
    }

    #[cfg(not(feature = "testing"))]
    const fn is_in_memory(&self) -> bool {
        false
    }
}

/// As if each setting had been made by the method of its name.
impl From<Config> for NodeBuilder {
    fn from(config: Config) -> Self {
        let addresses = |written: Vec<Address>| written.into_iter().map(Multiaddr::from).collect();
        Self {
            identity: IdentitySettings {
                name: config.name,
                region: config.region,
                key_file: config.key_file,
                ..IdentitySettings::default()
            },
            addresses: AddressSettings {
                listen: addresses(config.listen),
                advertise: addresses(config.advertise),
                seeds: (!config.seeds.is_empty()).then(|| addresses(config.seeds)),
                seeds_only: !config.dial_members,
                invalid: None,
            },
            limits: config.limits,
            #[cfg(any(feature = "admin", feature = "metrics"))]
            services: ServiceSettings {
                #[cfg(feature = "admin")]
                local: config.local,
                #[cfg(feature = "metrics")]
                metrics: config.metrics,
                ..ServiceSettings::default()
            },
            environment: Environment::default(),
        }
    }
}

#[cfg(test)]
mod tests;
