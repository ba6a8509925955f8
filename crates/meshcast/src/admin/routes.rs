//! What can be asked, and how a refusal looks.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, Path, Request, State,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, Uri, header::CONTENT_LENGTH},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{self, get},
};
use libp2p::PeerId;
use meshcast_value::JsonError;
use percent_encoding::percent_decode_str;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    post,
    schema::{self, code},
    server::Closing,
    watch::Watches,
};
use crate::{
    error::{OpenError, PingError},
    inspect::Snapshot,
    node::{Node, WeakNode},
};

/// What handlers share.
#[derive(Clone)]
pub(super) struct Admin {
    node: WeakNode,
    pub(super) parsing: Arc<Semaphore>,
    pub(super) pacing: Arc<Semaphore>,
    pub(super) message_limit: usize,
    pub(super) watches: Watches,
    pub(super) closing: Closing,
}

pub(super) fn router(node: WeakNode, message_limit: usize, closing: Closing) -> Router {
    let admin = Admin {
        node,
        parsing: Arc::new(Semaphore::new(PARSING)),
        pacing: Arc::new(Semaphore::new(PACING)),
        message_limit,
        watches: Watches::default(),
        closing,
    };
    Router::new()
        .route("/v1/node", get(node_report))
        .route("/v1/health", get(health_report))
        .route("/v1/peers", get(peer_report))
        .route("/v1/channels", get(channel_report))
        .route("/v1/messages", get(super::watch::watch).post(post::message))
        .route(
            "/v1/lines",
            routing::post(post::lines).layer(DefaultBodyLimit::max(
                body_limit(message_limit).max(schema::LINES_BODY),
            )),
        )
        .route("/v1/presence", get(super::presence::presence))
        .route("/v1/trace", get(super::trace::trace))
        .route("/v1/ping/{peer_id}", routing::post(ping))
        .fallback(async || Refusal::not_found())
        .method_not_allowed_fallback(async || Refusal::method())
        .layer(middleware::from_fn(in_time))
        .layer(DefaultBodyLimit::max(body_limit(message_limit)))
        .with_state(admin)
}

const fn body_limit(message_limit: usize) -> usize {
    message_limit.saturating_mul(JSON_FACTOR)
}

async fn node_report(State(admin): State<Admin>) -> Result<Json<schema::NodeReport>, Refusal> {
    Ok(Json((&admin.look(false, false).await?).into()))
}

async fn health_report(State(admin): State<Admin>) -> Result<Json<schema::HealthReport>, Refusal> {
    Ok(Json((&admin.node()?.health().await).into()))
}

async fn peer_report(State(admin): State<Admin>) -> Result<Json<schema::PeerReport>, Refusal> {
    Ok(Json((&admin.look(true, false).await?).into()))
}

async fn channel_report(
    State(admin): State<Admin>,
) -> Result<Json<schema::ChannelReport>, Refusal> {
    Ok(Json((&admin.look(false, true).await?).into()))
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
    let time = REQUEST_TIME + post::extra_time(request.uri());
    match timeout(time, next.run(request)).await {
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

    pub(super) fn full(message: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::FULL, message)
    }

    pub(super) fn too_large(message: impl ToString) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, message)
    }

    pub(super) fn unencodable(message: impl ToString) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code::UNENCODABLE, message)
    }

    pub(super) fn unacknowledged(message: impl ToString) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code::UNACKNOWLEDGED,
            message,
        )
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

    pub(super) fn bad_json(error: JsonError) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            code::BAD_JSON,
            format!("it is no JSON that can be posted: {error}"),
        )
    }

    /// A body that was not read, of a request with these headers.
    pub(super) fn body(error: &BytesRejection, headers: &HeaderMap, message_limit: usize) -> Self {
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

    pub(super) fn stopped() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code::STOPPED,
            "the node is stopping",
        )
    }

    fn timed_out(message: impl ToString) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, code::TIMED_OUT, message)
    }

    pub(super) fn internal(error: impl ToString) -> Self {
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
            OpenError::TooManyChannels { .. } | OpenError::TooManyNames { .. } => Self::full(error),
            // No route takes a cursor.
            OpenError::ForeignCursor => Self::bad_request(error.to_string()),
            OpenError::Closed => Self::stopped(),
        }
    }
}

impl From<PingError> for Refusal {
    fn from(error: PingError) -> Self {
        match error {
            PingError::NotConnected(_) => {
                Self::new(StatusCode::NOT_FOUND, code::NOT_CONNECTED, error)
            }
            PingError::TimedOut(_) => Self::timed_out(error),
            PingError::TooMany { .. } => Self::full(error),
            PingError::Closed => Self::stopped(),
        }
    }
}

impl Refusal {
    pub(super) fn problem(self) -> schema::Problem {
        schema::Problem {
            code: self.code.into(),
            message: self.message,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status;
        let error = self.problem();
        (status, Json(schema::Refused { error })).into_response()
    }
}

/// Over the time the node itself gives a ping.
const REQUEST_TIME: Duration = Duration::from_secs(15);
/// A body may be this many times the message limit: JSON writes some characters as six bytes, and
/// what is really posted is measured by the node.
const JSON_FACTOR: usize = 6;
/// JSON in memory can be sixteen times its text, so few bodies are taken apart at once.
const PARSING: usize = 4;
/// The same for those that post lines, each of which holds one while there is no room for it; the
/// others wait for their turn.
const PACING: usize = 4;
