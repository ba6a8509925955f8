//! The stream of a page.
//!
//! It is made as the page takes it: who does not read is sent nothing, and when it reads on it gets
//! the whole document instead of the changes it missed.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use meshcast::admin::schema::code;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    super::{
        sampler::{Sampled, Viewer, Watching},
        tail::Changes,
    },
    Page,
    following::Following,
    opened::Opened,
    refuse,
};

#[derive(Deserialize)]
pub(super) struct Wanted {
    /// The channel to follow, if any.
    channel: Option<String>,
    /// Where it is followed first.
    node: Option<String>,
}

pub(super) async fn stream(State(page): State<Page>, Query(wanted): Query<Wanted>) -> Response {
    let Ok(place) = Arc::clone(&page.streams).try_acquire_owned() else {
        let why = "as many pages are open as may be";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, code::BUSY, why);
    };
    let stream = Stream::new(page.watching, &page.opened, wanted, place);
    let events = futures::stream::unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(event), stream))
    });
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::from_stream(events)).into_response()
}

struct Stream {
    watching: Watching,
    sampled: watch::Receiver<Arc<Sampled>>,
    /// The number of the document that the page has.
    has: u64,
    /// The last entry of the timeline that it has; `None` until it was told what there is.
    entry: Option<u64>,
    following: Option<Following>,
    /// The number of the picture by which it is followed.
    followed: u64,
    skipped: u64,
    places: Vec<(String, String)>,
    ticks: Interval,
    ready: VecDeque<Bytes>,
    /// So many rounds of ticks nothing was sent.
    quiet: u32,
    _viewer: Viewer,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    fn new(
        watching: Watching,
        opened: &Opened,
        wanted: Wanted,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let (sampled, viewer) = watching.enter();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            following: wanted
                .channel
                .map(|channel| Following::new(channel, wanted.node, opened)),
            watching,
            sampled,
            has: 0,
            entry: None,
            followed: 0,
            skipped: 0,
            places: Vec::new(),
            ticks,
            ready: VecDeque::new(),
            quiet: 0,
            _viewer: viewer,
            _place: place,
        }
    }

    /// The next event; `None` when there will be none.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.quiet = 0;
                return Some(event);
            }
            tokio::select! {
                changed = self.sampled.changed() => changed.ok()?,
                _ = self.ticks.tick() => {}
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let sampled = Arc::clone(&self.sampled.borrow_and_update());
        if sampled.number > self.has {
            // Of the first page there may be an old look, and one is due at once.
            if self.has > 0 && self.has + 1 == sampled.number {
                self.ready
                    .extend(sampled.patch.as_ref().map(|patch| event("patch", patch)));
            } else {
                self.ready.push_back(json("state", &sampled.document));
            }
            self.has = sampled.number;
        }
        let entries = self.watching.timeline.since(self.entry.unwrap_or(0));
        // At first also that there is nothing: the page may have some of a server before this.
        if self.entry.is_none() || !entries.is_empty() {
            let last = entries.last().map(|entry| entry.id);
            self.entry = last.or(self.entry).or(Some(0));
            self.ready.push_back(json("timeline", &entries));
        }
        if let Some(following) = &mut self.following {
            if sampled.number > self.followed {
                self.followed = sampled.number;
                let scene = &self.watching.scene;
                following.keep_up(scene, &sampled.picture).await;
            }
            let changes: Changes = following.changes();
            let told = (changes.skipped, &changes.places);
            if !changes.rows.is_empty() || told != (self.skipped, &self.places) {
                self.skipped = changes.skipped;
                self.places.clone_from(&changes.places);
                self.ready.push_back(json("tail", &changes));
            }
        }
        self.quiet += 1;
        if self.quiet > QUIET && self.ready.is_empty() {
            // A page that is gone is noticed by what cannot be sent to it.
            self.ready.push_back(Bytes::from_static(b":\n\n"));
        }
    }
}

fn json<T: Serialize>(name: &str, data: &T) -> Bytes {
    // Strings, numbers and maps keyed by strings: nothing that JSON could refuse, on one line.
    event(name, &serde_json::to_string(data).unwrap_or_default())
}

fn event(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// The time between two looks for messages and happenings: soon enough for a person.
const TICK: Duration = Duration::from_millis(100);
/// After ten seconds without an event.
const QUIET: u32 = 100;
