//! `meshcast post`

mod lines;

use std::{
    io::{self, Read},
    time::Duration,
};

use clap::Args as ClapArgs;
use clap_complete::ArgValueCompleter;
use hyper::body::Bytes;
use meshcast::{
    ChannelName, Value,
    admin::schema::{ChannelReport, Posted},
};

use crate::{
    args::{TEMPLATE, Target, numbers::duration},
    client::{Client, channel_query},
    cmd::completions::live,
    exit::{Exit, Failure},
    locate,
    output::Output,
    render,
};

pub(crate) use self::lines::end_of;

/// Post to a channel
///
/// The value is posted as a string; with --json it is JSON and so is the receipt. With --lines each
/// line of stdin is a message of its own, posted as soon as there is room for it: stdin is read at
/// the pace at which the mesh takes messages. A line that cannot be posted ends it, with its
/// number.
///
/// With --acked it ends with status 0 once so many members have told that they have it, and with 4
/// if fewer have in time: it is posted all the same. Counted are members that are connected to the
/// node and had the channel open when it was posted. Lines that were read together are waited for
/// together.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast post earth hello
  meshcast post earth --json '{\"price\": 42}'
  meshcast post earth hello --acked 2 --timeout 5s
  uptime | meshcast post earth -
  tail -f prices.jsonl | meshcast post prices --lines --json")]
pub(crate) struct Post {
    /// The channel
    #[arg(add = ArgValueCompleter::new(live::channels))]
    pub(crate) channel: ChannelName,
    /// Value to post; `-` reads all of stdin and drops its last line break (after `--` a value may
    /// begin with -)
    #[arg(
        allow_negative_numbers = true,
        required_unless_present = "lines",
        conflicts_with = "lines"
    )]
    pub(crate) value: Option<String>,
    /// Post each line of stdin
    #[arg(long)]
    pub(crate) lines: bool,
    /// Post bytes as they are
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    /// Wait until so many members have it
    #[arg(long, value_name = "N")]
    pub(crate) acked: Option<usize>,
    /// How long to wait for them, such as 5, 1.5s, 2m (an hour at most)
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration,
        requires = "acked",
        default_value = "10s"
    )]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) target: Target,
}

pub(crate) async fn run(args: Post, output: &Output) -> Result<Exit, Failure> {
    let Some(value) = &args.value else {
        return lines::run(&args, output).await;
    };
    let body = if value == "-" {
        let read = stdin()?;
        if args.raw {
            read
        } else {
            body(&one_message(read)?, output.json())?
        }
    } else if args.raw {
        value.clone().into_bytes()
    } else {
        body(value, output.json())?
    };
    let client = locate::pick(&args.target, output).await?;
    let raw = if args.raw { "&raw=1" } else { "" };
    let query = channel_query(args.channel.as_str()) + raw + &args.wait_query();
    let posted: Posted = client
        .post_within(
            args.wait_time(),
            &format!("/v1/messages?{query}"),
            Bytes::from(body),
        )
        .await?;
    output.result(&posted, || {
        format!(
            "posted to {} at {}{}\n",
            render::channel(&posted.channel),
            render::text(&posted.node),
            had_by(posted.acked, "it")
        )
    })?;
    args.tell_if_nobody(&client, output).await;
    args.judge(posted.acked)
}

impl Post {
    /// The part of the query that asks to wait for members.
    fn wait_query(&self) -> String {
        self.acked.map_or_else(String::new, |members| {
            let timeout = self.timeout.as_micros();
            format!("&acked={members}&timeout_us={timeout}")
        })
    }

    /// How much longer than others a request takes that waits for members.
    const fn wait_time(&self) -> Duration {
        match self.acked {
            Some(_) => self.timeout,
            None => Duration::ZERO,
        }
    }

    /// Says so if nobody else has the channel open: its name may be another one.
    async fn tell_if_nobody(&self, client: &Client, output: &Output) {
        // A caller that waits for members is told how many there were.
        if self.acked.is_some() {
            return;
        }
        // It is posted whether this is answered or not.
        if let Ok(report) = client.get::<ChannelReport>("/v1/channels").await
            && is_alone(&report, self.channel.as_str())
        {
            output.note("nobody else has it open");
        }
    }

    /// The words for so many members that have what was posted.
    fn judge(&self, acked: Option<usize>) -> Result<Exit, Failure> {
        let Some(wanted) = self.acked else {
            return Ok(Exit::Ok);
        };
        let late = match acked {
            Some(members) if members >= wanted => return Ok(Exit::Ok),
            Some(_) if wanted == 1 => "no member had it in time".to_owned(),
            Some(members) => {
                format!("only {members} of the {wanted} members asked for had it in time")
            }
            None => "it did not leave the node in time".to_owned(),
        };
        let channel = render::channel(self.channel.as_str());
        Err(
            Failure::timeout(format!("posted, but {late}")).hint(format!(
                "run `meshcast peers` and `meshcast who {channel}` to see who can have it"
            )),
        )
    }
}

