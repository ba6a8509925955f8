//! Follows a channel at one node of each region.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt;
use tokio::{task::AbortHandle, time::Instant};

use super::super::{
    picture::{Look, Picture},
    sources::{Scene, Source, now_ms},
    tail::{Changes, Place, Tail},
};

/// A channel, followed until this is dropped.
pub(super) struct Following {
    channel: String,
    /// The node to follow it at first.
    node: Option<String>,
    tail: Arc<Mutex<Tail>>,
    start: Instant,
    /// By the process they are at.
    tasks: BTreeMap<String, Task>,
}

/// Ends when it is dropped.
struct Task(AbortHandle, Place);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Following {
    pub(super) fn new(channel: String, node: Option<String>) -> Self {
        Self {
            channel,
            node,
            tail: Arc::default(),
            start: Instant::now(),
            tasks: BTreeMap::new(),
        }
    }

    /// Follows at the nodes that run now.
    pub(super) async fn keep_up(&mut self, scene: &Scene, picture: &Picture) {
        let wanted = places(picture, &self.channel, self.node.as_deref());
        let ids: BTreeSet<&str> = wanted.iter().map(|place| place.peer_id.as_str()).collect();
        let tail = Arc::clone(&self.tail);
        self.tasks.retain(|id, Task(task, place)| {
            let stays = ids.contains(id.as_str()) && !task.is_finished();
            if !stays {
                lock(&tail).leave(place);
            }
            stays
        });
        for place in wanted {
            if self.tasks.contains_key(&place.peer_id) {
                continue;
            }
            if let Some(source) = scene.source(&place.name).await {
                let id = place.peer_id.clone();
                let (tail, start) = (Arc::clone(&self.tail), self.start);
                let follow = follow(source, self.channel.clone(), place.clone(), tail, start);
                self.tasks
                    .insert(id, Task(tokio::spawn(follow).abort_handle(), place));
            }
        }
    }

    pub(super) fn changes(&self) -> Changes {
        lock(&self.tail).changes()
    }
}

async fn follow(
    source: Source,
    channel: String,
    place: Place,
    tail: Arc<Mutex<Tail>>,
    start: Instant,
) {
    let Some(mut items) = source.follow(&channel).await else {
        return;
    };
    lock(&tail).enter(&place);
    while let Some(item) = items.next().await {
        lock(&tail).heard(
            &place,
            &item.heard,
            || item.text(),
            now_ms(),
            start.elapsed(),
        );
    }
}

/// One node of each region that has the channel open; if there is none, one alone, which then opens
/// it. The chosen one comes before others.
fn places(picture: &Picture, channel: &str, chosen: Option<&str>) -> Vec<Place> {
    let mut looks: Vec<(&str, &Look)> = picture.looks().collect();
    looks.sort_by_key(|(name, _)| Some(*name) != chosen);
    let is_open = |look: &&Look| {
        let mut channels = look.channels.iter();
        channels.any(|it| it.name == channel && it.objects > 0)
    };
    let place = |name: &str, look: &Look| Place {
        name: name.to_owned(),
        region: look.node.node.region.clone(),
        peer_id: look.node.node.peer_id.clone(),
    };
    let mut regions = BTreeSet::new();
    // In another mesh it is another channel, of which rows would say that others lack it.
    let mut open = looks.iter().filter(|(_, look)| is_open(look)).peekable();
    let mesh = open.peek().map(|(_, look)| look.node.node.mesh.as_str());
    let open = open.filter(|(_, look)| mesh == Some(&look.node.node.mesh));
    let first = open.filter(|(_, look)| regions.insert(look.node.node.region.as_str()));
    let mut places: Vec<_> = first
        .take(PLACES)
        .map(|(name, look)| place(name, look))
        .collect();
    if places.is_empty() {
        places.extend(looks.first().map(|(name, look)| place(name, look)));
    }
    places
}

fn lock(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

/// More columns a page has no room for, and each costs as much as a reader of the channel.
const PLACES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(places: &[Place]) -> Vec<&str> {
        places.iter().map(|place| place.name.as_str()).collect()
    }

    #[test]
    fn a_channel_is_followed_where_it_is_open_once_a_region() {
        let picture = super::super::super::view::fixture::picture(&["fra-1", "fra-2", "iad-1"]);
        assert_eq!(names(&places(&picture, "earth", None)), ["fra-1", "iad-1"]);
        let chosen = places(&picture, "earth", Some("fra-2"));
        assert_eq!(names(&chosen), ["fra-2", "iad-1"]);
        assert_eq!(
            names(&places(&picture, "moon", None)),
            ["fra-1"],
            "it is opened there"
        );
    }
}
