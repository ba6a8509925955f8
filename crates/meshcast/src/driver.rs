//! The one task that owns the swarm and the engine.
//!
//! Inside its loop nothing awaits a consumer: what goes to channels goes into bounded rings, what
//! goes to peers into bounded queues, and what does not fit is counted and told.

mod asked;
mod channels;
mod conduct;
mod connections;
mod dialling;
mod engine;
mod handover;
mod inspection;
mod mute;
mod readiness;
mod receipts;
mod seeds;
mod snapshot;
mod stop;
mod syncing;
mod touched;
mod turn;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId, Swarm,
    swarm::{ConnectionId, SwarmEvent},
};
use meshcast_proto::{ChannelName, Engine, Frame, Inbox, Member, Time, Watchdog};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    behaviour::{Behaviour, BehaviourEvent},
    channel::{Hub, ReaderId},
    clock::{Clock, wall_time},
    command::Command,
    dialer::{Dialer, SeedId},
    error::PingError,
    event::{self, NodeEvent},
    gate::{Admitted, Door},
    gossip::{GossipEvent, NotPublished},
    inspect::Counters,
    node::Ready,
    peers::Peers,
    registry::Registry,
    throttle::Throttle,
    transport::{Traffic, sender},
    verifier::SharedVerifier,
};
use channels::Channel;
use conduct::Judged;
use dialling::Dialled;
pub(crate) use engine::EngineCell;
use handover::Flushes;
use inspection::Inspections;
pub(crate) use inspection::{Inspected, View};
use receipts::Receipts;
use syncing::Backlog;
pub(crate) use touched::Touched;

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) me: Arc<Member>,
    pub(crate) swarm: Touched<Swarm<Behaviour>>,
    pub(crate) engine: EngineCell,
    pub(crate) dialer: Touched<Dialer>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) verifier: SharedVerifier,
    pub(crate) admitted: Admitted,
    pub(crate) traffic: Traffic,
    pub(crate) door: Door,
    pub(crate) clock: Clock,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: broadcast::Sender<NodeEvent>,
    /// How many members are connected.
    pub(crate) members: watch::Sender<usize>,
    /// What the swarm reported before the driver had it.
    pub(crate) early: Vec<SwarmEvent<BehaviourEvent>>,
}

/// The driver; [`Self::run`] is the task.
pub(crate) struct Driver {
    parts: Parts,
    started: meshcast_proto::WallTime,
    peers: Peers,
    channels: HashMap<ChannelName, Channel>,
    /// Hubs with something to send that wait until their channel is writable.
    held_up: HashMap<ChannelName, Arc<Hub>>,
    /// Objects that wait for what neighbours keep from before they came, by what the engine calls
    /// that.
    late: HashMap<u64, (Arc<Hub>, ReaderId)>,
    /// Channels whose readers fell behind since the engine was told.
    crowded: Vec<ChannelName>,
    /// When the dialer has something to do, unless it was touched since.
    dial_due: Option<Time>,
    /// Dials that are under way, and of what.
    dials: HashMap<ConnectionId, Dialled>,
    /// DNS look-ups under way, at most one a seed.
    lookups: JoinSet<(SeedId, Result<Vec<Multiaddr>, String>)>,
    /// Who waits for the node to be ready, and since when.
    awaiting_ready: Vec<(Time, oneshot::Sender<Ready>)>,
    /// When it was first found that all seeds were tried.
    seeds_tried: Option<Time>,
    /// What the session to a peer had no room for.
    backlogs: HashMap<PeerId, Backlog>,
    /// What peers said before the session with them was open: there is no answering yet.
    early_messages: HashMap<PeerId, Backlog>,
    /// What peers said on open sessions that waits for their turn; of these nothing more is read.
    inbox: Inbox,
    held: HashSet<PeerId>,
    /// What it cost to take in what peers said in this turn of the loop.
    worked: usize,
    /// Judges whose gossip does not arrive.
    watchdog: Watchdog,
    /// And who misbehaves.
    judged: Judged,
    /// Peers with an open session.
    linked: HashSet<PeerId>,
    /// Those of them that have told which channels they have open.
    told: HashSet<PeerId>,
    pings: Vec<Ping>,
    next_ping: u64,
    receipts: Receipts,
    flushes: Flushes,
    inspections: Inspections,
    /// It is to stop as it stands.
    aborted: bool,
    /// What is counted here; the engine and others count the rest.
    counters: Counters,
    next_check: Time,
    /// The last turn ended after what was posted.
    posted_last: bool,
    warnings: Warnings,
    /// Also if the driver panics or its runtime is gone, be it before the first turn: nobody waits
    /// for a driver that is no more.
    _ends_channels: EndsChannels,
}

