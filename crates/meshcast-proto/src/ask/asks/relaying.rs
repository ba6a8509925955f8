//! Questions that travel over members.

use std::{sync::Arc, time::Duration};

use super::Asks;
use crate::{
    ask::{
        incoming::{self, ReturnPath},
        output::{AskOutput, Asked},
        relays::{Capacity, Key, RelayedQuestion},
    },
    conduct::Offence,
    identity::{CLOCK_SKEW, Member, Sealed},
    wire::{
        AskMessage, Declined, Finding, Inquiry, Question, Relayed, Reply, Sender, Time, WallTime,
    },
};

impl Asks {
    /// A peer asks, or hands on what another asks.
    pub(super) fn handle_relay(
        &mut self,
        peer: Sender,
        relayed: Relayed,
        now: Time,
        wall: WallTime,
    ) {
        let key = (relayed.inquiry.asker, relayed.inquiry.number);
        // The asker is not handed its own question.
        if key.0 == self.me() || !self.neighbours.contains(peer) {
            self.counters.asks_dropped += 1;
            return;
        }
        if self.relays.get(key).is_some() {
            return self.handle_copy(peer, key, now);
        }
        if let Some(whole) = self.seen.get(key) {
            // All that comes of it went another way.
            return self.echo(peer, key, whole);
        }
        match self.verified(peer, &relayed.inquiry, now, wall) {
            Ok(member) => self.take_in(peer, relayed, &member, now),
            Err(Refused::Unbelieved) if peer == key.0 => self.answer_alone(relayed, now),
            Err(_) => self.echo(peer, key, false),
        }
    }

    /// The asker itself asks, by its session, what nobody could be shown to be asked by it now: it
    /// is answered, and that goes no further.
    fn answer_alone(&mut self, relayed: Relayed, now: Time) {
        let Relayed { left, inquiry, .. } = relayed;
        let (peer, key) = (inquiry.asker, (inquiry.asker, inquiry.number));
        let within = left.min(inquiry.within).min(Self::MAX_WITHIN);
        let mut entry = RelayedQuestion::new(peer, inquiry.only, now + within);
        entry.own = inquiry.only.is_none_or(|only| only == self.me());
        entry.whole = false;
        let has_room = self.seen.has_room(peer, entry.cost());
        if !entry.own || !has_room || !self.begin_relay(key, entry) {
            return self.echo(peer, key, false);
        }
        self.seen.take(key, peer, now);
        let question = Question {
            number: inquiry.number,
            channel: inquiry.channel,
            within,
            format: inquiry.format,
            payload: inquiry.payload,
        };
        self.handle_question(peer, question, now);
        if !self.incoming.contains(key) {
            self.end_own_part(key);
        }
    }

    /// Another copy of a question that is under way came.
    fn handle_copy(&mut self, peer: Sender, key: Key, now: Time) {
        let Some(entry) = self.relays.get_mut(key) else {
            return;
        };
        if entry.parent == peer {
            return;
        }
        if peer == key.0 {
            // The asker itself: nobody is needed between.
            let between = std::mem::replace(&mut entry.parent, peer);
            self.incoming.answer_by_session(key);
            self.returns.redirect(between, peer, key);
            self.echo(between, key, true);
            self.return_to(peer, now);
            return self.settle(key);
        }
        // Both handed it to each other at the same time, which is as good as an echo of both.
        if !entry.waiting.remove(&peer) {
            self.echo(peer, key, true);
        }
        self.settle(key);
    }

    /// A question that was not seen before is answered and handed on.
    fn take_in(&mut self, peer: Sender, relayed: Relayed, member: &Arc<Member>, now: Time) {
        let Relayed {
            hops,
            left,
            inquiry,
        } = relayed;
        let key = (inquiry.asker, inquiry.number);
        let left = left.min(inquiry.within).min(Self::MAX_WITHIN);
        let is_asked = inquiry.only.is_none_or(|only| only == self.me());
        let mut entry = RelayedQuestion::new(peer, inquiry.only, now + left);
        entry.own = is_asked;
        self.choose(&mut entry, &inquiry, hops);
        let to: Vec<_> = entry.waiting.iter().copied().collect();
        let bytes = (inquiry.bytes.len() + CARRIED) * (1 + to.len());
        let by = (peer, peer == key.0);
        // Before another has to make way for it.
        let has_room = !left.is_zero() && self.seen.has_room(peer, entry.cost());
        let fits = has_room && self.neighbours.may_copy(by, bytes, now);
        if !fits || !self.begin_relay(key, entry) {
            self.counters.asks_refused += 1;
            if peer == key.0 {
                let (question, reply) = (key.1, Reply::Declined(Declined::Busy));
                self.send(peer, AskMessage::Reply { question, reply });
            }
            return self.echo(peer, key, false);
        }
        self.seen.take(key, peer, now);
        self.counters.asks_relayed += 1;
        self.counters.ask_copies += to.len() as u64;
        for to in to {
            let message = AskMessage::Relay(Relayed {
                hops: hops.saturating_add(1),
                left,
                inquiry: inquiry.clone(),
            });
            self.send(to, message);
        }
        if is_asked {
            self.be_asked(peer, &inquiry, member, left, now);
        }
        self.settle(key);
    }

