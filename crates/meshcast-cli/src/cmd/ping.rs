//! `meshcast ping`

use std::time::Duration;

use clap::Args as ClapArgs;
use clap_complete::ArgValueCompleter;
use futures::future::try_join_all;
use hyper::body::Bytes;
use meshcast::admin::schema::{self, PeerReport, code};
use serde::Serialize;
use tokio::time::sleep;

use crate::{
    args::{TEMPLATE, Target, numbers::at_least_one},
    client::Client,
    cmd::completions::live,
    exit::{Exit, Failure},
    locate,
    output::Output,
    render::{self, Palette, Table},
};

/// Measure the way to peers and back
///
/// Through the peer's own loop: it answers only if it works. Status 6 if some peers are silent, 4
/// if all are.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast ping iad-1
  meshcast ping --all --count 10")]
pub(crate) struct Ping {
    /// The peer, by name or by id
    #[arg(
        required_unless_present = "all",
        conflicts_with = "all",
        add = ArgValueCompleter::new(live::nodes)
    )]
    pub(crate) peer: Option<String>,
    /// All peers
    #[arg(long)]
    pub(crate) all: bool,
    /// How many times each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one::<u16>)]
    pub(crate) count: u16,
    #[command(flatten)]
    pub(crate) target: Target,
}

pub(crate) async fn run(args: Ping, output: &Output) -> Result<Exit, Failure> {
    let client = locate::pick_to_ask_about(args.peer.as_deref(), &args.target, output).await?;
    let report: PeerReport = client.get("/v1/peers").await?;
    let peers = chosen(report.peers, args.peer.as_deref(), &client)?;
    let pings = peers
        .into_iter()
        .map(|peer| ping(&client, peer, args.count));
    let report = Report {
        schema: "pings/v1",
        peers: try_join_all(pings).await?,
    };
    output.result(&report, || table(&report, output.palette()))?;
    match report.exit() {
        Exit::Timeout => Err(Failure::timeout("no answer")),
        exit => Ok(exit),
    }
}

/// Names need not be unique: all peers of that name are meant.
fn chosen(
    peers: Vec<schema::Peer>,
    wanted: Option<&str>,
    client: &Client,
) -> Result<Vec<schema::Peer>, Failure> {
    let known = peers
        .iter()
        .map(|peer| render::text(&peer.name))
        .collect::<Vec<_>>()
        .join(", ");
    let meant = |peer: &schema::Peer| {
        wanted.is_none_or(|wanted| peer.name == wanted || peer.peer_id == wanted)
    };
    let chosen: Vec<_> = peers.into_iter().filter(meant).collect();
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let at = client.name();
    Err(match wanted {
        _ if known.is_empty() => Failure::failed(format!("{at} is connected to nobody")),
        Some(wanted) if wanted == at => Failure::failed(format!("{at} is the node that asks"))
            .hint("choose another with --node"),
        wanted => Failure::failed(format!(
            "{at} is not connected to {}",
            wanted.unwrap_or("anybody")
        ))
        .hint(format!("it is connected to {known}")),
    })
}

async fn ping(client: &Client, peer: schema::Peer, count: u16) -> Result<Row, Failure> {
    let path = format!("/v1/ping/{}", peer.peer_id);
    let mut rtts_us = Vec::with_capacity(count.into());
    for i in 0..count {
        if i > 0 {
            sleep(PAUSE).await;
        }
        rtts_us.push(
            match client.post::<schema::Ping>(&path, Bytes::new()).await {
                Ok(ping) => Some(ping.rtt_us),
                Err(failure)
                    if [code::TIMED_OUT, code::NOT_CONNECTED].contains(&&*failure.code) =>
                {
                    None
                }
                Err(failure) => return Err(failure),
            },
        );
    }
    Ok(Row::new(peer, rtts_us))
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    peers: Vec<Row>,
}

