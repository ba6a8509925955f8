//! The thread of a node.

use std::{io, thread};

use tokio::runtime;

/// Runs a node to its end on a thread of its own, which takes its connections too: what is spawned there runs there.
///
/// A message goes through three tasks on either side: who posts or reads, the driver, and the connection. Where these are
/// spread over the threads of a shared runtime, each step may wake another thread, which takes longer than the step; here
/// the last two take turns. And a service that blocks the threads of its runtime does not hold up its links.
pub(crate) fn run(name: &str, life: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let thread = thread::Builder::new().name(format!("meshcast {name}"));
    // It ends with the node, for which nobody has to wait here.
    drop(thread.spawn(move || runtime.block_on(life))?);
    Ok(())
}
