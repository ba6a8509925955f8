//! A child process: its output is kept, and it does not outlive its test.

use std::{
    fs::File,
    io::{BufRead, BufReader, PipeWriter, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use super::eventually;

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    command: String,
    stdout: Lines,
    stderr: Lines,
}

impl Process {
    pub(crate) fn start(command: Command) -> Self {
        Self::start_to(command, None, None)
    }

    /// With something to read on stdin.
    pub(crate) fn start_from(command: Command, stdin: impl Into<Stdio>) -> Self {
        Self::spawn(command, stdin.into(), None, None)
    }

    /// With pipes for stdout and stderr, whose other ends the caller has.
    pub(crate) fn start_to(
        command: Command,
        stdout: Option<PipeWriter>,
        stderr: Option<PipeWriter>,
    ) -> Self {
        Self::spawn(command, Stdio::null(), stdout, stderr)
    }

    /// In a terminal.
    pub(crate) fn start_in(mut command: Command, terminal: &File) -> Self {
        let terminal = || terminal.try_clone().expect("a file");
        let child = command
            .stdin(terminal())
            .stdout(terminal())
            .stderr(terminal())
            .spawn()
            .expect("it was just built");
        Self::of(child, &command)
    }

    fn spawn(
        mut command: Command,
        stdin: Stdio,
        stdout: Option<PipeWriter>,
        stderr: Option<PipeWriter>,
    ) -> Self {
        let child = command
            .stdin(stdin)
            .stdout(stdout.map_or_else(Stdio::piped, Stdio::from))
            .stderr(stderr.map_or_else(Stdio::piped, Stdio::from))
            .spawn()
            .expect("it was just built");
        Self::of(child, &command)
    }

    fn of(mut child: Child, command: &Command) -> Self {
        let stdout = child.stdout.take().map_or_else(Lines::ended, Lines::of);
        let stderr = child.stderr.take().map_or_else(Lines::ended, Lines::of);
        let command = format!("{command:?}")
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        Self {
            child,
            command,
            stdout,
            stderr,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is not reaped yet");
    }

    /// The first line on stdout that satisfies.
    #[track_caller]
    pub(crate) fn stdout_line(
        &self,
        what: &str,
        bound: Duration,
        is: impl Fn(&str) -> bool,
    ) -> String {
        self.stdout
            .wait(1, bound, is)
            .unwrap_or_else(|| panic!("no line {what:?} on stdout of {self}"))
    }

    /// The `n`th line on stderr that satisfies.
    #[track_caller]
    pub(crate) fn stderr_line(
        &self,
        what: &str,
        n: usize,
        bound: Duration,
        is: impl Fn(&str) -> bool,
    ) -> String {
        self.stderr
            .wait(n, bound, is)
            .unwrap_or_else(|| panic!("no {n} lines {what:?} on stderr of {self}"))
    }

    /// Its exit status, and its output on stdout and stderr.
    #[track_caller]
    pub(crate) fn end(mut self, bound: Duration) -> (ExitStatus, String, String) {
        let description = self.to_string();
        let status = eventually(&format!("the end of {description}"), bound, || {
            self.child.try_wait().expect("our child")
        });
        (status, self.stdout.all(bound), self.stderr.all(bound))
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (stdout, stderr) = (
            self.stdout.lock().text.join("\n"),
            self.stderr.lock().text.join("\n"),
        );
        write!(
            f,
            "{} ({})\n- stdout:\n{stdout}\n- stderr:\n{stderr}\n",
            self.command,
            self.pid()
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- {self}");
        }
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream so far.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<(Mutex<Text>, Condvar)>);

#[derive(Debug, Default)]
struct Text {
    text: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Those of somebody else.
    fn ended() -> Self {
        let lines = Self::default();
        lines.lock().ended = true;
        lines
    }

    fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let ours = lines.clone();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                ours.lock().text.push(text);
                ours.0.1.notify_all();
                line.clear();
            }
            ours.lock().ended = true;
            ours.0.1.notify_all();
        });
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Text> {
        self.0.0.lock().expect("no holder panics")
    }

    fn wait(&self, n: usize, bound: Duration, is: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + bound;
        let mut lines = self.lock();
        loop {
            if let Some(found) = lines.text.iter().filter(|line| is(line)).nth(n - 1) {
                return Some(found.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.ended {
                return None;
            }
            lines = self
                .0
                .1
                .wait_timeout(lines, left)
                .expect("no holder panics")
                .0;
        }
    }

    /// Everything, once it has ended.
    fn all(&self, bound: Duration) -> String {
        let waiting = |lines: &mut Text| !lines.ended;
        let (lines, late) = self
            .0
            .1
            .wait_timeout_while(self.lock(), bound, waiting)
            .expect("no holder panics");
        assert!(
            !late.timed_out(),
            "the stream stays open after the process has ended"
        );
        lines.text.join("\n")
    }
}
