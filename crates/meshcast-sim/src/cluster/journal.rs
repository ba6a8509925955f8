//! Writes down what processes post, get and miss, and knows when all have the same.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use meshcast::{
    BroadcastChannel, Bytes, ChannelOptions, Messages, Node, OpenError, PeerId, PostError,
    RecvError,
};
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
    /// The objects that it has open.
    objects: BTreeMap<u64, Object>,
}

/// An object of the channel, as far as it is known.
#[derive(Debug)]
struct Object {
    /// The count of numbers that others had used when it was opened.
    before: BTreeMap<Name, u64>,
    /// Up to which number it has heard others, gaps included.
    heard: BTreeMap<Name, u64>,
    /// Whether the process posts by it: it does not hear these.
    posts: bool,
    /// Its backfill is not all there yet.
    looks_back: bool,
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
    pub(super) fn follow(
        &self,
        node: &Node,
        process: &str,
        since: Since,
    ) -> Result<Recorder, OpenError> {
        let process = Name::from(process);
        let mut recorder = Recorder {
            journal: self.clone(),
            process: process.clone(),
            objects: 0,
            posting: None,
            looking: Vec::new(),
            reads: watch::Sender::new(true),
        };
        let mut book = self.book();
        // Before anybody can hear of it.
        book.names.insert(node.peer_id(), process.clone());
        book.processes.insert(process.clone(), Process::default());
        self.write(&mut book, process, Event::Start);
        drop(book);
        recorder.open(node, since)?;
        Ok(recorder)
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

    async fn listen(
        self,
        (process, object): (Name, u64),
        mut messages: Messages<Bytes>,
        mut reads: watch::Receiver<bool>,
    ) {
        // An error means that nobody will hold it up any more.
        while reads.wait_for(|reads| *reads).await.is_ok() {
            let next = messages.next();
            let looks_back = self.looks_back(&process, object);
            let item = match looks_back {
                true => match timeout(LOOK, next).await {
                    Ok(item) => item,
                    Err(_) => {
                        self.caught_up(&process, object, messages.is_caught_up());
                        continue;
                    }
                },
                false => next.await,
            };
            let Some(item) = item else { return };
            let channel = self.channel.clone();
            let mut book = self.book();
            let sender = |book: &Book, id: PeerId| {
                // A member that is not of the cluster is no name of it either: the checker will say
                // so.
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
            let known = book.processes.get_mut(&process);
            if let Some(known) = known.and_then(|known| known.objects.get_mut(&object)) {
                known.looks_back &= !messages.is_caught_up();
                known.heard.insert(sender, last);
            }
            self.write(&mut book, process.clone(), event);
        }
    }

    fn looks_back(&self, process: &Name, object: u64) -> bool {
        let book = self.book();
        let known = book.processes.get(process);
        known
            .and_then(|known| known.objects.get(&object))
            .is_some_and(|it| it.looks_back)
    }

    fn caught_up(&self, process: &Name, object: u64, is_caught_up: bool) {
        let mut book = self.book();
        let known = book.processes.get_mut(process);
        if let Some(known) = known.and_then(|known| known.objects.get_mut(&object)) {
            known.looks_back &= !is_caught_up;
            self.written.send_replace(());
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
        let objects = move || {
            running().flat_map(|(process, known)| {
                let objects = known.objects.values();
                objects.map(move |object| (process, object))
            })
        };
        let live = self.processes.iter().flat_map(move |(sender, from)| {
            let heard = |object: &Object| object.heard.get(sender).copied().unwrap_or(0);
            // Of what an ended process posted, some may be known to nobody.
            let target = match from.ended {
                true => objects()
                    .map(|(_, object)| heard(object))
                    .max()
                    .unwrap_or(0),
                false => from.posted,
            };
            objects()
                .filter(move |(process, object)| *process != sender || !object.posts)
                .filter_map(move |(process, known)| {
                    let has = heard(known).max(known.before.get(sender).copied().unwrap_or(0));
                    let missing = Span::new(has + 1, target);
                    (!missing.is_empty()).then_some(Lack::Live {
                        process,
                        sender,
                        missing,
                    })
                })
        });
        let past = objects().filter(|(_, object)| object.looks_back);
        live.chain(past.map(|(process, _)| Lack::Past { process }))
    }
}

enum Lack<'a> {
    Live {
        process: &'a Name,
        sender: &'a Name,
        missing: Span,
    },
    /// Messages from before it opened the channel, that it wants.
    Past { process: &'a Name },
}

impl fmt::Display for Lack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live {
                process,
                sender,
                missing,
            } => write!(f, "{process} lacks {missing} of {sender}"),
            Self::Past { process } => write!(f, "{process} still looks back"),
        }
    }
}

