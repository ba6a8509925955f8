//! Writes down what processes post, get and miss, and knows when all have the same.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use meshcast::{BroadcastChannel, Bytes, Messages, Node, OpenError, PeerId, PostError, RecvError};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::ClusterError;
use crate::{
    at::At,
    log::{Digest, Entry, Event, Name, Since, Span},
};

/// The log of a run. Clones are the same log.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    channel: Name,
    began: Instant,
    book: Arc<Mutex<Book>>,
    written: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Book {
    entries: Vec<Entry>,
    /// Processes, ended ones included.
    processes: BTreeMap<Name, Process>,
    names: BTreeMap<PeerId, Name>,
    calm: bool,
    finished: bool,
}

/// A process, as far as it is known.
#[derive(Debug, Default)]
struct Process {
    ended: bool,
    /// How many numbers it used.
    posted: u64,
    /// How many others had used when it opened the channel.
    before: BTreeMap<Name, u64>,
    /// Up to which number it has heard others, gaps included.
    heard: BTreeMap<Name, u64>,
}

impl Journal {
    pub(super) fn new(channel: Name) -> Self {
        Self {
            channel,
            began: Instant::now(),
            book: Arc::default(),
            written: watch::Sender::default(),
        }
    }

    /// Opens the channel at a node and writes down what comes, until the recorder is ended or
    /// dropped.
    pub(super) fn follow(&self, node: &Node, process: &str) -> Result<Recorder, OpenError> {
        let process = Name::from(process);
        let mut book = self.book();
        // Before anybody can hear of it.
        book.names.insert(node.peer_id(), process.clone());
        let channel = node.channel::<Bytes>(self.channel.as_str())?;
        let messages = channel.messages();
        let before = book
            .processes
            .iter()
            .map(|(name, process)| (name.clone(), process.posted));
        let known = Process {
            before: before.collect(),
            ..Process::default()
        };
        book.processes.insert(process.clone(), known);
        // What is posted from here on has to arrive.
        self.write(&mut book, process.clone(), Event::Start);
        let opened = Event::Open {
            object: OBJECT,
            channel: self.channel.clone(),
            since: Since::Now,
        };
        self.write(&mut book, process.clone(), opened);
        drop(book);
        let listening = tokio::spawn(self.clone().listen(process.clone(), messages));
        Ok(Recorder {
            journal: self.clone(),
            process,
            channel,
            listening,
        })
    }

    /// The faults are over: those that run can all reach each other.
    pub(super) fn calm(&self) {
        let mut book = self.book();
        let running = book.processes.iter().filter(|(_, process)| !process.ended);
        let groups = vec![running.map(|(name, _)| name.clone()).collect()];
        book.calm = true;
        self.write(&mut book, "cluster".into(), Event::Calm { groups });
    }

    /// Nothing more is written down. Returns what was.
    pub(super) fn finish(&self) -> Vec<Entry> {
        if !self.book().calm {
            self.calm();
        }
        let mut book = self.book();
        self.write(&mut book, "cluster".into(), Event::Finish);
        book.finished = true;
        std::mem::take(&mut book.entries)
    }

    /// Waits until nobody lacks anything.
    pub(super) async fn agree(&self, limit: Duration) -> Result<(), NotAgreed> {
        let mut written = self.written.subscribe();
        let agreed = async {
            while self.book().lacking().next().is_some() {
                // An error would mean that the journal is gone.
                let _ = written.changed().await;
            }
        };
        if timeout(limit, agreed).await.is_ok() {
            return Ok(());
        }
        let lacking = self.book().lacking().map(|lack| lack.to_string()).collect();
        Err(NotAgreed { limit, lacking })
    }

