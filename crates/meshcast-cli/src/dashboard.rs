//! A live view of the mesh: the page in a browser, where one can post and break things too, and
//! `top` in a terminal.
//!
//! `picture` is what all nodes said at one moment, `view` what a page shows of it, `patch` how two
//! views differ, `timeline` what happened between them, `tail` what a channel heard. These are
//! plain data and know no socket. `sources` asks nodes, `sampler` does so while somebody looks,
//! `present` watches who has a channel open, and `routes` serves whoever shows the `key`; the page
//! itself is in `assets`, as it is written there. `top` shows the same views and needs none of
//! `patch`, `present`, `tail`, `routes` and `key`.
//!
//! It may use admin reports, the client and faults of this crate. It must not ask anything while no
//! page is open, hold what a page does not take, or show more than there is room for in `view`.

mod assets;
mod key;
mod patch;
mod picture;
mod present;
mod routes;
mod sampler;
mod sources;
mod tail;
mod timeline;
pub(crate) mod top;
mod view;

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

pub(crate) use self::{
    key::PageKey,
    sources::{Current, Scene},
    timeline::{Kind, Timeline},
};
use crate::http::{self, Limits};

/// Serves the page of a scene until it is dropped, to those who show its key.
pub(crate) async fn serve(listener: TcpListener, key: PageKey, scene: Scene, timeline: Timeline) {
    let (watching, sampling) = sampler::new(scene, timeline);
    let router = routes::router(watching, key);
    tokio::select! {
        () = sampling => {}
        () = http::serve(listener, router, LIMITS, routes::refused) => {}
    }
}

/// The address of the page: at this port of the loopback interface, or if none was asked for at the
/// usual one, or any if that is taken.
pub(crate) async fn bind(port: Option<u16>) -> std::io::Result<TcpListener> {
    let at = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    match port {
        Some(port) => at(port).await,
        None => match at(PORT).await {
            Ok(listener) => Ok(listener),
            Err(_) => at(0).await,
        },
    }
}

/// Where people look for it.
const PORT: u16 = 8100;

/// A page has one stream, which stays, and a browser opens a few more.
const LIMITS: Limits = Limits {
    connections: 128,
    life: None,
};
