//! Presence on a channel.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt};
use meshcast_value::Value;
use serde::Deserialize;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout, timeout_at},
};

use super::{
    refusal::Refusal,
    schema,
    shared::{Admin, Closing, named},
};
use crate::{
    channel::{BroadcastChannel, ChannelOptions},
    presence::{Presence, PresenceChanges},
};

#[derive(Deserialize)]
pub(super) struct PresenceQuery {
    channel: Option<String>,
    /// `1` to go on with what changes.
    #[serde(default)]
    watch: u8,
    /// `1`: somebody who only looks.
    #[serde(default)]
    observer: u8,
}

/// Opens the channel for as long as it takes.
pub(super) async fn presence(
    State(admin): State<Admin>,
    query: Result<Query<PresenceQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query?;
    let name = named(query.channel)?;
    let place = admin.watches.enter()?;
    let options = ChannelOptions::new().observer(query.observer != 0);
    let channel: BroadcastChannel<Value> = admin.node()?.channel_with(&name, options)?;
    let presence = channel.presence::<Value>();
    let mut changes = presence.changes();
    settle(&mut changes).await;
    if query.watch == 0 {
        let members = presence.members();
        return Ok(Json(schema::PresenceReport {
            schema: schema::name::PRESENCE.into(),
            channel: name,
            members: members.iter().map(schema::Present::from).collect(),
        })
        .into_response());
    }
    let body = Body::from_stream(lines(channel, presence, admin.closing, place));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Those who are there say so when they hear that somebody watches: waits until no more do.
async fn settle(changes: &mut PresenceChanges<Value>) {
    let deadline = Instant::now() + SETTLE;
    let quiet = async { while let Ok(Some(_)) = timeout(QUIET, changes.recv()).await {} };
    // A member that comes and goes all the time is shown as it is at that moment.
    let _ = timeout_at(deadline, quiet).await;
}

/// Ends when the node stops.
fn lines(
    channel: BroadcastChannel<Value>,
    presence: Presence<Value>,
    closing: Closing,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let changes = presence.changes().take_until(closing.closed());
    changes.map(move |change| {
        let _held_while_it_is_watched = (&place, &presence);
        let line = schema::PresenceLine::new(channel.name(), &change);
        // Strings, numbers and maps keyed by strings: nothing that JSON could refuse.
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        Ok(text.into())
    })
}

/// Over a round trip half round the world.
const QUIET: Duration = Duration::from_millis(400);

/// Over what it takes by way of members between.
const SETTLE: Duration = Duration::from_secs(2);
