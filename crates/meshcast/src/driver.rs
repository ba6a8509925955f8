//! The one task that owns the swarm and the engine.
//!
//! Inside its loop nothing awaits a consumer: what goes to channels goes into bounded rings, what
//! goes to peers into bounded queues, and what does not fit is counted and told.
//!
//! This wing alone changes the engine, the swarm and the dialer: the engine through
//! `Driver::with_engine`, the others through `Dirty::modify`. It meets the handles of the
//! application in the registry and answers their commands.
//!
//! May use: all that is about the network, `channel`, and `command` with what answers are made of.
//! Must not: decide what the protocol decides, decode what applications posted, know the handles
//! (`node`, `ask`, `presence`) or who is told through them, or read a clock but through `clock`.

mod asks;
mod channels;
mod conduct;
mod connections;
mod dialling;
mod dirty;
mod engine;
mod event_loop;
mod goodbye;
mod handover;
mod inspection;
mod isolation;
mod mute;
mod namesakes;
mod pings;
mod presence;
mod readiness;
mod receipts;
mod refusals;
mod requests;
mod schedule;
mod seeds;
mod sessions;
mod snapshot;
mod stop;
#[cfg(feature = "admin")]
mod trace;

use std::{collections::BTreeSet, sync::Arc};

#[cfg(feature = "admin")]
use futures::future::BoxFuture;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    allow_block_list::{self, BlockedPeers},
    swarm::SwarmEvent,
};
use meshcast_proto::{
    Asks, Conduct, Forward, Frame, Member, Offence, Payer, Sender, Taken, WallTime, is_signed,
};
use tokio::sync::{broadcast, mpsc, watch};

use self::{
    asks::Questions, channels::Channels, dialling::Dialling, handover::Flushes,
    inspection::Inspections, isolation::Isolation, namesakes::Namesakes, pings::Pings,
    readiness::Readiness, receipts::Receipts, refusals::Refusals, schedule::Schedule,
    sessions::PeerSessions,
};
pub(crate) use self::{dirty::Dirty, engine::EngineCell, presence::TrackerCell};
#[cfg(feature = "admin")]
use crate::clock::WallLog;
#[cfg(feature = "metrics")]
use crate::measured::Measures;
use crate::{
    behaviour::{Behaviour, BehaviourEvent},
    channel::{Registry, spans},
    clock::{Clock, wall_time},
    command::Command,
    dialer::Dialer,
    event::{self, NodeEvent},
    gate::{Admitted, Door},
    gossip::{Gossip, GossipEvent, NotPublished},
    ids::{peer_id, sender},
    inspect::Counters,
    peers::Peers,
    reason::in_words,
    session::Sessions,
    throttle::Throttle,
    traffic::Traffic,
    verifier::SharedVerifier,
};

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) me: Arc<Member>,
    /// The fingerprint of its mesh.
    pub(crate) mesh: String,
    pub(crate) clock: Clock,
    pub(crate) engine: EngineCell,
    pub(crate) presence: TrackerCell,
    pub(crate) asks: Asks,
    pub(crate) network: Network,
    pub(crate) dialer: Dialer,
    #[cfg(feature = "admin")]
    pub(crate) local_nodes: LocalNodes,
    pub(crate) handles: Handles,
    /// Addresses that others are told in place of the listen addresses.
    pub(crate) advertised: Vec<Multiaddr>,
    /// What the swarm reported before the driver had it.
    pub(crate) early: Vec<SwarmEvent<BehaviourEvent>>,
}

/// Finds where the nodes of a mesh listen that run on this machine, given where this one does.
#[cfg(feature = "admin")]
pub(crate) type LocalNodes = fn(Vec<Multiaddr>, String) -> BoxFuture<'static, Vec<Multiaddr>>;

/// The swarm, and what it shares with the driver.
pub(crate) struct Network {
    pub(crate) swarm: Dirty<Swarm<Behaviour>>,
    pub(crate) verifier: SharedVerifier,
    pub(crate) admitted: Admitted,
    pub(crate) traffic: Traffic,
    pub(crate) door: Door,
}

impl Network {
    /// The sessions to peers, to be given something to do.
    fn sessions(&mut self) -> &mut Sessions {
        &mut self.swarm.modify().behaviour_mut().sessions
    }

    /// Who is refused as a peer, to be changed.
    fn blocked(&mut self) -> &mut allow_block_list::Behaviour<BlockedPeers> {
        &mut self.swarm.modify().behaviour_mut().blocked
    }

    /// The gossip, to be given something to do.
    fn gossip(&mut self) -> &mut Gossip {
        &mut self.swarm.modify().behaviour_mut().gossip
    }
}