/// Whether a node knows nobody who has a channel open, itself included.
fn is_alone(report: &ChannelReport, channel: &str) -> bool {
    let mut channels = report.channels.iter();
    let it = channels.find(|it| it.name == channel);
    it.is_some_and(|it| it.objects == 0 && it.subscribers.is_empty())
}

/// The members that have what was posted, if that was asked.
fn had_by(acked: Option<usize>, it: &str) -> String {
    match acked {
        None => String::new(),
        Some(1) => format!("; 1 member has {it}"),
        Some(members) => format!("; {members} members have {it}"),
    }
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut read = Vec::new();
    io::stdin()
        .lock()
        .take(STDIN_LIMIT + 1)
        .read_to_end(&mut read)
        .map_err(Failure::io("read stdin"))?;
    if read.len() as u64 > STDIN_LIMIT {
        return Err(Failure::failed(format!(
            "stdin holds more than the {STDIN_LIMIT} bytes any node takes"
        )));
    }
    Ok(read)
}

fn one_message(read: Vec<u8>) -> Result<String, Failure> {
    let mut text = String::from_utf8(read)
        .map_err(|_| Failure::usage("what stdin holds is no text").hint("post bytes with --raw"))?;
    if text.ends_with('\n') {
        text.truncate(text.len() - 1 - usize::from(text.ends_with("\r\n")));
    }
    Ok(text)
}

fn body(value: &str, json: bool) -> Result<Vec<u8>, Failure> {
    if json {
        // Said here, where the command line is known, rather than by the node.
        Value::from_json_text(value).map_err(|error| {
            Failure::usage(format!("the value is no JSON that can be posted: {error}"))
                .hint("without --json it is posted as a string")
        })?;
        return Ok(value.into());
    }
    serde_json::to_vec(value).map_err(Failure::failed)
}

/// Far over what a node takes by default: it has the last word, this only bounds what is held for
/// it.
const STDIN_LIMIT: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    #[test]
    fn text_is_posted_as_a_string_and_json_as_it_is() {
        assert_eq!(body("42", false), Ok(br#""42""#.to_vec()));
        assert_eq!(body("42", true), Ok(b"42".to_vec()));
        assert_eq!(
            body("[1e400]", true).map_err(|failure| failure.exit),
            Err(Exit::Usage)
        );
        assert_eq!(
            body("hello", true).map_err(|failure| failure.exit),
            Err(Exit::Usage)
        );
    }

    #[test]
    fn a_channel_that_nobody_has_open_is_noticed() {
        let report = |objects: usize, subscribers: &[&str]| {
            let channel = serde_json::json!({"name": "typo", "objects": objects,
                "subscribers": subscribers, "mesh": [], "senders": [], "outbox_bytes": 0,
                "unread_bytes": 0});
            let report = serde_json::json!({"schema": "channels/v1", "channels": [channel]});
            serde_json::from_value(report).expect("a report")
        };
        assert!(is_alone(&report(0, &[]), "typo"));
        assert!(!is_alone(&report(1, &[]), "typo"), "the node itself has it");
        assert!(!is_alone(&report(0, &["id"]), "typo"));
        assert!(!is_alone(&report(0, &[]), "other"), "it does not tell");
    }

    #[test]
    fn too_few_members_are_counted_in_words() {
        let says = |wanted: &str, acked| {
            let line = ["meshcast", "post", "earth", "x", "--acked", wanted];
            let line = <args::Args as clap::Parser>::try_parse_from(line).expect("a line");
            let args::Command::Post(post) = line.command else {
                panic!("another command")
            };
            post.judge(acked).map_err(|failure| failure.message)
        };
        assert_eq!(says("2", Some(2)), Ok(Exit::Ok));
        for (wanted, acked, said) in [
            (
                "2",
                Some(0),
                "only 0 of the 2 members asked for had it in time",
            ),
            ("1", Some(0), "no member had it in time"),
            ("2", None, "it did not leave the node in time"),
        ] {
            assert_eq!(says(wanted, acked), Err(format!("posted, but {said}")));
        }
    }

    #[test]
    fn one_line_break_at_the_end_of_stdin_is_not_part_of_the_message() {
        for (read, message) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(one_message(read.into()).as_deref(), Ok(message));
        }
        assert_eq!(
            one_message(vec![0xff]).map_err(|failure| failure.exit),
            Err(Exit::Usage)
        );
    }
}
