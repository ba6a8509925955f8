//! Errors, one enum for each operation.
//!
//! May use: `address`, `limits`, `reason` and `units`, whose errors these are made of.
//! Must not: know whatever fails: each module above turns what went wrong there into one of these.

#[cfg(feature = "admin")]
mod admin;

use std::path::PathBuf;

use libp2p::{Multiaddr, PeerId, TransportError};
use meshcast_proto::{ChainError, ChannelNameError, LabelError, MeshKeyError};
use meshcast_value::EncodeError;
use rustix::io::Errno;

#[cfg(feature = "admin")]
pub use self::admin::{AdminError, DirectoryFault};
#[cfg(feature = "metrics")]
use crate::address::MetricsAddressError;
use crate::{
    address::AddressError,
    limits::LimitsError,
    reason::{causes, in_words},
    units::QuantityError,
};

/// Why a message was not posted. Nothing of it was.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The channel object was closed, or its node has stopped.
    #[error("the channel is closed")]
    Closed,
    /// The outbox holds as much as it may: messages are posted faster than they leave.
    #[error("the outbox of the channel is full ({limit} bytes)")]
    Full {
        /// [`Limits::outbox_bytes`](crate::Limits::outbox_bytes).
        limit: usize,
    },
    /// The message is over the limit; both in encoded bytes.
    #[error("message of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// [`Limits::max_message_bytes`](crate::Limits::max_message_bytes).
        limit: usize,
    },
    /// The message cannot be encoded.
    #[error("message cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
}

/// Why a channel was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The name is not allowed.
    #[error(transparent)]
    Name(#[from] ChannelNameError),
    /// As many channels are open as may be.
    #[error("{limit} channels are open, which is the limit")]
    TooManyChannels {
        /// [`Limits::max_channels`](crate::Limits::max_channels).
        limit: usize,
    },
    /// As many closed names are remembered as may be: those of which the history keeps something,
    /// and the last numbers of others.
    #[error("{limit} channel names are open or remembered, which is the limit")]
    TooManyNames {
        /// The limit.
        limit: usize,
    },
    /// The cursor to go on at is one of another channel, or of another mesh.
    #[error("the cursor is of another channel or another mesh")]
    ForeignCursor,
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
}

/// The node has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Closed;

/// Why a node did not answer a question that takes it a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// As many wait for an answer to this question as may. Ask again once some have theirs.
    #[error("{limit} wait for the same answer of the node, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
}

impl From<Closed> for AskError {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

/// Why a peer did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// There is no connection to it.
    #[error("peer {0} is not connected")]
    NotConnected(PeerId),
    /// It did not answer in time.
    #[error("peer {0} did not answer in time")]
    TimedOut(PeerId),
    /// As many pings of this node are under way as may. Ask again once some have been answered.
    #[error("{limit} pings are under way, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// This node has stopped.
    #[error("the node has stopped")]
    Closed,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// A process listens on the port already, on this address or on all of the machine. It may be
    /// another node, or this one from before, if it has not ended yet.
    #[error("another process listens there already, or this node does under another address")]
    InUse,
    /// No interface of this machine has the address.
    #[error("the address is none of this machine")]
    NotHere,
    /// The process may not listen there, mostly because the port is below 1024.
    #[error("not permitted (ports below 1024 take privileges)")]
    NotPermitted,
    /// This process or the system has no file descriptor left.
    #[error("no file descriptor is left (see `ulimit -n`)")]
    NoDescriptors,
    /// It is something else than an IP address and a TCP port.
    #[error("a node listens on an IP address and a TCP port, such as 0.0.0.0:4001")]
    Unsupported,
    /// None of this machine's interfaces got an address of this kind in time.
    #[error("no interface got an address within {0:?}")]
    NoInterface(std::time::Duration),
    /// Something else, in the words of the system.
    #[error("{0}")]
    Other(String),
}

impl ListenError {
    /// What libp2p or the system says, by name.
    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
        let unsupported = |error: &(dyn std::error::Error + 'static)| {
            matches!(
                error.downcast_ref(),
                Some(TransportError::<std::io::Error>::MultiaddrNotSupported(_))
            )
        };
        if causes(error).any(unsupported) {
            return Self::Unsupported;
        }
        let system = causes(error)
            .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
            .find(|error| error.raw_os_error().is_some());
        match system {
            Some(error) if is_out_of_descriptors(error) => Self::NoDescriptors,
            Some(error) => match error.kind() {
                AddrInUse => Self::InUse,
                AddrNotAvailable => Self::NotHere,
                PermissionDenied => Self::NotPermitted,
                _ => Self::Other(error.to_string()),
            },
            None => Self::Other(in_words(error)),
        }
    }
}

/// Whether a process or the system has no file descriptors left.
pub(crate) fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    let out = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| out.contains(&code))
}