/// What is said at most once a second each, and where that is usual a few times at once: others can
/// provoke it.
#[derive(Debug, Default)]
struct Warnings {
    connected: Throttle<AT_ONCE>,
    disconnected: Throttle<AT_ONCE>,
    silent: Throttle,
    no_gossip: Throttle,
    mute: Throttle,
    misbehaving: Throttle,
    displaced: Throttle,
    gap: Throttle,
    unfetched: Throttle,
    slow: Throttle,
    not_published: Throttle,
    refused: Throttle,
    listener: Throttle,
    unreadable: Throttle,
    unanswered: Throttle,
    stale: Throttle,
}

/// How many come and go at once when a fleet starts or is cut in two.
const AT_ONCE: u32 = 50;

/// A question for a sign of life on the way.
struct Ping {
    number: u64,
    peer: PeerId,
    sent: Time,
    answer: oneshot::Sender<Result<Duration, PingError>>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let me = *parts.swarm.local_peer_id();
        let inbox = Inbox::new(parts.engine.budget().clone());
        Self {
            started: wall_time(),
            peers: Peers::new(me),
            channels: HashMap::new(),
            held_up: HashMap::new(),
            late: HashMap::new(),
            crowded: Vec::new(),
            dial_due: None,
            dials: HashMap::new(),
            lookups: JoinSet::new(),
            awaiting_ready: Vec::new(),
            seeds_tried: None,
            backlogs: HashMap::new(),
            early_messages: HashMap::new(),
            inbox,
            held: HashSet::new(),
            worked: 0,
            watchdog: Watchdog::default(),
            judged: Judged::default(),
            linked: HashSet::new(),
            told: HashSet::new(),
            pings: Vec::new(),
            next_ping: 0,
            receipts: Receipts::default(),
            flushes: Flushes::default(),
            inspections: Inspections::default(),
            aborted: false,
            counters: Counters::default(),
            next_check: parts.clock.now(),
            posted_last: false,
            warnings: Warnings::default(),
            _ends_channels: EndsChannels(Arc::clone(&parts.registry)),
            parts,
        }
    }

    fn handle_frame(&mut self, from: PeerId, frame: Frame, member: &Arc<Member>) {
        let before = self.parts.engine.counters();
        let heard = frame.clone();
        self.with_engine(|engine, now| engine.handle_frame(frame, member, now, wall_time()));
        let after = self.parts.engine.counters();
        trace_heard(&heard, &before, &after);
        if after.frames_accepted > before.frames_accepted {
            self.note_gossip(from, &heard);
        }
    }

    /// Gossip is not sent to who lags: it would wait in a queue until it is dropped.
    fn handle_lagging(&mut self, peer: PeerId, lags: bool) {
        tracing::debug!(%peer, lags, "keeps up no longer, or again");
        self.parts.swarm.behaviour_mut().gossip.set_lazy(peer, lags);
    }

    fn publish(&mut self, frame: &Frame) {
        match self.parts.swarm.behaviour_mut().gossip.publish(frame) {
            Ok(()) | Err(NotPublished::NotJoined) => {}
            // Zero peers is success.
            Err(NotPublished::NoPeer) => self.counters.frames_without_peer += 1,
            Err(error) => {
                self.counters.frames_refused += 1;
                if let Some(suppressed) = self.warnings.not_published.pass(self.parts.clock.now()) {
                    tracing::warn!(%error, ?frame, suppressed, "gossip refused a frame");
                }
            }
        }
    }

    fn handle_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.handle_gossip(event),
            SwarmEvent::Behaviour(BehaviourEvent::Sessions(event)) => self.handle_session(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.handle_ping(event),
            other => self.handle_connection_event(other),
        }
    }

    fn handle_gossip(&mut self, event: GossipEvent) {
        let now = self.parts.clock.now();
        match event {
            GossipEvent::Frame {
                from,
                frame,
                member,
            } => {
                self.peers.handle_heard(&from, now);
                self.handle_frame(from, frame, &member);
            }
            GossipEvent::Slow { peer, dropped } => {
                self.counters.slow_peer += 1;
                if let Some(suppressed) = self.warnings.slow.pass(now) {
                    tracing::warn!(target: event::TARGET, %peer, dropped, suppressed,
                        "gossip dropped frames to a slow peer");
                }
                self.emit(NodeEvent::Slow { peer, dropped });
                if let Some(sender) = sender(&peer) {
                    self.with_engine(|engine, now| engine.handle_slow_peer(sender, now));
                }
            }
            GossipEvent::Misbehaved {
                peer,
                offence,
                times,
            } => (0..times).for_each(|_| self.handle_offence(peer, offence)),
            GossipEvent::Unsupported(peer) => {
                if let Some(suppressed) = self.warnings.no_gossip.pass(now) {
                    tracing::error!(%peer, suppressed, "a member does not speak gossip");
                }
            }
            GossipEvent::Logged => {}
        }
    }

    fn handle_timeouts(&mut self) {
        let now = self.parts.clock.now();
        if self
            .parts
            .engine
            .poll_timeout()
            .is_some_and(|due| due <= now)
        {
            self.with_engine(Engine::handle_timeout);
        }
        self.dial(now);
        for (peer, connection) in self.peers.take_surplus(now) {
            tracing::debug!(%peer, %connection, "closing a connection that doubles another");
            self.parts
                .swarm
                .behaviour_mut()
                .sessions
                .leave(&peer, connection);
            self.parts.swarm.close_connection(connection);
        }
        if self.next_check <= now {
            let late = now.saturating_since(self.next_check);
            if late >= STOOD_STILL {
                self.peers.excuse_silence(late, now);
            }
            self.next_check = now + CHECK_INTERVAL;
            let engine = &self.parts.engine;
            self.receipts
                .handle_timeout(|name, seq| engine.acked(name, seq));
            self.flushes.touch();
            self.drop_vacant_channels(now);
            self.expire_pings(now);
            self.forgive(now);
            self.inbox.handle_timeout(now);
            // Who is not read cannot be blamed for its silence.
            self.held
                .iter()
                .for_each(|peer| self.peers.handle_heard(peer, now));
            self.spread_late(now);
            self.parts.swarm.behaviour_mut().gossip.settle(now);
            self.make_way();
            self.watch_for_silence(now);
        }
    }

    fn poll_timeout(&mut self) -> Time {
        let soon = self.peers.surplus_due();
        let parts = [
            self.parts.engine.poll_timeout(),
            self.dial_due(),
            self.ready_due(),
            self.inbox.poll_timeout(),
            soon,
        ];
        parts.into_iter().flatten().fold(self.next_check, Time::min)
    }

    fn handle_command(&mut self, command: Command) {
        // An answer that nobody waits for any more is dropped.
        match command {
            Command::Inspect(view, answer) => self.inspections.ask(view, answer),
            Command::Counters(answer) => drop(answer.send(self.counters())),
            Command::Info(answer) => drop(answer.send(self.node())),
            Command::Ready(answer) => self.awaiting_ready.push((self.parts.clock.now(), answer)),
            Command::Ping(peer, answer) => self.send_ping(peer, answer),
            Command::Flush(answer) => self.flush(answer),
            Command::Shutdown | Command::Abort => {}
            #[cfg(test)]
            Command::Panic => panic!("as asked"),
        }
    }

    /// For those who wait for members. To be called when one came or went.
    fn count_members(&self) {
        let members = self.peers.iter().count();
        // An error would be that nobody has a handle; what is set is for those who get one.
        self.parts.members.send_replace(members);
    }

    fn emit(&self, event: NodeEvent) {
        // An error means that nobody listens.
        let _ = self.parts.events.send(event);
    }
}

/// Says what became of a frame, by what the engine counted.
fn trace_heard(frame: &Frame, before: &meshcast_proto::Counters, after: &meshcast_proto::Counters) {
    let outcome = if after.frames_duplicate > before.frames_duplicate {
        "duplicate"
    } else if after.frames_unwanted > before.frames_unwanted {
        "unwanted"
    } else if after.frames_without_room > before.frames_without_room {
        "no room to wait for earlier ones"
    } else {
        "new"
    };
    tracing::trace!(?frame, outcome, "heard");
}

/// How often what has no deadline of its own is looked at, and who is silent.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// A look that comes this late means that this node stood still itself, and nobody can be blamed
/// for that time.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// Ends all channels when dropped.
struct EndsChannels(Arc<Registry>);

impl Drop for EndsChannels {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests;
