//! How long it takes to ask all members of a mesh, each a process of its own.
//!
//! ```text
//! cargo run --release -p meshcast-tests --bin asks
//! ```
//!
//! Three rows: idle, beside 1,000 messages a second, and with one member that is stopped.

use std::{
    env,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use futures::StreamExt;
use meshcast::{
    BroadcastChannel, MeshKey, Multiaddr, Node,
    ask::{FromMember, NoAnswerReason},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{io::AsyncBufReadExt, time::interval};

#[derive(Debug, Parser)]
#[command(about = "Asks all members of a mesh, and measures how long that takes")]
struct Cli {
    #[command(subcommand)]
    command: Option<Role>,
    /// How many members are asked.
    #[arg(long, default_value_t = 10)]
    members: usize,
    /// How many questions a row.
    #[arg(long, default_value_t = 1_000)]
    questions: usize,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// One that is asked.
    #[command(hide = true)]
    Member { seed: Multiaddr },
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Some(Role::Member { seed }) => member(seed).await,
        None => ask(cli.members, cli.questions).await,
    }
}

/// Answers until its input ends.
async fn member(seed: Multiaddr) -> Result<()> {
    let key = env::var("MESHCAST_KEY").context("a key")?.parse()?;
    let builder = Node::builder().key(key).seed(seed);
    let node = builder.listen("127.0.0.1:0").spawn().await?;
    let channel = node.channel::<u64>("asks")?;
    let _answering = channel.on_ask(async |asked: FromMember<u64>| asked.data);
    let mut input = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while input.next_line().await?.is_some() {}
    Ok(())
}

/// Members as processes, which end with this one.
struct Members(Vec<Child>);

impl Drop for Members {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that is stopped does not notice that its input ends.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn ask(members: usize, questions: usize) -> Result<()> {
    let mut entropy = [0; 48];
    getrandom::fill(&mut entropy).context("no random bytes")?;
    let key = MeshKey::from_entropy(entropy);
    let builder = Node::builder().key(key.clone()).name("asker");
    let node = builder.listen("127.0.0.1:0").spawn().await?;
    let address = node.info().await?.listen_addresses.remove(0);
    let channel = node.channel::<u64>("asks")?;
    let program = env::current_exe()?;
    let children = (0..members).map(|_| {
        Command::new(&program)
            .arg("member")
            .arg(address.to_string())
            .env("MESHCAST_KEY", key.to_secret_text())
            .stdin(Stdio::piped())
            .spawn()
    });
    let children = Members(children.collect::<std::io::Result<_>>()?);
    while node.channels().await?[0].subscribers.len() < members {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    println!(
        "| {members} members, {questions} questions | until all answered: p50 | p99 | longest \
         | not answered |"
    );
    println!("|---|---|---|---|---|");
    let quiet = Duration::from_millis(200);
    row("idle", &channel, questions, quiet, 0).await?;
    let busy = node.channel::<u64>("busy")?;
    let posting = tokio::spawn(async move {
        let mut ticks = interval(Duration::from_millis(1));
        for number in 0.. {
            ticks.tick().await;
            if busy.post_message_wait(&number).await.is_err() {
                return;
            }
        }
    });
    row(
        "beside 1,000 messages a second",
        &channel,
        questions,
        quiet,
        0,
    )
    .await?;
    posting.abort();
    let stopped = children.0.first().context("there are some")?;
    let stopped = Pid::from_child(stopped);
    kill_process(stopped, Signal::STOP)?;
    // Each waits the whole time; after 5 s at most it is known to be gone.
    let few = (questions / 100).max(5);
    row("one is stopped", &channel, few, quiet, 1).await?;
    kill_process(stopped, Signal::CONT)?;
    node.shutdown().await;
    Ok(())
}

async fn row(
    name: &str,
    channel: &BroadcastChannel<u64>,
    questions: usize,
    within: Duration,
    may_miss: usize,
) -> Result<()> {
    let (mut took, mut missing) = (Vec::new(), 0);
    for number in 0..questions as u64 {
        let start = Instant::now();
        let mut answers = channel.ask::<u64, _>(&number)?.within(within)?;
        let mut missed = 0;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(answer) => ensure!(answer.data == number, "it answers something else"),
                Err(none) => {
                    let reason = none.reason();
                    ensure!(
                        matches!(
                            reason,
                            NoAnswerReason::TimedOut | NoAnswerReason::Disconnected
                        ),
                        "{none}"
                    );
                    missed += 1;
                }
            }
        }
        ensure!(missed <= may_miss, "{missed} did not answer");
        missing += missed;
        took.push(start.elapsed());
    }
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "| {name} | {:.2?} | {:.2?} | {:.2?} | {missing} |",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}
