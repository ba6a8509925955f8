//! `meshcast up`

mod faults;
mod fleet;
mod plan;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use meshcast::{Region, admin::Listener};
use serde::Serialize;
use tokio::{net::TcpListener, sync::mpsc};

use self::{faults::Asked, fleet::Fleet, plan::plan};
use super::node::spawn_failure;
use crate::{
    args,
    descriptors::{self, Need},
    exit::{Exit, Failure},
    faults::Request,
    locate,
    output::Output,
    program,
    render::{self, Palette, Table},
    service::CHANNEL,
    signals::Signals,
};

pub(crate) async fn run(args: args::Up, output: &Output) -> Result<Exit, Failure> {
    let plan = plan(&args)?;
    descriptors::make_room(Need::of_nodes(plan.nodes.len() as u64))?;
    let mut signals = Signals::new()?;
    let mut fleet = Fleet::new(&plan, &args)?;
    let started = tokio::select! {
        started = fleet.start(&plan) => started,
        () = signals.next() => Err(Failure::new(Exit::Interrupted, "interrupted while starting")),
    };
    let result = match started {
        Ok(report) => stay(&mut fleet, &report, &mut signals, output).await,
        Err(failure) => Err(failure),
    };
    signals.exit_at_next();
    for (name, shutdown) in fleet.stop().await {
        if !shutdown.is_complete() {
            output.note(&format!("{name} stopped: {shutdown}"));
        }
    }
    result
}

/// Does what `meshcast fault` says until it is time to stop.
async fn stay(
    fleet: &mut Fleet,
    report: &Report,
    signals: &mut Signals,
    output: &Output,
) -> Result<Exit, Failure> {
    let first = report.nodes.first().map_or("none", |node| &node.name);
    let socket = Listener::bind_beside_nodes(&format!("{first}.{}", locate::UP)).await;
    let socket = socket.map_err(|error| spawn_failure(error.into()))?;
    let (sender, mut asked) = mpsc::channel::<Asked>(1);
    let serving = faults::serve(socket, sender);
    tokio::pin!(serving);
    announce(report, output)?;
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = &mut serving => break,
            Some((request, answer)) = asked.recv() => {
                let done = match &request {
                    None => Ok(fleet.status()),
                    Some(request) => fleet.handle(request).await,
                };
                if let (Some(request), Ok(_)) = (&request, &done) {
                    output.note(&describe(request));
                }
                // Whoever asked may have left.
                drop(answer.send(done));
            }
        }
    }
    output.note("stopping");
    Ok(Exit::Ok)
}

/// What was done, for whoever looks at the terminal of `up`.
fn describe(request: &Request) -> String {
    match request {
        Request::Partition { groups } => {
            let groups: Vec<_> = groups.iter().map(|group| group.join(",")).collect();
            format!("fault: partition {}", groups.join(" | "))
        }
        Request::OneWay { from, to } => format!("fault: nothing passes from {from} to {to}"),
        Request::Heal {} => "fault: all links are mended".into(),
        Request::Kill {
            node,
            silent: false,
        } => format!("fault: {node} is killed"),
        Request::Kill { node, silent: true } => format!("fault: {node} is gone, silently"),
        Request::Restart { node } => format!("fault: {node} is started again"),
        Request::Pause { node } => format!("fault: {node} is paused"),
        Request::Resume { node } => format!("fault: {node} goes on"),
    }
}

async fn bind(port: u16) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Failure::failed(format!("port {port} is in use")).hint(
                "choose other ports with --http-base, or see what runs with `meshcast nodes`",
            ),
            _ => Failure::io(format!("listen on {address}"))(error),
        })
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    nodes: Vec<Row>,
    round_trips: Vec<RoundTrip>,
}

#[derive(Debug, Serialize)]
struct RoundTrip {
    from: String,
    to: String,
    rtt_us: u64,
}

impl Report {
    fn new(nodes: Vec<Row>, round_trips: &[(Region, Region, Duration)]) -> Self {
        let round_trips = round_trips.iter().map(|(from, to, rtt)| RoundTrip {
            from: from.to_string(),
            to: to.to_string(),
            rtt_us: u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX),
        });
        Self {
            schema: "up/v1",
            nodes,
            round_trips: round_trips.collect(),
        }
    }
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
    if let (false, Some(first), Some(last)) =
        (output.json(), report.nodes.first(), report.nodes.last())
    {
        let meshcast = program::name();
        let mut note = format!(
            "\nTry:\n  curl '{}/send?message=hello'\n  curl {}/messages\n  {meshcast} watch {CHANNEL}\n",
            first.url, last.url,
        );
        if report.nodes.len() > 1 {
            note += &format!("  {meshcast} fault partition {}\n", last.name);
        }
        output.note(&(note + "\nCtrl-C ends them."));
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
    let mut shown = table.render(palette);
    if !report.round_trips.is_empty() {
        shown += "\nBetween regions it takes so long there and back (--rtt none: no time):\n";
        shown += &distances(&report.round_trips, palette);
    }
    shown
}

/// A triangle: each pair once.
fn distances(round_trips: &[RoundTrip], palette: Palette) -> String {
    let mut regions: Vec<&str> = Vec::new();
    for name in round_trips.iter().flat_map(|trip| [&trip.from, &trip.to]) {
        if !regions.contains(&name.as_str()) {
            regions.push(name);
        }
    }
    let millis = |a: &str, b: &str| {
        let is = |trip: &&RoundTrip| {
            (trip.from == a && trip.to == b) || (trip.from == b && trip.to == a)
        };
        let trip = round_trips.iter().find(is);
        render::rtt(trip.map(|trip| trip.rtt_us))
    };
    let header: Vec<String> = regions.iter().map(|region| format!(">{region}")).collect();
    let header: Vec<&str> = [""]
        .into_iter()
        .chain(header.iter().map(String::as_str))
        .collect();
    let mut table = Table::new(&header);
    for (i, from) in regions.iter().enumerate() {
        let cells = regions.iter().take(i + 1).map(|to| match from == to {
            true if millis(from, to) == render::UNKNOWN => String::new(),
            _ => millis(from, to),
        });
        let row = [(*from).to_owned()].into_iter().chain(cells);
        table.row(row.chain(std::iter::repeat_n(String::new(), regions.len() - i - 1)));
    }
    table.render(palette)
}

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
            table(&Report::new(vec![row], &[]), Palette::PLAIN),
            "NAME   REGION  URL                    PEER ID\n\
             fra-1  fra     http://127.0.0.1:8101  …EfGhIjKl\n"
        );
    }

    #[test]
    fn round_trips_are_a_triangle_with_each_pair_once() {
        let region = |name: &str| Region::new(name).expect("a name");
        let trip = |a: &str, b: &str, ms| (region(a), region(b), Duration::from_micros(ms));
        let trips = [
            trip("fra", "iad", 97_000),
            trip("iad", "nrt", 165_500),
            trip("nrt", "nrt", 2_000),
        ];
        assert_eq!(
            distances(&Report::new(Vec::new(), &trips).round_trips, Palette::PLAIN),
            "         fra     iad      nrt\n\
             fra\n\
             iad  97.0 ms\n\
             nrt        -  166 ms  2.00 ms\n"
        );
    }
}
