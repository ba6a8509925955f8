//! The one node of this process.

mod threads;

use std::{
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use meshcast::{AdminSocket, MeshKey, Node, NodeBuilder, NodeEvent, config::Config};
use napi::{
    Env, Error, Result,
    bindgen_prelude::{Function, Status},
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use napi_derive::napi;
use serde::Deserialize;
use serde_json::json;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::timeout,
};

use crate::{answer, log, report};

/// Settings of a program for the node before it starts. The environment has the others.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Settings {
    key: Option<String>,
    key_file: Option<PathBuf>,
    name: Option<String>,
    region: Option<String>,
    listen: Option<Vec<String>>,
    advertise: Option<Vec<String>>,
    seeds: Option<Vec<String>>,
    dial_members: Option<bool>,
    /// Finds the others of this user on this machine, as `NodeBuilder::local` does.
    local: bool,
    /// Stays in this process, whatever the environment says.
    alone: bool,
    admin: Option<Admin>,
    limits: Limits,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Admin {
    On(bool),
    At(PathBuf),
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Limits {
    max_message_bytes: Option<usize>,
    outbox_bytes: Option<usize>,
    unread_bytes: Option<usize>,
    max_channels: Option<usize>,
    history_bytes: Option<usize>,
    memory_bytes: Option<usize>,
    /// In milliseconds.
    history_age: Option<u32>,
    max_peers: Option<u32>,
}

#[derive(Debug, Default)]
struct Process {
    settings: Option<Settings>,
    node: Option<Node>,
    /// How many nodes have run, one after another.
    starts: u32,
    /// The program stopped the last one.
    stopped: bool,
    /// The undelivered posts of the last one that was stopped, as JSON, once they are known.
    ending: Option<Ending>,
}

/// The undelivered posts of a node, as JSON, once it has stopped.
type Ending = tokio::sync::watch::Receiver<Option<String>>;

fn process() -> MutexGuard<'static, Process> {
    static PROCESS: OnceLock<Mutex<Process>> = OnceLock::new();
    PROCESS
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Where the tasks of links run. The node has a thread of its own.
pub(crate) fn runtime() -> Result<&'static Handle> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("meshcast links")
            .enable_time()
            .build()
    });
    match runtime {
        Ok(runtime) => Ok(runtime.handle()),
        Err(error) => Err(failed(format!("no thread for the node: {error}"))),
    }
}

/// Somebody was told of the first node of this process.
static TOLD: AtomicBool = AtomicBool::new(false);

/// The node, which starts when it is first asked for.
pub(crate) fn node() -> Result<Node> {
    let mut process = process();
    if let Some(node) = &process.node {
        return Ok(node.clone());
    }
    log::start();
    let builder = builder(process.settings.clone().unwrap_or_default())?;
    let node = runtime()?
        .block_on(builder.spawn())
        .map_err(|error| failed(error.to_string()))?;
    process.node = Some(node.clone());
    process.starts = process.starts.wrapping_add(1);
    process.stopped = false;
    Ok(node)
}

/// Sets how the node is to be, before it starts. `settings` is JSON.
#[napi]
pub fn configure(settings: String) -> Result<()> {
    let settings: Settings = serde_json::from_str(&settings)
        .map_err(|error| Error::new(Status::InvalidArg, error.to_string()))?;
    let mut process = process();
    if process.node.is_some() {
        return Err(failed("the node of this process runs already".to_owned()));
    }
    drop(builder(settings.clone())?);
    process.settings = Some(settings);
    Ok(())
}

/// Starts the node if it does not run. Returns who it is and what its limits are, as JSON, and
/// whether it is the first time in this process.
#[napi]
pub fn start(env: Env) -> Result<String> {
    let node = node()?;
    threads::enter(env)?;
    let settings = process().settings.clone().unwrap_or_default();
    let limits = limits(&settings)?;
    Ok(json!({
        "name": node.name().to_string(),
        "region": node.region().to_string(),
        "peerId": node.peer_id().to_string(),
        "maxMessageBytes": limits.max_message_bytes,
        "outboxBytes": limits.outbox_bytes,
        "alone": alone(&settings),
        "asked": settings.alone,
        "first": !TOLD.swap(true, Relaxed),
    })
    .to_string())
}

/// A new secret for a mesh, as text.
#[napi]
pub fn generate_key() -> Result<String> {
    Ok(new_key()?.to_secret_text())
}

/// Whether a node runs in this process.
#[napi]
pub fn running() -> bool {
    process().node.is_some()
}

/// Which node runs in this process: each has another number. 0 if none does.
#[napi]
pub fn running_number() -> u32 {
    let process = process();
    process.node.as_ref().map_or(0, |_| process.starts)
}

