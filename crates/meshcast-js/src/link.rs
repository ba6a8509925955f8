//! A name that a thread has open.

mod links;

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::FutureExt;
use meshcast::{
    AckError, BroadcastChannel, ChannelOptions, Cursor, EncodedValue, Entry, Marked, PostError,
    Receipt, RecvError, Since,
};
use napi::{
    Env, Error, Result, Status,
    bindgen_prelude::{Buffer, Function},
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use napi_derive::napi;
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout_at},
};

use self::links::Links;
use crate::{
    answer,
    batch::Batch,
    open::{Close, Opened, locked},
    process::{failed, is_alone, node, running, runtime},
};

/// Weak: what is delivered does not keep a process alive.
type Deliver = ThreadsafeFunction<Buffer, (), Buffer, Status, false, true, 0>;
/// Strong: held, and never called, it does.
type KeepAlive = ThreadsafeFunction<(), (), (), Status, false, false, 0>;

/// Batches that a thread may have been handed and not be done with, unless it says less. One it
/// works on, one that is there when it is done.
const AHEAD: u8 = 2;

/// One object on a channel, which stands for all that a thread has of the name.
///
/// JavaScript has its number, and no object that wraps it: where a thread is ended from outside,
/// Deno takes such objects for others.
struct Link {
    channel: BroadcastChannel<EncodedValue>,
    credit: Arc<Semaphore>,
    stats: Arc<Stats>,
    /// How many links of the name there are in this process, this one included.
    links: Links,
    /// There is nobody outside this process.
    alone: bool,
    task: JoinHandle<()>,
    /// Taken by whoever closes it, in its thread: nothing may be called or let go of in a thread
    /// that has ended.
    deliver: Arc<Mutex<Option<Deliver>>>,
    keep: Mutex<Option<KeepAlive>>,
    /// The cursor where it began, if that was now or at a cursor and cursors of batches are wanted.
    began: Option<String>,
}

/// Links that are open.
static OPEN: Opened<Link> = Opened::new();

/// Somebody of this process looks back, so that also what nobody hears now is kept.
static LOOKS_BACK: AtomicBool = AtomicBool::new(false);

/// How a link is opened.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    /// So many messages of each sender from before.
    last: Option<u32>,
    /// What was posted within so many milliseconds before.
    ago: Option<u32>,
    /// What follows on a cursor.
    after: Option<String>,
    cursors: Cursors,
    /// Batches that it may be handed and not be done with.
    ahead: Option<u8>,
}

/// After what it is said up to where the link has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Cursors {
    #[default]
    Never,
    Batch,
    Message,
}

#[derive(Debug, Default)]
struct Stats {
    posted: AtomicU64,
    received: AtomicU64,
    batches: AtomicU64,
    gaps: AtomicU64,
}

/// What became of a post, as a number; the same as in `lib/native.js`.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Posted = 0,
    Closed = 1,
    Full = 2,
    TooLarge = 3,
}

/// Opens the name, and returns the number of the link. `on_batch` is called with what arrives, see
/// `batch`; `link_taken` asks for more. `options` is JSON.
#[napi]
pub fn link_open(
    env: Env,
    name: String,
    on_batch: Function<'_, Buffer, ()>,
    options: Option<String>,
) -> Result<u32> {
    let options = match options {
        None => Options::default(),
        Some(json) => serde_json::from_str(&json).map_err(|error| wrong(&error))?,
    };
    let since = options.since()?;
    if since != Since::Now {
        LOOKS_BACK.store(true, Relaxed);
    }
    let looks_back = options.last.is_some() || options.ago.is_some();
    let tells_end = since != Since::Now;
    let channel = node()?
        .channel_with::<EncodedValue>(&name, ChannelOptions::new().since(since))
        .map_err(|error| failed(error.to_string()))?;
    let deliver: Deliver = on_batch
        .build_threadsafe_function::<Buffer>()
        .weak::<true>()
        .callee_handled::<false>()
        .build()?;
    let mut messages = channel.messages().marked();
    // Its next message follows on this; if it looks back, on nothing yet.
    let says_where = options.cursors == Cursors::Batch && !looks_back;
    let began = says_where.then(|| messages.cursor().to_string());
    let delivery = Delivery {
        messages,
        deliver: Arc::new(Mutex::new(Some(deliver))),
        credit: Arc::new(Semaphore::new(options.ahead.unwrap_or(AHEAD).into())),
        stats: Arc::default(),
        tells_end,
        cursors: options.cursors,
        batch: Batch::default(),
    };
    let (credit, stats) = (Arc::clone(&delivery.credit), Arc::clone(&delivery.stats));
    let deliver = Arc::clone(&delivery.deliver);
    let link = Arc::new(Link {
        task: runtime()?.spawn(delivery.run()),
        links: Links::open(name),
        alone: is_alone(),
        channel,
        credit,
        stats,
        deliver,
        keep: Mutex::new(None),
        began,
    });
    OPEN.add(env, link)
}

