//! Pages in a browser on the channels of a mesh, by way of a service that embeds a node.
//!
//! A page has the class `BroadcastChannel` of the npm package (`meshcast/browser`), which talks to
//! this over one WebSocket. It is a client of the service and no member of the mesh: it holds no
//! key, and on which channels it hears and posts is decided for each request.
//!
//! ```no_run
//! use axum::Router;
//! use meshcast::Node;
//! use meshcast_gateway::{Access, Gateway};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder().spawn().await?;
//! let gateway = Gateway::new(node, |request, channel| match channel {
//!     "news" => Access::READ,
//!     _ if channel.starts_with("room:") && request.headers.contains_key("cookie") => Access::ALL,
//!     _ => Access::NONE,
//! });
//! let app = Router::new().route("/meshcast", gateway.into_route());
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:8000").await?;
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [The protocol] says what passes between them; `testdata` has it frame by frame.
//!
//! [The protocol]: https://github.com/meshcast/meshcast/blob/main/docs/gateway.md

mod client;
mod deliver;
mod frames;
mod names;

use std::{fmt, sync::Arc};

use axum::{
    extract::{State, ws::WebSocketUpgrade},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any},
};
use meshcast::{Limits, Node};
use tokio::sync::Semaphore;

use crate::{client::Client, names::Names};

/// Lets pages onto channels of a node.
#[must_use = "it does nothing until its route is in a router"]
pub struct Gateway {
    node: Node,
    permit: Box<Permit>,
    origins: Vec<String>,
    /// In lower case; `None` for any.
    hosts: Option<Vec<String>>,
    names: Names,
    max_clients: usize,
    max_channels: usize,
    max_message_bytes: usize,
}

type Permit = dyn Fn(&Parts, &str) -> Access + Send + Sync;

/// The rights of a client on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Access {
    /// It hears what is posted, also what was posted before.
    pub read: bool,
    /// It may post.
    pub post: bool,
}

impl Access {
    /// Nothing at all.
    pub const NONE: Self = Self::new(false, false);
    /// Hear what others post.
    pub const READ: Self = Self::new(true, false);
    /// Post, and hear nothing.
    pub const POST: Self = Self::new(false, true);
    /// Hear and post.
    pub const ALL: Self = Self::new(true, true);

    const fn new(read: bool, post: bool) -> Self {
        Self { read, post }
    }
}

impl Gateway {
    /// A gateway to the channels of a node. `permit` decides for each request, and each channel
    /// that it opens, what it may do; it must not block. A check that has to ask somebody else is
    /// done by a layer before, which leaves the answer in the extensions of the request.
    ///
    /// The request is the one that the WebSocket began with: what it may do holds as long as that
    /// is open.
    pub fn new(
        node: Node,
        permit: impl Fn(&Parts, &str) -> Access + Send + Sync + 'static,
    ) -> Self {
        Self {
            node,
            permit: Box::new(permit),
            origins: Vec::new(),
            hosts: None,
            names: Names::new(),
            max_clients: MAX_CLIENTS,
            max_channels: MAX_CHANNELS,
            max_message_bytes: Limits::default().max_message_bytes,
        }
    }

    /// Lets in pages of another origin, such as `https://app.example.com`, besides those of the
    /// host that the request is for. Clients that are no pages name no origin and are let in.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Serves only requests for these hosts, such as `app.example.com`; with a port, for that
    /// alone. Others are answered by 403. Default: any.
    ///
    /// Pages of the host that a request is for are let in, and whoever has a domain may let it
    /// resolve to where this service is. If it is reached within a network, or has no proxy before
    /// it that knows its hosts, name them.
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let hosts = hosts.into_iter().map(|host| host.into().to_lowercase());
        self.hosts = Some(hosts.collect());
        self
    }

    /// The most clients that may be connected. Default: 1,024. Beyond, a request is answered by
    /// 503.
    pub fn max_clients(self, max_clients: usize) -> Self {
        Self {
            max_clients,
            ..self
        }
    }

    /// The most channels that a client may have open. Default: 64. Beyond, they are refused.
    pub fn max_channels(self, max_channels: usize) -> Self {
        Self {
            max_channels,
            ..self
        }
    }

    /// The longest message that a client may post, in bytes. Default: 1 MiB. It should be the
    /// [limit of the node](Limits::max_message_bytes), which holds in any case.
    pub fn max_message_bytes(self, max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            ..self
        }
    }

    /// The service, for the path that pages connect with.
    pub fn into_route<S: Clone + Send + Sync + 'static>(self) -> MethodRouter<S> {
        let clients = Arc::new(Semaphore::new(self.max_clients.min(Semaphore::MAX_PERMITS)));
        let service = Service {
            gateway: self,
            clients,
        };
        any(connect).with_state(Arc::new(service))
    }

    fn access(&self, request: &Parts, channel: &str) -> Access {
        (self.permit)(request, channel)
    }

    /// Whether the host that a request is for is one of the [hosts](Self::hosts).
    fn is_host_served(&self, request: &Parts) -> bool {
        let Some(hosts) = &self.hosts else {
            return true;
        };
        let Some(host) = host(request).map(str::to_lowercase) else {
            return false;
        };
        let name = without_port(&host);
        hosts
            .iter()
            .any(|served| *served == host || *served == name)
    }

    /// Whether a page of where the request comes from may connect. Browsers let any page connect
    /// anywhere, with the cookies of where it connects to.
    fn is_origin_allowed(&self, request: &Parts) -> bool {
        let Some(origin) = request.headers.get(header::ORIGIN) else {
            return true;
        };
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let own = origin.split_once("://").map(|(_, host)| host);
        (own.is_some() && own == host(request))
            || self.origins.iter().any(|allowed| allowed == origin)
    }
}

