//! `meshcast nodes`

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::Args as ClapArgs;
use futures::future::join_all;
use meshcast::admin::schema::{self, NodeReport};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    args::TEMPLATE,
    exit::{Exit, Failure},
    locate,
    output::Output,
    render::{self, Palette, Table, UNKNOWN},
};

/// List the nodes of this machine
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast nodes
  meshcast nodes --json")]
pub(crate) struct Nodes {
    /// Show ids and addresses in full
    #[arg(long)]
    pub(crate) full: bool,
}

pub(crate) async fn run(args: Nodes, output: &Output) -> Result<Exit, Failure> {
    let clients = locate::live().await?;
    let asked = clients
        .iter()
        .map(|client| timeout(PATIENCE, client.get::<NodeReport>("/v1/node")));
    let mut nodes = Vec::new();
    let mut silent = false;
    for (client, answer) in clients.iter().zip(join_all(asked).await) {
        match answer {
            Ok(Ok(report)) => nodes.push(Row {
                node: report.node,
                socket: client.socket().clone(),
            }),
            // It ended in between.
            Ok(Err(failure)) if failure.exit == Exit::NoNode => {}
            // Somebody else's is none of ours, silent or not.
            Ok(Err(failure)) if failure.exit == Exit::NotPermitted => output.note(&failure.message),
            Ok(Err(failure)) => {
                silent = true;
                output.note(&failure.message);
            }
            Err(_) => {
                silent = true;
                output.note(&format!("{} does not answer", client.name()));
            }
        }
    }
    let report = Report {
        schema: "nodes/v1",
        nodes,
    };
    if output.json() || !report.nodes.is_empty() {
        output.result(&report, || {
            table(&report, args.full, SystemTime::now(), output.palette())
        })?;
    }
    match (report.nodes.is_empty(), silent) {
        (_, true) => Ok(Exit::Partial),
        (true, false) => Err(locate::none()),
        (false, false) => Ok(Exit::Ok),
    }
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    nodes: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    node: schema::Node,
    socket: PathBuf,
}

fn table(report: &Report, full: bool, now: SystemTime, palette: Palette) -> String {
    let mut table = Table::new(&[
        "NAME",
        "REGION",
        "PEER ID",
        ">PID",
        ">UP",
        ">PEERS",
        ">CHANNELS",
        "LISTENS ON",
    ]);
    for Row { node, .. } in &report.nodes {
        let listens = match full {
            true => node.listen_addresses.join(" "),
            false => node.listen_addresses.first().cloned().unwrap_or_default(),
        };
        table.row([
            render::text(&node.name),
            render::text(&node.region),
            if full {
                node.peer_id.clone()
            } else {
                render::short(&node.peer_id)
            },
            node.pid.to_string(),
            render::since(&node.started_at, now),
            node.peers.to_string(),
            node.channels.to_string(),
            if listens.is_empty() {
                UNKNOWN.into()
            } else {
                render::text(&listens)
            },
        ]);
    }
    table.render(palette)
}

/// A node that is well answers in a millisecond.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let node = schema::Node {
            name: "fra-1".into(),
            region: "fra".into(),
            peer_id: "12D3KooWAbCdEfGhIjKl".into(),
            mesh: "00ff00ff00ff00ff".into(),
            pid: 4711,
            started_at: "1970-01-01T00:00:00.000Z".into(),
            listen_addresses: vec!["/ip4/127.0.0.1/tcp/1".into()],
            version: "0.1.0".into(),
            peers: 2,
            channels: 1,
        };
        Report {
            schema: "nodes/v1",
            nodes: vec![Row {
                node,
                socket: "/run/fra-1.sock".into(),
            }],
        }
    }

    #[test]
    fn the_json_is_the_documented_one() {
        assert_eq!(
            serde_json::to_string(&report()).expect("plain"),
            concat!(
                r#"{"schema":"nodes/v1","nodes":[{"name":"fra-1","region":"fra","#,
                r#""peer_id":"12D3KooWAbCdEfGhIjKl","mesh":"00ff00ff00ff00ff","pid":4711,"#,
                r#""started_at":"1970-01-01T00:00:00.000Z","#,
                r#""listen_addresses":["/ip4/127.0.0.1/tcp/1"],"version":"0.1.0","peers":2,"channels":1,"#,
                r#""socket":"/run/fra-1.sock"}]}"#
            )
        );
    }

    #[test]
    fn the_table_fits_a_terminal() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        assert_eq!(
            table(&report(), false, now, Palette::PLAIN),
            "NAME   REGION  PEER ID     PID  UP  PEERS  CHANNELS  LISTENS ON\n\
             fra-1  fra     …EfGhIjKl  4711  5s      2         1  /ip4/127.0.0.1/tcp/1\n"
        );
    }
}