/// The cursor of where a link began, if it was opened with cursors of batches and does not look
/// back.
#[napi]
pub fn link_began(number: u32) -> Option<String> {
    OPEN.get(number)?.began.clone()
}

/// From now on what is posted is kept for those who come later, also if nobody is there.
#[napi]
pub fn keep_for_later() {
    LOOKS_BACK.store(true, Relaxed);
}

/// Posts the bytes of a value. Returns an outcome.
#[napi]
pub fn link_post(number: u32, value: &[u8]) -> u32 {
    let outcome = match OPEN.get(number) {
        None => Outcome::Closed,
        Some(link) if link.has_nobody() => outcome(&link.stats, Ok(())),
        Some(link) => outcome(&link.stats, link.channel.post_message(value).map(drop)),
    };
    outcome as u32
}

/// Posts the bytes of a value when there is room. Answers with an outcome.
#[napi]
pub fn link_post_wait(
    number: u32,
    value: &[u8],
    callback: Function<'_, answer::Arguments, ()>,
) -> Result<()> {
    let value = EncodedValue::new(value.to_vec());
    let link = OPEN.get(number);
    answer::when(callback, async move {
        let outcome = match link {
            None => Outcome::Closed,
            Some(link) if link.has_nobody() => outcome(&link.stats, Ok(())),
            Some(link) => {
                let posted = link.channel.post_message_wait(&value).await;
                outcome(&link.stats, posted.map(drop))
            }
        };
        Ok((outcome as u32).to_string())
    })
}

/// Posts the bytes of a value and returns an outcome. If it is posted, it answers when another
/// member has the message: with its number, or nothing if that is not known. A node that is alone
/// has nobody to wait for; in a mesh it answers after `patience` milliseconds all the same. It is
/// an error if the node has stopped before.
#[napi]
pub fn link_post_acked(
    number: u32,
    value: &[u8],
    patience: u32,
    callback: Function<'_, answer::Arguments, ()>,
) -> Result<u32> {
    let Some(link) = OPEN.get(number) else {
        return Ok(Outcome::Closed as u32);
    };
    let posted = link.channel.post_message(value);
    let receipt = posted.as_ref().ok().cloned();
    let outcome = outcome(&link.stats, posted.map(drop));
    if let Some(receipt) = receipt {
        let members = usize::from(!link.alone);
        let patience = Duration::from_millis(patience.into());
        answer::when(callback, async move {
            safe(&receipt, members, patience).await?;
            let seq = receipt.seq();
            Ok(seq.map_or_else(String::new, |seq| seq.to_string()))
        })?;
    }
    Ok(outcome as u32)
}

/// Waits until so many members have a post, or for so long that nobody seems to be there.
async fn safe(
    receipt: &Receipt,
    members: usize,
    patience: Duration,
) -> std::result::Result<(), String> {
    let end = Instant::now() + patience;
    match timeout_at(end, receipt.acked(members)).await {
        Ok(Err(AckError::Closed)) => return Err(AckError::Closed.to_string()),
        // Not known, as where nobody is there.
        Ok(Err(_)) => sleep_until(end).await,
        Ok(Ok(_)) | Err(_) => {}
    }
    Ok(())
}

/// A batch has been delivered.
#[napi]
pub fn link_taken(number: u32) {
    if let Some(link) = OPEN.get(number) {
        link.credit.add_permits(1);
    }
}

/// Keeps the process alive from now on.
#[napi]
pub fn link_ref(number: u32, noop: Function<'_, (), ()>) -> Result<()> {
    if let Some(link) = OPEN.get(number) {
        let keep = noop.build_threadsafe_function::<()>();
        *link.keep() = Some(keep.callee_handled::<false>().build()?);
    }
    Ok(())
}

/// Keeps the process alive no more.
#[napi]
pub fn link_unref(number: u32) {
    if let Some(link) = OPEN.get(number) {
        link.keep().take();
    }
}

