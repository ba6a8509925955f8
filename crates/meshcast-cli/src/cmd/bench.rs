//! `meshcast bench`

mod listeners;
mod poster;
mod report;

use std::{str::FromStr, sync::Arc, time::Duration};

use clap::Args as ClapArgs;
use clap_complete::ArgValueCompleter;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use meshcast::{ChannelName, admin::schema::NodeReport};
use tokio::time::{Instant, interval};

use self::{listeners::Listeners, poster::Poster, report::Report};
use crate::{
    args::{
        TEMPLATE, Target,
        numbers::{self, at_least_one, some_time},
    },
    client::Client,
    cmd::completions::live,
    exit::{Exit, Failure},
    locate,
    output::Output,
};

/// Measure how fast a running mesh is
///
/// Posts through one node of this machine and listens at all others of this machine, by their admin
/// sockets: what is measured is the mesh with a socket at each end. Latency is from when a message
/// was due to be posted until it was heard.
///
/// The messages take room in the history of all members, as any do. At the rate `max` the slowest
/// that listens sets the pace. Status 1 if messages are lost.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast bench
  meshcast bench --rate max --size 1KiB --duration 30s
  meshcast bench --rate 200 --node nrt-1 --json | jq '.regions[].p99_us'")]
pub(crate) struct Bench {
    /// The channel that messages are posted on
    #[arg(default_value = "bench", add = ArgValueCompleter::new(live::channels))]
    pub(crate) channel: ChannelName,
    /// How many messages a second, or max
    #[arg(long, value_name = "N|max", default_value = "1000")]
    pub(crate) rate: Rate,
    /// How large a message is, in bytes of its JSON, such as 80, 1KiB
    #[arg(long, value_name = "BYTES", default_value = "256", value_parser = size)]
    pub(crate) size: u32,
    /// How long to post
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "10s")]
    pub(crate) duration: Duration,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = at_least_one::<u64>)]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) target: Target,
}

fn size(text: &str) -> Result<u32, String> {
    let size = numbers::bytes(text)?;
    let size = u32::try_from(size).ok();
    let size = size.filter(|size| (SMALLEST..=LARGEST).contains(size));
    size.ok_or_else(|| format!("it is {SMALLEST} bytes to {} MiB", LARGEST >> 20))
}

/// How fast to post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Messages a second.
    Fixed(u32),
    Max,
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("max", _) => Ok(Self::Max),
            (_, Ok(rate)) if rate > 0 => Ok(Self::Fixed(rate)),
            _ => Err("it is a number of messages a second, or max"),
        }
    }
}

pub(crate) async fn run(args: Bench, output: &Output) -> Result<Exit, Failure> {
    let client = locate::pick(&args.target, output).await?;
    let node: NodeReport = client.get("/v1/node").await?;
    let others = others(&client, &node).await?;
    let id = random_id()?;
    let start = Instant::now();
    let whose = (node.node.peer_id.as_str(), id.as_str());
    let listeners = Arc::new(Listeners::open(others, args.channel.as_str(), whose, start).await?);
    let mut poster = Poster::new(&args, client, &id, start);
    warm_up(&mut poster, &listeners, output).await?;
    let progress = Progress::new(&args, output);
    let run = async {
        let posted = poster.run(&listeners).await?;
        listeners.settle(posted.messages).await;
        Ok::<_, Failure>(posted)
    };
    let posted = progress.during(&listeners, run).await?;
    progress.bar.finish_and_clear();
    let report = Report::new(&args, &node.node, &posted, &listeners);
    output.result(&report, || report.render(output.palette()))?;
    Ok(match report.is_clean() {
        true => Exit::Ok,
        false => Exit::Failed,
    })
}

