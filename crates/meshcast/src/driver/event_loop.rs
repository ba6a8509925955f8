//! The loop of the driver: a hand-written future, so that the swarm is polled as often as there is
//! a reason to, and what was posted leaves before anything else is looked at.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use tokio::{
    task::yield_now,
    time::{Sleep, sleep_until},
};

use super::{Driver, sessions::WORK_A_ROUND};
use crate::{command::Command, handover::Shutdown};

impl Driver {
    /// Drives the node until it is told to stop or all its handles are gone.
    pub(crate) async fn run(mut self) -> Shutdown {
        for event in std::mem::take(&mut self.schedule.early) {
            self.handle_event(event);
        }
        let mut alarm = pin!(sleep_until(self.clock.instant(self.schedule.next_check)));
        match poll_fn(|cx| self.poll_round(alarm.as_mut(), cx)).await {
            End::Orderly => self.wind_down().await,
            End::Abrupt => {
                tracing::info!("stopped at once");
                Shutdown::default()
            }
        }
    }

    /// One round: takes up all that there is a reason to, within bounds. Remaining work is for the
    /// next round, after the tasks of the connections: they wait for this very thread to take what
    /// was published, and without a turn of theirs the queues to all peers run over.
    fn poll_round(&mut self, mut alarm: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<End> {
        // Before the first look: what is rung for from now on wakes this task again.
        self.handles.registry.bell().listen(cx.waker());
        let mut events = 0;
        self.sessions.worked = 0;
        // It may be the swarm that woke this task. Later it has to be asked again only if it was
        // given something to do.
        let mut woken = true;
        loop {
            let followed = self.follow_registry();
            // Only every other round, so that neither starves the other.
            if followed.posted && woken && !self.schedule.posted_last {
                self.schedule.posted_last = true;
                return give_way(cx);
            }
            self.schedule.posted_last = false;
            // Before all else that may be due: a message that came is on its way to readers. After
            // this node stood still it also shows who is there before anybody is found to be
            // silent.
            let before = (events, self.sessions.worked);
            if woken || self.network.swarm.is_dirty() {
                events += self.poll_swarm(cx, EVENTS_A_ROUND - events);
            }
            woken = false;
            let has_more_events = events == EVENTS_A_ROUND;
            self.hear_inbox(!has_more_events);
            if let Poll::Ready(end) = self.poll_commands(cx) {
                return Poll::Ready(end);
            }
            self.inspect();
            self.dialling.poll_lookups(cx, &self.clock);
            let has_more_due = self.handle_timeouts();
            self.check_ready();
            self.ask_held();
            self.follow_expecting();
            let is_full = has_more_events || has_more_due || self.sessions.worked >= WORK_A_ROUND;
            if followed.more || is_full || self.waiters.inspections.is_busy() {
                return give_way(cx);
            }
            // Each event may be a reason for something else.
            let is_over =
                (events, self.sessions.worked) == before && !self.network.swarm.is_dirty();
            if is_over && !self.poll_alarm(alarm.as_mut(), cx) {
                return Poll::Pending;
            }
        }
    }

    /// Handles what the swarm has to tell, so many events at most; how many there were.
    pub(super) fn poll_swarm(&mut self, cx: &mut Context<'_>, most: usize) -> usize {
        for events in 0..most {
            match self.network.swarm.poll(cx) {
                Poll::Ready(Some(event)) => self.handle_event(event),
                Poll::Ready(None) | Poll::Pending => return events,
            }
        }
        most
    }

    /// Does what handles ask.
    fn poll_commands(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while let Poll::Ready(command) = self.handles.commands.poll_recv(cx) {
            match command {
                Some(Command::Shutdown) | None => return Poll::Ready(End::Orderly),
                Some(Command::Abort) => return Poll::Ready(End::Abrupt),
                Some(command) => {
                    // A caller sees the effect of its earlier calls.
                    self.follow_registry();
                    self.handle_command(command);
                }
            }
        }
        Poll::Pending
    }

    /// `true` if it is time for something.
    fn poll_alarm(&mut self, mut alarm: Pin<&mut Sleep>, cx: &mut Context<'_>) -> bool {
        // Only ever to an earlier time: a deadline moves with almost each frame, and to set a timer
        // anew costs more than to wake for nothing now and then.
        let due = self.poll_timeout();
        let due = self.clock.instant(due);
        if alarm.is_elapsed() || due < alarm.deadline() {
            alarm.as_mut().reset(due);
        }
        alarm.as_mut().poll(cx).is_ready()
    }
}

/// Lets everybody else on this thread have a turn, and the sockets be looked at.
fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
    // To wake oneself would be to come back before tokio looks at the sockets; this asks it to
    // first. It is never ready at once.
    let _ = pin!(yield_now()).poll(cx);
    Poll::Pending
}

/// How the driver ends.
enum End {
    Orderly,
    Abrupt,
}

/// Events taken in before posts are looked at again.
pub(super) const EVENTS_A_ROUND: usize = 64;
