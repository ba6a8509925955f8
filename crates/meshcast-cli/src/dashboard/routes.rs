//! What the page can ask for, and its one stream.
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /`, `/page/…` | the page |
//! | `GET /api/stream?channel=earth` | server-sent events: `state`, `patch`, `timeline`, `tail` |
//! | `GET /api/member?name=fra-1` | a member, its links and channels |
//! | `GET /api/link?a=fra&b=iad` | the links between two regions |
//! | `GET /api/channel?name=earth` | a channel, at each node, and who is present on it |
//! | `POST /api/channels` | opens `channel` at `node` for the pages that follow it, which opens none |
//! | `POST /api/messages` | posts `json` on `channel` at `node` |
//! | `POST /api/faults` | cuts, heals, kills … as `meshcast fault` does |
//!
//! Of the events `state` is the document and `patch` what changes in it. All paths below `/api`
//! take the header `Authorization: Bearer KEY`. Refusals are JSON, as those of the admin
//! socket.

mod following;
mod opened;
mod stream;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{DefaultBodyLimit, Query, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use meshcast::admin::schema::{Problem, Refused, code};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use self::opened::Opened;
use super::{
    assets::ASSETS,
    key::PageKey,
    present::{Presence, Watches},
    sampler::Watching,
    timeline::Kind,
    view::{self, detail},
};
use crate::faults;

/// What handlers share.
#[derive(Debug, Clone)]
struct Page {
    watching: Watching,
    streams: Arc<Semaphore>,
    watches: Watches,
    opened: Opened,
}

pub(super) fn router(watching: Watching, key: PageKey) -> Router {
    let page = Page {
        watching,
        streams: Arc::new(Semaphore::new(STREAMS)),
        watches: Watches::default(),
        opened: Opened::default(),
    };
    let mut router = Router::new()
        .route("/api/stream", get(stream::stream))
        .route("/api/member", get(member))
        .route("/api/link", get(link))
        .route("/api/channel", get(channel))
        .route("/api/channels", post(open))
        .route("/api/messages", post(messages))
        .route("/api/faults", post(fault))
        .fallback(async || {
            refuse(
                StatusCode::NOT_FOUND,
                code::NOT_FOUND,
                "there is nothing here",
            )
        })
        .with_state(page);
    for asset in &ASSETS {
        let file = async || ([(header::CONTENT_TYPE, asset.media_type)], asset.body);
        router = router.route(asset.path, get(file));
    }
    router
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(move |request, next| {
            guarded(request, next, key.clone())
        }))
}

/// Files are for everybody, and what nodes say and do for those who show the key. State is changed
/// by JSON alone, which no form of another page can send; and nothing but what
/// came from here runs in the page, whatever was posted.
async fn guarded(request: Request, next: Next, key: PageKey) -> Response {
    let content = request.headers().get(header::CONTENT_TYPE);
    let is_json = content.is_some_and(|content| content == "application/json");
    let is_file = ASSETS.iter().any(|it| it.path == request.uri().path());
    let mut response = if !is_file && !key.is_shown(request.headers()) {
        let why = "open the address that meshcast printed: the key is at its end";
        refuse(StatusCode::UNAUTHORIZED, NO_KEY, why)
    } else if request.method() == Method::POST && !is_json {
        let why = "a change is asked for as application/json";
        refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, code::BAD_REQUEST, why)
    } else {
        in_json(next.run(request).await).await
    };
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::REFERRER_POLICY, "same-origin");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::CACHE_CONTROL, "no-store");
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    response
}

/// What the framework refuses by itself, in its own words, as JSON: a query or a body that cannot
/// be read, one that is too long, and a method that is not taken.
async fn in_json(response: Response) -> Response {
    let status = response.status();
    let content = response.headers().get(header::CONTENT_TYPE);
    let is_json = content.is_some_and(|content| content == "application/json");
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let words = to_bytes(body, WORDS).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let why = match words.trim() {
        "" => status
            .canonical_reason()
            .unwrap_or("it is refused")
            .to_lowercase(),
        words => words.to_owned(),
    };
    let (head, body) = refused(status, why).into_parts();
    // Such as the methods that are taken.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(head.headers);
    Response::from_parts(parts, body)
}

/// A refusal of what is no request that this page sends.
pub(super) fn refused(status: StatusCode, why: String) -> Response {
    let code = match status {
        StatusCode::FORBIDDEN => FORBIDDEN,
        StatusCode::NOT_FOUND => code::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED => code::METHOD,
        StatusCode::PAYLOAD_TOO_LARGE => code::TOO_LARGE,
        status if status.is_server_error() => code::INTERNAL,
        _ => code::BAD_REQUEST,
    };
    refuse(status, code, &why)
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

async fn member(State(page): State<Page>, Query(query): Query<Named>) -> Response {
    match detail::member(&page.watching.last().picture, &query.name) {
        Some(member) => Json(member).into_response(),
        None => refuse(
            StatusCode::NOT_FOUND,
            code::NOT_FOUND,
            "it was not asked, or does not answer",
        ),
    }
}

#[derive(Deserialize)]
struct Ends {
    a: String,
    b: String,
}

async fn link(State(page): State<Page>, Query(ends): Query<Ends>) -> Response {
    Json(detail::link(
        &page.watching.last().picture,
        &ends.a,
        &ends.b,
    ))
    .into_response()
}

#[derive(Serialize)]
struct Channel<'a> {
    #[serde(flatten)]
    detail: detail::Channel<'a>,
    /// `None` until it is known: a page asks again.
    present: Option<Presence>,
}

async fn channel(State(page): State<Page>, Query(query): Query<Named>) -> Response {
    let last = page.watching.last();
    let (scene, picture) = (&page.watching.scene, &last.picture);
    let present = page.watches.ask(scene, picture, &query.name).await;
    Json(Channel {
        detail: detail::channel(picture, &query.name),
        present,
    })
    .into_response()
}

#[derive(Deserialize)]
struct Open {
    node: String,
    channel: String,
}

async fn open(State(page): State<Page>, Json(open): Json<Open>) -> Response {
    if page.opened.open(&open.channel, open.node) {
        return StatusCode::NO_CONTENT.into_response();
    }
    let why = "no page follows this channel";
    refuse(StatusCode::CONFLICT, faults::CONFLICT, why)
}

#[derive(Deserialize)]
struct Post {
    node: String,
    channel: String,
    /// The message, as a JSON text: numbers keep their digits.
    json: String,
}

async fn messages(State(page): State<Page>, Json(post): Json<Post>) -> Response {
    let Some(source) = page.watching.scene.source(&post.node).await else {
        let why = format!("{} does not run here", post.node);
        return refuse(StatusCode::CONFLICT, faults::CONFLICT, &why);
    };
    let last = page.watching.last();
    let name = match view::find(&last.picture, &post.channel) {
        // The channel that is so called is one of another mesh, which this node cannot reach.
        Some(channel) if channel.name != post.channel && !last.is_in(&post.node, channel.mesh) => {
            let why = format!("{} is in another mesh than this channel", post.node);
            return refuse(StatusCode::CONFLICT, faults::CONFLICT, &why);
        }
        Some(channel) => channel.name,
        None => &post.channel,
    };
    match source.post(name, &post.json).await {
        Ok(()) => {
            let channel = crate::render::channel(&post.channel);
            let text = format!("{} posted on {channel}", post.node);
            page.watching
                .timeline
                .note(Kind::Post, text, Some(post.node));
            StatusCode::NO_CONTENT.into_response()
        }
        Err(Problem { code, message }) => refuse(StatusCode::CONFLICT, &code, &message),
    }
}

async fn fault(State(page): State<Page>, Json(request): Json<faults::Request>) -> Response {
    match page.watching.scene.fault(request).await {
        Ok(status) => Json(status).into_response(),
        Err(Problem { code, message }) => refuse(StatusCode::CONFLICT, &code, &message),
    }
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let error = Problem {
        code: code.into(),
        message: message.into(),
    };
    (status, Json(Refused { error })).into_response()
}

/// The code of an answer to who does not show the key.
const NO_KEY: &str = "no_key";
/// The code of an answer to pages of other origins, and under other names.
const FORBIDDEN: &str = "forbidden";
/// So much is said by the framework, at most.
const WORDS: usize = 4096;
/// Each follows a channel at up to sixteen nodes. A person has fewer windows.
const STREAMS: usize = 16;
/// As much as a message may be by default, as JSON.
const BODY: usize = 2 << 20;
/// Nothing from elsewhere, no script or style in the page's own text, and no text that becomes
/// HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