    /// A question is under way. `false` if there is no room for it.
    fn begin_relay(&mut self, key: Key, entry: RelayedQuestion) -> bool {
        let room = self.relays.room(key.0, entry.parent);
        if room == Capacity::None || !self.relays.begin(key, entry) {
            return false;
        }
        if let Capacity::After(other) = room {
            self.give_up(other);
        }
        true
    }

    /// A question makes way for another: nothing more comes of it over this node.
    fn give_up(&mut self, key: Key) {
        let Some(entry) = self.relays.get(key) else {
            return;
        };
        self.counters.asks_refused += 1;
        let (parent, is_own) = (entry.parent, entry.own);
        self.end_relay(key);
        self.end_own(key);
        if is_own && parent == key.0 {
            let (question, reply) = (key.1, Reply::Declined(Declined::Busy));
            self.send(parent, AskMessage::Reply { question, reply });
        }
        self.echo(parent, key, false);
    }

    /// To whom it is handed on.
    fn choose(&mut self, entry: &mut RelayedQuestion, inquiry: &Inquiry, hops: u8) {
        if inquiry.only == Some(self.me()) {
            return;
        }
        let others = |to: &Sender| *to != entry.parent && *to != inquiry.asker;
        let only = inquiry.only.filter(|only| self.neighbours.contains(*only));
        let others: Vec<_> = match only {
            Some(only) => Some(only).into_iter().filter(others).collect(),
            None => self.neighbours.all().filter(others).collect(),
        };
        let goes_on = hops < Self::MAX_HOPS;
        for to in others {
            if goes_on && !self.neighbours.is_congested(to) {
                entry.waiting.insert(to);
            } else {
                entry.whole = false;
                self.counters.asks_lost += u64::from(goes_on);
            }
        }
    }

    /// A question that travels over members is for this node.
    fn be_asked(
        &mut self,
        peer: Sender,
        inquiry: &Inquiry,
        member: &Arc<Member>,
        left: Duration,
        now: Time,
    ) {
        let key = (inquiry.asker, inquiry.number);
        let way = match peer == inquiry.asker {
            true => ReturnPath::Session,
            false => ReturnPath::Back,
        };
        let waiting = incoming::Waiting {
            way,
            alone: inquiry.only.is_some(),
            until: now + left,
            payer: peer,
            charged: 0,
            withdrawn: false,
        };
        let is_known = self.incoming.contains(key);
        if !is_known && self.incoming.begin(key, waiting, inquiry.payload.len()) {
            self.outputs.push_back(AskOutput::Asked(Asked {
                asker: inquiry.asker,
                member: Some(Arc::clone(member)),
                payer: peer,
                question: Question {
                    number: inquiry.number,
                    channel: inquiry.channel.clone(),
                    within: left,
                    format: inquiry.format,
                    payload: inquiry.payload.clone(),
                },
            }));
            return;
        }
        self.counters.asks_declined += u64::from(!is_known);
        let reply = Reply::Declined(Declined::Busy);
        match way {
            ReturnPath::Session => {
                let question = key.1;
                self.send(peer, AskMessage::Reply { question, reply });
            }
            ReturnPath::Back => self.reply_back(key, &reply, now),
        }
        if let Some(entry) = self.relays.get_mut(key) {
            entry.own = false;
        }
    }

    /// This node has replied, or will not.
    pub(super) fn end_own_part(&mut self, key: Key) {
        if let Some(entry) = self.relays.get_mut(key) {
            entry.own = false;
        }
        self.settle(key);
    }

    /// Forgets questions whose time is over.
    pub(super) fn expire_relays(&mut self, now: Time) {
        while let Some(key) = self.relays.take_over(now) {
            self.forget_relay(key);
        }
    }

    /// A question is not under way any more.
    fn forget_relay(&mut self, key: Key) -> Option<RelayedQuestion> {
        let entry = self.relays.remove(key)?;
        if entry.queued > 0 {
            self.returns.cancel(entry.parent, key);
        }
        Some(entry)
    }

