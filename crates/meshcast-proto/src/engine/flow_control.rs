//! Holds up posts: a channel has no more in flight than the peers that keep up can take.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::RangeInclusive,
};

use super::{Channel, Engine, Output, handover::Unacked};
use crate::{
    flow_control::{
        Checkpoints, Checks, InFlight, Load, Progress, READERS_LAG, SPACING, STALL, window_bounds,
    },
    replication::{Checked, Effects, Logs},
    wire::{ChannelName, Holding, LogKey, Sender, Seq, SeqRange, Time},
};

/// What all channels have in flight together, and who waits for it to arrive.
#[derive(Debug)]
pub(super) struct FlowControl {
    /// How many bytes one channel may have in flight.
    bounds: RangeInclusive<usize>,
    /// How many bytes all channels together may have in flight at least.
    all_bytes: usize,
    load: Load,
    /// Channels with room in their own window that wait for room among all channels.
    waiting: VecDeque<ChannelName>,
    /// Logs in which a listener was behind when last checked, or that advanced since.
    unsettled: Checks<LogKey>,
    /// Who lags in which log, and how much of it they lack.
    lags: BTreeMap<LogKey, Vec<(Sender, u64)>>,
    /// Peers that gossip should skip for it.
    lagging: BTreeSet<Sender>,
    /// Channels whose readers in this process are behind, and since when.
    readers_behind: BTreeMap<ChannelName, Time>,
    /// When these are checked next.
    readers_due: Option<Time>,
    /// How often a peer acknowledged what was posted here.
    acks: u64,
    /// Which numbers posted here one more peer has, until [`Engine::poll_acked`] says so.
    acked: BTreeMap<ChannelName, SeqRange>,
}

/// What one channel of ours has in flight, and to whom.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// The peers that told how much they have of what was posted here.
    pub(super) listeners: BTreeMap<Sender, Progress>,
    checkpoints: Checkpoints,
    in_flight: InFlight,
    gate: Gate,
    pub(super) unacked: Unacked,
}

/// Whether somebody waits for room on a channel.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    /// Waits until what this channel has in flight has arrived.
    Full,
    /// Waits in [`FlowControl::waiting`] for room among all channels.
    Waiting,
}

impl FlowControl {
    pub(super) fn new(history_bytes: usize) -> Self {
        Self {
            bounds: window_bounds(history_bytes),
            all_bytes: ALL_BYTES.min(history_bytes / 4),
            load: Load::default(),
            waiting: VecDeque::new(),
            unsettled: Checks::default(),
            lags: BTreeMap::new(),
            lagging: BTreeSet::new(),
            readers_behind: BTreeMap::new(),
            readers_due: None,
            acks: 0,
            acked: BTreeMap::new(),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let parts = [self.unsettled.first(), self.readers_due];
        parts.into_iter().flatten().min()
    }

    /// A peer is gone. Returns whether it lagged.
    pub(super) fn forget(&mut self, peer: Sender) -> bool {
        self.lags.retain(|_, peers| {
            peers.retain(|(lagging, _)| *lagging != peer);
            !peers.is_empty()
        });
        self.lagging.remove(&peer)
    }

    /// Sets who lags in a log. Returns whether that changed.
    fn set_lags(&mut self, key: LogKey, peers: Vec<(Sender, u64)>) -> bool {
        let before = if peers.is_empty() {
            self.lags.remove(&key)
        } else {
            self.lags.insert(key.clone(), peers)
        };
        before.as_ref() != self.lags.get(&key)
    }

    /// Whether this channel has room within the limit for all channels. A channel whose own window
    /// is larger than that limit may fill its window.
    fn has_room(&self, in_flight: &InFlight) -> bool {
        let bytes = self.all_bytes.max(in_flight.window(&self.bounds));
        self.load.frames < ALL_FRAMES && self.load.bytes <= bytes
    }

    /// A log advanced: peers that do not follow within [`STALL`] may lag.
    fn watch(&mut self, key: LogKey, now: Time) {
        self.unsettled.by(key, now + STALL);
    }
}

impl Engine {
    /// Whether a frame may be posted on a channel now. If not, an [`Output::Writable`] will follow.
    /// Posting nevertheless overruns queues on the way, and peers then have to fetch what was
    /// dropped.
    pub fn may_post(&mut self, channel: &ChannelName) -> bool {
        let own = self.channels.get_mut(channel);
        let Some(outbound) = own.and_then(|own| own.outbound.as_mut()) else {
            return true;
        };
        if outbound.gate == Gate::Open {
            if !outbound.in_flight.has_room(&self.flow.bounds) {
                outbound.gate = Gate::Full;
            } else if !self.flow.has_room(&outbound.in_flight) {
                outbound.gate = Gate::Waiting;
                self.flow.waiting.push_back(channel.clone());
            }
        }
        outbound.gate == Gate::Open
    }

