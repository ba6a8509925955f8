//! Members that do what they should: post at a steady pace, and read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use meshcast::{
    BroadcastChannel, Bytes, MeshKey, Multiaddr, Node,
    netem::{Cut, Links, Place},
};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::ear::{Ear, message};
use crate::hostile::CALM;

/// A member with one peer, which it dials.
pub(super) struct Honest {
    pub(super) node: Node,
    pub(super) ear: Ear,
    posted: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    posting: JoinHandle<Result<()>>,
    /// Open until the end: whoever closes it hears no more.
    _calm: BroadcastChannel<Bytes>,
    links: Links,
    place: Place,
}

impl Honest {
    pub(super) async fn start(name: &str, key: &MeshKey, at: &Multiaddr) -> Result<Self> {
        let links = Links::new(1);
        let builder = Node::builder().key(key.clone()).name(name).links(&links);
        // Only by way of the victim.
        let node = builder.seed(at.clone()).dial_members(false).spawn().await?;
        node.ready().await?;
        let calm = node.channel::<Bytes>(CALM)?;
        let ear = Ear::of(&calm);
        let (posted, ended) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (channel, count, over) = (calm.clone(), Arc::clone(&posted), Arc::clone(&ended));
        let posting = tokio::spawn(async move {
            let mut ticks = interval(PACE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            while !over.load(Ordering::Relaxed) {
                ticks.tick().await;
                channel.post_message(&message())?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Ok(Self {
            node,
            ear,
            posted,
            ended,
            posting,
            _calm: calm,
            links,
            place: Place::node(name)?,
        })
    }

    /// Breaks its connections, and lets none come about.
    pub(super) fn cut(&self) {
        self.links
            .cut_both(&self.place, &Place::Everywhere, Cut::Reset);
    }

    pub(super) fn heal(&self) {
        self.links.heal();
    }

    pub(super) fn id(&self) -> String {
        self.node.peer_id().to_string()
    }

    /// Posts no more. Returns how much that was.
    pub(super) async fn end_posting(&mut self) -> Result<u64> {
        self.ended.store(true, Ordering::Relaxed);
        (&mut self.posting).await??;
        Ok(self.posted.load(Ordering::Relaxed))
    }
}

/// A hundred a second.
const PACE: Duration = Duration::from_millis(10);
