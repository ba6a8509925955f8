//! Timed work of the driver: what is due, and when.

use std::time::Duration;

use libp2p::swarm::SwarmEvent;
use meshcast_proto::{ChannelName, Engine, Time};

use super::{Driver, EngineCell};
use crate::behaviour::BehaviourEvent;

/// Where the loop of the driver stands.
pub(super) struct Schedule {
    /// What the swarm reported before the driver had it.
    pub(super) early: Vec<SwarmEvent<BehaviourEvent>>,
    /// When what has no deadline of its own is looked at.
    pub(super) next_check: Time,
    /// The last round ended after what was posted.
    pub(super) posted_last: bool,
    /// The node is to stop as it stands.
    pub(super) aborted: bool,
}

impl Schedule {
    pub(super) const fn new(early: Vec<SwarmEvent<BehaviourEvent>>, now: Time) -> Self {
        Self {
            early,
            next_check: now,
            posted_last: false,
            aborted: false,
        }
    }
}

impl Driver {
    /// Does what is due. `true` if the engine has more of it to do than it does at once: that is
    /// for the next round.
    pub(super) fn handle_timeouts(&mut self) -> bool {
        let now = self.clock.now();
        let is_due = |engine: &EngineCell| engine.poll_timeout().is_some_and(|due| due <= now);
        let was_due = is_due(&self.engine);
        if was_due {
            self.with_engine(Engine::handle_timeout);
        }
        let has_more = was_due && is_due(&self.engine);
        if self.questions.poll_timeout().is_some_and(|due| due <= now) {
            self.handle_ask_timeout();
        }
        self.check_presence(now);
        self.dial(now);
        for (peer, connection) in self.peers.take_surplus(now) {
            tracing::debug!(%peer, %connection, "closing a duplicate connection");
            self.close(peer, connection);
        }
        if self.schedule.next_check <= now {
            let late = now.saturating_since(self.schedule.next_check);
            if late >= STOOD_STILL {
                self.peers.excuse_silence(late, now);
            }
            self.schedule.next_check = now + CHECK_INTERVAL;
            self.check(now);
        }
        has_more
    }

    /// Looks at what has no deadline of its own.
    fn check(&mut self, now: Time) {
        #[cfg(feature = "admin")]
        self.reports.wall.look(&self.clock);
        let engine = &self.engine;
        let acked = |name: &ChannelName, seq| engine.acked(name, seq);
        self.waiters.receipts.handle_timeout(acked);
        self.waiters.flushes.mark_due();
        self.waiters.pings.expire(now);
        self.drop_vacant_channels(now);
        self.forgive(now);
        self.sessions.handle_timeout(now);
        // A peer that is not read cannot be blamed for its silence.
        for peer in self.sessions.paused() {
            self.peers.handle_heard(peer, now);
        }
        self.spread_late(now);
        self.network.gossip().settle(now);
        self.make_way();
        self.watch_for_silence(now);
        self.note_ready(now);
        self.tell_of_isolation(now);
        self.watch_for_namesakes(now);
    }

    /// When [`Self::handle_timeouts`] has something to do.
    pub(super) fn poll_timeout(&mut self) -> Time {
        let due = [
            self.engine.poll_timeout(),
            self.questions.poll_timeout(),
            self.presence.poll_timeout(),
            self.dialling.due(),
            self.waiters.ready.due(self.clock.now()),
            self.sessions.poll_timeout(),
            self.peers.surplus_due(),
        ];
        let due = due.into_iter().flatten();
        due.fold(self.schedule.next_check, Time::min)
    }
}

/// The interval of checks that have no deadline of their own, and of the check for silent peers.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// A look that comes this late means that this node stood still itself, and nobody can be blamed
/// for that time.
const STOOD_STILL: Duration = Duration::from_secs(1);