    /// Nothing more comes back of what a peer was handed.
    pub(super) fn handle_echo(&mut self, peer: Sender, key: Key, whole: bool) {
        if key.0 == self.me() {
            let out = &mut self.outputs;
            return self.outgoing.handle_echo(key.1, peer, whole, out);
        }
        if let Some(entry) = self.relays.get_mut(key)
            && entry.waiting.remove(&peer)
        {
            entry.whole &= whole;
            self.settle(key);
        }
    }

    /// Nobody waits any more for what comes of a question that a peer handed to this node.
    pub(super) fn handle_recall(&mut self, peer: Sender, key: Key) {
        let entry = self.relays.get(key);
        if entry.is_some_and(|entry| entry.parent == peer) {
            self.end_relay(key);
            self.end_own(key);
        }
    }

    /// The session to a peer ended.
    pub(super) fn end_relays_of(&mut self, peer: Sender) {
        let (from, to) = self.relays.of(peer);
        for key in from {
            self.end_relay(key);
            self.end_own(key);
        }
        for key in to {
            self.handle_echo(peer, key, false);
        }
    }

    /// Replies to a question have nowhere to go any more.
    pub(super) fn end_relay(&mut self, key: Key) {
        let Some(entry) = self.forget_relay(key) else {
            return;
        };
        let (asker, question) = key;
        for peer in entry.waiting {
            self.send(peer, AskMessage::Recall { asker, question });
        }
    }

    /// Says so if nothing more comes of a question.
    pub(super) fn settle(&mut self, key: Key) {
        let entry = self.relays.get(key);
        if entry.is_some_and(RelayedQuestion::is_over)
            && let Some(entry) = self.relays.remove(key)
        {
            if entry.whole {
                self.seen.end(key);
            }
            self.echo(entry.parent, key, entry.whole);
        }
    }

    /// Something that came back of a question was lost.
    pub(super) fn lose(&mut self, key: Key) {
        if key.0 == self.me() {
            self.outgoing.handle_lost(key.1);
        } else if let Some(entry) = self.relays.get_mut(key) {
            entry.whole = false;
        }
    }

    fn echo(&mut self, to: Sender, (asker, question): Key, whole: bool) {
        let echo = AskMessage::Echo {
            asker,
            question,
            whole,
        };
        self.send(to, echo);
    }

    /// The signer of what a peer handed to this node, if this mesh believes it.
    pub(super) fn verified(
        &mut self,
        peer: Sender,
        what: &impl Statement,
        now: Time,
        wall: WallTime,
    ) -> Result<Arc<Member>, Refused> {
        if !self.neighbours.may_check(peer, now) {
            self.counters.asks_refused += 1;
            return Err(Refused::Unchecked);
        }
        let known = self.chains.get(what.signer(), what.chain());
        match what.verify(&self.trust, known, wall) {
            Ok(member) if what.is_timely(wall) => {
                self.chains.remember(&member, what.chain());
                Ok(member)
            }
            verdict => {
                self.counters.asks_dropped += 1;
                if !verdict.is_err_and(|error| error.is_forgery()) {
                    return Err(Refused::Unbelieved);
                }
                let offence = Offence::Forged;
                self.outputs
                    .push_back(AskOutput::Misbehaved { peer, offence });
                Err(Refused::Forged)
            }
        }
    }

    pub(super) fn me(&self) -> Sender {
        self.identity.sender()
    }
}

/// Why something is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The peer has had its share of checks.
    Unchecked,
    /// Nobody signed it whom this mesh believes now.
    Unbelieved,
    /// Its signature is wrong.
    Forged,
}

/// Something that members sign and hand on.
pub(super) trait Statement: Sealed {
    /// Whether it is of a time in which it is believed.
    fn is_timely(&self, wall: WallTime) -> bool;
}

impl Statement for Inquiry {
    /// An old question is a replay by somebody who kept it.
    fn is_timely(&self, wall: WallTime) -> bool {
        let within = self.within.min(Asks::MAX_WITHIN);
        let is_over = self.asked_at + within + CLOCK_SKEW < wall;
        !is_over && self.asked_at <= wall + CLOCK_SKEW
    }
}

impl Statement for Finding {
    /// Its question bounds its life.
    fn is_timely(&self, _: WallTime) -> bool {
        true
    }
}

/// What a message takes beside the signed bytes in it, in a queue.
const CARRIED: usize = crate::bounds::ENTRY_BYTES;
