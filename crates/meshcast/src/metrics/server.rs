//! Answers `GET /metrics`, and bounds what those may take who ask.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Metrics, MetricsAddress};
use crate::{clock::Clock, error::ListenError, throttle::Throttle};

/// A socket at which metrics are told.
#[derive(Debug)]
pub(crate) struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
}

impl Endpoint {
    /// # Errors
    /// Why it cannot be had.
    pub(crate) async fn bind(address: MetricsAddress) -> Result<Self, ListenError> {
        let bind = async || {
            let listener = TcpListener::bind(address.socket_addr()).await?;
            let address = listener.local_addr()?;
            Ok::<_, io::Error>(Self { listener, address })
        };
        bind().await.map_err(|error| ListenError::of(&error))
    }

    /// Where it is.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is ready. Cancel-safe: dropping it cuts all connections.
    pub(crate) async fn serve(self, metrics: Metrics, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let (clock, mut troubles) = (Clock::start(), Throttle::<1>::default());
        let mut stop = pin!(stop);
        let only_loopback = self.address.ip().is_loopback();
        loop {
            let accepting = self.listener.accept();
            tokio::select! {
                () = &mut stop => return,
                Some(_) = connections.join_next() => {}
                accepted = accepting, if connections.len() < CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        let answering = answer_all(stream, metrics.clone(), only_loopback);
                        connections.spawn(timeout(LIFE, answering));
                    }
                    Err(error) => {
                        if let Some(suppressed) = troubles.pass(clock.now()) {
                            tracing::warn!(%error, suppressed, "metrics: cannot accept");
                        }
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

async fn answer_all(stream: TcpStream, metrics: Metrics, only_loopback: bool) {
    let service = service_fn(|request| {
        let refused = refusal(&request, only_loopback);
        let metrics = metrics.clone();
        async move {
            Ok::<_, Infallible>(match refused {
                Some(refused) => refused,
                None => told(&metrics).await,
            })
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection for metrics broke");
    }
}

/// Why a request is not answered, if it is not.
fn refusal(request: &Request<Incoming>, only_loopback: bool) -> Option<Response<Full<Bytes>>> {
    if only_loopback && !is_loopback(request) {
        // A web page whose name was made to resolve to this machine.
        let why = "this answers to names of loopback alone";
        return Some(refuse(StatusCode::FORBIDDEN, why));
    }
    if request.uri().path() != "/metrics" {
        return Some(refuse(StatusCode::NOT_FOUND, "metrics are at /metrics"));
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = refuse(StatusCode::METHOD_NOT_ALLOWED, "metrics are read by GET");
        let allow = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allow);
        return Some(refused);
    }
    None
}

async fn told(metrics: &Metrics) -> Response<Full<Bytes>> {
    match timeout(ANSWER_TIME, metrics.text()).await {
        Ok(Ok(text)) => {
            let mut response = Response::new(Full::from(text));
            let kind = HeaderValue::from_static(super::CONTENT_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Ok(Err(error)) => refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the node does not answer"),
    }
}

fn refuse(status: StatusCode, why: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(why.into()));
    *response.status_mut() = status;
    response
}

/// Whether it is meant for a name of loopback that nobody can make resolve to something else.
fn is_loopback<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let authority = host.to_str().ok().and_then(|host| host.parse().ok());
    authority.is_some_and(|authority: hyper::http::uri::Authority| {
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    })
}

/// For two servers that scrape, each with a connection to spare, and people who look. Further ones
/// wait in the backlog.
const CONNECTIONS: usize = 8;
/// The longest life of a connection, so that none holds its place for ever. Whoever scrapes more
/// rarely connects anew each time.
const LIFE: Duration = Duration::from_secs(60);
/// For the head of a request to arrive, also of the next one on a connection that is kept.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// For the node to tell. One that is well takes milliseconds.
const ANSWER_TIME: Duration = Duration::from_secs(3);
/// The memory that a connection may use for a request before its body, and for an answer its reader
/// does not take.
const BUFFER: usize = 16 * 1024;
/// When descriptors run out, trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_loopback_are_of_loopback() {
        let to = |hosts: &[&str]| {
            let request = Request::builder().uri("/metrics");
            let request = hosts
                .iter()
                .fold(request, |it, host| it.header(HOST, *host));
            is_loopback(&request.body(()).expect("a request"))
        };
        for host in [
            "127.0.0.1:9464",
            "localhost",
            "LOCALHOST:1",
            "[::1]:9464",
            "127.9.9.9",
        ] {
            assert!(to(&[host]), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:9464",
            "10.0.0.1:9464",
            "",
            " ",
        ] {
            assert!(!to(&[host]), "{host}");
        }
        assert!(!to(&[]));
        assert!(!to(&["localhost", "evil.example"]));
    }
}
