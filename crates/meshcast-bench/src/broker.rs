//! Brokers from the system's packages, for the systems that need one.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, set_parent_process_death_signal};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::process::{self, Memory, free_port, pid_of};

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BrokerKind {
    Nats,
    Redis,
}

/// A broker that runs. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    pid: Pid,
    pub(crate) address: String,
}

impl BrokerKind {
    /// Its program, as Debian's package of the same name installs it.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Nats => "nats-server",
            Self::Redis => "redis-server",
        }
    }

    /// Why it cannot be had on this machine.
    pub(crate) fn absent(self) -> Option<String> {
        let program = self.program();
        find(program)
            .is_none()
            .then(|| format!("{program} is not installed"))
    }

    /// With the defaults but for these: on loopback, without files, and nobody is disconnected for
    /// being slow.
    fn arguments(self, port: &str) -> Vec<&str> {
        match self {
            Self::Nats => vec!["--addr", "127.0.0.1", "--port", port],
            Self::Redis => vec![
                "--bind",
                "127.0.0.1",
                "--port",
                port,
                "--save",
                "",
                "--appendonly",
                "no",
                // It disconnects a subscriber that is 32 MiB behind, which two large messages are.
                "--client-output-buffer-limit",
                "pubsub",
                "0",
                "0",
                "0",
            ],
        }
    }
}

impl Broker {
    /// Starts one and waits until it takes connections.
    pub(crate) async fn start(kind: BrokerKind) -> Result<Self> {
        let program = find(kind.program()).with_context(|| kind.absent().unwrap_or_default())?;
        let port = free_port()?.to_string();
        let child = Command::new(std::env::current_exe()?)
            .arg("guard")
            .arg(program)
            .args(kind.arguments(&port))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let pid = pid_of(&child)?;
        let broker = Self {
            child,
            pid,
            address: format!("127.0.0.1:{port}"),
        };
        let since = Instant::now();
        while TcpStream::connect(&broker.address).await.is_err() {
            if since.elapsed() > START_PATIENCE {
                bail!("{} does not listen", kind.program());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(broker)
    }

    pub(crate) fn cpu(&self) -> Result<u64> {
        process::cpu(self.pid)
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        process::memory(self.pid)
    }

    pub(crate) async fn end(mut self) -> Result<()> {
        self.child.kill().await.context("a broker does not end")
    }
}

/// Becomes a program that does not outlive the process that started it.
pub(crate) fn guard(program: &Path, arguments: &[String]) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Err(std::process::Command::new(program)
        .args(arguments)
        .exec()
        .into())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(program));
    found.find(|file| file.is_file())
}

const START_PATIENCE: Duration = Duration::from_secs(5);
