//! The end of a node.

use std::{future::poll_fn, sync::Arc, task::Context, task::Poll, time::Duration};

use libp2p::PeerId;
use tokio::{
    task::yield_now,
    time::{Instant, timeout_at},
};

use super::{Driver, Handles, Network, event_loop::EVENTS_A_ROUND};
use crate::{
    channel::Hub,
    command::Command,
    event::{self, DisconnectReason},
    handover::Shutdown,
};

impl Driver {
    /// Sends what is queued, waits until somebody has it, and lets go of everything. Meanwhile it
    /// dials, accepts and answers as before; what others post is no longer delivered here.
    pub(super) async fn wind_down(mut self) -> Shutdown {
        self.waiters.ready.end();
        // In this order nothing that was accepted is left behind: what is posted later is refused.
        let hubs = self.handles.registry.refuse();
        let deadline = Instant::now() + HAND_OVER;
        self.empty_outboxes(hubs.clone(), deadline).await;
        // Also those who wait until somebody has it.
        hubs.iter().for_each(|hub| self.answer(hub));
        self.handles.registry.stop();
        let mut posted = self.posted(Vec::new());
        if !self.settle(&mut posted) {
            // The next dial may be due later than there is time.
            self.dialling.dialer.modify().hurry(self.clock.now());
            let handed_over = |driver: &mut Self| driver.settle(&mut posted);
            self.handle_events_until(deadline, handed_over).await;
        }
        if self.schedule.aborted {
            tracing::info!("stopped at once, while winding down");
            return Shutdown::default();
        }
        let shutdown = Shutdown {
            orderly: true,
            undelivered: self.undelivered(),
            members: self.peers.iter().count(),
        };
        self.disconnect().await;
        let (Network { swarm, .. }, Handles { events, .. }) = (self.network, self.handles);
        // Whoever waited for the end finds the addresses free and the events at their end.
        drop((swarm, events));
        if shutdown.is_complete() {
            tracing::info!(target: event::STOPPED, "stopped");
        } else {
            tracing::warn!(target: event::STOPPED, "stopped: {shutdown}");
        }
        shutdown
    }

    /// Posts what is in the outboxes, as fast as those who keep up take it in; at the deadline,
    /// what is left.
    async fn empty_outboxes(&mut self, mut hubs: Vec<Arc<Hub>>, deadline: Instant) {
        loop {
            let late = Instant::now() >= deadline || self.schedule.aborted;
            for hub in &hubs {
                while (late || self.engine.may_post(hub.name()))
                    && let (Some(section), _) = hub.take_section()
                {
                    self.post(hub, section);
                    // The connections may need this thread to make room for more.
                    poll_fn(|cx| Poll::Ready(self.poll_swarm(cx, EVENTS_A_ROUND))).await;
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

    /// Closes all connections in peace. A socket that is merely dropped may take back what it has
    /// sent.
    async fn disconnect(&mut self) {
        self.dialling.dialer.modify().rest();
        self.say_goodbye();
        let deadline = Instant::now() + GOODBYE;
        self.handle_events_until(deadline, |driver| !driver.waits_for_farewells())
            .await;
        let peers: Vec<PeerId> = self.network.swarm.connected_peers().copied().collect();
        for peer in peers {
            self.peers.excuse(&peer, DisconnectReason::Stopped);
            // An error means that it is gone already.
            let _ = self.network.swarm.modify().disconnect_peer_id(peer);
        }
        let deadline = Instant::now() + CLOSE;
        let gone = |driver: &mut Self| driver.network.swarm.connected_peers().next().is_none();
        self.handle_events_until(deadline, gone).await;
    }

    async fn handle_events_until(
        &mut self,
        deadline: Instant,
        mut done: impl FnMut(&mut Self) -> bool,
    ) {
        while !done(self) && !self.schedule.aborted && Instant::now() < deadline {
            self.handle_event_before(deadline).await;
        }
    }

    /// Waits for something to happen, and handles it.
    async fn handle_event_before(&mut self, deadline: Instant) {
        while self.waiters.inspections.is_busy() {
            self.inspect();
            yield_now().await;
        }
        self.handle_timeouts();
        self.tell_acks();
        let due = self.poll_timeout();
        let due = self.clock.instant(due).min(deadline);
        // An error means that it is time for something.
        let _ = timeout_at(due, poll_fn(|cx| self.poll_event(cx))).await;
    }

    /// Handles what comes first of what is asked, looked up or told by the network.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(Some(command)) = self.handles.commands.poll_recv(cx) {
            match command {
                Command::Abort => {
                    self.schedule.aborted = true;
                    return Poll::Ready(());
                }
                command => self.handle_command(command),
            }
        }
        self.dialling.poll_lookups(cx, &self.clock);
        self.sessions.worked = 0;
        self.hear_inbox(true);
        match self.poll_swarm(cx, 1) {
            0 if self.sessions.worked == 0 && !self.dialling.dialer.is_dirty() => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

/// For how long a node that stops waits until somebody has what it posted last.
pub(super) const HAND_OVER: Duration = Duration::from_secs(5);

/// For how long it waits until its peers have heard that it leaves: a round trip half round the
/// world.
const GOODBYE: Duration = Duration::from_millis(300);

/// For how long it waits for its connections to close.
const CLOSE: Duration = Duration::from_millis(500);
