//! All logs of a node: one for each sender on each open channel, within limits that no member uses
//! up for the others. [Ours](ours) take none of the room of others, and are never forgotten for
//! want of it.
//!
//! Two things can run out. Places: the log not heard of for longest goes, first among those of a
//! member that has its share. Bytes that wait: the member that holds the most gives up what it
//! needs last.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    bounds::{Budget, Deadlines},
    conduct::Offence,
    identity::{CLOCK_SKEW, Member},
    log::{Arrival, Insert, LogLimits, Lru, MAX_TOMBSTONES, Owner, Quota, Tier, Tombstones},
    replication::{
        fetch::FetchLimits, jitter::Jitter, origin::Posted, peers::Peers, replica::Replica,
    },
    wire::{ChannelName, Frame, LogKey, Sender, Seq, SeqRange, Subject, Time},
};

pub(crate) use self::{
    answering::Answering,
    effects::{Acked, Advances, Batch, Effects},
};
use self::{
    ask_queue::{AskQueue, Class, Turn},
    by_peer::{ByPeer, Departures, LogId},
    changes::Changes,
    refusals::Refusals,
};

#[derive(Debug)]
pub(crate) struct Logs {
    /// Who posts here.
    me: Sender,
    limits: LogsLimits,
    /// The peers that can be asked for missing numbers.
    pub(crate) peers: Peers,
    jitter: Jitter,
    /// The number of the last request.
    requests: u64,
    logs: BTreeMap<LogKey, LogEntry>,
    /// Who has to do with which.
    by_peer: ByPeer,
    departures: Departures,
    /// When which log wants to be advanced although nothing came.
    deadlines: Deadlines<LogKey>,
    /// Logs that want to ask somebody who may not be asked for more at the moment.
    ask_queue: AskQueue,
    /// Requests that were made beside a slow one.
    pub(crate) hedged: u64,
    changes: Changes,
    lru: Lru,
    quota: Quota,
    tombstones: Tombstones,
    shed: u64,
    /// The memory of logs, and of claims on them, is charged to it.
    pub(crate) budget: Budget,
    pub(crate) refused: RefusedCounts,
    refusals: Refusals,
    /// Logs that were looked at because a peer closed a channel or went.
    #[cfg(test)]
    pub(crate) looked_at: usize,
}

/// What found no room, so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RefusedCounts {
    pub(crate) logs: u64,
    pub(crate) claims: u64,
}

/// The limits of all logs together; see [`Config`](crate::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogsLimits {
    pub(crate) log: LogLimits,
    pub(crate) fetch: FetchLimits,
    pub(crate) max_logs: usize,
    pub(crate) max_held_bytes: usize,
}

/// A log, and what is noted of it.
#[derive(Debug)]
struct LogEntry {
    id: LogId,
    /// By itself: in a tree of such large entries a third would be room for more of them.
    replica: Box<Replica>,
    /// Who is charged for it; nobody for a log of ours.
    charged: Option<Charged>,
    /// Where it waits in [`Logs::ask_queue`].
    turn: Option<Turn>,
    /// Its last change in [`Logs::changes`].
    change: u64,
    held: usize,
    /// Its position when that was last given out as having moved.
    reported: Option<(Seq, Seq)>,
}

/// The payer for a log of another, and where it stands in the [LRU](Lru).
#[derive(Debug, Clone, Copy)]
struct Charged {
    owner: Owner,
    tier: Tier,
}

/// A frame that came.
#[derive(Debug)]
pub(crate) struct ReceivedFrame {
    pub(crate) frame: Frame,
    pub(crate) member: Arc<Member>,
    pub(crate) arrival: Arrival,
    pub(crate) posted: Posted,
    /// Posts since then are to be heard.
    pub(crate) since: Option<Time>,
    /// If it was posted before that, the log begins above it.
    pub(crate) may_pass: bool,
}

impl Logs {
    pub(crate) fn new(me: Sender, limits: LogsLimits, budget: Budget, seed: u64) -> Self {
        let replay = limits.fetch.retention.saturating_add(2 * CLOCK_SKEW);
        Self {
            me,
            peers: Peers::new(budget.clone()),
            jitter: Jitter::new(seed),
            requests: 0,
            ask_queue: AskQueue::default(),
            hedged: 0,
            changes: Changes::default(),
            logs: BTreeMap::new(),
            by_peer: ByPeer::default(),
            departures: Departures::default(),
            deadlines: Deadlines::default(),
            lru: Lru::new(limits.max_logs, replay),
            quota: Quota::default(),
            tombstones: Tombstones {
                entries: BTreeMap::new(),
                lru: Lru::new(MAX_TOMBSTONES, replay),
                forgot: None,
                budget: budget.clone(),
            },
            shed: 0,
            budget,
            refused: RefusedCounts::default(),
            refusals: Refusals::default(),
            #[cfg(test)]
            looked_at: 0,
            limits,
        }
    }

