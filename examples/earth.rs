//! A small HTTP service that keeps one list of messages on all its instances; one process is one
//! instance.
//!
//! ```text
//! cargo build --release -p meshcast-examples --example earth
//! export MESHCAST_KEY=$(cargo run -q --release -- key new)    # the same value in both terminals
//!
//! 1$ target/release/examples/earth --http 127.0.0.1:8101 --listen /ip4/127.0.0.1/tcp/7101
//! 2$ target/release/examples/earth --http 127.0.0.1:8102 --seed /ip4/127.0.0.1/tcp/7101
//! 3$ curl '127.0.0.1:8101/send?message=hello'; curl 127.0.0.1:8102/messages
//! ```
//!
//! Without a key each instance stays alone: those who share no secret do not meet.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, sync::Mutex};

use axum::{
    Json, Router,
    extract::{Query, RawQuery, State},
    http::StatusCode,
    routing::any,
};
use clap::Parser;
use meshcast::{AdminSocket, BroadcastChannel, Multiaddr, Node};
use percent_encoding::percent_decode_str;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
struct Args {
    /// Where to serve HTTP
    #[arg(long, env = "EARTH_HTTP", default_value = "127.0.0.1:8101")]
    http: SocketAddr,
    /// Where to listen for other instances; may be repeated
    #[arg(long, env = "EARTH_LISTEN", value_delimiter = ',')]
    listen: Vec<Multiaddr>,
    /// Another instance, to find the rest through; may be repeated
    #[arg(long, env = "EARTH_SEED", value_delimiter = ',')]
    seed: Vec<Multiaddr>,
}

#[derive(Clone)]
struct Earth {
    channel: BroadcastChannel<String>,
    messages: Arc<Mutex<VecDeque<String>>>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let http = tokio::net::TcpListener::bind(args.http).await?;
    let builder = Node::builder().seeds(args.seed).admin(AdminSocket::Default);
    let builder = args
        .listen
        .into_iter()
        .fold(builder, |builder, address| builder.listen(address));
    let node = builder.spawn().await?;

    let earth = Earth {
        channel: node.channel("earth")?,
        messages: Arc::default(),
    };
    let list = Arc::clone(&earth.messages);
    let _heard = earth
        .channel
        .on_message(move |message| remember(&list, message.data));
    let _missed = earth
        .channel
        .on_message_error(|error| eprintln!("earth: {error}"));
    let service = Router::new()
        .route("/send", any(send))
        .route("/messages", any(messages))
        .fallback(async || (StatusCode::NOT_FOUND, "not found"))
        .with_state(earth);

    let stopped_early = tokio::select! {
        ready = node.ready() => { ready?; false }
        _ = interrupt.recv() => true,
        _ = terminate.recv() => true,
    };
    if stopped_early {
        eprintln!("earth: stopped: {}", node.shutdown().await);
        return Ok(());
    }
    for address in node.listen_addresses() {
        println!("listening on {address}");
    }
    println!("serving http://{}", http.local_addr()?);
    tokio::select! {
        served = axum::serve(http, service) => served?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    // Up to 5 s, if nobody has what was sent.
    eprintln!("earth: stopped: {}", node.shutdown().await);
    Ok(())
}

type Parameters = Query<Vec<(String, String)>>;

async fn send(
    State(earth): State<Earth>,
    RawQuery(query): RawQuery,
    Query(parameters): Parameters,
) -> (StatusCode, String) {
    // A value that is no text would be posted as something else.
    if percent_decode_str(&query.unwrap_or_default())
        .decode_utf8()
        .is_err()
    {
        return (StatusCode::BAD_REQUEST, "the query is no UTF-8".into());
    }
    let given = parameters.into_iter().find(|(name, _)| name == "message");
    let Some((_, message)) = given else {
        return (StatusCode::BAD_REQUEST, "?message not provided".into());
    };
    if let Err(error) = earth.channel.post_message(&message) {
        return (StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    }
    // A channel does not bring back what is posted on it.
    remember(&earth.messages, message);
    (StatusCode::OK, "message sent".into())
}

async fn messages(State(earth): State<Earth>) -> Json<VecDeque<String>> {
    Json(earth.messages.lock().expect("no holder panics").clone())
}

fn remember(messages: &Mutex<VecDeque<String>>, message: String) {
    let mut messages = messages.lock().expect("no holder panics");
    messages.push_back(message);
    if messages.len() > LAST_MESSAGES {
        messages.pop_front();
    }
}

/// A service runs for months; a list that only grows ends it.
const LAST_MESSAGES: usize = 1_000;
