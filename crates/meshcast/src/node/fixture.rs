//! Real nodes on loopback.

use std::time::Duration;

use libp2p::Multiaddr;
use tokio::runtime::Handle;

use crate::{
    BroadcastChannel, MeshKey, Messages, Node, NodeBuilder, Payload, RecvError, Snapshot,
    transport::Handshake,
};

/// A guard against tests that hang, not a measure of anything.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    let guarded = tokio::time::timeout(Duration::from_secs(60), what);
    guarded.await.expect("done in time")
}

/// A node of a mesh of its own.
pub(crate) async fn alone() -> Node {
    let builder = Node::builder().key(random_key()).listen("127.0.0.1:0");
    builder
        .runtime(Handle::current())
        .spawn()
        .await
        .expect("starts")
}

pub(crate) fn random_key() -> MeshKey {
    MeshKey::random().expect("random bytes")
}

/// Makes nodes of one mesh, which dial with one handshake.
pub(crate) struct Mesh(pub(crate) MeshKey, pub(crate) Handshake);

impl Mesh {
    pub(crate) fn new() -> Self {
        Self(random_key(), Handshake::default())
    }

    /// Of a node on the runtime of the test: on its one thread nothing happens while the test does
    /// not wait.
    pub(crate) fn builder(&self, name: &str) -> NodeBuilder {
        self.apart(name).runtime(Handle::current())
    }

    /// Of a node on a thread of its own, as nodes are unless they are told otherwise.
    pub(crate) fn apart(&self, name: &str) -> NodeBuilder {
        Node::builder()
            .key(self.0.clone())
            .proposes(self.1)
            .name(name)
            .region("test")
            .listen("127.0.0.1:0")
    }

    /// A node that knows these others.
    pub(crate) async fn node(&self, name: &str, seeds: &[&Node]) -> Node {
        let mut builder = self.builder(name);
        for seed in seeds {
            builder = builder.seeds(addresses(seed).await);
        }
        builder.spawn().await.expect("starts")
    }

    /// Two nodes that are connected.
    pub(crate) async fn pair(&self) -> (Node, Node) {
        let a = self.node("a", &[]).await;
        let b = self.node("b", &[&a]).await;
        until(&a, |it| it.peers.len() == 1).await;
        until(&b, |it| it.peers.len() == 1).await;
        (a, b)
    }
}

pub(crate) async fn addresses(node: &Node) -> Vec<Multiaddr> {
    node.info().await.expect("runs").listen_addresses
}

/// Waits until a node looks like that.
pub(crate) async fn until(node: &Node, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
    within(async {
        loop {
            let snapshot = node.inspect().await.expect("runs");
            if is_so(&snapshot) {
                return snapshot;
            }
            // Only so as not to ask all the time.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// Waits until each of the nodes knows all others to be on the channel.
pub(crate) async fn joined(nodes: &[&Node], channel: &str) {
    for node in nodes {
        until(node, |snapshot| {
            let here = snapshot
                .channels
                .iter()
                .find(|it| it.name.as_str() == channel);
            here.is_some_and(|it| it.subscribers.len() == nodes.len() - 1 && !it.mesh.is_empty())
        })
        .await;
    }
}

pub(crate) fn open<T: Payload>(node: &Node, name: &str) -> BroadcastChannel<T> {
    node.channel(name).expect("opens")
}

/// The next message's data.
pub(crate) async fn next<T: Payload>(messages: &mut Messages<T>) -> T {
    let next = within(messages.recv()).await.expect("not the end");
    next.expect("a message").data
}

/// The next error.
pub(crate) async fn next_error<T: Payload>(messages: &mut Messages<T>) -> RecvError {
    let next = within(messages.recv()).await.expect("not the end");
    next.err().expect("an error")
}
