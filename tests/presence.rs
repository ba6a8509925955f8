//! Presence held against its bounds: real processes that watch each other are killed, stopped and
//! started again, and what each reports is compared with who was really there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use meshcast::{MeshKey, Multiaddr, Node, PresenceChange};
use tokio::io::AsyncReadExt;

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many processes.
    pub processes: usize,
    /// For how long some are ended.
    pub time: Duration,
    /// Decides which, when and how.
    pub seed: u64,
    /// The program itself, which is run as each of the processes.
    pub program: PathBuf,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The numbers that were killed, and stopped in peace.
    pub killed: usize,
    pub stopped: usize,
    /// How long after that each of the others told of it, in order.
    pub lost_after: Vec<Duration>,
    pub left_after: Vec<Duration>,
    /// Members that were told to be gone and were not, or not in time, or were there in the end and
    /// gone.
    pub violations: Vec<String>,
}

/// A killed member has to be told as lost within this time: 10 s after it was last heard, half a
/// second until somebody looks, and as much for a machine that is busy.
pub const LOST_BOUND: Duration = Duration::from_millis(11_500);

/// A member that stopped in peace has to be told as gone within this time after its process has
/// ended.
pub const LEFT_BOUND: Duration = Duration::from_secs(1);

/// How many lines may wait to be read; a process that writes more waits.
const LINES: usize = 4_096;

/// A process that runs, as the program sees it.
struct Process {
    name: String,
    id: String,
    child: Child,
    stdin: Option<ChildStdin>,
    /// Whom it sees, by id.
    sees: BTreeSet<String>,
}

/// A line that a process wrote, and when it was read.
struct Line {
    of: String,
    text: String,
    at: Instant,
}

/// Somebody who ended.
struct Ended {
    at: Instant,
    killed: bool,
    /// The members that saw it then and have not told yet that it is gone.
    seen_by: BTreeSet<String>,
}

impl Plan {
    /// Runs it.
    ///
    /// # Errors
    /// A process could not be started, or ended by itself.
    pub fn run(&self) -> Result<Outcome> {
        let mut entropy = [0; 48];
        getrandom::fill(&mut entropy)?;
        let key = MeshKey::from_entropy(entropy).to_secret_text();
        let mut trial = Trial {
            program: self.program.clone(),
            key,
            lines: mpsc::sync_channel(LINES),
            processes: BTreeMap::new(),
            ended: BTreeMap::new(),
            addresses: BTreeMap::new(),
            outcome: Outcome::default(),
        };
        for n in 0..self.processes {
            trial.start(&format!("node-{n}"))?;
        }
        trial.listen(Duration::from_secs(5));
        let (end, mut chance) = (Instant::now() + self.time, Chance(self.seed));
        let mut due: Vec<(Instant, String)> = Vec::new();
        while Instant::now() < end {
            trial.listen(Duration::from_millis(500 + chance.below(2_500)));
            let now = Instant::now();
            for (_, name) in due.extract_if(.., |(at, _)| *at <= now) {
                trial.start(&name)?;
            }
            if trial.processes.len() > self.processes / 2 {
                let names: Vec<_> = trial.processes.keys().cloned().collect();
                let name = &names[chance.below(names.len() as u64) as usize];
                trial.end(name, chance.below(3) > 0)?;
                due.push((
                    now + Duration::from_millis(chance.below(8_000)),
                    name.clone(),
                ));
            }
        }
        trial.listen(LOST_BOUND + Duration::from_secs(8));
        Ok(trial.finish())
    }
}

struct Trial {
    program: PathBuf,
    key: String,
    lines: (SyncSender<Line>, Receiver<Line>),
    processes: BTreeMap<String, Process>,
    /// By id.
    ended: BTreeMap<String, Ended>,
    /// Where each name listens.
    addresses: BTreeMap<String, String>,
    outcome: Outcome,
}

