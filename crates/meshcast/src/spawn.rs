//! Puts the parts of a node together and starts them.

use std::{error::Error, sync::Arc, time::Duration};

#[cfg(feature = "admin")]
use futures::FutureExt;
use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm,
    multiaddr::Protocol,
    swarm::{self, SwarmEvent},
};
use meshcast_proto::{
    Asks, Config, Engine, HistoryLimits, Identity, Member, MeshId, PresenceTracker, Trust, Verifier,
};
use tokio::{
    runtime::Handle,
    sync::{broadcast, mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};
use tracing::Instrument;

#[cfg(feature = "metrics")]
use crate::{address::MetricsAddress, metrics::Endpoint};
#[cfg(feature = "admin")]
use crate::{
    admin::{AdminSocket, Listener, Serving},
    local,
};
use crate::{
    behaviour::{Behaviour, BehaviourEvent},
    channel::{Common, Here, MAX_NAMES, Registry},
    clock::{Clock, wall_time},
    command::COMMANDS,
    dialer::Dialer,
    driver::{Dirty, Driver, EngineCell, Handles, Network, Parts, TrackerCell},
    error::{ListenError, SpawnError},
    event::EVENTS,
    gate::Gate,
    gossip::Gossip,
    ids::peer_id,
    limits::Limits,
    netem::{Host, Links},
    node::{Node, Shared},
    reason::in_words,
    thread,
    transport::{self, Handshake},
    verifier::SharedVerifier,
};

/// A node to be started, with nothing left to default.
pub(crate) struct Plan {
    pub(crate) identity: Identity,
    pub(crate) trust: Trust,
    /// There if the node has a key of its own that nobody else has.
    pub(crate) alone: Option<Alone>,
    pub(crate) listen: Vec<Multiaddr>,
    /// Addresses that others are told in place of the listen addresses.
    pub(crate) advertise: Vec<Multiaddr>,
    pub(crate) seeds: Vec<Multiaddr>,
    /// Whether members that others tell of are not dialled.
    pub(crate) seeds_only: bool,
    pub(crate) limits: Limits,
    #[cfg(feature = "admin")]
    pub(crate) admin: AdminSocket,
    #[cfg(feature = "metrics")]
    pub(crate) metrics: Option<MetricsAddress>,
    pub(crate) links: Option<Links>,
    /// How it secures the connections that it dials.
    pub(crate) proposes: Handshake,
    /// Its place in memory, if it is not on a real network. With links.
    #[cfg(feature = "testing")]
    pub(crate) memory: Option<transport::MemoryHost>,
    /// Seeds the jitter of the dialer.
    pub(crate) seed: u64,
    /// As in [`Behaviour::new`].
    pub(crate) mute_from: usize,
}

/// A node that nobody can join.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alone {
    /// It has no seeds either: probably nothing at all was set.
    pub(crate) seedless: bool,
}

/// Starts a node on this runtime, or else on a thread of its own.
pub(crate) async fn spawn(plan: Plan, runtime: Option<Handle>) -> Result<Node, SpawnError> {
    let handlers = Handle::try_current().map_err(|_| SpawnError::NoRuntime)?;
    plan.limits.check()?;
    let me = plan.trust.verify(plan.identity.chain().as_bytes());
    let me = me.map_err(SpawnError::Identity)?;
    me.check_time(wall_time(), Duration::ZERO)
        .map_err(SpawnError::Identity)?;
    let name = me.credential().name.clone();
    let (sender, started) = oneshot::channel();
    let (ending, ended) = thread::ending();
    let ended = runtime.is_none().then_some(ended);
    // Also what is made before the first turn belongs to the runtime it is made on: sockets, above
    // all.
    let life = async move {
        // The driver is large, and would be moved from stack to stack in builds that do not
        // optimise.
        let starting = Box::pin(start(plan, Arc::new(me), handlers, ended));
        let (outcome, life) = match starting.await {
            Ok((node, life)) => (Ok(node), Some(life)),
            Err(error) => (Err(error), None),
        };
        // An error means that nobody waits for the node any more: then it is not run at all.
        if sender.send(outcome).is_ok()
            && let Some(life) = life
        {
            life.await;
        }
    };
    let life = Box::pin(life.in_current_span());
    match runtime {
        Some(runtime) => drop(runtime.spawn(life)),
        None => thread::run(name.as_str(), life, ending).map_err(SpawnError::Thread)?,
    }
    // An error means that the runtime was gone.
    started.await.unwrap_or(Err(SpawnError::NoRuntime))
}