/// The host that a request is for, with its port; in HTTP/2 there may be no header of that.
fn host(request: &Parts) -> Option<&str> {
    match request.headers.get(header::HOST) {
        Some(host) => host.to_str().ok(),
        None => request.uri.authority().map(|authority| authority.as_str()),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("node", self.node.name())
            .field("origins", &self.origins)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

struct Service {
    gateway: Gateway,
    /// Places for clients.
    clients: Arc<Semaphore>,
}

async fn connect(
    State(service): State<Arc<Service>>,
    request: Parts,
    upgrade: WebSocketUpgrade,
) -> Response {
    let gateway = &service.gateway;
    if !gateway.is_host_served(&request) {
        return (StatusCode::FORBIDDEN, "this host is not served").into_response();
    }
    if !gateway.is_origin_allowed(&request) {
        return (StatusCode::FORBIDDEN, "pages of this origin are not let in").into_response();
    }
    let Ok(place) = Arc::clone(&service.clients).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many are connected").into_response();
    };
    let longest = gateway.max_message_bytes + frames::POST_HEAD;
    upgrade
        .protocols([frames::PROTOCOL])
        .max_frame_size(longest)
        .max_message_size(longest)
        .on_upgrade(move |socket| async move {
            Client::new(&service.gateway, &request).run(socket).await;
            drop(place);
        })
}

/// Clients connected: each costs a task, two buffers and what its channels hold.
const MAX_CLIENTS: usize = 1024;
/// Channels of a client: a page shows a few things.
const MAX_CHANNELS: usize = 64;

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn gateway() -> Gateway {
        let key = meshcast::MeshKey::random().expect("entropy");
        let builder = Node::builder().key(key).listen("127.0.0.1:0");
        let node = builder.spawn().await.expect("a node");
        Gateway::new(node, |_, _| Access::NONE).origin("https://app.example.com")
    }

    fn request(host: Option<&str>, origin: Option<&str>) -> Parts {
        let mut request = Request::builder().uri("/meshcast");
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[tokio::test]
    async fn pages_of_the_same_host_and_of_those_allowed_are_let_in() {
        let gateway = gateway().await;
        let is_allowed = |origin: Option<&str>| {
            gateway.is_origin_allowed(&request(Some("example.com:8000"), origin))
        };
        for origin in [
            None,
            Some("http://example.com:8000"),
            Some("https://app.example.com"),
        ] {
            assert!(is_allowed(origin), "{origin:?}");
        }
        for origin in [
            "http://example.com",
            "https://app.example.com.evil.org",
            "https://evil.org",
            "null",
            "",
        ] {
            assert!(!is_allowed(Some(origin)), "{origin}");
        }
    }

    #[tokio::test]
    async fn hosts_that_are_not_named_are_not_served_if_any_are() {
        let gateway = gateway().await;
        let rebound = request(Some("evil.org:8000"), Some("http://evil.org:8000"));
        // Its page is one of the same host.
        assert!(gateway.is_host_served(&rebound) && gateway.is_origin_allowed(&rebound));

        let gateway = gateway.hosts(["Example.com", "localhost:8000", "[::1]"]);
        assert!(!gateway.is_host_served(&rebound));
        for host in [
            "example.com",
            "EXAMPLE.com",
            "example.com:8000",
            "localhost:8000",
            "[::1]",
            "[::1]:8000",
        ] {
            assert!(gateway.is_host_served(&request(Some(host), None)), "{host}");
        }
        for host in [
            "localhost",
            "localhost:80",
            "example.com.evil.org",
            "evil.org:",
            "::1",
            "",
        ] {
            assert!(
                !gateway.is_host_served(&request(Some(host), None)),
                "{host}"
            );
        }
        assert!(!gateway.is_host_served(&request(None, None)));
    }
}