/// Whether the program has stopped the node, and started none since.
#[napi]
pub fn is_stopped() -> bool {
    process().stopped
}

/// Whether the node can reach nobody outside this process.
pub(crate) fn is_alone() -> bool {
    alone(&process().settings.clone().unwrap_or_default())
}

/// Waits until the node is part of the mesh. Answers with the number of connected members.
#[napi]
pub fn ready(callback: Function<'_, answer::Arguments, ()>) -> Result<()> {
    let node = node()?;
    answer::when(callback, async move {
        let ready = node.ready().await.map_err(|error| error.to_string())?;
        Ok(ready.members.to_string())
    })
}

/// Waits until so many members are connected. Answers with their number.
#[napi]
pub fn wait_for_members(members: u32, callback: Function<'_, answer::Arguments, ()>) -> Result<()> {
    let node = node()?;
    answer::when(callback, async move {
        let count = node.wait_for_members(members as usize).await;
        Ok(count.map_err(|error| error.to_string())?.to_string())
    })
}

/// Answers with what the node looks like, as JSON.
#[napi]
pub fn inspect(callback: Function<'_, answer::Arguments, ()>) -> Result<()> {
    let node = node()?;
    answer::when(callback, async move {
        let snapshot = node.inspect().await.map_err(|error| error.to_string())?;
        Ok(report::snapshot(&snapshot).to_string())
    })
}

/// Waits until what was posted is with some member. Answers with what is not, as JSON.
#[napi]
pub fn flush(callback: Function<'_, answer::Arguments, ()>) -> Result<()> {
    let node = node()?;
    answer::when(callback, async move {
        let flushed = node.flush().await.map_err(|error| error.to_string())?;
        Ok(report::undelivered(&flushed.undelivered, flushed.members).to_string())
    })
}

/// Stops the node if there is one. Answers with what it left behind, as JSON.
#[napi]
pub fn shutdown(callback: Function<'_, answer::Arguments, ()>) -> Result<()> {
    let ending = stop(true)?;
    answer::when(callback, async move {
        let left = match ending {
            Some(mut ending) => {
                let left = ending.wait_for(Option::is_some).await;
                left.ok().and_then(|left| left.clone())
            }
            None => None,
        };
        Ok(left.unwrap_or_else(|| report::undelivered(&[], 0).to_string()))
    })
}

/// Begins to stop the node, if one runs. Returns what tells of the end of that or of the one that
/// was stopped last: whoever stops it once more waits as long.
fn stop(by_program: bool) -> Result<Option<Ending>> {
    let mut process = process();
    let Some(node) = process.node.take() else {
        return Ok(process.ending.clone());
    };
    process.stopped = by_program;
    let (ended, ending) = tokio::sync::watch::channel(None);
    process.ending = Some(ending.clone());
    runtime()?.spawn(async move {
        let left = node.shutdown().await;
        ended.send_replace(Some(
            report::undelivered(&left.undelivered, left.members).to_string(),
        ));
    });
    Ok(Some(ending))
}

/// Hands over what was posted as the process ends, and holds it up for that: for at most so many
/// milliseconds.
#[napi]
pub fn leave(patience: u32) -> Result<()> {
    leave_within(Duration::from_millis(patience.into()))
}

fn leave_within(patience: Duration) -> Result<()> {
    let stopped = process().stopped;
    if let Some(mut ending) = stop(stopped)? {
        let ended = async {
            timeout(patience, ending.wait_for(Option::is_some))
                .await
                .is_ok()
        };
        // Out of patience: it is said by nobody what is lost, as with a process that is killed.
        runtime()?.block_on(ended);
    }
    Ok(())
}

type Events = ThreadsafeFunction<String, (), String, Status, false, true, 64>;

/// Calls back with what happens to the node, as JSON, until it stops. Does not keep the process
/// alive.
#[napi]
pub fn watch(on_event: Function<'_, String, ()>) -> Result<()> {
    let mut events = node()?.events();
    let call: Events = on_event
        .build_threadsafe_function::<String>()
        .weak::<true>()
        .callee_handled::<false>()
        .max_queue_size::<64>()
        .build()?;
    runtime()?.spawn(async move {
        let mut missed = 0;
        while let Some(event) = events.recv().await {
            if let NodeEvent::Lagged(more) = event {
                missed += more;
                continue;
            }
            let Some(mut event) = report::event(&event) else {
                continue;
            };
            event["missed"] = missed.into();
            match call.call(event.to_string(), ThreadsafeFunctionCallMode::NonBlocking) {
                Status::Ok => missed = 0,
                // Its thread has too much to do.
                Status::QueueFull => missed += 1,
                _ => break,
            }
        }
    });
    Ok(())
}

