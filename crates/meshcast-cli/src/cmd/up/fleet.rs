//! The nodes of this process and their services.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::try_join_all;
use meshcast::{
    MeshKey, NodeName, Shutdown,
    admin::{AdminSocket, schema::Problem, schema::code},
    netem::Place,
};
use meshcast_sim::{
    Cluster, ClusterBuilder, ClusterError, Cost, Death, DeedKind, Entry, Play, Since,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::Instant};

use super::{Report, Row, args::Up, bind, plan::Plan};
use crate::{
    cmd::{key, node::spawn_failure},
    dashboard::Current,
    exit::{Exit, Failure},
    faults::{CONFLICT, Request, Status},
    service::{self, Service},
};

/// Nodes, and the HTTP service of each.
#[derive(Debug)]
pub(super) struct Fleet {
    cluster: Cluster,
    /// When its log began.
    began: Instant,
    /// What nodes cost that were killed.
    spent: Cost,
    /// The listen address of a node's service, also while it is down.
    addresses: BTreeMap<NodeName, SocketAddr>,
    services: BTreeMap<NodeName, JoinSet<()>>,
    /// The state that the page shows: sent after each change, so that it need not wait for the
    /// next.
    current: watch::Sender<Arc<Current>>,
}

impl Fleet {
    /// A fleet of which nothing runs yet.
    pub(super) fn new(plan: &Plan, args: &Up, play: Option<&Play>) -> Result<Self, Failure> {
        let builder = match play {
            Some(play) => play.cluster().map_err(failure)?,
            None => described(plan)?,
        };
        let builder = builder.key(new_key(args)?);
        let key_file = args.key_file.clone();
        let builder = builder.configure(move |builder| {
            let builder = builder.admin(AdminSocket::Default);
            match &key_file {
                Some(path) => builder.key_file(path),
                None => builder,
            }
        });
        Ok(Self {
            cluster: builder.build().map_err(failure)?,
            began: Instant::now(),
            spent: Cost::default(),
            addresses: BTreeMap::new(),
            services: BTreeMap::new(),
            current: watch::Sender::default(),
        })
    }

    /// Starts all nodes, or only these. Cancel-safe: what has started by then is stopped by
    /// [`Self::stop`].
    pub(super) async fn start(
        &mut self,
        plan: &Plan,
        first: Option<&[(String, Since)]>,
    ) -> Result<Report, Failure> {
        // First, since it fails most often.
        let listeners = try_join_all(plan.nodes.iter().map(|node| bind(node.port))).await?;
        match first {
            None => self.cluster.start().await.map_err(failure)?,
            Some(first) => {
                for (name, since) in first {
                    self.cluster.hear_since(name, *since).map_err(failure)?;
                    self.cluster.restart(name).await.map_err(failure)?;
                }
            }
        }
        let mut rows = Vec::new();
        for (planned, listener) in plan.nodes.iter().zip(listeners) {
            let address = listener.local_addr().map_err(Failure::io("listen"))?;
            let node = self.cluster.node(&planned.name).ok();
            rows.push(Row {
                name: planned.name.clone(),
                region: planned.region.to_string(),
                url: format!("http://{address}"),
                peer_id: node.map(|node| node.peer_id().to_string()),
            });
            let name = NodeName::new(&planned.name).map_err(Failure::usage)?;
            self.addresses.insert(name, address);
            // One that joins later gets the same port then.
            if node.is_some() {
                self.serve(&planned.name, listener)?;
            }
        }
        self.cluster.ready().await.map_err(failure)?;
        self.tell();
        Ok(Report::new(rows, &plan.round_trips))
    }

    /// What of all this is to be shown.
    pub(super) fn status(&self) -> Status {
        Status::of(&self.cluster)
    }

    /// What runs, always the latest.
    pub(super) fn current(&self) -> watch::Receiver<Arc<Current>> {
        self.current.subscribe()
    }

    /// Does what `meshcast fault` asks for.
    pub(super) async fn handle(&mut self, request: &Request) -> Result<Status, Problem> {
        let done = self.change(request).await;
        // Also after what failed: a node that does not start is down.
        self.tell();
        done
    }

