//! Replies on their way back over members.

use super::{Asks, relaying::Refused};
use crate::{
    ask::{
        relays::{Key, ReplyPass},
        returns::Returning,
    },
    wire::{AskMessage, Finding, Reply, Sender, Time, WallTime},
};

impl Asks {
    /// A reply of this node goes back the way that the question came.
    pub(super) fn reply_back(&mut self, key: Key, reply: &Reply, now: Time) {
        let me = self.me();
        let Some(parent) = self.relays.get(key).map(|entry| entry.parent) else {
            return;
        };
        if let Ok(finding) = Finding::sign(&self.identity, key, reply)
            && self.passes(key, me, parent)
        {
            self.pass_on(key, (me, parent), finding, now);
        }
    }

    /// A reply came back.
    pub(super) fn handle_finding(
        &mut self,
        peer: Sender,
        finding: Finding,
        now: Time,
        wall: WallTime,
    ) {
        let key = (finding.asker, finding.question);
        let is_own = key.0 == self.me();
        let is_expected = match self.relays.get(key) {
            Some(entry) => {
                let only = entry.only.is_none_or(|only| only == finding.answerer);
                only && entry.waiting.contains(&peer) && finding.answerer != key.0
            }
            None => is_own && self.outgoing.expects(key.1, peer),
        };
        if !is_expected || finding.answerer == self.me() {
            self.counters.asks_dropped += 1;
            return;
        }
        let member = match self.verified(peer, &finding, now, wall) {
            Ok(member) => member,
            Err(why) => {
                self.lose(key);
                // A made-up reply may be followed by the true one.
                if why != Refused::Forged {
                    self.end_copy_of_one(key, peer);
                }
                return self.settle(key);
            }
        };
        if is_own {
            let (of, out) = ((key.1, peer), &mut self.outputs);
            let has_room = self.outgoing.handle_found(of, member, finding.reply, out);
            self.counters.asks_lost += u64::from(!has_room);
            return;
        }
        self.end_copy_of_one(key, peer);
        if self.passes(key, finding.answerer, peer) {
            self.pass_on(key, (peer, peer), finding, now);
        }
        self.settle(key);
    }

    /// Whether the reply of a member goes back: it did not before, and `payer` has room for its
    /// name.
    fn passes(&mut self, key: Key, answerer: Sender, payer: Sender) -> bool {
        let passing = self.relays.pass(key, answerer, payer);
        self.counters.asks_lost += u64::from(passing == ReplyPass::NoRoom);
        passing == ReplyPass::Goes
    }

    /// A peer has handed back what there is of the one that is asked alone: with that it has
    /// forgotten the question.
    fn end_copy_of_one(&mut self, key: Key, peer: Sender) {
        if key.0 == self.me() {
            self.outgoing
                .end_copy_of_one(key.1, peer, &mut self.outputs);
        } else if let Some(entry) = self.relays.get_mut(key)
            && entry.only.is_some()
        {
            entry.waiting.remove(&peer);
        }
    }

    /// Hands a reply on towards the asker, as soon as it is its turn.
    fn pass_on(&mut self, key: Key, by: (Sender, Sender), finding: Finding, now: Time) {
        self.let_wait(key, by, finding);
        if let Some(parent) = self.relays.get(key).map(|entry| entry.parent) {
            self.return_to(parent, now);
        }
    }

    /// A reply waits for its turn, if whoever pays has room for it. It came by way of `from`.
    fn let_wait(&mut self, key: Key, (from, payer): (Sender, Sender), finding: Finding) {
        let Some(entry) = self.relays.get_mut(key) else {
            return;
        };
        let reply = Returning {
            key,
            finding,
            from,
            payer,
        };
        if self.returns.push(entry.parent, reply) {
            entry.queued += 1;
        } else {
            self.counters.asks_lost += 1;
            self.lose(key);
        }
    }

    /// Replies that wait to go back by way of a peer go to it, as many as may go now.
    pub(super) fn return_to(&mut self, peer: Sender, now: Time) {
        while !self.neighbours.is_congested(peer)
            && let Some(reply) = self.returns.pop(peer, now)
        {
            let (key, answerer) = (reply.key, reply.finding.answerer);
            self.send(peer, AskMessage::Finding(reply.finding));
            let Some(entry) = self.relays.get_mut(key) else {
                continue;
            };
            entry.queued -= 1;
            if entry.only == Some(answerer) {
                self.end_relay(key);
            } else {
                self.settle(key);
            }
        }
    }

    /// Replies that have waited long enough go back.
    pub(super) fn return_due(&mut self, now: Time) {
        let due = self.returns.due().filter(|(_, due)| *due <= now);
        for peer in due.map(|(peer, _)| peer).collect::<Vec<_>>() {
            self.return_to(peer, now);
        }
        self.returns.forget(now);
    }

    /// When something may go back next.
    pub(super) fn return_next(&self) -> Option<Time> {
        let due = self.returns.due();
        let due = due.filter(|(peer, _)| !self.neighbours.is_congested(*peer));
        due.map(|(_, due)| due).min()
    }
}
