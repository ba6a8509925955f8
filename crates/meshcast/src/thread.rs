//! The thread of a node.

use std::{io, thread};

use tokio::runtime;

/// Runs a node to its end on a thread of its own, which takes its connections too: what is spawned there runs there.
pub(crate) fn run(name: &str, life: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let thread = thread::Builder::new().name(format!("meshcast {name}"));
    // As a task, it takes turns with those of the connections. An error means that it panicked, which was said then; the
    // thread ends with the node, and nobody has to wait for that here.
    let run = move || drop(runtime.block_on(runtime.spawn(life)));
    drop(thread.spawn(run)?);
    Ok(())
}
