//! Presence on a channel: who has it open, since when, and what each says of itself.
//!
//! A member signs a *record* for each channel on which anybody watches, and nobody believes
//! anything else about it. Records travel over the sessions of peers, also by way of a peer
//! between. Whether a member lives is seen on the link to it. A node without a link to it *follows*
//! it: asks peers for its *heartbeats*, which are signed as well, and passes them on to those who
//! follow it there. So nobody is declared dead by others and nobody kept alive by them, and among
//! members that are all connected no beat is made at all.
//!
//! May use: [`wire`](crate::wire), [`identity`](crate::identity), [`bounds`](crate::bounds) and
//! [`conduct`](crate::conduct).
//! Must not: know logs, frames or the engine. Its knowledge of channels is an [argument](Opens).

mod life;
mod link;
mod present;
mod room;
mod tracker;

pub use life::{BEAT, LOST_AFTER, MAX_BEAT, SILENT_AFTER};
pub use present::{Opens, Presence, PresenceChange, PresenceCounters, PresenceOutput};
pub use tracker::PresenceTracker;
