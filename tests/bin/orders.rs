//! A member with typed channels, for the tests of the npm package: what goes between a type of Rust
//! and values of JavaScript.
//!
//! Its settings are those of the environment. It prints its address, and then what it hears, each
//! as JSON on a line; a line of stdin has it post: `{"order":{"id":1,"state":"Closed"}}` on
//! `orders`, `{"bytes":[1,2]}` on `bytes`.

use anyhow::Result;
use meshcast::{Bytes, NodeBuilder, RecvError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    #[serde(default)]
    note: Option<String>,
    state: State,
}

#[derive(Debug, Serialize, Deserialize)]
enum State {
    Placed { items: Vec<String> },
    Shipped(String),
    Closed,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Post {
    Order(Order),
    Bytes(Vec<u8>),
}

#[tokio::main]
async fn main() -> Result<()> {
    let node = NodeBuilder::from_env()?.spawn().await?;
    let orders = node.channel::<Order>("orders")?;
    let bytes = node.channel::<Bytes>("bytes")?;
    let (mut heard_orders, mut heard_bytes) = (orders.messages(), bytes.messages());
    let address = node.listen_addresses().first().map(ToString::to_string);
    println!("{}", json!({ "address": address }));
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line? else { break };
                match serde_json::from_str(&line)? {
                    Post::Order(order) => drop(orders.post_message(&order)?),
                    Post::Bytes(list) => drop(bytes.post_message(&Bytes::from(list))?),
                }
            }
            Some(message) = heard_orders.recv() => match message {
                Ok(message) => println!("{}", json!({ "order": message.data })),
                Err(RecvError::Decode(error)) => {
                    println!("{}", json!({ "wrong": error.reason().to_string() }));
                }
                Err(error) => println!("{}", json!({ "missing": error.to_string() })),
            },
            Some(message) = heard_bytes.recv() => match message {
                Ok(message) => println!("{}", json!({ "bytes": message.data.to_vec() })),
                Err(error) => println!("{}", json!({ "wrong": error.to_string() })),
            },
        }
    }
    node.shutdown().await;
    Ok(())
}