impl Report {
    fn exit(&self) -> Exit {
        let silent = self.peers.iter().filter(|peer| peer.received == 0).count();
        match silent {
            0 => Exit::Ok,
            silent if silent == self.peers.len() => Exit::Timeout,
            _ => Exit::Partial,
        }
    }
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    region: String,
    peer_id: String,
    sent: usize,
    received: usize,
    min_us: Option<u64>,
    mean_us: Option<u64>,
    max_us: Option<u64>,
    /// In the order they were sent; `null` without answer.
    rtts_us: Vec<Option<u64>>,
}

impl Row {
    fn new(peer: schema::Peer, rtts_us: Vec<Option<u64>>) -> Self {
        let answered: Vec<u64> = rtts_us.iter().copied().flatten().collect();
        Self {
            name: peer.name,
            region: peer.region,
            peer_id: peer.peer_id,
            sent: rtts_us.len(),
            received: answered.len(),
            min_us: answered.iter().min().copied(),
            mean_us: answered
                .iter()
                .sum::<u64>()
                .checked_div(answered.len() as u64),
            max_us: answered.iter().max().copied(),
            rtts_us,
        }
    }
}

fn table(report: &Report, palette: Palette) -> String {
    let mut table = Table::new(&[
        "NAME", "REGION", "PEER ID", ">SENT", ">LOST", ">MIN", ">MEAN", ">MAX",
    ]);
    for peer in &report.peers {
        table.row([
            render::text(&peer.name),
            render::text(&peer.region),
            render::short(&peer.peer_id),
            peer.sent.to_string(),
            (peer.sent - peer.received).to_string(),
            render::rtt(peer.min_us),
            render::rtt(peer.mean_us),
            render::rtt(peer.max_us),
        ]);
    }
    table.render(palette)
}

/// Between two to one peer: often enough to be quick, seldom enough to be no load.
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> schema::Peer {
        schema::Peer {
            name: name.into(),
            region: "fra".into(),
            peer_id: format!("12D3KooW{name}"),
            addresses: vec![],
            rtt_us: None,
            clock_ahead_us: None,
            direction: schema::Direction::Inbound,
            connected_since: "1970-01-01T00:00:00.000Z".into(),
            shared_channels: 0,
            mute: 0,
            memory_bytes: 0,
            memory_refused: 0,
            offences: 0,
            throttled: false,
        }
    }

    fn report(rtts: [&[Option<u64>]; 2]) -> Report {
        let peers = ["fra-1", "fra-2"]
            .iter()
            .zip(rtts)
            .map(|(name, rtts)| Row::new(peer(name), rtts.to_vec()));
        Report {
            schema: "pings/v1",
            peers: peers.collect(),
        }
    }

    #[test]
    fn some_silent_is_partial_and_all_silent_is_a_timeout() {
        assert_eq!(report([&[Some(1)], &[None, Some(1)]]).exit(), Exit::Ok);
        assert_eq!(report([&[Some(1)], &[None, None]]).exit(), Exit::Partial);
        assert_eq!(report([&[None], &[None]]).exit(), Exit::Timeout);
    }

    #[test]
    fn what_was_not_answered_is_lost_and_not_averaged() {
        assert_eq!(
            table(
                &report([&[Some(300), None, Some(500)], &[None]]),
                Palette::PLAIN
            ),
            "NAME   REGION  PEER ID    SENT  LOST      MIN     MEAN      MAX\n\
             fra-1  fra     …ooWfra-1     3     1  0.30 ms  0.40 ms  0.50 ms\n\
             fra-2  fra     …ooWfra-2     1     1        -        -        -\n"
        );
    }

    #[test]
    fn peers_are_chosen_by_name_by_id_or_all() {
        let client = Client::new("/run/nrt-1.sock".into());
        let peers = || vec![peer("a"), peer("b"), peer("b")];
        let count = |wanted| chosen(peers(), wanted, &client).map_or(0, |chosen| chosen.len());
        assert_eq!(count(None), 3);
        assert_eq!(count(Some("b")), 2);
        assert_eq!(count(Some("12D3KooWa")), 1);
        let failure = chosen(peers(), Some("c"), &client).expect_err("not there");
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (Exit::Failed, "nrt-1 is not connected to c")
        );
        assert_eq!(failure.hint.as_deref(), Some("it is connected to a, b, b"));
    }
}
