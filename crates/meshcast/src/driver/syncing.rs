//! The session to each peer: the engine's messages, and the driver's own.

use std::collections::VecDeque;

use bytes::Bytes;
use libp2p::PeerId;
use meshcast_proto::{Account, Budget, ENTRY_BYTES, Offence, SyncMessage};

use super::{Driver, Ping};
use crate::{
    clock::wall_time,
    session::{SendError, SessionEvent},
    transport::{payer, peer_id, sender},
};

/// Messages that wait for room on a session, or for the session, in order. The peer is charged with
/// them.
#[derive(Debug)]
pub(super) struct Backlog {
    messages: VecDeque<Bytes>,
    /// With what each entry takes besides: of many short messages that is most.
    bytes: usize,
    account: Account,
}

impl Driver {
    pub(super) fn handle_session(&mut self, event: SessionEvent) {
        let now = self.parts.clock.now();
        match event {
            SessionEvent::Opened { peer } => {
                self.linked.insert(peer);
                self.send_members(peer);
                // Those asked for before there was a session, and those that were lost with the one
                // before.
                let open = self.pings.iter().filter(|ping| ping.peer == peer);
                for number in open.map(|ping| ping.number).collect::<Vec<_>>() {
                    self.send_sync(peer, &SyncMessage::Ping(number));
                }
                if let Some(sender) = sender(&peer) {
                    self.with_engine(|engine, now| engine.handle_peer_up(sender, now));
                }
                let early = self.early_messages.remove(&peer);
                for message in early.map(Backlog::into_messages).unwrap_or_default() {
                    self.hear(peer, message);
                }
            }
            SessionEvent::Message { peer, bytes } if self.linked.contains(&peer) => {
                self.peers.handle_heard(&peer, now);
                self.hear(peer, bytes);
            }
            // A connection that was given up may still bring something.
            SessionEvent::Message { peer, .. } if self.peers.get(&peer).is_none() => {}
            SessionEvent::Message { peer, bytes } => {
                let new = || Backlog::new(self.parts.engine.budget(), &peer);
                if !self
                    .early_messages
                    .entry(peer)
                    .or_insert_with(new)
                    .push(bytes)
                {
                    self.give_up_session(peer);
                }
            }
            SessionEvent::Closed {
                peer,
                connection,
                reason,
            } => {
                tracing::debug!(%peer, %reason, "session closed");
                self.hear_last(peer);
                self.linked.remove(&peer);
                self.told.remove(&peer);
                self.flushes.touch();
                self.backlogs.remove(&peer);
                self.early_messages.remove(&peer);
                if let Some(sender) = sender(&peer) {
                    self.with_engine(|engine, now| engine.handle_peer_down(sender, now));
                }
                if reason.is_final() {
                    self.parts.swarm.close_connection(connection);
                }
            }
            SessionEvent::Writable { peer } => self.send_backlog(peer),
        }
    }

    /// A peer said something on its open session. If it cannot be taken in now, nothing more is
    /// read of it meanwhile: it waits there, and at most what the swarm has read already waits
    /// here.
    fn hear(&mut self, peer: PeerId, bytes: Bytes) {
        let Some(sender) = sender(&peer) else { return };
        if !self.inbox.push(sender, bytes) {
            return self.give_up_session(peer);
        }
        self.take_in();
        if self.inbox.waits(sender) && self.held.insert(peer) {
            self.parts
                .swarm
                .behaviour_mut()
                .sessions
                .set_paused(&peer, true);
        }
    }

    /// Takes in what peers said, each in its turn, as much as is done in a turn of the loop.
    pub(super) fn take_in(&mut self) {
        let now = self.parts.clock.now();
        while self.worked < WORK_A_TURN
            && let Some((sender, bytes)) = self.inbox.pop(now)
        {
            let peer = peer_id(sender);
            if !self.inbox.waits(sender) {
                self.let_go(peer);
            }
            let cost = self.handle_message(peer, &bytes);
            self.inbox.charge(sender, cost, now);
            self.worked += cost;
        }
    }

