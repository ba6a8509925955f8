//! What bounds the memory and the work that members cause: one budget of bytes for the node, token
//! buckets for rates, alone and [shared](SharedRate), fair queues for turns, and deadlines.
//!
//! May use: [`wire`](crate::wire), for who is charged, what people call it, and when.
//! Must not: know what the bytes are for, beyond a named size for each kind.

mod bucket;
mod budget;
mod deadlines;
mod fair;
mod shared;

pub use bucket::{Rate, TokenBucket};
pub use budget::{Account, Budget, ENTRY_BYTES, Owner, Payer, Share, Statement};
pub(crate) use budget::{
    CLAIM_BYTES, INTEREST_BYTES, LOG_BYTES, MEMORY_BYTES, OPENED_AGAIN_BYTES, TOMBSTONE_BYTES,
};
pub(crate) use deadlines::Deadlines;
pub(crate) use fair::{FairQueue, Waits};
pub(crate) use shared::SharedRate;
