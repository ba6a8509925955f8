//! Follows a channel at one node of each region.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt;
use tokio::{task::AbortHandle, time::Instant};

use super::{
    super::{
        picture::{Look, Picture},
        sources::{Scene, Source, now_ms},
        tail::{Changes, Place, Tail},
        view,
    },
    opened::{Follower, Opened},
};

/// A channel, followed until this is dropped.
pub(super) struct Following {
    /// What it is called on the page.
    key: String,
    opened: Follower,
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
    pub(super) fn new(key: String, node: Option<String>, opened: &Opened) -> Self {
        Self {
            opened: opened.follow(&key),
            key,
            node,
            tail: Arc::default(),
            start: Instant::now(),
            tasks: BTreeMap::new(),
        }
    }

    /// Follows at the nodes that run now.
    pub(super) async fn keep_up(&mut self, scene: &Scene, picture: &Picture) {
        let opened = self.opened.at();
        let chosen = self.node.as_deref();
        let (channel, wanted) = places(picture, &self.key, chosen, opened.as_deref());
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
                let follow = follow(source, channel.clone(), place.clone(), tail, start);
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

/// The name of the channel that is called so on the page, and one node of each region that has it
/// open: the chosen one before others. If there is none, where the page had it opened.
fn places(
    picture: &Picture,
    key: &str,
    chosen: Option<&str>,
    opened: Option<&str>,
) -> (String, Vec<Place>) {
    let place = |name: &str, look: &Look| Place {
        name: name.to_owned(),
        region: look.node.node.region.clone(),
        peer_id: look.node.node.peer_id.clone(),
    };
    let found = view::find(picture, key);
    let name = found.map_or(key, |channel| channel.name).to_owned();
    // In another mesh it is another channel, of which rows would say that others lack it.
    let open = found.into_iter().flat_map(|channel| picture.open(channel));
    let mut open: Vec<(&str, &Look)> = open.collect();
    open.sort_by_key(|(name, _)| Some(*name) != chosen);
    if open.is_empty() {
        let at = picture.looks().filter(|(name, _)| Some(*name) == opened);
        open.extend(at);
    }
    let mut regions = BTreeSet::new();
    let first = open
        .into_iter()
        .filter(|(_, look)| regions.insert(look.node.node.region.as_str()));
    let places = first.take(PLACES).map(|(name, look)| place(name, look));
    (name, places.collect())
}

fn lock(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

/// More columns a page has no room for, and each costs as much as a reader of the channel.
const PLACES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    use view::fixture::{look_mut, picture};

    fn names(picture: &Picture, key: &str, chosen: Option<&str>) -> Vec<String> {
        let (_, places) = places(picture, key, chosen, None);
        places.into_iter().map(|place| place.name).collect()
    }

    #[test]
    fn a_channel_is_followed_where_it_is_open_once_a_region() {
        let picture = picture(&["fra-1", "fra-2", "iad-1"]);
        assert_eq!(names(&picture, "earth", None), ["fra-1", "iad-1"]);
        assert_eq!(names(&picture, "earth", Some("fra-2")), ["fra-2", "iad-1"]);
    }

    #[test]
    fn a_channel_that_nobody_has_open_is_followed_only_where_it_was_opened_by_hand() {
        let picture = picture(&["fra-1", "iad-1"]);
        assert!(names(&picture, "moon", Some("fra-1")).is_empty());
        let (name, places) = places(&picture, "moon", None, Some("iad-1"));
        assert_eq!((name.as_str(), places.len()), ("moon", 1));
        assert_eq!(places[0].name, "iad-1");
    }

    #[test]
    fn what_pages_alone_hold_open_is_not_followed() {
        let mut picture = picture(&["fra-1", "iad-1"]);
        for name in ["fra-1", "iad-1"] {
            let channel = &mut look_mut(&mut picture, name).channels[0];
            (channel.objects, channel.observers) = (2, 2);
        }
        // Somebody else has it open there too.
        look_mut(&mut picture, "iad-1").channels[0].objects = 3;
        assert_eq!(names(&picture, "earth", None), ["iad-1"]);
    }

    #[test]
    fn of_channels_with_one_name_that_of_the_row_is_followed() {
        let mut picture = picture(&["aaa-1", "fra-1", "iad-1"]);
        look_mut(&mut picture, "aaa-1").node.node.mesh = "11ff11ff1a2b3c".into();
        assert_eq!(names(&picture, "earth", None), ["fra-1", "iad-1"]);
        let (name, places) = places(&picture, "earth …1a2b3c", None, None);
        assert_eq!((name.as_str(), places.len()), ("earth", 1));
        assert_eq!(places[0].name, "aaa-1");
    }
}
