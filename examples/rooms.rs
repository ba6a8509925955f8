//! Rooms over WebSockets: whoever is in a room hears it, at whatever instance. A socket is a
//! channel object of its own, so a room is open at an instance while somebody there is in it.
//!
//! ```text
//! cargo run -p meshcast-examples --example rooms      # three instances and clients, in one go
//!
//! export MESHCAST_KEY=$(cargo run -q --release -- key new)
//! 1$ MESHCAST_LISTEN=127.0.0.1:7101 target/debug/examples/rooms --http 127.0.0.1:8101
//! 2$ MESHCAST_SEEDS=127.0.0.1:7101 target/debug/examples/rooms --http 127.0.0.1:8102
//! 3$ websocat ws://127.0.0.1:8101/rooms/tea
//! ```

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use axum::{
    Router,
    extract::{
        Path, Query, State, WebSocketUpgrade,
        ws::{CloseFrame, Message as Frame, WebSocket, close_code},
    },
    http::StatusCode,
    response::Response,
    routing::get,
};
use clap::Parser;
use futures::{SinkExt, StreamExt};
use meshcast::{BroadcastChannel, Cursor, MeshKey, Node, NodeBuilder, Since};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

#[derive(Parser)]
struct Args {
    /// Address to serve HTTP at; without it three instances show how it works, and end
    #[arg(long)]
    http: Option<SocketAddr>,
}

/// What a client is sent, as JSON in a text frame. It sends plain text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    /// Somebody else said this; `after` is where to go on with another socket.
    Said {
        text: String,
        region: String,
        after: Cursor,
    },
    /// This will not come, or was not posted.
    Failed(String),
}

#[derive(Deserialize)]
struct Entry {
    after: Option<Cursor>,
}

fn routes(node: Node) -> Router {
    let routes = Router::new().route("/rooms/{room}", get(enter));
    routes.with_state(node)
}

/// A client that comes back says where it was, and gets what it missed.
async fn enter(
    State(node): State<Node>,
    Path(room): Path<String>,
    Query(Entry { after }): Query<Entry>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, (StatusCode, String)> {
    let since = after.map_or(Since::Last(20), Since::After);
    // Names of clients are in a corner of their own: they get at no other channels.
    let channel = node
        .channel_since::<String>(&format!("rooms/{room}"), since)
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let upgrade = upgrade.max_message_size(LONGEST);
    Ok(upgrade.on_upgrade(move |socket| guest(socket, channel)))
}

/// One client, until it leaves or the node stops.
async fn guest(mut socket: WebSocket, channel: BroadcastChannel<String>) {
    // The object does not hear itself: a client is not sent its own words.
    let mut messages = channel.messages();
    loop {
        let told = tokio::select! {
            heard = messages.recv() => match heard {
                Some(Ok(said)) => Told::Said {
                    region: said.region().to_string(),
                    text: said.data,
                    after: messages.cursor(),
                },
                Some(Err(missing)) => Told::Failed(missing.to_string()),
                None => break,
            },
            frame = socket.recv() => match frame {
                Some(Ok(Frame::Text(text))) => match channel.post_message(text.as_str()) {
                    Ok(_) => continue,
                    Err(error) => Told::Failed(error.to_string()),
                },
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => continue,
                Some(Ok(Frame::Binary(_) | Frame::Close(_)) | Err(_)) | None => return,
            },
        };
        let json = serde_json::to_string(&told).expect("text and maps of it");
        // A client that reads slowly is waited for here, and holds up nobody else.
        if socket.send(Frame::Text(json.into())).await.is_err() {
            return;
        }
    }
    let goodbye = CloseFrame {
        code: close_code::RESTART,
        reason: "the instance stops".into(),
    };
    // It goes on elsewhere in any case.
    let _ = socket.send(Frame::Close(Some(goodbye))).await;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(http) = Args::parse().http else {
        return tokio::time::timeout(Duration::from_secs(50), show()).await?;
    };
    let node = NodeBuilder::from_env()?.spawn().await?;
    let listener = TcpListener::bind(http).await?;
    println!("serving http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, routes(node.clone())) => served?,
        _ = tokio::signal::ctrl_c() => {}
    }
    println!("stopped: {}", node.shutdown().await);
    Ok(())
}

/// Three instances, one of which goes away, and clients in two rooms.
async fn show() -> anyhow::Result<()> {
    let key = MeshKey::random()?;
    let (mut nodes, mut addresses, mut seeds) = (Vec::new(), Vec::new(), Vec::new());
    for region in ["fra", "iad", "nrt"] {
        let builder = Node::builder().key(key.clone()).region(region);
        let builder = builder.listen("127.0.0.1:0").seeds(seeds.clone());
        let node = builder.spawn().await?;
        seeds.extend(node.listen_addresses());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        addresses.push(listener.local_addr()?);
        let routes = routes(node.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        nodes.push(node);
    }
    for node in &nodes {
        node.wait_for_members(2).await?;
    }

    let mut ada = Client::enter(addresses[0], "tea", None).await?;
    let mut bob = Client::enter(addresses[1], "tea", None).await?;
    let mut eve = Client::enter(addresses[1], "coffee", None).await?;
    eve.say("is anybody here?").await?;
    ada.say("milk?").await?;
    println!("bob hears {:?}", bob.hear().await?.0);
    bob.say("yes, please").await?;
    let (heard, after) = ada.hear().await?;
    println!("ada hears {heard:?}");

    // Her instance stops. She is told, others go on talking, and she goes on elsewhere.
    nodes[0].shutdown().await;
    ensure!(ada.hear().await.is_err(), "the socket is closed");
    bob.say("sugar?").await?;
    let mut ada = Client::enter(addresses[2], "tea", Some(&after)).await?;
    let (heard, _) = ada.hear().await?;
    println!("ada hears {heard:?} at another instance");
    ensure!(heard == "iad: sugar?", "what she missed, and nothing twice");
    ada.say("no, thanks").await?;
    ensure!(bob.hear().await?.0 == "nrt: no, thanks");
    for node in &nodes[1..] {
        node.shutdown().await;
    }
    Ok(())
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn enter(at: SocketAddr, room: &str, after: Option<&Cursor>) -> anyhow::Result<Self> {
        let after = after.map(|cursor| format!("?after={cursor}"));
        let after = after.unwrap_or_default();
        let (socket, _) = connect_async(format!("ws://{at}/rooms/{room}{after}")).await?;
        Ok(Self(socket))
    }

    async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.0.send(text.into()).await?)
    }

    /// What somebody said, and where to go on after that.
    async fn hear(&mut self) -> anyhow::Result<(String, Cursor)> {
        let frame = self.0.next().await.context("it is closed")??;
        match serde_json::from_str(frame.to_text()?)? {
            Told::Said {
                text,
                region,
                after,
            } => Ok((format!("{region}: {text}"), after)),
            Told::Failed(why) => anyhow::bail!(why),
        }
    }
}

/// In bytes. The mesh would take a megabyte; people write less.
const LONGEST: usize = 16 * 1024;
