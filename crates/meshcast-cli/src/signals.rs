//! Ctrl-C and SIGTERM: once to end well, twice to end now.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, Failure};

/// Hears both from when it is made.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        let hear = |kind| signal(kind).map_err(Failure::io("listen to signals"));
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// From now on the next one ends the process, whatever it is doing.
    pub(crate) fn exit_at_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            process::exit(Exit::Interrupted as i32);
        });
    }
}

/// For commands that have nothing to tidy up.
pub(crate) fn exit_when_interrupted() -> Result<(), Failure> {
    Signals::new().map(Signals::exit_at_next)
}
