//! A chat with rooms, at any number of instances in any regions. Browsers in one room may be at any
//! of them; one that loses its instance goes on at another, and misses nothing.
//!
//! ```text
//! cargo run -p meshcast-examples --example chat       # three regions in this process, to try it
//! ```
//!
//! As it is deployed, each process is an instance. Its node is described by the environment:
//!
//! ```text
//! export MESHCAST_KEY=$(cargo run -q --release -- key new)    # the same for all
//! 1$ MESHCAST_REGION=fra MESHCAST_LISTEN=127.0.0.1:7101 chat --http 127.0.0.1:8201
//! 2$ MESHCAST_REGION=iad MESHCAST_SEEDS=127.0.0.1:7101 chat --http 127.0.0.1:8202
//! ```
//!
//! Map: `service` is the chat, and all that has to do with meshcast; `seats` who is in a room;
//! `http` what browsers send and are told; `page` and its files what they show; `demo` the three
//! regions. There are no accounts: people are who they say they are.

mod demo;
mod http;
mod page;
mod seats;
mod service;

use std::{
    fmt::Display,
    io::{self, Write},
    net::SocketAddr,
};

use axum::{Json, Router, http::StatusCode, routing::get};
use clap::Parser;
use meshcast::{AdminSocket, Node, NodeBuilder};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

#[derive(Parser)]
#[command(about = "A chat with rooms, in several regions")]
struct Args {
    /// Runs one instance, which serves here; its node is described by MESHCAST_… variables
    #[arg(long, value_name = "ADDRESS", conflicts_with = "port")]
    http: Option<SocketAddr>,
    /// The port of the first of three regions in this process; 0 lets the system choose
    #[arg(long, default_value_t = 8201)]
    port: u16,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        match args.http {
            Some(http) => instance(http).await,
            None => demo::run(args.port).await,
        }
    })
}

/// One instance, until it is told to stop.
async fn instance(http: SocketAddr) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let http = TcpListener::bind(http).await?;
    let node = NodeBuilder::from_env()?.admin(AdminSocket::Default);
    let node = node.spawn().await?;
    for address in node.listen_addresses() {
        say(format_args!("listening on {address}"));
    }
    say(format_args!("serving http://{}", http.local_addr()?));
    tokio::select! {
        served = axum::serve(http, routes(node.clone())) => served?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    // Hands over what was said, for up to 5 s. Browsers are told at once, and go on elsewhere.
    eprintln!("stopped: {}", node.shutdown().await);
    Ok(())
}

/// The reader may be gone, as behind `head`; the chat goes on.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn routes(node: Node) -> Router {
    let asked = node.clone();
    let health = get(async move || {
        let health = asked.health().await;
        let status = match health.live && health.ready {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(health))
    });
    let routes = page::routes().merge(service::routes(node));
    routes.route("/health", health)
}