    /// Takes in a frame of this member, whose log begins here if it has none.
    pub(crate) fn hear(&mut self, heard: ReceivedFrame, now: Time, out: &mut Effects) -> Insert {
        let key = (heard.frame.channel().clone(), heard.frame.sender());
        let from = heard.arrival.from;
        let insert = self.take_in(&key, heard, now, out);
        // Also what there was no room for was handed on.
        if matches!(insert, Insert::Fresh | Insert::NoRoom)
            && let Some(LogEntry { replica, .. }) = self.logs.get_mut(&key)
        {
            replica.handed_on(from);
        }
        self.advance(&key, now, out);
        self.shed(now, out);
        insert
    }

    /// A peer asks for what is not kept here. `true` if it is fetched for it now. That it asks is
    /// remembered, so it is charged like what it tells.
    pub(crate) fn relay(
        &mut self,
        peer: Sender,
        key: &LogKey,
        seqs: SeqRange,
        now: Time,
        out: &mut Effects,
    ) -> bool {
        let Some(log) = self.logs.get(key).map(|entry| entry.id) else {
            return false;
        };
        if !self.by_peer.is_involved(peer, log) && !self.charge_claim(peer) {
            return false;
        }
        self.by_peer.involve(peer, log);
        let relays = self.logs.get_mut(key).is_some_and(|entry| {
            entry.replica.askers.insert(peer);
            entry.replica.relay(peer, seqs, now)
        });
        if relays {
            self.advance(key, now, out);
        }
        relays
    }

    /// Somebody is to hear what was before on a channel: where logs begin stands from now on, as
    /// far as it can.
    pub(crate) fn fix_beginnings(&mut self, channel: &ChannelName) {
        for key in keys_of(&self.logs, channel) {
            if let Some(LogEntry { replica, .. }) = self.logs.get_mut(&key) {
                replica.fix_beginning(key.1);
            }
        }
    }

    /// Somebody waits for the logs of a channel to begin, and everybody who is there has told what
    /// they have: those begin of which it is not known for sure where. With `anyway`, all begin
    /// that can.
    pub(crate) fn begin(
        &mut self,
        channel: &ChannelName,
        anyway: bool,
        now: Time,
        out: &mut Effects,
    ) {
        for key in keys_of(&self.logs, channel) {
            if let Some(LogEntry { replica, .. }) = self.logs.get_mut(&key)
                && replica.log.begun().is_none()
                && (anyway || replica.can_begin(key.1, &self.peers))
            {
                replica.log.begin_anyway();
                self.advance(&key, now, out);
            }
        }
    }

    /// Numbers of a log are to be fetched from before what this node keeps.
    pub(crate) fn backfill(&mut self, key: &LogKey, seqs: SeqRange, now: Time, out: &mut Effects) {
        if let Some(entry) = self.logs.get_mut(key) {
            entry.replica.fetch.backfill(seqs);
            self.advance(key, now, out);
        }
    }

    /// And are not any more.
    pub(crate) fn end_backfill(&mut self, key: &LogKey) {
        if let Some(entry) = self.logs.get_mut(key) {
            entry.replica.fetch.end_backfill();
        }
    }

    /// A peer is connected.
    pub(crate) fn handle_peer_up(&mut self, peer: Sender, now: Time, out: &mut Effects) {
        // Its earlier claims do not count for its new session.
        self.departures.bring_forward(peer);
        while self.departures.contains(peer) {
            self.look_after_departed(now, out);
        }
        self.peers.add(peer, now);
    }

    /// A peer is gone: what it had nobody has from it.
    pub(crate) fn handle_peer_down(&mut self, peer: Sender, now: Time, out: &mut Effects) {
        self.peers.remove(peer);
        self.departures.begin(peer, now);
        self.look_after_departed(now, out);
        self.ask_on(now, out);
    }

    /// Looks at some of the logs that peers had to do with that are gone.
    fn look_after_departed(&mut self, now: Time, out: &mut Effects) {
        let mut missed = Vec::new();
        for _ in 0..LOOKS {
            let Some((peer, log, key)) = self.departures.next(&self.by_peer) else {
                break;
            };
            self.release_claim(peer, log);
            #[cfg(test)]
            {
                self.looked_at += 1;
            }
            let Some(LogEntry { replica, .. }) = self.logs.get_mut(&key) else {
                continue;
            };
            if replica.fetch.holders().gate(peer).is_some() {
                out.advances.acks_changed.insert(key.clone());
            }
            replica.askers.remove(&peer);
            let gone = replica.fetch.handle_gone(peer);
            if replica.upstream == Some(peer)
                && replica.update_route(self.me, &key, &self.peers, now)
            {
                out.advances.route_changed.insert(key.clone());
            }
            // What others say of it counts from now on.
            if gone || key.1 == peer || replica.is_reported_by_nobody() {
                missed.push(key);
            }
        }
        for key in missed {
            // There is nothing to know of a log that nobody who is there has ever heard of.
            if self.get(&key).is_some_and(Replica::is_reported_by_nobody) {
                self.remove(&key);
            } else {
                self.advance(&key, now, out);
            }
        }
    }

