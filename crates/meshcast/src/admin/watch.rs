//! Following a channel.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    routes::{Admin, Refusal, open},
    schema,
    server::Closing,
};
use crate::{BroadcastChannel, Value};

#[derive(Deserialize)]
pub(super) struct WatchQuery {
    channel: String,
}

/// Opens the channel before it answers, so that the headers say: from here on nothing is missed.
///
/// Lines are made as the client takes them. One that does not read stops being given any; the channel's ring
/// fills, the oldest are dropped there, and the client is told by a gap when it reads on.
pub(super) async fn watch(
    State(admin): State<Admin>,
    query: Result<Query<WatchQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query?;
    let place = admin.watches.enter()?;
    let channel = open(&admin.node()?, &query.channel)?;
    let body = Body::from_stream(lines(channel, admin.closing, place));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Ends when the node stops.
fn lines(
    channel: BroadcastChannel<Value>,
    closing: Closing,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    channel.messages().take_until(closing.closed()).map(move |item| {
        let _held_while_it_is_watched = &place;
        Ok(line(&schema::Line::new(channel.name(), item)))
    })
}

fn line(line: &schema::Line) -> Bytes {
    // Strings, numbers and maps keyed by strings: nothing that JSON could refuse.
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

/// How many programs may watch at once.
#[derive(Clone)]
pub(super) struct Watches(Arc<Semaphore>);

impl Watches {
    fn enter(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.0)
            .try_acquire_owned()
            .map_err(|_| Refusal::busy(format!("{WATCHES} programs watch already, as many as may")))
    }
}

impl Default for Watches {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WATCHES)))
    }
}

/// Each holds a channel object with its ring, so this bounds memory; a person has fewer windows.
pub(super) const WATCHES: usize = 32;
