//! Ctrl-C, SIGTERM and a terminal that is closed: once to end well; the first two again to end now.

use std::{fs, process, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use crate::exit::{Exit, Failure};

/// Hears them from when it is made.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None`: whoever started the process has it stay when the terminal goes, as `nohup` does.
    hang_up: Option<Signal>,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        let hear = |kind| signal(kind).map_err(Failure::io("listen to signals"));
        // Before it is heard: from then on it is not ignored.
        let stays = is_ignored(SignalKind::hangup());
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
            hang_up: (!stays).then(|| hear(SignalKind::hangup())).transpose()?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hang_up => {}
        }
    }

    /// From now on the next one ends the process, whatever it is doing. One that comes at once does
    /// not: `timeout` sends its signal to the process and then to its group. Nor does a closed
    /// terminal, of which both the system and the shell send a signal.
    pub(crate) fn exit_at_next(self) {
        exit_at_next(self.interrupt, self.terminate, SAME);
    }
}

/// For commands that have nothing to tidy up.
pub(crate) fn exit_when_interrupted() -> Result<(), Failure> {
    let hear = |kind| signal(kind).map_err(Failure::io("listen to signals"));
    let (interrupt, terminate) = (
        hear(SignalKind::interrupt())?,
        hear(SignalKind::terminate())?,
    );
    exit_at_next(interrupt, terminate, Duration::ZERO);
    Ok(())
}

/// Those that come within `same` are as good as one.
fn exit_at_next(mut interrupt: Signal, mut terminate: Signal, same: Duration) {
    let first = Instant::now();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first.elapsed() >= same {
                process::exit(Exit::Interrupted as i32);
            }
        }
    });
}

/// Faster than anybody presses keys twice, and far slower than a program sends two signals.
const SAME: Duration = Duration::from_millis(250);

/// Whether the process was started with a signal ignored. Known on Linux alone: elsewhere the only
/// way to ask is not open to safe code, and all signals are heard.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, kind)
}

/// `status` is what Linux tells of a process: a set of signals is a hexadecimal number, the first
/// being its lowest bit.
fn ignores(status: &str, kind: SignalKind) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    let bit = u32::try_from(kind.as_raw_value() - 1)
        .ok()
        .and_then(|n| 1_u64.checked_shl(n));
    set.zip(bit).is_some_and(|(set, bit)| set & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ignored_at_the_start_is_read_from_the_status() {
        let hang_up = SignalKind::hangup();
        let status =
            |set: &str| format!("Name:\tmeshcast\nSigBlk:\tffff\nSigIgn:\t{set}\nSigCgt:\tffff\n");
        assert!(ignores(&status("0000000000001001"), hang_up));
        assert!(!ignores(&status("0000000000001000"), hang_up));
        assert!(ignores(
            &status("0000000000001002"),
            SignalKind::interrupt()
        ));
        for nothing in ["", "SigIgn:", "SigIgn: x"] {
            assert!(!ignores(nothing, hang_up), "{nothing}");
        }
    }
}
