//! A node process: does what it is told on its standard input.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::Result;
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    allocations, clock, copies,
    protocol::{Beside, Load, Order, Published, Reply, Spec, Usage},
    stamp::Stamp,
    system::{Node, PublishBeside},
    tally::SharedTally,
};

/// Runs the node that `spec` describes until standard input ends.
pub(crate) fn run(spec: &str) -> Result<()> {
    // Whatever becomes of the process that compares, no node outlives it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let spec: Spec = serde_json::from_str(spec)?;
    if spec.count_allocations {
        allocations::count();
    }
    // What `#[tokio::main]` gives on a machine of two cores, and so on every one.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    let done = runtime.block_on(spec.system.work(spec));
    if let Err(error) = &done {
        reply(&Reply::Failed {
            error: format!("{error:#}"),
        })?;
    }
    // Tasks of some systems would go on; they end with the process.
    runtime.shutdown_background();
    done
}

/// Starts a node and follows orders.
pub(crate) async fn work<N: Node>(spec: Spec) -> Result<()> {
    let tally = SharedTally::default();
    let node = N::open(&spec, &tally).await?;
    reply(&Reply::Ready {
        address: node.address(),
    })?;
    let mut worker = Worker {
        node,
        tally,
        probing: false,
        heard: false,
        finish: None,
    };
    let mut orders = orders();
    loop {
        let quiet_at = worker.finish.as_ref().map(|finish| finish.quiet_at());
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => worker.follow(order).await?,
                None => return Ok(()),
            },
            received = worker.node.receive(&worker.tally) => {
                received?;
                worker.look()?;
            }
            () = sleep(PROBE_INTERVAL), if worker.probing => worker.probe().await?,
            () = sleep_until(
                quiet_at.unwrap_or_else(Instant::now)
            ), if quiet_at.is_some() => worker.look()?,
        }
    }
}

struct Worker<N> {
    node: N,
    tally: SharedTally,
    probing: bool,
    /// Whether it said that it heard anything.
    heard: bool,
    finish: Option<Finish>,
}

/// A count that is to end.
struct Finish {
    expected: u64,
    expected_beside: u64,
    quiet: Duration,
    /// The count at the last look, and since when it is that.
    received: u64,
    since: Instant,
}

impl Finish {
    fn quiet_at(&self) -> Instant {
        self.since + self.quiet
    }
}

impl<N: Node> Worker<N> {
    async fn follow(&mut self, order: Order) -> Result<()> {
        self.probing = matches!(order, Order::Probe);
        match order {
            Order::Probe | Order::Rest => {}
            Order::Publish { run, load, beside } => {
                let published = self.publish(run, load, beside).await?;
                reply(&Reply::Published(published))?;
            }
            Order::Count { run, keep, beside } => {
                self.tally.lock().begin(run, keep, beside);
                reply(&Reply::Counting)?;
            }
            Order::Finish {
                expected,
                expected_beside,
                quiet_ms,
            } => {
                self.finish = Some(Finish {
                    expected,
                    expected_beside,
                    quiet: Duration::from_millis(quiet_ms),
                    received: self.tally.lock().received(),
                    since: Instant::now(),
                });
                self.look()?;
            }
            Order::Usage => reply(&Reply::Usage(usage()))?,
            Order::Open { channels } => {
                self.node.open_channels(channels).await?;
                reply(&Reply::Opened)?;
            }
            Order::PublishEach { run } => {
                let started = clock::now();
                let messages = self.node.publish_each(run).await?;
                reply(&Reply::Published(Published {
                    messages,
                    beside: 0,
                    refused: self.node.refused(),
                    started,
                    ended: clock::now(),
                }))?;
            }
        }
        Ok(())
    }

