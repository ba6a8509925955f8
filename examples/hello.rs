//! Two nodes in one process, one message. Nothing to set up:
//!
//! ```text
//! cargo run -p meshcast-examples --example hello
//! ```

use meshcast::{MeshKey, Node};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let key: MeshKey = MeshKey::from_entropy([7; 48]); // `meshcast key new` makes a secret one
    let loopback = || "/ip4/127.0.0.1/tcp/0".parse();
    let frankfurt = Node::builder()
        .region("fra")
        .key(key.clone())
        .listen(loopback()?)
        .spawn()
        .await?;
    let seed = frankfurt.inspect().await?.node.listen_addresses.remove(0);
    let tokyo = Node::builder()
        .region("nrt")
        .key(key)
        .listen(loopback()?)
        .seed(seed)
        .spawn()
        .await?;

    let mut inbox = frankfurt.channel::<String>("earth")?.messages();
    let earth = tokyo.channel::<String>("earth")?;
    tokyo.ready().await?;
    earth.post_message(&"hello".to_owned())?;

    let message = inbox.recv().await.expect("the node runs")?;
    println!(
        "{} heard {:?} from {} in {}",
        frankfurt.name(),
        message.data,
        message.name(),
        message.region()
    );
    Ok(())
}