    async fn change(&mut self, request: &Request) -> Result<Status, Problem> {
        let done = match request {
            Request::Partition { groups } => self.cluster.partition(groups),
            Request::OneWay { from, to } => self.cluster.one_way(from, to),
            Request::Heal {} => {
                self.cluster.heal();
                Ok(())
            }
            Request::Kill { node, silent } => {
                let death = if *silent { Death::Vanish } else { Death::Crash };
                let killed = self.cluster.kill(node, death).await;
                if killed.is_ok() {
                    self.end_service(node).await;
                }
                killed
            }
            Request::Restart { node } => return self.restart(node).await,
            Request::Pause { node } => self.cluster.pause(node),
            Request::Resume { node } => self.cluster.resume(node),
            Request::Mend { a, b } => self.cluster.mend(a, b),
        };
        done.map_err(|error| self.problem(&error))?;
        Ok(self.status())
    }

    async fn restart(&mut self, name: &str) -> Result<Status, Problem> {
        self.end_service(name).await;
        let restarted = self.cluster.restart(name).await;
        restarted.map_err(|error| self.problem(&error))?;
        let failed = |failure: Failure| Problem {
            code: CONFLICT.into(),
            message: format!("{name} runs, but its service does not: {}", failure.message),
        };
        let address = self
            .addresses
            .iter()
            .find(|(node, _)| node.as_str() == name);
        if let Some((_, address)) = address {
            let listener = bind(address.port()).await.map_err(failed)?;
            self.serve(name, listener).map_err(failed)?;
        }
        Ok(self.status())
    }

    /// When its log began.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// Does what a scenario says.
    pub(super) async fn perform(&mut self, deed: DeedKind) -> Result<(), Problem> {
        let request = match deed {
            DeedKind::Start(node, since) => {
                let set = self.cluster.hear_since(&node, since);
                set.map_err(|error| self.problem(&error))?;
                Request::Restart { node }
            }
            DeedKind::Kill(node, death) => {
                let silent = death == Death::Vanish;
                let spent = self.cost_of(&node).await;
                self.spent = sum(self.spent, spent);
                Request::Kill { node, silent }
            }
            DeedKind::Pause(node) => Request::Pause { node },
            DeedKind::Resume(node) => Request::Resume { node },
            deed @ DeedKind::Post(..) => {
                let done = self.cluster.perform(deed).await;
                return done.map_err(|error| self.problem(&error));
            }
            deed => {
                let done = self.cluster.perform(deed).await;
                self.tell();
                return done.map_err(|error| self.problem(&error));
            }
        };
        self.handle(&request).await.map(drop)
    }

    /// Waits until all that run have the same, so long at most. The log tells what they lack then.
    pub(super) async fn agree(&self, limit: Duration) {
        let _ = self.cluster.agree(limit).await;
    }

    /// What was sent so far, of the nodes of a scenario.
    pub(super) async fn cost(&self) -> Cost {
        let mut all = self.spent;
        for node in self.cluster.status() {
            all = sum(all, self.cost_of(node.name.as_str()).await);
        }
        let bytes = self.cluster.links().carried_bytes();
        Cost { bytes, ..all }
    }

    async fn cost_of(&self, name: &str) -> Cost {
        let Ok(node) = self.cluster.node(name) else {
            return Cost::default();
        };
        // One that has stopped says nothing more.
        let Ok(snapshot) = node.inspect().await else {
            return Cost::default();
        };
        let counters = snapshot.counters;
        Cost {
            frames: counters.frames_posted,
            copies: counters.traffic.frames_gossiped,
            bytes: 0,
            requests: counters.requests,
            repaired: counters.frames_repaired,
        }
    }

    /// Ends all nodes at once, and returns what was written down.
    pub(super) async fn finish(mut self) -> Vec<Entry> {
        for service in self.services.values_mut() {
            service.shutdown().await;
        }
        self.cluster.finish().await
    }

    /// Ends all nodes, and says what each left behind.
    pub(super) async fn stop(mut self) -> Vec<(NodeName, Shutdown)> {
        for service in self.services.values_mut() {
            service.shutdown().await;
        }
        self.cluster.shutdown().await
    }

