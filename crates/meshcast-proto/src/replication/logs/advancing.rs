//! The life of logs: how they begin, get further and end.

use super::{Batch, Charged, Class, Effects, LogEntry, Logs, ReceivedFrame, subject};
use crate::{
    bounds::{self, LOG_BYTES, Payer},
    identity::Member,
    log::{Capacity, Insert, Log, Owner, SETTLE, Tier, Tombstone},
    replication::{
        fetch::{Context, HEDGE, REQUEST_TIMEOUT},
        replica::{Replica, Turn, Want},
    },
    wire::{self, LogKey, Seq, Time},
};

impl Logs {
    pub(super) fn take_in(
        &mut self,
        key: &LogKey,
        heard: ReceivedFrame,
        now: Time,
        out: &mut Effects,
    ) -> Insert {
        let ReceivedFrame {
            frame,
            member,
            arrival,
            posted,
            since,
            may_pass,
        } = heard;
        let tier = Tier::Proven(now);
        let owner = Owner {
            subject: subject(&member),
            by: arrival.from.unwrap_or_else(|| frame.sender()),
        };
        match self.logs.get(key).map(|entry| entry.charged) {
            None => {
                self.introduce(&member);
                // Its own tombstone makes room for that of another.
                let tombstone = self.tombstones.take(key);
                if !self.charge_log(owner, tier, now, out) {
                    if let Some(tombstone) = tombstone {
                        self.tombstones.remember(key, tombstone);
                    }
                    self.refusals.refused(key, subject(&member), owner.by, now);
                    out.without_room.push((key.clone(), member));
                    return Insert::NoRoom;
                }
                let log = match tombstone {
                    Some(Tombstone { next, .. }) => Log::resumed(next, now),
                    None => Log::new(now + SETTLE),
                };
                self.follow(key, owner, log, tier);
            }
            Some(Some(charged)) if !charged.tier.is_proven() => {
                self.introduce(&member);
                if !self.prove(key, owner, now, out) {
                    self.refusals.refused(key, subject(&member), owner.by, now);
                    out.without_room.push((key.clone(), member));
                    return Insert::NoRoom;
                }
            }
            Some(_) => {}
        }
        let Some(entry) = self.logs.get_mut(key) else {
            return Insert::NoRoom;
        };
        let Some(charged) = &mut entry.charged else {
            return Insert::NoRoom;
        };
        self.refusals.remove(key);
        let subject = charged.owner.subject;
        self.lru.remove(charged.owner, charged.tier, key);
        charged.tier = tier;
        self.lru.add(charged.owner, tier, key);
        let replica = &mut *entry.replica;
        let born = replica.origin.hear(&frame, posted);
        let is_past =
            may_pass && since.is_some_and(|since| replica.origin.is_before(&frame, posted, since));
        // All of it is due, unless it may be one whose place was forgotten. The time the frame took
        // to come makes it seem younger: what was posted within that before the opening is heard
        // too, or told to be missing.
        if since.is_some_and(|since| since <= born)
            && self.tombstones.forgot.is_none_or(|forgot| forgot < born)
        {
            replica.log.begin(Seq::FIRST);
        } else if is_past {
            let reported = posted.teller.is_some() && !replica.origin.is_heard();
            replica.log.pass(frame.seqs().last(), reported);
        }
        let held = replica.log.reorder().held_bytes();
        // A frame ahead of a hole that finds no room is fetched when it is its turn.
        let room = self.limits.log.max_held_bytes.saturating_sub(held);
        let room = self.budget.room_upto(room, Payer::Member(subject)) + held;
        replica.insert(frame, &member, is_past, room, arrival)
    }

    /// Says who it is that is charged for what this member posts.
    fn introduce(&self, member: &Member) {
        let (credential, process) = (member.credential(), member.sender());
        let payer = Payer::Member(credential.subject);
        self.budget.introduce(payer, process, || bounds::Owner {
            name: credential.name.clone(),
            region: credential.region.clone(),
            process,
        });
    }

    /// Charges a member with one more log, for which another may have to go; `false` if it may have
    /// no more. Follow with [`Self::follow`].
    pub(super) fn charge_log(
        &mut self,
        owner: Owner,
        tier: Tier,
        now: Time,
        out: &mut Effects,
    ) -> bool {
        let payer = Payer::Member(owner.subject);
        let is_charged = self.budget.try_charge(payer, LOG_BYTES);
        let has_room = is_charged && self.make_room(owner, tier, now, out);
        if is_charged && !has_room {
            self.budget.release(payer, LOG_BYTES);
        }
        self.refused.logs += u64::from(!has_room);
        has_room
    }

