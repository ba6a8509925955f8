//! What bounds the memory and the work that members cause: one budget of bytes for the node, and
//! token buckets for rates.
//!
//! May use: [`wire`](crate::wire), for who is charged and when.
//! Must not: know what the bytes are for, beyond a named size for each kind.

mod bucket;
mod budget;

pub use bucket::{Rate, TokenBucket};
pub use budget::{Account, Budget, ENTRY_BYTES, Payer, Statement};
pub(crate) use budget::{CLAIM_BYTES, INTEREST_BYTES, LOG_BYTES, MEMORY_BYTES, TOMBSTONE_BYTES};