    /// Says what there is to say after messages came or time went by.
    fn look(&mut self) -> Result<()> {
        if !self.heard && self.tally.lock().heard() {
            self.heard = true;
            reply(&Reply::Heard)?;
        }
        let Some(finish) = &mut self.finish else {
            return Ok(());
        };
        let received = self.tally.lock().received();
        if received > finish.received {
            finish.received = received;
            finish.since = Instant::now();
        }
        let expected = finish.expected + finish.expected_beside;
        if received >= expected || finish.quiet_at() <= Instant::now() {
            let counted = self
                .tally
                .lock()
                .counted(finish.expected, finish.expected_beside);
            self.finish = None;
            reply(&Reply::Counted(counted))?;
        }
        Ok(())
    }

    async fn probe(&mut self) -> Result<()> {
        let at = clock::now();
        self.node
            .publish(Stamp {
                run: 0,
                number: 0,
                at,
            })
            .await?;
        self.node.flush().await
    }

    async fn publish(&mut self, run: u16, load: Load, beside: Option<Beside>) -> Result<Published> {
        let refused = self.node.refused();
        let beside = match beside {
            Some(beside) => {
                let publish = self.node.beside()?;
                Some(tokio::spawn(publish_beside(publish, beside, load.lasts())))
            }
            None => None,
        };
        let started = clock::now();
        let messages = match load {
            Load::Flat { seconds } => {
                self.publish_flat(run, started + (seconds * 1e9) as u64)
                    .await?
            }
            Load::Paced {
                per_second,
                messages,
            } => {
                self.publish_paced(run, per_second, messages).await?;
                messages
            }
            Load::Silent { seconds } => {
                sleep(Duration::from_secs_f64(seconds)).await;
                0
            }
        };
        self.node.flush().await?;
        let beside = match beside {
            Some(beside) => beside.await??,
            None => 0,
        };
        Ok(Published {
            messages,
            beside,
            refused: self.node.refused() - refused,
            started,
            ended: clock::now(),
        })
    }

    async fn publish_flat(&mut self, run: u16, end: u64) -> Result<u64> {
        for number in 0.. {
            let at = clock::now();
            if at >= end {
                return Ok(number);
            }
            self.node.publish(Stamp { run, number, at }).await?;
        }
        unreachable!("the clock goes on")
    }

    async fn publish_paced(&mut self, run: u16, per_second: f64, messages: u64) -> Result<()> {
        let start = Instant::now();
        let ignored = SharedTally::default();
        for number in 0..messages {
            let due = start + Duration::from_secs_f64(number as f64 / per_second);
            if due > Instant::now() {
                // Before a wait, so that a burst leaves as one.
                self.node.flush().await?;
                let due = sleep_until(due);
                tokio::pin!(due);
                loop {
                    tokio::select! {
                        () = &mut due => break,
                        received = self.node.receive(&ignored) => received?,
                    }
                }
            }
            let at = clock::now();
            self.node.publish(Stamp { run, number, at }).await?;
        }
        Ok(())
    }
}

/// Publishes on the further channels for so long; returns how many messages.
async fn publish_beside(publish: PublishBeside, beside: Beside, lasts: Duration) -> Result<u64> {
    let Beside { run, per_second } = beside;
    let messages = (per_second * lasts.as_secs_f64()) as u64;
    let start = Instant::now();
    for number in 0..messages {
        sleep_until(start + Duration::from_secs_f64(number as f64 / per_second)).await;
        let at = clock::now();
        publish(Stamp { run, number, at }).await?;
    }
    Ok(messages)
}

/// The orders on standard input; ends with it.
fn orders() -> mpsc::Receiver<Order> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(order) = serde_json::from_str(&line) else {
                break;
            };
            if sender.send(order).await.is_err() {
                break;
            }
        }
    });
    receiver
}

fn reply(reply: &Reply) -> Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()?;
    Ok(())
}

fn usage() -> Usage {
    let (allocations, allocated_bytes) = allocations::counted();
    Usage {
        cpu: clock::cpu(),
        allocations,
        allocated_bytes,
        copied_bytes: copies::counted(),
    }
}

const WORKERS: usize = 2;

/// How often the warm-up publishes.
const PROBE_INTERVAL: Duration = Duration::from_millis(10);
