//! What was asked of whom for one log: one request at a time, and those that may be answered yet.

use std::{collections::BTreeMap, time::Duration};

use crate::wire::{Sender, SeqRange, Time};

/// The requests of one log.
#[derive(Debug, Default)]
pub(super) struct Requests {
    under_way: Option<Request>,
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
    /// The request for these numbers; follow with [`Fetch::judge`](super::Fetch::judge).
    InTime(SeqRange),
    /// A request that was given up. What it brings is of use, but what it lacks says nothing of
    /// what was asked since.
    Late,
}

impl Requests {
    pub(super) fn begin(&mut self, peer: Sender, seqs: SeqRange, number: u64, now: Time) {
        self.under_way = Some(Request {
            peer,
            seqs,
            number,
            asked: now,
        });
    }

    /// Who is being asked.
    pub(super) fn asking(&self) -> Option<Sender> {
        self.under_way.map(|request| request.peer)
    }

    /// Until when the answer is waited for.
    pub(super) fn until(&self) -> Option<Time> {
        self.under_way.map(Request::until)
    }

    /// Whether a peer may answer this request yet.
    pub(super) fn awaits(&self, peer: Sender, number: u64) -> bool {
        self.under_way.is_some_and(|it| it.is(peer, number))
            || self.given_up.get(&number) == Some(&peer)
    }

    /// A peer answered. `None` if it was not [asked](Self::awaits) that.
    pub(super) fn handle_answer(&mut self, peer: Sender, number: u64) -> Option<Answered> {
        if let Some(request) = self.under_way.take_if(|it| it.is(peer, number)) {
            return Some(Answered::InTime(request.seqs));
        }
        if self.given_up.get(&number) != Some(&peer) {
            return None;
        }
        self.given_up.remove(&number);
        Some(Answered::Late)
    }

    /// The request that was not answered in time, if there is one.
    pub(super) fn expire(&mut self, now: Time) -> Option<Request> {
        let late = self.under_way.take_if(|it| it.until() <= now);
        late.inspect(|late| self.give_up(*late))
    }

    /// A peer is gone. `true` if it was being asked.
    pub(super) fn handle_gone(&mut self, peer: Sender) -> bool {
        let lost = self.under_way.take_if(|it| it.peer == peer);
        lost.inspect(|lost| self.give_up(*lost)).is_some()
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

/// Requests of which it is remembered that they may be answered yet, at 40 bytes.
pub(super) const MAX_GIVEN_UP: usize = 16;