/// Closes the object. What it posted still goes out.
#[napi]
pub fn link_close(number: u32) {
    OPEN.close(number);
}

/// What passed through, as JSON.
#[napi]
pub fn link_stats(number: u32) -> String {
    let link = OPEN.get(number);
    let count = |counter: fn(&Stats) -> &AtomicU64| {
        link.as_ref()
            .map_or(0, |link| counter(&link.stats).load(Relaxed))
    };
    json!({
        "posted": count(|stats| &stats.posted),
        "received": count(|stats| &stats.received),
        "batches": count(|stats| &stats.batches),
        "gaps": count(|stats| &stats.gaps),
    })
    .to_string()
}

impl Link {
    /// Nobody will hear what is posted now: other threads hear what is posted once they have the
    /// name open.
    fn has_nobody(&self) -> bool {
        self.alone && self.links.count() == 1 && !LOOKS_BACK.load(Relaxed) && running()
    }

    fn keep(&self) -> MutexGuard<'_, Option<KeepAlive>> {
        locked(&self.keep)
    }
}

impl Close for Link {
    fn close(&self) {
        self.channel.close();
        self.links.close();
        self.task.abort();
        self.keep().take();
        drop(locked(&self.deliver).take());
    }
}

impl Options {
    fn since(&self) -> Result<Since> {
        match (self.last, self.ago, &self.after) {
            (None, None, None) => Ok(Since::Now),
            (Some(last), None, None) => Ok(Since::Last(last.into())),
            (None, Some(ago), None) => Ok(Since::Ago(Duration::from_millis(ago.into()))),
            (None, None, Some(after)) => {
                let cursor: Cursor = after.parse().map_err(|error| wrong(&error))?;
                Ok(Since::After(cursor))
            }
            _ => Err(wrong(&"one of last, ago and after says from where on")),
        }
    }
}

fn wrong(what: &dyn ToString) -> Error {
    Error::new(Status::InvalidArg, what.to_string())
}

fn outcome(stats: &Stats, posted: std::result::Result<(), PostError>) -> Outcome {
    match posted {
        Ok(()) => {
            stats.posted.fetch_add(1, Relaxed);
            Outcome::Posted
        }
        Err(PostError::Full { .. }) => Outcome::Full,
        Err(PostError::TooLarge { .. }) => Outcome::TooLarge,
        Err(_) => Outcome::Closed,
    }
}

/// Hands over what arrives, no faster than the thread takes it: the rest waits in the channel,
/// which is bounded and tells what it loses.
struct Delivery {
    messages: Marked<EncodedValue>,
    deliver: Arc<Mutex<Option<Deliver>>>,
    credit: Arc<Semaphore>,
    stats: Arc<Stats>,
    /// Somebody wants to know when the past is over.
    tells_end: bool,
    cursors: Cursors,
    batch: Batch,
}

impl Delivery {
    async fn run(mut self) {
        let credit = Arc::clone(&self.credit);
        while let Ok(permit) = credit.acquire().await {
            permit.forget();
            if !self.fill().await {
                return;
            }
            self.stats.batches.fetch_add(1, Relaxed);
            let batch = Buffer::from(self.batch.take());
            let called = locked(&self.deliver)
                .as_ref()
                .map(|deliver| deliver.call(batch, ThreadsafeFunctionCallMode::NonBlocking));
            // Closed, or its thread is going away.
            if called != Some(Status::Ok) {
                return;
            }
        }
    }

    /// Takes what is there, and waits for the first of it; false at the end.
    async fn fill(&mut self) -> bool {
        while self.batch.is_empty() {
            let Some(first) = self.messages.recv().await else {
                return false;
            };
            self.add(first);
        }
        while !self.batch.is_full()
            && let Some(Some(next)) = self.messages.recv().now_or_never()
        {
            self.add(next);
        }
        if self.cursors == Cursors::Batch {
            self.batch.cursor(&self.messages.cursor());
        }
        true
    }

    fn add(&mut self, received: std::result::Result<Entry<EncodedValue>, RecvError>) {
        let counter = match &received {
            Ok(Entry::Message(_)) => &self.stats.received,
            Err(_) => &self.stats.gaps,
            // Of no interest to who wants nothing from before.
            Ok(_) if self.tells_end => return self.batch.caught_up(),
            Ok(_) => return,
        };
        counter.fetch_add(1, Relaxed);
        self.batch.add(&received);
        if self.cursors == Cursors::Message {
            self.batch.cursor(&self.messages.cursor());
        }
    }
}
