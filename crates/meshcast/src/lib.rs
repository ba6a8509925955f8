//! BroadcastChannel for a fleet.

pub mod admin;
mod behaviour;
mod builder;
mod channel;
mod clock;
mod command;
mod dialer;
mod driver;
mod error;
mod event;
mod gate;
mod inspect;
mod limits;
mod link;
mod message;
mod node;
mod peers;
mod registry;
mod spawn;
mod transport;
mod verifier;

pub use bytes::Bytes;
pub use libp2p::{Multiaddr, PeerId};
pub use meshcast_proto::{
    ChannelName, ChannelNameError, LabelError, MeshKey, MeshKeyError, NodeName, Region, WallTime,
    value::{self, Value},
};

pub use admin::{AdminError, AdminSocket, DirectoryFault, socket_directories};
pub use builder::{Membership, NodeBuilder};
pub use channel::{BroadcastChannel, Messages, Payload, Subscription};
pub use error::{Closed, OpenError, PingError, PostError, SpawnError};
pub use event::{Events, NodeEvent};
pub use inspect::{ChannelInfo, Counters, Direction, NodeInfo, PeerInfo, SenderInfo, Snapshot};
pub use limits::Limits;
pub use message::{Gap, GapReason, Message, RecvError, Undecodable};
pub use node::Node;
pub(crate) use node::WeakNode;
