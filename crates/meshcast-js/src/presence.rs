//! Who is present on a channel, for a thread that watches.

use std::sync::{Arc, Mutex};

use meshcast::{
    BroadcastChannel, EncodedValue, Presence, PresenceChange, PresenceChanges, Present,
};
use napi::{
    Env, Result, Status,
    bindgen_prelude::{Buffer, Function},
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use napi_derive::napi;
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::{
    open::{Close, Opened, locked},
    process::{failed, node, runtime},
    report,
};

/// Weak: to watch does not keep a process alive.
type Tell = ThreadsafeFunction<Buffer, (), Buffer, Status, false, true, 0>;

/// Changes that a thread may have been told of and not be done with; each may be a snapshot of all.
/// The rest waits in the node, which has a snapshot in place of more than 256.
const AHEAD: usize = 2;

struct Watch {
    channel: BroadcastChannel<EncodedValue>,
    /// `None` once it is closed.
    presence: Mutex<Option<Presence<EncodedValue>>>,
    tell: Arc<Mutex<Option<Tell>>>,
    credit: Arc<Semaphore>,
    task: JoinHandle<()>,
}

/// Those that are open.
static OPEN: Opened<Watch> = Opened::new();

/// Watches who is present on the name, and returns the number of the watch. `on_change` is called
/// with each change: the length of a JSON text in four bytes, the text, and the states of those
/// that it is about, one after another, each as long as the text says. `presence_taken` asks for
/// more.
#[napi]
pub fn presence_open(env: Env, name: String, on_change: Function<'_, Buffer, ()>) -> Result<u32> {
    let channel = node()?
        .channel::<EncodedValue>(&name)
        .map_err(|error| failed(error.to_string()))?;
    let tell: Tell = on_change
        .build_threadsafe_function::<Buffer>()
        .weak::<true>()
        .callee_handled::<false>()
        .build()?;
    let tell = Arc::new(Mutex::new(Some(tell)));
    let credit = Arc::new(Semaphore::new(AHEAD));
    let presence = channel.presence();
    let told = follow(presence.changes(), Arc::clone(&tell), Arc::clone(&credit));
    let watch = Arc::new(Watch {
        task: runtime()?.spawn(told),
        channel,
        presence: Mutex::new(Some(presence)),
        tell,
        credit,
    });
    OPEN.add(env, watch)
}

/// A change has been told.
#[napi]
pub fn presence_taken(number: u32) {
    if let Some(watch) = OPEN.get(number) {
        watch.credit.add_permits(1);
    }
}

/// Says something of this node on the channel.
#[napi]
pub fn presence_set(number: u32, state: &[u8]) -> Result<()> {
    let state = EncodedValue::new(state.to_vec());
    say(number, |presence| {
        presence
            .set(&state)
            .map_err(|error| failed(error.to_string()))
    })
}

/// Says nothing of this node any more but that it is there.
#[napi]
pub fn presence_clear(number: u32) -> Result<()> {
    say(number, |presence| {
        presence.clear().map_err(|error| failed(error.to_string()))
    })
}

/// Who is present now; as a change.
#[napi]
pub fn presence_members(number: u32) -> Result<Buffer> {
    let mut members = Vec::new();
    say(number, |presence| {
        members = presence.members();
        Ok(())
    })?;
    let members: Vec<_> = members.iter().collect();
    Ok(Buffer::from(written("members", &members)))
}

/// Watches no more.
#[napi]
pub fn presence_close(number: u32) {
    OPEN.close(number);
}

impl Close for Watch {
    fn close(&self) {
        self.task.abort();
        locked(&self.presence).take();
        self.channel.close();
        drop(locked(&self.tell).take());
    }
}

/// Does something with a watch, if it is open.
fn say(number: u32, f: impl FnOnce(&Presence<EncodedValue>) -> Result<()>) -> Result<()> {
    let Some(watch) = OPEN.get(number) else {
        return Ok(());
    };
    let presence = locked(&watch.presence);
    presence.as_ref().map_or(Ok(()), f)
}

/// Tells of changes, no faster than the thread takes them.
async fn follow(
    mut changes: PresenceChanges<EncodedValue>,
    tell: Arc<Mutex<Option<Tell>>>,
    credit: Arc<Semaphore>,
) {
    while let Ok(permit) = credit.acquire().await
        && let Some(change) = changes.recv().await
    {
        permit.forget();
        let members: Vec<_> = match &change {
            PresenceChange::Snapshot(members) => members.iter().collect(),
            other => other.member().into_iter().collect(),
        };
        let change = Buffer::from(written(change.as_str(), &members));
        let told = locked(&tell)
            .as_ref()
            .map(|tell| tell.call(change, ThreadsafeFunctionCallMode::NonBlocking));
        // Closed, or its thread is going away.
        if told != Some(Status::Ok) {
            return;
        }
    }
}

fn written(change: &str, members: &[&Present<EncodedValue>]) -> Vec<u8> {
    let states = || members.iter().map(|member| member.state());
    let listed = members.iter().map(|member| {
        json!({
            "peerId": member.peer_id().to_string(),
            "name": member.name().to_string(),
            "region": member.region().to_string(),
            "since": report::milliseconds(member.since()),
            "silent": member.is_silent(),
            "state": member.state().map(|state| state.as_bytes().len()),
        })
    });
    let text = json!({ "change": change, "members": listed.collect::<Vec<_>>() }).to_string();
    let mut bytes = Vec::with_capacity(4 + text.len());
    // 4,096 members at most are far below 4 GiB.
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    for state in states().flatten() {
        bytes.extend_from_slice(state.as_bytes());
    }
    bytes
}
