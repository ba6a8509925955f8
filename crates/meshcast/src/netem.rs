//! Links as they are between regions, or worse, on one machine: for trying and testing.
//!
//! Nodes of one process that are given the same [`Links`] talk to each other as if they were far
//! apart: what one sends reaches the other later, no faster than the bandwidth, or, while a link is
//! cut or stalls, not at all. The table can be changed while they run. It acts on the bytes of the
//! connections, below encryption, so everything above is what it is in production.
//!
//! ```
//! use std::time::Duration;
//! use meshcast::{MeshKey, Node, netem::{Cut, Links, Place, Shape}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let links = Links::new(7);
//! let (fra, nrt) = (Place::region("fra")?, Place::region("nrt")?);
//! links.shape_both(&fra, &nrt, Shape::delay(Duration::from_millis(20)));
//!
//! let key = MeshKey::random()?;
//! let start = |region| {
//!     let node = Node::builder().region(region).key(key.clone()).links(&links);
//!     node.listen("127.0.0.1:0")
//! };
//! let frankfurt = start("fra").spawn().await?;
//! let seed = frankfurt.inspect().await?.node.listen_addresses.remove(0);
//! let tokyo = start("nrt").seed(seed).spawn().await?;
//! tokyo.ready().await?;
//! assert!(tokyo.ping(frankfurt.peer_id()).await? >= Duration::from_millis(40));
//!
//! links.cut(&fra, &nrt, Cut::Silent);
//! // … what frankfurt posts now does not reach tokyo …
//! links.heal();
//! // … and arrives then.
//! # Ok(())
//! # }
//! ```
//!
//! # What is modelled, and what is not
//!
//! A connection is shaped at the end that dialled it, in both directions, by the nodes at its ends:
//! the one that dialled, and the one that listens at the address. So both must have these links; a
//! node that is reached at an address nobody of them listens on counts as [`Place::Everywhere`]
//! alone. Listen on addresses that the others dial, not on wildcards.
//!
//! TCP shows no loss, it shows what loss does: bytes come later, or not at all. That is what
//! happens here. The order of bytes never changes. [Loss](Shape::loss) is that of packets of 1,460
//! bytes: one that is lost comes when it was sent again, and all behind it in that direction wait.
//! On a connection that was busy within the last round trip that takes one more round trip (fast
//! retransmission), else 200 ms, or a round trip if that is longer (the timeout of Linux); twice as
//! long each time it is lost again. That TCP also sends more slowly after a loss is not modelled:
//! there is [bandwidth](Shape::bandwidth) for that. Dialling takes a round trip, waits while the
//! link is cut, and is refused while it is [reset](Cut::Reset). Bytes under way count against a
//! bound: the bandwidth times the delay and [`QUEUE`](Shape::QUEUE) more, 4 MiB at most; beyond it
//! the sender waits, as it does for TCP.
//!
//! # Where it stands
//!
//! Between TCP and encryption: `transport` wraps the sockets of a node that was given [`Links`],
//! and nothing else in this crate knows that links are simulated. This wing knows neither the
//! protocol nor what the bytes are. It reads the clock of tokio, and has a task for each
//! connection.

// May use: nothing of the crate.
// Must not: know who uses it.

mod delay_line;
mod pump;
mod table;
mod transport;

use std::{
    fmt,
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meshcast_proto::{LabelError, NodeName, Region};
use tokio::time::Instant;

#[cfg(any(test, feature = "testing"))]
pub(crate) use self::pump::Pipe;
use self::table::Table;
pub(crate) use self::{
    table::{Host, HostLinks},
    transport::Shaping,
};

/// The links between nodes of one process. Clones are the same table.
///
/// Given to a node with [`NodeBuilder::links`](crate::NodeBuilder::links). In the beginning nothing
/// is delayed, limited or cut.
#[derive(Debug, Clone)]
pub struct Links {
    table: Arc<Mutex<Table>>,
}

/// An end of links.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// All nodes.
    Everywhere,
    /// The nodes of a region.
    Region(Region),
    /// The nodes of this name: all processes that had it, one after the other.
    Node(NodeName),
}

/// The effect of a link on bytes, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Shape {
    /// The time that they travel. Half of a round trip.
    pub delay: Duration,
    /// The most additional time, at random. The order stays.
    pub jitter: Duration,
    /// The bandwidth of each connection in bytes a second; `None`: unbounded.
    pub bandwidth: Option<NonZeroU64>,
    /// That it stands still at times.
    pub stalls: Option<Stalls>,
    /// The number of packets lost of a million.
    pub loss_ppm: u32,
}

/// A link that stands still at times, as a connection does that waits for a lost packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalls {
    /// The interval: one time in twice as long, at random, if there is anything to send.
    pub every: Duration,
    /// The duration.
    pub lasts: Duration,
}

/// The ways to cut a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cut {
    /// Nothing passes, and nobody is told: connections stay up until somebody gives up, also if the
    /// other end is gone. Bytes under way arrive when the cut is mended.
    Silent,
    /// Connections break at once, and new ones are refused. Concerns both directions, whichever is
    /// cut.
    Reset,
}

