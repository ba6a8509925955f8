//! The socket through which `meshcast fault` reaches a running `meshcast up`.

use std::{sync::Arc, time::Duration};

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
    net::UnixStream,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    dashboard::Current,
    faults::{Asked, PATH, Request},
};

/// What handlers share.
#[derive(Debug, Clone)]
struct Door {
    asked: mpsc::Sender<Asked>,
    current: watch::Receiver<Arc<Current>>,
}

/// Answers until it is dropped, one request on each connection. The state is answered also while
/// something is done; faults are done one after the other.
pub(super) async fn serve(
    mut listener: Listener,
    asked: mpsc::Sender<Asked>,
    current: watch::Receiver<Arc<Current>>,
) {
    let router = router(Door { asked, current });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok(stream) => {
                    connections.spawn(connection(stream, router.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept at the socket for faults");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

fn router(door: Door) -> Router {
    Router::new()
        .route(PATH, get(status).post(fault))
        .fallback(async || {
            refuse(
                StatusCode::NOT_FOUND,
                code::NOT_FOUND,
                "there is nothing at this path",
            )
        })
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(door)
}

async fn connection(stream: UnixStream, router: Router) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(ANSWER, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the socket for faults broke"),
        Err(_) => tracing::debug!("cut a connection to the socket for faults"),
    }
}

async fn status(State(door): State<Door>) -> Response {
    let current = Arc::clone(&door.current.borrow());
    match &current.status {
        Some(status) => Json(status).into_response(),
        None => stopping(),
    }
}

async fn fault(State(door): State<Door>, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(request) => ask(&door.asked, request).await,
        Err(error) => refuse(
            StatusCode::BAD_REQUEST,
            code::BAD_REQUEST,
            &format!("the body is no fault: {error}"),
        ),
    }
}

async fn ask(asked: &mpsc::Sender<Asked>, request: Request) -> Response {
    let (sender, answer) = oneshot::channel();
    if asked.send((request, sender)).await.is_err() {
        return stopping();
    }
    match answer.await {
        Ok(Ok(status)) => Json(status).into_response(),
        Ok(Err(Problem { code, message })) => refuse(StatusCode::CONFLICT, &code, &message),
        Err(_) => stopping(),
    }
}

fn stopping() -> Response {
    refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        code::STOPPED,
        "the nodes are stopping",
    )
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let error = Problem {
        code: code.into(),
        message: message.into(),
    };
    (status, Json(Refused { error })).into_response()
}

/// So many at a time; further ones wait in the socket's backlog. They are of this user.
const CONNECTIONS: usize = 16;
/// For a request to arrive.
const REQUEST: Duration = Duration::from_secs(5);
/// For all of it: a node that is restarted may take 6 s to hand over what it has.
const ANSWER: Duration = Duration::from_secs(20);
/// When descriptors run out, trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The names of all nodes fit many times.
const BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::faults::Status;

    #[tokio::test]
    async fn the_status_is_answered_while_something_is_done() {
        let (sender, mut asked) = mpsc::channel(1);
        let status = Status {
            schema: "faults/v1".into(),
            nodes: Vec::new(),
            cuts: Vec::new(),
            around: Vec::new(),
        };
        let current = watch::Sender::new(Arc::new(Current {
            status: Some(status),
            ..Current::default()
        }));
        let router = router(Door {
            asked: sender,
            current: current.subscribe(),
        });
        let ask = async |request: String| {
            let (mut here, there) = UnixStream::pair().expect("a pair");
            tokio::spawn(connection(there, router.clone()));
            here.write_all(request.as_bytes()).await.expect("it reads");
            here
        };
        let body = r#"{"fault":"restart","node":"fra-1"}"#;
        let length = body.len();
        let head = format!("POST {PATH} HTTP/1.1\r\nhost: up\r\ncontent-length: {length}");
        let _restarts = ask(format!("{head}\r\n\r\n{body}")).await;
        // It is begun, and takes as long as this is held.
        let _begun = asked.recv().await.expect("it is asked for");
        let mut look = ask(format!("GET {PATH} HTTP/1.1\r\nhost: up\r\n\r\n")).await;
        let mut answer = String::new();
        look.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.contains("faults/v1"), "{answer}");
    }
}
