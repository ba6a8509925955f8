//! What was asked of whom for one log: a request, hedges beside those that are slow, and those that
//! may be answered yet.

use std::{collections::BTreeMap, time::Duration};

use crate::wire::{Sender, SeqRange, Time};

/// The requests of one log.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The last one.
    under_way: Option<Request>,
    /// Those that were not answered soon, so that another was asked beside them, the oldest first.
    /// Few logs have any, and each log is charged for its size.
    overdue: Vec<Request>,
    /// Those that were given up, by number, and may be answered yet: it took too long, or the link
    /// broke and another connection brings it.
    given_up: BTreeMap<u64, Sender>,
}

/// What was asked of a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) peer: Sender,
    pub(super) seqs: SeqRange,
    number: u64,
    pub(super) asked: Time,
}

/// What an answer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The request for these numbers, before anybody else could be asked; follow with
    /// [`Fetch::judge`](super::Fetch::judge).
    Soon(SeqRange),
    /// The same, later.
    InTime(SeqRange),
    /// A request that was given up. The frames it brings are of use, but what it lacks says nothing
    /// of what was asked since.
    Late,
}

impl Requests {
    /// A peer is asked, as [`Self::pause`] allows it. `true` if that is a hedge: it is beside a
    /// request that is slow.
    pub(super) fn begin(&mut self, peer: Sender, seqs: SeqRange, number: u64, now: Time) -> bool {
        let before = self.under_way.replace(Request {
            peer,
            seqs,
            number,
            asked: now,
        });
        self.overdue.extend(before);
        debug_assert!(self.overdue.len() < MAX_UNDER_WAY, "it is one too many");
        before.is_some()
    }

    /// The peers being asked: [`MAX_UNDER_WAY`] at most.
    pub(super) fn asking(&self) -> impl Iterator<Item = Sender> {
        self.out().map(|request| request.peer)
    }

    /// Whether this peer is being asked.
    pub(super) fn asks(&self, peer: Sender) -> bool {
        self.asking().any(|asked| asked == peer)
    }

    /// Until when an answer is waited for.
    pub(super) fn until(&self) -> Option<Time> {
        self.out().map(Request::until).min()
    }

    /// The last request, if it is not answered and was not asked just now.
    pub(super) fn slow(&self, now: Time) -> Option<&Request> {
        self.under_way.as_ref().filter(|it| it.asked + HEDGE <= now)
    }

    /// Before then nobody else is asked.
    pub(super) fn pause(&self, now: Time) -> Option<Time> {
        let soon = self.under_way?.asked + HEDGE;
        if now < soon {
            return Some(soon);
        }
        let is_full = self.overdue.len() + 1 >= MAX_UNDER_WAY;
        is_full.then(|| self.until()).flatten()
    }

    /// Whether a peer may answer this request yet.
    pub(super) fn awaits(&self, peer: Sender, number: u64) -> bool {
        self.out().any(|it| it.is(peer, number)) || self.given_up.get(&number) == Some(&peer)
    }

    /// A peer answered. `None` if it was not [asked](Self::awaits) that.
    pub(super) fn handle_answer(
        &mut self,
        peer: Sender,
        number: u64,
        now: Time,
    ) -> Option<Answered> {
        if let Some(request) = self.take_if(|it| it.is(peer, number)) {
            // A hedge that is not answered yet holds nothing up: who did answer is asked on.
            self.overdue.extend(self.under_way.take());
            let is_soon = now < request.asked + HEDGE;
            return Some(match is_soon {
                true => Answered::Soon(request.seqs),
                false => Answered::InTime(request.seqs),
            });
        }
        if self.given_up.get(&number) != Some(&peer) {
            return None;
        }
        self.given_up.remove(&number);
        Some(Answered::Late)
    }

    /// A request that was not answered in time, if there is one.
    pub(super) fn expire(&mut self, now: Time) -> Option<Request> {
        let late = self.take_if(|it| it.until() <= now);
        late.inspect(|late| self.give_up(*late))
    }

