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

use super::{
    guard::{Refusal, check},
    patience::{Taken, in_time},
};

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// So many at a time. Further ones wait in the backlog.
    pub(crate) connections: usize,
    /// After this a connection takes no further request, so that none holds its place for ever.
    /// `None`: an answer may go on as long as somebody reads it.
    pub(crate) life: Option<Duration>,
}

/// The form in which a service refuses something: as text, or in a form of its own.
pub(crate) type Refuse = fn(StatusCode, String) -> Response;

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, refuse: Refuse) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    let guarded = move |request, next| answer(request, next, port, refuse);
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
        .serve_connection(
            TokioIo::new(Taken::new(stream)),
            TowerToHyperService::new(router),
        );
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

async fn answer(request: Request, next: Next, port: u16, refuse: Refuse) -> Response {
    let mut response = match check(&request, port) {
        Ok(()) => next.run(in_time(request)).await,
        Err(refusal) => {
            let (status, why) = describe(refusal, port);
            refuse(status, why)
        }
    };
    // Posted bytes are nothing to be run, whatever they look like, or to be shown inside of other
    // pages.
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("same-origin"));
    response
}

fn describe(refusal: Refusal, port: u16) -> (StatusCode, String) {
    match refusal {
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
    }
}

/// A refusal as text.
pub(crate) fn in_words(status: StatusCode, why: String) -> Response {
    (status, why).into_response()
}

/// For the head of a request to arrive, also of the next one on a connection that is kept.
const HEADER: Duration = Duration::from_secs(5);
/// The memory that a connection may use for a request before its body, and for an answer its reader
/// does not take.
const BUFFER: usize = 64 * 1024;
/// For the answer under way to be read at the end of a connection's life.
const GRACE: Duration = Duration::from_secs(10);
/// When descriptors run out, trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, Bytes},
        routing::{get, post},
    };
    use futures::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A service that takes so many connections, and where it is.
    async fn served(connections: usize) -> (std::net::SocketAddr, JoinSet<()>) {
        let endless = async || {
            let part = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096]));
            Body::from_stream(stream::repeat_with(part))
        };
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/text", post(async |text: String| text))
            .route("/endless", get(endless));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let limits = Limits {
            connections,
            life: None,
        };
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, router, limits, in_words));
        (address, serving)
    }

    async fn ask(address: std::net::SocketAddr, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let head = format!("{head} HTTP/1.1\r\nhost: {address}\r\n");
        stream.write_all(head.as_bytes()).await.expect("it reads");
        stream
    }

    /// Whether a place is free for somebody who asks as one should, sooner or later.
    async fn is_served(address: std::net::SocketAddr) {
        let mut stream = ask(address, "GET /").await;
        let end = b"connection: close\r\n\r\n";
        stream.write_all(end).await.expect("it reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_sends_the_body_of_a_request_keeps_no_place() {
        let (address, _serving) = served(2).await;
        for path in ["/text", "/"] {
            let mut held = Vec::new();
            for _ in 0..2 {
                let mut stream = ask(address, &format!("POST {path}")).await;
                let end = b"content-length: 9\r\n\r\n12";
                stream.write_all(end).await.expect("it reads");
                held.push(stream);
            }
            timeout(Duration::from_secs(60), is_served(address))
                .await
                .expect("a place is free");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_an_answer_keeps_no_place() {
        let (address, _serving) = served(1).await;
        let mut held = ask(address, "GET /endless").await;
        held.write_all(b"\r\n").await.expect("it reads");
        timeout(Duration::from_secs(120), is_served(address))
            .await
            .expect("a place is free");
    }
}