/// Where the handles of the application and the driver meet.
pub(crate) struct Handles {
    pub(crate) registry: Arc<Registry>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: broadcast::Sender<NodeEvent>,
    /// How many members are connected.
    pub(crate) members: watch::Sender<usize>,
    /// Where the node listens.
    pub(crate) listen_addresses: watch::Sender<Vec<Multiaddr>>,
}

/// The driver; [`Self::run`] is the task.
pub(crate) struct Driver {
    local: LocalNode,
    clock: Clock,
    engine: EngineCell,
    presence: TrackerCell,
    network: Network,
    handles: Handles,
    dialling: Dialling,
    /// The connected members.
    peers: Peers,
    /// What they and this node have to say to each other.
    sessions: PeerSessions,
    channels: Channels,
    questions: Questions,
    /// Judges who misbehaves.
    conduct: Conduct,
    isolation: Isolation,
    waiters: Waiters,
    namesakes: Namesakes,
    /// Peers that have not heard yet that this node stops, once it does.
    farewells: Option<BTreeSet<PeerId>>,
    schedule: Schedule,
    reports: Reports,
    /// Also if the driver panics or its runtime is gone, be it before the first turn: nobody waits
    /// for a driver that is no more.
    _ends_channels: EndsChannels,
}

/// Who this node is.
struct LocalNode {
    me: Arc<Member>,
    mesh: String,
    started: WallTime,
    /// Addresses that others are told in place of the listen addresses.
    advertised: Vec<Multiaddr>,
}

/// Reports of what happened.
#[derive(Default)]
struct Reports {
    /// The counters of the driver; the engine and others have their own.
    counters: Counters,
    #[cfg(feature = "metrics")]
    measures: Measures,
    refusals: Refusals,
    warnings: Warnings,
    #[cfg(feature = "admin")]
    wall: WallLog,
}

/// Callers that wait for an answer, by what has to happen before. Each part is bounded.
#[derive(Default)]
struct Waiters {
    ready: Readiness,
    pings: Pings,
    receipts: Receipts,
    flushes: Flushes,
    inspections: Inspections,
}

/// Warnings that are logged at most once a second each, and where that is usual a few times at
/// once: others can provoke them.
#[derive(Debug, Default)]
struct Warnings {
    connected: Throttle<AT_ONCE>,
    disconnected: Throttle<AT_ONCE>,
    silent: Throttle,
    no_gossip: Throttle,
    mute: Throttle,
    namesakes: Throttle,
    misbehaving: Throttle,
    forgiven: Throttle,
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
    no_room: Throttle,
}