    async fn listen(self, process: Name, mut messages: Messages<Bytes>) {
        while let Some(item) = messages.next().await {
            let (object, channel) = (OBJECT, self.channel.clone());
            let mut book = self.book();
            let sender = |book: &Book, id: PeerId| {
                // What is not of the cluster is no name of it either: the checker will say so.
                book.names
                    .get(&id)
                    .cloned()
                    .unwrap_or_else(|| id.to_string().as_str().into())
            };
            let (sender, last, event) = match item {
                Ok(message) => {
                    let sender = sender(&book, message.sender());
                    let seqs = Span::new(*message.seqs().start(), *message.seqs().end());
                    let event = Event::Delivery {
                        object,
                        channel,
                        sender: sender.clone(),
                        seqs,
                        hash: Digest::of(&message.data),
                    };
                    (sender, seqs.last, event)
                }
                Err(RecvError::Gap(gap)) => {
                    let sender = sender(&book, gap.sender());
                    let missed = Span::new(*gap.missed().start(), *gap.missed().end());
                    let event = Event::Gap {
                        object,
                        channel,
                        sender: sender.clone(),
                        missed,
                        kept: None,
                    };
                    (sender, missed.last, event)
                }
                // Does not come: bytes can always be read.
                Err(_) => continue,
            };
            if let Some(known) = book.processes.get_mut(&process) {
                known.heard.insert(sender, last);
            }
            self.write(&mut book, process.clone(), event);
        }
    }

    fn write(&self, book: &mut Book, process: Name, event: Event) {
        if book.finished {
            return;
        }
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let t = At::from_micros(micros);
        book.entries.push(Entry { t, process, event });
        self.written.send_replace(());
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Whoever panicked over it left it readable.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Who lacks what of whom.
    fn lacking(&self) -> impl Iterator<Item = Lack<'_>> {
        let running = || self.processes.iter().filter(|(_, process)| !process.ended);
        self.processes.iter().flat_map(move |(sender, from)| {
            let heard = |process: &Process| process.heard.get(sender).copied().unwrap_or(0);
            // Of what an ended process posted, some may be known to nobody.
            let target = match from.ended {
                true => running()
                    .map(|(_, process)| heard(process))
                    .max()
                    .unwrap_or(0),
                false => from.posted,
            };
            running()
                .filter(move |(process, _)| *process != sender)
                .filter_map(move |(process, known)| {
                    let has = heard(known).max(known.before.get(sender).copied().unwrap_or(0));
                    let (process, missing) = (process, Span::new(has + 1, target));
                    (!missing.is_empty()).then_some(Lack {
                        process,
                        sender,
                        missing,
                    })
                })
        })
    }
}

struct Lack<'a> {
    process: &'a Name,
    sender: &'a Name,
    missing: Span,
}

impl fmt::Display for Lack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lacks {} of {}",
            self.process, self.missing, self.sender
        )
    }
}

/// Writes down what one process posts and hears.
#[derive(Debug)]
pub(super) struct Recorder {
    journal: Journal,
    process: Name,
    channel: BroadcastChannel<Bytes>,
    listening: JoinHandle<()>,
}

impl Recorder {
    /// Posts a value of one number, and writes it down.
    pub(super) fn post(&self, data: Bytes) -> Result<(), PostError> {
        let (size, limit) = (data.len(), MAX_LEN);
        if size > limit {
            return Err(PostError::TooLarge { size, limit });
        }
        let hash = Digest::of(&data);
        // Held until it is written down, so that whoever hears it writes that later.
        let mut book = self.journal.book();
        self.channel.post_message(&data)?;
        let Some(known) = book.processes.get_mut(&self.process) else {
            return Ok(());
        };
        known.posted += 1;
        let event = Event::Post {
            object: OBJECT,
            channel: self.journal.channel.clone(),
            seqs: Span::new(known.posted, known.posted),
            hash,
        };
        self.journal.write(&mut book, self.process.clone(), event);
        Ok(())
    }

    /// The process has ended.
    pub(super) fn end(self) {
        let mut book = self.journal.book();
        if let Some(known) = book.processes.get_mut(&self.process) {
            known.ended = true;
        }
        self.journal
            .write(&mut book, self.process.clone(), Event::End);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Why something was not posted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostFailed {
    /// There is nobody to post it.
    #[error(transparent)]
    Node(#[from] ClusterError),
    /// It was refused; [`PostError::Closed`] also if nothing is recorded.
    #[error(transparent)]
    Post(#[from] PostError),
}

/// Not all nodes had the same in time.
#[derive(Debug, thiserror::Error)]
#[error("not all have the same after {limit:?}: {}", lacking.join("; "))]
pub struct NotAgreed {
    /// How long it was waited for.
    pub limit: Duration,
    /// Who lacks what, as text.
    pub lacking: Vec<String>,
}

/// What is surely one number: the rest of a frame and what is around a value take less than the
/// difference.
const MAX_LEN: usize = 60_000;

/// Each process has one.
const OBJECT: u64 = 1;
