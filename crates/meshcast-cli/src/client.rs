//! The other end of a node's admin socket.

use std::{io, path::PathBuf, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::HOST,
};
use hyper_util::rt::TokioIo;
use meshcast::admin::schema::{self, Refused, code};
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, time::timeout};

use crate::exit::{Exit, Failure};

/// A node to talk to, alive or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Client {
    /// First, since it is what they are sorted by.
    name: String,
    socket: PathBuf,
}

/// What is at the other end of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A node.
    Answers,
    /// Somebody who says nothing, as a node does that is stopped.
    Silent,
    /// No node, or somebody else's.
    Stranger,
}

impl Client {
    /// The node whose admin socket is there.
    pub(crate) fn new(socket: PathBuf) -> Self {
        let name = socket
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self { name, socket }
    }

    /// The name of its socket.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn socket(&self) -> &PathBuf {
        &self.socket
    }

    /// Whether somebody listens there; also if that is somebody we may not or should not talk to.
    pub(crate) async fn is_alive(&self) -> bool {
        let connected = UnixStream::connect(&self.socket).await;
        !connected.is_err_and(|error| is_dead(&error))
    }

    /// Whether whoever listens there is this user.
    pub(crate) async fn is_ours(&self) -> bool {
        self.connect().await.is_ok()
    }

    /// Whether it is a node that answers.
    pub(crate) async fn standing(&self) -> Standing {
        match timeout(STANDING_TIME, self.get::<serde_json::Value>("/v1/node")).await {
            Ok(Ok(report)) if report["schema"] == schema::name::NODE => Standing::Answers,
            // It stops, or is too busy for an answer.
            Ok(Err(failure)) if [code::STOPPED, code::TIMED_OUT].contains(&&*failure.code) => {
                Standing::Silent
            }
            Ok(_) => Standing::Stranger,
            Err(_) => Standing::Silent,
        }
    }

    /// Asks.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Has something done.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        self.call(Method::POST, path, body).await
    }

    /// Has something done that may take so much longer than an answer does.
    pub(crate) async fn post_within<T: DeserializeOwned>(
        &self,
        extra: Duration,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        self.call_within(ANSWER_TIME + extra, Method::POST, path, body)
            .await
    }

    /// Asks for lines without end. Ready as soon as the node has answered that they begin.
    pub(crate) async fn follow(&self, path: &str) -> Result<Lines, Failure> {
        let asked = self.send(Method::GET, path, Bytes::new());
        let body = timeout(ANSWER_TIME, asked)
            .await
            .map_err(|_| self.silent())??
            .into_body();
        Ok(Lines {
            body,
            held: Vec::new(),
            searched: 0,
        })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        self.call_within(ANSWER_TIME, method, path, body).await
    }

    async fn call_within<T: DeserializeOwned>(
        &self,
        time: Duration,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        let answer = async {
            let body = collect(self.send(method, path, body).await?).await?;
            serde_json::from_slice(&body).map_err(|error| {
                Failure::failed(format!("{} answers what is no answer: {error}", self.name))
            })
        };
        timeout(time, answer).await.map_err(|_| self.silent())?
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = TokioIo::new(self.connect().await?);
        let broken = |error: hyper::Error| {
            Failure::failed(format!("the talk with {} broke: {error}", self.name))
        };
        let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "meshcast");
        let request = request.body(Full::new(body)).map_err(Failure::failed)?;
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        match serde_json::from_slice::<Refused>(&collect(response).await?) {
            Ok(refused) => Err(refused.error.into()),
            Err(_) => Err(Failure::failed(format!("{} answers {status}", self.name))),
        }
    }

    /// Makes sure that it is our own node: what we post is for nobody else on this machine.
    async fn connect(&self) -> Result<UnixStream, Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(error))?;
        let owner = stream
            .peer_cred()
            .map_err(|error| self.unreachable(error))?
            .uid();
        if owner == rustix::process::geteuid().as_raw() {
            return Ok(stream);
        }
        let message = format!("{} is run by another user ({owner})", self.socket.display());
        Err(Failure::new(Exit::NotPermitted, message).hint("ask as the user that runs the node"))
    }

    fn unreachable(&self, error: io::Error) -> Failure {
        if is_dead(&error) {
            let message = format!("no node listens on {}", self.socket.display());
            return Failure::no_node(message).hint("see those that run with `meshcast nodes`");
        }
        let permitted = error.kind() != io::ErrorKind::PermissionDenied;
        let failure = Failure::io(format!("reach {}", self.socket.display()))(error);
        if permitted {
            Failure::no_node(failure.message)
        } else {
            failure.hint("ask as the user that runs the node")
        }
    }

    fn silent(&self) -> Failure {
        Failure::timeout(format!("{} does not answer", self.name))
    }
}

/// Lines as they come.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Incoming,
    held: Vec<u8>,
    /// So much of it has no line break.
    searched: usize,
}

impl Lines {
    /// The next line without its end; `None` when the node has stopped.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.held[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let rest = self.held.split_off(self.searched + end + 1);
                let mut line = std::mem::replace(&mut self.held, rest);
                line.pop();
                self.searched = 0;
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            self.searched = self.held.len();
            let frame = self.body.frame().await?.ok()?;
            self.held
                .extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
    }
}

/// The parameter that names a channel: every byte but letters and digits is escaped, so any name
/// fits.
pub(crate) fn channel_query(channel: &str) -> String {
    let escaped = channel.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    format!("channel={}", escaped.collect::<String>())
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = Limited::new(response.into_body(), ANSWER_LIMIT)
        .collect()
        .await;
    body.map(|body| body.to_bytes())
        .map_err(|error| Failure::failed(format!("the answer broke off: {error}")))
}

fn is_dead(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
    )
}

/// Over the time the node itself gives a request.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// A node that is well answers in a millisecond.
const STANDING_TIME: Duration = Duration::from_secs(1);
/// Thousands of channels fit.
const ANSWER_LIMIT: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_name_has_a_place_in_a_query() {
        for (name, query) in [
            ("earth", "channel=earth"),
            ("", "channel="),
            ("..", "channel=%2E%2E"),
            ("a/b c+d&e=f", "channel=a%2Fb%20c%2Bd%26e%3Df"),
            ("\0", "channel=%00"),
            ("日", "channel=%E6%97%A5"),
        ] {
            assert_eq!(channel_query(name), query);
        }
    }

    #[test]
    fn a_node_is_named_by_its_socket() {
        assert_eq!(
            Client::new("/run/meshcast/fra.1.sock".into()).name(),
            "fra.1"
        );
    }

    #[tokio::test]
    async fn a_socket_without_listener_is_dead() {
        let directory = tempfile::tempdir().expect("writable");
        let path = directory.path().join("fra-1.sock");
        let client = Client::new(path.clone());
        assert!(!client.is_alive().await, "nothing is there");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("free");
        assert!(client.is_alive().await);
        drop(listener);
        assert!(!client.is_alive().await, "nobody listens");
        let failure = client
            .get::<serde_json::Value>("/v1/node")
            .await
            .expect_err("dead");
        assert_eq!(failure.exit, Exit::NoNode);
    }
}
