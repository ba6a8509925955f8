//! BroadcastChannel for a fleet.
//!
//! A message that one process posts on a channel reaches every other process of the mesh, wherever
//! it runs: in the sender's order, each message once, or with the exact numbers of those that will
//! not come. The processes talk to each other directly. There is no server between them.
//!
//! # Examples
//!
//! **Join a mesh.** Every process has the same key, which `meshcast key new` makes. A seed is the
//! address of any other member.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use meshcast::Node;
//!
//! let node = Node::builder() // reads the key from MESHCAST_KEY
//!     .region("fra")
//!     .listen("0.0.0.0:4001")
//!     .seed("iad.example.com:4001") // need not be up yet
//!     .spawn()
//!     .await?;
//! node.ready().await?;
//! # Ok(())
//! # }
//! ```
//!
//! **Post and receive.** Each [`Node::channel`] is an object of its own. It hears every other
//! object of the name, in this process and in all others, and never itself.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let node = meshcast::Node::builder().key(meshcast::MeshKey::random()?)
//! #     .listen("127.0.0.1:0").spawn().await?;
//! let mut inbox = node.channel::<String>("earth")?.messages();
//! let earth = node.channel::<String>("earth")?;
//! earth.post_message("hello")?;
//!
//! let message = inbox.recv().await.expect("the node runs")?;
//! assert_eq!((message.data.as_str(), message.seq()), ("hello", 1));
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! **Typed messages.** A channel carries any serde type. Handlers do the same as a stream.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let node = meshcast::Node::builder().key(meshcast::MeshKey::random()?)
//! #     .listen("127.0.0.1:0").spawn().await?;
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Price { symbol: String, cents: u64 }
//!
//! let prices = node.channel::<Price>("prices")?;
//! let handler = prices.on_message(|price| println!("{} in {}", price.data.cents, price.region()));
//! let shop = node.channel::<Price>("prices")?;
//! shop.post_message(&Price { symbol: "ACME".into(), cents: 4200 })?;
//! # drop(handler);
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! **Handle gaps.** A missing message is never silent.
//!
//! ```no_run
//! # async fn example(mut inbox: meshcast::Messages<String>) {
//! use meshcast::RecvError;
//!
//! while let Some(received) = inbox.recv().await {
//!     match received {
//!         Ok(message) => println!("{}", message.data),
//!         Err(RecvError::Gap(gap)) => println!("missed {:?} of {}", gap.missed(), gap.name()),
//!         Err(error) => println!("not a string: {error}"),
//!     }
//! }
//! # }
//! ```
//!
//! **History.** An object can begin earlier than now, as far back as this node or a connected
//! member still has the messages.
//!
//! ```no_run
//! # async fn example(node: meshcast::Node) -> Result<(), Box<dyn std::error::Error>> {
//! use meshcast::Since;
//! use std::time::Duration;
//!
//! let last = node.channel_since::<String>("earth", Since::Last(20))?; // 20 of each sender
//! let minute = node.channel_since::<String>("earth", Since::Ago(Duration::from_secs(60)))?;
//! # Ok(())
//! # }
//! ```
//!
//! **Resume.** A stream says where it is, and another one goes on there, at any member.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let node = meshcast::Node::builder().key(meshcast::MeshKey::from_entropy([7; 48]))
//! #     .listen("127.0.0.1:0").spawn().await?;
//! use meshcast::{Cursor, Since};
//!
//! let mut inbox = node.channel::<u32>("earth")?.messages();
//! let earth = node.channel::<u32>("earth")?;
//! for n in 1..=3 {
//!     earth.post_message(&n)?;
//! }
//! assert_eq!(inbox.recv().await.expect("the node runs")?.data, 1);
//! let id: String = inbox.cursor().to_string(); // for a client to keep, as `Last-Event-ID`
//!
//! let cursor: Cursor = id.parse()?;
//! let mut inbox = node.channel_since::<u32>("earth", Since::After(cursor))?.messages();
//! assert_eq!(inbox.recv().await.expect("the node runs")?.data, 2);
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! **Shut down.** The node waits for up to 5 s until a member has what was posted, and names what
//! no member has.
//!
//! ```no_run
//! # async fn example(node: meshcast::Node) -> Result<(), Box<dyn std::error::Error>> {
//! let receipt = node.channel::<String>("earth")?.post_message("goodbye")?;
//! println!("{} members have it", receipt.acked(1).await?); // put a timeout around it
//! let left = node.shutdown().await;
//! if !left.is_complete() {
//!     eprintln!("{left}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! A *sender* is one running node. On each channel it numbers what it posts 1, 2, 3 …
//!
//! * [G1] **Validity.** Only what a member posted is delivered, bit for bit.
//! * [G2] **No duplicate.** Each number of a sender reaches an object at most once.
//! * [G3] **Order.** Per sender and channel, messages come in the order of their numbers.
//! * [G4] **No silent gap.** A missing number is reported as a [`Gap`] before anything later of
//!   that sender.
//! * [G5] **Agreement.** If one member delivered a message, every member subscribed at that time
//!   delivers it, if it is back in time. This holds also if the sender died.
//! * [G6] **Bounded.** Memory, queues and descriptors stay within [`Limits`] and [fixed
//!   caps][limits].
//! * [G7] **Members only.** A stranger gets no message, no channel name and no list of members.
//! * [G8] **Liveness.** Seconds after faults end, G5 holds everywhere.
//!
//! Not promised: an order between senders; messages that survive a stop of the whole fleet; a
//! message whose sender died before any peer had it.
//!
//! # What is where
//!
//! * [`Node`] and its [builder](NodeBuilder): a member of the mesh. [`Limits`] says what it may
//!   use; [`Events`], [`Snapshot`], [`Health`] and [`SeedInfo`] show how it, its peers and its
//!   seeds are doing.
//! * [`BroadcastChannel`]: posting; receiving as a stream ([`Messages`]) or by handlers (a
//!   [`Subscription`] keeps one).
//! * [`Receipt`]: how many members have what was posted. [`Since`]: where an object begins; a
//!   [`Cursor`] says where a stream is, for another to go on. [`History`]: what was posted before,
//!   as a list; a [`Marked`] stream says where that is over.
//! * [`Presence`]: who has a channel open, with a state of each. [`Node::members`]: who is in the
//!   mesh.
//! * [`Payload`]: what a channel carries. Any serde type, [`Bytes`] as they are, or the dynamic
//!   [`Value`], which holds what the structured clone of the web does, or an [`EncodedValue`],
//!   which is one that nobody has read.
//! * [`RecvError`]: a [`Gap`] with its [reason](GapReason), or a message that is
//!   [not a `T`](Undecodable).
//! * [`membership`]: identities that an authority issues, in place of a common key.
//! * [`netem`]: simulated links between nodes of one process, for tests.
//! * [`admin`]: the Unix socket through which the `meshcast` command sees a node.
//! * [`ask`]: questions to all who have a channel open, and [to one member](Node::member).
//! * `metrics`: what a node counts and measures, for Prometheus.
//! * `testing`: a mesh in memory for the tests of a service, by the time of the test.
//!
//! # Features
//!
//! | Feature | Default | Additions | Crates |
//! |---|---|---|--:|
//! | `admin` | on | the [admin socket](admin), [`NodeBuilder::local`], an HTTP server | 21 |
//! | `metrics` | off | metrics as OpenMetrics, a small HTTP server | 26 |
//! | `testing` | off | `testing`, for `dev-dependencies` | 0 |
//!
//! Without any, 183 crates are built on Linux (`cargo tree -e normal --prefix none | sort -u`).
//! Most of them are needed by libp2p, which is built with noise, ping and Ed25519 alone.
//! Another 11 watch the interfaces of the machine (`if-watch`), 10 are of signatures, hashes and
//! the wire, 3 of TLS.
//!
//! More: [limits], [security], [benchmarks], [protocol], [architecture].
//!
//! [G1]: https://github.com/meshcast/meshcast/blob/main/docs/guarantees.md#g1-validity
//! [G2]: https://github.com/meshcast/meshcast/blob/main/docs/guarantees.md#g2-no-duplicate
//! [G3]: https://github.com/meshcast/meshcast/blob/main/docs/guarantees.md#g3-order
//! [G4]: https://github.com/meshcast/meshcast/blob/main/docs/guarantees.md#g4-no-silent-gap
//! [G5]: https://github.com/meshcast/meshcast/blob/main/docs/guarantees.md#g5-agreement
//! [G6]: https://github.com/meshcast/meshcast/blob/main/docs/guarantees.md#g6-bounded
//! [G7]: https://github.com/meshcast/meshcast/blob/main/docs/guarantees.md#g7-members-only
//! [G8]: https://github.com/meshcast/meshcast/blob/main/docs/guarantees.md#g8-liveness
//! [limits]: https://github.com/meshcast/meshcast/blob/main/docs/limits.md
//! [security]: https://github.com/meshcast/meshcast/blob/main/docs/security.md
//! [benchmarks]: https://github.com/meshcast/meshcast/blob/main/docs/benchmarks.md
//! [protocol]: https://github.com/meshcast/meshcast/blob/main/docs/protocol.md
//! [architecture]: https://github.com/meshcast/meshcast/blob/main/ARCHITECTURE.md

