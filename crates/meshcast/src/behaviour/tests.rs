//! Gossip between real swarms over memory, without the driver.

use libp2p::gossipsub::{Event, IdentTopic, PublishError};
use meshcast_proto::{
    ChannelName, Format, Frame, FrameId, Identity, MeshKey, NodeName, Part, Region, Seq, Trust,
    Verifier, write_record,
};

use super::*;
use crate::{
    clock::wall_time,
    strikes::WatchedEvent,
    swarm_fixture::{self, guard},
};

/// A member that says and hears what it is told to.
struct Carrier {
    node: swarm_fixture::Node<Behaviour>,
    identity: Identity,
    topic: IdentTopic,
    posted: u64,
}

impl Carrier {
    fn new(key: &MeshKey, name: u8) -> Self {
        let trust = Trust::from(key);
        let region = Region::new("test").expect("allowed");
        let label = NodeName::new(&format!("node-{name}")).expect("allowed");
        let identity = Identity::from_mesh_key(key, label, region, [name; 64], wall_time());
        let verifier = Verifier::new(trust.clone(), Duration::from_secs(600));
        let verifier = SharedVerifier::new(trust.mesh(), verifier);
        let topic = verifier.topic(&ChannelName::new("earth").expect("allowed"));
        let mut behaviour = Behaviour::new(verifier, 16, MAX_RPC_LEN).expect("allowed");
        behaviour.gossip.subscribe(&topic).expect("subscribes");
        Self {
            node: swarm_fixture::Node::new(behaviour),
            identity,
            topic,
            posted: 0,
        }
    }

    fn gossip(&mut self) -> &mut Gossip {
        &mut self.node.swarm.behaviour_mut().gossip
    }

    fn set_pull_only(&mut self, peer: &Self, yes: bool) {
        let peer = peer.node.id();
        self.node.swarm.behaviour_mut().set_pull_only(peer, yes);
    }

    fn meshed(&self, peer: &Self) -> bool {
        let gossip = &self.node.swarm.behaviour().gossip;
        gossip
            .mesh_peers(&self.topic.hash())
            .any(|it| *it == peer.node.id())
    }

    fn subscribed(&self, peer: &Self) -> bool {
        let gossip = &self.node.swarm.behaviour().gossip;
        gossip
            .all_peers()
            .any(|(it, topics)| *it == peer.node.id() && topics.contains(&&self.topic.hash()))
    }

    fn join(&mut self) {
        let topic = self.topic.clone();
        self.gossip().subscribe(&topic).expect("subscribes");
    }

    fn leave(&mut self) {
        let topic = self.topic.clone();
        self.gossip().unsubscribe(&topic);
    }

    /// Publishes its next frame, and returns what identifies it.
    fn publish(&mut self) -> Result<FrameId, PublishError> {
        self.posted += 1;
        let mut records = Vec::new();
        write_record(&mut records, Format::Raw, Part::Whole, b"hello");
        let channel = ChannelName::new("earth").expect("allowed");
        let seq = Seq::new(self.posted).expect("not zero");
        let frame = Frame::build(
            &self.identity,
            &channel,
            seq,
            wall_time(),
            Duration::ZERO,
            &records,
        )
        .expect("fits");
        let topic = self.topic.hash();
        self.gossip().publish(topic, frame.bytes().to_vec())?;
        Ok(FrameId::of(frame.bytes()))
    }

    /// The next frame it hears.
    async fn heard(&mut self) -> FrameId {
        loop {
            if let BehaviourEvent::Gossip(WatchedEvent::Inner(Event::Message { message, .. })) =
                self.node.event().await
            {
                return FrameId::of(&message.data);
            }
        }
    }
}

/// Drives all until that is so.
async fn until<const N: usize>(carriers: [&mut Carrier; N], is_so: impl Fn([&Carrier; N]) -> bool) {
    let mut carriers = carriers;
    guard(async {
        while !is_so(carriers.each_ref().map(|it| &**it)) {
            let steps = carriers.each_mut().map(|it| Box::pin(it.node.step()));
            // The mesh changes without an event.
            let look_again = tokio::time::sleep(Duration::from_millis(5));
            tokio::select! { _ = futures::future::select_all(steps) => {}, () = look_again => {} }
        }
    })
    .await;
}

/// What one hears next while the others run.
async fn next_of<const N: usize>(listener: &mut Carrier, others: [&mut Carrier; N]) -> FrameId {
    let others = futures::future::join_all(others.map(|it| it.node.run()));
    guard(async {
        tokio::select! { id = listener.heard() => id, _ = others => unreachable!("they run for ever") }
    })
    .await
}

fn chain() -> [Carrier; 3] {
    let key = MeshKey::from_entropy([1; 48]);
    [1, 2, 3].map(|name| Carrier::new(&key, name))
}

#[tokio::test]
async fn nothing_is_published_to_a_peer_that_pulls_and_what_it_publishes_is_heard() {
    let [mut a, mut b, _] = chain();
    a.node.dial(&mut b.node).await;
    until([&mut a, &mut b], |[a, b]| a.meshed(b) && b.meshed(a)).await;
    a.set_pull_only(&b, true);
    for _ in 0..3 {
        assert!(matches!(
            a.publish(),
            Err(PublishError::NoPeersSubscribedToTopic)
        ));
    }
    let of_b = b.publish().expect("published");
    assert_eq!(next_of(&mut a, [&mut b]).await, of_b);
    until([&mut a, &mut b], |[a, b]| !a.meshed(b) && !b.meshed(a)).await;
    let of_b = b.publish().expect("published");
    assert_eq!(next_of(&mut a, [&mut b]).await, of_b);
    a.set_pull_only(&b, false);
    let of_a = a.publish().expect("published");
    assert_eq!(next_of(&mut b, [&mut a]).await, of_a, "the first it hears");
}

