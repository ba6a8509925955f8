//! A cache in each instance, kept honest by a channel: who writes tells the others what to forget.
//!
//! ```text
//! cargo run -p meshcast-examples --example cache
//! ```
//!
//! Three instances run in this one program; in earnest each is a process with MESHCAST_KEY set.

use std::{collections::HashMap, sync::Arc, sync::Mutex, time::Instant};

use meshcast::{BroadcastChannel, MeshKey, Node, Subscription};
use tokio::sync::Notify;

/// Keys and values; the database that all instances share, and what each keeps of it.
type Table = Arc<Mutex<HashMap<String, String>>>;

struct Cache {
    database: Table,
    kept: Table,
    stale: BroadcastChannel<String>,
    forgotten: Arc<Notify>,
    _handlers: [Subscription<String>; 2],
}

impl Cache {
    fn new(node: &Node, database: &Table) -> anyhow::Result<Self> {
        let (stale, kept) = (node.channel::<String>("cache/stale")?, Table::default());
        let forgotten = Arc::new(Notify::new());
        let (one, all, told) = (Arc::clone(&kept), Arc::clone(&kept), Arc::clone(&forgotten));
        let forget = stale.on_message(move |key| {
            one.lock().expect("no panic").remove(&key.data);
            told.notify_one();
        });
        // Something was missed, and it may have been about any key.
        let forget_all = stale.on_message_error(move |_| all.lock().expect("no panic").clear());
        Ok(Self {
            database: Arc::clone(database),
            kept,
            stale,
            forgotten,
            _handlers: [forget, forget_all],
        })
    }

    fn read(&self, key: &str) -> String {
        // Locked while it loads, so that what is to be forgotten meanwhile is forgotten after that.
        let mut kept = self.kept.lock().expect("no panic");
        let load = || self.database.lock().expect("no panic")[key].clone();
        kept.entry(key.to_owned()).or_insert_with(load).clone()
    }

    fn write(&self, key: &str, value: &str) -> anyhow::Result<()> {
        self.database
            .lock()
            .expect("no panic")
            .insert(key.to_owned(), value.to_owned());
        self.kept.lock().expect("no panic").remove(key);
        self.stale.post_message(&key.to_owned())?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (key, database) = (MeshKey::random()?, Table::default());
    let (mut nodes, mut caches, mut seeds) = (Vec::new(), Vec::new(), Vec::new());
    for region in ["fra", "iad", "nrt"] {
        let builder = Node::builder()
            .region(region)
            .key(key.clone())
            .seeds(seeds.clone());
        let node = builder.listen("127.0.0.1:0").spawn().await?;
        caches.push(Cache::new(&node, &database)?);
        node.ready().await?;
        seeds.extend(node.listen_addresses());
        nodes.push(node);
    }

    caches[0].write("motd", "hello")?;
    for other in &caches[1..] {
        other.forgotten.notified().await;
    }
    caches
        .iter()
        .for_each(|cache| assert_eq!(cache.read("motd"), "hello"));

    let start = Instant::now();
    caches[2].write("motd", "good evening")?;
    for (node, cache) in nodes.iter().zip(&caches).take(2) {
        cache.forgotten.notified().await;
        println!(
            "{} reads {:?} after {:?}",
            node.name(),
            cache.read("motd"),
            start.elapsed()
        );
    }
    for node in nodes {
        node.shutdown().await;
    }
    Ok(())
}