/// Puts a node together. It lives as long as the future that is returned with it runs.
async fn start(
    plan: Plan,
    me: Arc<Member>,
    handlers: Handle,
    ended: Option<std::sync::mpsc::Receiver<std::convert::Infallible>>,
) -> Result<(Node, impl Future<Output = ()> + Send + 'static), SpawnError> {
    let Plan {
        identity,
        trust,
        alone,
        listen,
        advertise,
        seeds,
        seeds_only,
        limits,
        #[cfg(feature = "admin")]
        admin,
        #[cfg(feature = "metrics")]
        metrics,
        links,
        proposes,
        #[cfg(feature = "testing")]
        memory,
        seed,
        mute_from,
    } = plan;
    let peer_id = peer_id(me.sender());

    let network = |error: &(dyn Error + 'static)| SpawnError::Network(in_words(error));
    let verifier = SharedVerifier::new(Verifier::new(trust.clone(), limits.history_age));
    let (mesh, topics) = (fingerprint(trust.mesh()), trust.mesh().topics());
    let gossip = Gossip::new(trust.mesh(), verifier.clone(), mute_from);
    let room = usize::try_from(limits.max_peers).unwrap_or(usize::MAX);
    let engine = engine_config(&limits);
    let engine = Engine::new(engine, identity.clone(), Arc::clone(&me), seed);
    let budget = engine.budget().clone();
    let gate = Gate::new(
        identity.clone(),
        trust.clone(),
        Arc::new(wall_time),
        room,
        budget.clone(),
    );
    let here = links.map(|links| {
        links.for_host(Host {
            name: me.credential().name.clone(),
            region: me.credential().region.clone(),
        })
    });
    let transport = match &here {
        None => transport::tcp(&gate, proposes),
        #[cfg(feature = "testing")]
        Some(here) => match memory {
            Some(host) => transport::memory(&gate, host, here.clone()),
            None => transport::shaped_tcp(&gate, here.clone(), proposes),
        },
        #[cfg(not(feature = "testing"))]
        Some(here) => transport::shaped_tcp(&gate, here.clone(), proposes),
    };
    let transport = transport.map_err(|error| network(&error))?;
    let mut behaviour = Behaviour::new(gossip);
    let asks = Asks::new(identity.clone(), trust.clone(), budget.clone());
    let presence = PresenceTracker::new(identity, Arc::clone(&me), trust, budget.clone());
    behaviour.sessions.charge_to(budget.clone());
    behaviour.gossip.charge_to(budget.clone());
    let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT);
    let mut swarm = Swarm::new(transport, behaviour, peer_id, config);
    let early = listen_on(&mut swarm, listen).await?;
    let listening = here.map(|here| here.listens_on(swarm.listeners()));

    let (clock, seedless) = (Clock::start(), seeds.is_empty());
    let mut dialer = Dialer::new(peer_id, seeds, seed, clock.now());
    dialer.dial_members(!seeds_only);
    let registry = Arc::new(Registry::new(Common::new(
        limits.clone(),
        budget,
        Here {
            topics,
            me: peer_id,
        },
        clock,
        handlers,
    )));
    let (commands, command_receiver) = mpsc::channel(COMMANDS);
    let (events, _) = broadcast::channel(EVENTS);
    let (stopped_sender, stopped) = watch::channel(None);
    let (member_count, members) = watch::channel(0);
    let (listening_on, listen_addresses) = watch::channel(Vec::new());
    // Before the driver, so that an address that cannot be had leaves nothing running.
    #[cfg(feature = "metrics")]
    let endpoint = match metrics {
        Some(address) => Some(bind_metrics(address).await?),
        None => None,
    };
    let node = Node::new(Shared {
        peer_id,
        name: me.credential().name.clone(),
        region: me.credential().region.clone(),
        registry: Arc::clone(&registry),
        commands,
        events: events.downgrade(),
        stopped,
        members,
        listen_addresses,
        #[cfg(feature = "metrics")]
        metrics_address: endpoint.as_ref().map(Endpoint::address),
        _joined: ended.map(thread::Joined::this),
    });
    // Before the driver, so that a socket that cannot be had leaves nothing running.
    #[cfg(feature = "admin")]
    let admin = Listener::bind(&admin, node.name()).await?;
    let parts = Parts {
        me,
        mesh,
        clock,
        engine: EngineCell::new(engine),
        presence: TrackerCell::new(presence),
        asks,
        network: Network {
            swarm: Dirty::new(swarm),
            verifier,
            admitted: gate.admitted().clone(),
            traffic: gate.traffic().clone(),
            door: gate.door().clone(),
        },
        dialer,
        #[cfg(feature = "admin")]
        local_nodes: |own, mesh| local::nodes(own, mesh).boxed(),
        handles: Handles {
            registry,
            commands: command_receiver,
            events,
            members: member_count,
            listen_addresses: listening_on,
        },
        advertised: advertise,
        early,
    };
    #[cfg(feature = "admin")]
    let weak = node.downgrade();
    #[cfg(feature = "metrics")]
    let endpoint = endpoint.map(|endpoint| (endpoint, node.metrics(), node.stop_signal()));
    // Made here: a runtime that goes before the task's first turn drops it, and so ends the
    // channels.
    let running = Box::pin(Driver::new(parts).run());
    // Of the highest level, so that also a log of warnings alone says which node each is of.
    let span = tracing::error_span!("node", name = %node.name());
    let life = async move {
        #[cfg(feature = "admin")]
        let serving = admin.map(|admin| Serving::start(admin, weak, limits.max_message_bytes));
        #[cfg(feature = "metrics")]
        if let Some((endpoint, metrics, stop)) = endpoint {
            // It ends by itself when the node has stopped.
            drop(tokio::spawn(
                endpoint.serve(metrics, stop).in_current_span(),
            ));
        }
        say_if_isolated(alone, seedless);
        let shutdown = running.await;
        drop(listening);
        #[cfg(feature = "admin")]
        if let Some(serving) = serving {
            serving.stop().await;
        }
        // Nobody may be left to hear it.
        stopped_sender.send_replace(Some(shutdown));
    };
    Ok((node, life.instrument(span)))
}