    fn tell(&self) {
        let status = self.status();
        let nodes = status.nodes.iter().filter_map(|status| {
            let node = self.cluster.node(&status.name).ok()?;
            let address = self.addresses.get(node.name())?;
            Some((
                status.name.clone(),
                (node.downgrade(), format!("http://{address}")),
            ))
        });
        self.current.send_replace(Arc::new(Current {
            nodes: nodes.collect(),
            status: Some(status),
        }));
    }

    fn serve(&mut self, name: &str, listener: TcpListener) -> Result<(), Failure> {
        let node = self.cluster.node(name).map_err(failure)?;
        let service = Service::open(node).map_err(Failure::failed)?;
        let tasks = self.services.entry(node.name().clone()).or_default();
        tasks.spawn(service::serve(listener, service));
        Ok(())
    }

    async fn end_service(&mut self, name: &str) {
        let service = self
            .services
            .iter_mut()
            .find(|(node, _)| node.as_str() == name);
        if let Some((_, service)) = service {
            service.shutdown().await;
        }
    }

    /// For whoever named what is no node: the nodes of the region of that name, or else all.
    fn who_is_there(&self, name: &str) -> String {
        let nodes = self.cluster.status().into_iter();
        let inside = nodes.filter(|node| node.region.as_str() == name);
        let inside: Vec<_> = inside.map(|node| node.name.to_string()).collect();
        if !inside.is_empty() {
            return format!("; {name} is a region, its nodes are {}", inside.join(", "));
        }
        let names: Vec<_> = self.addresses.keys().map(NodeName::as_str).collect();
        format!("; the nodes here are {}", names.join(", "))
    }

    fn problem(&self, error: &ClusterError) -> Problem {
        let code = match error {
            ClusterError::NoSuchNode(_)
            | ClusterError::NoSuchPlace(_)
            | ClusterError::NoPartition(_)
            | ClusterError::SameNodes(..)
            | ClusterError::Label(_) => code::BAD_REQUEST,
            _ => CONFLICT,
        };
        let mut message = error.to_string();
        if let ClusterError::NoSuchNode(name) | ClusterError::NoSuchPlace(name) = error {
            message += &self.who_is_there(name);
        }
        Problem {
            code: code.into(),
            message,
        }
    }
}

fn described(plan: &Plan) -> Result<ClusterBuilder, Failure> {
    let mut entropy = [0; 8];
    getrandom::fill(&mut entropy)
        .map_err(|error| Failure::failed(format!("the system gives no random numbers: {error}")))?;
    let mut builder = Cluster::builder(u64::from_le_bytes(entropy));
    for node in &plan.nodes {
        let region = node.region.as_str();
        builder = builder.node(&node.name, region).map_err(failure)?;
    }
    for (a, b, shape) in &plan.links {
        let (a, b) = (Place::Region(a.clone()), Place::Region(b.clone()));
        builder.links().shape_both(&a, &b, *shape);
    }
    Ok(builder)
}

const fn sum(a: Cost, b: Cost) -> Cost {
    Cost {
        frames: a.frames + b.frames,
        copies: a.copies + b.copies,
        bytes: a.bytes + b.bytes,
        requests: a.requests + b.requests,
        repaired: a.repaired + b.repaired,
    }
}

/// A key for this run alone, unless the user has one.
fn new_key(args: &Up) -> Result<Option<MeshKey>, Failure> {
    let variable = std::env::var_os("MESHCAST_KEY");
    let given = args.key_file.is_some() || variable.is_some_and(|key| !key.is_empty());
    if given {
        Ok(None)
    } else {
        key::generate().map(Some)
    }
}

fn failure(error: ClusterError) -> Failure {
    match error {
        ClusterError::Spawn { source, .. } => spawn_failure(source),
        ClusterError::NotReady(_) => {
            Failure::new(Exit::Timeout, "the nodes do not find each other")
                .hint("see why with --verbose")
        }
        _ => Failure::failed(error),
    }
}