type Ended = ThreadsafeFunction<(), (), (), Status, false, true, 1>;

/// Calls back when the node has stopped. Does not keep the process alive.
#[napi]
pub fn watch_end(on_end: Function<'_, (), ()>) -> Result<()> {
    let mut events = node()?.events();
    let call: Ended = on_end
        .build_threadsafe_function::<()>()
        .weak::<true>()
        .callee_handled::<false>()
        .max_queue_size::<1>()
        .build()?;
    runtime()?.spawn(async move {
        while events.recv().await.is_some() {}
        call.call((), ThreadsafeFunctionCallMode::NonBlocking);
    });
    Ok(())
}

fn builder(settings: Settings) -> Result<NodeBuilder> {
    let limits = limits(&settings)?;
    let wrong =
        |what: &str, error: String| Error::new(Status::InvalidArg, format!("{what}: {error}"));
    let mut builder = Node::builder().limits(limits);
    if let Some(name) = settings.name {
        builder = builder.name(name);
    }
    if let Some(region) = settings.region {
        builder = builder.region(region);
    }
    if settings.alone {
        let seeds: [&str; 0] = [];
        return Ok(builder.key(new_key()?).listen("127.0.0.1:0").seeds(seeds));
    }
    if let Some(key) = settings.key {
        let key = key
            .parse()
            .map_err(|error| wrong("key", format!("{error}")))?;
        builder = builder.key(key);
    }
    if let Some(path) = settings.key_file {
        builder = builder.key_file(path);
    }
    for address in addresses("listen", settings.listen.unwrap_or_default())? {
        builder = builder.listen(address);
    }
    for address in addresses("advertise", settings.advertise.unwrap_or_default())? {
        builder = builder.advertise(address);
    }
    if settings.local {
        builder = builder.local();
    }
    if let Some(seeds) = settings.seeds {
        builder = builder.seeds(addresses("seeds", seeds)?);
    }
    if let Some(dial) = settings.dial_members {
        builder = builder.dial_members(dial);
    }
    builder = match settings.admin {
        None | Some(Admin::On(false)) => builder,
        Some(Admin::On(true)) => builder.admin(AdminSocket::Default),
        Some(Admin::At(path)) => builder.admin(AdminSocket::At(path)),
    };
    Ok(builder)
}

/// Addresses in either form that the environment has them in: `host:port` or a multiaddress.
fn addresses(what: &str, texts: Vec<String>) -> Result<Vec<meshcast::Multiaddr>> {
    let parse = |text: String| {
        let address: meshcast::config::Address = text
            .parse()
            .map_err(|error| Error::new(Status::InvalidArg, format!("{what}: {error}")))?;
        Ok(address.into())
    };
    texts.into_iter().map(parse).collect()
}

/// Those of the environment, where the program says nothing else.
fn limits(settings: &Settings) -> Result<meshcast::Limits> {
    let mut limits = Config::from_env()
        .map_err(|error| failed(error.to_string()))?
        .limits;
    let set = settings.limits;
    let put = |limit: &mut usize, value: Option<usize>| *limit = value.unwrap_or(*limit);
    put(&mut limits.max_message_bytes, set.max_message_bytes);
    put(&mut limits.outbox_bytes, set.outbox_bytes);
    put(&mut limits.unread_bytes, set.unread_bytes);
    put(&mut limits.max_channels, set.max_channels);
    put(&mut limits.history_bytes, set.history_bytes);
    put(&mut limits.memory_bytes, set.memory_bytes);
    if let Some(age) = set.history_age {
        limits.history_age = Duration::from_millis(age.into());
    }
    if let Some(peers) = set.max_peers {
        limits.max_peers = peers;
    }
    Ok(limits)
}

/// Whether it can reach nobody outside, since nothing says what mesh it is of.
fn alone(settings: &Settings) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let keyed = settings.key.is_some()
        || settings.key_file.is_some()
        || set("MESHCAST_KEY")
        || set("MESHCAST_KEY_FILE");
    // Those of one machine find each other without a key.
    let finds_others = || settings.local || Config::from_env().is_ok_and(|config| config.local);
    settings.alone || !(keyed || finds_others())
}

pub(crate) fn failed(reason: String) -> Error {
    Error::new(Status::GenericFailure, reason)
}

/// A key of nobody else.
fn new_key() -> Result<MeshKey> {
    let mut entropy = [0; 48];
    getrandom::fill(&mut entropy).map_err(|error| failed(format!("no random bytes: {error}")))?;
    Ok(MeshKey::from_entropy(entropy))
}
