//! `meshcast peers`

use std::time::SystemTime;

use meshcast::admin::schema::{Direction, PeerReport};

use crate::{
    args,
    exit::{Exit, Failure},
    locate,
    output::Output,
    render::{self, Palette, Table, UNKNOWN},
};

pub(crate) async fn run(args: args::Peers, output: &Output) -> Result<Exit, Failure> {
    let client = locate::pick(&args.target, output).await?;
    let report: PeerReport = client.get("/v1/peers").await?;
    output.result(&report, || {
        table(&report, args.full, SystemTime::now(), output.palette())
    })?;
    if report.peers.is_empty() {
        output.note(&format!("{} is connected to nobody", client.name()));
    }
    Ok(Exit::Ok)
}

fn table(report: &PeerReport, full: bool, now: SystemTime, palette: Palette) -> String {
    let mut table = Table::new(&[
        "NAME",
        "REGION",
        "PEER ID",
        ">RTT",
        "DIALLED",
        ">UP",
        ">CHANNELS",
        "ADDRESS",
    ]);
    for peer in &report.peers {
        let addresses = match full {
            true => peer.addresses.join(" "),
            false => peer.addresses.first().cloned().unwrap_or_default(),
        };
        table.row([
            render::text(&peer.name),
            render::text(&peer.region),
            if full {
                peer.peer_id.clone()
            } else {
                render::short(&peer.peer_id)
            },
            render::rtt(peer.rtt_us),
            match peer.direction {
                Direction::Inbound => "by it".into(),
                Direction::Outbound => "by us".into(),
            },
            render::since(&peer.connected_since, now),
            peer.shared_channels.to_string(),
            if addresses.is_empty() {
                UNKNOWN.into()
            } else {
                render::text(&addresses)
            },
        ]);
    }
    table.render(palette)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_not_known_is_a_dash() {
        let report = serde_json::from_str(
            r#"{"schema":"peers/v1","peers":[
                {"name":"fra-1","region":"fra","peer_id":"12D3KooWAbCdEfGhIjKl","addresses":["/ip4/127.0.0.1/tcp/1","b"],
                 "rtt_us":312,"direction":"inbound","connected_since":"1970-01-01T00:00:00.000Z","shared_channels":1},
                {"name":"iad-1","region":"iad","peer_id":"12D3KooWAbCdEfGhIjKm","addresses":[],
                 "rtt_us":null,"direction":"outbound","connected_since":"?","shared_channels":0}]}"#,
        )
        .expect("a report");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(61);
        assert_eq!(
            table(&report, false, now, Palette::PLAIN),
            "NAME   REGION  PEER ID        RTT  DIALLED     UP  CHANNELS  ADDRESS\n\
             fra-1  fra     …EfGhIjKl  0.31 ms  by it    1m01s         1  /ip4/127.0.0.1/tcp/1\n\
             iad-1  iad     …EfGhIjKm        -  by us        -         0  -\n"
        );
    }
}
