//! Processes of one mesh on this machine: started, disturbed and ended by a script.

mod logs;
mod net;
mod process;
mod waiting;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use meshcast::MeshKey;
use meshcast_sim::{At, Entry, Event, Name};
use serde::Serialize;

pub use self::{
    logs::{Run, load},
    net::{Inside, Net, Unavailable},
    process::{Process, Signal},
};
use crate::{
    clock::now,
    member::{Order, Said},
};

/// What a fleet is like.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program that has the command `member`.
    pub program: PathBuf,
    /// The folder of logs; it is made, and must not be there.
    pub directory: PathBuf,
    /// How many processes, two in each region.
    pub nodes: usize,
    /// As in `meshcast::Limits`.
    pub history_bytes: Option<usize>,
    /// As in `meshcast::Limits`.
    pub history_secs: Option<u64>,
    /// As in `meshcast::Limits`.
    pub unread_bytes: Option<usize>,
    /// Milliseconds of a round trip between any two.
    pub round_trip: Option<u64>,
    /// Milliseconds for which each connection stalls now and then.
    pub stalls: Option<u64>,
}

impl Settings {
    /// A fleet with default limits.
    pub fn new(program: impl Into<PathBuf>, directory: impl Into<PathBuf>, nodes: usize) -> Self {
        Self {
            program: program.into(),
            directory: directory.into(),
            nodes,
            history_bytes: None,
            history_secs: None,
            unread_bytes: None,
            round_trip: None,
            stalls: None,
        }
    }
}

/// The processes of one mesh. They end with it.
#[derive(Debug)]
pub struct Fleet {
    settings: Settings,
    key: MeshKey,
    nodes: Vec<Node>,
    /// What this side of the run writes down.
    marks: Vec<Entry>,
    memory: Vec<Memory>,
    load: Option<(f64, usize)>,
    /// After the nodes, so that it outlives them.
    net: Option<Net>,
}

/// A node and the process that is its present life.
#[derive(Debug)]
struct Node {
    name: String,
    region: &'static str,
    listen: String,
    lives: u32,
    process: Option<Process>,
    is_paused: bool,
}

/// How much memory a process took at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    /// When.
    pub t: At,
    /// Which.
    pub process: Name,
    /// What of it was resident, in bytes.
    pub resident: u64,
}

impl Fleet {
    /// Starts all processes, on loopback or in the namespaces of `net`, and waits until they have
    /// found each other.
    ///
    /// # Errors
    /// Whatever keeps a process from becoming ready.
    pub fn start(settings: Settings, net: Option<Net>) -> Result<Self> {
        let mut fleet = Self::new(settings, net)?;
        for node in 0..fleet.len() {
            fleet.restart(node)?;
        }
        fleet.wait_ready()?;
        Ok(fleet)
    }

    /// A fleet of which no process runs yet.
    ///
    /// # Errors
    /// Without a directory or random bytes.
    pub fn new(settings: Settings, net: Option<Net>) -> Result<Self> {
        fs::create_dir(&settings.directory)
            .with_context(|| format!("{}", settings.directory.display()))?;
        let mut entropy = [0; 48];
        getrandom::fill(&mut entropy).context("no random bytes")?;
        let ports = free_ports(settings.nodes)?;
        let nodes = (0..settings.nodes).map(|i| {
            let region = REGIONS[i / 2 % REGIONS.len()];
            Node {
                name: format!("{region}-{}", i % 2 + 1 + i / (2 * REGIONS.len()) * 2),
                region,
                listen: match &net {
                    Some(net) => format!("/ip4/{}/tcp/4001", net.address(i)),
                    None => format!("/ip4/127.0.0.1/tcp/{}", ports[i]),
                },
                lives: 0,
                process: None,
                is_paused: false,
            }
        });
        Ok(Self {
            nodes: nodes.collect(),
            key: MeshKey::from_entropy(entropy),
            settings,
            marks: Vec::new(),
            memory: Vec::new(),
            load: None,
            net,
        })
    }

