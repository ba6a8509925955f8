//! On what the figures were measured.

use std::{fs, process::Command};

use anyhow::Result;
use serde::Serialize;

use crate::system::System;

/// The machine, the versions, and what was left out.
#[derive(Debug, Serialize)]
pub(crate) struct Conditions {
    /// The command that was given.
    pub(crate) command: String,
    /// Seconds since 1970, by the machine's clock.
    pub(crate) started_at: u64,
    pub(crate) cpu: String,
    /// Its instructions for ciphers and checksums.
    pub(crate) cpu_has: Vec<&'static str>,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// Of one minute, when it began: what else the machine did.
    pub(crate) load_average: String,
    /// The source, as `git describe` names it, if it can.
    pub(crate) source: Option<String>,
    /// The crates that are compared, and what they stand on.
    pub(crate) crates: Vec<String>,
    pub(crate) brokers: Vec<String>,
    pub(crate) skipped: Vec<(System, String)>,
    pub(crate) interrupted: bool,
}

impl Conditions {
    pub(crate) fn now() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map_or_else(String::new, |line| {
                line.trim_start_matches([' ', '\t', ':']).to_owned()
            })
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let started_at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let load_average = read("/proc/loadavg");
        Ok(Self {
            command: format!("meshcast-bench {}", arguments.join(" ")),
            started_at: started_at.as_secs(),
            cpu: field(&read("/proc/cpuinfo"), "model name"),
            cpu_has: instructions(&field(&read("/proc/cpuinfo"), "flags")),
            cores: std::thread::available_parallelism()?.get(),
            memory_mib: memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average: load_average
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            source: first_line("git", &["describe", "--always", "--dirty"]),
            crates: crates(),
            brokers: BROKERS
                .iter()
                .filter_map(|broker| first_line(broker, &["--version"]))
                .collect(),
            skipped: Vec::new(),
            interrupted: false,
        })
    }
}

/// Names differ less than instructions do: "Xeon Processor" is many.
fn instructions(flags: &str) -> Vec<&'static str> {
    let has = |flag: &&str| flags.split(' ').any(|known| known == *flag);
    INSTRUCTIONS.into_iter().filter(has).collect()
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

/// Name and version, as locked when this binary was built.
fn crates() -> Vec<String> {
    let mut lines = LOCK.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let name = line
            .strip_prefix("name = \"")
            .and_then(|rest| rest.strip_suffix('"'));
        let Some(name) = name.filter(|name| CRATES.contains(name)) else {
            continue;
        };
        let version = lines
            .next()
            .and_then(|line| line.strip_prefix("version = "));
        found.push(format!(
            "{name} {}",
            version.unwrap_or_default().trim_matches('"')
        ));
    }
    found
}

const LOCK: &str = include_str!("../Cargo.lock");

const CRATES: [&str; 10] = [
    "async-nats",
    "iroh",
    "iroh-gossip",
    "libp2p",
    "libp2p-gossipsub",
    "meshcast",
    "redis",
    "ring",
    "tokio",
    "zenoh",
];

const INSTRUCTIONS: [&str; 6] = ["aes", "vaes", "avx2", "avx512f", "avx512ifma", "sha_ni"];

const BROKERS: [&str; 2] = ["nats-server", "redis-server"];
