//! The routes.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Request, State, rejection::PathRejection},
    http::Uri,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{self, get},
};
use libp2p::PeerId;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use super::{
    post,
    refusal::Refusal,
    schema,
    shared::{Admin, Closing},
};
use crate::node::WeakNode;

pub(super) fn router(node: WeakNode, message_limit: usize, closing: Closing) -> Router {
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
        .with_state(Admin::new(node, message_limit, closing))
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

/// Other bytes would otherwise become U+FFFD, and two names the same.
fn is_text(uri: &Uri) -> bool {
    let decodes = |part: &str| percent_decode_str(part).decode_utf8().is_ok();
    decodes(uri.path()) && uri.query().is_none_or(decodes)
}

/// Over the time the node itself gives a ping.
const REQUEST_TIME: Duration = Duration::from_secs(15);
/// A body may be this many times the message limit: JSON writes some characters as six bytes, and
/// what is really posted is measured by the node.
const JSON_FACTOR: usize = 6;
