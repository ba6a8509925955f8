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
        let (now, palette) = (SystemTime::now(), output.palette());
        let peers = table(&report, args.full, now, palette);
        if report.seeds.is_empty() {
            return peers;
        }
        format!("{peers}\n{}", seeds(&report, args.full, now, palette))
    })?;
    if report.peers.is_empty() {
        output.note(&format!("{} is connected to nobody", client.name()));
        if report.seeds.is_empty() {
            output.note(
                "it has no seeds: it dials the members it lost lately, and others have to dial it",
            );
        }
    }
    Ok(Exit::Ok)
}

fn table(report: &PeerReport, full: bool, now: SystemTime, palette: Palette) -> String {
    // Mostly nobody has any.
    let offences = report.peers.iter().any(|peer| peer.offences > 0);
    let mut header = vec![
        "NAME",
        "REGION",
        "PEER ID",
        ">RTT",
        "DIALLED",
        ">UP",
        ">CHANNELS",
    ];
    header.extend(offences.then_some(">OFFENCES"));
    header.push("ADDRESS");
    let mut table = Table::new(&header);
    for peer in &report.peers {
        let addresses = match full {
            true => peer.addresses.join(" "),
            false => peer.addresses.first().cloned().unwrap_or_default(),
        };
        let mut row = vec![
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
        ];
        row.extend(offences.then(|| match peer.throttled {
            true => format!("{}, throttled", peer.offences),
            false => peer.offences.to_string(),
        }));
        row.push(if addresses.is_empty() {
            UNKNOWN.into()
        } else {
            render::text(&addresses)
        });
        table.row(row);
    }
    table.render(palette)
}

/// How the seeds are doing; with `full`, each address of a name on its own too.
fn seeds(report: &PeerReport, full: bool, now: SystemTime, palette: Palette) -> String {
    let mut table = Table::new(&["SEED", "STATE", ">SINCE", "MEMBER", "REASON"]);
    for seed in &report.seeds {
        let addresses = seed.addresses.iter().filter(|_| full);
        let rows = addresses.map(|address| ("  ", address));
        for (indent, seed) in [("", seed)].into_iter().chain(rows) {
            let or_unknown = |text: &Option<String>| {
                text.as_deref().map_or_else(|| UNKNOWN.into(), render::text)
            };
            table.row([
                format!("{indent}{}", render::text(&seed.address)),
                render::text(&seed.state.replace('_', " ")),
                render::since(&seed.since, now),
                or_unknown(&seed.name),
                or_unknown(&seed.reason),
            ]);
        }
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

    #[test]
    fn offences_are_shown_when_there_are_any() {
        let peer = |name: &str, offences: u64, throttled: bool| {
            format!(
                r#"{{"name":"{name}","region":"fra","peer_id":"12D3KooWAbCdEfGhIjKl","addresses":[],"rtt_us":null,
                "direction":"inbound","connected_since":"?","shared_channels":1,"offences":{offences},
                "throttled":{throttled}}}"#
            )
        };
        let peers = [
            peer("a", 0, false),
            peer("b", 7, false),
            peer("c", 61, true),
        ]
        .join(",");
        let report = serde_json::from_str(&format!(r#"{{"schema":"peers/v1","peers":[{peers}]}}"#));
        let shown = table(
            &report.expect("a report"),
            false,
            SystemTime::UNIX_EPOCH,
            Palette::PLAIN,
        );
        assert_eq!(
            shown,
            "NAME  REGION  PEER ID    RTT  DIALLED  UP  CHANNELS       OFFENCES  ADDRESS\n\
             a     fra     …EfGhIjKl    -  by it     -         1              0  -\n\
             b     fra     …EfGhIjKl    -  by it     -         1              7  -\n\
             c     fra     …EfGhIjKl    -  by it     -         1  61, throttled  -\n"
        );
    }

    #[test]
    fn seeds_are_shown_with_what_is_wrong_and_addresses_of_names_on_demand() {
        let report = serde_json::from_str(
            r#"{"schema":"peers/v1","peers":[],"seeds":[
                {"address":"/ip4/192.0.2.1/tcp/1","state":"timed_out","since":"1970-01-01T00:00:01.000Z",
                 "reason":"timed out","name":null,"peer_id":null},
                {"address":"/dns/mesh.internal/tcp/1","state":"connected","since":"1970-01-01T00:01:00.000Z",
                 "reason":null,"name":"fra-1","peer_id":"12D3KooWAbCdEfGhIjKl","addresses":[
                    {"address":"/ip4/10.0.0.1/tcp/1","state":"connected","since":"1970-01-01T00:01:00.000Z",
                     "reason":null,"name":"fra-1","peer_id":"12D3KooWAbCdEfGhIjKl"}]}]}"#,
        )
        .expect("a report");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(61);
        assert_eq!(
            seeds(&report, true, now, Palette::PLAIN),
            "SEED                      STATE      SINCE  MEMBER  REASON\n\
             /ip4/192.0.2.1/tcp/1      timed out  1m00s  -       timed out\n\
             /dns/mesh.internal/tcp/1  connected     1s  fra-1   -\n  \
             /ip4/10.0.0.1/tcp/1     connected     1s  fra-1   -\n"
        );
        assert_eq!(
            seeds(&report, false, now, Palette::PLAIN).lines().count(),
            3
        );
    }
}
