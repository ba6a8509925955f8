//! The log of one sender on one channel, as this node has it: frames that wait for a missing one,
//! values put together from fragments, and the history that readers and peers are served from.
//!
//! Also which logs are given up when room is short, and where forgotten ones stood.
//!
//! May use: [`wire`](crate::wire), [`identity`](crate::identity), [`bounds`](crate::bounds).
//! Must not: know any peer. What to ask of whom is decided in [`replication`](crate::replication).

mod arrival;
mod history;
mod join;
mod lru;
mod order;
mod quota;
mod reassembly;
mod reorder;
mod tombstones;

pub use arrival::{Arrival, Via};
pub use history::{History, HistoryLimits, Recall, Recalled, StoredFrame};
pub use join::SETTLE;
pub(crate) use join::{Beginning, SENDER_UNTOLD, SILENT, UNTOLD};
pub(crate) use lru::{Capacity, Lru, Owner, Tier};
#[cfg(test)]
pub(crate) use order::UNFINISHED_TIMEOUT;
pub(crate) use order::{Log, LogLimits};
pub(crate) use quota::Quota;
pub(crate) use reassembly::Assembled;
pub use reassembly::{Delivery, Gap, GapReason, Posted, Values};
pub use reorder::{Insert, ReorderBuffer};
pub(crate) use tombstones::{MAX_TOMBSTONES, Tombstone, Tombstones};
