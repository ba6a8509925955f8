//! Server-sent events from a channel: a client that comes back, to this instance or to another,
//! gets what it missed. Its browser sends the id of the last event, which is a cursor.
//!
//! ```text
//! cargo run -p meshcast-examples --example sse          # three instances and a client, in one go
//!
//! export MESHCAST_KEY=$(cargo run -q --release -- key new)
//! 1$ target/debug/examples/sse --http 127.0.0.1:8101 --listen /ip4/127.0.0.1/tcp/7101
//! 2$ target/debug/examples/sse --http 127.0.0.1:8102 --seed /ip4/127.0.0.1/tcp/7101
//! 3$ curl -N 127.0.0.1:8101/events & curl -d hello 127.0.0.1:8102/send
//! ```

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::sse::{Event, KeepAlive, Sse},
    routing::{get, post},
};
use clap::Parser;
use futures::{Stream, stream};
use meshcast::{BroadcastChannel, MeshKey, Multiaddr, Node, OpenError, RecvError, Since};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
};

#[derive(Parser)]
struct Args {
    /// Address to serve HTTP at; without it three instances show how it works, and end
    #[arg(long)]
    http: Option<SocketAddr>,
    /// Where to listen for other instances
    #[arg(long)]
    listen: Option<Multiaddr>,
    /// Another instance, to find the rest through; may be repeated
    #[arg(long)]
    seed: Vec<Multiaddr>,
}

#[derive(Clone)]
struct Instance {
    node: Node,
    events: BroadcastChannel<String>,
}

fn service(node: Node) -> anyhow::Result<Router> {
    let events = node.channel("events")?;
    let instance = Instance { node, events };
    let routes = Router::new()
        .route("/events", get(events_of))
        .route("/send", post(send));
    Ok(routes.with_state(instance))
}