mod address;
#[cfg(feature = "admin")]
pub mod admin;
pub mod ask;
mod behaviour;
mod builder;
#[cfg(feature = "metrics")]
mod by_region;
mod channel;
mod clock;
mod command;
pub mod config;
mod dialer;
mod driver;
mod error;
mod event;
mod followed;
mod gate;
mod gossip;
mod handover;
mod health;
mod ids;
mod inspect;
mod key;
mod limits;
#[cfg(feature = "admin")]
mod local;
#[cfg(feature = "metrics")]
mod measured;
mod member;
pub mod membership;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod netem;
mod node;
mod peers;
mod presence;
mod reason;
mod seed;
mod serde_form;
mod session;
mod spawn;
#[cfg(test)]
mod swarm_fixture;
#[cfg(feature = "testing")]
pub mod testing;
mod thread;
mod throttle;
mod traffic;
mod transport;
mod units;
mod verifier;

pub use bytes::Bytes;
pub use libp2p::{Multiaddr, PeerId};
pub use meshcast_proto::{
    AskCounters, ChannelName, ChannelNameError, Counters as ProtocolCounters, LabelError,
    MeshKeyError, NodeName, Offence, PresenceCounters, Region, Via, WallTime,
};
#[doc(inline)]
pub use meshcast_value as value;
pub use meshcast_value::{EncodedValue, Value};