/// The number that comes and goes at once when a fleet starts or is cut in two.
const AT_ONCE: u32 = 50;

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            me,
            mesh,
            clock,
            engine,
            presence,
            asks,
            network,
            dialer,
            #[cfg(feature = "admin")]
            local_nodes,
            handles,
            advertised,
            early,
        } = parts;
        let driver = Self {
            local: LocalNode {
                me,
                mesh,
                started: wall_time(),
                advertised,
            },
            dialling: Dialling::new(
                dialer,
                #[cfg(feature = "admin")]
                local_nodes,
            ),
            peers: Peers::new(*network.swarm.local_peer_id()),
            sessions: PeerSessions::new(engine.budget()),
            channels: Channels::default(),
            questions: Questions::new(asks),
            conduct: Conduct::default(),
            isolation: Isolation::new(clock.now()),
            waiters: Waiters::default(),
            namesakes: Namesakes::default(),
            farewells: None,
            schedule: Schedule::new(early, clock.now()),
            reports: Reports::default(),
            _ends_channels: EndsChannels(Arc::clone(&handles.registry)),
            clock,
            engine,
            presence,
            network,
            handles,
        };
        driver.note_listeners();
        driver
    }

    fn handle_frame(&mut self, from: PeerId, frame: Frame, member: &Arc<Member>) {
        let place = || self.handles.registry.common().place(frame.channel());
        let span = spans::receive(place, frame.sender(), frame.seqs(), &from);
        let _inside = span.enter();
        let (heard, wall) = (frame.clone(), wall_time());
        let now = self.clock.now();
        self.peers.handle_posted(&from, &frame, wall, now);
        let Some(from) = sender(&from) else { return };
        self.note_copies();
        let taken =
            self.with_engine(|engine, now| engine.handle_frame(from, frame, member, now, wall));
        let payer = pays_for_id(taken, from, member);
        self.network.swarm.behaviour().gossip.remember(payer);
        tracing::trace!(frame = ?heard, outcome = taken.as_str(), "heard");
    }

    /// Gossip is not sent to who lags: it would wait in a queue until it is dropped.
    fn handle_lagging(&mut self, peer: PeerId, lags: bool) {
        tracing::debug!(%peer, lags, "a peer began or stopped lagging");
        self.network.gossip().set_lazy(peer, lags);
    }

    fn publish(&mut self, frame: &Frame) {
        let now = self.clock.now();
        match self.network.gossip().publish(frame, now) {
            Ok(()) | Err(NotPublished::NotJoined) => {}
            // Zero peers is success.
            Err(NotPublished::NoPeer) => self.reports.counters.traffic.frames_without_peer += 1,
            Err(error) => {
                self.reports.counters.traffic.frames_refused += 1;
                if let Some(suppressed) = self.reports.warnings.not_published.pass(self.clock.now())
                {
                    let error = in_words(&error);
                    tracing::warn!(error, ?frame, suppressed, "gossip refused a frame");
                }
            }
        }
    }

    fn forward(&mut self, forward: &Forward) {
        let listening = self
            .network
            .swarm
            .behaviour()
            .gossip
            .listening(forward.frame.channel());
        let listening = listening.filter_map(|peer| sender(&peer));
        let to = self.engine.recipients(forward, listening);
        if to.is_empty() {
            return;
        }
        // Its sender gave it to this node itself: it was believed without.
        if !is_signed(&forward.frame) {
            return self.handle_offence(peer_id(forward.frame.sender()), Offence::Forged, 1);
        }
        self.network.verifier.remember(&forward.frame);
        let to: Vec<_> = to.into_iter().map(peer_id).collect();
        let now = self.clock.now();
        match self.network.gossip().forward(&forward.frame, &to, now) {
            Ok(given) => self.reports.counters.traffic.frames_forwarded += given as u64,
            Err(error) => tracing::debug!(error = in_words(&error), "not handed on"),
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
        let now = self.clock.now();
        match event {
            GossipEvent::Frame {
                from,
                frame,
                member,
            } => {
                self.peers.handle_heard(&from, now);
                self.handle_frame(from, frame, &member);
            }
            // Who waits for this is looked at in each round.
            GossipEvent::Listens => {}
            GossipEvent::Slow { peer, dropped } => {
                self.reports.counters.peers.slow_peer += 1;
                if let Some(suppressed) = self.reports.warnings.slow.pass(now) {
                    tracing::warn!(target: event::TARGET, %peer, dropped, suppressed,
                        "gossip dropped frames to a slow peer");
                }
                self.emit(NodeEvent::Slow { peer, dropped });
                if let Some(sender) = sender(&peer) {
                    self.with_engine(|engine, now| engine.handle_slow_peer(sender, now));
                }
            }
            // It may be gone since.
            GossipEvent::Deaf(peer) if self.peers.get(&peer).is_none() => {}
            GossipEvent::Deaf(peer) => self.give_up_session(peer),
            GossipEvent::Misbehaved {
                peer,
                offence,
                times,
            } => self.handle_offence(peer, offence, times),
            GossipEvent::Unsupported(peer) => {
                if let Some(suppressed) = self.reports.warnings.no_gossip.pass(now) {
                    tracing::error!(%peer, suppressed, "a member does not speak gossip");
                }
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        // An answer that nobody waits for any more is dropped.
        match command {
            Command::Inspect(view, answer) => self.waiters.inspections.ask(view, answer),
            Command::Counters(answer) => drop(answer.send(self.counters())),
            Command::Info(answer) => drop(answer.send(self.node())),
            Command::Members(answer) => drop(answer.send(self.members())),
            Command::Vitals(answer) => drop(answer.send(self.vitals())),
            Command::Ready(answer) => self.waiters.ready.ask(answer, self.clock.now()),
            Command::Ping(peer, answer) => self.send_ping(peer, answer),
            Command::Flush(answer) => self.flush(answer),
            #[cfg(feature = "admin")]
            Command::Trace(query, answer) => drop(answer.send(self.trace(&query))),
            Command::Shutdown | Command::Abort => {}
            #[cfg(test)]
            Command::Panic => panic!("as asked"),
        }
    }

    /// For those who wait for members. To be called when one came or went.
    fn count_members(&mut self) {
        let members = self.peers.iter().count();
        self.isolation.handle_members(members, self.clock.now());
        // An error would be that nobody has a handle; what is set is for those who get one.
        self.handles.members.send_replace(members);
    }

    fn emit(&self, event: NodeEvent) {
        // An error means that nobody listens.
        let _ = self.handles.events.send(event);
    }
}

/// The payer for what gossip remembers of a frame that came from a peer: its sender, if it is new.
/// If it is not, the peer that brought it: it may repeat what others posted as often as it likes.
fn pays_for_id(taken: Taken, from: Sender, member: &Member) -> Payer {
    match taken {
        Taken::New | Taken::NoRoom => Payer::Member(member.credential().subject),
        Taken::Duplicate | Taken::Unwanted | Taken::Stale => Payer::from(from),
    }
}

/// Ends all channels when dropped.
struct EndsChannels(Arc<Registry>);

impl Drop for EndsChannels {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests;