    /// Begins a log that was [charged](Self::charge_log).
    pub(super) fn follow(&mut self, key: &LogKey, owner: Owner, log: Log, tier: Tier) {
        let charged = Charged { owner, tier };
        self.lru.add(owner, tier, key);
        let change = self.changes.add(key);
        let id = self.by_peer.begin(key);
        let entry = LogEntry::new(id, Replica::new(log), Some(charged), change);
        self.logs.insert(key.clone(), entry);
    }

    /// A frame came of a log that others told of: from now on its own member has it, and is charged
    /// in place of who told. Nothing of it was held so far. `false` if the member may have no more:
    /// then the log is forgotten, and where it was before stays.
    fn prove(&mut self, key: &LogKey, owner: Owner, now: Time, out: &mut Effects) -> bool {
        let entry = self.logs.get_mut(key);
        let Some(Charged {
            owner: teller,
            tier,
        }) = entry.and_then(|entry| entry.charged.take())
        else {
            return false;
        };
        self.lru.remove(teller, tier, key);
        self.budget
            .release(Payer::Member(teller.subject), LOG_BYTES);
        let tier = Tier::Proven(now);
        let tombstone = self.tombstones.take(key);
        if !self.charge_log(owner, tier, now, out) {
            if let Some(tombstone) = tombstone {
                self.tombstones.remember(key, tombstone);
            }
            self.remove(key);
            return false;
        }
        if let Some(entry) = self.logs.get_mut(key) {
            entry.charged = Some(Charged { owner, tier });
            self.lru.add(owner, tier, key);
        }
        true
    }

    /// Forgets the log that has to go before one more of this owner is added. `false` if none may
    /// go.
    fn make_room(&mut self, owner: Owner, tier: Tier, now: Time, out: &mut Effects) -> bool {
        let other = match self.lru.room(&owner.subject, !tier.is_proven(), now) {
            Capacity::Free => return true,
            Capacity::None => return false,
            Capacity::AfterEvicting(other) => other.clone(),
        };
        let charged = self.logs.get(&other).and_then(|entry| entry.charged);
        let is_remembered = charged.filter(|it| it.tier.is_proven());
        let peers = &self.peers;
        let may_go = is_remembered.is_none_or(|it| {
            let is_connected = |sender| peers.contains(sender);
            self.tombstones
                .make_room(it.owner, owner.by, is_connected, now)
        });
        if may_go {
            self.forget(&other, out);
        }
        may_go
    }

    /// Takes from a log what is due, and writes down how it stands then.
    pub(super) fn advance(&mut self, key: &LogKey, now: Time, out: &mut Effects) {
        let Some(entry) = self.logs.get_mut(key) else {
            return;
        };
        let ((channel, sender), line) = (key, entry.line());
        if let Some(slow) = entry.replica.fetch.slow(now) {
            self.peers.was_late(slow, now);
        }
        let mut turn = Turn {
            limits: &self.limits.log,
            around: Context {
                peers: &self.peers,
                channel,
                sender: *sender,
                limits: self.limits.fetch,
                now,
                is_proven: line == Class::Proven,
            },
            jitter: &mut self.jitter,
        };
        let replica = &mut *entry.replica;
        let before = replica.log.reorder().next();
        let mut assembled = Vec::new();
        let want = replica.advance(&mut turn, &mut assembled);
        if replica.log.reorder().next() != before {
            if let Some(next) = replica.log.next() {
                replica.checkpoints.reached(next, now);
            }
            if replica.update_route(self.me, key, &self.peers, now) {
                out.advances.route_changed.insert(key.clone());
            }
        }
        let frontier = replica.frontier();
        if entry.reported != frontier {
            entry.reported = frontier;
            out.advances.advanced.insert(key.clone());
        }
        out.batches.extend(Batch::of(key, &replica.log, assembled));
        let due = match want {
            Want::Nothing => None,
            Want::Time(due) => Some(due),
            Want::Frames(peer, seqs) if self.peers.may_ask(peer, line == Class::Proven) => {
                self.peers.asked(peer, line == Class::Proven, now);
                self.requests += 1;
                let is_hedge = replica.fetch.asked(peer, seqs, self.requests, now);
                self.hedged += u64::from(is_hedge);
                let want = wire::Want {
                    channel: channel.clone(),
                    sender: *sender,
                    seqs,
                    request: self.requests,
                };
                out.wants.push((peer, want));
                replica.fetch.due(now)
            }
            Want::Frames(peer, _) => {
                entry.turn = Some(self.ask_queue.push(entry.turn, peer, line, key));
                // It is its turn when somebody answers. Or it looks for another by then: who it
                // waits for may be late. There may be thousands that are only reported.
                Some(
                    now + if line == Class::Proven {
                        2 * HEDGE
                    } else {
                        REQUEST_TIMEOUT
                    },
                )
            }
        };
        self.deadlines.set(key, due);
        let Some(Charged { owner, .. }) = entry.charged else {
            return;
        };
        let subject = owner.subject;
        let (was, is) = (entry.held, entry.replica.log.held_bytes());
        entry.held = is;
        self.quota.change(subject, key, was, is);
        let payer = Payer::Member(subject);
        if was < is {
            self.budget.charge(payer, is - was);
        } else if is < was {
            self.budget.release(payer, was - is);
        }
    }

