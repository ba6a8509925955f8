//! Posting: one message, or many lines at the pace of the mesh.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, Uri},
};
use meshcast_value::Value;
use serde::Deserialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    refusal::Refusal,
    schema,
    shared::{Admin, named},
};
use crate::{
    channel::{AckError, BroadcastChannel, Receipt},
    error::PostError,
    node::Node,
};

#[derive(Deserialize)]
pub(super) struct PostQuery {
    channel: Option<String>,
    /// `1` for bytes as they are.
    #[serde(default)]
    raw: u8,
    /// The number of members that must have it before the answer comes.
    acked: Option<usize>,
    /// How long that may take.
    timeout_us: Option<u64>,
}

pub(super) async fn message(
    State(admin): State<Admin>,
    query: Result<Query<PostQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<schema::Posted>, Refusal> {
    let Query(query) = query?;
    let name = named(query.channel)?;
    let body = body.map_err(|error| Refusal::body(&error, &headers, admin.message_limit))?;
    // Before anything is posted, so that a refusal means that nothing was.
    let _waiting = query.acked.map(|_| admin.watches.enter()).transpose()?;
    let node = admin.node()?;
    let channel = Channel::open(&node, &name, Form::of_one(query.raw))?;
    let receipt = {
        let _parsing = admin.parsing.acquire().await.map_err(Refusal::internal)?;
        channel.post(&body)?
    };
    let wait = ack_wait(query.timeout_us);
    let acked = acked(&receipt, query.acked, Instant::now() + wait).await?;
    Ok(Json(schema::Posted {
        schema: schema::name::POSTED.into(),
        channel: name,
        node: node.name().to_string(),
        seq: receipt.seq(),
        acked,
    }))
}

#[derive(Deserialize)]
pub(super) struct LinesQuery {
    channel: Option<String>,
    #[serde(default)]
    form: Form,
    acked: Option<usize>,
    timeout_us: Option<u64>,
}

/// What a body or a line of it is.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    #[default]
    Json,
    /// Each is posted as a string.
    Text,
    /// Each is posted as bytes.
    Raw,
}

impl Form {
    const fn of_one(raw: u8) -> Self {
        match raw {
            0 => Self::Json,
            _ => Self::Raw,
        }
    }
}

