//! BroadcastChannel for a fleet.
//!
//! What one process posts on a channel, every other process of the mesh gets, wherever it runs: in the
//! sender's order, each message once, or with the exact numbers of what it will not get. The processes talk to
//! each other directly; there is no server between them.
//!
//! # Quick start
//!
//! Two nodes, here in one process. On several machines each has the same key (`MESHCAST_KEY`, made once by
//! `meshcast key new`), listens on an address the others can reach, and has one of them as a seed.
//!
//! ```
//! use meshcast::{MeshKey, Node, RecvError};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Price {
//!     symbol: String,
//!     cents: u64,
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = MeshKey::from_entropy([7; 48]); // for an example; take random bytes
//! let frankfurt = Node::builder()
//!     .region("fra")
//!     .key(key.clone())
//!     .listen("/ip4/127.0.0.1/tcp/0".parse()?)
//!     .spawn()
//!     .await?;
//! let seed = frankfurt.info().await?.listen_addresses.remove(0);
//! let tokyo = Node::builder()
//!     .region("nrt")
//!     .key(key)
//!     .listen("/ip4/127.0.0.1/tcp/0".parse()?)
//!     .seed(seed)
//!     .spawn()
//!     .await?;
//!
//! let mut inbox = frankfurt.channel::<Price>("prices")?.messages();
//! let prices = tokyo.channel::<Price>("prices")?;
//! tokyo.ready().await?; // seeds were tried, and it is part of every channel that members it found have open
//! prices.post_message(&Price { symbol: "ACME".into(), cents: 4200 })?;
//!
//! match inbox.recv().await {
//!     Some(Ok(message)) => {
//!         assert_eq!(message.data.cents, 4200);
//!         assert_eq!((message.region().as_str(), message.seq()), ("nrt", 1));
//!     }
//!     Some(Err(RecvError::Gap(gap))) => println!("missed {:?} of {}", gap.missed(), gap.name()),
//!     Some(Err(error)) => println!("not a price: {error}"),
//!     None => println!("the node has stopped"),
//! }
//! println!("{}", tokyo.shutdown().await); // what it posted is with somebody, or is named here
//! frankfurt.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! * [`Node`] and its [builder](NodeBuilder): a member of the mesh; [`Limits`] are what it may use,
//!   [`Events`] and [`Snapshot`] how it is, and [`SeedInfo`] how its seeds are.
//! * [`BroadcastChannel`]: posting, [`Messages`] as a stream, or handlers kept by a [`Subscription`].
//! * [`Receipt`]: who has what was posted. [`Since`]: what an object hears of what was before it.
//! * [`Payload`]: what a channel carries. Any serde type, [`Bytes`] as they are, or the dynamic [`Value`],
//!   which holds what the structured clone of the web does.
//! * [`RecvError`]: a [`Gap`] with its [reason](GapReason), or a message that is [no `T`](Undecodable).
//! * [`membership`]: identities that an authority issues, in place of a common key.
//! * [`links`]: nodes of one process as far apart as regions are, for tests.
//! * [`admin`]: the Unix socket through which the `meshcast` command sees a node.
//!
//! What is promised, what is not yet there, and every limit: README. How it works and why: ARCHITECTURE.

mod address;
pub mod admin;
mod behaviour;
mod bucket;
mod builder;
mod channel;
mod clock;
mod command;
mod dialer;
mod driver;
mod error;
mod event;
mod gate;
mod handover;
mod inspect;
mod limits;
mod link;
pub mod links;
pub mod membership;
mod message;
mod node;
mod peers;
mod reason;
mod registry;
mod seed;
mod spared;
mod spawn;
mod strikes;
#[cfg(test)]
mod swarm_fixture;
mod thread;
mod throttle;
mod transport;
mod verifier;

pub use bytes::Bytes;
pub use libp2p::{Multiaddr, PeerId};
pub use meshcast_proto::{
    ChannelName, ChannelNameError, LabelError, MeshKey, MeshKeyError, NodeName, Region, Since, WallTime,
    value::{self, Value},
};

pub use admin::{AdminError, AdminSocket, DirectoryFault, socket_directories};
pub use builder::{Membership, NodeBuilder};
pub use channel::{AckError, BroadcastChannel, Messages, Payload, Receipt, Subscription};
pub use error::{Closed, KeyFileError, ListenError, OpenError, PingError, PostError, SpawnError};
pub use event::{Events, NodeEvent};
pub use handover::{Flushed, Shutdown, Undelivered};
pub use inspect::{ChannelInfo, Counters, Direction, NodeInfo, PeerInfo, SenderInfo, Snapshot};
pub use limits::Limits;
pub use message::{Gap, GapReason, Message, RecvError, Undecodable};
pub(crate) use node::WeakNode;
pub use node::{Node, Ready};
pub use seed::{SeedInfo, SeedState};

/// The examples of the README are compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