    /// Advances logs that want to be: so many at a time, the rest in the next call.
    pub(crate) fn handle_timeout(&mut self, now: Time, out: &mut Effects) {
        self.look_after_departed(now, out);
        for _ in 0..LOOKS {
            let Some(key) = self.deadlines.take_due(now) else {
                break;
            };
            while let Some(entry) = self.logs.get_mut(&key)
                && let Some(late) = entry.replica.fetch.expire(&self.peers, now)
            {
                self.peers.answered(late.peer);
                self.peers.was_late(late.peer, now);
                if late.is_false_claim {
                    out.offences.insert((late.peer, Offence::FalseClaim));
                }
            }
            self.advance(&key, now, out);
        }
        self.ask_on(now, out);
    }

    /// Forgets the logs of a channel but ours, and where those were that it had before.
    pub(crate) fn close(&mut self, channel: &ChannelName) {
        for key in keys_of(&self.logs, channel) {
            if key.1 != self.me {
                self.remove(&key);
            }
        }
        for key in keys_of(&self.tombstones.entries, channel) {
            self.tombstones.take(&key);
        }
        self.refusals.close(channel);
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let due = [self.deadlines.first(), self.departures.since()];
        due.into_iter().flatten().min()
    }

    /// Who posts here.
    pub(crate) const fn me(&self) -> Sender {
        self.me
    }

    /// Whether a frame of this log was heard, as far as that is remembered.
    pub(crate) fn has_heard(&self, key: &LogKey) -> bool {
        self.is_proven(key) || self.tombstones.entries.contains_key(key)
    }

    /// Whether a frame of a log came that is followed. Otherwise others only say that there is it.
    pub(crate) fn is_proven(&self, key: &LogKey) -> bool {
        let replica = self.get(key);
        replica.is_some_and(|replica| replica.log.member().is_some())
    }

    /// One log.
    pub(crate) fn get(&self, key: &LogKey) -> Option<&Replica> {
        self.logs.get(key).map(|entry| &*entry.replica)
    }

    /// The logs of a channel.
    pub(crate) fn of(&self, channel: &ChannelName) -> impl Iterator<Item = (Sender, &Replica)> {
        of_channel(&self.logs, channel).map(|((_, sender), entry)| (*sender, &*entry.replica))
    }

    /// The same without ours.
    pub(crate) fn of_others(
        &self,
        channel: &ChannelName,
    ) -> impl Iterator<Item = (Sender, &Replica)> {
        self.of(channel).filter(|(_, replica)| !replica.is_ours())
    }

    /// These logs changed, as peers see them.
    pub(crate) fn touch<'a>(&mut self, keys: impl IntoIterator<Item = &'a LogKey>) {
        for key in keys {
            if let Some(entry) = self.logs.get_mut(key) {
                self.changes.remove(&key.0, entry.change);
                entry.change = self.changes.add(key);
            }
        }
    }

    /// The number of the last change of a log.
    pub(crate) fn change(&self, key: &LogKey) -> Option<u64> {
        self.logs.get(key).map(|entry| entry.change)
    }

    /// The senders of a channel whose logs changed behind that change, each with its own.
    pub(crate) fn changed_after(
        &self,
        channel: &ChannelName,
        change: u64,
    ) -> impl Iterator<Item = (u64, Sender)> {
        self.changes.after(channel, change)
    }

    /// The number of frames dropped after they had found room.
    pub(crate) const fn shed_frames(&self) -> u64 {
        self.shed
    }
}

impl LogEntry {
    fn new(id: LogId, replica: Replica, charged: Option<Charged>, change: u64) -> Self {
        Self {
            id,
            replica: Box::new(replica),
            charged,
            turn: None,
            change,
            held: 0,
            reported: None,
        }
    }

    /// In which line it waits to ask somebody.
    const fn line(&self) -> Class {
        match self.charged {
            Some(Charged { owner, tier }) if !tier.is_proven() => Class::Reported(owner.subject),
            _ => Class::Proven,
        }
    }
}

/// The number of logs that are looked at in one call because a peer is gone, and because it is time
/// to: some milliseconds of work. A member may have told of thousands, and messages of others do
/// not wait until all were looked at. The rest is due at once.
const LOOKS: usize = 256;

fn subject(member: &Member) -> Subject {
    member.credential().subject
}

fn of_channel<'a, T>(
    map: &'a BTreeMap<LogKey, T>,
    channel: &ChannelName,
) -> impl Iterator<Item = (&'a LogKey, &'a T)> {
    let lowest = (channel.clone(), Sender::new([0; 32]));
    map.range(lowest.clone()..)
        .take_while(move |((name, _), _)| *name == lowest.0)
}

fn keys_of<T>(map: &BTreeMap<LogKey, T>, channel: &ChannelName) -> Vec<LogKey> {
    of_channel(map, channel)
        .map(|(key, _)| key.clone())
        .collect()
}

mod advancing;
mod answering;
mod ask_queue;
mod by_peer;
mod changes;
mod effects;
mod holdings;
mod listeners;
mod ours;
mod refusals;

#[cfg(test)]
mod audit;
#[cfg(test)]
mod tests;
