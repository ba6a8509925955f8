//! `meshcast who`

use std::{io, time::SystemTime};

use clap::Args as ClapArgs;
use clap_complete::ArgValueCompleter;
use meshcast::{
    ChannelName,
    admin::schema::{Channel, ChannelReport, PresenceLine, PresenceReport, Present},
};

use crate::{
    args::{TEMPLATE, Target},
    client::channel_query,
    cmd::completions::live,
    exit::{Exit, Failure},
    locate,
    output::{Output, reader_gone},
    render::{self, Palette, Table, UNKNOWN},
};

/// List who has a channel open
///
/// In the whole mesh, each with what it says of itself. With --watch it goes on: who joins, is
/// silent, leaves and is lost. The node that is asked opens the channel for the question, so it is
/// listed too.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast who earth
  meshcast who earth --watch
  meshcast who earth --json | jq '.members[].name'")]
pub(crate) struct Who {
    /// The channel
    #[arg(add = ArgValueCompleter::new(live::channels))]
    pub(crate) channel: ChannelName,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Go on with what changes
    #[arg(long)]
    pub(crate) watch: bool,
    /// Show ids in full
    #[arg(long)]
    pub(crate) full: bool,
}

pub(crate) async fn run(args: Who, output: &Output) -> Result<Exit, Failure> {
    let client = locate::pick(&args.target, output).await?;
    let path = format!(
        "/v1/presence?{}&observer=1",
        channel_query(args.channel.as_str())
    );
    let before: ChannelReport = client.get("/v1/channels").await?;
    let mut open = before.channels.iter();
    if !open.any(|channel| channel.name == args.channel.as_str() && is_used(channel)) {
        output.note(&format!(
            "{} opens {} for this question alone, so it is listed too",
            client.name(),
            render::channel(args.channel.as_str())
        ));
    }
    if !args.watch {
        let report: PresenceReport = client.get(&path).await?;
        output.result(&report, || {
            table(
                &report.members,
                args.full,
                SystemTime::now(),
                output.palette(),
            )
        })?;
        return Ok(Exit::Ok);
    }
    let watching = async {
        let mut lines = client.follow(&format!("{path}&watch=1")).await?;
        while let Some(text) = lines.next().await {
            if output.json() {
                output.line(&text)?;
                continue;
            }
            let line: PresenceLine = serde_json::from_str(&text)
                .map_err(|error| Failure::failed(format!("not a line of presence: {error}")))?;
            for member in &line.members {
                output.line(&render(&line.change, member, output.palette()))?;
            }
        }
        Err(Failure::no_node(format!("{} has stopped", client.name())))
    };
    tokio::select! {
        watched = watching => watched,
        // As if it had been noticed by writing.
        () = reader_gone() => Err(Failure::stdout(io::ErrorKind::BrokenPipe.into())),
    }
}

/// Whether somebody has it open at the node who does not only look.
fn is_used(channel: &Channel) -> bool {
    channel.objects > channel.observers
}

fn table(members: &[Present], full: bool, now: SystemTime, palette: Palette) -> String {
    let mut table = Table::new(&["NAME", "REGION", "PEER ID", ">FOR", "HEARD", "STATE"]);
    for member in members {
        table.row([
            render::text(&member.name),
            render::text(&member.region),
            match full {
                true => member.peer_id.clone(),
                false => render::short(&member.peer_id),
            },
            render::since(&member.since, now),
            if member.silent { "silent" } else { "yes" }.into(),
            state(member),
        ]);
    }
    table.render(palette)
}

/// A line of `--watch`.
fn render(change: &str, member: &Present, palette: Palette) -> String {
    // A member that was there when it began has not come just now.
    let what = if change == "snapshot" {
        "present"
    } else {
        change
    };
    let who = format!(
        "{what:<8} {} ({})",
        render::text(&member.name),
        render::text(&member.region)
    );
    let who = match change {
        "lost" | "silent" => palette.bad(&who),
        _ => who,
    };
    match state(member).as_str() {
        UNKNOWN => who,
        state => format!("{who}  {state}"),
    }
}

fn state(member: &Present) -> String {
    match member.state.is_null() {
        true => UNKNOWN.into(),
        false => render::value(&member.state),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn members() -> Vec<Present> {
        serde_json::from_str(
            r#"[{"name":"fra-1","region":"fra","peer_id":"12D3KooWAbCdEfGhIjKl",
                 "since":"1970-01-01T00:00:00.000Z","silent":false,"state":{"load":3}},
                {"name":"iad-1","region":"iad","peer_id":"12D3KooWAbCdEfGhIjKm",
                 "since":"1970-01-01T00:01:00.000Z","silent":true,"state":null}]"#,
        )
        .expect("members")
    }

    #[test]
    fn who_is_silent_and_says_nothing_of_itself_is_shown_so() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(61);
        assert_eq!(
            table(&members(), false, now, Palette::PLAIN),
            "NAME   REGION  PEER ID      FOR  HEARD   STATE\n\
             fra-1  fra     …EfGhIjKl  1m01s  yes     {\"load\":3}\n\
             iad-1  iad     …EfGhIjKm     1s  silent  -\n"
        );
    }

    #[test]
    fn each_change_is_a_line() {
        let lines = ["snapshot", "lost"].map(|change| {
            let shown = members();
            let shown = shown.iter().map(|it| render(change, it, Palette::PLAIN));
            shown.collect::<Vec<_>>().join("\n")
        });
        assert_eq!(
            lines,
            [
                "present  fra-1 (fra)  {\"load\":3}\npresent  iad-1 (iad)",
                "lost     fra-1 (fra)  {\"load\":3}\nlost     iad-1 (iad)"
            ]
        );
    }
}
