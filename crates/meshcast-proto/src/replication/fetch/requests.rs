//! What was asked of whom for one log: a request, a hedge beside one that is slow, and those that
//! may be answered yet.

use std::{collections::BTreeMap, time::Duration};

use crate::wire::{Sender, SeqRange, Time};

/// The requests of one log.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The last one.
    under_way: Option<Request>,
    /// One that was not answered soon, so that another was asked beside it. Few logs have one, and
    /// each log is charged for its size.
    overdue: Option<Box<Request>>,
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
    /// A request that was given up. What it brings is of use, but what it lacks says nothing of
    /// what was asked since.
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
        debug_assert!(before.is_none() || self.overdue.is_none(), "it is a third");
        if let Some(before) = before {
            self.overdue = Some(Box::new(before));
        }
        before.is_some()
    }

    /// Who is being asked: two at most.
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
        match &self.overdue {
            _ if now < soon => Some(soon),
            Some(_) => self.until(),
            None => None,
        }
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
            if self.overdue.is_none() {
                self.overdue = self.under_way.take().map(Box::new);
            }
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
        let overdue = self.overdue.as_deref().copied();
        overdue.into_iter().chain(self.under_way)
    }

    fn take_if(&mut self, is_it: impl Fn(&Request) -> bool) -> Option<Request> {
        let overdue = self.overdue.take_if(|it| is_it(it)).map(|it| *it);
        overdue.or_else(|| self.under_way.take_if(|it| is_it(it)))
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

/// Requests of which it is remembered that they may be answered yet, at 40 bytes.
pub(super) const MAX_GIVEN_UP: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Seq;

    #[test]
    fn a_hedge_that_is_not_answered_holds_nothing_up_once_the_first_request_is() {
        let at = |millis| Time::from_start(Duration::from_millis(millis));
        let (slow, silent) = (Sender::new([1; 32]), Sender::new([2; 32]));
        let mut requests = Requests::default();
        assert!(!requests.begin(slow, SeqRange::single(Seq::FIRST), 1, at(0)));
        assert!(requests.begin(silent, SeqRange::single(Seq::FIRST), 2, at(250)));
        assert!(requests.pause(at(260)).is_some(), "two are out");
        let answered = requests.handle_answer(slow, 1, at(300));
        assert!(matches!(answered, Some(Answered::InTime(_))));
        assert_eq!(requests.pause(at(300)), None, "the next may be asked");
        assert!(requests.slow(at(600)).is_none(), "and is no hedge");
        assert!(requests.asks(silent));
        assert!(!requests.begin(slow, SeqRange::single(Seq::FIRST.next()), 3, at(300)));
        assert_eq!(requests.expire(at(3_250)).map(|it| it.peer), Some(silent));
    }
}
