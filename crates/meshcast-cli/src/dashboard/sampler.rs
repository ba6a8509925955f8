//! Asks all nodes again and again, while at least one page is open.

use std::{future::Future, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    patch::patch,
    picture::Picture,
    sources::Scene,
    timeline::{Timeline, cut_or_mended, happenings},
    view::{View, view},
};

/// What pages watch.
#[derive(Debug, Clone)]
pub(super) struct Watching {
    pub(super) scene: Scene,
    pub(super) timeline: Timeline,
    sampled: watch::Receiver<Arc<Sampled>>,
    viewers: Viewers,
}

/// The last look at all nodes.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    /// How many there were before.
    pub(super) number: u64,
    pub(super) picture: Picture,
    pub(super) view: View,
    pub(super) document: Value,
    /// What made the document before into this one, as the data of an event; nothing if nothing
    /// changed. Made once for all pages.
    pub(super) patch: Option<String>,
}

impl Sampled {
    /// Whether a node is of this mesh.
    pub(super) fn is_in(&self, node: &str, mesh: &str) -> bool {
        let mut looks = self.picture.looks();
        looks.any(|(name, look)| name == node && look.node.node.mesh == mesh)
    }
}

/// What is to be sampled while somebody watches, and a future that does so for ever.
pub(super) fn new(scene: Scene, timeline: Timeline) -> (Watching, impl Future<Output = ()>) {
    let (sender, sampled) = watch::channel(Arc::default());
    let watching = Watching {
        scene,
        timeline,
        sampled,
        viewers: Viewers(Arc::new(watch::channel(0).0)),
    };
    let sampling = sample(watching.clone(), sender);
    (watching, sampling)
}

async fn sample(watching: Watching, sender: watch::Sender<Arc<Sampled>>) {
    let start = Instant::now();
    let mut viewers = watching.viewers.0.subscribe();
    // An error means that nobody can come any more, and this ends with the server.
    while viewers.wait_for(|count| *count > 0).await.is_ok() {
        let begun = Instant::now();
        let last = Arc::clone(&sender.borrow());
        // A picture from before a pause gives no rates, and a change since then is no news.
        let is_fresh = |at: Duration| last.number > 0 && at.saturating_sub(last.picture.at) < STALE;
        let status = last.picture.faults.as_ref();
        let status = status.filter(|_| is_fresh(start.elapsed()));
        let picture = watching.scene.picture(start.elapsed(), status).await;
        let fresh = is_fresh(picture.at);
        let now = view(fresh.then_some(&last.picture), &picture);
        if fresh {
            watching.timeline.extend(happenings(&last.view, &now));
            // A `meshcast up` tells of its faults itself.
            if matches!(watching.scene, Scene::Machine) {
                watching.timeline.extend(cut_or_mended(&last.view, &now));
            }
        }
        let document = serde_json::to_value(&now).unwrap_or_default();
        let wait = round(picture.nodes.len());
        sender.send_replace(Arc::new(Sampled {
            number: last.number + 1,
            patch: patch(&last.document, &document).map(|patch| patch.to_string()),
            picture,
            view: now,
            document,
        }));
        // It never takes more than half of the time.
        let took = begun.elapsed();
        sleep_until(begun + wait.max(took * 2)).await;
    }
}

/// How long a round is. A hundred nodes that are all linked say a hundred times as much as ten, so
/// they are asked less often.
fn round(nodes: usize) -> Duration {
    ROUND + ROUND_PER_NODE * u32::try_from(nodes).unwrap_or(u32::MAX)
}

impl Watching {
    /// Sampled as long as this is held.
    pub(super) fn enter(&self) -> (watch::Receiver<Arc<Sampled>>, Viewer) {
        self.viewers.0.send_modify(|count| *count += 1);
        (self.sampled.clone(), Viewer(self.viewers.clone()))
    }

    /// The last look.
    pub(super) fn last(&self) -> Arc<Sampled> {
        Arc::clone(&self.sampled.borrow())
    }
}

#[derive(Debug, Clone)]
struct Viewers(Arc<watch::Sender<usize>>);

/// Somebody who watches.
#[derive(Debug)]
pub(super) struct Viewer(Viewers);

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// With few nodes: as often as numbers can be read.
const ROUND: Duration = Duration::from_secs(1);
const ROUND_PER_NODE: Duration = Duration::from_millis(20);
/// Older than two rounds of the largest fleet.
const STALE: Duration = Duration::from_secs(12);
