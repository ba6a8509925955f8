//! A child process that takes orders and says things.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::{
    clock::pass,
    member::{Order, Said},
};

/// A running member. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    orders: ChildStdin,
    said: Receiver<Said>,
    /// What it said and nobody waited for yet.
    unread: Vec<Said>,
    peer: String,
    errors: PathBuf,
}

impl Process {
    /// Starts one. Its stderr goes into a file beside its log.
    pub(super) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let mut errors = log.as_os_str().to_owned();
        errors.push(".stderr");
        let errors = PathBuf::from(errors);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create_new(&errors)?)
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let orders = child.stdin.take().context("its stdin is piped")?;
        let said = read(child.stdout.take().context("its stdout is piped")?);
        Ok(Self {
            child,
            orders,
            said,
            unread: Vec::new(),
            peer: String::new(),
            errors,
        })
    }

    /// Its id, once it has said that it is up.
    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    pub(super) fn tell(&mut self, order: Order) -> Result<()> {
        let mut line = serde_json::to_vec(&order)?;
        line.push(b'\n');
        let told = self.orders.write_all(&line);
        told.with_context(|| format!("it takes no orders\n{}", self.errors()))
    }

    /// Waits until it has said something that satisfies.
    pub(super) fn wait<T>(
        &mut self,
        what: &str,
        bound: Duration,
        is: impl Fn(&Said) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + bound;
        let mut next = 0;
        loop {
            while let Some(said) = self.unread.get(next) {
                if let Some(found) = is(said) {
                    self.unread.remove(next);
                    return Ok(found);
                }
                next += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(said) => {
                    if let Said::Up { peer } = &said {
                        self.peer.clone_from(peer);
                    }
                    self.unread.push(said);
                }
                Err(_) => bail!("not within {bound:?}: {what}\n{}", self.errors()),
            }
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Its exit status, if it has ended.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    pub(super) fn kill(self) {
        drop(self);
    }

    /// Waits for its end.
    pub(super) fn end(mut self, bound: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + bound;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("it has not ended within {bound:?}\n{}", self.errors());
            }
            pass(Duration::from_millis(10));
        }
    }

    /// Its memory that is resident, in bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        let pages = statm.split(' ').nth(1).context("a second field")?;
        Ok(pages.parse::<u64>()? * rustix::param::page_size() as u64)
    }

    /// The end of what it wrote to stderr.
    pub(super) fn errors(&self) -> String {
        let text = fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(20);
        format!("{}:\n{}", self.errors.display(), lines[from..].join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stdout: ChildStdout) -> Receiver<Said> {
    let (sender, receiver) = sync_channel(1024);
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(said) => {
                    if sender.send(said).is_err() {
                        return;
                    }
                }
                Err(error) => eprintln!("a process said {line:?}: {error}"),
            }
        }
    });
    receiver
}
