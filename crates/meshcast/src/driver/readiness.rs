//! When a node is ready.

use std::time::Duration;

use meshcast_proto::Time;

use super::Driver;
use crate::{command::Answer, error::AskError, health::Ready};

/// Who waits for the node to be ready.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// With when each of them asked.
    waiting: Vec<(Time, Answer<Ready>)>,
    /// When it was first found that all seeds were tried.
    seeds_tried: Option<Time>,
    phase: Phase,
}

/// The phase of a node, for those who do not wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    /// It was ready once.
    Ready,
    Stopping,
}

impl Readiness {
    pub(super) fn ask(&mut self, answer: Answer<Ready>, now: Time) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push((now, answer));
        } else {
            let limit = MAX_WAITING;
            // The caller may have left.
            let _ = answer.send(Err(AskError::TooMany { limit }));
        }
    }

    /// Whether the node was ready once, and is not stopping.
    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// The node stops.
    pub(super) const fn end(&mut self) {
        self.phase = Phase::Stopping;
    }

    fn reach(&mut self) {
        if self.phase == Phase::Starting {
            self.phase = Phase::Ready;
        }
    }

    /// When [`Driver::check_ready`] wants to be called, if nothing happens.
    pub(super) fn due(&self, now: Time) -> Option<Time> {
        // Nothing says when gossip hears what a peer listens on.
        (!self.waiting.is_empty()).then(|| now + LOOK_AGAIN)
    }
}

impl Driver {
    /// Answers those who wait, once the node is ready, or as ready as it will be.
    ///
    /// Listening is done before the driver starts. The rest: the seeds were tried, which takes as
    /// long as the dial of an address or the look-up of a name may, and the node is part of the
    /// mesh.
    pub(super) fn check_ready(&mut self) {
        let ready = &mut self.waiters.ready;
        ready.waiting.retain(|(_, answer)| !answer.is_closed());
        let opening = self.handles.registry.bell().has_changed();
        if ready.waiting.is_empty() || !self.dialling.dialer.seeds_tried() || opening {
            return;
        }
        let now = self.clock.now();
        let tried = *ready.seeds_tried.get_or_insert(now);
        let everybody = self.is_part_of_the_mesh(now);
        let due = |asked: Time| everybody || asked.max(tried) + MESH_TIMEOUT <= now;
        let members = self.peers.iter().count();
        let ready = &mut self.waiters.ready;
        let answered: Vec<_> = ready
            .waiting
            .extract_if(.., |(asked, _)| due(*asked))
            .collect();
        if !answered.is_empty() {
            ready.reach();
        }
        // The caller may have left.
        let answers = answered.into_iter().map(|(_, answer)| answer);
        answers.for_each(|answer| _ = answer.send(Ok(Ready { members })));
    }

    /// Notes that the node is ready also if nobody waits for it.
    pub(super) fn note_ready(&mut self, now: Time) {
        if self.waiters.ready.phase != Phase::Starting || !self.dialling.dialer.seeds_tried() {
            return;
        }
        let tried = *self.waiters.ready.seeds_tried.get_or_insert(now);
        if tried + MESH_TIMEOUT <= now || self.is_part_of_the_mesh(now) {
            self.waiters.ready.reach();
        }
    }

    /// Whether everybody connected has announced its channels, or has had the time to.
    fn is_part_of_the_mesh(&self, now: Time) -> bool {
        let gossip = &self.network.swarm.behaviour().gossip;
        let announced = gossip.listeners();
        self.peers
            .iter()
            .all(|(id, peer)| announced.contains(id) || peer.since + ANNOUNCEMENT <= now)
    }
}

/// How many may wait: tasks of this process, at about 30 bytes each. All are looked at in each
/// round of the loop.
const MAX_WAITING: usize = 1024;

/// The time for which a connected peer that announces no channel is waited for: it may have none.
const ANNOUNCEMENT: Duration = Duration::from_millis(500);

/// The time for which the mesh is waited for after the seeds were tried. It takes a heartbeat to
/// join; but if the only peers do not keep up, or peers come without end, it may never be.
const MESH_TIMEOUT: Duration = Duration::from_secs(5);

/// How often that is looked at while somebody waits.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn one_too_many_who_wait_for_the_node_to_be_ready_is_refused_by_name() {
        let mut ready = Readiness::default();
        let mut waiting: Vec<_> = (0..=MAX_WAITING)
            .map(|_| {
                let (answer, answered) = oneshot::channel();
                ready.ask(answer, Time::ZERO);
                answered
            })
            .collect();
        let limit = MAX_WAITING;
        let mut refused = waiting.pop().expect("one too many");
        assert_eq!(refused.try_recv(), Ok(Err(AskError::TooMany { limit })));
        assert!(waiting.iter_mut().all(|it| it.try_recv().is_err()));
    }
}