#[cfg(feature = "metrics")]
async fn bind_metrics(address: MetricsAddress) -> Result<Endpoint, SpawnError> {
    let failed = |reason| SpawnError::Metrics {
        address: address.socket_addr(),
        reason,
    };
    Endpoint::bind(address).await.map_err(failed)
}

/// A hint that nobody would get otherwise: being alone is no error.
fn say_if_isolated(alone: Option<Alone>, seedless: bool) {
    match alone {
        Some(Alone { seedless: true }) => tracing::warn!(
            "no key and no seeds: this node is alone, and stays so. To find other processes of yours on this \
             machine: MESHCAST_LOCAL=true, `meshcast node --local` or NodeBuilder::local. For a fleet: \
             MESHCAST_KEY (`meshcast key new` makes one) and MESHCAST_SEEDS"
        ),
        Some(Alone { seedless: false }) => tracing::warn!(
            "no key: this node has made one for itself alone, so no other can join it"
        ),
        None if seedless => {
            tracing::info!("no seeds: this node dials nobody, and is alone until others dial it");
        }
        None => {}
    }
}

/// Tells meshes apart, and nothing else of them.
fn fingerprint(mesh: MeshId) -> String {
    let digest = mesh.derive("meshcast v1 fingerprint of a mesh");
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Listens everywhere and waits until the sockets are there. Returns what else happened meanwhile:
/// others may dial the first socket before the last is there.
///
/// An IPv6 wildcard that the machine does not have is skipped if there is something else.
async fn listen_on(
    swarm: &mut Swarm<Behaviour>,
    addresses: Vec<Multiaddr>,
) -> Result<Vec<SwarmEvent<BehaviourEvent>>, SpawnError> {
    let (mut waiting, mut early) = (Vec::new(), Vec::new());
    let several = addresses.len() > 1;
    let optional = |address: &Multiaddr| several && is_ipv6_wildcard(address);
    for address in addresses {
        match swarm.listen_on(address.clone()) {
            Ok(listener) => waiting.push((listener, address)),
            Err(error) => match ListenError::of(&error) {
                reason @ (ListenError::NotHere | ListenError::Other(_)) if optional(&address) => {
                    tracing::info!(%address, %reason, "not listening on IPv6");
                }
                reason => return Err(SpawnError::Listen { address, reason }),
            },
        }
    }
    // Last what may be missing.
    waiting.sort_by_key(|(_, address)| optional(address));
    let start = Instant::now();
    while let Some((_, address)) = waiting.first() {
        let time_limit = if optional(address) {
            OPTIONAL_TIMEOUT
        } else {
            LISTEN_TIMEOUT
        };
        match timeout_at(start + time_limit, swarm.select_next_some()).await {
            Ok(SwarmEvent::NewListenAddr { listener_id, .. }) => {
                waiting.retain(|(id, _)| *id != listener_id)
            }
            Ok(SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            }) => {
                let closed = waiting.extract_if(.., |(id, _)| *id == listener_id).next();
                if let (Some((_, address)), Err(error)) = (closed, reason) {
                    let reason = ListenError::of(&error);
                    return Err(SpawnError::Listen { address, reason });
                }
            }
            Ok(event) => early.push(event),
            Err(_) if optional(address) => {
                tracing::info!(%address, "no interface has an IPv6 address yet");
                break;
            }
            Err(_) => {
                let (address, reason) = (address.clone(), ListenError::NoInterface(time_limit));
                return Err(SpawnError::Listen { address, reason });
            }
        }
    }
    Ok(early)
}

fn engine_config(limits: &Limits) -> Config {
    Config {
        max_message_len: limits.max_message_bytes,
        history: HistoryLimits {
            bytes: limits.history_bytes,
            age: limits.history_age,
        },
        // Above what the registry allows, which learns later what is closed.
        max_channels: MAX_NAMES + 2 * limits.max_channels,
        memory_bytes: limits.memory_bytes,
        ..Config::default()
    }
}

fn is_ipv6_wildcard(address: &Multiaddr) -> bool {
    address
        .iter()
        .any(|part| matches!(part, Protocol::Ip6(ip) if ip.is_unspecified()))
}

/// Connections are closed by us or by the other side, never for being quiet: an idle channel is
/// normal.
const IDLE_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Binding a socket is a matter of microseconds; this only ends a wait for an interface without
/// addresses.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for IPv6 beside other addresses: many machines have none, and start no later for it.
const OPTIONAL_TIMEOUT: Duration = Duration::from_millis(500);
