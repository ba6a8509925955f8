//! A service whose pages are on the mesh themselves, in Rust; the same in JavaScript is
//! `crates/meshcast-js/examples/tabs.js`.
//!
//! ```text
//! export MESHCAST_KEY=$(meshcast key new)
//! PORT=8000 cargo run -p meshcast-gateway --example tabs   # http://127.0.0.1:8000/?user=ada
//! ```
//!
//! It dials its seeds alone. Lines of stdin make it take part itself, for the tests of the npm
//! package: `{"do":"listen","name":"room:lobby"}`,
//! `{"do":"post","name":"room:lobby","data":{"text":"hello"}}`.

use std::{collections::HashMap, env, path::PathBuf};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use meshcast::{Node, NodeBuilder, Subscription, Value};
use meshcast_gateway::{Access, Gateway};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
};

/// Rooms are for all who say who they are, news is for all to read, and a box to put something
/// into.
fn permit(request: &Parts, channel: &str) -> Access {
    let query = request.uri.query().unwrap_or_default();
    let has_user = query.split('&').any(|part| part.starts_with("user="));
    match channel {
        "news" => Access::READ,
        "box" => Access::POST,
        _ if channel.starts_with("room:") && has_user => Access::ALL,
        _ => Access::NONE,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = NodeBuilder::from_env()?.dial_members(false).spawn().await?;
    node.ready().await?;
    let mut gateway = Gateway::new(node.clone(), permit).max_channels(4);
    // Pages of other instances come here when theirs is gone: ORIGINS=https://fra.example.com,…
    let origins = env::var("ORIGINS").unwrap_or_default();
    for origin in origins.split(',').filter(|origin| !origin.is_empty()) {
        gateway = gateway.origin(origin);
    }
    // A bundler does this for you; a browser needs none.
    let package = env::var_os("PACKAGE").unwrap_or_else(|| "crates/meshcast-js".into());
    let app = Router::new()
        .route("/", get(page))
        .route("/lib/{*path}", get(script))
        .with_state(PathBuf::from(package))
        .route("/meshcast", gateway.into_route());
    let port = env::var("PORT").unwrap_or_else(|_| "0".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let serving = listener.local_addr()?.port();
    let address = node.info().await?.listen_addresses.first().cloned();
    let address = address.map(|address| address.to_string());
    println!("{}", json!({ "serving": serving, "address": address }));
    tokio::spawn(async move { axum::serve(listener, app).await });

    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut heard = HashMap::new();
    while let Some(line) = lines.next_line().await? {
        obey(&node, &mut heard, serde_json::from_str(&line)?)?;
    }
    println!("stopped: {}", node.shutdown().await);
    Ok(())
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Command {
    Listen {
        name: String,
    },
    Post {
        name: String,
        data: serde_json::Value,
    },
}

type Heard = (meshcast::BroadcastChannel<Value>, Subscription<Value>);

fn obey(
    node: &Node,
    heard: &mut HashMap<String, Heard>,
    command: Command,
) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Listen { name } => {
            let channel = node.channel::<Value>(&name)?;
            let handler = channel.on_message(|message| {
                println!("{}", json!({ "heard": message.data.to_json() }));
            });
            heard.insert(name, (channel, handler));
        }
        Command::Post { name, data } => {
            let (channel, _) = heard.get(&name).ok_or("listen first")?;
            channel.post_message(&Value::from(data))?;
        }
    }
    Ok(())
}

async fn page(State(package): State<PathBuf>) -> Response {
    match tokio::fs::read_to_string(package.join("examples/tabs.html")).await {
        Ok(page) => Html(page).into_response(),
        Err(error) => (StatusCode::NOT_FOUND, error.to_string()).into_response(),
    }
}

async fn script(State(package): State<PathBuf>, Path(path): Path<String>) -> Response {
    let is_inside = path.split('/').all(|part| !part.starts_with('.'));
    let file = package.join("lib").join(&path);
    match tokio::fs::read_to_string(file).await {
        Ok(script) if is_inside => {
            ([(header::CONTENT_TYPE, "text/javascript")], script).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