impl Trial {
    fn start(&mut self, name: &str) -> Result<()> {
        let mut command = Command::new(&self.program);
        command
            .arg("member")
            .arg(name)
            .env("MESHCAST_KEY", &self.key);
        let seeds = self.addresses.iter().filter(|(other, _)| *other != name);
        command.args(seeds.map(|(_, address)| address));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the program itself")?;
        let stdin = child.stdin.take();
        let mut out = BufReader::new(child.stdout.take().context("piped")?).lines();
        let first = out.next().context("it ended at once")??;
        let [id, address] = first.split(' ').collect::<Vec<_>>()[..] else {
            bail!("it said {first:?}");
        };
        self.addresses.insert(name.to_owned(), address.to_owned());
        let (sender, of) = (self.lines.0.clone(), id.to_owned());
        thread::spawn(move || {
            for text in out.map_while(std::result::Result::ok) {
                let (of, at) = (of.clone(), Instant::now());
                if sender.send(Line { of, text, at }).is_err() {
                    return;
                }
            }
        });
        let process = Process {
            name: name.to_owned(),
            id: id.to_owned(),
            child,
            stdin,
            sees: BTreeSet::new(),
        };
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    /// Kills a process, or has it stop in peace.
    fn end(&mut self, name: &str, killed: bool) -> Result<()> {
        let mut process = self.processes.remove(name).context("it runs")?;
        if killed {
            process.child.kill()?;
            self.outcome.killed += 1;
        } else {
            // It stops at the end of its input.
            drop(process.stdin.take());
            self.outcome.stopped += 1;
        }
        process.child.wait()?;
        let watchers = self.processes.values();
        let seen_by = watchers.filter(|other| other.sees.contains(&process.id));
        let ended = Ended {
            at: Instant::now(),
            killed,
            seen_by: seen_by.map(|other| other.id.clone()).collect(),
        };
        self.ended.insert(process.id, ended);
        Ok(())
    }

    /// Takes in what processes write for so long.
    fn listen(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            match self
                .lines
                .1
                .recv_timeout(left.min(Duration::from_millis(100)))
            {
                Ok(line) => self.hear(&line),
                Err(_) => self.check_bounds(),
            }
        }
        self.check_bounds();
    }

    fn hear(&mut self, line: &Line) {
        let mut words = line.text.split(' ');
        let (Some(change), Some(whom)) = (words.next(), words.next()) else {
            return;
        };
        let name = words.next().unwrap_or_default();
        let watcher = self.processes.values_mut().find(|it| it.id == line.of);
        let Some(watcher) = watcher else { return };
        match change {
            "joined" => {
                watcher.sees.insert(whom.to_owned());
                if let Some(ended) = self.ended.get_mut(whom) {
                    // It was on its way; or else it is a ghost, which the bound shows.
                    ended.seen_by.insert(line.of.clone());
                }
            }
            "left" | "lost" => {
                watcher.sees.remove(whom);
                let told = format!("{} told that {name} {change}", watcher.name);
                match self.ended.get_mut(whom) {
                    Some(ended) => {
                        let after = line.at.saturating_duration_since(ended.at);
                        if !ended.seen_by.remove(&line.of) {
                            // It was told before.
                        } else if ended.killed {
                            self.outcome.lost_after.push(after);
                        } else {
                            self.outcome.left_after.push(after);
                        }
                    }
                    // One that stops in peace says so before its process has ended.
                    None if change == "left" => {}
                    None => self
                        .outcome
                        .violations
                        .push(format!("{told}, and it was there")),
                }
            }
            _ => {}
        }
    }

    /// A member that ended must have been told as gone by now.
    fn check_bounds(&mut self) {
        for (id, ended) in &mut self.ended {
            let bound = if ended.killed { LOST_BOUND } else { LEFT_BOUND };
            ended
                .seen_by
                .retain(|watcher| self.processes.values().any(|it| it.id == *watcher));
            if ended.at.elapsed() > bound {
                for watcher in std::mem::take(&mut ended.seen_by) {
                    let late = format!("{watcher} still sees {id} after {bound:?}");
                    self.outcome.violations.push(late);
                }
            }
        }
    }

