//! The part of the driver that follows channel objects: what they open and close, post, and are
//! due.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use meshcast_proto::{ChannelName, Seq, Time, WallTime};

use super::Driver;
use crate::{
    channel::{Hub, Item, ReaderId, Section, spans},
    clock::wall_time,
    ids::sender,
};

/// The channels that gossip is subscribed to.
#[derive(Default)]
pub(super) struct Channels {
    open: HashMap<ChannelName, Channel>,
    /// Those whose readers fell behind since the engine was told.
    behind: Vec<ChannelName>,
}

/// A channel that gossip is subscribed to.
pub(super) struct Channel {
    pub(super) hub: Arc<Hub>,
    /// Since when no object has been open. Gossip stays subscribed for a while, since leaving and
    /// joining again at once would leave it without links for longer.
    vacant_since: Option<Time>,
    /// Since when an object is open, or was last, by the wall clock.
    open_since: WallTime,
    /// Has something to send, and waits until the channel is writable; and since when.
    held_up: Option<(Arc<Hub>, Time)>,
    /// Objects that wait for what peers keep from before they came, by what the engine calls
    /// that.
    backfilling: HashMap<u64, (Arc<Hub>, ReaderId)>,
}

impl Channels {
    pub(super) fn get(&self, name: &ChannelName) -> Option<&Channel> {
        self.open.get(name)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &ChannelName> {
        self.open.keys()
    }

    /// The channels whose readers fell behind since this was asked last.
    pub(super) fn take_behind(&mut self) -> Vec<ChannelName> {
        std::mem::take(&mut self.behind)
    }

    /// An object waits until the engine has looked back.
    pub(super) fn await_backfill(&mut self, id: u64, hub: &Arc<Hub>, reader: ReaderId) {
        if let Some(channel) = self.open.get_mut(hub.name()) {
            let waiting = (Arc::clone(hub), reader);
            channel.backfilling.insert(id, waiting);
        }
    }

    /// The engine has looked back for this object.
    pub(super) fn backfilled(
        &mut self,
        name: &ChannelName,
        id: u64,
    ) -> Option<(Arc<Hub>, ReaderId)> {
        self.open.get_mut(name)?.backfilling.remove(&id)
    }

    /// Whether a channel has something to send and waits until it is writable.
    #[cfg(feature = "metrics")]
    pub(super) fn is_held_up(&self, name: &ChannelName) -> bool {
        let channel = self.open.get(name);
        channel.is_some_and(|channel| channel.held_up.is_some())
    }

    fn is_of(&self, hub: &Arc<Hub>) -> bool {
        let channel = self.open.get(hub.name());
        channel.is_some_and(|channel| Arc::ptr_eq(&channel.hub, hub))
    }
}

impl Channel {
    pub(super) const fn open_since(&self) -> WallTime {
        self.open_since
    }
}

/// What there was to follow.
pub(super) struct Followed {
    /// Something was published.
    pub(super) posted: bool,
    /// Something is left.
    pub(super) more: bool,
}

impl Driver {
    /// Opens and closes what handles opened and closed, answers what they ask, and sends what they
    /// posted, within bounds.
    pub(super) fn follow_registry(&mut self) -> Followed {
        for hub in self.handles.registry.take_changed(OPENED_A_ROUND) {
            self.follow_hub(hub);
        }
        self.answer_hubs();
        let mut bytes = 0;
        while bytes < BYTES_A_ROUND {
            let Some(hub) = self.handles.registry.bell().take_ready() else {
                break;
            };
            if !self.engine.may_post(hub.name())
                && let Some(channel) = self.channels.open.get_mut(hub.name())
            {
                channel.held_up = Some((hub, self.clock.now()));
                continue;
            }
            let (section, more) = hub.take_section();
            if section.is_none() {
                // An object came late since the hubs were answered, and is told first what there
                // was.
                self.answer(&hub);
            }
            if more {
                // Behind the others, so that a busy channel does not starve a quiet one.
                self.handles.registry.bell().ready(&hub);
            }
            let len = section.as_ref().map_or(0, |section| section.draft.len());
            bytes += len.max(BYTES_A_ROUND / SECTIONS_A_ROUND);
            if let Some(section) = section {
                self.post(&hub, section);
            }
        }
        Followed {
            posted: bytes > 0,
            more: self.handles.registry.bell().has_more(),
        }
    }

    pub(super) fn follow_hub(&mut self, hub: Arc<Hub>) {
        if hub.is_gone() {
            self.leave(&hub);
        } else {
            self.enter(hub);
        }
    }

    fn enter(&mut self, hub: Arc<Hub>) {
        hub.set_followed();
        let now = self.clock.now();
        let open = hub.objects() > 0;
        if let Some(channel) = self.channels.open.get_mut(hub.name()) {
            channel.hub = Arc::clone(&hub);
            for (sender, state) in self.engine.senders(hub.name()) {
                if let Some(read) = state.next.and_then(Seq::previous) {
                    hub.was_delivered(sender, read);
                }
            }
            if open && channel.vacant_since.is_some() {
                channel.open_since = wall_time();
            }
            channel.vacant_since = (!open).then(|| channel.vacant_since.unwrap_or(now));
            self.follow_presence(&hub);
            return;
        }
        let opened =
            self.with_engine(|engine, now| engine.handle_open(hub.name(), hub.since(), now));
        if let Err(error) = opened {
            // The registry counts names as the engine does, so this does not happen.
            tracing::error!(%error, channel = ?hub.name(), "cannot subscribe to the channel");
            return;
        }
        self.network.gossip().join(hub.name());
        let vacant_since = (!open).then_some(now);
        let channel = Channel {
            vacant_since,
            open_since: wall_time(),
            held_up: None,
            backfilling: HashMap::new(),
            hub: Arc::clone(&hub),
        };
        self.channels.open.insert(hub.name().clone(), channel);
        self.follow_presence(&hub);
    }

