//! The end of a node.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use futures::StreamExt;
use libp2p::PeerId;
use tokio::{
    task::yield_now,
    time::{Instant, timeout_at},
};

use super::{Driver, Parts, turn::EVENTS_A_TURN};
use crate::{channel::Hub, peers::Peer};

impl Driver {
    /// Sends what is queued, gives it a moment to leave, and lets go of everything.
    pub(super) async fn wind_down(mut self) {
        // In this order nothing that was accepted is left behind: what is posted later is refused.
        let hubs = self.parts.registry.refuse();
        let deadline = Instant::now() + HAND_OVER;
        self.flush(hubs.clone(), deadline).await;
        // Also those who wait until somebody has it.
        hubs.iter().for_each(|hub| self.answer(hub));
        self.parts.registry.stop();
        let handed_over =
            |driver: &Self| driver.parts.engine.is_handed_over() && !driver.may_find_listeners();
        self.handle_events_until(deadline, handed_over).await;
        self.disconnect().await;
        let Parts { swarm, events, .. } = self.parts;
        // Whoever waited for the end finds the addresses free and the events at their end.
        drop((swarm, events));
        tracing::info!("stopped");
    }

    /// Whether somebody is there who was not there for long enough to say that it listens to what was posted.
    fn may_find_listeners(&self) -> bool {
        let now = self.parts.clock.now();
        let fresh = |(id, peer): (&PeerId, &Peer)| !self.told.contains(id) && peer.since + TELLING > now;
        self.parts.engine.counters().posted > 0 && self.peers.iter().any(fresh)
    }

    /// Posts what is in the outboxes, as fast as those who keep up take it in; at the deadline, what is left.
    async fn flush(&mut self, mut hubs: Vec<Arc<Hub>>, deadline: Instant) {
        loop {
            let late = Instant::now() >= deadline;
            for hub in &hubs {
                while (late || self.parts.engine.may_post(hub.name()))
                    && let (Some(section), _) = hub.take_section()
                {
                    self.post(hub, section);
                    // The connections may need this thread to make room for more.
                    poll_fn(|cx| Poll::Ready(self.poll_swarm(cx, EVENTS_A_TURN))).await;
                    yield_now().await;
                }
            }
            hubs.retain(|hub| hub.load().outbox_bytes > 0);
            if hubs.is_empty() {
                return;
            }
            self.handle_event_before(deadline).await;
        }
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
        while !done(self) && Instant::now() < deadline {
            self.handle_event_before(deadline).await;
        }
    }

    /// Waits for something to happen, and handles it.
    async fn handle_event_before(&mut self, deadline: Instant) {
        self.handle_timeouts();
        self.tell_acks();
        let due = self.poll_timeout();
        let due = self.parts.clock.instant(due).min(deadline);
        if let Ok(event) = timeout_at(due, self.parts.swarm.select_next_some()).await {
            self.handle_event(event);
        }
    }
}

/// For how long a node that stops waits until somebody has what it posted last.
pub(super) const HAND_OVER: Duration = Duration::from_secs(5);

/// How soon after it is connected a peer has told which channels it has open, if any: a stream is opened for
/// that, half round the world.
const TELLING: Duration = Duration::from_secs(1);

/// For how long it waits for its connections to close.
const CLOSE: Duration = Duration::from_millis(500);
