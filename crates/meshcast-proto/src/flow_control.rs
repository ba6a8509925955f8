//! How much may be on the way, and who is waited for: the send window, and which listeners keep up.
//!
//! May use: [`wire`](crate::wire).
//! Must not: know frames or requests; it sees numbers, bytes and times only.

mod checks;
mod laggards;
mod window;

pub(crate) use checks::Checks;
pub(crate) use laggards::{Checkpoints, Progress, READERS_LAG, SPACING, STALL};
pub(crate) use window::{InFlight, Load, window_bounds};
