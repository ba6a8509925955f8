//! Round trips that are being measured, for whoever asked.

use std::time::Duration;

use libp2p::PeerId;
use meshcast_proto::{SyncMessage, Time};

use super::Driver;
use crate::{command::PingAnswer, error::PingError};

/// Pings under way.
#[derive(Debug, Default)]
pub(super) struct Pings {
    waiting: Vec<Ping>,
    last: u64,
}

#[derive(Debug)]
struct Ping {
    number: u64,
    peer: PeerId,
    sent: Time,
    answer: PingAnswer,
}

impl Pings {
    /// Somebody asks. Returns the number to be sent, unless there are too many.
    fn begin(&mut self, peer: PeerId, answer: PingAnswer, now: Time) -> Option<u64> {
        if self.waiting.len() >= MAX_PINGS {
            let limit = MAX_PINGS;
            // The caller may have left.
            let _ = answer.send(Err(PingError::TooMany { limit }));
            return None;
        }
        self.last += 1;
        self.waiting.push(Ping {
            number: self.last,
            peer,
            sent: now,
            answer,
        });
        Some(self.last)
    }

    /// The numbers of those to a peer.
    pub(super) fn to(&self, peer: PeerId) -> Vec<u64> {
        let to = self.waiting.iter().filter(|ping| ping.peer == peer);
        to.map(|ping| ping.number).collect()
    }

    /// A peer answered.
    pub(super) fn handle_pong(&mut self, peer: PeerId, number: u64, now: Time) {
        let answered = |ping: &Ping| ping.number == number && ping.peer == peer;
        if let Some(index) = self.waiting.iter().position(answered) {
            let ping = self.waiting.swap_remove(index);
            // The caller may have left.
            let _ = ping.answer.send(Ok(now.saturating_since(ping.sent)));
        }
    }

    /// A peer is gone: it does not answer any more.
    pub(super) fn handle_lost(&mut self, peer: PeerId) {
        self.refuse(|ping| (ping.peer == peer).then_some(PingError::NotConnected(peer)));
    }

    /// Gives up those that wait for too long.
    pub(super) fn expire(&mut self, now: Time) {
        let late = |ping: &Ping| ping.sent + PING_TIMEOUT <= now;
        self.refuse(|ping| late(ping).then_some(PingError::TimedOut(ping.peer)));
    }

    fn refuse(&mut self, why: impl Fn(&Ping) -> Option<PingError>) {
        for ping in self.waiting.extract_if(.., |ping| why(ping).is_some()) {
            if let Some(error) = why(&ping) {
                // The caller may have left.
                let _ = ping.answer.send(Err(error));
            }
        }
    }
}

impl Driver {
    pub(super) fn send_ping(&mut self, peer: PeerId, answer: PingAnswer) {
        if self.peers.get(&peer).is_none() {
            // The caller may have left.
            let _ = answer.send(Err(PingError::NotConnected(peer)));
        } else if let Some(number) = self.waiters.pings.begin(peer, answer, self.clock.now()) {
            self.send_sync(peer, &SyncMessage::Ping(number));
        }
    }
}

/// How long a [`Node::ping`](crate::Node::ping) waits for its answer.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Pings under way at the same time: four to each of the 256 members that may be connected. Each
/// answer looks through them, at about a nanosecond each.
const MAX_PINGS: usize = 1024;

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn one_ping_too_many_is_refused_by_name_and_the_others_are_answered() {
        let (mut pings, peer) = (Pings::default(), PeerId::random());
        let at = |ms| Time::from_start(Duration::from_millis(ms));
        let mut answers: Vec<_> = (0..=MAX_PINGS)
            .map(|_| {
                let (answer, answered) = oneshot::channel();
                (pings.begin(peer, answer, at(0)), answered)
            })
            .collect();
        let (number, mut refused) = answers.pop().expect("one too many");
        assert_eq!(number, None);
        let limit = MAX_PINGS;
        assert_eq!(refused.try_recv(), Ok(Err(PingError::TooMany { limit })));
        for (number, mut answered) in answers {
            assert!(answered.try_recv().is_err(), "too early");
            pings.handle_pong(peer, number.expect("there is room"), at(7));
            assert_eq!(answered.try_recv(), Ok(Ok(Duration::from_millis(7))));
        }
        let (answer, _) = oneshot::channel();
        assert!(pings.begin(peer, answer, at(8)).is_some());
    }

    #[test]
    fn a_ping_ends_with_its_peer_or_its_time() {
        let (mut pings, gone, silent) = (Pings::default(), PeerId::random(), PeerId::random());
        let now = Time::from_start(Duration::from_secs(1));
        let [mut of_gone, mut of_silent] = [gone, silent].map(|peer| {
            let (answer, answered) = oneshot::channel();
            pings.begin(peer, answer, now).expect("there is room");
            answered
        });
        pings.handle_lost(gone);
        pings.expire(now);
        assert_eq!(of_gone.try_recv(), Ok(Err(PingError::NotConnected(gone))));
        assert!(of_silent.try_recv().is_err(), "too early");
        pings.expire(now + PING_TIMEOUT);
        assert_eq!(of_silent.try_recv(), Ok(Err(PingError::TimedOut(silent))));
    }
}
