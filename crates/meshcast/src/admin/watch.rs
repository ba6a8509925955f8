//! Following a channel.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures::{FutureExt, Stream, StreamExt, stream};
use meshcast_value::Value;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    refusal::Refusal,
    schema,
    shared::{Admin, Closing, named},
};
use crate::channel::{BroadcastChannel, ChannelOptions, Since};

#[derive(Deserialize)]
pub(super) struct WatchQuery {
    channel: Option<String>,
    /// The newest so many messages from before.
    last: Option<u64>,
    /// What was posted so many microseconds before.
    since_us: Option<u64>,
    /// `1`: somebody who only looks.
    #[serde(default)]
    observer: u8,
}

impl WatchQuery {
    fn since(&self) -> Result<Since, Refusal> {
        match (self.last, self.since_us) {
            (None, None) => Ok(Since::Now),
            (Some(last), None) => Ok(Since::Last(last)),
            (None, Some(micros)) => Ok(Since::Ago(Duration::from_micros(micros))),
            (Some(_), Some(_)) => Err(Refusal::bad_request("either last or since_us, not both")),
        }
    }
}

/// Opens the channel before it answers, so that the headers say: from here on nothing is missed.
///
/// Lines are made as the client takes them. One that does not read stops being given any; the
/// channel's ring fills, and when the client reads on it gets what is still kept, and gaps for the
/// rest.
pub(super) async fn watch(
    State(admin): State<Admin>,
    query: Result<Query<WatchQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query?;
    let (since, last) = (query.since()?, query.last);
    let name = named(query.channel)?;
    let place = admin.watches.enter()?;
    let options = ChannelOptions::new().since(since);
    let options = options.observer(query.observer != 0);
    let channel = admin.node()?.channel_with(&name, options)?;
    let body = Body::from_stream(lines(channel, last, admin.closing, place));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// First the newest so many in the order of time, if they are asked for. Ends when the node stops.
fn lines(
    channel: BroadcastChannel<Value>,
    last: Option<u64>,
    closing: Closing,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let mut messages = channel.messages();
    let begun = async move {
        let past = match last {
            Some(most) => {
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                Some(messages.past(most).await)
            }
            None => None,
        };
        let past = past.map(|past| {
            let errors = past.errors.into_iter().map(Err);
            errors.chain(past.messages.into_iter().map(Ok))
        });
        stream::iter(past.into_iter().flatten()).chain(messages)
    };
    begun
        .flatten_stream()
        .take_until(closing.closed())
        .map(move |item| {
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