#[tokio::test]
async fn nothing_is_forwarded_to_a_peer_that_pulls_until_it_keeps_up_again() {
    let [mut a, mut relay, mut c] = chain();
    a.node.dial(&mut relay.node).await;
    relay.node.dial(&mut c.node).await;
    let linked = |[a, relay, c]: [&Carrier; 3]| {
        relay.meshed(a) && relay.meshed(c) && a.meshed(relay) && c.meshed(relay)
    };
    until([&mut a, &mut relay, &mut c], linked).await;
    relay.set_pull_only(&c, true);
    until([&mut a, &mut relay, &mut c], |[_, relay, c]| {
        !relay.meshed(c) && !c.meshed(relay)
    })
    .await;
    for _ in 0..3 {
        let of_a = a.publish().expect("published");
        assert_eq!(next_of(&mut relay, [&mut a, &mut c]).await, of_a);
    }
    // What the laggard says goes on to the others as well.
    let of_c = c.publish().expect("published");
    assert_eq!(next_of(&mut a, [&mut relay, &mut c]).await, of_c);

    relay.set_pull_only(&c, false);
    // Its queue keeps the order, so whatever was forwarded to it would come before.
    let of_relay = relay.publish().expect("published");
    assert_eq!(next_of(&mut c, [&mut a, &mut relay]).await, of_relay);
    until([&mut a, &mut relay, &mut c], linked).await;
    let of_a = a.publish().expect("published");
    assert_eq!(next_of(&mut c, [&mut a, &mut relay]).await, of_a);
}

#[tokio::test]
async fn a_peer_that_comes_back_is_published_to_again() {
    let [mut a, mut b, _] = chain();
    a.node.dial(&mut b.node).await;
    until([&mut a, &mut b], |[a, b]| a.meshed(b) && b.meshed(a)).await;
    a.set_pull_only(&b, true);
    a.node
        .swarm
        .disconnect_peer_id(b.node.id())
        .expect("is connected");
    until([&mut a, &mut b], |[a, b]| {
        a.node.connections.is_empty() && b.node.connections.is_empty()
    })
    .await;
    a.node.dial(&mut b.node).await;
    until([&mut a, &mut b], |[a, b]| a.subscribed(b)).await;
    let of_a = a.publish().expect("published");
    assert_eq!(next_of(&mut b, [&mut a]).await, of_a);
}

#[tokio::test]
async fn what_a_peer_that_pulls_joins_and_leaves_counts_afterwards() {
    let [mut a, mut b, _] = chain();
    b.leave();
    a.node.dial(&mut b.node).await;
    // Nothing is known of it yet.
    a.set_pull_only(&b, true);
    b.join();
    let joined = |[a, b]: [&Carrier; 2]| b.subscribed(a) && b.meshed(a);
    until([&mut a, &mut b], joined).await;
    // Behind its announcement, since both take one stream.
    let of_b = b.publish().expect("published");
    assert_eq!(next_of(&mut a, [&mut b]).await, of_b);
    assert!(!a.subscribed(&b) && !a.meshed(&b));
    a.set_pull_only(&b, false);
    assert!(a.subscribed(&b));

    a.set_pull_only(&b, true);
    b.leave();
    b.join();
    b.leave();
    let of_b = b.publish().expect("published");
    assert_eq!(next_of(&mut a, [&mut b]).await, of_b);
    a.set_pull_only(&b, false);
    assert!(!a.subscribed(&b));
}

#[tokio::test]
async fn topics_that_no_channel_has_are_not_kept_and_name_who_announces_them() {
    let [mut a, mut b, _] = chain();
    let long = "0".repeat(100_000);
    let strange = [
        "0".repeat(31),
        "0".repeat(33),
        "g".repeat(32),
        "A".repeat(32),
        String::new(),
        long,
    ];
    for topic in strange.iter().chain(std::iter::repeat_n(&strange[0], 4)) {
        let topic = IdentTopic::new(topic);
        b.gossip().subscribe(&topic).expect("subscribes");
        b.gossip().unsubscribe(&topic);
        b.gossip().subscribe(&topic).expect("subscribes");
    }
    a.node.dial(&mut b.node).await;
    until([&mut a, &mut b], |[a, b]| a.subscribed(b)).await;
    let known = |a: &Carrier| {
        let gossip = &a.node.swarm.behaviour().gossip;
        let known = gossip.all_peers().flat_map(|(_, topics)| topics);
        known.cloned().collect::<Vec<_>>()
    };
    assert_eq!(known(&a), [b.topic.hash()]);
    // Of ten such words one is enough to be named; announced one by one, and also while it pulls.
    a.set_pull_only(&b, true);
    for n in 0..10 {
        let topic = IdentTopic::new(format!("{n}").repeat(40));
        b.gossip().subscribe(&topic).expect("subscribes");
    }
    let forger = guard(async {
        loop {
            let event =
                tokio::select! { event = a.node.event() => event, () = b.node.run() => continue };
            if let BehaviourEvent::Gossip(WatchedEvent::Forger(peer)) = event {
                break peer;
            }
        }
    });
    assert_eq!(forger.await, b.node.id());
    a.set_pull_only(&b, false);
    assert_eq!(known(&a), [b.topic.hash()]);
}
