//! Messages with a type, and what to do when some are missing or are something else.
//!
//! ```text
//! cargo run -p meshcast-examples --example typed
//! ```

use meshcast::{Limits, MeshKey, Messages, Node, RecvError};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u32,
    state: State,
}

#[derive(Debug, Serialize, Deserialize)]
enum State {
    Placed { items: Vec<String> },
    Shipped(String),
    Closed,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let key = MeshKey::random()?;
    let member = |region| {
        let builder = Node::builder().region(region).key(key.clone());
        anyhow::Ok(builder.listen("127.0.0.1:0"))
    };

    // So little room for messages that nobody has read that some will be missed.
    let limits = Limits {
        unread_bytes: 4 * 1024,
        ..Limits::default()
    };
    let warehouse = member("fra")?.limits(limits).spawn().await?;
    let seeds = warehouse.listen_addresses();
    let mut prompt = warehouse.channel("orders")?.messages();
    let mut late = warehouse.channel("orders")?.messages();
    let shop = member("nrt")?.seeds(seeds).spawn().await?;
    let orders = shop.channel::<Order>("orders")?;
    shop.ready().await?;

    // An old release of the shop posts text.
    shop.channel::<String>("orders")?
        .post_message("order 0: tea")?;
    for id in 1..=300 {
        let items = vec!["tea".to_owned(), "a cup".to_owned()];
        orders.post_message(&Order {
            id,
            state: State::Placed { items },
        })?;
    }
    orders.post_message(&Order {
        id: 1,
        state: State::Shipped("bicycle".to_owned()),
    })?;
    orders.post_message(&Order {
        id: 1,
        state: State::Closed,
    })?;

    println!("who reads at once:");
    follow(&mut prompt).await?;
    println!("who reads when all is over:");
    follow(&mut late).await?;
    shop.shutdown().await;
    warehouse.shutdown().await;
    Ok(())
}

/// Reads until an order is closed.
async fn follow(orders: &mut Messages<Order>) -> anyhow::Result<()> {
    while let Some(message) = orders.recv().await {
        match message.map(|message| message.data) {
            Ok(Order {
                id,
                state: State::Closed,
            }) => {
                println!("  order {id} is closed");
                return Ok(());
            }
            Ok(Order {
                id,
                state: State::Placed { items },
            }) if id % 100 == 0 => println!("  {id}: {items:?}"),
            Ok(Order {
                state: State::Placed { .. },
                ..
            }) => {}
            Ok(Order {
                id,
                state: State::Shipped(by),
            }) => println!("  order {id} is on its way by {by}"),
            // The content of missing messages must be had from elsewhere: here one would ask the
            // shop.
            Err(RecvError::Gap(gap)) => println!("  {gap}"),
            Err(RecvError::Decode(error)) => println!("  {error}: {}", error.reason()),
            Err(error) => println!("  {error}"),
        }
    }
    anyhow::bail!("the node stopped")
}
