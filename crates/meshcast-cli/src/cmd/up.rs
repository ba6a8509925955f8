//! `meshcast up`

mod args;
mod faults;
mod fleet;
mod plan;
mod playing;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use meshcast::{Region, admin::Listener};
use meshcast_sim::KNOWN_REGIONS;
use serde::Serialize;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

pub(crate) use self::args::Up;
use self::{
    args::Page,
    fleet::Fleet,
    plan::{Plan, plan},
    playing::{Due, Playing},
};
use super::node::spawn_failure;
use crate::{
    client::Client,
    dashboard::{self, Kind, PageKey, Scene, Timeline},
    descriptors::{self, Need},
    exit::{Exit, Failure},
    faults::{Asked, CONFLICT, Request, Status},
    locate,
    output::Output,
    program,
    render::{self, Palette, Table},
    service::CHANNEL,
    signals::Signals,
};

pub(crate) async fn run(args: Up, output: &Output) -> Result<Exit, Failure> {
    let mut playing = Playing::of(&args)?;
    if let Some(playing) = &playing {
        playing.tell_left_out(output);
    }
    let plan = plan(&args, playing.as_ref().map(Playing::play))?;
    if let Some(warning) = plan.warning() {
        output.note(&warning);
    }
    descriptors::make_room(Need::of_nodes(plan.nodes.len() as u64))?;
    let mut signals = Signals::new()?;
    let mut fleet = Fleet::new(&plan, &args, playing.as_ref().map(Playing::play))?;
    // Before the nodes: whoever asked for a port that is taken need not wait to hear it.
    let page = match args.page {
        Page::None => None,
        Page::At(port) => Some(
            dashboard::bind(port)
                .await
                .map_err(|error| page_failure(error, port))?,
        ),
    };
    let first = playing.as_mut().map(Playing::take_first);
    let started = tokio::select! {
        started = fleet.start(&plan, first.as_deref()) => started,
        () = signals.next() => Err(Failure::new(Exit::Interrupted, "interrupted while starting")),
    };
    let result = match started {
        Ok(report) => {
            let shown = (report, page);
            stay(&mut fleet, shown, playing.as_mut(), &mut signals, output).await
        }
        Err(failure) => Err(beside_another(failure, &plan).await),
    };
    signals.exit_at_next();
    let is_scenario = playing.is_some();
    if let (Ok(Left::Over), Some(playing)) = (&result, playing) {
        let cost = fleet.cost().await;
        let log = fleet.finish().await;
        return playing.conclude(&log, cost, output);
    }
    if result.is_ok() {
        output.note(&stopping(&fleet.status()));
    }
    for (name, shutdown) in fleet.stop().await {
        if !shutdown.is_complete() {
            output.note(&format!("{name} stopped: {shutdown}"));
        }
    }
    // A scenario that was not played to its end did not pass.
    result.map(|_| match is_scenario {
        true => Exit::Interrupted,
        false => Exit::Ok,
    })
}

/// Why it is time to stop.
enum Left {
    /// Somebody wants it.
    Asked,
    /// The scenario is over.
    Over,
}

/// Does what `meshcast fault` says, and a scenario, until it is time to stop.
async fn stay(
    fleet: &mut Fleet,
    (mut report, page): (Report, Option<TcpListener>),
    mut playing: Option<&mut Playing>,
    signals: &mut Signals,
    output: &Output,
) -> Result<Left, Failure> {
    let first = report.nodes.first().map_or("none", |node| &node.name);
    let socket = Listener::bind_beside_nodes(&format!("{first}.{}", locate::UP)).await;
    let socket = socket.map_err(|error| spawn_failure(error.into()))?;
    let (sender, mut asked) = mpsc::channel::<Asked>(1);
    let mut serving = JoinSet::new();
    serving.spawn(faults::serve(socket, sender.clone(), fleet.current()));
    let timeline = Timeline::default();
    let _page = match page {
        None => None,
        Some(listener) => {
            let address = listener.local_addr().map_err(Failure::io("listen"))?;
            let key = PageKey::random()?;
            report.page = Some(key.address(address));
            let scene = Scene::Up {
                current: fleet.current(),
                asked: sender,
            };
            let mut page = JoinSet::new();
            page.spawn(dashboard::serve(listener, key, scene, timeline.clone()));
            Some(page)
        }
    };
    announce(&report, output)?;
    if let Some(playing) = &mut playing {
        playing.begin(fleet.began());
    }
    loop {
        tokio::select! {
            () = signals.next() => break,
            due = due(playing.as_deref_mut()) => match due {
                Due::Told(kind, text) => {
                    output.note(&format!("scenario: {text}"));
                    timeline.note(kind, text, None);
                }
                // Two faults may be about the same node.
                Due::Deed(deed) => tokio::select! {
                    done = fleet.perform(deed) => if let Err(problem) = done {
                        output.note(&format!("scenario: {}", problem.message));
                    },
                    () = signals.next() => break,
                },
                Due::Over => {
                    let bound = playing.as_ref().map_or(Duration::ZERO, |it| it.bound());
                    tokio::select! {
                        () = fleet.agree(bound) => return Ok(Left::Over),
                        () = signals.next() => break,
                    }
                }
            },
            Some((request, answer)) = asked.recv() => {
                let done = tokio::select! {
                    done = fleet.handle(&request) => done,
                    () = signals.next() => break,
                };
                if done.is_ok() {
                    let done = describe(&request);
                    output.note(&done);
                    let text = done.trim_start_matches("fault: ").to_owned();
                    timeline.note(kind(&request), text, request.node().cloned());
                }
                // The caller may have left.
                drop(answer.send(done));
            }
        }
    }
    Ok(Left::Asked)
}

