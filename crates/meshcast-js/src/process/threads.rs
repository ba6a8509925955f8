//! The threads that use the node.
//!
//! The main thread hands over what was posted as the process ends. If only workers use the node,
//! nothing in the main thread knows of it: the last of them does so as it ends, by itself or with
//! the process. Deno and Bun do not run what is hooked to workers when the main thread exits.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering::AcqRel},
    time::Duration,
};

use napi::{Env, Result};

use super::leave_within;

/// The time that the end of a thread waits for what was posted; the same as in `lib/hub.js`.
const PATIENCE: Duration = Duration::from_secs(2);

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static ENTERED: Cell<bool> = const { Cell::new(false) };
}

/// Counts this thread until it ends, whoever ends it.
pub(super) fn enter(env: Env) -> Result<()> {
    if ENTERED.replace(true) {
        return Ok(());
    }
    THREADS.fetch_add(1, AcqRel);
    env.add_env_cleanup_hook((), |()| {
        if THREADS.fetch_sub(1, AcqRel) == 1 {
            // There is nobody to tell.
            let _ = leave_within(PATIENCE);
        }
    })?;
    Ok(())
}
