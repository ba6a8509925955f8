//! Shared state of the handlers of requests.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::refusal::Refusal;
use crate::{
    inspect::Snapshot,
    node::{Node, WeakNode},
};

#[derive(Clone)]
pub(super) struct Admin {
    node: WeakNode,
    pub(super) parsing: Arc<Semaphore>,
    pub(super) pacing: Arc<Semaphore>,
    pub(super) message_limit: usize,
    pub(super) watches: Watches,
    pub(super) closing: Closing,
}

impl Admin {
    pub(super) fn new(node: WeakNode, message_limit: usize, closing: Closing) -> Self {
        Self {
            node,
            parsing: Arc::new(Semaphore::new(PARSING)),
            pacing: Arc::new(Semaphore::new(PACING)),
            message_limit,
            watches: Watches::default(),
            closing,
        }
    }

    /// Held for one request at a time, so that the socket does not keep the node alive.
    pub(super) fn node(&self) -> Result<Node, Refusal> {
        self.node.upgrade().ok_or_else(Refusal::stopped)
    }

    pub(super) async fn look(&self, peers: bool, channels: bool) -> Result<Snapshot, Refusal> {
        let looked = self.node()?.look(peers, channels).await;
        looked.map_err(|_| Refusal::stopped())
    }
}

/// The channel that a query has to name.
pub(super) fn named(channel: Option<String>) -> Result<String, Refusal> {
    channel.ok_or_else(|| Refusal::bad_request("the query names no channel: it needs channel=NAME"))
}

/// Tells connections and watches that the node stops.
#[derive(Clone)]
pub(super) struct Closing(watch::Receiver<bool>);

impl Closing {
    /// What to send `true` to when it does.
    pub(super) fn new() -> (watch::Sender<bool>, Self) {
        let (close, closing) = watch::channel(false);
        (close, Self(closing))
    }

    /// Waits for it.
    pub(super) async fn closed(mut self) {
        drop(self.0.wait_for(|close| *close).await);
    }
}

/// The number of programs that may watch at once, or wait for members to have their posts.
#[derive(Clone)]
pub(super) struct Watches(Arc<Semaphore>);

impl Watches {
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            Refusal::busy(format!(
                "{WATCHES} programs watch or wait already, as many as may"
            ))
        })
    }
}

impl Default for Watches {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WATCHES)))
    }
}

/// Each holds a channel object with its ring, so this bounds memory; a person has fewer windows.
pub(super) const WATCHES: usize = 32;
/// JSON in memory can be sixteen times its text, so few bodies are taken apart at once.
const PARSING: usize = 4;
/// The same for those that post lines, each of which holds one while there is no room for it; the
/// others wait for their turn.
const PACING: usize = 4;