    /// How many peers have a number posted here, by their own word. Only peers count that had the
    /// channel open when it was posted. `None` once the number is no longer kept: a peer whose
    /// acknowledgement passes it may have given it up.
    pub fn acked(&self, channel: &ChannelName, seq: Seq) -> Option<usize> {
        let own = self.channels.get(channel)?;
        let seqs = SeqRange::single(seq);
        let kept = self
            .history
            .frames(channel, self.me.sender(), seqs)
            .next()?;
        let has = |(peer, listener): &(&Sender, &Progress)| {
            let wanted = self.logs.peers.wanted(**peer, channel);
            listener.next() > seq && wanted.is_some_and(|wanted| wanted.since <= kept.posted)
        };
        Some(own.outbound.as_ref()?.listeners.iter().filter(has).count())
    }

    /// The numbers posted here for which [`Self::acked`] may have grown since this was last called:
    /// one range for each channel.
    pub fn poll_acked(&mut self) -> Option<(ChannelName, SeqRange)> {
        self.flow.acked.pop_first()
    }

    /// Grows whenever [`Self::acked`] may have grown.
    pub const fn acks(&self) -> u64 {
        self.flow.acks
    }

    /// Readers in this process fell behind on a channel (`true`), or caught up. While they are
    /// behind this node acknowledges nothing more, which holds up senders, for half a second at
    /// most. Slower readers hold up nobody.
    pub fn handle_readers_behind(&mut self, channel: &ChannelName, behind: bool, now: Time) {
        self.debug_assert_drained();
        if behind && !self.flow.readers_behind.contains_key(channel) {
            self.flow.readers_behind.insert(channel.clone(), now);
            self.flow.readers_due.get_or_insert(now + SPACING);
            self.logs.hold(channel);
        } else if !behind && self.flow.readers_behind.remove(channel).is_some() {
            self.release(channel, now);
        }
    }

    fn release(&mut self, channel: &ChannelName, now: Time) {
        let mut effects = Effects::default();
        self.logs.release(channel, &mut effects);
        self.take_effect(effects, now);
    }

    /// Something was posted.
    pub(super) fn sent(&mut self, name: &ChannelName, seqs: SeqRange, len: usize, now: Time) {
        if let Some(Channel { outbound, .. }) = self.channels.get_mut(name) {
            let outbound = outbound.get_or_insert_default();
            let last = seqs.last();
            outbound.unacked.add(seqs);
            outbound.checkpoints.reached(last.next(), now);
            self.flow.load.add(outbound.in_flight.sent(last, len, now));
            self.flow.watch((name.clone(), self.me.sender()), now);
            self.update_window(name, now);
        }
    }

