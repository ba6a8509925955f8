//! Questions: one asks those who have a channel open, and hears from each of them, or why not.
//!
//! A question goes by the session to each peer that is asked, and its answer comes back the same
//! way. If a peer has peers that this node has not, the question travels over all of them, as a
//! flood: each hands it on once, to all its other peers, and says so when nothing more comes back
//! of it (the *echo* of a flood). Replies go back the way the question came, signed. So a question
//! is over as soon as all who can be reached have been asked and have replied, and whoever asked
//! knows what it has not heard, and whether that may be for want of a way.
//!
//! The members between are not trusted. They can lose what they hand on, or say that nothing more
//! comes; they cannot change a message or make one up. Memory and work for forwarded questions are
//! bounded, and shared by the peers that bring them: each peer pays for what it brings, whoever
//! signed it. Members cost nothing to make up, and links do.
//!
//! May use: [`wire`](crate::wire), [`identity`](crate::identity), [`bounds`](crate::bounds) and
//! [`conduct`](crate::conduct).
//! Must not: know logs or the engine, or who has which channel open. Whom to ask is an argument.

mod asks;
mod chains;
mod incoming;
mod neighbours;
mod outgoing;
mod output;
mod relays;
mod returns;
mod seen;

pub use asks::{AskTargets, Asks, NewQuestion};
pub use output::{AskCounters, AskOutput, AskRefused, Asked, NoReply};

#[cfg(test)]
mod tests;
