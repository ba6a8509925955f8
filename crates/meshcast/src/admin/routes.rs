//! What can be asked, and how a refusal looks.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Query, Request, State,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, Uri, header::CONTENT_LENGTH},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    schema::{self, code},
    server::Closing,
    watch::Watches,
};
use crate::{
    BroadcastChannel, Node, OpenError, PeerId, PingError, PostError, Snapshot, Value, WeakNode,
    value::JsonError,
};

/// What handlers share.
#[derive(Clone)]
pub(super) struct Admin {
    node: WeakNode,
    parsing: Arc<Semaphore>,
    message_limit: usize,
    pub(super) watches: Watches,
    pub(super) closing: Closing,
}

pub(super) fn router(node: WeakNode, message_limit: usize, closing: Closing) -> Router {
    let admin = Admin {
        node,
        parsing: Arc::new(Semaphore::new(PARSING)),
        message_limit,
        watches: Watches::default(),
        closing,
    };
    Router::new()
        .route("/v1/node", get(node_report))
        .route("/v1/peers", get(peer_report))
        .route("/v1/channels", get(channel_report))
        .route("/v1/messages", get(super::watch::watch).post(post_message))
        .route("/v1/ping/{peer_id}", post(ping))
        .fallback(async || Refusal::not_found())
        .method_not_allowed_fallback(async || Refusal::method())
        .layer(middleware::from_fn(in_time))
        .layer(DefaultBodyLimit::max(
            message_limit.saturating_mul(JSON_FACTOR),
        ))
        .with_state(admin)
}

async fn node_report(State(admin): State<Admin>) -> Result<Json<schema::NodeReport>, Refusal> {
    Ok(Json((&admin.look(false, false).await?).into()))
}

async fn peer_report(State(admin): State<Admin>) -> Result<Json<schema::PeerReport>, Refusal> {
    Ok(Json((&admin.look(true, false).await?).into()))
}

async fn channel_report(
    State(admin): State<Admin>,
) -> Result<Json<schema::ChannelReport>, Refusal> {
    Ok(Json((&admin.look(false, true).await?).into()))
}

#[derive(Deserialize)]
pub(super) struct PostQuery {
    channel: Option<String>,
    /// `1` for bytes as they are.
    #[serde(default)]
    raw: u8,
}

async fn post_message(
    State(admin): State<Admin>,
    query: Result<Query<PostQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<schema::Posted>, Refusal> {
    let Query(query) = query?;
    let channel = named(query.channel)?;
    let body = body.map_err(|error| Refusal::body(&error, &headers, admin.message_limit))?;
    let node = admin.node()?;
    if query.raw == 0 {
        let _parsing = admin.parsing.acquire().await.map_err(Refusal::internal)?;
        let value = Value::from_json_text(&body).map_err(Refusal::bad_json)?;
        open(&node, &channel)?.post_message(&value)?;
    } else {
        let object: BroadcastChannel<Bytes> = node.channel(&channel)?;
        object.post_message(&body)?;
    }
    Ok(Json(schema::Posted {
        schema: schema::name::POSTED.into(),
        channel,
        node: node.name().to_string(),
    }))
}

async fn ping(
    State(admin): State<Admin>,
    peer: Result<Path<String>, PathRejection>,
) -> Result<Json<schema::Ping>, Refusal> {
    let Path(peer) = peer.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let peer: PeerId = peer
        .parse()
        .map_err(|_| Refusal::bad_request(format!("{peer:?} is not the id of a peer")))?;
    let round_trip = admin.node()?.ping(peer).await?;
    Ok(Json(schema::Ping::new(peer, round_trip)))
}

/// The answer of a watch begins at once, so this bounds all but its body.
async fn in_time(request: Request, next: Next) -> Response {
    if !is_text(request.uri()) {
        return Refusal::bad_request("the path or the query is no UTF-8 when it is decoded")
            .into_response();
    }
    match timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::timed_out("the request took too long").into_response(),
    }
}

/// What is not would otherwise become U+FFFD, and two names the same.
fn is_text(uri: &Uri) -> bool {
    let decodes = |part: &str| percent_decode_str(part).decode_utf8().is_ok();
    decodes(uri.path()) && uri.query().is_none_or(decodes)
}

