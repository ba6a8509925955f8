//! Requests of browsers, checked as they come in, and their answers.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, Query},
    http::{StatusCode, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive},
    },
};
use meshcast::{Cursor, Message, Node, OpenError, PostError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A text that is not blank and has at most so many bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Text<const MOST: usize>(String);

/// 24 characters, whatever they are; of a room 40.
pub(crate) type Name = Text<72>;
pub(crate) type Room = Text<120>;

/// A message of a person, as it is sent by a browser, and posted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    from: Name,
    text: Text<4_000>,
}

impl<const MOST: usize> TryFrom<String> for Text<MOST> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_good = !text.trim().is_empty() && text.len() <= MOST;
        is_good
            .then_some(Self(text))
            .ok_or_else(|| format!("a text of 1 to {MOST} bytes is expected"))
    }
}

impl Room {
    /// Its channel. No browser gets at channels of other names.
    pub(crate) fn channel(&self) -> String {
        format!("chat/{}", self.0)
    }
}

/// Somebody who wants to hear what is said.
pub(crate) struct Listener {
    pub(crate) name: Name,
    /// The id of the last event that they had, at any instance. One that is none, or of a version
    /// with others, is as good as no id: whoever has it is a newcomer.
    pub(crate) last_event: Option<Cursor>,
}

#[derive(Deserialize)]
struct Asked {
    name: Name,
    /// In place of the header, which scripts cannot set.
    after: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Listener {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let Query(Asked { name, after }) = Query::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        // The header that browsers send by themselves is newer.
        let header = parts.headers.get("last-event-id");
        let id = header.and_then(|id| id.to_str().ok()).or(after.as_deref());
        let last_event = id.and_then(|id| id.parse().ok());
        Ok(Self { name, last_event })
    }
}

/// Why something was not done.
pub(crate) struct Refused(StatusCode, String);

impl From<OpenError> for Refused {
    fn from(error: OpenError) -> Self {
        let status = match error {
            OpenError::Name(_) => StatusCode::BAD_REQUEST,
            // Another instance may be better off.
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

impl From<PostError> for Refused {
    fn from(error: PostError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

pub(crate) fn lines(messages: &[Message<Line>]) -> Value {
    let lines = messages.iter().map(|message| {
        let (posted, received) = (message.posted_at(), message.received_at());
        json!({
            // One that comes twice is shown once.
            "id": format!("{}/{}", message.sender(), message.seq()),
            "node": message.name(),
            "region": message.region(),
            "at": posted.unix_millis(),
            // To this instance, by clocks of instances: that of the browser may be off by hours.
            "took": received.unix_millis().saturating_sub(posted.unix_millis()),
            "from": message.data.from,
            "text": message.data.text,
            // From before this browser listened, or came back.
            "past": message.is_history(),
        })
    });
    lines.collect()
}

/// The position of a browser, and after what time it tries again when it loses the connection.
pub(crate) fn greeting(node: &Node) -> Event {
    let at = json!({ "node": node.name(), "region": node.region() });
    event("at", at).retry(Duration::from_secs(1))
}

/// A browser hears this while nothing else happens. When it does not, it looks for another
/// instance.
pub(crate) fn signs_of_life() -> KeepAlive {
    let interval = Duration::from_secs(5);
    KeepAlive::new()
        .interval(interval)
        .event(event("alive", ()))
}

/// JSON, so that no text breaks out of an event.
pub(crate) fn event(name: &str, data: impl Into<Value>) -> Event {
    Event::default().event(name).data(data.into().to_string())
}