/// Begins with the last messages, or goes on behind the event that the client saw last.
async fn events_of(
    State(Instance { node, .. }): State<Instance>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, (StatusCode, String)> {
    let mistake = |why: &dyn ToString| (StatusCode::BAD_REQUEST, why.to_string());
    let since = match headers.get("last-event-id") {
        None => Since::Last(20),
        Some(id) => {
            let id = id.to_str().map_err(|error| mistake(&error))?;
            Since::After(id.parse().map_err(|error| mistake(&error))?)
        }
    };
    let channel = node
        .channel_since::<String>("events", since)
        .map_err(refused)?;
    let events = stream::unfold(channel.messages(), async |mut messages| {
        let event = match messages.recv().await? {
            Ok(message) => Event::default().data(message.data),
            // The client is told about missing messages, too.
            Err(RecvError::Gap(gap)) => Event::default().event("gap").data(gap.to_string()),
            Err(error) => Event::default().event("error").data(error.to_string()),
        };
        let event = event.id(messages.cursor().to_string());
        Some((Ok(event), messages))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// A browser gives up an `EventSource` that is answered with anything but 200. After a 503 its page
/// makes another, which another instance may answer: this one stops, or has too much open.
fn refused(error: OpenError) -> (StatusCode, String) {
    let status = match error {
        OpenError::Name(_) | OpenError::ForeignCursor => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.to_string())
}

async fn send(
    State(Instance { events, .. }): State<Instance>,
    message: String,
) -> (StatusCode, String) {
    match events.post_message(&message) {
        Ok(_) => (StatusCode::ACCEPTED, String::new()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let Some(http) = args.http else {
        return tokio::time::timeout(Duration::from_secs(50), show()).await?;
    };
    let builder = Node::builder().seeds(args.seed);
    let node = match args.listen {
        Some(listen) => builder.listen(listen),
        None => builder,
    };
    let node = node.spawn().await?;
    let listener = TcpListener::bind(http).await?;
    println!("serving http://{}", listener.local_addr()?);
    let stopped = async { _ = tokio::signal::ctrl_c().await };
    tokio::select! {
        served = async {
            let served = axum::serve(listener, service(node.clone())?).await;
            served.map_err(anyhow::Error::from)
        } => served?,
        () = stopped => {}
    }
    println!("stopped: {}", node.shutdown().await);
    Ok(())
}

/// Three instances, one of which goes away, and a client that is always where one is left.
async fn show() -> anyhow::Result<()> {
    let key = MeshKey::random()?;
    let (mut nodes, mut addresses, mut seeds) = (Vec::new(), Vec::new(), Vec::new());
    for name in ["fra-1", "iad-1", "nrt-1"] {
        let builder = Node::builder().key(key.clone()).name(name);
        let listen = "127.0.0.1:0";
        let node = builder.listen(listen).seeds(seeds.clone()).spawn().await?;
        seeds.extend(node.info().await?.listen_addresses);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        addresses.push(listener.local_addr()?);
        let routes = service(node.clone())?;
        tokio::spawn(async move { axum::serve(listener, routes).await });
        nodes.push(node);
    }
    for node in &nodes {
        node.wait_for_members(2).await?;
    }

    let mut client = Client::open(addresses[0], None).await?;
    for n in 1..=6 {
        post_to(addresses[n % 3], &format!("message {n}")).await?;
    }
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(client.next().await?);
    }
    println!("at fra-1: {}", texts(&seen));

    // The instance goes away, and others post meanwhile.
    let id = seen.last().map(|(id, _)| id.clone()).context("four came")?;
    drop(client);
    println!("fra-1 stops: {}", nodes[0].shutdown().await);
    for n in 7..=8 {
        post_to(addresses[1], &format!("message {n}")).await?;
    }

    // Each goes on behind the event that it names, wherever it asks.
    let mut client = Client::open(addresses[2], Some(&id)).await?;
    post_to(addresses[2], "message 9").await?;
    while seen.len() < 9 {
        seen.push(client.next().await?);
    }
    println!("at nrt-1: {}", texts(&seen[4..]));
    let mut all: Vec<_> = seen.into_iter().map(|(_, text)| text).collect();
    all.sort();
    let expected: Vec<_> = (1..=9).map(|n| format!("message {n}")).collect();
    ensure!(all == expected, "each message once: {all:?}");

    let refused = Client::open(addresses[1], Some("not-a-cursor")).await;
    println!("a made-up id: {}", refused.err().context("it is refused")?);
    for node in &nodes[1..] {
        node.shutdown().await;
    }
    let stopped = Client::open(addresses[1], Some(&id)).await;
    let stopped = stopped.err().context("it is refused")?.to_string();
    println!("an instance that stops: {stopped}");
    ensure!(stopped.contains(" 503 "), "try elsewhere, not: {stopped}");
    Ok(())
}

fn texts(seen: &[(String, String)]) -> String {
    let texts: Vec<_> = seen.iter().map(|(_, text)| text.as_str()).collect();
    texts.join(", ")
}

/// As much of an `EventSource` as is needed.
struct Client(Lines<BufReader<TcpStream>>);

impl Client {
    async fn open(to: SocketAddr, last: Option<&str>) -> anyhow::Result<Self> {
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n"));
        let last = last.unwrap_or_default();
        let head = format!("GET /events HTTP/1.1\r\nHost: {to}\r\n{last}\r\n");
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await?.context("an answer")?;
        ensure!(status.contains(" 200 "), "{status}");
        Ok(Self(lines))
    }

    /// The id and the data of the next event.
    async fn next(&mut self) -> anyhow::Result<(String, String)> {
        let (mut id, mut data) = (None, None);
        loop {
            let line = self.0.next_line().await?.context("it ended")?;
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.to_owned());
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = Some(text.to_owned());
            }
            if let (Some(id), Some(data)) = (&id, &data) {
                return Ok((id.clone(), data.clone()));
            }
        }
    }
}

async fn post_to(to: SocketAddr, message: &str) -> anyhow::Result<()> {
    let length = message.len();
    let head = format!(
        "POST /send HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(message.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    Ok(())
}
