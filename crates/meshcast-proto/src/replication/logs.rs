//! All logs of a node: one for each sender on each open channel, within limits that no member uses
//! up for the others.
//!
//! Two things can run out. Places: the log not heard of for longest goes, first among those of a
//! member that has its share. Bytes that wait: the member that holds the most gives up what it
//! needs last.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    sync::Arc,
};

use crate::{
    bounds::{Budget, CLAIM_BYTES, LOG_BYTES, Payer},
    conduct::Offence,
    identity::Member,
    log::{Assembled, Insert, Lru, MAX_TOMBSTONES, Quota, Tombstone, Tombstones},
    replication::{
        fetch::{Answer, Answered, FetchLimits, REQUEST_TIMEOUT, Surroundings},
        jitter::Jitter,
        log::{Log, LogLimits, Want},
        origin::Posted,
        peers::Peers,
        progress::Checked,
    },
    wire::{self, ChannelName, Frame, Holding, LogKey, Sender, Seq, SeqRange, Subject, Time},
};

#[derive(Debug)]
pub(crate) struct Logs {
    limits: LogsLimits,
    /// Who can be asked for what is missing.
    pub(crate) peers: Peers,
    jitter: Jitter,
    /// The number of the last request.
    requests: u64,
    logs: BTreeMap<LogKey, Entry>,
    /// When which log wants to be advanced although nothing came.
    deadlines: BTreeSet<(Time, LogKey)>,
    /// Logs that want to ask somebody who may not be asked for more at the moment.
    queue: VecDeque<LogKey>,
    lru: Lru,
    quota: Quota,
    tombstones: Tombstones,
    shed: u64,
    /// What logs hold, and who claims to have what of them, is charged to it.
    pub(crate) budget: Budget,
    pub(crate) refused: Refused,
    /// Logs that were looked at because a peer closed a channel.
    #[cfg(test)]
    pub(crate) looked_at: usize,
}

/// What found no room, so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Refused {
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

/// A log and what the books say of it.
#[derive(Debug)]
struct Entry {
    /// By itself: in a tree of such large entries a third would be room for more of them.
    log: Box<Log>,
    subject: Subject,
    /// When a frame came last.
    heard: Time,
    deadline: Option<Time>,
    /// In [`Logs::queue`].
    queued: bool,
    held: usize,
    /// How it stood when that was last given out as having moved.
    reported: Option<(Seq, Seq)>,
}

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) frame: Frame,
    pub(crate) member: Arc<Member>,
    pub(crate) posted: Posted,
    /// What was posted since then is to be heard.
    pub(crate) since: Option<Time>,
    /// If it was posted before that, the log begins above it.
    pub(crate) may_pass: bool,
}

/// What came out of logs.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) batches: Vec<Batch>,
    /// Whom to ask for what.
    pub(crate) wants: Vec<(Sender, wire::Want)>,
    /// The logs that got further.
    pub(crate) advanced: BTreeSet<LogKey>,
    /// The logs whose listeners got further, or are waited for no longer.
    pub(crate) acks_changed: BTreeSet<LogKey>,
    /// The logs to whose sender there is another way.
    pub(crate) route_changed: BTreeSet<LogKey>,
    /// What peers did that no honest one does.
    pub(crate) offences: BTreeSet<(Sender, Offence)>,
}

/// What an answer says besides its frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answering {
    /// Which request it answers.
    pub(crate) request: u64,
    /// All that is kept up to here is in it.
    pub(crate) upto: Seq,
    /// There were frames that this node does not take for a reason of its own.
    pub(crate) declined: bool,
}

/// What came out of a log at once, in order.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) channel: ChannelName,
    pub(crate) member: Arc<Member>,
    pub(crate) assembled: Vec<Assembled>,
}

impl Logs {
    pub(crate) fn new(limits: LogsLimits, budget: Budget, seed: u64) -> Self {
        Self {
            peers: Peers::new(budget.clone()),
            jitter: Jitter::new(seed),
            requests: 0,
            queue: VecDeque::new(),
            logs: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            lru: Lru::new(limits.max_logs),
            quota: Quota::default(),
            tombstones: Tombstones {
                entries: BTreeMap::new(),
                lru: Lru::new(MAX_TOMBSTONES),
                forgot: None,
                budget: budget.clone(),
            },
            shed: 0,
            budget,
            refused: Refused::default(),
            #[cfg(test)]
            looked_at: 0,
            limits,
        }
    }

    /// Takes in a frame of this member, whose log begins here if it has none.
    pub(crate) fn hear(&mut self, heard: Heard, now: Time, out: &mut Effects) -> Insert {
        let key = (heard.frame.channel().clone(), heard.frame.sender());
        let insert = self.take_in(&key, heard, now, out);
        self.advance(&key, now, out);
        self.shed(now, out);
        insert
    }

