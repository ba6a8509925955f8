//! The members that have a channel open, watched while a page asks for them: at one node that has
//! it open itself, so that nobody is shown who is there only because a page looks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use meshcast::admin::schema::{PresenceLine, Present};
use serde::Serialize;
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use super::{
    picture::Picture,
    sources::{Scene, Source},
    view,
};
use crate::render;

/// The channels that are watched now.
#[derive(Debug, Clone, Default)]
pub(super) struct Watches(Arc<Mutex<BTreeMap<String, Watch>>>);

#[derive(Debug)]
struct Watch {
    task: AbortHandle,
    /// The process that is asked.
    peer_id: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug)]
struct Seen {
    by: String,
    /// `None` until there is an answer.
    members: Option<Vec<Present>>,
    /// When a page asked last.
    asked: Instant,
}

/// The members that are present, as one node sees them.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Presence {
    /// `None`: no node that was asked has the channel open, so none can tell.
    by: Option<String>,
    members: Vec<Row>,
    /// How many there is no room for.
    left_out: usize,
}

#[derive(Debug, PartialEq, Serialize)]
struct Row {
    name: String,
    region: String,
    since: String,
    silent: bool,
    /// The beginning of what it says of itself.
    state: Option<String>,
}

impl Watches {
    /// The members present on the channel that is called so, if they are known by now. The first
    /// question begins a watch. It goes on as long as the question is asked again, and somebody
    /// else has the channel open too at the node that is asked.
    pub(super) async fn ask(
        &self,
        scene: &Scene,
        picture: &Picture,
        key: &str,
    ) -> Option<Presence> {
        let now = Instant::now();
        let channel = view::find(picture, key);
        let open: Vec<_> = channel
            .into_iter()
            .flat_map(|it| picture.open(it))
            .collect();
        {
            let mut watches = lock(&self.0);
            let is_open = |id: &str| open.iter().any(|(_, look)| look.node.node.peer_id == id);
            watches.retain(|of, watch| {
                !watch.task.is_finished() && (of != key || is_open(&watch.peer_id))
            });
            if let Some(watch) = watches.get(key) {
                let mut seen = lock(&watch.seen);
                seen.asked = now;
                return seen.presence();
            }
        }
        let (Some(channel), Some((by, look))) = (channel, open.first()) else {
            return Some(Presence::default());
        };
        let (by, peer_id) = ((*by).to_owned(), look.node.node.peer_id.clone());
        let source = scene.source(&by).await?;
        let mut watches = lock(&self.0);
        // Another page may have begun one meanwhile.
        if watches.len() < WATCHES && !watches.contains_key(key) {
            let seen = Arc::new(Mutex::new(Seen {
                by,
                members: None,
                asked: now,
            }));
            let watching = watch(source, channel.name.to_owned(), Arc::clone(&seen));
            let task = tokio::spawn(watching).abort_handle();
            let watch = Watch {
                task,
                peer_id,
                seen,
            };
            watches.insert(key.to_owned(), watch);
        }
        None
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends when the node stops, or nobody asks any more.
async fn watch(source: Source, channel: String, seen: Arc<Mutex<Seen>>) {
    let Some(mut lists) = source.present(&channel).await else {
        return;
    };
    loop {
        let end = lock(&seen).asked + IDLE;
        tokio::select! {
            list = lists.next() => match list {
                Some(list) => lock(&seen).members = Some(list),
                None => return,
            },
            () = sleep_until(end) => if lock(&seen).asked + IDLE <= Instant::now() {
                return;
            },
        }
    }
}

impl Seen {
    fn presence(&self) -> Option<Presence> {
        let mut members: Vec<&Present> = self.members.as_ref()?.iter().collect();
        members.sort_by_key(|member| (&member.name, &member.peer_id));
        let rows = members.iter().take(ROWS).map(|member| Row {
            name: member.name.clone(),
            region: member.region.clone(),
            since: member.since.clone(),
            silent: member.silent,
            state: (!member.state.is_null()).then(|| beginning(render::value(&member.state))),
        });
        Some(Presence {
            by: Some(self.by.clone()),
            members: rows.collect(),
            left_out: members.len().saturating_sub(ROWS),
        })
    }
}

/// Applies a line of `GET /v1/presence` to the members that were there.
pub(super) fn apply(members: &mut BTreeMap<String, Present>, line: PresenceLine) {
    match line.change.as_str() {
        "snapshot" => members.clear(),
        "left" | "lost" => {
            for member in &line.members {
                members.remove(&member.peer_id);
            }
            return;
        }
        _ => {}
    }
    let present = line.members.into_iter();
    members.extend(present.map(|member| (member.peer_id.clone(), member)));
}

fn beginning(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(PREVIEW) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each takes one of the 32 watches that the admin socket of a node has. A page asks for one.
const WATCHES: usize = 16;
/// A page asks once a round, which takes 3 s with a hundred nodes.
const IDLE: Duration = Duration::from_secs(10);
/// More than anybody reads.
const ROWS: usize = 500;
/// What a row has room for, in characters.
const PREVIEW: usize = 120;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(change: &str, members: &[(&str, &str)]) -> PresenceLine {
        let members = members.iter().map(|(id, state)| {
            json!({
                "name": format!("name of {id}"), "region": "fra", "peer_id": id,
                "since": "1970-01-01T00:00:00.000Z", "silent": change == "silent", "state": state,
            })
        });
        let line = json!({
            "channel": "earth", "change": change, "members": members.collect::<Vec<_>>(),
        });
        serde_json::from_value(line).expect("a line")
    }

    #[test]
    fn lines_of_who_comes_and_goes_make_a_list_of_who_is_there() {
        let mut members = BTreeMap::new();
        for line in [
            line("snapshot", &[("a", "1"), ("b", "1"), ("c", "1")]),
            line("left", &[("a", "1")]),
            line("joined", &[("d", "1")]),
            line("updated", &[("b", "2")]),
            line("silent", &[("d", "1")]),
            line("lost", &[("c", "1")]),
        ] {
            apply(&mut members, line);
        }
        let seen = Seen {
            by: "fra-1".into(),
            members: Some(members.values().cloned().collect()),
            asked: Instant::now(),
        };
        let presence = seen.presence().expect("it is known");
        let rows = presence.members.iter();
        let rows: Vec<_> = rows
            .map(|row| (row.name.as_str(), row.silent, row.state.as_deref()))
            .collect();
        let expected = [
            ("name of b", false, Some("2")),
            ("name of d", true, Some("1")),
        ];
        assert_eq!(rows, expected);
        apply(&mut members, line("snapshot", &[("e", "1")]));
        assert_eq!(members.keys().collect::<Vec<_>>(), ["e"]);
    }

    #[test]
    fn a_long_state_is_cut_between_two_characters() {
        assert_eq!(beginning("short".into()), "short");
        let cut = beginning("ü".repeat(200));
        assert_eq!(cut, format!("{}…", "ü".repeat(PREVIEW)));
    }
}
