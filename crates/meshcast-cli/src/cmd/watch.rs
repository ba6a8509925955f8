//! `meshcast watch`

use std::{future::Future, io, time::Duration};

use clap::Args as ClapArgs;
use clap_complete::ArgValueCompleter;
use meshcast::{
    ChannelName,
    admin::schema::{Gap, Line, Message, Undecodable},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    args::{
        TEMPLATE, Target,
        numbers::{at_least_one, duration},
    },
    client::channel_query,
    cmd::completions::live,
    exit::{Exit, Failure},
    locate,
    output::{Output, reader_gone},
    render::{self, Palette},
};

/// Follow a channel
///
/// Prints what is posted from the moment it says that it listens, and with --last or --since first
/// what was posted before and is still kept. A gap is printed where messages are missing.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast watch earth
  meshcast watch earth --last 20
  meshcast watch earth --since 30s --json | jq .data
  meshcast watch earth --count 1 --timeout 5s")]
pub(crate) struct Watch {
    /// The channel
    #[arg(add = ArgValueCompleter::new(live::channels))]
    pub(crate) channel: ChannelName,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Begin with the last so many messages, by when they were posted (10,000 at most)
    #[arg(long, value_name = "N", conflicts_with = "since", value_parser = at_least_one::<u64>)]
    pub(crate) last: Option<u64>,
    /// Begin with what was posted within this time, such as 30s, 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = at_least_one::<u64>)]
    pub(crate) count: Option<u64>,
    /// End after this time, such as 5, 1.5s, 2m; with status 4 if fewer messages came than --count,
    /// or none
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

pub(crate) async fn run(args: Watch, output: &Output) -> Result<Exit, Failure> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    let channel = render::channel(args.channel.as_str());
    let mut heard = 0;
    let watching = async {
        let client = locate::pick(&args.target, output).await?;
        let mut lines = client
            .follow(&format!(
                "/v1/messages?{}{}",
                channel_query(args.channel.as_str()),
                past(&args)
            ))
            .await?;
        output.note(&format!("listening on {channel} at {}", client.name()));
        while let Some(text) = lines.next().await {
            let line = serde_json::from_str(&text)
                .map_err(|error| Failure::failed(format!("not a line of a channel: {error}")))?;
            if output.json() {
                output.line(&text)?;
            } else {
                output.line(&render(&line, output.palette()))?;
            }
            heard += u64::from(matches!(line, Line::Message(_)));
            if Some(heard) == args.count {
                return Ok(Exit::Ok);
            }
        }
        Err(Failure::no_node(format!("{} has stopped", client.name())))
    };
    let watched = tokio::select! {
        watched = within(deadline, watching) => watched,
        // As if it had been noticed by writing.
        () = reader_gone() => return Err(Failure::stdout(io::ErrorKind::BrokenPipe.into())),
    };
    match watched {
        Some(result) => result,
        None if args.count.is_none() && heard > 0 => Ok(Exit::Ok),
        None => Err(Failure::timeout(too_few(heard, &args))),
    }
}

fn too_few(heard: u64, args: &Watch) -> String {
    let channel = render::channel(args.channel.as_str());
    let within = args
        .timeout
        .map_or_else(String::new, |time| format!(" within {time:?}"));
    match (heard, args.count) {
        (0, _) => format!("no message came on {channel}{within}"),
        (_, count) => {
            let count = count.unwrap_or(heard);
            format!("only {heard} of {count} messages came on {channel}{within}")
        }
    }
}

/// The part of the query that asks for what was posted before.
fn past(args: &Watch) -> String {
    let since = args
        .since
        .map(|since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
    let last = args.last.map(|last| format!("&last={last}"));
    let since = since.map(|micros| format!("&since_us={micros}"));
    last.or(since).unwrap_or_default()
}

async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

fn render(line: &Line, palette: Palette) -> String {
    match line {
        Line::Message(Message {
            data,
            name,
            region,
            posted_at,
            ..
        }) => {
            let from = format!(
                "{} {} ({})",
                render::clock(posted_at),
                render::text(name),
                render::text(region)
            );
            format!("{}  {}", palette.quiet(&from), render::value(data))
        }
        Line::Gap {
            gap:
                Gap {
                    name,
                    from,
                    to,
                    reason,
                    ..
                },
        } => {
            let numbers = if from == to {
                format!("message {from}")
            } else {
                format!("messages {from} to {to}")
            };
            let why = match reason.as_str() {
                "lost" => "lost on the network",
                "too_large" => "over the limit for messages",
                "incomplete" => "incomplete",
                "unread" => "not read in time",
                "unfetched" => "not fetched from those who keep them",
                "expired" => "no longer kept",
                other => other,
            };
            palette.bad(&render::text(&format!(
                "! gap: {numbers} of {name} missing: {why}"
            )))
        }
        Line::Undecodable {
            undecodable: Undecodable {
                name, seq, error, ..
            },
        } => palette.bad(&render::text(&format!(
            "! message {seq} of {name} is no value: {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        render(&serde_json::from_str(json).expect(json), Palette::PLAIN)
    }

    #[test]
    fn how_many_messages_came_is_told_in_words() {
        let too_few = |heard, line: &str| {
            #[derive(clap::Parser)]
            struct Line {
                #[command(flatten)]
                watch: Watch,
            }
            let words = ["watch", "typo", "--timeout", "1s"].into_iter();
            let words = words.chain(line.split_whitespace());
            let line = <Line as clap::Parser>::try_parse_from(words).expect("a line");
            too_few(heard, &line.watch)
        };
        assert_eq!(too_few(0, ""), "no message came on typo within 1s");
        assert_eq!(too_few(0, "--count 3"), "no message came on typo within 1s");
        let some = "only 2 of 3 messages came on typo within 1s";
        assert_eq!(too_few(2, "--count 3"), some);
    }

    #[test]
    fn each_kind_of_line_is_understood() {
        assert_eq!(
            shown(
                r#"{"channel":"earth","data":"hello","sender":"12D3","name":"fra-1","region":"fra","seq":1,
                    "posted_at":"2026-01-31T23:59:59.999Z"}"#
            ),
            "23:59:59.999 fra-1 (fra)  hello"
        );
        assert_eq!(
            shown(
                r#"{"gap":{"channel":"earth","sender":"12D3","name":"fra-1","region":"fra","from":2,"to":4,
                    "reason":"unread"}}"#
            ),
            "! gap: messages 2 to 4 of fra-1 missing: not read in time"
        );
        assert_eq!(
            shown(
                r#"{"undecodable":{"channel":"earth","sender":"12D3","name":"fra-1","seq":5,"error":"no type"}}"#
            ),
            "! message 5 of fra-1 is no value: no type"
        );
    }
}