    /// Whether a peer was asked for frames of this log by that request, and has not answered.
    pub(crate) fn awaits(&self, peer: Sender, key: &LogKey, request: u64) -> bool {
        let log = self.get(key);
        log.is_some_and(|log| log.fetch.awaits(peer, request))
    }

    /// Takes in what a peer [answered](Self::awaits) to a request: frames of this log, all
    /// that it has up to `upto`. Returns those that brought something new, and when they were
    /// posted.
    pub(crate) fn answer(
        &mut self,
        peer: Sender,
        key: &LogKey,
        Answering {
            request,
            upto,
            declined,
        }: Answering,
        frames: Vec<Heard>,
        now: Time,
        out: &mut Effects,
    ) -> Vec<(Frame, Time)> {
        let mut fresh = Vec::new();
        let entry = self.logs.get_mut(key);
        let answered = entry.and_then(|entry| entry.log.fetch.handle_answer(peer, request));
        let asked = match answered {
            Some(Answered::InTime(asked)) => {
                self.peers.answered(peer);
                Some(asked)
            }
            Some(Answered::Late) => None,
            None => return fresh,
        };
        let heard = self.peers.heard(peer);
        let mut came: Option<SeqRange> = None;
        for heard in frames {
            // What was not asked for is no answer, but as good as any other frame.
            if let Some(seqs) = asked.and_then(|asked| heard.frame.seqs().overlap(asked)) {
                came = Some(came.map_or(seqs, |came| came.hull(seqs)));
            }
            let (frame, posted) = (heard.frame.clone(), heard.posted.at);
            if self.take_in(key, heard, now, out) == Insert::Fresh {
                fresh.push((frame, posted));
            }
        }
        if let Some(entry) = self.logs.get_mut(key) {
            let Log { reorder, fetch, .. } = &mut *entry.log;
            match asked {
                Some(asked) => {
                    // Others may have been faster.
                    let helped = !fresh.is_empty()
                        || reorder
                            .hole()
                            .is_none_or(|hole| hole.first() > asked.first());
                    let answer = Answer {
                        asked,
                        upto,
                        came,
                        helped,
                        declined,
                        heard,
                    };
                    if fetch.judge(peer, &answer, now) {
                        out.offences.insert((peer, Offence::FalseClaim));
                    }
                }
                None if !fresh.is_empty() => fetch.helped_late(peer),
                None => {}
            }
        }
        self.advance(key, now, out);
        self.shed(now, out);
        self.ask_on(now, out);
        fresh
    }

    /// Takes in what a peer says it has of a log.
    pub(crate) fn told(
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
        let holding = &holding;
        if !self.logs.contains_key(&key) {
            // Without a beginning there is nothing that this node lacks yet.
            if holding.due.is_none() && !self.tombstones.entries.contains_key(&key) {
                return;
            }
        }
        // Nothing changes before all of it is charged.
        let log = self.get(&key);
        let (is_new, is_news) = (
            log.is_none(),
            log.is_none_or(|log| !log.fetch.holders().contains(peer)),
        );
        if is_news && !self.charge_claim(peer) {
            self.refuse(peer, out);
            return;
        }
        if is_new {
            if !self.charge_log(*peer.key()) {
                self.release_claim(peer);
                self.refuse(peer, out);
                return;
            }
            let log = match self.tombstones.take(&key) {
                Some(next) => Log::resumed(next, now),
                None => Log::new(now),
            };
            self.follow(&key, *peer.key(), log, now, out);
        }
        let Some(entry) = self.logs.get_mut(&key) else {
            return;
        };
        match holding.due {
            Some(due) if peer == holding.sender => entry.log.begin(due),
            // Others may have come later than this node, and not know what was before.
            Some(due) => {
                let trusted = !self.peers.contains(holding.sender);
                entry.log.begin_later(due, holding, trusted, now);
            }
            None => {}
        }
        if peer == holding.sender {
            let newest = holding.next.previous();
            entry.log.heard_from_sender(newest, now);
        }
        let gate = |log: &Log| {
            log.fetch
                .holders()
                .gate(peer)
                .filter(|_| self.peers.listens(peer, channel))
        };
        let before = gate(&entry.log);
        let opening = self.peers.opening(peer, channel);
        let log = &mut *entry.log;
        log.fetch
            .handle_holding(peer, holding, opening, &log.checkpoints, now);
        let after = gate(&entry.log);
        // Most that tell of a log look elsewhere for it and gate nothing: all need not be looked
        // through for them.
        if before != after {
            let others = entry.log.lowest_but(peer, channel, &self.peers);
            let lowest = |gate: Option<Seq>| {
                others.map(|others| gate.map_or(others, |gate| gate.min(others)))
            };
            if lowest(before) != lowest(after) {
                out.acks_changed.insert(key.clone());
            }
        }
        if entry.log.update_route(holding.sender, &self.peers) {
            out.route_changed.insert(key.clone());
        }
        self.advance(&key, now, out);
    }

