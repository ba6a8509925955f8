//! Builds the programs, runs them, and asks them how they are.

mod earth;
mod http;
mod process;
mod programs;
mod session;
mod terminal;

use std::{
    thread,
    time::{Duration, Instant},
};

use meshcast::MeshKey;

pub(crate) use self::{
    earth::{Earth, Fleet, converged, listed, undisturbed},
    http::{get, get_unix},
    process::{Process, Signal},
    programs::{Program, command},
    session::Session,
    terminal::Terminal,
};

/// Long enough for anything that works, on a machine with other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until there is something.
pub(crate) fn eventually<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < bound, "not within {bound:?}: {what}");
        #[expect(
            clippy::disallowed_methods,
            reason = "what is waited for can only be looked at"
        )]
        thread::sleep(Duration::from_millis(10));
    }
}

/// A secret nobody else has, so that tests that run at the same time do not meet.
pub(crate) fn new_key() -> MeshKey {
    let mut entropy = [0; 48];
    getrandom::fill(&mut entropy).expect("random bytes");
    MeshKey::from_entropy(entropy)
}
