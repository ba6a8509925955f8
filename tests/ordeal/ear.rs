//! Messages heard on a channel, and how long they took.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use meshcast::{BroadcastChannel, Bytes, RecvError};
use meshcast_sim::At;

use crate::clock::now;

/// A message: when it was posted, and nothing else of use.
pub(super) fn message() -> Bytes {
    let mut message = vec![7; LEN];
    message[..8].copy_from_slice(&now().micros().to_be_bytes());
    message.into()
}

/// What was heard of somebody.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Heard {
    /// What people call it.
    pub(super) name: String,
    /// The first number and the last, whether it was given or missed.
    pub(super) numbers: Option<(u64, u64)>,
    /// How many were given.
    pub(super) given: u64,
    /// Which were not.
    pub(super) gaps: Vec<Missed>,
    /// When each was posted and how long it took, in microseconds.
    pub(super) waits: Vec<(u64, u64)>,
}

/// Numbers that were not given.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Missed {
    pub(super) first: u64,
    pub(super) last: u64,
    /// When that was told, in microseconds.
    pub(super) told: u64,
    /// Why, as it was told.
    pub(super) reason: String,
}

/// Hears a channel for as long as it is open. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Ear(Arc<Mutex<BTreeMap<String, Heard>>>);

impl Ear {
    /// Begins to hear.
    pub(super) fn of(channel: &BroadcastChannel<Bytes>) -> Self {
        let ear = Self::default();
        let (mut messages, ours) = (channel.messages(), ear.clone());
        tokio::spawn(async move {
            while let Some(item) = messages.recv().await {
                match item {
                    Ok(message) => {
                        let posted = message.data.first_chunk().copied().map(u64::from_be_bytes);
                        let (first, last) = message.seqs().into_inner();
                        ours.note(&message.sender(), message.name().as_str(), |heard| {
                            heard.extend(first, last);
                            heard.given += last - first + 1;
                            let now = now().micros();
                            let wait =
                                posted.and_then(|posted| Some((posted, now.checked_sub(posted)?)));
                            heard.waits.extend(wait);
                        });
                    }
                    Err(RecvError::Gap(gap)) => {
                        let (first, last) = gap.missed().into_inner();
                        ours.note(&gap.sender(), gap.name().as_str(), |heard| {
                            heard.extend(first, last);
                            heard.gaps.push(Missed {
                                first,
                                last,
                                told: now().micros(),
                                reason: format!("{:?}", gap.reason()),
                            });
                        });
                    }
                    Err(_) => {}
                }
            }
        });
        ear
    }

    /// What was heard so far, by sender.
    pub(super) fn heard(&self) -> BTreeMap<String, Heard> {
        self.lock().clone()
    }

    fn note(&self, sender: &meshcast::PeerId, name: &str, note: impl FnOnce(&mut Heard)) {
        let mut all = self.lock();
        let heard = all.entry(sender.to_string()).or_insert_with(|| Heard {
            name: name.to_owned(),
            ..Heard::default()
        });
        note(heard);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        // A holder that panicked has changed one number or none.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn extend(&mut self, first: u64, last: u64) {
        self.numbers = Some(
            self.numbers
                .map_or((first, last), |(begin, _)| (begin, last)),
        );
    }

    /// How many of the numbers from the first that was heard up to this one were not given.
    pub(super) fn lost(&self, upto: u64) -> u64 {
        match self.numbers {
            Some((first, _)) => (upto + 1).saturating_sub(first).saturating_sub(self.given),
            None => upto,
        }
    }

    /// Whether all up to this one was given or missed.
    pub(super) fn is_at(&self, upto: u64) -> bool {
        self.numbers.is_some_and(|(_, last)| last >= upto)
    }

    /// How long those took that were posted in between, in order.
    pub(super) fn waits(&self, from: At, to: At) -> impl Iterator<Item = u64> + '_ {
        let within = from.micros()..to.micros();
        let waits = self.waits.iter();
        waits
            .filter(move |(posted, _)| within.contains(posted))
            .map(|(_, wait)| *wait)
    }
}

/// How long a message is.
const LEN: usize = 256;
