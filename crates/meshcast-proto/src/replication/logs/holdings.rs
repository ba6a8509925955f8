//! Claims of peers to have something of logs.

use super::{Acked, Effects, LogEntry, LogId, Logs, of_channel};
use crate::{
    bounds::{CLAIM_BYTES, LOG_BYTES, Payer},
    conduct::Offence,
    flow_control::Progress,
    log::{Log, Owner, Tier},
    replication::{fetch::Claim, replica::Replica},
    wire::{ChannelName, Holding, LogKey, Sender, Seq, SeqRange, Time},
};

impl Logs {
    /// Takes in what a peer says it has of a log.
    pub(crate) fn handle_holding(
        &mut self,
        peer: Sender,
        channel: &ChannelName,
        holding: &Holding,
        now: Time,
        out: &mut Effects,
    ) {
        let key = (channel.clone(), holding.sender);
        let mut holding = *holding;
        if holding.hops == 0 && peer != holding.sender {
            // Nobody else is so near to it.
            holding.hops = Holding::FAR;
            out.offences.insert((peer, Offence::Impossible));
        }
        if holding.sender == self.me && !self.acknowledge(peer, &key, &mut holding, out) {
            return;
        }
        let holding = &holding;
        if !self.logs.contains_key(&key) {
            // Without a beginning there is nothing that this node lacks yet.
            let is_due = holding.due.is_some() || self.tombstones.entries.contains_key(&key);
            if !is_due || self.is_held_back(&key, now) {
                return;
            }
        }
        // Nothing changes before all of it is charged.
        let replica = self.get(&key);
        let (is_new, is_news) = (
            replica.is_none(),
            replica.is_none_or(|replica| !replica.fetch.holders().contains(peer)),
        );
        if is_news {
            let log = self.logs.get(&key).map(|entry| entry.id);
            let is_charged = log.is_some_and(|log| self.by_peer.is_involved(peer, log));
            let has_room = is_charged || self.charge_claim(peer);
            self.peers.note(peer, channel, has_room);
            if !has_room {
                self.refuse(peer, out);
                return;
            }
        }
        if is_new {
            let owner = Owner {
                subject: *peer.key(),
                by: peer,
            };
            if !self.charge_log(owner, Tier::Reported(now), now, out) {
                self.budget.release(Payer::from(peer), CLAIM_BYTES);
                self.peers.note(peer, channel, false);
                self.refuse(peer, out);
                return;
            }
            // The tombstone stays: it is its member's, and what the teller says may be forgotten
            // before anything comes of the log.
            let log = match self.tombstones.entries.get(&key) {
                Some(tombstone) => Log::resumed(tombstone.next, now),
                None => Log::new(now),
            };
            self.follow(&key, owner, log, Tier::Reported(now));
        }
        let Some(LogEntry { id, replica, .. }) = self.logs.get_mut(&key) else {
            return;
        };
        self.by_peer.involve(peer, *id);
        replica.hear_beginning(peer, holding, &self.peers, now);
        let gate = |replica: &Replica| {
            let gate = replica.fetch.holders().gate(peer);
            gate.filter(|_| self.peers.listens(peer, channel))
        };
        let before = gate(replica);
        let claim = Claim {
            peer,
            holding,
            opening: self.peers.opening(peer, channel),
        };
        replica
            .fetch
            .handle_claim(&claim, &replica.checkpoints, now);
        let after = gate(replica);
        // Most that tell of a log look elsewhere for it and gate nothing: all need not be looked
        // through for them.
        if before != after {
            let others = replica.lowest_but(peer, channel, &self.peers);
            let lowest = |gate: Option<Seq>| {
                others.map(|others| gate.map_or(others, |gate| gate.min(others)))
            };
            if lowest(before) != lowest(after) {
                out.advances.acks_changed.insert(key.clone());
            }
        }
        if replica.update_route(self.me, &key, &self.peers, now) {
            out.advances.route_changed.insert(key.clone());
        }
        self.advance(&key, now, out);
    }

    /// Whether a log found no room lately, and its member has none for it yet.
    fn is_held_back(&self, key: &LogKey, now: Time) -> bool {
        let member = self.refusals.waits_for(key, now).map(Payer::Member);
        member.is_some_and(|member| self.budget.room_upto(LOG_BYTES, member) < LOG_BYTES)
    }

    /// A peer told how much it has of what was posted here. More than was posted counts as all of
    /// it, and an acknowledgement is not taken back. `false` if nothing was posted.
    fn acknowledge(
        &self,
        peer: Sender,
        key: &LogKey,
        holding: &mut Holding,
        out: &mut Effects,
    ) -> bool {
        let replica = self.get(key);
        let posted = replica.and_then(|replica| replica.log.reorder().next());
        if holding.next > posted.unwrap_or(Seq::FIRST) {
            out.offences.insert((peer, Offence::Impossible));
        }
        let (Some(replica), Some(posted)) = (replica, posted) else {
            return false;
        };
        let known = replica.fetch.holders().listener(peer);
        let known = known.map_or(Seq::FIRST, Progress::next);
        holding.next = holding.next.min(posted).max(known);
        holding.lowest = holding.lowest.map(|lowest| lowest.min(posted));
        let last = holding.next.previous();
        if let Some(seqs) = last.and_then(|last| SeqRange::new(known, last)) {
            out.acked.push(Acked {
                peer,
                channel: key.0.clone(),
                seqs,
            });
        }
        true
    }

    /// A peer has told what it has of a channel: with the last that does, logs begin.
    pub(crate) fn all_told(
        &mut self,
        peer: Sender,
        channel: &ChannelName,
        now: Time,
        out: &mut Effects,
    ) {
        self.peers.has_answered(peer, channel);
        let settling =
            of_channel(&self.logs, channel).filter(|(_, entry)| entry.replica.log.is_settling());
        let settling: Vec<LogKey> = settling.map(|(key, _)| key.clone()).collect();
        settling.iter().for_each(|key| self.advance(key, now, out));
    }

    /// Charges a peer with one more log that it has to do with; `false` if there is no room.
    pub(super) fn charge_claim(&mut self, peer: Sender) -> bool {
        let has_room = self.budget.try_charge(Payer::from(peer), CLAIM_BYTES);
        self.refused.claims += u64::from(!has_room);
        has_room
    }

    /// A peer has nothing to do with a log any more, for which it was
    /// [charged](Self::charge_claim).
    pub(super) fn release_claim(&mut self, peer: Sender, log: LogId) {
        if self.by_peer.release(peer, log) {
            self.budget.release(Payer::from(peer), CLAIM_BYTES);
        }
    }

    /// A peer found no room.
    fn refuse(&self, peer: Sender, out: &mut Effects) {
        if self.budget.is_greedy(Payer::from(peer)) {
            out.offences.insert((peer, Offence::OverLimit));
        }
    }
}