    /// The number of nodes, running or not.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// What people call a node.
    pub fn name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    /// The present process of a node, by its name in the log.
    pub fn process_name(&self, node: usize) -> Name {
        let Node { name, lives, .. } = &self.nodes[node];
        Name::from(format!("{name}.{lives}").as_str())
    }

    /// The nodes that have a process.
    pub fn running(&self) -> Vec<usize> {
        (0..self.len())
            .filter(|i| self.nodes[*i].process.is_some())
            .collect()
    }

    /// Its network, if it has one to itself.
    ///
    /// # Errors
    /// If it runs on loopback.
    pub fn net(&mut self) -> Result<&mut Net> {
        self.net.as_mut().context("this fleet runs on loopback")
    }

    /// Starts the process of a node that has none. When this returns it listens and has its channel
    /// open, and posts if the others do.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self, node: usize) -> Result<()> {
        self.restart_with(node, &[])
    }

    /// The same with further arguments.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart_with(&mut self, node: usize, arguments: &[&str]) -> Result<()> {
        let seeds: Vec<String> = self
            .seeds()
            .filter(|seed| *seed != node)
            .map(|seed| self.nodes[seed].listen.clone())
            .collect();
        let mut command = match &self.net {
            Some(net) => net.command(node, &self.settings.program),
            None => Command::new(&self.settings.program),
        };
        let Node {
            name,
            region,
            listen,
            lives,
            process,
            ..
        } = &mut self.nodes[node];
        ensure!(process.is_none(), "{name} is running");
        *lives += 1;
        let log = self.settings.directory.join(format!("{name}.{lives}"));
        command
            .arg("member")
            .args(["--name", name, "--region", region, "--listen", listen])
            .arg("--log")
            .arg(&log)
            .args(seeds.iter().flat_map(|seed| ["--dial", seed]))
            .args(arguments)
            .env("MESHCAST_KEY", self.key.to_secret_text());
        let limits = [
            (
                "--history-bytes",
                self.settings.history_bytes.map(|n| n as u64),
            ),
            ("--history-secs", self.settings.history_secs),
            (
                "--unread-bytes",
                self.settings.unread_bytes.map(|n| n as u64),
            ),
            ("--round-trip", self.settings.round_trip),
            ("--stalls", self.settings.stalls),
        ];
        for (limit, value) in limits {
            if let Some(value) = value {
                command.arg(limit).arg(value.to_string());
            }
        }
        let started = process.insert(Process::start(command, &log)?);
        started.wait("it is up", PATIENCE, |said| {
            matches!(said, Said::Up { .. }).then_some(())
        })?;
        if let Some((per_second, size)) = self.load {
            started.tell(Order::Rate { per_second, size })?;
        }
        Ok(())
    }

    /// Ends a process the hard way.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        let name = self.process_name(node);
        let process = self.nodes[node].process.take().context("it does not run")?;
        self.nodes[node].is_paused = false;
        process.kill();
        self.mark(&name, Event::End);
        Ok(())
    }

    /// Tells a process to end, and returns how long it took.
    ///
    /// # Errors
    /// If it does not end, or not well.
    pub fn terminate(&mut self, node: usize) -> Result<Duration> {
        let start = Instant::now();
        let process = self.nodes[node].process.take().context("it does not run")?;
        process.signal(Signal::TERM)?;
        let status = process.end(TERM_BOUND)?;
        ensure!(
            status.success(),
            "{} ended with {status}",
            self.nodes[node].name
        );
        Ok(start.elapsed())
    }

    /// Makes a process stand still, or go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&mut self, node: usize, paused: bool) -> Result<()> {
        self.process(node)?
            .signal(if paused { Signal::STOP } else { Signal::CONT })?;
        self.nodes[node].is_paused = paused;
        Ok(())
    }

    /// All that run post at this rate together, and so does what is started later, each its share.
    ///
    /// # Errors
    /// If a process is gone.
    pub fn load(&mut self, per_second: f64, size: usize) -> Result<()> {
        let each = per_second / self.len() as f64;
        self.load = (each > 0.0).then_some((each, size));
        for node in self.running() {
            self.tell(
                node,
                Order::Rate {
                    per_second: each,
                    size,
                },
            )?;
        }
        Ok(())
    }

    /// Tells a process something.
    ///
    /// # Errors
    /// If it is gone.
    pub fn tell(&mut self, node: usize, order: Order) -> Result<()> {
        self.process(node)?.tell(order)
    }

    /// The id of the present process of a node.
    ///
    /// # Errors
    /// If it does not run.
    pub fn peer(&self, node: usize) -> Result<String> {
        let process = self.nodes[node]
            .process
            .as_ref()
            .context("it does not run")?;
        Ok(process.peer().to_owned())
    }

    /// The faults are over at `calm`. Notes how all processes are, ends them, and collects what was
    /// written until now.
    ///
    /// # Errors
    /// If a process does not end, or a log cannot be read.
    pub fn finish(mut self, calm: At) -> Result<Run> {
        let running = self.running();
        let names: Vec<Name> = running
            .iter()
            .map(|node| self.process_name(*node))
            .collect();
        let end = now();
        for node in &running {
            if !self.nodes[*node].is_paused {
                let state = self.state(*node)?;
                let file = self
                    .settings
                    .directory
                    .join(format!("{}.state", self.process_name(*node)));
                fs::write(file, serde_json::to_vec_pretty(&state)?)?;
            }
        }
        let judge = Name::from("script");
        let mark = |t, event| Entry {
            t,
            process: judge.clone(),
            event,
        };
        self.marks.push(mark(
            calm,
            Event::Calm {
                groups: vec![names],
            },
        ));
        self.marks.push(mark(end, Event::Finish));
        for node in running {
            if self.nodes[node].is_paused {
                self.pause(node, false)?;
            }
            self.process(node)?.signal(Signal::TERM)?;
        }
        for node in &mut self.nodes {
            if let Some(process) = node.process.take() {
                process.end(TERM_BOUND)?;
            }
        }
        let memory = serde_json::to_vec(&self.memory)?;
        fs::write(self.settings.directory.join("memory.json"), memory)?;
        let mut log = logs::load(&self.settings.directory)?;
        log.retain(|entry| entry.t <= end);
        log.append(&mut self.marks);
        log.sort_by_key(|entry| entry.t);
        Ok(Run {
            log,
            memory: std::mem::take(&mut self.memory),
            directory: self.settings.directory.clone(),
        })
    }

    /// Where the logs are.
    pub fn directory(&self) -> &Path {
        &self.settings.directory
    }

    /// Notes the memory of all processes, and whether they are still there.
    fn look(&mut self) -> Result<()> {
        let t = now();
        if self
            .memory
            .last()
            .is_some_and(|last| t.since(last.t) < SAMPLE)
        {
            return Ok(());
        }
        for node in self.running() {
            let process = self.process_name(node);
            let Some(running) = &mut self.nodes[node].process else {
                continue;
            };
            if let Some(status) = running.ended()? {
                bail!(
                    "{process} has ended by itself: {status}\n{}",
                    running.errors()
                );
            }
            let resident = running.resident()?;
            self.memory.push(Memory {
                t,
                process,
                resident,
            });
        }
        Ok(())
    }

    fn mark(&mut self, process: &Name, event: Event) {
        self.marks.push(Entry {
            t: now(),
            process: process.clone(),
            event,
        });
    }

    fn process(&mut self, node: usize) -> Result<&mut Process> {
        let Node { name, process, .. } = &mut self.nodes[node];
        process
            .as_mut()
            .with_context(|| format!("{name} does not run"))
    }

    /// The first of each of three regions, so that some can be down.
    fn seeds(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.len()).step_by(2).take(3)
    }
}

/// Ports that were free a moment ago. They stay the same when a process is started again.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<std::net::TcpListener> = (0..count)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let ports = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()));
    ports.collect()
}

/// Long enough for anything that works, on a machine with other things to do.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A node takes up to 5.5 s to hand over what it posted and close its connections.
const TERM_BOUND: Duration = Duration::from_secs(30);

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_secs(1);

/// The interval at which the script looks whether it is time for that.
const LOOK: Duration = Duration::from_millis(200);

const REGIONS: [&str; 5] = ["fra", "iad", "nrt", "gru", "syd"];