    /// Takes in what is left of a peer whose session is closed: it may have said that before it
    /// left in peace.
    fn hear_last(&mut self, peer: PeerId) {
        let Some(sender) = sender(&peer) else { return };
        for bytes in self.inbox.take(sender) {
            let cost = self.handle_message(peer, &bytes);
            self.inbox.charge(sender, cost, self.parts.clock.now());
            self.worked += cost;
        }
        self.let_go(peer);
    }

    /// Reads again what a peer says.
    fn let_go(&mut self, peer: PeerId) {
        if self.held.remove(&peer) {
            self.parts
                .swarm
                .behaviour_mut()
                .sessions
                .set_paused(&peer, false);
        }
    }

    /// Returns what it cost.
    fn handle_message(&mut self, peer: PeerId, bytes: &Bytes) -> usize {
        match SyncMessage::decode(bytes) {
            Ok(message) => {
                let cost = message.cost(bytes.len());
                self.handle_sync(peer, message);
                cost
            }
            Err(error) => {
                if let Some(suppressed) = self.warnings.unreadable.pass(self.parts.clock.now()) {
                    tracing::warn!(%peer, %error, suppressed, "a member sends what nobody can read");
                }
                self.counters.sync_invalid += 1;
                self.handle_offence(peer, Offence::Unreadable);
                SyncMessage::cost_unread(bytes.len())
            }
        }
    }

    fn handle_sync(&mut self, peer: PeerId, message: SyncMessage) {
        let now = self.parts.clock.now();
        match message {
            SyncMessage::Members(members) => self.handle_members(peer, &members),
            SyncMessage::Ping(number) => self.send_sync(peer, &SyncMessage::Pong(number)),
            SyncMessage::Pong(number) => {
                let answered = |ping: &Ping| ping.number == number && ping.peer == peer;
                if let Some(index) = self.pings.iter().position(answered) {
                    let ping = self.pings.swap_remove(index);
                    // Whoever asked may have left.
                    let _ = ping.answer.send(Ok(now.saturating_since(ping.sent)));
                }
            }
            about_channels => {
                let Some(sender) = sender(&peer) else { return };
                tracing::trace!(%peer, message = ?about_channels, "told");
                let (verifier, wall) = (self.parts.verifier.clone(), wall_time());
                let mut invalid = 0;
                let verify = |frames: &[_]| {
                    let members = verifier.verify_all(frames, wall).into_iter();
                    let members: Vec<_> = members.map(Result::ok).collect();
                    invalid = members.iter().filter(|member| member.is_none()).count();
                    members
                };
                if matches!(about_channels, SyncMessage::Open(_)) {
                    self.told.insert(peer);
                    self.flushes.touch();
                }
                let fetched = self.before_answer(&about_channels);
                self.with_engine(|engine, now| {
                    engine.handle_sync(sender, about_channels, now, wall, verify);
                });
                self.counters.frames_invalid += invalid as u64;
                if let Some(fetched) = fetched {
                    self.note_answer(peer, &fetched);
                }
            }
        }
    }

    /// Sends a message on the session to a peer, after those that wait. Without a session there is
    /// nobody to tell: a new one begins with everything.
    pub(super) fn send_sync(&mut self, to: PeerId, message: &SyncMessage) {
        tracing::trace!(peer = %to, ?message, "tell");
        let message = Bytes::from(message.encode());
        self.counters.sync_bytes += message.len() as u64;
        self.send_or_keep(to, message);
    }

    /// Closes the connections to a peer that does not read or does not let itself be answered.
    fn give_up_session(&mut self, peer: PeerId) {
        if let Some(suppressed) = self.warnings.silent.pass(self.parts.clock.now()) {
            tracing::warn!(%peer, suppressed, "closing connections to a peer that does not keep up");
        }
        self.backlogs.remove(&peer);
        self.early_messages.remove(&peer);
        self.counters.unresponsive += 1;
        // An error means that it is gone already.
        let _ = self.parts.swarm.disconnect_peer_id(peer);
    }

