//! Tests of a service that lives on a channel: whole, by a mesh in memory, and its handlers alone,
//! by messages made by hand.
//!
//! ```text
//! cargo test -p meshcast-examples --test test_your_service
//! ```

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use meshcast::{
    BroadcastChannel, GapReason, Limits, Message, Node, RecvError, Subscription,
    testing::{Mesh, Poster},
};
use tokio::time::{sleep, timeout};

/// The service: a cache that forgets what others say is stale, and everything when it may have
/// missed that.
struct Cache {
    kept: Kept,
    stale: BroadcastChannel<String>,
    _handlers: [Subscription<String>; 2],
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<HashMap<String, String>>>);

impl Cache {
    /// It is given a node, so that a test may give it one of its own.
    fn new(node: &Node) -> anyhow::Result<Self> {
        let (stale, kept) = (node.channel::<String>("cache/stale")?, Kept::default());
        let (one, all) = (kept.clone(), kept.clone());
        let handlers = [
            stale.on_message(move |key| one.forget(&key)),
            stale.on_message_error(move |error| all.forget_all(&error)),
        ];
        Ok(Self {
            kept,
            stale,
            _handlers: handlers,
        })
    }

    fn keep(&self, key: &str, value: &str) {
        self.kept.lock().insert(key.to_owned(), value.to_owned());
    }

    fn say_stale(&self, key: &str) -> anyhow::Result<()> {
        self.stale.post_message(key)?;
        Ok(())
    }

    fn has(&self, key: &str) -> bool {
        self.kept.lock().contains_key(key)
    }

    /// Waits until it has forgotten a key.
    async fn forgot(&self, key: &str) -> bool {
        let forgotten = async {
            while self.has(key) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(Duration::from_secs(60), forgotten).await.is_ok()
    }
}

impl Kept {
    fn forget(&self, stale: &Message<String>) {
        self.lock().remove(&stale.data);
    }

    fn forget_all(&self, _: &RecvError) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().expect("no panic")
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_says_is_stale_all_others_forget() -> anyhow::Result<()> {
    let mesh = Mesh::new(3).await;
    let caches: Vec<Cache> = mesh.nodes().map(Cache::new).collect::<Result<_, _>>()?;
    for cache in &caches {
        cache.keep("price", "41");
        cache.keep("stock", "7");
    }
    caches[0].say_stale("price")?;
    for cache in &caches[1..] {
        assert!(cache.forgot("price").await);
        assert!(cache.has("stock"), "nobody said that of it");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_cut_off_forgets_messages_of_that_time() -> anyhow::Result<()> {
    let mesh = Mesh::new(2).await;
    let (here, there) = (Cache::new(mesh.node(0))?, Cache::new(mesh.node(1))?);
    here.keep("price", "41");
    mesh.partition(&[0], &[1]);
    there.say_stale("price")?;
    // Five minutes that are over at once; for ten, everything is kept for those who come back.
    sleep(Duration::from_secs(300)).await;
    assert!(here.has("price"), "it cannot know");
    mesh.heal();
    assert!(here.forgot("price").await);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_was_cut_off_for_too_long_forgets_everything() -> anyhow::Result<()> {
    let limits = Limits {
        history_age: Duration::from_secs(60),
        ..Limits::default()
    };
    let mesh = Mesh::builder()
        .nodes(2)
        .configure(move |node| node.limits(limits.clone()));
    let mesh = mesh.start().await;
    let (here, there) = (Cache::new(mesh.node(0))?, Cache::new(mesh.node(1))?);
    here.keep("price", "41");
    here.keep("stock", "7");
    there.say_stale("weather")?;
    sleep(Duration::from_secs(1)).await;
    mesh.partition(&[0], &[1]);
    there.say_stale("price")?;
    sleep(Duration::from_secs(3600)).await;
    mesh.heal();
    assert!(
        here.forgot("stock").await,
        "it was told of a gap, which may be about any key"
    );
    assert!(!here.has("price"));
    Ok(())
}

#[test]
fn the_handlers_alone_take_messages_and_gaps_that_nobody_posted() {
    let kept = Kept::default();
    for key in ["price", "stock"] {
        kept.lock().insert(key.to_owned(), "7".to_owned());
    }
    let frankfurt = Poster::new("fra-1", "fra");
    kept.forget(&frankfurt.message(1, "price".to_owned()));
    assert_eq!(kept.lock().len(), 1);
    kept.forget_all(&frankfurt.gap(2..=4, GapReason::Lost).into());
    assert!(kept.lock().is_empty());
}
