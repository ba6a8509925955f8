//! Accepts connections to a service, and bounds what they may take.

use std::{future::pending, mem, pin::pin, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header::X_CONTENT_TYPE_OPTIONS},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::guard::{Refusal, check};

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// So many at a time. Further ones wait in the backlog.
    pub(crate) connections: usize,
    /// After this a connection takes no further request, so that none holds its place for ever.
    /// `None`: an answer may go on as long as somebody reads it.
    pub(crate) life: Option<Duration>,
}

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    let guarded = move |request, next| answer(request, next, port);
    let router = router.layer(middleware::from_fn(guarded));
    let mut connections = JoinSet::new();
    let mut fails = false;
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < limits.connections =>
            match accepted {
                Ok((stream, _)) => {
                    fails = false;
                    connections.spawn(connection(stream, router.clone(), limits.life, port));
                }
                Err(error) => {
                    // Once, until it works again.
                    if !mem::replace(&mut fails, true) {
                        tracing::warn!(%error, port, "the HTTP service cannot accept");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn connection(stream: TcpStream, router: Router, life: Option<Duration>, port: u16) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = over(life) => {
            serving.as_mut().graceful_shutdown();
            match timeout(GRACE, serving).await {
                Ok(served) => served,
                Err(_) => return tracing::debug!(port, "cut a connection to the HTTP service"),
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, port, "a connection to the HTTP service broke");
    }
}

async fn over(life: Option<Duration>) {
    match life {
        Some(life) => sleep(life).await,
        None => pending().await,
    }
}

async fn answer(request: Request, next: Next, port: u16) -> Response {
    let mut response = match check(&request, port) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refuse(refusal, port),
    };
    // What was posted is nothing to be run, whatever it looks like, or to be shown inside of other
    // pages.
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("same-origin"));
    response
}

fn refuse(refusal: Refusal, port: u16) -> Response {
    let (status, why) = match refusal {
        Refusal::Host => (
            StatusCode::FORBIDDEN,
            format!("this is http://127.0.0.1:{port}, and answers to no other name"),
        ),
        Refusal::Origin => (
            StatusCode::FORBIDDEN,
            "web pages of other origins are not answered".to_owned(),
        ),
        Refusal::NoText => (
            StatusCode::BAD_REQUEST,
            "the query is no UTF-8 when it is decoded".to_owned(),
        ),
    };
    (status, why).into_response()
}

/// For the head of a request to arrive, also of the next one on a connection that is kept.
const HEADER: Duration = Duration::from_secs(5);
/// What a connection may hold of a request before its body, and of an answer its reader does not
/// take.
const BUFFER: usize = 64 * 1024;
/// For the answer under way to be read at the end of a connection's life.
const GRACE: Duration = Duration::from_secs(10);
/// When descriptors run out, trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