/// The nodes of this machine that listen: all of this mesh but the one that posts.
async fn others(client: &Client, node: &NodeReport) -> Result<Vec<(Client, NodeReport)>, Failure> {
    let live = locate::live().await?;
    let asked = live.into_iter().filter(|other| other != client);
    let asked = asked.map(|other| async move {
        let report = other.get::<NodeReport>("/v1/node").await.ok()?;
        Some((other, report))
    });
    let answered = futures::future::join_all(asked).await.into_iter().flatten();
    let others: Vec<_> = answered
        .filter(|(_, other)| {
            other.node.mesh == node.node.mesh && other.node.peer_id != node.node.peer_id
        })
        .collect();
    if others.is_empty() {
        let name = client.name();
        return Err(Failure::failed(format!(
            "no other node of the mesh of {name} runs on this machine"
        ))
        .hint("start another one: it is to listen"));
    }
    Ok(others)
}

/// Posts now and then until all that listen have heard it.
async fn warm_up(
    poster: &mut Poster,
    listeners: &Listeners,
    output: &Output,
) -> Result<(), Failure> {
    let deadline = Instant::now() + WARM_UP;
    let mut tries = interval(WARM_UP_PAUSE);
    while Instant::now() < deadline {
        tries.tick().await;
        poster.knock().await?;
        if listeners.unreached().is_empty() {
            return Ok(());
        }
    }
    let unreached = listeners.unreached();
    if unreached.len() == listeners.len() {
        return Err(
            Failure::timeout(format!("nobody heard anything within {WARM_UP:?}"))
                .hint("whom the node is connected to is shown by `meshcast peers`"),
        );
    }
    let names = unreached.join(", ");
    output.note(&format!("heard nothing within {WARM_UP:?}: {names}"));
    Ok(())
}

/// The progress, for people who wait.
struct Progress {
    bar: ProgressBar,
    by_count: bool,
}

impl Progress {
    fn new(args: &Bench, output: &Output) -> Self {
        let (length, template) = match args.count {
            Some(count) => (count, "{wide_bar} {pos} of {len}: {msg}"),
            None => (millis(args.duration), "{wide_bar} {elapsed}: {msg}"),
        };
        let target = match output.json() {
            true => ProgressDrawTarget::hidden(),
            // Drawn on a terminal alone.
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        Self {
            bar: match ProgressStyle::with_template(template) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            },
            by_count: args.count.is_some(),
        }
    }

    /// Redraws it until that is done.
    async fn during<T>(&self, listeners: &Listeners, posting: impl Future<Output = T>) -> T {
        let mut posting = std::pin::pin!(posting);
        let (mut looks, start) = (interval(REDRAW), Instant::now());
        loop {
            tokio::select! {
                done = &mut posting => return done,
                _ = looks.tick() => {
                    let (passed, heard) = (start.elapsed(), listeners.slowest());
                    let at = if self.by_count { heard } else { millis(passed) };
                    self.bar.set_position(at.min(self.bar.length().unwrap_or(at)));
                    let rate = report::per_second(heard, passed).unwrap_or(0.0);
                    self.bar.set_message(format!("{heard} heard by all, {rate:.0} a second"));
                }
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Tells the messages of this run from those of others.
fn random_id() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(Failure::failed)?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

/// What has to be in a message.
const SMALLEST: u32 = 80;
/// What any node takes by default.
const LARGEST: u32 = 1 << 20;
/// For channels to be known to all.
const WARM_UP: Duration = Duration::from_secs(10);
const WARM_UP_PAUSE: Duration = Duration::from_millis(100);
/// As often as numbers can be read.
const REDRAW: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_max() {
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert_eq!("1000".parse(), Ok(Rate::Fixed(1000)));
        for nonsense in ["", "0", "-1", "1.5", "fast"] {
            assert!(nonsense.parse::<Rate>().is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_size_has_a_unit_and_bounds() {
        assert_eq!(size("80"), Ok(80));
        assert_eq!(size("1KiB"), Ok(1024));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        for wrong in ["79", "2MiB", "1kB", "5000GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