    /// Enters the channel of a hub if it is not that of this very one: opened, asked or posted to,
    /// and closed before this round of the loop, perhaps after another of the name has made way.
    pub(super) fn ensure_entered(&mut self, hub: &Arc<Hub>) {
        if self.channels.is_of(hub) {
            return;
        }
        let known = self.channels.get(hub.name());
        if let Some(known) = known.map(|channel| Arc::clone(&channel.hub)) {
            self.leave(&known);
        }
        self.enter(Arc::clone(hub));
    }

    pub(super) fn post(&mut self, hub: &Arc<Hub>, mut section: Section) {
        // Also if it has made way itself since its section was taken: what was accepted is sent.
        self.ensure_entered(hub);
        let span = spans::send(hub.place(), self.network.swarm.local_peer_id());
        let _inside = span.enter();
        let draft = std::mem::take(&mut section.draft);
        let bytes = draft.len();
        let posted = self.with_engine_then(
            |engine, now| engine.handle_post(hub.name(), draft, now, wall_time()),
            |driver, posted| {
                let seqs = *posted.as_ref().ok()?;
                spans::sent(&span, seqs);
                tracing::trace!(channel = ?hub.name(), %seqs, bytes, "section made");
                hub.numbered(seqs);
                let engine = &driver.engine;
                let acked = |name: &ChannelName, seq| engine.acked(name, seq);
                driver.waiters.receipts.handle_sent(hub, acked);
                driver.waiters.flushes.mark_due();
                Some(Arc::new(section.posters(seqs)))
            },
        );
        // The section was made for a frame, so this does not happen.
        if let Err(error) = posted {
            tracing::error!(%error, channel = ?hub.name(), "a post was lost");
        }
    }

    /// A channel that was held up may be posted on again.
    pub(super) fn handle_writable(&mut self, name: &ChannelName) {
        let channel = self.channels.open.get_mut(name);
        if let Some((hub, since)) = channel.and_then(|channel| channel.held_up.take()) {
            let waited = self.clock.now().saturating_since(since);
            tracing::trace!(channel = ?name, ?waited, "the send window has room");
            #[cfg(feature = "metrics")]
            self.reports.measures.window_wait.observe(waited, 1);
            self.handles.registry.bell().ready(&hub);
        }
    }

    pub(super) fn deliver(&mut self, name: &ChannelName, item: Item) {
        let Some(channel) = self.channels.get(name) else {
            return;
        };
        let hub = Arc::clone(&channel.hub);
        let span = spans::deliver(hub.place(), &item);
        let _inside = span.enter();
        #[cfg(feature = "metrics")]
        if let Item::Values(values, None) = &item {
            let (region, count) = (&values.member.credential().region, values.seqs().len());
            self.reports
                .measures
                .delivered(region, count, values.posted_at, wall_time());
        }
        let posted = hub.is_doubtful().then(|| {
            let (sender, first) = (item.member().sender(), item.seqs().first());
            self.engine.posted(name, sender, first)
        });
        let delivered = hub.deliver(item, posted.flatten());
        if delivered.readers_behind {
            self.channels.behind.push(name.clone());
        }
        if delivered.has_many_senders {
            self.forget_idle(&hub);
        }
    }

    /// Forgets senders of which nothing is kept anywhere: they were not heard for long, and are not
    /// connected.
    fn forget_idle(&self, hub: &Hub) {
        let peers = self.peers.iter().filter_map(|(peer, _)| sender(peer));
        let here: BTreeSet<_> = peers.map(|sender| sender.prefix()).collect();
        hub.forget_idle(|sender| here.contains(sender));
    }

    pub(super) fn drop_vacant_channels(&mut self, now: Time) {
        let over = |channel: &Channel| {
            let is_over = |since| since + LINGER <= now || channel.hub.is_unused();
            channel.vacant_since.is_some_and(is_over)
        };
        let vacant = self.channels.open.values().filter(|channel| over(channel));
        let vacant: Vec<_> = vacant.map(|channel| Arc::clone(&channel.hub)).collect();
        for hub in vacant {
            if self.handles.registry.remove_vacant(hub.name()) {
                self.leave(&hub);
            }
        }
        self.handles.registry.remember(self.engine.closed_names());
    }

    /// Leaves the channel of a hub that the registry has let go of, unless there is another by now.
    fn leave(&mut self, hub: &Arc<Hub>) {
        let name = hub.name();
        if !self.channels.is_of(hub) {
            return;
        }
        if let Some(channel) = self.channels.open.remove(name) {
            // It may be another of the name, and is to be sent all the same.
            if let Some((held_up, _)) = channel.held_up {
                self.handles.registry.bell().ready(&held_up);
            }
            // First, so that peers hear who left before they hear that the channel is closed.
            self.leave_presence(hub);
            self.with_engine(|engine, _| engine.handle_close(name));
            self.network.gossip().leave(name);
            tracing::debug!(channel = ?name, "left");
        }
    }
}

/// The amount sent before the swarm is polled again, in sections and in bytes of them.
const SECTIONS_A_ROUND: usize = 16;
const BYTES_A_ROUND: usize = 1024 * 1024;

/// The number of channels opened or closed before the swarm is polled again. Each makes the engine
/// look for what peers said of the channel, and outputs that tell them of it.
const OPENED_A_ROUND: usize = 64;

/// For how long a channel that was closed stays subscribed, unless it was only looked at.
const LINGER: Duration = Duration::from_secs(120);