impl Links {
    /// Links that do nothing yet. Random choices (jitter, stalls) follow from the seed and the
    /// order in which connections are made.
    pub fn new(seed: u64) -> Self {
        Self {
            table: Arc::new(Mutex::new(Table::new(seed))),
        }
    }

    /// Says what links are like from one place to another. Bytes under way arrive when they would
    /// have.
    ///
    /// If several fit a link, the one that names its ends most exactly counts: a node before a
    /// region before [`Place::Everywhere`].
    pub fn shape(&self, from: &Place, to: &Place, shape: Shape) {
        self.table().shape(from, to, shape);
    }

    /// The same in both directions.
    pub fn shape_both(&self, a: &Place, b: &Place, shape: Shape) {
        let mut table = self.table();
        table.shape(a, b, shape);
        table.shape(b, a, shape);
    }

    /// Cuts links in one direction, until they are [mended](Self::mend) or all is
    /// [healed](Self::heal). If this direction is cut already, it is so in the new way.
    pub fn cut(&self, from: &Place, to: &Place, cut: Cut) {
        self.table().cut(from, to, cut);
    }

    /// Cuts links in both directions.
    pub fn cut_both(&self, a: &Place, b: &Place, cut: Cut) {
        let mut table = self.table();
        table.cut(a, b, cut);
        table.cut(b, a, cut);
    }

    /// Takes back what was cut from one place to another, in these words: a cut of a region is not
    /// mended node by node. Other cuts of the same links remain.
    pub fn mend(&self, from: &Place, to: &Place) {
        self.table().mend(from, to);
    }

    /// Takes back all cuts and stalls.
    pub fn heal(&self) {
        self.table().heal();
    }

    /// Lets nothing pass from one place to another for a while, and everything then.
    pub fn stall(&self, from: &Place, to: &Place, lasts: Duration) {
        let now = Instant::now();
        self.table().stall(from, to, now + lasts, now);
    }

    /// Breaks the connections that are there now, in whichever direction they were made.
    pub fn reset(&self, a: &Place, b: &Place) {
        self.table().reset(a, b);
    }

    /// The cuts, in the order in which they were made.
    pub fn cuts(&self) -> Vec<(Place, Place, Cut)> {
        self.table().cuts().to_vec()
    }

    /// The number of connections, those that only the one end has given up included.
    pub fn connections(&self) -> usize {
        self.table().connections()
    }

    /// The number of bytes that have set out on all links so far, those of encryption and of
    /// attempts to connect included.
    pub fn carried_bytes(&self) -> u64 {
        self.table().carried()
    }

    /// The links as a node sees them that stands there.
    pub(crate) fn for_host(&self, host: Host) -> HostLinks {
        HostLinks::new(self, host)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A thread that panicked left it whole: each change is one assignment.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The nodes of a region.
    ///
    /// # Errors
    /// [`LabelError`] if no region can be called so.
    pub fn region(name: &str) -> Result<Self, LabelError> {
        Region::new(name).map(Self::Region)
    }

    /// The nodes of a name.
    ///
    /// # Errors
    /// [`LabelError`] if no node can be called so.
    pub fn node(name: &str) -> Result<Self, LabelError> {
        NodeName::new(name).map(Self::Node)
    }

    /// The precision of the place, if this node is in it.
    fn fits(&self, host: Option<&Host>) -> Option<u8> {
        match (self, host) {
            (Self::Everywhere, _) => Some(0),
            (Self::Region(region), Some(host)) if *region == host.region => Some(1),
            (Self::Node(name), Some(host)) if *name == host.name => Some(2),
            _ => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("*"),
            Self::Region(region) => fmt::Display::fmt(region, f),
            Self::Node(name) => fmt::Display::fmt(name, f),
        }
    }
}

impl Shape {
    /// The bytes that may wait before the bottleneck, besides those behind it: a few frames.
    pub const QUEUE: usize = 256 * 1024;

    /// A link that does nothing but take time.
    pub fn delay(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }

    /// Half of a round trip.
    pub fn round_trip(round_trip: Duration) -> Self {
        Self::delay(round_trip / 2)
    }

    /// With so much chance in the delay.
    pub fn jitter(self, jitter: Duration) -> Self {
        Self { jitter, ..self }
    }

    /// With so many bytes a second at most.
    pub fn bandwidth(self, bytes: NonZeroU64) -> Self {
        let bandwidth = Some(bytes);
        Self { bandwidth, ..self }
    }

    /// With so large a part of the packets lost: 0.01 for one in a hundred. Below 0 counts as 0,
    /// above 1 as 1, with which next to nothing arrives.
    pub fn loss(self, part: f64) -> Self {
        let loss_ppm = (part.clamp(0.0, 1.0) * 1e6).round() as u32;
        Self { loss_ppm, ..self }
    }

    /// With stalls.
    pub fn stalls(self, every: Duration, lasts: Duration) -> Self {
        let stalls = Some(Stalls { every, lasts });
        Self { stalls, ..self }
    }
}

#[cfg(test)]
mod tests;