    fn finish(mut self) -> Outcome {
        let there: BTreeSet<_> = self.processes.values().map(|it| it.id.clone()).collect();
        for process in self.processes.values_mut() {
            if process.sees != there {
                let ghosts = process.sees.difference(&there).count();
                let missing = there.difference(&process.sees).count();
                self.outcome.violations.push(format!(
                    "in the end {} sees {ghosts} ghosts and misses {missing}",
                    process.name
                ));
            }
            drop(process.stdin.take());
            // It is over; an error changes nothing.
            let _ = process.child.wait();
        }
        self.outcome.lost_after.sort_unstable();
        self.outcome.left_after.sort_unstable();
        self.outcome
    }
}

/// One of the processes: says who it is and where it listens, then a line for each change. It stops
/// in peace at the end of its input.
///
/// # Errors
/// It could not be started, or nobody reads what it writes.
pub async fn member(name: &str, seeds: Vec<Multiaddr>) -> Result<()> {
    let listen = "127.0.0.1:0";
    let builder = Node::builder().name(name).region("test").listen(listen);
    let node = builder.seeds(seeds).spawn().await?;
    let addresses = node.info().await?.listen_addresses;
    let mut out = std::io::stdout();
    writeln!(out, "{} {}", node.peer_id(), addresses[0])?;
    let channel = node.channel::<String>("presence")?;
    let presence = channel.presence::<String>();
    presence.set(&name.to_owned())?;
    let (mut changes, mut known) = (presence.changes(), BTreeSet::new());
    let (mut stdin, mut byte) = (tokio::io::stdin(), [0]);
    loop {
        let change = tokio::select! {
            change = changes.recv() => change.context("the node stopped")?,
            read = stdin.read(&mut byte) => {
                ensure!(read? == 0, "nothing is said to it");
                break;
            }
        };
        if let PresenceChange::Snapshot(members) = &change {
            for member in members {
                if known.insert(member.peer_id()) {
                    writeln!(out, "joined {} {}", member.peer_id(), member.name())?;
                }
            }
            continue;
        }
        let Some(member) = change.member() else {
            continue;
        };
        known.insert(member.peer_id());
        writeln!(
            out,
            "{} {} {}",
            change.as_str(),
            member.peer_id(),
            member.name()
        )?;
        out.flush()?;
    }
    node.shutdown().await;
    Ok(())
}

/// The CPU that so many nodes take that are all connected and do nothing, in thousandths of a core,
/// without and with one that watches who is present.
///
/// # Errors
/// A node could not be started.
pub async fn idle(nodes: usize, time: Duration) -> Result<[f64; 2]> {
    let mut entropy = [0; 48];
    getrandom::fill(&mut entropy)?;
    let (key, mut seeds, mut all) = (MeshKey::from_entropy(entropy), Vec::new(), Vec::new());
    for n in 0..nodes {
        let listen = "127.0.0.1:0";
        let builder = Node::builder().key(key.clone()).name(format!("node-{n}"));
        let node = builder.listen(listen).seeds(seeds.clone()).spawn().await?;
        seeds.extend(node.info().await?.listen_addresses);
        let channel = node.channel::<String>("presence")?;
        all.push((node, channel));
    }
    for (node, _) in &all {
        node.wait_for_members(nodes - 1).await?;
    }
    let measure = async || {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (before, begin) = (cpu(), Instant::now());
        tokio::time::sleep(time).await;
        (cpu() - before).as_secs_f64() / begin.elapsed().as_secs_f64() * 1_000.0
    };
    let without = measure().await;
    let watching: Vec<_> = all.iter().map(|(_, it)| it.presence::<String>()).collect();
    let with = measure().await;
    ensure!(
        watching.iter().all(|it| it.members().len() == nodes),
        "all see all"
    );
    for (node, _) in all {
        node.shutdown().await;
    }
    Ok([without, with])
}

fn cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        spent.tv_sec.unsigned_abs(),
        spent.tv_nsec.unsigned_abs() as u32,
    )
}

/// Small random numbers (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}
