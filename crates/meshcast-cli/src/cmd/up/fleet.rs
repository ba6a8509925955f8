//! The nodes of this process and their services.

use std::{collections::BTreeMap, net::SocketAddr};

use futures::future::try_join_all;
use meshcast::{
    MeshKey, NodeName, Shutdown,
    admin::{AdminSocket, schema::Problem, schema::code},
};
use meshcast_sim::{Cluster, ClusterError, Death};
use tokio::{net::TcpListener, task::JoinSet};

use super::{Report, Row, bind, plan::Plan};
use crate::{
    args,
    cmd::{key, node::spawn_failure},
    exit::{Exit, Failure},
    faults::{CONFLICT, Request, Status},
    service::{self, Service},
};

/// Nodes, and the HTTP service of each.
#[derive(Debug)]
pub(super) struct Fleet {
    cluster: Cluster,
    /// Where the service of a node listens, also while it is down.
    addresses: BTreeMap<NodeName, SocketAddr>,
    services: BTreeMap<NodeName, JoinSet<()>>,
}

impl Fleet {
    /// A fleet of which nothing runs yet.
    pub(super) fn new(plan: &Plan, args: &args::Up) -> Result<Self, Failure> {
        let mut entropy = [0; 8];
        getrandom::fill(&mut entropy).map_err(|error| {
            Failure::failed(format!("the system gives no random numbers: {error}"))
        })?;
        let mut builder = Cluster::builder(u64::from_le_bytes(entropy)).key(new_key(args)?);
        for node in &plan.nodes {
            builder = builder
                .node(&node.name, node.region.as_str())
                .map_err(failure)?;
        }
        for (a, b, takes) in &plan.round_trips {
            builder = builder
                .round_trip(a.as_str(), b.as_str(), *takes)
                .map_err(failure)?;
        }
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
            addresses: BTreeMap::new(),
            services: BTreeMap::new(),
        })
    }

    /// Cancel-safe: what has started by then is stopped by [`Self::stop`].
    pub(super) async fn start(&mut self, plan: &Plan) -> Result<Report, Failure> {
        // First, since it fails most often.
        let listeners = try_join_all(plan.nodes.iter().map(|node| bind(node.port))).await?;
        self.cluster.start().await.map_err(failure)?;
        let mut rows = Vec::new();
        for (planned, listener) in plan.nodes.iter().zip(listeners) {
            let node = self.cluster.node(&planned.name).map_err(failure)?;
            let address = listener.local_addr().map_err(Failure::io("listen"))?;
            rows.push(Row {
                name: planned.name.clone(),
                region: planned.region.to_string(),
                url: format!("http://{address}"),
                peer_id: node.peer_id().to_string(),
            });
            self.addresses.insert(node.name().clone(), address);
            self.serve(&planned.name, listener)?;
        }
        self.cluster.ready().await.map_err(failure)?;
        Ok(Report::new(rows, &plan.round_trips))
    }

    /// What of all this is to be shown.
    pub(super) fn status(&self) -> Status {
        Status::of(&self.cluster)
    }

    /// Does what `meshcast fault` asks for.
    pub(super) async fn handle(&mut self, request: &Request) -> Result<Status, Problem> {
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

    /// Ends all nodes, and says what each left behind.
    pub(super) async fn stop(mut self) -> Vec<(NodeName, Shutdown)> {
        for service in self.services.values_mut() {
            service.shutdown().await;
        }
        self.cluster.shutdown().await
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

/// A key for this run alone, unless the user has one.
fn new_key(args: &args::Up) -> Result<Option<MeshKey>, Failure> {
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