/// Posts a message a line, each as soon as there is room for it. Lines that were not posted within
/// the time of a request are left to the next one.
pub(super) async fn lines(
    State(admin): State<Admin>,
    query: Result<Query<LinesQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<schema::PostedLines>, Refusal> {
    let Query(query) = query?;
    let name = named(query.channel)?;
    let body = body.map_err(|error| Refusal::body(&error, &headers, admin.message_limit))?;
    let _waiting = query.acked.map(|_| admin.watches.enter()).transpose()?;
    let deadline = Instant::now() + PACE_TIME;
    let mut posted = schema::PostedLines {
        schema: schema::name::POSTED_LINES.into(),
        channel: name,
        node: admin.node()?.name().to_string(),
        posted: 0,
        seq: None,
        acked: None,
        refused: None,
        unacknowledged: None,
    };
    // Each holds a message while there is no room for it.
    let Ok(turn) = timeout_at(deadline, admin.pacing.acquire()).await else {
        return Ok(Json(posted));
    };
    let turn = turn.map_err(Refusal::internal)?;
    let node = admin.node()?;
    let channel = Channel::open(&node, &posted.channel, query.form)?;
    let mut last = None;
    for line in each_line(&body) {
        match timeout_at(deadline, channel.post_wait(line)).await {
            Ok(Ok(receipt)) => last = Some(receipt),
            Ok(Err(refusal)) => {
                posted.refused = Some(refusal.problem());
                break;
            }
            Err(_) => break,
        }
        posted.posted += 1;
    }
    drop(turn);
    if let Some(receipt) = last {
        let wait = ack_wait(query.timeout_us);
        // They are posted whatever comes of this: who is not told so posts them again.
        match acked(&receipt, query.acked, Instant::now() + wait).await {
            Ok(acked) => posted.acked = acked,
            Err(refusal) => posted.unacknowledged = Some(refusal.problem()),
        }
        posted.seq = receipt.seq();
    }
    Ok(Json(posted))
}

/// The last may have no end.
fn each_line(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// Where to post to.
enum Channel {
    Values(BroadcastChannel<Value>, Form),
    Bytes(BroadcastChannel<Bytes>),
}

impl Channel {
    fn open(node: &Node, name: &str, form: Form) -> Result<Self, Refusal> {
        Ok(match form {
            Form::Raw => Self::Bytes(node.channel(name)?),
            _ => Self::Values(node.channel(name)?, form),
        })
    }

    fn post(&self, body: &Bytes) -> Result<Receipt, Refusal> {
        Ok(match self {
            Self::Values(channel, form) => channel.post_message(&form.value(body)?)?,
            Self::Bytes(channel) => channel.post_message(body)?,
        })
    }

    async fn post_wait(&self, line: &[u8]) -> Result<Receipt, Refusal> {
        let posted = match self {
            Self::Values(channel, form) => channel.post_message_wait(&form.value(line)?).await,
            Self::Bytes(channel) => {
                let line = Bytes::copy_from_slice(line);
                channel.post_message_wait(&line).await
            }
        };
        Ok(posted?)
    }
}

impl Form {
    fn value(self, line: &[u8]) -> Result<Value, Refusal> {
        match self {
            Self::Text => {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let text = str::from_utf8(line);
                let text = text.map_err(|_| Refusal::bad_request("it is no UTF-8"))?;
                Ok(Value::from(text))
            }
            Self::Json | Self::Raw => Value::from_json_text(line).map_err(Refusal::bad_json),
        }
    }
}

/// The number of members that have it, once there are enough or when time is up; `None` if nobody
/// asked, or if it has not even left by then.
async fn acked(
    receipt: &Receipt,
    members: Option<usize>,
    deadline: Instant,
) -> Result<Option<usize>, Refusal> {
    let Some(members) = members else {
        return Ok(None);
    };
    let known = match timeout_at(deadline, receipt.acked(members)).await {
        Ok(known) => known,
        Err(_) => match timeout(LAST_LOOK, receipt.acked(0)).await {
            Ok(known) => known,
            Err(_) => return Ok(None),
        },
    };
    known.map(Some).map_err(Refusal::from)
}

/// The time that a request may take beyond the limit for any request: as long as it waits for
/// members.
pub(super) fn extra_time(uri: &Uri) -> Duration {
    let query = Query::<PostQuery>::try_from_uri(uri);
    match query {
        Ok(Query(query)) if query.acked.is_some() => ack_wait(query.timeout_us) + LAST_LOOK,
        _ => Duration::ZERO,
    }
}

fn ack_wait(timeout_us: Option<u64>) -> Duration {
    timeout_us.map_or(ACK_TIME, |micros| {
        Duration::from_micros(micros).min(LONGEST_WAIT)
    })
}

impl From<PostError> for Refusal {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Closed => Self::stopped(),
            PostError::Full { .. } => Self::full(error),
            PostError::TooLarge { .. } => Self::too_large(error),
            PostError::Encode(_) => Self::unencodable(error),
        }
    }
}

impl From<AckError> for Refusal {
    fn from(error: AckError) -> Self {
        Self::unacknowledged(format!(
            "it was posted, but who has it is not known: {error}"
        ))
    }
}

/// As a rule members say within some 50 ms that they have a message.
const ACK_TIME: Duration = Duration::from_secs(10);
/// Nobody looks at what a message became after that, and the connection is a place less for others.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// To count who has a message that has left; the driver answers that at once.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// The time that a request waits for room: less than a request may take.
const PACE_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_is_between_line_breaks() {
        for (body, lines) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a\n", &["a"]),
            ("a\n\nb", &["a", "", "b"]),
            ("\n", &[""]),
        ] {
            let split: Vec<_> = each_line(body.as_bytes()).collect();
            let expected: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(split, expected, "{body:?}");
        }
    }

    #[test]
    fn only_who_waits_for_members_gets_more_time() {
        let extra = |uri: &'static str| extra_time(&Uri::from_static(uri));
        assert_eq!(extra("/v1/peers"), Duration::ZERO);
        assert_eq!(extra("/v1/messages?channel=a&timeout_us=1"), Duration::ZERO);
        assert_eq!(
            extra("/v1/lines?channel=a&form=text&acked=2"),
            ACK_TIME + LAST_LOOK
        );
        assert_eq!(
            extra("/v1/messages?channel=a&acked=2&timeout_us=60000000"),
            Duration::from_secs(60) + LAST_LOOK
        );
        assert_eq!(
            extra("/v1/messages?channel=a&acked=2&timeout_us=18446744073709551615"),
            LONGEST_WAIT + LAST_LOOK
        );
    }
}
