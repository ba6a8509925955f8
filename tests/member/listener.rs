//! The half of a member that hears.

use std::{
    collections::BTreeMap,
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use meshcast::{BroadcastChannel, Bytes, Messages, PeerId, RecvError};
use meshcast_sim::{At, Digest, Event, Name, Since, Span};
use tokio::{select, sync::watch, task::JoinHandle};

use super::{State, journal::Journal};
use crate::clock::now;

/// Writes down what channel objects are given. A cheap handle.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    journal: Journal,
    deaf: watch::Receiver<bool>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    posted: u64,
    last_post: At,
    opened: At,
    /// The name and the highest number of each sender that was handed over or told to be missing.
    senders: BTreeMap<PeerId, (Name, u64)>,
}

impl Listener {
    pub(super) fn new(journal: Journal, deaf: watch::Receiver<bool>) -> Self {
        Self {
            journal,
            deaf,
            seen: Arc::default(),
        }
    }

    /// Reads an object that was just made until it is closed.
    pub(super) fn open(
        &self,
        channel: &BroadcastChannel<Bytes>,
        object: u64,
        name: Name,
    ) -> Result<JoinHandle<()>> {
        let opened = Event::Open {
            object,
            channel: name.clone(),
            since: Since::Now,
        };
        let t = now();
        self.write(t, opened)?;
        self.seen().opened = t;
        let (messages, ours) = (channel.messages(), self.clone());
        Ok(tokio::spawn(async move {
            if let Err(error) = ours.listen(messages, object, name).await {
                // The rest would be missing from the log, and look like a loss.
                eprintln!("the log cannot be written: {error:#}");
                process::exit(1);
            }
        }))
    }

    pub(super) fn write(&self, t: At, event: Event) -> Result<()> {
        self.journal.write(t, event)
    }

    /// What was posted last, and when.
    pub(super) fn note_post(&self, number: u64, t: At) {
        let mut seen = self.seen();
        (seen.posted, seen.last_post) = (number, t);
    }

    pub(super) fn state(&self) -> State {
        let seen = self.seen();
        let heard = seen.senders.values();
        State {
            posted: seen.posted,
            last_post: seen.last_post,
            opened: seen.opened,
            heard: heard
                .map(|(name, highest)| (name.as_str().to_owned(), *highest))
                .collect(),
            ..State::default()
        }
    }

    async fn listen(
        mut self,
        mut messages: Messages<Bytes>,
        object: u64,
        channel: Name,
    ) -> Result<()> {
        loop {
            // An error means that the process ends.
            let _ = self.deaf.wait_for(|deaf| !*deaf).await;
            let item = select! {
                item = messages.recv() => item,
                changed = self.deaf.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Ok(()),
                },
            };
            let t = now();
            let (event, sender, last) = match item {
                Some(Ok(message)) => {
                    let seqs = Span::from(message.seqs().into_inner());
                    let event = Event::Delivery {
                        object,
                        channel: channel.clone(),
                        sender: self.name(message.sender()),
                        seqs,
                        hash: Digest::of(&message.data),
                    };
                    (event, message.sender(), seqs.last)
                }
                Some(Err(RecvError::Gap(gap))) => {
                    eprintln!("{t}: {gap}");
                    let missed = Span::from(gap.missed().into_inner());
                    let event = Event::Gap {
                        object,
                        channel: channel.clone(),
                        sender: self.name(gap.sender()),
                        missed,
                        kept: None,
                    };
                    (event, gap.sender(), missed.last)
                }
                // The checker finds that it is missing.
                Some(Err(error)) => {
                    eprintln!("{t}: {error}");
                    continue;
                }
                None => return Ok(()),
            };
            self.write(t, event)?;
            if let Some((_, highest)) = self.seen().senders.get_mut(&sender) {
                *highest = last.max(*highest);
            }
        }
    }

    fn name(&self, sender: PeerId) -> Name {
        let mut seen = self.seen();
        let known = seen
            .senders
            .entry(sender)
            .or_insert_with(|| (Name::from(sender.to_string().as_str()), 0));
        known.0.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A holder that panicked has changed one number or none.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