    /// A peer asks for what is not kept here. `true` if it is fetched for it now.
    pub(crate) fn relay(
        &mut self,
        peer: Sender,
        key: &LogKey,
        seqs: SeqRange,
        now: Time,
        out: &mut Effects,
    ) -> bool {
        let entry = self.logs.get_mut(key);
        let relays = entry.is_some_and(|entry| entry.log.relay(peer, seqs, now));
        if relays {
            self.advance(key, now, out);
        }
        relays
    }

    /// Somebody is to hear what was before on a channel: where logs begin stands from now on, as
    /// far as it can.
    pub(crate) fn fix_beginnings(&mut self, channel: &ChannelName) {
        for key in keys_of(&self.logs, channel) {
            if let Some(Entry { log, .. }) = self.logs.get_mut(&key) {
                log.fix_beginning(key.1);
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
            if let Some(Entry { log, .. }) = self.logs.get_mut(&key)
                && log.reorder.next().is_none()
                && (anyway || log.can_begin(key.1, &self.peers))
            {
                log.begin_anyway();
                self.advance(&key, now, out);
            }
        }
    }

    /// Numbers of a log are to be fetched from before what this node keeps.
    pub(crate) fn backfill(&mut self, key: &LogKey, seqs: SeqRange, now: Time, out: &mut Effects) {
        if let Some(entry) = self.logs.get_mut(key) {
            entry.log.fetch.backfill(seqs);
            self.advance(key, now, out);
        }
    }

    /// And are not any more.
    pub(crate) fn end_backfill(&mut self, key: &LogKey) {
        if let Some(entry) = self.logs.get_mut(key) {
            entry.log.fetch.end_backfill();
        }
    }

    /// A peer has told what it has of a channel: with the last that does, logs begin.
    pub(crate) fn all_told(
        &mut self,
        peer: Sender,
        channel: &ChannelName,
        now: Time,
        out: &mut Effects,
    ) {
        self.peers.told(peer, channel);
        let settling = of_channel(&self.logs, channel).filter(|(_, entry)| entry.log.is_settling());
        let settling: Vec<LogKey> = settling.map(|(key, _)| key.clone()).collect();
        settling.iter().for_each(|key| self.advance(key, now, out));
    }

    /// A peer is gone: what it had nobody has from it.
    pub(crate) fn handle_peer_down(&mut self, peer: Sender, now: Time, out: &mut Effects) {
        self.peers.remove(peer);
        let (mut missed, mut claims): (Vec<LogKey>, _) = (Vec::new(), 0);
        for (key, Entry { log, .. }) in &mut self.logs {
            if log.fetch.holders().gate(peer).is_some() {
                out.acks_changed.insert(key.clone());
            }
            claims += usize::from(log.fetch.holders().contains(peer));
            let gone = log.fetch.handle_gone(peer);
            // What others say of it counts from now on.
            let is_hearsay = log.member.is_none() && log.fetch.holders().is_empty();
            if gone || key.1 == peer || is_hearsay {
                missed.push(key.clone());
            }
            if log.upstream == Some(peer) && log.update_route(key.1, &self.peers) {
                out.route_changed.insert(key.clone());
            }
        }
        self.budget.release(Payer::from(peer), claims * CLAIM_BYTES);
        for key in &missed {
            let log = self.get(key);
            // Of what nobody who is there has ever heard of there is nothing to know.
            if log.is_some_and(|log| log.member.is_none() && log.fetch.holders().is_empty()) {
                self.remove(key);
            } else {
                self.advance(key, now, out);
            }
        }
        self.ask_on(now, out);
    }

    /// Charges a peer with one more claim to have something of a log; `false` if it may make no
    /// more.
    pub(crate) fn charge_claim(&mut self, peer: Sender) -> bool {
        let has_room = self.budget.try_charge(Payer::from(peer), CLAIM_BYTES);
        self.refused.claims += u64::from(!has_room);
        has_room
    }

    /// Gives back what a claim was [charged](Self::charge_claim) with.
    pub(crate) fn release_claim(&self, peer: Sender) {
        self.budget.release(Payer::from(peer), CLAIM_BYTES);
    }

    /// A peer found no room.
    fn refuse(&self, peer: Sender, out: &mut Effects) {
        if self.budget.is_greedy(Payer::from(peer)) {
            out.offences.insert((peer, Offence::OverLimit));
        }
    }

    /// A peer closed a channel: it is waited for no longer. Returns through how many logs was
    /// looked for those where it was.
    pub(crate) fn handle_channel_closed(
        &mut self,
        peer: Sender,
        channel: &ChannelName,
        out: &mut Effects,
    ) -> usize {
        let mut looked_at = 0;
        let gated = of_channel(&self.logs, channel)
            .inspect(|_| looked_at += 1)
            .filter(|(_, entry)| entry.log.fetch.holders().gate(peer).is_some())
            .map(|(key, _)| key.clone());
        out.acks_changed.extend(gated);
        #[cfg(test)]
        {
            self.looked_at += looked_at;
        }
        looked_at
    }

    /// Readers in this process fell behind with a channel.
    pub(crate) fn hold(&mut self, channel: &ChannelName) {
        for key in keys_of(&self.logs, channel) {
            if let Some(Entry { log, .. }) = self.logs.get_mut(&key) {
                log.held = log.reorder.next();
            }
        }
    }

    /// They caught up, or are waited for no longer.
    pub(crate) fn release(&mut self, channel: &ChannelName, out: &mut Effects) {
        for key in keys_of(&self.logs, channel) {
            if let Some(Entry { log, .. }) = self.logs.get_mut(&key)
                && log.held.take().is_some()
            {
                out.acks_changed.insert(key);
            }
        }
    }

    /// Checks again who keeps up with a log.
    pub(crate) fn check_listeners(
        &mut self,
        key: &LogKey,
        now: Time,
        out: &mut Effects,
    ) -> Option<Checked> {
        let (channel, sender) = key;
        let Entry { log, .. } = self.logs.get_mut(key)?;
        let next = log.next()?;
        let lowest = log.lowest(channel, &self.peers);
        let Log {
            fetch, checkpoints, ..
        } = &mut **log;
        let (peers, listeners) = (&self.peers, fetch.listeners_mut());
        // The sender has all that it posted, whatever it says.
        let listens = |peer| peer != *sender && peers.listens(peer, channel);
        let checked = peers.check(listeners, listens, checkpoints, next, now);
        if log.lowest(channel, &self.peers) != lowest {
            out.acks_changed.insert(key.clone());
        }
        Some(checked)
    }

    /// Advances every log that wants to be.
    pub(crate) fn handle_timeout(&mut self, now: Time, out: &mut Effects) {
        while let Some((due, key)) = self.deadlines.first().cloned()
            && due <= now
        {
            if let Some(entry) = self.logs.get_mut(&key)
                && let Some(late) = entry.log.fetch.expire(&self.peers, now)
            {
                self.peers.answered(late.peer);
                if late.is_false_claim {
                    out.offences.insert((late.peer, Offence::FalseClaim));
                }
            }
            self.advance(&key, now, out);
        }
        self.ask_on(now, out);
    }

    /// Forgets the logs of a channel, and where those were that it had before.
    pub(crate) fn close(&mut self, channel: &ChannelName) {
        for key in keys_of(&self.logs, channel) {
            self.remove(&key);
        }
        for key in keys_of(&self.tombstones.entries, channel) {
            self.tombstones.take(&key);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// Whether a frame of this log was heard, as far as that is remembered.
    pub(crate) fn has_heard(&self, key: &LogKey) -> bool {
        self.get(key).is_some_and(|log| log.member.is_some())
            || self.tombstones.entries.contains_key(key)
    }

    /// One log.
    pub(crate) fn get(&self, key: &LogKey) -> Option<&Log> {
        self.logs.get(key).map(|entry| &*entry.log)
    }

    /// The logs of a channel.
    pub(crate) fn of(&self, channel: &ChannelName) -> impl Iterator<Item = (Sender, &Log)> {
        of_channel(&self.logs, channel).map(|((_, sender), entry)| (*sender, &*entry.log))
    }

    /// The senders of a channel, behind this one.
    pub(crate) fn after(
        &self,
        channel: &ChannelName,
        sender: Option<Sender>,
    ) -> impl Iterator<Item = Sender> {
        let from = match sender {
            Some(sender) => Bound::Excluded((channel.clone(), sender)),
            None => Bound::Included((channel.clone(), Sender::new([0; 32]))),
        };
        let behind = self.logs.range((from, Bound::Unbounded));
        let channel = channel.clone();
        let own = behind.take_while(move |((name, _), _)| *name == channel);
        own.map(|((_, sender), _)| *sender)
    }

    /// How many frames were dropped after they had found room.
    pub(crate) const fn shed_frames(&self) -> u64 {
        self.shed
    }
}

impl Batch {
    fn of((channel, _): &LogKey, log: &Log, assembled: Vec<Assembled>) -> Option<Self> {
        let member = log.member.clone().filter(|_| !assembled.is_empty())?;
        Some(Self {
            channel: channel.clone(),
            member,
            assembled,
        })
    }
}

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

#[cfg(test)]
mod audit;
#[cfg(test)]
mod tests;
