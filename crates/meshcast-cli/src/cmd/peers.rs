//! `meshcast peers`

use std::time::{Duration, SystemTime};

use clap::Args as ClapArgs;
use meshcast::admin::schema::{Account, Direction, PeerReport, Seed};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::{
    args::{TEMPLATE, Target, numbers::duration},
    client::Client,
    exit::{Exit, Failure},
    locate,
    output::Output,
    program,
    render::{self, Palette, Table, UNKNOWN},
};

/// List the members a node is connected to
///
/// With --wait it waits until there are so many, also for the node itself to come up: status 0
/// then, 4 if there are fewer in time, 3 if there is no node by then.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast peers
  meshcast peers --node nrt-1 --full
  meshcast peers --wait 2 --timeout 10s && run-the-test")]
pub(crate) struct Peers {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Show ids and addresses in full
    #[arg(long)]
    pub(crate) full: bool,
    /// Wait until there are at least so many
    #[arg(long, value_name = "N")]
    pub(crate) wait: Option<usize>,
    /// How long to wait for them, such as 5, 1.5s, 2m
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration,
        requires = "wait",
        default_value = "30s"
    )]
    pub(crate) timeout: Duration,
}

pub(crate) async fn run(args: Peers, output: &Output) -> Result<Exit, Failure> {
    let (client, report) = match args.wait {
        Some(wanted) => wait(wanted, &args, output).await?,
        None => {
            let client = locate::pick(&args.target, output).await?;
            let report: PeerReport = client.get("/v1/peers").await?;
            (client, report)
        }
    };
    output.result(&report, || {
        let (now, palette) = (SystemTime::now(), output.palette());
        let mut tables = vec![table(&report, args.full, now, palette)];
        if !report.seeds.is_empty() {
            tables.push(seeds(&report.seeds, args.full, now, palette));
        }
        // Mostly nobody was refused anything.
        if args.full || report.accounts.iter().any(|it| it.memory_refused > 0) {
            tables.push(accounts(&report.accounts, args.full, palette));
        }
        tables.join("\n")
    })?;
    if let Some(note) = unlinked(&report, client.name()) {
        output.note(&note);
    }
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

/// Asks again and again until so many members are there.
async fn wait(
    wanted: usize,
    args: &Peers,
    output: &Output,
) -> Result<(Client, PeerReport), Failure> {
    let deadline = Instant::now() + args.timeout;
    let (mut found, mut looks) = (None, interval(LOOK));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = locate::none();
    loop {
        // The first is at once.
        if timeout_at(deadline, looks.tick()).await.is_err() {
            return Err(last);
        }
        let asked = timeout_at(deadline, ask(&mut found, args, output)).await;
        last = match asked {
            Ok(Ok((_, report))) if report.peers.len() < wanted => {
                let (count, time) = (report.peers.len(), args.timeout);
                Failure::timeout(format!(
                    "{count} of {wanted} members are there after {time:?}"
                ))
                .hint(too_few(&report.seeds))
            }
            // There is none yet, or it stops.
            Ok(Err(failure)) if failure.exit == Exit::NoNode => {
                found = None;
                failure
            }
            Ok(done) => return done,
            Err(_) => return Err(last),
        };
    }
}

/// What to do about members that do not come.
fn too_few(seeds: &[Seed]) -> String {
    let program = program::name();
    let is_wrong = |seed: &&Seed| !["connected", "ourselves"].contains(&seed.state.as_str());
    if let Some(seed) = seeds.iter().find(is_wrong) {
        let (address, state) = (render::text(&seed.address), seed.state.replace('_', " "));
        let reason = seed.reason.as_deref().filter(|reason| *reason != state);
        let reason =
            reason.map_or_else(String::new, |reason| format!(": {}", render::text(reason)));
        return format!("its seed {address}: {}{reason}", render::text(&state));
    }
    if seeds.is_empty() {
        return format!(
            "it has no seeds, so others have to dial it; what is wrong here is shown by `{program} \
             doctor`"
        );
    }
    format!(
        "its seeds are connected, so fewer members run than that, or others are cut off: see \
         `{program} map` and `{program} doctor`"
    )
}

/// Asks the node that was picked, or picks one.
async fn ask(
    found: &mut Option<Client>,
    args: &Peers,
    output: &Output,
) -> Result<(Client, PeerReport), Failure> {
    let client = match found {
        Some(client) => client.clone(),
        None => locate::pick(&args.target, output).await?,
    };
    let client = found.insert(client);
    let report = client.get("/v1/peers").await?;
    Ok((client.clone(), report))
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
pub(super) fn seeds(seeds: &[Seed], full: bool, now: SystemTime, palette: Palette) -> String {
    let mut table = Table::new(&["SEED", "STATE", ">SINCE", "MEMBER", "REASON"]);
    for seed in seeds {
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

/// Members that are there by way of others, if there are any.
fn unlinked(report: &PeerReport, node: &str) -> Option<String> {
    let count = report.unlinked.len();
    let mut names: Vec<&str> = report.unlinked.iter().map(|it| &*it.name).collect();
    names.sort_unstable();
    names.truncate(NAMED);
    let more = match count.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (count > 0).then(|| {
        format!(
            "{node} knows {count} more to be there, without a link to them: {}{more}",
            names.join(", ")
        )
    })
}

/// The accounts that take memory, and those that were refused some.
fn accounts(accounts: &[Account], full: bool, palette: Palette) -> String {
    let mut table = Table::new(&[
        "MEMORY OF",
        "REGION",
        "PEER ID",
        ">TAKES",
        ">REFUSED",
        "NOW",
    ]);
    for account in accounts {
        let or_unknown =
            |text: &Option<String>| text.as_deref().map_or_else(|| UNKNOWN.into(), render::text);
        let peer_id = account.peer_id.as_deref();
        table.row([
            or_unknown(&account.name),
            or_unknown(&account.region),
            peer_id.map_or_else(
                || UNKNOWN.into(),
                |id| match full {
                    true => id.to_owned(),
                    false => render::short(id),
                },
            ),
            render::bytes(account.memory_bytes),
            account.memory_refused.to_string(),
            match account.connected {
                true => "connected".into(),
                false => "gone".into(),
            },
        ]);
    }
    table.render(palette)
}

/// So many members without a link are named.
const NAMED: usize = 10;

/// The interval of questions to a node while its members are waited for.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
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
    fn who_waits_for_members_in_vain_is_told_what_is_wrong() {
        let seed = |state: &str, reason: Option<&str>| -> Seed {
            let seed = serde_json::json!({"address": "/dns/a.example/tcp/1", "state": state,
                "since": "?", "reason": reason, "name": null, "peer_id": null});
            serde_json::from_value(seed).expect("a seed")
        };
        let (fine, refused) = (
            seed("connected", None),
            seed("refused", Some("nobody listens")),
        );
        let told = too_few(&[fine.clone(), refused]);
        assert_eq!(
            told,
            "its seed /dns/a.example/tcp/1: refused: nobody listens"
        );
        let told = too_few(&[seed("timed_out", Some("timed out"))]);
        assert_eq!(told, "its seed /dns/a.example/tcp/1: timed out");
        assert!(too_few(&[]).starts_with("it has no seeds, so others have to dial it"));
        let told = too_few(&[fine, seed("ourselves", None)]);
        assert!(told.contains("fewer members run than that"), "{told}");
    }

    #[test]
    fn members_without_a_link_are_named_up_to_ten() {
        let report = |count: usize| {
            let member = |n: usize| {
                format!(
                    r#"{{"name":"gru-{n:02}","region":"gru","peer_id":"ID","last_heard":"?","silent":false}}"#
                )
            };
            let members: Vec<_> = (1..=count).map(member).collect();
            let members = members.join(",");
            let json = format!(r#"{{"schema":"peers/v1","peers":[],"unlinked":[{members}]}}"#);
            serde_json::from_str(&json).expect("a report")
        };
        assert_eq!(unlinked(&report(0), "fra-1"), None);
        assert_eq!(
            unlinked(&report(2), "fra-1").as_deref(),
            Some("fra-1 knows 2 more to be there, without a link to them: gru-01, gru-02")
        );
        let many = unlinked(&report(12), "fra-1").expect("a note");
        assert!(many.ends_with("gru-09, gru-10 and 2 more"), "{many}");
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
        .map(|report: PeerReport| report.seeds)
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

    #[test]
    fn who_was_refused_memory_is_shown_also_when_it_is_gone_or_has_no_name() {
        let report = serde_json::from_str(
            r#"{"schema":"peers/v1","peers":[],"accounts":[
                {"name":"fra-1","region":"fra","peer_id":"12D3KooWAbCdEfGhIjKl","connected":true,
                 "memory_bytes":4096,"memory_refused":0},
                {"name":null,"region":null,"peer_id":null,"connected":false,
                 "memory_bytes":0,"memory_refused":7}]}"#,
        )
        .map(|report: PeerReport| report.accounts)
        .expect("a report");
        assert_eq!(
            accounts(&report, false, Palette::PLAIN),
            "MEMORY OF  REGION  PEER ID      TAKES  REFUSED  NOW\n\
             fra-1      fra     …EfGhIjKl  4.0 KiB        0  connected\n\
             -          -       -              0 B        7  gone\n"
        );
    }
}