/// Said before it stops, since that may take seconds.
fn stopping(status: &Status) -> String {
    let cut = match status.is_whole() {
        true => "",
        false => " over the links that are left",
    };
    format!(
        "stopping… the nodes hand over what they have{cut}, for 7 s at most; Ctrl-C again ends them \
         at once"
    )
}

/// A failure to start for want of a name or a port: another `up` has it, most likely.
async fn beside_another(failure: Failure, plan: &Plan) -> Failure {
    if failure.code != CONFLICT {
        return failure;
    }
    let (Ok(ups), Ok(live)) = (locate::ups().await, locate::live().await) else {
        return failure;
    };
    if ups.is_empty() {
        return failure;
    }
    let taken: Vec<_> = live.iter().map(Client::name).collect();
    let meshcast = program::name();
    failure.hint(format!(
        "`meshcast up` runs here already: look at it with `{meshcast} top`, or end it with Ctrl-C \
         in its terminal; run another beside it with `{meshcast} up{} --http-base 0`",
        other_regions(plan, &taken)
    ))
}

/// Options that give nodes names which nobody has yet: as many regions as were wanted, if there are
/// so many.
fn other_regions(plan: &Plan, taken: &[&str]) -> String {
    let mut wanted: Vec<_> = plan.nodes.iter().map(|node| &node.region).collect();
    wanted.dedup();
    let is_free = |region: &&&str| {
        let of_it = |name: &&str| {
            name.strip_prefix(**region)
                .is_some_and(|it| it.starts_with('-'))
        };
        !taken.iter().any(of_it)
    };
    let free = KNOWN_REGIONS.iter().filter(is_free).take(wanted.len());
    let free: Vec<_> = free.copied().collect();
    if free.is_empty() {
        return String::new();
    }
    format!(" --regions {}", free.join(","))
}

/// The next step of a scenario, if there is one.
async fn due(playing: Option<&mut Playing>) -> Due {
    match playing {
        Some(playing) => playing.due().await,
        None => std::future::pending().await,
    }
}

/// The step that was done, for people at the terminal of `up`.
fn describe(request: &Request) -> String {
    match request {
        Request::Partition { groups } => {
            let groups: Vec<_> = groups.iter().map(|group| group.join(",")).collect();
            match &groups[..] {
                [alone] => format!("fault: {alone} is cut off from all others"),
                _ => format!("fault: nothing passes between {}", groups.join(" and ")),
            }
        }
        Request::OneWay { from, to } => format!("fault: nothing passes from {from} to {to}"),
        Request::Heal {} => "fault: all links are mended".into(),
        Request::Mend { a, b } => format!("fault: links between {a} and {b} are mended"),
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

const fn kind(request: &Request) -> Kind {
    match request {
        Request::Heal {}
        | Request::Mend { .. }
        | Request::Restart { .. }
        | Request::Resume { .. } => Kind::Mend,
        _ => Kind::Fault,
    }
}

fn page_failure(error: io::Error, port: Option<u16>) -> Failure {
    let failure = Failure::io(format!(
        "serve the page at port {}",
        port.unwrap_or_default()
    ))(error);
    failure.hint("choose another one with --page, or none with --page none")
}

async fn bind(port: u16) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Failure {
                code: CONFLICT.into(),
                ..Failure::failed(format!("port {port} is in use"))
                    .hint("choose other ports with --http-base; 0 lets the system choose")
            },
            _ => Failure::io(format!("listen on {address}"))(error),
        })
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    /// The address to open in a browser, with the key of the page; `null` if there is none.
    page: Option<String>,
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
            page: None,
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
    /// `null` if it starts later.
    peer_id: Option<String>,
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
            node.peer_id
                .as_deref()
                .map_or_else(|| render::UNKNOWN.to_owned(), render::short),
        ]);
    }
    let page = report.page.as_ref();
    let mut shown = page.map_or_else(String::new, |url| {
        format!("See it, and break it: {url}\n\n")
    });
    shown += &table.render(palette);
    if !report.round_trips.is_empty() {
        shown += "\nRound trips between regions (`--rtt none`: none):\n";
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
            peer_id: Some("12D3KooWAbCdEfGhIjKl".into()),
        };
        assert_eq!(
            table(&Report::new(vec![row], &[]), Palette::PLAIN),
            "NAME   REGION  URL                    PEER ID\n\
             fra-1  fra     http://127.0.0.1:8101  …EfGhIjKl\n"
        );
    }

    #[test]
    fn a_partition_is_told_in_words() {
        let told = |groups: &[&[&str]]| {
            let owned = |group: &&[&str]| group.iter().map(|it| (*it).to_owned()).collect();
            let groups = groups.iter().map(owned).collect();
            describe(&Request::Partition { groups })
        };
        assert_eq!(told(&[&["fra"]]), "fault: fra is cut off from all others");
        assert_eq!(
            told(&[&["fra"], &["iad", "nrt-1"]]),
            "fault: nothing passes between fra and iad,nrt-1"
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