    /// A peer told how much it has of what was posted here. `false` if it claims more than was
    /// posted; then all of that counts.
    pub(super) fn acknowledged(
        &mut self,
        peer: Sender,
        name: &ChannelName,
        holding: &Holding,
        now: Time,
    ) -> bool {
        let Some(Channel {
            outbound,
            next: own,
            ..
        }) = self.channels.get_mut(name)
        else {
            return true;
        };
        let own = *own;
        self.flow.acks += 1;
        let knows = outbound
            .as_ref()
            .is_some_and(|outbound| outbound.listeners.contains_key(&peer));
        if !knows && !self.logs.charge_claim(peer) {
            return holding.next <= own;
        }
        let Outbound {
            listeners,
            checkpoints,
            ..
        } = &mut **outbound.get_or_insert_default();
        // A peer cannot take back an acknowledgement.
        let told = |known: Seq| holding.next.min(own).max(known);
        let (next, lowest) = (
            holding.next.min(own),
            holding.lowest.map(|lowest| lowest.min(own)),
        );
        let known = listeners.get(&peer).map_or(Seq::FIRST, Progress::next);
        if let Some(last) = next.previous()
            && let Some(news) = SeqRange::new(known, last)
        {
            let acked = &mut self.flow.acked;
            match acked.get_mut(name) {
                Some(acked) => *acked = acked.hull(news),
                None => drop(acked.insert(name.clone(), news)),
            }
        }
        listeners
            .entry(peer)
            .and_modify(|listener| listener.told(told(listener.next()), lowest, checkpoints, now))
            .or_insert_with(|| Progress::new(next, lowest, checkpoints, now));
        self.has_below(peer, name, next);
        self.update_window(name, now);
        holding.next <= own
    }

    /// A peer is gone or starts anew: nobody waits for it any longer.
    pub(super) fn unlisten(&mut self, peer: Sender, name: &ChannelName, now: Time) {
        if let Some(Channel { outbound, .. }) = self.channels.get_mut(name)
            && let Some(outbound) = outbound
            && outbound.listeners.remove(&peer).is_some()
        {
            self.logs.release_claim(peer);
            self.update_window(name, now);
        }
    }

    /// Logs advanced, their listeners acknowledged more, or the way to their senders changed: peers
    /// are told.
    pub(super) fn report(
        &mut self,
        advanced: BTreeSet<LogKey>,
        acks_changed: BTreeSet<LogKey>,
        route_changed: BTreeSet<LogKey>,
        now: Time,
    ) {
        let upstream = |logs: &Logs, key: &LogKey| logs.get(key).and_then(|log| log.upstream);
        for key in acks_changed {
            if let Some(upstream) = upstream(&self.logs, &key) {
                self.telling.digest.hand_on(upstream, &key, now);
            }
        }
        for key in route_changed {
            self.telling.digest.changed(key, now);
        }
        for key in advanced {
            if let Some(upstream) = upstream(&self.logs, &key) {
                self.telling.digest.progress(upstream, &key, now);
            }
            self.telling.digest.changed(key.clone(), now);
            self.flow.watch(key, now);
        }
    }

    /// Checks again who keeps up.
    pub(super) fn check_progress(&mut self, now: Time) {
        if self.flow.readers_due.take_if(|due| *due <= now).is_some() {
            self.check_readers(now);
        }
        let (mut changed, mut effects) = (false, Effects::default());
        while let Some(key) = self.flow.unsettled.take_due(now) {
            let checked = if key.1 == self.me.sender() {
                self.check_outbound(&key.0, now)
            } else {
                self.logs.check_listeners(&key, now, &mut effects)
            };
            let Checked { lagging, again } = checked.unwrap_or_default();
            if let Some(again) = again {
                // Always later than now, or this loop would not end.
                self.flow
                    .unsettled
                    .by(key.clone(), again.max(now + SPACING));
            }
            changed |= self.flow.set_lags(key, lagging);
        }
        if changed {
            self.report_laggards();
        }
        self.take_effect(effects, now);
    }

    /// Reports which peers gossip should skip, and which no longer. A peer that lacks a few frames
    /// on some channel is not skipped: that costs less than skipping it on all channels. Once
    /// skipped, it has to catch up completely.
    fn report_laggards(&mut self) {
        let mut lacks = BTreeMap::<Sender, (u64, u64)>::new();
        for (peer, lacking) in self.flow.lags.values().flatten() {
            let (most, all) = lacks.entry(*peer).or_default();
            (*most, *all) = (lacking.max(most).to_owned(), lacking.saturating_add(*all));
        }
        let is_much = |(most, all): (u64, u64)| most >= LACKS_OF_ONE || all >= LACKS_OF_ALL;
        let lagging = lacks
            .into_iter()
            .filter(|(peer, lacks)| is_much(*lacks) || self.flow.lagging.contains(peer));
        let lagging = lagging.map(|(peer, _)| peer).collect();
        let before = std::mem::replace(&mut self.flow.lagging, lagging);
        for (peers, lags) in [(&before, false), (&self.flow.lagging, true)] {
            let other = if lags { &before } else { &self.flow.lagging };
            let changed = peers.difference(other);
            self.outputs
                .extend(changed.map(|peer| Output::Lagging { peer: *peer, lags }));
        }
    }

