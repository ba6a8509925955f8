//! `meshcast up`

mod plan;

use std::{
    env, io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures::{StreamExt, future::try_join_all};
use meshcast::{MeshKey, Multiaddr, Node, NodeEvent, admin::AdminSocket};
use serde::Serialize;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};

use self::plan::{Planned, plan};
use super::{key, node::spawn_failure};
use crate::{
    args,
    exit::{Exit, Failure},
    output::Output,
    program,
    render::{self, Palette, Table},
    service::{self, CHANNEL, Service},
    signals::Signals,
};

pub(crate) async fn run(args: args::Up, output: &Output) -> Result<Exit, Failure> {
    let plan = plan(&args)?;
    let mut signals = Signals::new()?;
    let mut fleet = Fleet::default();
    let started = tokio::select! {
        started = fleet.start(&plan, &args) => started,
        () = signals.next() => Err(Failure::new(Exit::Interrupted, "interrupted while starting")),
    };
    let result = match started.and_then(|report| announce(&report, output)) {
        Ok(()) => {
            signals.next().await;
            output.note("stopping");
            Ok(Exit::Ok)
        }
        Err(failure) => Err(failure),
    };
    signals.exit_at_next();
    fleet.stop().await;
    result
}

/// The nodes of this process and their services.
#[derive(Debug, Default)]
struct Fleet {
    nodes: Vec<Node>,
    services: JoinSet<()>,
}

impl Fleet {
    /// Cancel safe: what has started by then is stopped by [`Self::stop`].
    async fn start(&mut self, plan: &[Planned], args: &args::Up) -> Result<Report, Failure> {
        // First, since it fails most often.
        let listeners = try_join_all(plan.iter().map(|planned| bind(planned.port))).await?;
        let key = new_key(args)?;
        let mut seeds = Vec::new();
        for planned in plan {
            let node = spawn(planned, key.clone(), &seeds, args).await?;
            self.nodes.push(node.clone());
            if seeds.is_empty() {
                seeds = listening(&node).await?;
            }
        }
        let mut rows = Vec::with_capacity(plan.len());
        for (node, listener) in self.nodes.iter().zip(listeners) {
            let address = listener.local_addr().map_err(Failure::io("listen"))?;
            rows.push(Row {
                name: node.name().to_string(),
                region: node.region().to_string(),
                url: format!("http://{address}"),
                peer_id: node.peer_id().to_string(),
            });
            let service = Service::open(node).map_err(Failure::failed)?;
            self.services.spawn(service::serve(listener, service));
        }
        timeout(READY_TIME, try_join_all(self.nodes.iter().map(Node::ready)))
            .await
            .map_err(|_| Failure::timeout("the nodes do not find each other").hint("see why with --verbose"))?
            .map_err(Failure::failed)?;
        Ok(Report {
            schema: "up/v1",
            nodes: rows,
        })
    }

    async fn stop(mut self) {
        self.services.shutdown().await;
        futures::future::join_all(self.nodes.iter().map(Node::shutdown)).await;
    }
}

async fn bind(port: u16) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Failure::failed(format!("port {port} is in use"))
                .hint("choose other ports with --http-base, or see what runs with `meshcast nodes`"),
            _ => Failure::io(format!("listen on {address}"))(error),
        })
}

/// A key for this run alone, unless the user has one.
fn new_key(args: &args::Up) -> Result<Option<MeshKey>, Failure> {
    let given = args.key_file.is_some() || env::var_os("MESHCAST_KEY").is_some_and(|key| !key.is_empty());
    if given {
        Ok(None)
    } else {
        key::generate().map(Some)
    }
}

async fn spawn(
    planned: &Planned,
    key: Option<MeshKey>,
    seeds: &[Multiaddr],
    args: &args::Up,
) -> Result<Node, Failure> {
    let mut builder = Node::builder()
        .name(&planned.name)
        .region(planned.region.as_str())
        .listen("/ip4/127.0.0.1/tcp/0".parse().map_err(Failure::failed)?)
        .seeds(seeds.iter().cloned())
        .admin(AdminSocket::Default);
    if let Some(key) = key {
        builder = builder.key(key);
    }
    if let Some(path) = &args.key_file {
        builder = builder.key_file(path);
    }
    builder.spawn().await.map_err(spawn_failure)
}

/// Where a node can be reached, as soon as it can.
async fn listening(node: &Node) -> Result<Vec<Multiaddr>, Failure> {
    let mut events = node.events();
    let listening = node
        .inspect()
        .await
        .map_err(Failure::failed)?
        .node
        .listen_addresses;
    if !listening.is_empty() {
        return Ok(listening);
    }
    let first = async {
        loop {
            match events.next().await? {
                NodeEvent::Listening(address) => return Some(vec![address]),
                _ => continue,
            }
        }
    };
    let address = timeout(READY_TIME, first)
        .await
        .map_err(|_| Failure::timeout("a node does not listen"))?;
    address.ok_or_else(|| Failure::failed("a node has stopped by itself"))
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    nodes: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    region: String,
    url: String,
    peer_id: String,
}

fn announce(report: &Report, output: &Output) -> Result<(), Failure> {
    output.result(report, || table(report, output.palette()))?;
    if let (false, Some(first), Some(last)) = (output.json(), report.nodes.first(), report.nodes.last()) {
        output.note(&format!(
            "\nTry:\n  curl '{}/send?message=hello'\n  curl {}/messages\n  {} watch {CHANNEL}\n\nCtrl-C ends them.",
            first.url,
            last.url,
            program::name()
        ));
    }
    Ok(())
}

fn table(report: &Report, palette: Palette) -> String {
    let mut table = Table::new(&["NAME", "REGION", "URL", "PEER ID"]);
    for node in &report.nodes {
        table.row([
            node.name.clone(),
            node.region.clone(),
            node.url.clone(),
            render::short(&node.peer_id),
        ]);
    }
    table.render(palette)
}

/// For nodes on one machine to find each other: a second even when it is busy.
const READY_TIME: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_url_and_id() {
        let row = Row {
            name: "fra-1".into(),
            region: "fra".into(),
            url: "http://127.0.0.1:8101".into(),
            peer_id: "12D3KooWAbCdEfGhIjKl".into(),
        };
        assert_eq!(
            table(
                &Report {
                    schema: "up/v1",
                    nodes: vec![row]
                },
                Palette::PLAIN
            ),
            "NAME   REGION  URL                    PEER ID\n\
             fra-1  fra     http://127.0.0.1:8101  …EfGhIjKl\n"
        );
    }
}