pub use address::{Address, AddressError};
#[cfg(feature = "admin")]
pub use admin::{AdminSocket, socket_directories};
pub use builder::{Membership, NodeBuilder};
pub use channel::{
    AckError, Borrowed, BroadcastChannel, ChannelOptions, Closing, Cursor, CursorError, Entry, Gap,
    GapReason, History, Marked, Message, Messages, Payload, Receipt, RecvError, Since,
    Subscription, Undecodable,
};
#[cfg(feature = "admin")]
pub use error::{AdminError, DirectoryFault};
pub use error::{
    AskError, Closed, KeyFileError, ListenError, OpenError, PingError, PostError, SpawnError,
};
pub use event::{DisconnectReason, Events, NodeEvent};
pub use handover::{Flushed, Shutdown, Undelivered};
pub use health::{Health, Ready};
pub use inspect::{
    AccountInfo, ChannelInfo, ConnectionCounters, Counters, Direction, MemberInfo, MemoryCounters,
    NodeInfo, ObjectCounters, PeerCounters, PeerInfo, RefusalInfo, RefusedLately, SenderInfo,
    Snapshot, TrafficCounters,
};
pub use key::MeshKey;
pub use limits::{BadLimit, Limits, LimitsError};
pub use member::{AskMemberError, MemberHandle};
pub use node::{Node, WeakNode};
pub use presence::{Presence, PresenceChange, PresenceChanges, PresenceError, Present};
pub use reason::RefusalKind;
pub use seed::{SeedInfo, SeedState};

/// The examples of the README are compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