    /// Lets logs that could not ask a peer try again, as long as it may be asked for more.
    pub(super) fn ask_on(&mut self, now: Time, out: &mut Effects) {
        let mut last = None;
        while let Some(peer) = self.ask_queue.peer_after(last) {
            last = Some(peer);
            for is_proven in [true, false] {
                for _ in 0..TRIES {
                    // A peer that is gone is asked for nothing: they turn to others.
                    if self.peers.contains(peer) && !self.peers.may_ask(peer, is_proven) {
                        break;
                    }
                    let next = match is_proven {
                        true => self.ask_queue.next_proven(peer),
                        false => self.ask_queue.next_reported(peer),
                    };
                    let Some(key) = next else { break };
                    if let Some(entry) = self.logs.get_mut(&key) {
                        entry.turn = None;
                    }
                    self.advance(&key, now, out);
                }
            }
        }
    }

    /// The log that gives up something, if anything has to go.
    fn sheds(&self) -> Option<&LogKey> {
        if self.quota.total() > self.limits.max_held_bytes {
            return self.quota.largest();
        }
        let takes = |subject| self.budget.statement(Payer::Member(subject)).used;
        self.budget
            .is_over()
            .then(|| self.quota.largest_by(takes))
            .flatten()
    }

    /// Makes members give up something of what waits until the rest fits: over the limit for what
    /// waits, the one that holds the most of it; over the budget, the one that takes the most of
    /// all that is charged.
    pub(super) fn shed(&mut self, now: Time, out: &mut Effects) {
        while let Some(key) = self.sheds().cloned()
            && let Some(entry) = self.logs.get_mut(&key)
        {
            let mut assembled = Vec::new();
            let log = &mut entry.replica.log;
            self.shed += u64::from(log.shed(&mut assembled));
            out.batches.extend(Batch::of(&key, log, assembled));
            self.advance(&key, now, out);
        }
    }

    /// Forgets a log but for where it was. The frames it holds are given out before. Of one that
    /// others only told of nothing came that could come again, and where it was is their word: that
    /// is not remembered, and a tombstone from before stays.
    pub(super) fn forget(&mut self, key: &LogKey, out: &mut Effects) {
        let Some(LogEntry {
            mut replica,
            charged: Some(Charged { owner, tier }),
            ..
        }) = self.remove(key)
        else {
            return;
        };
        let mut assembled = Vec::new();
        let log = &mut replica.log;
        log.finish(&self.limits.log, &mut assembled);
        let next = log.next();
        out.batches.extend(Batch::of(key, log, assembled));
        if let Some(next) = next.filter(|_| tier.is_proven()) {
            let tombstone = Tombstone { next, owner, tier };
            self.tombstones.remember(key, tombstone);
        }
    }

    pub(super) fn remove(&mut self, key: &LogKey) -> Option<LogEntry> {
        let entry = self.logs.remove(key)?;
        self.changes.remove(&key.0, entry.change);
        let asked = entry.replica.fetch.asking();
        asked.for_each(|peer| self.peers.answered(peer));
        if let Some(turn) = entry.turn {
            self.ask_queue.remove(turn);
        }
        if let Some(Charged { owner, tier }) = entry.charged {
            let subject = owner.subject;
            self.lru.remove(owner, tier, key);
            self.quota.change(subject, key, entry.held, 0);
            let payer = Payer::Member(subject);
            self.budget.release(payer, LOG_BYTES + entry.held);
        }
        self.by_peer.end(entry.id);
        let holders = entry.replica.fetch.holders();
        let claims = holders.listeners().map(|(peer, _)| peer);
        for peer in claims.chain(entry.replica.askers.iter().copied()) {
            self.release_claim(peer, entry.id);
        }
        self.deadlines.set(key, None);
        Some(entry)
    }
}

/// The number of logs that try at once to ask a peer that has room for three: most of them may have
/// turned to somebody else, or need nothing any more. The rest tries the next time.
const TRIES: usize = 64;
