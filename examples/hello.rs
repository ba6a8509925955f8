//! Two nodes in one process, one message. Nothing to set up:
//!
//! ```text
//! cargo run -p meshcast-examples --example hello
//! ```

use meshcast::{MeshKey, Node};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Members share a secret. A service finds it in MESHCAST_KEY; these two live and die with a new
    // one.
    let key = MeshKey::random()?;
    let member = |region| {
        let builder = Node::builder().region(region).key(key.clone());
        anyhow::Ok(builder.listen("127.0.0.1:0"))
    };

    let frankfurt = member("fra")?.spawn().await?;
    let seeds = frankfurt.listen_addresses();
    let mut inbox = frankfurt.channel::<String>("earth")?.messages();

    let tokyo = member("nrt")?.seeds(seeds).spawn().await?;
    let earth = tokyo.channel::<String>("earth")?;
    tokyo.ready().await?;
    earth.post_message("hello")?;

    let message = inbox.recv().await.expect("the node runs")?;
    println!("{} heard {message:?}", frankfurt.name());
    // Waits until what was posted is with somebody. A node that is dropped does not wait as long.
    tokyo.shutdown().await;
    frankfurt.shutdown().await;
    Ok(())
}