    /// Gives a message to the session, or keeps it for later.
    fn send_or_keep(&mut self, to: PeerId, message: Bytes) {
        let message = if self.backlogs.contains_key(&to) {
            message
        } else {
            match self.parts.swarm.behaviour_mut().sessions.send(&to, message) {
                Ok(()) => return,
                Err(SendError::Full { message }) => {
                    self.tell_congested(to, true);
                    message
                }
                Err(error) => {
                    tracing::debug!(peer = %to, %error, "a sync message was not sent");
                    return;
                }
            }
        };
        let new = || Backlog::new(self.parts.engine.budget(), &to);
        if !self.backlogs.entry(to).or_insert_with(new).push(message) {
            self.give_up_session(to);
        }
    }

    fn send_backlog(&mut self, to: PeerId) {
        let Some(backlog) = self.backlogs.remove(&to) else {
            return;
        };
        for message in backlog.into_messages() {
            self.send_or_keep(to, message);
        }
        self.tell_congested(to, self.backlogs.contains_key(&to));
    }

    /// What the engine has to say to a peer beside answers waits there while its session is full.
    fn tell_congested(&mut self, peer: PeerId, is_congested: bool) {
        if let Some(sender) = sender(&peer) {
            self.parts.engine.set_congested(sender, is_congested);
        }
    }
}

impl Backlog {
    fn new(budget: &Budget, peer: &PeerId) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            account: budget.account(payer(peer)),
        }
    }

    /// Keeps a message. `false` if there is too much of them, for one peer or for all that is
    /// charged to it. The first is kept whatever that is: a peer that has no share left is not let
    /// go for what it is told before it can read.
    fn push(&mut self, message: Bytes) -> bool {
        let cost = message.len() + ENTRY_BYTES;
        let is_first = self.messages.is_empty();
        let fits = self.bytes + cost <= MAX_BACKLOG && (is_first || self.account.try_charge(cost));
        if is_first && fits {
            self.account.charge(cost);
        }
        if fits {
            self.bytes += cost;
            self.messages.push_back(message);
        }
        fits
    }

    fn into_messages(mut self) -> VecDeque<Bytes> {
        std::mem::take(&mut self.messages)
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}

/// What may wait for a peer that does not read, beside the queue of its session, each message with
/// what it takes besides. Three answers of 256 KiB and what is told of ten thousand channels are
/// less than half of it. And what it may say before there is a session to answer on.
const MAX_BACKLOG: usize = 4 * 1024 * 1024;

/// How much of what peers say is taken in before posts, gossip and everybody else on this thread
/// have a turn: some 5 ms of work, and one message more.
pub(super) const WORK_A_TURN: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_without_a_byte_fill_a_backlog_as_well() {
        let budget = Budget::new(64 * 1024 * 1024);
        let mut backlog = Backlog::new(&budget, &PeerId::random());
        let count = (0..).take_while(|_| backlog.push(Bytes::new())).count();
        assert_eq!(count, MAX_BACKLOG / ENTRY_BYTES);
        assert_eq!(budget.used(), MAX_BACKLOG);
        assert_eq!(backlog.into_messages().len(), count);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_backlog_takes_no_more_than_the_share_of_its_peer() {
        let budget = Budget::new(1024 * 1024);
        let mut backlog = Backlog::new(&budget, &PeerId::random());
        while backlog.push(Bytes::from(vec![7; 1024])) {}
        assert!(backlog.bytes < 512 * 1024);
        drop(backlog);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn one_message_waits_also_for_a_peer_that_has_no_share_left() {
        let (budget, peer) = (Budget::new(1024 * 1024), PeerId::random());
        while budget.try_charge(payer(&peer), 1024) {}
        let mut backlog = Backlog::new(&budget, &peer);
        assert!(backlog.push(Bytes::from(vec![7; 100 * 1024])));
        assert!(!backlog.push(Bytes::from(vec![7; 100 * 1024])));
        drop(backlog);
        assert!(budget.used() <= 1024 * 1024);
    }
}
