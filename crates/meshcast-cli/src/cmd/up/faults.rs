//! The socket through which `meshcast fault` reaches a running `meshcast up`.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use meshcast::admin::{
    Listener,
    schema::{Problem, Refused, code},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::faults::{Asked, PATH, Request};

/// Answers until it is dropped: one connection after the other, and one request on each. What
/// waits, waits in the socket's backlog.
pub(super) async fn serve(mut listener: Listener, asked: mpsc::Sender<Asked>) {
    let router = Router::new()
        .route(PATH, get(status).post(fault))
        .fallback(async || {
            refuse(
                StatusCode::NOT_FOUND,
                code::NOT_FOUND,
                "there is nothing at this path",
            )
        })
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(asked);
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept at the socket for faults");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST)
            .keep_alive(false)
            .serve_connection(
                TokioIo::new(stream),
                TowerToHyperService::new(router.clone()),
            );
        match timeout(ANSWER, serving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection to the socket for faults broke")
            }
            Err(_) => tracing::debug!("cut a connection to the socket for faults"),
        }
    }
}

async fn status(State(asked): State<mpsc::Sender<Asked>>) -> Response {
    ask(&asked, None).await
}

async fn fault(State(asked): State<mpsc::Sender<Asked>>, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(request) => ask(&asked, Some(request)).await,
        Err(error) => refuse(
            StatusCode::BAD_REQUEST,
            code::BAD_REQUEST,
            &format!("the body is no fault: {error}"),
        ),
    }
}

async fn ask(asked: &mpsc::Sender<Asked>, request: Option<Request>) -> Response {
    let (sender, answer) = oneshot::channel();
    let stopping = || {
        refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            code::STOPPED,
            "the nodes are stopping",
        )
    };
    if asked.send((request, sender)).await.is_err() {
        return stopping();
    }
    match answer.await {
        Ok(Ok(status)) => Json(status).into_response(),
        Ok(Err(Problem { code, message })) => refuse(StatusCode::CONFLICT, &code, &message),
        Err(_) => stopping(),
    }
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let error = Problem {
        code: code.into(),
        message: message.into(),
    };
    (status, Json(Refused { error })).into_response()
}

/// For a request to arrive.
const REQUEST: Duration = Duration::from_secs(5);
/// For all of it: a node that is restarted may take 6 s to hand over what it has.
const ANSWER: Duration = Duration::from_secs(20);
/// When descriptors run out, trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The names of all nodes fit many times.
const BODY: usize = 64 * 1024;