    /// Stops waiting for readers that have been behind for too long.
    fn check_readers(&mut self, now: Time) {
        let late = |(name, since): (&ChannelName, &Time)| {
            (*since + READERS_LAG <= now).then(|| name.clone())
        };
        let late: Vec<ChannelName> = self.flow.readers_behind.iter().filter_map(late).collect();
        for channel in late {
            self.flow.readers_behind.remove(&channel);
            self.release(&channel, now);
        }
        if !self.flow.readers_behind.is_empty() {
            self.flow.readers_due.get_or_insert(now + SPACING);
        }
    }

    /// Checks again who keeps up with what is posted here.
    fn check_outbound(&mut self, name: &ChannelName, now: Time) -> Option<Checked> {
        let Channel { outbound, next, .. } = self.channels.get_mut(name)?;
        let (outbound, peers) = (&mut **outbound.as_mut()?, &self.logs.peers);
        let listeners = outbound.listeners.iter_mut();
        let listeners = listeners.map(|(peer, listener)| (*peer, listener));
        let listens = |peer| peers.listens(peer, name);
        let checked = peers.check(listeners, listens, &outbound.checkpoints, *next, now);
        self.update_window(name, now);
        Some(checked)
    }

    /// Removes from flight what has arrived at everybody who is waited for, and tells those who
    /// wait for room.
    pub(super) fn update_window(&mut self, name: &ChannelName, now: Time) {
        let Some(Channel { outbound, next, .. }) = self.channels.get_mut(name) else {
            return;
        };
        let Some(outbound) = outbound.as_deref_mut() else {
            return;
        };
        let listening = outbound
            .listeners
            .iter()
            .filter(|(peer, _)| self.logs.peers.listens(**peer, name));
        let lowest = listening.filter_map(|(_, listener)| listener.gate()).min();
        let arrived = outbound
            .in_flight
            .arrived(lowest.unwrap_or(*next), lowest.is_some(), now);
        self.flow.load.remove(arrived);
        if outbound.gate == Gate::Full && outbound.in_flight.has_room(&self.flow.bounds) {
            outbound.gate = Gate::Waiting;
            self.flow.waiting.push_back(name.clone());
        }
        self.grant_places();
    }

    /// A channel is forgotten: it has nothing in flight any more, and no listeners.
    pub(super) fn end_outbound(&mut self, outbound: &Outbound) {
        self.flow.load.remove(outbound.in_flight.load());
        outbound
            .listeners
            .keys()
            .for_each(|peer| self.logs.release_claim(*peer));
        self.grant_places();
    }

    /// Tells channels that wait for room among all channels.
    fn grant_places(&mut self) {
        // Each channel that is told takes a place. With nothing in flight all are told, since
        // nothing would tell the others later.
        let mut places = match self.flow.load.frames {
            0 => usize::MAX,
            frames => ALL_FRAMES.saturating_sub(frames),
        };
        while places > 0
            && let Some(waiting) = self.flow.waiting.pop_front()
        {
            if let Some(Channel { outbound, .. }) = self.channels.get_mut(&waiting) {
                let Some(outbound) = outbound else { continue };
                if places < usize::MAX && !self.flow.has_room(&outbound.in_flight) {
                    self.flow.waiting.push_front(waiting);
                    return;
                }
                outbound.gate = Gate::Open;
            }
            self.outputs.push_back(Output::Writable(waiting));
            places -= 1;
        }
    }
}

/// What a peer may lack while it still gets gossip, of one log and of all logs in which it lags: 4
/// MiB of the longest frames, and three quarters of what gossip queues for one peer.
const LACKS_OF_ONE: u64 = 16;
const LACKS_OF_ALL: u64 = 768;

/// What all channels together may have in flight, unless one alone may have more.
const ALL_BYTES: usize = 4 * 1024 * 1024;
/// Below the 1,024 frames that gossip queues for one peer, to leave room for forwarded ones.
const ALL_FRAMES: usize = 896;
