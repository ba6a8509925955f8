//! The end of a node.

use std::time::Duration;

use futures::StreamExt;
use libp2p::PeerId;
use tokio::{
    task::yield_now,
    time::{Instant, timeout_at},
};

use super::{Driver, Parts};

impl Driver {
    /// Sends what is queued, gives it a moment to leave, and lets go of everything.
    pub(super) async fn wind_down(mut self) {
        // In this order nothing that was accepted is left behind: what is posted later is refused.
        for hub in self.parts.registry.refuse() {
            while let (Some(section), _) = hub.take_section() {
                self.post(&hub, section);
                // The connections may need this thread to make room for more.
                self.handle_ready_events();
                yield_now().await;
            }
        }
        self.parts.registry.stop();
        let now = self.parts.clock.now();
        if self
            .last_publish
            .is_some_and(|last| now.saturating_since(last) < FLUSH)
        {
            let deadline = self.parts.clock.instant(now + FLUSH);
            self.handle_events_until(deadline, |_| false).await;
        }
        self.disconnect().await;
        let Parts { swarm, events, .. } = self.parts;
        // Whoever waited for the end finds the addresses free and the events at their end.
        drop((swarm, events));
        tracing::info!("stopped");
    }

    /// Closes all connections in peace. A socket that is merely dropped may take back what it has sent.
    async fn disconnect(&mut self) {
        let peers: Vec<PeerId> = self.parts.swarm.connected_peers().copied().collect();
        for peer in peers {
            // An error means that it is gone already.
            let _ = self.parts.swarm.disconnect_peer_id(peer);
        }
        let deadline = Instant::now() + CLOSE;
        let gone = |driver: &Self| driver.parts.swarm.connected_peers().next().is_none();
        self.handle_events_until(deadline, gone).await;
    }

    async fn handle_events_until(&mut self, deadline: Instant, done: impl Fn(&Self) -> bool) {
        while !done(self)
            && let Ok(event) = timeout_at(deadline, self.parts.swarm.select_next_some()).await
        {
            self.handle_event(event);
        }
    }
}

/// For how long a node that stops gives its last frames to leave.
const FLUSH: Duration = Duration::from_millis(250);

/// For how long it waits for its connections to close.
const CLOSE: Duration = Duration::from_millis(500);