/// Why a node did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The name is not allowed.
    #[error("node name: {0}")]
    Name(LabelError),
    /// The region is not allowed.
    #[error("region: {0}")]
    Region(LabelError),
    /// The mesh key is no mesh key.
    #[error("{origin}: {reason}")]
    Key {
        /// Where it was read.
        origin: String,
        /// What is wrong with it.
        reason: MeshKeyError,
    },
    /// A variable of the environment cannot be used.
    #[error(transparent)]
    Environment(#[from] EnvError),
    /// The file with the mesh key cannot be read, or is not safe to hold one.
    #[error("key file {}: {reason}", path.display())]
    KeyFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        reason: KeyFileError,
    },
    /// There is no mesh key, and the node would be reached from, or reach, other machines.
    #[error(
        "a node beyond loopback needs a mesh key (set MESHCAST_KEY; make one with `meshcast key new`), \
         but {0} was given"
    )]
    NoKey(Multiaddr),
    /// A text that was given as an address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// Why.
        reason: ListenError,
    },
    /// A seed is no address that can be dialled.
    #[error("cannot dial the seed {address}: {reason}")]
    Seed {
        /// The address.
        address: Multiaddr,
        /// Why.
        reason: SeedError,
    },
    /// An address to be told to others is none that they could dial.
    #[error(
        "cannot advertise {address}: tell members an IP address and a port, such as 192.0.2.1:4001"
    )]
    Advertise {
        /// The address.
        address: Multiaddr,
    },
    /// The system gave no random bytes.
    #[error("no random bytes: {0}")]
    Entropy(std::io::Error),
    /// A part of libp2p refused its settings.
    #[error("network set-up: {0}")]
    Network(String),
    /// The identity is not one that this node itself would believe.
    #[error("identity: {0}")]
    Identity(ChainError),
    /// Some of the [`Limits`](crate::Limits) are set to what cannot work.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The admin socket cannot be had.
    #[cfg(feature = "admin")]
    #[error("admin socket: {0}")]
    Admin(AdminError),
    /// Metrics cannot be told at the address for them.
    #[cfg(feature = "metrics")]
    #[error("cannot serve metrics at {address}: {reason}")]
    Metrics {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        reason: ListenError,
    },
    /// A text that was given as an address for metrics is none.
    #[cfg(feature = "metrics")]
    #[error("metrics: {0}")]
    MetricsAddress(MetricsAddressError),
    /// The node was not spawned inside a Tokio runtime, or the one it was to run on is gone.
    #[error("a node must be spawned inside a Tokio runtime")]
    NoRuntime,
    /// The system gave it no thread.
    #[error("no thread for the node: {0}")]
    Thread(std::io::Error),
}

#[cfg(feature = "admin")]
impl From<AdminError> for SpawnError {
    fn from(error: AdminError) -> Self {
        Self::Admin(error)
    }
}

#[cfg(feature = "metrics")]
impl From<MetricsAddressError> for SpawnError {
    fn from(error: MetricsAddressError) -> Self {
        Self::MetricsAddress(error)
    }
}

/// A variable of the environment that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct EnvError {
    /// Its name.
    pub variable: &'static str,
    /// The reason.
    pub reason: InvalidValue,
}

/// Why a setting cannot have a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidValue {
    /// It is no Unicode.
    #[error("it is no Unicode")]
    NotUnicode,
    /// It is no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// It is no address to serve metrics at.
    #[cfg(feature = "metrics")]
    #[error(transparent)]
    MetricsAddress(#[from] MetricsAddressError),
    /// It is neither true nor false.
    #[error("{0:?} is neither true nor false")]
    Boolean(String),
    /// It is no number, or one that cannot be.
    #[error("{0:?} is no such number")]
    Number(String),
    /// It is no size or no time.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// It is one of a feature of the crate that this programme is built without.
    #[error("this programme is built without the feature `{feature}`")]
    NotBuilt {
        /// The feature.
        feature: &'static str,
    },
}

/// Why an address cannot be that of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError {
    /// It names a process.
    #[error("a process has a new peer id at every start, so a seed must not name one")]
    NamesPeer,
    /// It is something else than an IP address or a name, and a TCP port.
    #[error("a seed looks like /ip4/192.0.2.1/tcp/4001 or /dns/name/tcp/4001")]
    Unsupported,
}

/// Why a file is not taken for one with a mesh key. Only its first 4,096 bytes were read, if any.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The system says no.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is something else than a regular file, which might never end, or never begin.
    #[error("it is {kind} and no file (a key that is no file goes into MESHCAST_KEY)")]
    NotAFile {
        /// What it is.
        kind: &'static str,
    },
    /// Neither this user nor root owns it, so somebody else can change it.
    #[error("it belongs to user {uid}: it must belong to the user that runs the node, or to root")]
    Owner {
        /// Who owns it.
        uid: u32,
    },
    /// Others may read or change it.
    #[error(
        "its mode is {mode:04o}, so others may read or change it; make it {}",
        if *of_root { "0400, or 0440 for the group of the node (Kubernetes: defaultMode with fsGroup)" } else { "0600" }
    )]
    Mode {
        /// Its mode bits.
        mode: u32,
        /// Whether root owns it, who may let its group read it.
        of_root: bool,
    },
    /// It holds no text.
    #[error("it holds no text")]
    NoText,
    /// Nothing is in it, or nothing but blanks.
    #[error("it is empty")]
    Empty,
    /// It is too long to be a key.
    #[error("it is longer than {limit} bytes, and a key has 80")]
    TooLong {
        /// What is read at most.
        limit: u64,
    },
}
