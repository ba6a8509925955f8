//! The judge: reads what processes wrote down and says which guarantees were broken.
//!
//! It knows nothing of engines, frames or links, so it judges a simulated world and a real fleet
//! alike.
//!
//! What has to hold:
//!
//! * **G1 validity.** A delivery was posted, to an open object, with these numbers and bytes.
//! * **G2 no duplicate.** A number reaches an object once, and never the object that posted it.
//! * **G3 order.** The numbers of one sender on one channel go up.
//! * **G4 no silent gap.** They go up by one, or a gap says exactly which are missing. The first is
//!   not above the first number posted since the object was opened, and not far below it.
//! * **G5 agreement.** If somebody who is there at the end delivered a message, so did everybody
//!   else who is there at the end and was subscribed when it was posted. A gap instead is right
//!   only if nobody kept the message any longer.
//! * **G6 bounded.** Memory stays inside the caps.
//! * **G8 liveness.** All that holds a bounded time after the post, or after the faults stopped.
//!
//! Local objects of the poster's process count like any other, but for the posting object itself.

mod agreement;
mod books;
mod judge;
mod stream;
mod violation;

use std::time::Duration;

use crate::log::Entry;

pub use violation::{Guarantee, ObjectRef, TooWide, Verdict, Violation};

/// What to hold a log against.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The time for which posts are kept: an older post may be a gap.
    pub retention: Duration,
    /// How far before the opening of an object something may have been posted that reaches it all
    /// the same. The age of what is handed on does not count the time it travels, so it seems
    /// younger than it is.
    pub early: Duration,
    /// The time until all agree; `None`: G8 is not judged.
    pub bound: Option<Duration>,
    /// How many bytes may wait in a process, or be remembered.
    pub held_cap: Option<u64>,
    /// How many bytes a process may keep.
    pub history_cap: Option<u64>,
    /// Whether the limit of bytes may take effect before that of time: then an object may begin
    /// later than the history it asked for, a gap without a list of who keeps what is believed, and
    /// with one it is the node of the sender that has to keep it, if that is there.
    pub evicting: bool,
}

impl Default for Rules {
    /// Those of a node with default settings.
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(600),
            early: Duration::from_secs(5),
            bound: None,
            held_cap: None,
            history_cap: None,
            evicting: false,
        }
    }
}

/// Decides whether a log keeps what meshcast guarantees.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    rules: Rules,
}

impl Checker {
    /// A checker that goes by these rules.
    pub const fn new(rules: Rules) -> Self {
        Self { rules }
    }

    /// Judges a log.
    pub fn check(&self, log: &[Entry]) -> Verdict {
        judge::judge(&self.rules, log)
    }
}

#[cfg(test)]
mod tests;
