//! Processes that the benchmark starts, and what the system knows of them.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::protocol::{Order, Reply, Spec};

/// A node in a process of its own. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    child: Child,
    orders: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
    pid: Pid,
    pub(crate) address: String,
}

/// What a process holds of memory, in MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) rss: f64,
    /// What of it is not backed by a file: without the pages of the binary.
    pub(crate) anonymous: f64,
    pub(crate) peak: f64,
}

impl NodeProcess {
    /// Starts a node and waits until it runs.
    pub(crate) async fn start(spec: &Spec) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("node")
            .arg(serde_json::to_string(spec)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let orders = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let pid = pid_of(&child)?;
        let mut node = Self {
            child,
            orders,
            replies: BufReader::new(stdout).lines(),
            pid,
            address: String::new(),
        };
        match node.reply(START_PATIENCE).await? {
            Reply::Ready { address } => node.address = address,
            other => bail!("a node began with {other:?}"),
        }
        Ok(node)
    }

    pub(crate) async fn order(&mut self, order: &Order) -> Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let written = self.orders.write_all(&line).await;
        written.context("a node has ended")
    }

    /// Its next answer.
    ///
    /// # Errors
    /// If it fails, or says nothing for as long as `patience`.
    pub(crate) async fn reply(&mut self, patience: Duration) -> Result<Reply> {
        let line = timeout(patience, self.replies.next_line()).await;
        let line = line.with_context(|| format!("a node hung for {} s", patience.as_secs()))??;
        let line = line.context("a node ended without a word")?;
        match serde_json::from_str(&line)? {
            Reply::Failed { error } => bail!("a node failed: {error}"),
            reply => Ok(reply),
        }
    }

    /// Stops it where it is, as if its machine had frozen, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        Ok(kill_process(self.pid, signal)?)
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        memory(self.pid)
    }

    /// Ends it and waits until it is gone, so that it takes no CPU from what comes next.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.child.kill().await.context("a node does not end")
    }
}

/// The pid of a child that was not waited for.
pub(crate) fn pid_of(child: &Child) -> Result<Pid> {
    let id = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    id.context("a child has ended")
}

/// A port that was free a moment ago, for what does not tell which it takes.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// The CPU time of a process since it started, in nanoseconds but only to 10 ms.
pub(crate) fn cpu(pid: Pid) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    // The second field is a name that may hold anything; user and system time are 11 fields after
    // the third.
    let (_, fields) = stat.rsplit_once(')').context("an odd /proc/…/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(ticks * (1_000_000_000 / TICKS_A_SECOND))
}

/// The same of all processes of the machine since it started.
pub(crate) fn machine_cpu() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().context("an empty /proc/stat")?;
    // user nice system idle iowait irq softirq
    let fields: Vec<u64> = all
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let busy = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|&field| fields.get(field));
    Ok(busy.sum::<u64>() * (1_000_000_000 / TICKS_A_SECOND))
}

/// What a process holds now.
pub(crate) fn memory(pid: Pid) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))?;
    let field = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib
            .with_context(|| format!("no {name} in /proc/…/status"))?
            .parse::<f64>()?
            / 1024.0)
    };
    Ok(Memory {
        rss: field("VmRSS:")?,
        anonymous: field("RssAnon:")?,
        peak: field("VmHWM:")?,
    })
}

/// For a node to start: a system that finds its broker or peers slowly takes a second or two.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// `USER_HZ`, which is 100 on everything Linux runs on today.
const TICKS_A_SECOND: u64 = 100;