/// Writes down what one process posts and hears.
#[derive(Debug)]
pub(super) struct Recorder {
    journal: Journal,
    process: Name,
    /// How many it has made so far.
    objects: u64,
    /// The object that it posts by, unless that is closed.
    posting: Option<Listening>,
    /// Those that were made to look back.
    looking: Vec<Listening>,
    /// Whether its readers read.
    reads: watch::Sender<bool>,
}

/// An object whose messages are written down.
#[derive(Debug)]
struct Listening {
    object: u64,
    channel: BroadcastChannel<Bytes>,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorder {
    /// Posts a value of one number, and writes it down.
    pub(super) fn post(&self, data: Bytes) -> Result<(), PostError> {
        let (size, limit) = (data.len(), MAX_LEN);
        if size > limit {
            return Err(PostError::TooLarge { size, limit });
        }
        let hash = Digest::of(&data);
        let posting = self.posting.as_ref().ok_or(PostError::Closed)?;
        // Held until it is written down, so that whoever hears it writes that later.
        let mut book = self.journal.book();
        posting.channel.post_message(&data)?;
        let Some(known) = book.processes.get_mut(&self.process) else {
            return Ok(());
        };
        known.posted += 1;
        let event = Event::Post {
            object: posting.object,
            channel: self.journal.channel.clone(),
            seqs: Span::new(known.posted, known.posted),
            hash,
        };
        self.journal.write(&mut book, self.process.clone(), event);
        Ok(())
    }

    /// Opens the channel again, if it is closed.
    pub(super) fn open(&mut self, node: &Node, since: Since) -> Result<(), OpenError> {
        if self.posting.is_none() {
            self.posting = Some(self.listen(node, since, true)?);
        }
        Ok(())
    }

    /// Closes all objects of the channel.
    pub(super) fn close(&mut self) {
        let closed = self
            .posting
            .take()
            .into_iter()
            .chain(self.looking.drain(..));
        let closed: Vec<_> = closed.collect();
        let mut book = self.journal.book();
        for listening in &closed {
            if let Some(known) = book.processes.get_mut(&self.process) {
                known.objects.remove(&listening.object);
            }
            let event = Event::Close {
                object: listening.object,
                channel: self.journal.channel.clone(),
            };
            self.journal.write(&mut book, self.process.clone(), event);
        }
    }

    /// Makes one more object, if the channel is open, that wants what was before.
    pub(super) fn look_back(&mut self, node: &Node, since: Since) -> Result<(), OpenError> {
        if self.posting.is_some() {
            let listening = self.listen(node, since, false)?;
            self.looking.push(listening);
        }
        Ok(())
    }

    /// Whether its readers read, or leave what comes where it is.
    pub(super) fn read(&self, reads: bool) {
        self.reads.send_replace(reads);
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

    fn listen(&mut self, node: &Node, since: Since, posts: bool) -> Result<Listening, OpenError> {
        let wanted = match since {
            Since::Now => meshcast::Since::Now,
            Since::For(micros) => meshcast::Since::Ago(Duration::from_micros(micros)),
            Since::Last(last) => meshcast::Since::Last(last),
        };
        let mut book = self.journal.book();
        let options = ChannelOptions::default().since(wanted);
        let channel = node.channel_with::<Bytes>(self.journal.channel.as_str(), options)?;
        let messages = channel.messages();
        self.objects += 1;
        let object = self.objects;
        // Posts from here on have to arrive.
        let processes = book.processes.iter();
        let known = Object {
            before: processes
                .map(|(name, process)| (name.clone(), process.posted))
                .collect(),
            heard: BTreeMap::new(),
            posts,
            looks_back: since != Since::Now,
        };
        if let Some(process) = book.processes.get_mut(&self.process) {
            process.objects.insert(object, known);
        }
        let opened = Event::Open {
            object,
            channel: self.journal.channel.clone(),
            since,
        };
        self.journal.write(&mut book, self.process.clone(), opened);
        drop(book);
        let journal = self.journal.clone();
        let reads = self.reads.subscribe();
        let task = tokio::spawn(journal.listen((self.process.clone(), object), messages, reads));
        Ok(Listening {
            object,
            channel,
            task,
        })
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

/// The distance that is surely one number: the rest of a frame and what is around a value take less
/// than the difference.
const MAX_LEN: usize = 60_000;

/// The interval of checks whether an object has all its backfill: nothing need come for that.
const LOOK: Duration = Duration::from_millis(50);