    /// A peer is gone. `true` if it was being asked.
    pub(super) fn handle_gone(&mut self, peer: Sender) -> bool {
        let lost = self.take_if(|it| it.peer == peer);
        lost.inspect(|lost| self.give_up(*lost)).is_some()
    }

    /// Those that are not given up, the oldest first.
    fn out(&self) -> impl Iterator<Item = Request> {
        self.overdue.iter().copied().chain(self.under_way)
    }

    fn take_if(&mut self, is_it: impl Fn(&Request) -> bool) -> Option<Request> {
        match self.overdue.iter().position(&is_it) {
            Some(at) => Some(self.overdue.remove(at)),
            None => self.under_way.take_if(|it| is_it(it)),
        }
    }

    fn give_up(&mut self, request: Request) {
        if self.given_up.len() >= MAX_GIVEN_UP {
            self.given_up.pop_first();
        }
        self.given_up.insert(request.number, request.peer);
    }
}

impl Request {
    fn is(&self, peer: Sender, number: u64) -> bool {
        (self.peer, self.number) == (peer, number)
    }

    fn until(self) -> Time {
        self.asked + REQUEST_TIMEOUT
    }
}

/// For how long an answer is waited for: a round trip round the world, and 256 KiB at 1 Mbit/s.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// When another peer is asked beside one that has not answered: most paths are shorter. Where one
/// is longer, or slow, a frame comes twice.
pub(crate) const HEDGE: Duration = Duration::from_millis(250);

/// How many are asked of one log at a time. Each is asked a quarter of a second after the one
/// before, for one frame, and only while nobody answers; who did not is asked last from then on. So
/// peers that answer nothing, one fewer than these, hold a number up for 1.75 s however often they
/// do it, and where all paths are slow the frame comes so often once.
pub(crate) const MAX_UNDER_WAY: usize = 8;

/// Requests of which it is remembered that they may be answered yet, at 40 bytes.
pub(super) const MAX_GIVEN_UP: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Seq;

    #[test]
    fn the_next_is_asked_a_quarter_of_a_second_after_each_until_there_are_as_many_as_may_be() {
        let at = |millis| Time::from_start(Duration::from_millis(millis));
        let mut requests = Requests::default();
        for n in 0..MAX_UNDER_WAY as u64 {
            let (now, peer) = (at(250 * n), Sender::new([n as u8; 32]));
            assert_eq!(requests.pause(now), None, "{n}");
            requests.begin(peer, SeqRange::single(Seq::FIRST), n, now);
            assert_eq!(requests.pause(now), Some(now + HEDGE), "{n}");
        }
        assert_eq!(requests.pause(at(2_500)), Some(at(3_000)));
        assert!(requests.expire(at(3_000)).is_some());
        assert_eq!(requests.pause(at(3_000)), None);
    }

    #[test]
    fn a_hedge_that_is_not_answered_holds_nothing_up_once_the_first_request_is() {
        let at = |millis| Time::from_start(Duration::from_millis(millis));
        let (slow, silent) = (Sender::new([1; 32]), Sender::new([2; 32]));
        let mut requests = Requests::default();
        assert!(!requests.begin(slow, SeqRange::single(Seq::FIRST), 1, at(0)));
        assert!(requests.begin(silent, SeqRange::single(Seq::FIRST), 2, at(250)));
        assert!(requests.pause(at(260)).is_some(), "it was just asked");
        let answered = requests.handle_answer(slow, 1, at(300));
        assert!(matches!(answered, Some(Answered::InTime(_))));
        assert_eq!(requests.pause(at(300)), None, "the next may be asked");
        assert!(requests.slow(at(600)).is_none(), "and is no hedge");
        assert!(requests.asks(silent));
        assert!(!requests.begin(slow, SeqRange::single(Seq::FIRST.next()), 3, at(300)));
        assert_eq!(requests.expire(at(3_250)).map(|it| it.peer), Some(silent));
    }
}
