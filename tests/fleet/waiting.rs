//! The part of a fleet that waits: for time to pass, and for what processes say.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Fleet, LOOK, PATIENCE};
use crate::{
    clock::pass,
    member::{Order, Said, State},
};

impl Fleet {
    /// Waits until a process says something.
    ///
    /// # Errors
    /// If it does not within the bound.
    pub fn wait<T>(
        &mut self,
        node: usize,
        what: &str,
        bound: Duration,
        is: impl Fn(&Said) -> Option<T>,
    ) -> Result<T> {
        self.process(node)?.wait(what, bound, is)
    }

    /// Asks a process how it is.
    ///
    /// # Errors
    /// If it does not say so in time.
    pub fn state(&mut self, node: usize) -> Result<State> {
        self.tell(node, Order::State)?;
        self.wait(node, "its state", PATIENCE, |said| match said {
            Said::State(state) => Some(state.clone()),
            _ => None,
        })
    }

    /// Lets time pass, and looks after the processes meanwhile.
    ///
    /// # Errors
    /// If one of them has ended by itself.
    pub fn pass(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            self.look()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            pass(left.min(LOOK));
        }
    }

    /// Waits until a process has said that it is ready.
    ///
    /// # Errors
    /// If that takes longer than [`PATIENCE`].
    pub fn wait_ready_of(&mut self, node: usize) -> Result<()> {
        self.wait(node, "it is ready", PATIENCE, |said| {
            matches!(said, Said::Ready).then_some(())
        })
    }

    /// Waits until every running process has said that it is ready and their connections have
    /// settled.
    ///
    /// # Errors
    /// If that takes longer than [`PATIENCE`].
    pub fn wait_ready(&mut self) -> Result<()> {
        for node in self.running() {
            self.wait_ready_of(node)?;
        }
        let deadline = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let peers: Vec<usize> = self
                .running()
                .into_iter()
                .map(|node| Ok(self.state(node)?.peers))
                .collect::<Result<_>>()?;
            if peers == before && (peers.len() < 2 || peers.iter().all(|peers| *peers > 0)) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "they do not find each other: {peers:?}"
            );
            before = peers;
            pass(Duration::from_millis(500));
        }
    }

    /// Stops the load and waits until everything posted has come everywhere, or the bound is over;
    /// whether it should have, the checker decides.
    ///
    /// # Errors
    /// If a process is gone.
    pub fn settle(&mut self, bound: Duration) -> Result<Duration> {
        self.load(0.0, 0)?;
        let start = Instant::now();
        while start.elapsed() < bound && !self.is_settled()? {
            self.pass(Duration::from_millis(100))?;
        }
        Ok(start.elapsed())
    }

    /// Whether all have of each living sender all it posted, and equally much of those that are
    /// gone.
    fn is_settled(&mut self) -> Result<bool> {
        let states: Vec<(String, State)> = self
            .running()
            .into_iter()
            .map(|node| Ok((self.peer(node)?, self.state(node)?)))
            .collect::<Result<_>>()?;
        let heard = |state: &State, sender: &str| {
            let mut heard = state.heard.iter();
            heard
                .find(|(name, _)| name == sender)
                .map(|(_, last)| *last)
        };
        let of_living = states.iter().all(|(peer, state)| {
            states
                .iter()
                .filter(|(other, _)| other != peer)
                .all(|(_, other)| {
                    // A node that opened its channel later has nothing of it.
                    state.last_post <= other.opened || heard(other, peer) >= Some(state.posted)
                })
        });
        let gone = |sender: &str| !states.iter().any(|(peer, _)| peer == sender);
        let all = states.iter().flat_map(|(_, state)| &state.heard);
        let of_gone = all
            .filter(|(sender, _)| gone(sender))
            .all(|(sender, last)| {
                let mut others = states.iter().filter_map(|(_, state)| heard(state, sender));
                others.all(|other| other >= *last)
            });
        Ok(of_living && of_gone)
    }
}