impl Admin {
    /// Held for one request at a time, so that the socket does not keep the node alive.
    pub(super) fn node(&self) -> Result<Node, Refusal> {
        self.node.upgrade().ok_or_else(Refusal::stopped)
    }

    async fn look(&self, peers: bool, channels: bool) -> Result<Snapshot, Refusal> {
        let looked = self.node()?.look(peers, channels).await;
        looked.map_err(|_| Refusal::stopped())
    }
}

/// The channel that a query has to name.
pub(super) fn named(channel: Option<String>) -> Result<String, Refusal> {
    channel.ok_or_else(|| Refusal::bad_request("the query names no channel: it needs channel=NAME"))
}

pub(super) fn open(node: &Node, channel: &str) -> Result<BroadcastChannel<Value>, Refusal> {
    Ok(node.channel(channel)?)
}

/// A request that was not done, and why.
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn busy(message: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::BUSY, message)
    }

    fn new(status: StatusCode, code: &'static str, message: impl ToString) -> Self {
        Self {
            status,
            code,
            message: message.to_string(),
        }
    }

    pub(super) fn bad_request(message: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::BAD_REQUEST, message)
    }

    fn bad_json(error: JsonError) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            code::BAD_JSON,
            format!("the body is no JSON that can be posted: {error}"),
        )
    }

    /// A body that was not read, of a request with these headers.
    fn body(error: &BytesRejection, headers: &HeaderMap, message_limit: usize) -> Self {
        if error.status() != StatusCode::PAYLOAD_TOO_LARGE {
            return Self::bad_request(error.body_text());
        }
        let size = headers
            .get(CONTENT_LENGTH)
            .and_then(|size| size.to_str().ok());
        let size = size.map_or_else(String::new, |size| format!(" of {size} bytes"));
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            code::TOO_LARGE,
            format!("the body{size} is no message: the limit of one is {message_limit} bytes"),
        )
    }

    fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            code::NOT_FOUND,
            "there is nothing at this path",
        )
    }

    fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            code::METHOD,
            "this path has another method",
        )
    }

    fn stopped() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code::STOPPED,
            "the node is stopping",
        )
    }

    fn timed_out(message: impl ToString) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, code::TIMED_OUT, message)
    }

    fn internal(error: impl ToString) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, error)
    }
}

impl From<QueryRejection> for Refusal {
    fn from(error: QueryRejection) -> Self {
        let why = error
            .source()
            .map_or_else(|| error.body_text(), ToString::to_string);
        Self::bad_request(format!("the query makes no sense: {why}"))
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Name(error) => Self::new(StatusCode::BAD_REQUEST, code::BAD_CHANNEL, error),
            OpenError::TooManyChannels { .. } | OpenError::TooManyNames { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code::FULL, error)
            }
            OpenError::Closed => Self::stopped(),
        }
    }
}

impl From<PostError> for Refusal {
    fn from(error: PostError) -> Self {
        let (status, code) = match error {
            PostError::Closed => return Self::stopped(),
            PostError::Full { .. } => (StatusCode::SERVICE_UNAVAILABLE, code::FULL),
            PostError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE),
            PostError::Encode(_) => (StatusCode::UNPROCESSABLE_ENTITY, code::UNENCODABLE),
        };
        Self::new(status, code, error)
    }
}

impl From<PingError> for Refusal {
    fn from(error: PingError) -> Self {
        match error {
            PingError::NotConnected(_) => {
                Self::new(StatusCode::NOT_FOUND, code::NOT_CONNECTED, error)
            }
            PingError::TimedOut(_) => Self::timed_out(error),
            PingError::TooMany { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code::FULL, error)
            }
            PingError::Closed => Self::stopped(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = schema::Problem {
            code: self.code.into(),
            message: self.message,
        };
        (self.status, Json(schema::Refused { error })).into_response()
    }
}

/// Over the time the node itself gives a ping.
const REQUEST_TIME: Duration = Duration::from_secs(15);
/// A body may be this many times the message limit: JSON writes some characters as six bytes, and
/// what is really posted is measured by the node.
const JSON_FACTOR: usize = 6;
/// JSON in memory can be sixteen times its text, so few bodies are taken apart at once.
const PARSING: usize = 4;
