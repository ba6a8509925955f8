//! The thread of a node, and that of handlers whose runtime is gone.

use std::{
    convert::Infallible,
    fmt, io,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use tokio::{
    runtime::{self, Handle},
    sync::mpsc,
};

/// Runs a node to its end on a thread of its own, which takes its connections too: what is spawned
/// there runs there. When the thread is done it drops `ending`.
pub(crate) fn run(
    name: &str,
    life: impl Future<Output = ()> + Send + 'static,
    ending: Ending,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let thread = thread::Builder::new().name(format!("meshcast {name}"));
    // As a task, it takes turns with those of the connections. An error means that it panicked,
    // which was said then.
    let run = move || {
        drop(runtime.block_on(runtime.spawn(life)));
        // Its sockets as well.
        drop(runtime);
        drop(ending);
    };
    drop(thread.spawn(run)?);
    Ok(())
}

/// Held by the thread of a node until it ends.
pub(crate) type Ending = SyncSender<Infallible>;

/// Waits for the end of the thread of a node when it is dropped.
pub(crate) struct Joined {
    ended: Mutex<Receiver<Infallible>>,
    /// The thread, which cannot wait for itself.
    thread: ThreadId,
}

/// For who is to hold what, before the thread is there.
pub(crate) fn ending() -> (Ending, Receiver<Infallible>) {
    sync_channel(0)
}

impl Joined {
    /// To be called on the thread that is waited for.
    pub(crate) fn this(ended: Receiver<Infallible>) -> Self {
        Self {
            ended: Mutex::new(ended),
            thread: thread::current().id(),
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if thread::current().id() == self.thread {
            return;
        }
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                "the last handle of a node was dropped, and no other member has its posts yet: \
                 they are lost if the process ends now (`shutdown` waits longer, and tells)"
            );
        }
    }
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Joined").field(&self.thread).finish()
    }
}

/// The time that dropping a node waits for its thread: as long as it takes to connect and to hand
/// over half round the world, some eight round trips of 250 ms. No longer, since it may be a thread
/// that others want to use.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// A thread of a node for tasks that call handlers, none of which runs on the node's. It ends when
/// this is dropped and all of them are done.
#[derive(Debug)]
pub(crate) struct HandlerThread {
    runtime: Handle,
    /// Each task has a clone, and nothing is sent.
    running: mpsc::Sender<Infallible>,
}

impl HandlerThread {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (running, mut ended) = mpsc::channel(1);
        let this = Self {
            runtime: runtime.handle().clone(),
            running,
        };
        let thread = thread::Builder::new().name("meshcast handlers".to_owned());
        let run = move || runtime.block_on(async { _ = ended.recv().await });
        drop(thread.spawn(run)?);
        Ok(this)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let running = self.running.clone();
        self.runtime.spawn(async move {
            task.await;
            drop(running);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{self, TryRecvError},
        time::Instant,
    };

    use super::*;

    /// A node that ends when it is told to; and the [`Joined`] of its thread.
    fn thread(told: tokio::sync::oneshot::Receiver<()>) -> (Joined, mpsc::Receiver<()>) {
        let ((ending, ended), (is_over, over)) = (ending(), mpsc::sync_channel::<()>(1));
        let (made, joined) = mpsc::sync_channel(1);
        let life = async move {
            made.send(Joined::this(ended)).expect("the test waits");
            // An error means that the test is over.
            let _ = told.await;
            drop(is_over);
        };
        run("test", life, ending).expect("a thread");
        (joined.recv().expect("it runs"), over)
    }

    #[test]
    fn whoever_drops_a_node_waits_for_its_thread_and_not_for_ever() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let (joined, over) = thread(told);
        let (dropped, waited) = mpsc::sync_channel(1);
        let dropping = thread::spawn(move || {
            let before = Instant::now();
            drop(joined);
            dropped.send(before.elapsed()).expect("the test waits");
        });
        let waited = waited.recv_timeout(Duration::from_secs(60));
        assert!(waited.expect("not for ever") >= TIMEOUT);
        assert_eq!(over.try_recv(), Err(TryRecvError::Empty), "it goes on");
        tell.send(()).expect("it goes on");
        dropping.join().expect("no panic");
    }
}
